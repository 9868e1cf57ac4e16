//! Child processes that never outlive the tests.
//!
//! A static is never dropped, and a test runner may be killed, so a destructor is not enough. Each server therefore runs
//! under a shell that holds one end of a pipe: when the test process ends, however it ends, the pipe closes and the
//! shell stops the server and removes its folder.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

/// `$1` signal to stop with, `$2` log file, `$3` folder to remove, then the command. Reads end of life from its input.
const KEEPER: &str = r#"
signal=$1 log=$2 folder=$3; shift 3
exec 3<&0
"$@" 3<&- </dev/null >>"$log" 2>&1 &
child=$!
echo "$child"
exec >/dev/null 2>&1
( cat <&3; kill -s "$signal" "$child"; sleep 10; kill -s KILL "$child" ) &
watcher=$!
wait "$child"; status=$?
kill "$watcher"
[ -z "$folder" ] || rm -rf "$folder"
exit "$status"
"#;

/// A running server.
#[derive(Debug)]
pub struct Server {
    keeper: Child,
    /// Closing it stops the server.
    leash: Option<ChildStdin>,
    process_id: u32,
    log: PathBuf,
}

/// How to start a server.
#[derive(Debug)]
pub struct Start<'a> {
    /// Its name, for the log file and messages.
    pub name: &'a str,
    /// Program and arguments.
    pub command: Vec<String>,
    /// More environment.
    pub environment: Vec<(String, String)>,
    /// The signal that stops it: `TERM`, `QUIT`, ...
    pub stop_signal: &'a str,
    /// A folder to remove once it has stopped.
    pub folder: Option<&'a Path>,
}

impl Server {
    /// Starts a server; it may not be ready yet.
    pub fn start(start: &Start<'_>) -> Self {
        let log = log_file(start.name);
        File::create(&log).expect("the log file is made");
        let mut keeper = Command::new("sh")
            .args(["-c", KEEPER, start.name, start.stop_signal])
            .arg(&log)
            .arg(start.folder.unwrap_or(Path::new("")))
            .args(&start.command)
            .envs(start.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("sh starts");
        let mut line = String::new();
        let output = keeper.stdout.take().expect("standard output is a pipe");
        BufReader::new(output).read_line(&mut line).expect("the keeper says the process id");
        let process_id = line.trim().parse().expect("a process id");
        Self { leash: keeper.stdin.take(), keeper, process_id, log }
    }

    /// The server's process id.
    pub fn process_id(&self) -> u32 {
        self.process_id
    }

    /// What it has written to standard output and standard error so far.
    pub fn log(&self) -> String {
        let mut text = Vec::new();
        let read = File::open(&self.log).and_then(|mut file| file.read_to_end(&mut text));
        read.map_or_else(|error| format!("no log: {error}"), |_| String::from_utf8_lossy(&text).into_owned())
    }

    /// Sends a signal by name.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.process_id.to_string()]).status().expect("kill runs");
        assert!(status.success(), "process {} is gone; its log:\n{}", self.process_id, self.log());
    }

    /// Whether it still runs.
    pub fn is_running(&self) -> bool {
        Path::new("/proc").join(self.process_id.to_string()).exists()
    }

    /// The exit code, once it has ended by itself.
    pub fn exit_code(&mut self) -> Option<i32> {
        self.keeper.try_wait().expect("the keeper can be asked").and_then(|status| status.code())
    }

    /// Waits until it has ended by itself, and returns its exit code.
    pub fn wait(&mut self, limit: Duration) -> i32 {
        let end = Instant::now() + limit;
        loop {
            if let Some(code) = self.exit_code() {
                return code;
            }
            assert!(Instant::now() < end, "still running after {limit:?}; its log:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.leash.take();
        // The keeper kills after ten seconds, so this ends.
        let _ = self.keeper.wait();
        if std::thread::panicking() {
            let _ = writeln!(std::io::stderr(), "log kept: {}", self.log.display());
        } else {
            let _ = std::fs::remove_file(&self.log);
        }
    }
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}

/// `target/test-logs/<test binary>/<name>-<number>.log`
fn log_file(name: &str) -> PathBuf {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static STARTED: AtomicUsize = AtomicUsize::new(0);
    let program = std::env::current_exe().expect("the test binary has a path");
    let binary = program.file_stem().expect("it has a name").to_string_lossy().into_owned();
    let folder = build_folder().join("test-logs").join(binary.split('-').next().unwrap_or("tests"));
    std::fs::create_dir_all(&folder).expect("the log folder is made");
    folder.join(format!("{name}-{}.log", STARTED.fetch_add(1, Ordering::Relaxed)))
}

/// The folder that cargo built this test into: `target/debug`.
pub fn build_folder() -> PathBuf {
    let program = std::env::current_exe().expect("the test binary has a path");
    let folder = program.ancestors().find(|folder| !folder.ends_with("deps") && folder.is_dir());
    folder.expect("a test binary is in target/PROFILE/deps").to_owned()
}

/// The cache folder that `tests/install.sh` fills.
pub fn cache_folder() -> PathBuf {
    let folder = std::env::var_os("PASSGATE_TEST_CACHE").map(PathBuf::from).unwrap_or_else(|| {
        PathBuf::from(std::env::var_os("HOME").expect("HOME is set")).join(".cache").join("passgate-tests")
    });
    assert!(folder.join("openid/node_modules").is_dir(), "run tests/install.sh first: {} is empty", folder.display());
    folder
}
