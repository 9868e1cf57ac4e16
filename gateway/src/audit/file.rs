//! The sink that is a file, and the one whose chain outlives the process.
//!
//! Each append is one positioned write of whole lines, then one of the head (`head.rs`). Whatever fails, the file is
//! cut back to the last line that was acknowledged, so a disk that fills up in mid-line leaves a log that verifies.
//! The file is watched: one that was moved, removed or shortened under our hands is an error, not a silent loss.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use passgate_connectors::Secret;

use super::StartError;
use super::chain::{Line, Link, Sealer};
use super::head::Head;
use super::record::{Body, notice};
use super::sinks::{Settings, Sink};
use super::verify::LINE_BYTES_MAX;

/// A file of JSON lines, readable by its owner only, with a `.head` file beside it.
#[derive(Clone, Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Config {
    /// The file. Created, with mode 0600, when it is not there. Relative paths begin at the settings file.
    path: PathBuf,
    /// When a record counts as written. `written`: once the operating system has it, so that it survives a crash of the
    /// gateway. `synced`: once it is on the disk (fsync), so that it survives a power failure; slower. Default:
    /// `written`.
    #[serde(default)]
    durability: Durability,
    /// Size in bytes at which the file is set aside as `<path>.<last sequence>`, its head with it, and a new one
    /// continues the chain. 0 means never. Default: 0.
    #[serde(default)]
    rotate_bytes: u64,
    /// A secret that keys the chain (HMAC-SHA-256), so that whoever can write the file cannot make a chain that
    /// verifies. Default: none, and the chain is plain SHA-256.
    #[serde(default)]
    chain_key: Option<Secret>,
    /// A file that holds the chain key, surrounding white space aside; instead of `chain_key`. Default: none.
    #[serde(default)]
    chain_key_file: Option<PathBuf>,
}

/// When a record counts as written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Durability {
    /// Once the operating system has it.
    #[default]
    Written,
    /// Once it is on the disk.
    Synced,
}

impl Settings for Config {
    fn open(&self, folder: &Path) -> Result<Box<dyn Sink>, StartError> {
        let path = folder.join(&self.path);
        let sealer = Sealer::new(self.key(folder)?.as_ref());
        let mut sink = FileSink::open(path, sealer)?;
        sink.durability = self.durability;
        sink.rotate_bytes = self.rotate_bytes;
        Ok(Box::new(sink))
    }

    fn history(&self, folder: &Path) -> Option<PathBuf> {
        Some(folder.join(&self.path))
    }
}

impl Config {
    fn key(&self, folder: &Path) -> Result<Option<Secret>, StartError> {
        let Some(path) = &self.chain_key_file else { return Ok(self.chain_key.clone()) };
        let path = folder.join(path);
        if self.chain_key.is_some() {
            return Err(StartError::new("both chain_key and chain_key_file are set", "Keep one of them."));
        }
        read_key(&path).map(Some)
    }
}

/// Reads a chain key from a file.
pub fn read_key(path: &Path) -> Result<Secret, StartError> {
    let text = fs::read_to_string(path)
        .map_err(|error| StartError::new(format!("chain key file {}: {error}", path.display()), "Check the path."))?;
    match text.trim() {
        "" => Err(StartError::new(format!("chain key file {} is empty", path.display()), "Write a key into it.")),
        key => Ok(Secret::new(key)),
    }
}

/// What the file sink asks of a file, so that a test can stand in for a failing disk.
pub(super) trait Storage: Send {
    /// Writes all of `bytes` at `offset`.
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Makes the file `length` bytes long.
    fn truncate(&mut self, length: u64) -> io::Result<()>;
    /// Waits until the disk has everything.
    fn sync(&mut self) -> io::Result<()>;
    /// Fails when this is not the file it was, `length` bytes long, any more.
    fn check(&self, length: u64) -> io::Result<()>;
}

struct OpenFile {
    path: PathBuf,
    file: File,
    identity: (u64, u64),
}

