//! Signs in over TLS and plays a conversation; every wait has a limit.

use std::time::Duration;

use bytes::{Buf, BytesMut};
use postgres_protocol::message::frontend;
use rustls_pki_types::ServerName;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{Conversation, Heard, Line, sent};
use crate::{World, postgres};

/// How long the player waits for one message.
const PATIENCE: Duration = Duration::from_secs(10);

/// A server to play against, and who signs in.
#[derive(Clone, Debug)]
pub struct Server {
    /// Its port on 127.0.0.1.
    pub port: u16,
    /// The person.
    pub user: String,
    /// Their token or password, which the server asks for in clear over TLS.
    pub secret: String,
}

/// Plays a conversation; the error says at which line the server said something else.
pub async fn play(world: &World, server: &Server, conversation: &Conversation) -> Result<(), String> {
    let mut connection = Connection::sign_in(world, server, &conversation.parameters).await?;
    let mut hung_up = false;
    for line in &conversation.lines {
        let done = if line.is_sent { connection.send(world, line).await } else { connection.expect(line).await };
        done.map_err(|problem| format!("line {}: {problem}", line.number))?;
        hung_up |= ["Terminate", "Disconnect", "Closed"].contains(&line.message.as_str());
    }
    if hung_up { Ok(()) } else { connection.nothing_more().await }
}

/// A signed-in connection, played line by line.
pub struct Connection {
    stream: TlsStream<TcpStream>,
    port: u16,
    incoming: BytesMut,
    outgoing: BytesMut,
    /// The body of BackendKeyData, which a CancelRequest repeats.
    key: Option<(u32, Vec<u8>)>,
}

impl Connection {
    async fn open(world: &World, port: u16) -> Result<Self, String> {
        let open = async {
            let mut socket = TcpStream::connect(("127.0.0.1", port)).await?;
            let mut request = BytesMut::new();
            frontend::ssl_request(&mut request);
            socket.write_all(&request).await?;
            match socket.read_u8().await? {
                b'S' => {}
                other => return Err(std::io::Error::other(format!("the server answers TLS with {other}"))),
            }
            let tls = TlsConnector::from(std::sync::Arc::new(world.authority.client_config()));
            tls.connect(ServerName::try_from("localhost").expect("a name"), socket).await
        };
        let stream = limited(open).await?.map_err(|error| format!("cannot connect: {error}"))?;
        Ok(Self { stream, port, incoming: BytesMut::new(), outgoing: BytesMut::new(), key: None })
    }

    /// Signs in, and reads up to the first ReadyForQuery.
    pub async fn sign_in(world: &World, server: &Server, parameters: &[(String, String)]) -> Result<Self, String> {
        let mut connection = Self::open(world, server.port).await?;
        let known = [("user", server.user.as_str()), ("database", postgres::DATABASE)];
        let more = parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        frontend::startup_message(known.into_iter().chain(more), &mut connection.outgoing)
            .map_err(|error| error.to_string())?;
        connection.flush().await?;
        loop {
            let heard = connection.hear().await?;
            match heard.message.as_str() {
                "Authentication" if heard.arguments == [Value::from(3)] => {
                    frontend::password_message(server.secret.as_bytes(), &mut connection.outgoing)
                        .map_err(|error| error.to_string())?;
                    connection.flush().await?;
                }
                // Only OAUTHBEARER (RFC 7628) is played: SCRAM has real clients.
                "Authentication" if heard.arguments == [Value::from(10)] => {
                    let response = format!("n,,\u{1}auth=Bearer {}\u{1}\u{1}", server.secret);
                    frontend::sasl_initial_response("OAUTHBEARER", response.as_bytes(), &mut connection.outgoing)
                        .map_err(|error| error.to_string())?;
                    connection.flush().await?;
                }
                // A refusal comes as a challenge first, which the client acknowledges with a lone ^A.
                "Authentication" if heard.arguments == [Value::from(11)] => {
                    frontend::sasl_response(b"\x01", &mut connection.outgoing).map_err(|error| error.to_string())?;
                    connection.flush().await?;
                }
                "Authentication" if heard.arguments == [Value::from(0)] => {}
                "ParameterStatus" | "NoticeResponse" | "BackendKeyData" => {}
                "ReadyForQuery" => return Ok(connection),
                _ => return Err(format!("sign-in: {heard}")),
            }
        }
    }

