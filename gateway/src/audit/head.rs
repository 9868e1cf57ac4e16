//! The side file that says where a log begins and ends, so that a cut at either end is found.
//!
//! A chain alone cannot tell a log from its own beginning. So beside `audit.jsonl` lies `audit.jsonl.head`, one line
//! of fixed width, written in place after each append with a single write. It carries its own hash, keyed as the chain
//! is, so a half-written head is noticed and, with a key, a forged one too.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::chain::{Hash, Link, Malformed, Sealer};

/// Room for a head.
const LINE_BYTES: usize = 384;

const MARK: &str = "passgate-audit-head-1";

/// Where a log file begins and ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) struct Head {
    /// The link the file's first line follows: zeros for the first file of a log.
    pub(super) after: Link,
    /// The file's last line.
    pub(super) last: Link,
    /// How long the file is.
    pub(super) bytes: u64,
}

impl Head {
    /// The head's place beside its log.
    pub(super) fn path(log: &Path) -> PathBuf {
        let mut name = log.as_os_str().to_owned();
        name.push(".head");
        name.into()
    }

    /// The head as a line, always of the same width.
    pub(super) fn write(&self, sealer: &Sealer) -> String {
        let Self { after, last, bytes } = self;
        let mut line = String::with_capacity(LINE_BYTES);
        // Into a string nothing fails to be written.
        let _ = write!(
            line,
            "{MARK} after={:020}:{} last={:020}:{} bytes={bytes:020}",
            after.sequence, after.hash, last.sequence, last.hash
        );
        let seal = sealer.hash(&Hash::default(), line.as_bytes());
        let _ = writeln!(line, " seal={seal}");
        line
    }

    /// Reads a head, and checks that it is whole and, with a key, ours.
    pub(super) fn read(text: &str, sealer: &Sealer) -> Result<Self, Malformed> {
        let line = text.strip_suffix('\n').unwrap_or(text);
        let (sealed, seal) = line.rsplit_once(" seal=").ok_or(Malformed("the head is not whole"))?;
        if seal.parse() != Ok(sealer.hash(&Hash::default(), sealed.as_bytes())) {
            return Err(Malformed("the head was changed, or the chain key is another"));
        }
        Self::fields(sealed).ok_or(Malformed("the head has an unknown form"))
    }

    fn fields(sealed: &str) -> Option<Self> {
        let mut words = sealed.split(' ');
        (words.next()? == MARK).then_some(())?;
        let after = words.next()?.strip_prefix("after=")?.parse().ok()?;
        let last = words.next()?.strip_prefix("last=")?.parse().ok()?;
        let bytes = words.next()?.strip_prefix("bytes=")?.parse().ok()?;
        words.next().is_none().then_some(Self { after, last, bytes })
    }
}

#[cfg(test)]
mod tests {
    use passgate_connectors::Secret;

    use super::*;

    #[test]
    fn a_head_reads_back_and_a_changed_one_does_not() {
        let sealer = Sealer::new(Some(&Secret::new("key")));
        let mut out = Vec::new();
        let last = sealer.push_line(Link::default(), b"{", &mut out);
        let head = Head { after: Link::default(), last, bytes: 512 };
        let text = head.write(&sealer);
        assert_eq!(text.len(), Head::default().write(&sealer).len());
        assert_eq!(Head::read(&text, &sealer), Ok(head));
        assert!(Head::read(&text.replace("512", "511"), &sealer).is_err());
        assert!(Head::read(&text, &Sealer::new(None)).is_err());
        assert!(Head::read("", &sealer).is_err());
    }
}