impl OpenFile {
    fn create(path: PathBuf) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path)?;
        let metadata = file.metadata()?;
        Ok(Self { path, file, identity: (metadata.dev(), metadata.ino()) })
    }
}

impl Storage for OpenFile {
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.file.set_len(length)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn check(&self, length: u64) -> io::Result<()> {
        let metadata = fs::metadata(&self.path)?;
        if (metadata.dev(), metadata.ino()) != self.identity {
            return Err(io::Error::other("the log was moved or replaced while the gateway wrote it"));
        }
        if metadata.len() != length {
            let found = metadata.len();
            return Err(io::Error::other(format!("the log is {found} bytes long, and the gateway wrote {length}")));
        }
        Ok(())
    }
}

/// A log file, open at its end.
pub(super) struct FileSink {
    path: PathBuf,
    sealer: Sealer,
    log: Box<dyn Storage>,
    head_file: Box<dyn Storage>,
    head: Head,
    /// Whether bytes of a failed write may lie behind the last line.
    torn: bool,
    buffer: Vec<u8>,
    durability: Durability,
    rotate_bytes: u64,
}

impl Sink for FileSink {
    fn append(&mut self, bodies: &[Body]) -> io::Result<()> {
        self.mend()?;
        self.log.check(self.head.bytes)?;
        if self.rotate_bytes > 0 && self.head.bytes >= self.rotate_bytes {
            self.rotate()?;
        }
        let written = self.write(bodies);
        if written.is_err() {
            self.torn = true;
            // The failure that matters is the first; this one is met again, and reported, at the next append.
            let _ = self.mend();
        }
        self.buffer.clear();
        self.buffer.shrink_to(BUFFER_BYTES_KEPT);
        written
    }

    fn may_wait(&self) -> bool {
        self.durability == Durability::Synced
    }
}

const BUFFER_BYTES_KEPT: usize = 1 << 20;

impl FileSink {
    fn write(&mut self, bodies: &[Body]) -> io::Result<()> {
        let mut last = self.head.last;
        for body in bodies {
            last = self.sealer.push_line(last, body, &mut self.buffer);
        }
        self.log.write_at(&self.buffer, self.head.bytes)?;
        if self.durability == Durability::Synced {
            self.log.sync()?;
        }
        let bytes = self.head.bytes.saturating_add(u64::try_from(self.buffer.len()).unwrap_or(u64::MAX));
        let head = Head { last, bytes, ..self.head };
        self.head_file.write_at(head.write(&self.sealer).as_bytes(), 0)?;
        self.head = head;
        Ok(())
    }

    /// Removes what a failed write left behind the last line.
    fn mend(&mut self) -> io::Result<()> {
        if self.torn {
            self.log.truncate(self.head.bytes)?;
            self.torn = false;
        }
        Ok(())
    }

    /// Sets the file and its head aside and begins the next. What a crash leaves half done, `open` completes.
    fn rotate(&mut self) -> io::Result<()> {
        let aside = aside(&self.path, self.head.last.sequence);
        fs::rename(&self.path, &aside)?;
        fs::rename(Head::path(&self.path), Head::path(&aside))?;
        let (log, head_file) = (lock(&self.path)?, OpenFile::create(Head::path(&self.path))?);
        self.log = Box::new(log);
        self.head_file = Box::new(head_file);
        self.head = Head { after: self.head.last, last: self.head.last, bytes: 0 };
        self.head_file.write_at(self.head.write(&self.sealer).as_bytes(), 0)?;
        sync_folder(&self.path)
    }

