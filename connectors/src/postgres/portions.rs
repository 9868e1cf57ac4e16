//! A TCP stream that is read in portions while much arrives.
//!
//! A server sends a large result in pieces of 8 kB and each would wake its reader, which costs more than reading it.
//! While piece follows piece, the system is asked to wake for a whole portion only (`SO_RCVLOWAT`,
//! <https://man7.org/linux/man-pages/man7/socket.7.html>). Where less than that arrives, at the end of a result or from
//! a query that has slowed down, it waits [`PATIENCE`] at most, once: from then on each piece wakes again.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use nix::sys::socket::setsockopt;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

mod option {
    //! What the system is asked.
    use nix::{libc, setsockopt_impl, sockopt_impl};

    sockopt_impl!(
        /// How many bytes wake who waits for them.
        LowWater,
        SetOnly,
        libc::SOL_SOCKET,
        libc::SO_RCVLOWAT,
        libc::c_int
    );
}

/// How much one waits for while much arrives: less than the smallest buffer that a connection has.
const PORTION_BYTES: nix::libc::c_int = 48 << 10;
/// What brings less than this is no piece of a large result.
const PIECE_BYTES: usize = 4 << 10;
/// So many pieces one after another are the middle of a large result.
const PIECES: u32 = 8;
/// How long one waits for a portion.
const PATIENCE: Duration = Duration::from_millis(1);

/// The stream.
pub(super) struct Portions {
    tcp: TcpStream,
    /// Bytes read since the last wait.
    read: usize,
    /// Waits that brought a piece each.
    pieces: u32,
    /// Until when, while portions are waited for.
    patience: Option<Pin<Box<Sleep>>>,
}

impl Portions {
    pub(super) fn new(tcp: TcpStream) -> Self {
        Self { tcp, read: 0, pieces: 0, patience: None }
    }

    /// Nothing has arrived that the system would tell of.
    fn wait(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        let read = std::mem::take(&mut self.read);
        if let Some(patience) = &mut self.patience {
            if read > 0 {
                patience.as_mut().reset(Instant::now() + PATIENCE);
            }
        } else if read > 0 {
            self.pieces = if read >= PIECE_BYTES { self.pieces + 1 } else { 0 };
            if self.pieces >= PIECES {
                setsockopt(&self.tcp, option::LowWater, &PORTION_BYTES)?;
                self.patience = Some(Box::pin(tokio::time::sleep(PATIENCE)));
            }
        }
        let waited = self.patience.as_mut().is_some_and(|patience| patience.as_mut().poll(context).is_ready());
        if waited { self.take_pieces() } else { Ok(()) }
    }

    /// Every piece wakes again; what has arrived does so now.
    fn take_pieces(&mut self) -> io::Result<()> {
        if self.patience.take().is_some() {
            self.pieces = 0;
            setsockopt(&self.tcp, option::LowWater, &1)?;
        }
        Ok(())
    }
}

impl AsyncRead for Portions {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        match Pin::new(&mut self.tcp).poll_read(context, into) {
            Poll::Pending => match self.wait(context) {
                Ok(()) => Poll::Pending,
                Err(error) => Poll::Ready(Err(error)),
            },
            ready => {
                self.read += into.filled().len() - before;
                ready
            }
        }
    }
}

impl AsyncWrite for Portions {
    /// Whoever asks something new waits for an answer that may be small.
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        self.take_pieces()?;
        Pin::new(&mut self.tcp).poll_write(context, from)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        from: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.take_pieces()?;
        Pin::new(&mut self.tcp).poll_write_vectored(context, from)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    async fn pair() -> (Portions, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (ours, theirs) = tokio::join!(TcpStream::connect(address), listener.accept());
        (Portions::new(ours.unwrap()), theirs.unwrap().0)
    }

    /// Pieces as a server sends them, with pauses in which a reader would wait: everything arrives, in order, and what is
    /// less than a portion too.
    #[tokio::test]
    async fn everything_arrives() {
        let (mut ours, mut theirs) = pair().await;
        for round in 0..3_u8 {
            let sends = async {
                for piece in 0..40_u8 {
                    theirs.write_all(&[piece ^ round; 8 << 10]).await.unwrap();
                    tokio::task::yield_now().await;
                }
                theirs.write_all(&[255; 5]).await.unwrap();
            };
            let reads = async {
                let mut read = vec![0; 40 * (8 << 10) + 5];
                ours.read_exact(&mut read).await.unwrap();
                read
            };
            let ((), read) = tokio::join!(sends, reads);
            assert!(
                read.chunks_exact(8 << 10)
                    .zip(0..40_u8)
                    .all(|(piece, at)| piece.iter().all(|byte| *byte == at ^ round))
            );
            ours.write_all(b"next").await.unwrap();
            let mut asked = [0; 4];
            theirs.read_exact(&mut asked).await.unwrap();
        }
    }

    /// In the middle of portions the server falls silent, then says little, then goes.
    #[tokio::test]
    async fn what_is_less_than_a_portion_is_not_waited_for_for_ever() {
        let (mut ours, mut theirs) = pair().await;
        let mut buffer = vec![0; 64 << 10];
        while ours.patience.is_none() {
            theirs.write_all(&[1; 8 << 10]).await.unwrap();
            let mut read = 0;
            while read < 8 << 10 {
                read += ours.read(&mut buffer).await.unwrap();
            }
            // The wait that comes before the next piece.
            let nothing = tokio::time::timeout(Duration::ZERO, ours.read(&mut buffer)).await;
            assert!(nothing.is_err());
        }
        theirs.write_all(b"x").await.unwrap();
        assert_eq!(ours.read(&mut buffer).await.unwrap(), 1);
        assert!(ours.patience.is_none());
        drop(theirs);
        assert_eq!(ours.read(&mut buffer).await.unwrap(), 0);
    }
}
