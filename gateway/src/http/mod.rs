//! The small HTTP listener beside the gateway's own: is it alive, is it ready, how is it doing.
//!
//! It is for the machines that look after the gateway, so it must not be what brings it down: a request has a deadline
//! and a size, a connection carries one request, and there is a fixed number of them. It knows nothing of sessions:
//! whoever starts it hands in what answers `/readyz` ([`Readiness`]).
//!
//! | path | answer |
//! |---|---|
//! | `/livez` | 200 while the process runs |
//! | `/readyz` | 200, or 503 and why: draining, or no source can be reached |
//! | `/metrics` | the table of `metrics.rs` in Prometheus' text format |

pub mod metrics;

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::future::BoxFuture;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use metrics::Metrics;

/// The HTTP listener for health and metrics. It asks nobody who they are: keep it where only operators reach it.
#[derive(Clone, Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where to listen. Default: `127.0.0.1:9187`.
    #[schemars(with = "String")]
    pub address: SocketAddr,
    /// Connections served at once; further ones wait. Default: 64.
    pub connections_max: u16,
    /// Seconds within which a connection's one request must have come and been answered. Default: 10.
    pub request_timeout_seconds: u16,
}

impl Default for Config {
    fn default() -> Self {
        Self { address: SocketAddr::from(([127, 0, 0, 1], 9187)), connections_max: 64, request_timeout_seconds: 10 }
    }
}

/// Whether the gateway can do its work.
pub trait Readiness: Send + Sync {
    /// `Ok`, or why not, in words for an operator: that it is draining, or that no source can be reached.
    fn check(&self) -> BoxFuture<'_, Result<(), String>>;
}

/// Bytes of a request's headers, and their number, at most.
const HEADER_BYTES_MAX: usize = 16 << 10;
const HEADERS_MAX: usize = 64;

/// The listener, bound.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    connections_max: u16,
    timeout: Duration,
}

impl Server {
    /// Binds the address.
    pub async fn bind(config: &Config) -> io::Result<Self> {
        Ok(Self {
            listener: TcpListener::bind(config.address).await?,
            connections_max: config.connections_max.max(1),
            timeout: Duration::from_secs(config.request_timeout_seconds.max(1).into()),
        })
    }

    /// Where it listens: the port that was chosen, where the settings say 0.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `shutdown`, then lets what is under way finish within its deadline. While the gateway drains it
    /// should go on serving, so that `/readyz` can say so.
    pub async fn run(self, readiness: Arc<dyn Readiness>, metrics: Metrics, shutdown: impl Future<Output = ()> + Send) {
        let pages = pages(readiness, metrics.clone());
        let connections = Arc::new(Semaphore::new(self.connections_max.into()));
        tokio::select! {
            () = shutdown => {}
            () = self.accept(&pages, &connections) => {}
            () = metrics.keep_up() => {}
        }
        // Every connection holds a permit, and for no longer than its deadline.
        let _all = connections.acquire_many(self.connections_max.into()).await;
    }