    /// Opens a log and stands at its end; refuses one that is not as its head says.
    fn open(path: PathBuf, sealer: Sealer) -> Result<Self, StartError> {
        let unusable = |error: io::Error| StartError::new(format!("audit log {}: {error}", path.display()), USABLE);
        let beginning = beginning(&path, &sealer)?;
        let log = lock(&path).map_err(unusable)?;
        let mut head_file = OpenFile::create(Head::path(&path)).map_err(unusable)?;
        let length = log.file.metadata().map_err(unusable)?.len();
        let head_length = head_file.file.metadata().map_err(unusable)?.len();
        let (head, recovery) = match beginning {
            Some(after) if length == 0 => (Head { after, last: after, bytes: 0 }, None),
            _ if head_length == 0 => return Err(damaged(&path, "its head is missing or empty".to_owned())),
            _ => resume(&path, &log.file, &sealer)?,
        };
        head_file.write_at(head.write(&sealer).as_bytes(), 0).map_err(unusable)?;
        sync_folder(&path).map_err(unusable)?;
        tracing::info!(path = %path.display(), head = %head.last, keyed = sealer.is_keyed(), "audit log opened");
        let mut sink = Self::new(path.clone(), sealer, Box::new(log), Box::new(head_file), head);
        if let Some(recovery) = recovery {
            tracing::warn!(path = %path.display(), "{}", recovery.explanation);
            sink.torn = true;
            sink.append(&[recovery.notice()]).map_err(unusable)?;
        }
        Ok(sink)
    }

    pub(super) fn new(
        path: PathBuf,
        sealer: Sealer,
        log: Box<dyn Storage>,
        head_file: Box<dyn Storage>,
        head: Head,
    ) -> Self {
        Self {
            path,
            sealer,
            log,
            head_file,
            head,
            torn: false,
            buffer: Vec::new(),
            durability: Durability::Written,
            rotate_bytes: 0,
        }
    }
}

const USABLE: &str = "The folder must exist, and the gateway must be able to write there, alone.";

/// Opens a log for this process alone.
fn lock(path: &Path) -> io::Result<OpenFile> {
    let log = OpenFile::create(path.to_owned())?;
    log.file.try_lock().map_err(|error| io::Error::other(format!("another process writes it ({error})")))?;
    Ok(log)
}

fn aside(path: &Path, last: u64) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{last:020}"));
    name.into()
}

fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// The link a new file is to follow, or `None` where there is a log to be resumed.
fn beginning(path: &Path, sealer: &Sealer) -> Result<Option<Link>, StartError> {
    let length = |path: &Path| fs::metadata(path).map(|metadata| metadata.len()).ok();
    let head_path = Head::path(path);
    match (length(path), length(&head_path)) {
        (None, Some(1..)) => finish_rotation(path, &read_head(path, sealer)?),
        (None | Some(0), None | Some(0)) => last_aside(path, sealer).map(Some),
        _ => Ok(None),
    }
}

/// A head without its log: either a rotation was broken off between its two renames, or the log is gone.
fn finish_rotation(path: &Path, head: &Head) -> Result<Option<Link>, StartError> {
    let aside = aside(path, head.last.sequence);
    if !aside.exists() {
        return Err(damaged(path, format!("it is gone, and its head knows of line {}", head.last.sequence)));
    }
    fs::rename(Head::path(path), Head::path(&aside))
        .map_err(|error| StartError::new(format!("audit log {}: {error}", path.display()), USABLE))?;
    Ok(Some(head.last))
}

/// The end of the newest file that was set aside; zeros where there is none.
fn last_aside(path: &Path, sealer: &Sealer) -> Result<Link, StartError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let entries = fs::read_dir(folder)
        .map_err(|error| StartError::new(format!("folder {}: {error}", folder.display()), USABLE))?;
    let newest = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter_map(|entry| entry.strip_prefix(&name)?.strip_prefix('.')?.strip_suffix(".head")?.parse::<u64>().ok())
        .max();
    match newest {
        None => Ok(Link::default()),
        Some(last) => Ok(read_head(&aside(path, last), sealer)?.last),
    }
}

fn read_head(path: &Path, sealer: &Sealer) -> Result<Head, StartError> {
    let text = fs::read_to_string(Head::path(path)).map_err(|error| damaged(path, format!("its head: {error}")))?;
    Head::read(&text, sealer).map_err(|problem| damaged(path, problem.to_string()))
}

