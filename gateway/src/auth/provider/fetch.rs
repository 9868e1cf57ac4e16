//! Gets JSON from a provider, over HTTPS, within bounds.
//!
//! Separate so that the one place that opens connections to a provider is small: no redirects, no address the settings
//! would not allow, no answer larger or later than expected.

use std::net::IpAddr;
use std::time::Duration;

use reqwest::{Certificate, Client, Url, redirect};
use serde::de::DeserializeOwned;

/// Discovery documents are a few kB and key sets a few dozen; the largest seen in the wild is under 100 kB.
const ANSWER_BYTES_MAX: usize = 512 * 1024;

/// A client for one provider.
#[derive(Debug)]
pub(super) struct Fetcher {
    client: Client,
    http_allowed: bool,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("{0} is not an address that may be asked")]
    Address(String),
    #[error("{address} cannot be reached: {reason}")]
    Request { address: String, reason: String },
    #[error("{address} answered {status}")]
    Status { address: String, status: u16 },
    #[error("{address} answered with more than {ANSWER_BYTES_MAX} bytes")]
    TooLong { address: String },
    #[error("{address} answered with something else than was asked for: {reason}")]
    Content { address: String, reason: String },
    #[error("no HTTPS client can be made: {0}")]
    Client(String),
}

impl Fetcher {
    pub(super) fn new(
        issuer: &str,
        roots: Option<Vec<Certificate>>,
        http_allowed: bool,
        limit: Duration,
    ) -> Result<Self, Error> {
        let mut builder = Client::builder()
            .redirect(redirect::Policy::none())
            .timeout(limit)
            .connect_timeout(limit)
            .pool_max_idle_per_host(1)
            .https_only(!http_allowed);
        if let Some(roots) = roots {
            builder = builder.tls_certs_only(roots);
        }
        if Url::parse(issuer).is_ok_and(|address| is_loopback(&address)) {
            builder = builder.no_proxy();
        }
        let client = builder.build().map_err(|error| Error::Client(reason(&error)))?;
        Ok(Self { client, http_allowed })
    }

    /// Gets and reads one document.
    pub(super) async fn json<T: DeserializeOwned>(&self, address: &str) -> Result<T, Error> {
        if !is_allowed(address, self.http_allowed) {
            return Err(Error::Address(address.to_owned()));
        }
        let address = address.to_owned();
        let failed = |error: reqwest::Error| Error::Request { address: address.clone(), reason: reason(&error) };
        let mut response = self.client.get(&address).send().await.map_err(failed)?;
        if !response.status().is_success() {
            return Err(Error::Status { address, status: response.status().as_u16() });
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(Error::TooLong { address });
            }
            body.extend_from_slice(&chunk);
        }
        serde_json::from_slice(&body).map_err(|error| Error::Content { address, reason: error.to_string() })
    }
}

/// Whether a provider may have this address: HTTPS, or HTTP on loopback where the settings say so.
pub(super) fn is_allowed(address: &str, http_allowed: bool) -> bool {
    let Ok(address) = Url::parse(address) else { return false };
    let secure = match address.scheme() {
        "https" => true,
        "http" => http_allowed && is_loopback(&address),
        _ => false,
    };
    secure && address.has_host() && address.fragment().is_none() && address.username().is_empty()
}

fn is_loopback(address: &Url) -> bool {
    match address.host_str() {
        Some("localhost") => true,
        Some(host) => host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback()),
        None => false,
    }
}

/// The innermost cause: reqwest's own text only says that a request failed.
fn reason(error: &reqwest::Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

#[cfg(test)]
mod tests {
    use super::is_allowed;

    #[test]
    fn only_https_and_on_request_http_on_loopback() {
        assert!(is_allowed("https://login.example.com/tenant/v2.0", false));
        for address in ["http://127.0.0.1:8080", "http://localhost", "http://[::1]:1/"] {
            assert!(is_allowed(address, true), "{address}");
            assert!(!is_allowed(address, false), "{address}");
        }
        for address in [
            "http://login.example.com",
            "http://127.0.0.1.example.com",
            "ftp://127.0.0.1",
            "login",
            "https://a@b",
            "https://a#b",
        ] {
            assert!(!is_allowed(address, true), "{address}");
        }
    }
}