    async fn accept(&self, pages: &Router, connections: &Arc<Semaphore>) {
        while let Ok(permit) = connections.clone().acquire_owned().await {
            match self.listener.accept().await {
                Ok((stream, _)) => drop(tokio::spawn(serve(stream, pages.clone(), self.timeout, permit))),
                Err(error) => {
                    // Out of descriptors, mostly: trying again at once would only burn the processor.
                    tracing::warn!(%error, "the HTTP listener cannot accept");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

/// Serves one request.
async fn serve(stream: TcpStream, pages: Router, timeout: Duration, _permit: OwnedSemaphorePermit) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(timeout)
        .keep_alive(false)
        .max_headers(HEADERS_MAX)
        .max_header_size(HEADER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(pages));
    match tokio::time::timeout(timeout, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "an HTTP request failed"),
        Err(_) => tracing::debug!("an HTTP request took too long"),
    }
}

fn pages(readiness: Arc<dyn Readiness>, metrics: Metrics) -> Router {
    Router::new()
        .route("/livez", get(|| async { text(StatusCode::OK, "alive\n") }))
        .route("/readyz", get(ready).with_state(readiness))
        .route("/metrics", get(show_metrics).with_state(metrics))
        .fallback(|| async { text(StatusCode::NOT_FOUND, "not found\n") })
}

async fn ready(State(readiness): State<Arc<dyn Readiness>>) -> Response {
    match readiness.check().await {
        Ok(()) => text(StatusCode::OK, "ready\n"),
        Err(why) => text(StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")),
    }
}

async fn show_metrics(State(metrics): State<Metrics>) -> Result<Response, Infallible> {
    let format = [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    Ok((format, metrics.render()).into_response())
}

fn text(status: StatusCode, body: impl IntoResponse) -> Response {
    (status, [(CACHE_CONTROL, "no-store")], body).into_response()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::oneshot;

    use super::*;

    struct Told(Mutex<Result<(), String>>);

    impl Readiness for Told {
        fn check(&self) -> BoxFuture<'_, Result<(), String>> {
            Box::pin(async { self.0.lock().unwrap().clone() })
        }
    }

    struct Running {
        address: SocketAddr,
        told: Arc<Told>,
        stop: oneshot::Sender<()>,
        task: tokio::task::JoinHandle<()>,
    }

    async fn start(connections_max: u16, request_timeout_seconds: u16) -> Running {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let config = Config { address, connections_max, request_timeout_seconds };
        let server = Server::bind(&config).await.unwrap();
        let address = server.address().unwrap();
        let told = Arc::new(Told(Mutex::new(Ok(()))));
        let (stop, stopped) = oneshot::channel();
        let shutdown = async { drop(stopped.await) };
        let task = tokio::spawn(server.run(told.clone(), Metrics::install(), shutdown));
        Running { address, told, stop, task }
    }

    impl Running {
        async fn say(&self, request: &str) -> String {
            let mut stream = TcpStream::connect(self.address).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            // What is refused before it was read through may end in a reset.
            let _ = stream.read_to_end(&mut answer).await;
            String::from_utf8(answer).unwrap()
        }

        async fn get(&self, path: &str) -> String {
            self.say(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await
        }
    }

    #[tokio::test]
    async fn it_says_whether_it_is_alive_and_ready() {
        let running = start(4, 5).await;
        assert!(running.get("/livez").await.starts_with("HTTP/1.1 200 "));
        assert!(running.get("/readyz").await.starts_with("HTTP/1.1 200 "));
        *running.told.0.lock().unwrap() = Err("draining".to_owned());
        let answer = running.get("/readyz").await;
        assert!(answer.starts_with("HTTP/1.1 503 ") && answer.ends_with("\r\n\r\nnot ready: draining\n"), "{answer}");
        assert!(running.get("/livez").await.starts_with("HTTP/1.1 200 "));
        let answer = running.get("/anything").await;
        assert!(answer.starts_with("HTTP/1.1 404 ") && answer.ends_with("\r\n\r\nnot found\n"), "{answer}");
        let answer = running.say("POST /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
    }

    #[tokio::test]
    async fn it_shows_what_was_counted() {
        let running = start(4, 5).await;
        ::metrics::counter!("passgate_statements_total", "outcome" => "denied").increment(2);
        ::metrics::histogram!("passgate_decision_seconds").record(0.000_2);
        let answer = running.get("/metrics").await;
        for line in [
            "content-type: text/plain; version=0.0.4",
            "# TYPE passgate_statements_total counter",
            "# HELP passgate_statements_total ",
            "passgate_statements_total{outcome=\"denied\"} 2",
            "passgate_decision_seconds_bucket{le=\"0.00025\"} 1",
        ] {
            assert!(answer.contains(line), "{line}: {answer}");
        }
    }

    #[tokio::test]
    async fn a_client_that_says_nothing_keeps_nobody_out_for_long() {
        let running = start(2, 1).await;
        let silent =
            [TcpStream::connect(running.address).await.unwrap(), TcpStream::connect(running.address).await.unwrap()];
        let began = std::time::Instant::now();
        assert!(running.get("/livez").await.starts_with("HTTP/1.1 200 "));
        assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
        drop(silent);
    }

    #[tokio::test]
    async fn headers_have_a_size() {
        let running = start(2, 5).await;
        let many = (0..100).map(|number| format!("x-{number}: y\r\n")).collect::<String>();
        for headers in [format!("x: {}\r\n", "y".repeat(64 << 10)), many] {
            let answer = running.say(&format!("GET /livez HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n")).await;
            assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431 "), "{answer}");
        }
    }

    #[tokio::test]
    async fn it_stops_when_told_to() {
        let running = start(2, 5).await;
        running.stop.send(()).unwrap();
        tokio::time::timeout(Duration::from_secs(6), running.task).await.unwrap().unwrap();
        TcpStream::connect(running.address).await.unwrap_err();
    }

    #[test]
    fn settings_have_defaults_and_refuse_unknown_keys() {
        let config: Config = serde_json::from_str(r#"{"address": "127.0.0.1:1"}"#).unwrap();
        assert_eq!((config.address.port(), config.connections_max, config.request_timeout_seconds), (1, 64, 10));
        serde_json::from_str::<Config>(r#"{"adress": "127.0.0.1:1"}"#).unwrap_err();
    }
}
