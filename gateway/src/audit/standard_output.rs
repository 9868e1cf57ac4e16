//! The sink for platforms that collect what a process prints.
//!
//! A pipe cannot be cut back and its reader may stop reading, so writing is a thread's work and waiting for it has a
//! limit: records are refused while the reader is stuck, and nothing hangs. What got out before a failure stays out and
//! keeps its place in the chain; an unfinished line is ended, and the record sent again. So a pipe holds every record
//! at least once. The chain begins anew with each process.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::time::Duration;

use passgate_connectors::Secret;

use super::StartError;
use super::chain::{Link, Sealer};
use super::record::Body;
use super::sinks::{Settings, Sink};

/// Standard output, one JSON object a line.
#[derive(Clone, Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Config {
    /// How long a record may wait for the reader, in milliseconds, before it counts as not written. Default: 5000.
    #[serde(default = "write_timeout_ms")]
    write_timeout_ms: u64,
    /// A secret that keys the chain (HMAC-SHA-256). Default: none, and the chain is plain SHA-256.
    #[serde(default)]
    chain_key: Option<Secret>,
}

fn write_timeout_ms() -> u64 {
    5000
}

impl Settings for Config {
    fn open(&self, _folder: &Path) -> Result<Box<dyn Sink>, StartError> {
        let timeout = Duration::from_millis(self.write_timeout_ms);
        let sealer = Sealer::new(self.chain_key.as_ref());
        // A descriptor of our own: the standard library's buffer would not say how much of a failed write got out.
        let writer = io::stdout().as_fd().try_clone_to_owned().map(File::from);
        writer
            .and_then(|writer| WriterSink::start(Box::new(writer), sealer, timeout))
            .map(|sink| Box::new(sink) as Box<dyn Sink>)
            .map_err(|error| StartError::new(format!("audit to stdout: {error}"), "Keep standard output open."))
    }
}

/// A writer in a thread of its own.
pub(super) struct WriterSink {
    sealer: Sealer,
    last: Link,
    timeout: Duration,
    work: Sender<Vec<u8>>,
    done: Receiver<Written>,
    /// Where each line that is being written ends, and the chain with it.
    ends: Vec<(usize, Link)>,
    /// Whether we stopped waiting for a write.
    late: bool,
    /// Whether the last line that got out is unfinished.
    torn: bool,
}

/// How many bytes got out, and why no more.
struct Written(usize, io::Result<()>);

impl WriterSink {
    pub(super) fn start(mut writer: Box<dyn Write + Send>, sealer: Sealer, timeout: Duration) -> io::Result<Self> {
        // At most one piece of work is under way: `append` sends only when the thread is idle.
        let (work, to_do) = channel::<Vec<u8>>();
        let (report, done) = channel();
        std::thread::Builder::new().name("audit-stdout".to_owned()).spawn(move || {
            for bytes in to_do {
                if report.send(write_out(&mut writer, &bytes)).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { sealer, last: Link::default(), timeout, work, done, ends: Vec::new(), late: false, torn: false })
    }

    /// Seals the lines; where an unfinished one lies before them, ends it first.
    fn seal(&mut self, bodies: &[Body]) -> Vec<u8> {
        let mut bytes = if self.torn { vec![b'\n'] } else { Vec::new() };
        self.ends.clear();
        let mut last = self.last;
        for body in bodies {
            last = self.sealer.push_line(last, body, &mut bytes);
            self.ends.push((bytes.len(), last));
        }
        bytes
    }

    /// Takes the thread's report: whole lines that got out are in the chain.
    fn settle(&mut self, Written(count, result): Written) -> io::Result<()> {
        self.late = false;
        if count > 0 {
            // A line that lacks only its line feed is whole once the next write ends it.
            let whole = self.ends.iter().rev().find(|(end, _)| *end <= count + 1);
            self.torn = whole.map_or(count > 1 || !self.torn, |(end, _)| *end != count);
            self.last = whole.map_or(self.last, |(_, link)| *link);
        }
        result
    }
}

fn write_out(writer: &mut impl Write, bytes: &[u8]) -> Written {
    let mut count = 0;
    while let Some(rest) = bytes.get(count..).filter(|rest| !rest.is_empty()) {
        match writer.write(rest) {
            Ok(0) => return Written(count, Err(io::ErrorKind::WriteZero.into())),
            Ok(more) => count += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Written(count, Err(error)),
        }
    }
    Written(count, writer.flush())
}

impl Sink for WriterSink {
    fn append(&mut self, bodies: &[Body]) -> io::Result<()> {
        if self.late {
            match self.done.try_recv() {
                Ok(written) => self.settle(written)?,
                Err(TryRecvError::Empty) => return Err(stuck()),
                Err(TryRecvError::Disconnected) => return Err(gone()),
            }
        }
        let bytes = self.seal(bodies);
        self.work.send(bytes).map_err(|_| gone())?;
        match self.done.recv_timeout(self.timeout) {
            Ok(written) => self.settle(written),
            Err(RecvTimeoutError::Timeout) => {
                self.late = true;
                Err(stuck())
            }
            Err(RecvTimeoutError::Disconnected) => Err(gone()),
        }
    }

    fn may_wait(&self) -> bool {
        true
    }
}

fn stuck() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "whoever reads standard output does not read")
}

fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the writing thread ended")
}