    /// Queues a line; what must wait for it sends all that is queued.
    pub async fn send(&mut self, world: &World, line: &Line) -> Result<(), String> {
        match line.message.as_str() {
            "Sleep" => {
                self.flush().await?;
                let pause = line.arguments.first().and_then(Value::as_u64).ok_or("Sleep takes milliseconds")?;
                tokio::time::sleep(Duration::from_millis(pause)).await;
                Ok(())
            }
            "Cancel" => {
                self.flush().await?;
                let (process, secret) = self.key.clone().ok_or("the server sent no key to cancel with")?;
                let mut other = Self::open(world, self.port).await?;
                let length = u32::try_from(12 + secret.len()).map_err(|error| error.to_string())?;
                // The code of a CancelRequest: 1234 in the high half, 5678 in the low.
                let words = [length, 80_877_102, process];
                words.iter().for_each(|word| other.outgoing.extend_from_slice(&word.to_be_bytes()));
                other.outgoing.extend_from_slice(&secret);
                other.flush().await?;
                // The server closes once it has passed the request on.
                let _ = limited(other.stream.read_u8()).await?;
                Ok(())
            }
            "Disconnect" => {
                self.flush().await?;
                self.stream.get_mut().0.shutdown().await.map_err(|error| error.to_string())
            }
            "Terminate" => {
                sent::encode(line, &mut self.outgoing)?;
                self.flush().await
            }
            _ => sent::encode(line, &mut self.outgoing),
        }
    }

    async fn expect(&mut self, line: &Line) -> Result<(), String> {
        self.flush().await?;
        let heard = loop {
            let heard = self.hear().await?;
            let aside = ["ParameterStatus", "NoticeResponse"].contains(&heard.message.as_str());
            if !aside || heard.message == line.message {
                break heard;
            }
        };
        if heard.meets(&line.message, &line.arguments) {
            return Ok(());
        }
        let wanted = Heard { message: line.message.clone(), arguments: line.arguments.clone() };
        Err(format!("expected {wanted}\n             heard {heard}"))
    }

    /// A Sync must be answered by ReadyForQuery and by nothing before it.
    async fn nothing_more(&mut self) -> Result<(), String> {
        frontend::sync(&mut self.outgoing);
        self.flush().await?;
        let heard = self.hear().await.map_err(|problem| format!("at the end: {problem}"))?;
        if heard.message == "ReadyForQuery" { Ok(()) } else { Err(format!("at the end heard {heard}")) }
    }

    /// Sends all that is queued.
    pub async fn flush(&mut self) -> Result<(), String> {
        let outgoing = self.outgoing.split();
        let write = async {
            self.stream.write_all(&outgoing).await?;
            self.stream.flush().await
        };
        limited(write).await?.map_err(|error| format!("cannot send: {error}"))
    }

    /// The next message, whatever it is.
    pub async fn hear(&mut self) -> Result<Heard, String> {
        loop {
            if let Some(heard) = self.take()? {
                return Ok(heard);
            }
            // A server that ends the connection without TLS's own goodbye has closed it all the same.
            match limited(self.stream.read_buf(&mut self.incoming)).await? {
                Ok(0) | Err(_) => return Ok(Heard::closed()),
                Ok(_) => {}
            }
        }
    }

    /// The next message, once all of it has arrived.
    fn take(&mut self) -> Result<Option<Heard>, String> {
        let Some((&[kind, a, b, c, d], _)) = self.incoming.split_first_chunk() else { return Ok(None) };
        let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).map_err(|error| error.to_string())?;
        if self.incoming.len() < length + 1 {
            return Ok(None);
        }
        let mut message = self.incoming.split_to(length + 1).freeze();
        message.advance(5);
        if let (b'K', Some((&process, secret))) = (kind, message.split_first_chunk()) {
            self.key = Some((u32::from_be_bytes(process), secret.to_vec()));
        }
        let broken = || format!("a broken message of type '{}'", char::from(kind));
        Heard::read(kind, message).ok_or_else(broken).map(Some)
    }
}

async fn limited<T>(wait: impl Future<Output = T>) -> Result<T, String> {
    tokio::time::timeout(PATIENCE, wait).await.map_err(|_| format!("nothing for {} s", PATIENCE.as_secs()))
}