/// What a crash left behind the last line the head knows.
struct Recovery {
    explanation: String,
    torn: String,
}

impl Recovery {
    fn notice(&self) -> Body {
        notice("log_recovered", &self.explanation, Some(&self.torn))
    }
}

/// Checks the end of a log against its head, takes in whole lines a crash kept the head from learning of, and says
/// what is to be removed.
fn resume(path: &Path, mut file: &File, sealer: &Sealer) -> Result<(Head, Option<Recovery>), StartError> {
    let unreadable = |error: io::Error| damaged(path, error.to_string());
    let mut head = read_head(path, sealer)?;
    let length = file.metadata().map_err(unreadable)?.len();
    if length < head.bytes {
        let (last, bytes) = (head.last.sequence, head.bytes);
        let what = format!("it ends at byte {length}, and its head knows of line {last}, up to byte {bytes}");
        return Err(damaged(path, what));
    }
    check_last_line(file, &head, sealer).map_err(|what| damaged(path, what))?;
    file.seek(SeekFrom::Start(head.bytes)).map_err(unreadable)?;
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    loop {
        line.clear();
        let limit = u64::try_from(LINE_BYTES_MAX).unwrap_or(u64::MAX);
        let read = (&mut reader).take(limit).read_until(b'\n', &mut line).map_err(unreadable)?;
        if read == 0 {
            return Ok((head, None));
        }
        let Some(whole) = line.strip_suffix(b"\n") else { break };
        head.last = following(whole, head.last, sealer)
            .ok_or_else(|| damaged(path, format!("what follows line {} does not belong there", head.last.sequence)))?;
        head.bytes = head.bytes.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
    }
    let removed = length.saturating_sub(head.bytes);
    let explanation = format!(
        "a crash left {removed} bytes of an unfinished line after line {}; they were removed: \
         their statement was never run, or its outcome is not known",
        head.last.sequence
    );
    Ok((head, Some(Recovery { explanation, torn: String::from_utf8_lossy(&line).into_owned() })))
}

/// The link of `line` if it is the one after `last`.
fn following(line: &[u8], last: Link, sealer: &Sealer) -> Option<Link> {
    let line = Line::read(line).ok()?;
    let follows = line.previous == last.hash && line.link.sequence == last.sequence.saturating_add(1);
    (follows && line.holds(sealer)).then_some(line.link)
}

fn check_last_line(file: &File, head: &Head, sealer: &Sealer) -> Result<(), String> {
    if head.bytes == 0 {
        return if head.last == head.after { Ok(()) } else { Err("its head is not about this file".to_owned()) };
    }
    let window = head.bytes.min(u64::try_from(LINE_BYTES_MAX).unwrap_or(u64::MAX));
    let mut size = window.min(1 << 16);
    loop {
        let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
        file.read_exact_at(&mut bytes, head.bytes - size).map_err(|error| error.to_string())?;
        let text = bytes.strip_suffix(b"\n").ok_or("its last line has no end")?;
        let begin = text.iter().rposition(|byte| *byte == b'\n').map(|at| at + 1);
        if let Some(line) = begin.or((size == head.bytes).then_some(0)).and_then(|begin| text.get(begin..)) {
            return match Line::read(line) {
                Ok(line) if line.link == head.last && line.holds(sealer) => Ok(()),
                _ => Err(format!("its last line is not the line {} its head knows", head.last.sequence)),
            };
        }
        if size == window {
            return Err("its last line is too long to be one of ours".to_owned());
        }
        size = window.min(size * 8);
    }
}

fn damaged(path: &Path, what: String) -> StartError {
    StartError::new(
        format!("audit log {} cannot be continued: {what}", path.display()),
        format!(
            "Lines were changed or cut, the key is another, or the disk lost them in a power failure: run \
             \"passgate audit verify {0}\". To go on, keep {0} and {0}.head together elsewhere; a new log then begins.",
            path.display()
        ),
    )
}
