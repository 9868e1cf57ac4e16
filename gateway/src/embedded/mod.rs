//! The hidden command `passgate embedded-postgres`: one PostgreSQL session in a process of its own, speaking
//! PostgreSQL's ordinary protocol on standard input and output.
//!
//! `passgate demo` has its warehouse in it, and a gateway without a server for its shadows shows catalogs by it. Separate
//! because it runs in another process. PostgreSQL compiled to WebAssembly serves one session, heeds neither a statement
//! timeout nor a cancel request, and some statements bring it down; a process can be given a deadline and ended, and
//! nobody else notices.
//!
//! ```text
//! connector ── stdin ──► frames ──► session (PostgreSQL 17 in WebAssembly) ── stdout ──► connector
//! ```

mod folder_lock;
#[cfg(any(test, feature = "embedded-postgres"))]
mod frames;
#[cfg(feature = "embedded-postgres")]
mod instances;
mod private_folder;
mod program;
mod recipe;
#[cfg(feature = "embedded-postgres")]
mod session;
mod shadows;
#[cfg(feature = "embedded-postgres")]
mod template;

use std::path::PathBuf;
use std::process::ExitCode;

pub use program::{Error, Program};
pub use recipe::Recipe;
pub use shadows::ShadowPrograms;

/// The name of a folder's only database.
pub const TEMPLATE: &str = "template";

/// The one login of the embedded server. It is a superuser, so the connector can take on the person's role.
pub const LOGIN: &str = "postgres";

/// Environment variables by which the library that embeds PostgreSQL finds the folder for its native code.
const CACHE_VARIABLES: [&str; 2] = ["XDG_CACHE_HOME", "HOME"];

/// Arguments of `passgate embedded-postgres`, a command that the program gives to itself.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// Private folder that holds the templates of databases, the native code and the sessions' files.
    #[arg(long)]
    pub directory: PathBuf,
    /// Which of the templates.
    #[arg(long, default_value = TEMPLATE)]
    pub template: String,
    /// Memory that the session may take, in MiB.
    #[arg(long, value_name = "NUMBER")]
    pub memory_mebibytes_max: Option<u64>,
    /// Make the template of what this file says and end, in place of serving a session.
    #[arg(long, value_name = "FILE")]
    pub make: Option<PathBuf>,
}

/// Runs the command. What goes wrong is said on standard error; standard output belongs to the protocol.
#[cfg(feature = "embedded-postgres")]
pub fn run_child(arguments: &Arguments) -> ExitCode {
    let limited = arguments.memory_mebibytes_max.map_or(Ok(()), limit_memory);
    let result = limited.and_then(|()| match &arguments.make {
        Some(recipe) => template::make(&arguments.directory, &arguments.template, recipe),
        None => session::serve(&arguments.directory, &arguments.template),
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            tracing::error!(error = %problem, "the embedded PostgreSQL stopped");
            ExitCode::FAILURE
        }
    }
}

/// Has PostgreSQL told that there is no more memory than this. WebAssembly reserves addresses without end, so only what
/// can be written to counts.
#[cfg(feature = "embedded-postgres")]
fn limit_memory(mebibytes: u64) -> Result<(), Problem> {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let bytes = Some(mebibytes.saturating_mul(1 << 20));
    setrlimit(Resource::Data, Rlimit { current: bytes, maximum: bytes }).map_err(Problem::Memory)
}

/// Says that this build has no embedded PostgreSQL.
#[cfg(not(feature = "embedded-postgres"))]
pub fn run_child(_arguments: &Arguments) -> ExitCode {
    tracing::error!("this passgate was built without the embedded PostgreSQL");
    ExitCode::FAILURE
}

/// Why the embedded server stopped.
#[cfg(feature = "embedded-postgres")]
#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error("cannot use {path}: {source}", path = path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("the caches of the embedded PostgreSQL must lie in its own folder: it is started by other commands")]
    Cache,
    #[error(transparent)]
    Frame(#[from] frames::FrameError),
    #[error("cannot answer: {0}")]
    Output(std::io::Error),
    #[error("cannot limit the memory of this process: {0}")]
    Memory(rustix::io::Errno),
    #[error("cannot start another thread: {0}")]
    Thread(std::io::Error),
    // The library reports with a catch-all error; its text is for the log only.
    #[error("the embedded PostgreSQL failed: {0}")]
    Engine(String),
}

#[cfg(feature = "embedded-postgres")]
impl Problem {
    fn file(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { path, source }
    }

    // `{:#}` of an anyhow error is its whole chain of causes on one line.
    fn engine(error: impl std::fmt::Display) -> Self {
        Self::Engine(format!("{error:#}"))
    }
}

/// Refuses to run where the library would put native code into a folder that others may write to, and then load it.
#[cfg(feature = "embedded-postgres")]
fn require_private_cache(directory: &std::path::Path) -> Result<(), Problem> {
    let private =
        |name| std::env::var_os(name).is_some_and(|value| std::path::Path::new(&value).starts_with(directory));
    if directory.is_absolute() && CACHE_VARIABLES.into_iter().all(private) { Ok(()) } else { Err(Problem::Cache) }
}
