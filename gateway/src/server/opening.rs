//! What comes before a session: requests for encryption, to cancel, and the start-up packet.
//!
//! Nothing is read beyond the packet at hand, so bytes that somebody put behind an unencrypted SSLRequest become part of
//! the TLS handshake, which fails, and never part of the session (CVE-2021-23214).

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use passgate_wire::{self as wire, Decoder, Frontend, Limits};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::tls::{ALPN, Certificate};
use super::turn_away;
use crate::session::{self, Stream};

/// What a connection turned out to want.
pub(super) enum Opened {
    /// A session.
    Session {
        /// The connection, encrypted or not.
        stream: Box<dyn Stream>,
        /// The start-up packet.
        packet: wire::Startup,
        /// Whether it is encrypted.
        encrypted: bool,
        /// The channel binding data of the certificate it is encrypted with.
        channel_binding: Option<Bytes>,
    },
    /// To cancel another.
    Cancel {
        request: wire::Cancel,
        /// To be closed once that is done: its end tells the client, who then may ask the next thing.
        stream: Box<dyn Stream>,
    },
}

/// Why there will be no session.
#[derive(Debug, thiserror::Error)]
pub(super) enum Closed {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Violation(#[from] wire::Violation),
    #[error("direct TLS without the protocol's name (ALPN)")]
    NoAlpn,
    #[error("a request that has no place here")]
    OutOfPlace,
}

/// The first byte of a TLS handshake: the client begins with TLS right away, as since PostgreSQL 17.
/// Source: <https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-SSL>.
const TLS_HANDSHAKE: u8 = 0x16;

/// Brings a connection up to its start-up packet.
pub(super) async fn open(tcp: TcpStream, certificate: Option<Arc<Certificate>>) -> Result<Opened, Closed> {
    let mut first = [0];
    tcp.peek(&mut first).await?;
    match certificate {
        Some(certificate) if first == [TLS_HANDSHAKE] => {
            let stream = certificate.accept(tcp).await?;
            // Without ALPN another protocol's client could be led here (the ALPACA attack).
            if stream.get_ref().1.alpn_protocol() != Some(ALPN) {
                return Err(Closed::NoAlpn);
            }
            start(Box::new(stream), Some(certificate)).await
        }
        certificate => open_plain(tcp, certificate).await,
    }
}

async fn open_plain(mut tcp: TcpStream, certificate: Option<Arc<Certificate>>) -> Result<Opened, Closed> {
    let (mut ssl_asked, mut gss_asked) = (false, false);
    loop {
        match packet(&mut tcp).await {
            Ok(Frontend::SslRequest) if !ssl_asked => {
                ssl_asked = true;
                if let Some(certificate) = certificate.clone() {
                    tcp.write_all(b"S").await?;
                    let stream = certificate.accept(tcp).await?;
                    return start(Box::new(stream), Some(certificate)).await;
                }
                tcp.write_all(b"N").await?;
            }
            Ok(Frontend::GssEncryptionRequest) if !gss_asked => {
                gss_asked = true;
                tcp.write_all(b"N").await?;
            }
            other => return begun(Box::new(tcp), other, None).await,
        }
    }
}

async fn start(mut stream: Box<dyn Stream>, certificate: Option<Arc<Certificate>>) -> Result<Opened, Closed> {
    let packet = packet(&mut *stream).await;
    begun(stream, packet, certificate).await
}

async fn begun(
    stream: Box<dyn Stream>,
    packet: Result<Frontend, Closed>,
    certificate: Option<Arc<Certificate>>,
) -> Result<Opened, Closed> {
    match packet {
        Ok(Frontend::Startup(packet)) => {
            let (encrypted, channel_binding) = (certificate.is_some(), certificate.and_then(|it| it.end_point()));
            Ok(Opened::Session { stream, packet, encrypted, channel_binding })
        }
        Ok(Frontend::Cancel(request)) => Ok(Opened::Cancel { request, stream }),
        Ok(_) => Err(Closed::OutOfPlace),
        Err(Closed::Violation(violation)) => {
            turn_away(stream, &session::Error::Violation(violation)).await;
            Err(Closed::Violation(violation))
        }
        Err(closed) => Err(closed),
    }
}

/// The next packet, and not a byte more.
async fn packet<S: Stream + ?Sized>(stream: &mut S) -> Result<Frontend, Closed> {
    let mut decoder = Decoder::new(Limits { message_bytes_max: 0 });
    loop {
        if let Some(packet) = decoder.decode()? {
            return Ok(packet);
        }
        let missing = decoder.missing() as u64;
        if (&mut *stream).take(missing).read_buf(decoder.buffer()).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
    }
}
