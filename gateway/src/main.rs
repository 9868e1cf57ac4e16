//! The program: arguments, what they ask for, and the exit code.
//!
//! Everything that does something is in a room; here it is chosen, and its errors are put into words. Exit codes: 0,
//! 1 for a problem that was found, 2 for arguments that make no sense.

use std::io::{self, IsTerminal, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Parser, Subcommand};
use passgate::config::{self, Loaded, Problem};
use passgate::rehearsal::commands;
use passgate::serve::{self, Running};
use passgate::{audit, auth, demo, embedded, log};
use passgate_connectors::Secret;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// A SQL gateway that knows who is asking.
///
/// BI tools and psql connect to Passgate exactly as to PostgreSQL. It signs people in, holds each statement against
/// your policies, runs it on the warehouse as that person, and records it.
#[derive(Parser, Debug)]
#[command(name = "passgate", version, arg_required_else_help = true, after_help = START)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const START: &str = "\
New here? `passgate demo` runs everything on this machine and says what to try.
Every setting is explained by `passgate settings`; `passgate settings --example` prints a file to start from.";

#[derive(Subcommand, Debug)]
enum Command {
    /// Run the gateway.
    ///
    /// Reads the settings, then serves until it is told to stop. SIGHUP reads policies, people and certificates again
    /// without dropping a session; what is wrong with them is logged, and what was in force stays in force. SIGTERM and
    /// Ctrl-C let running statements finish, within `limits.server.drain_seconds`; told a second time, it ends at once.
    #[command(after_help = "Example:\n  passgate serve --config /etc/passgate/passgate.yaml")]
    Serve(SettingsFile),
    /// Show it all on this machine: a small warehouse, an identity provider, three people, the gateway.
    ///
    /// Needs no database, no cloud, no key and no container. Prints lines to paste into another terminal. Everything
    /// is gone after Ctrl-C.
    #[command(
        after_help = "Examples:\n  passgate demo\n  passgate demo --port 7432\n  passgate demo --json   # for scripts"
    )]
    Demo(demo::Options),
    /// Say everything that is wrong with settings and policies, each with its place and a hint.
    #[command(after_help = "Examples:\n  passgate check --config passgate.yaml\n  \
                            passgate check --config passgate.yaml --connect   # also asks every database, and what it has")]
    Check {
        #[command(flatten)]
        settings: SettingsFile,
        /// Also ask every database whether it answers, and whether it has what policies name.
        #[arg(long)]
        connect: bool,
    },
    /// Read what the sources hold, and show how that goes.
    ///
    /// With the login that the gateway would read each of them with. A gateway that runs is not told: it reads them by
    /// itself, at `SELECT passgate.sync()`, and on SIGHUP.
    #[command(after_help = "Example:\n  passgate sync --config passgate.yaml --source warehouse")]
    Sync {
        #[command(flatten)]
        settings: SettingsFile,
        /// The source; all of them where none is named.
        #[arg(long)]
        source: Option<String>,
    },
    /// Test, compare and explain policies. Nothing runs, and no source is asked but by `catalog`.
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Work with the audit log.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Make the entry of a people file for somebody who signs in with a password.
    ///
    /// Asks for the password twice, or reads one line from standard input where that is not a terminal. The password
    /// itself is written nowhere.
    #[command(after_help = "Examples:\n  passgate scram alice >> people.yaml\n  \
                            pass show warehouse/alice | passgate scram alice >> people.yaml")]
    Scram {
        /// The name they sign in with.
        name: String,
        /// How many times the password is hashed; more make guessing slower, and signing in too.
        #[arg(long, default_value_t = 4096, value_parser = clap::value_parser!(u32).range(4096..=1_000_000))]
        iterations: u32,
    },
    /// Print the reference of all settings, in Markdown.
    Settings {
        /// Print a settings file to start from instead.
        #[arg(long)]
        example: bool,
    },
    /// One session of an embedded PostgreSQL.
    #[command(hide = true)]
    EmbeddedPostgres(embedded::Arguments),
}

#[derive(clap::Args, Debug)]
struct SettingsFile {
    /// The settings file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

#[derive(Subcommand, Debug)]
enum PolicyCommand {
    /// Play the cases (`*.test.json`) that sit beside policies.
    ///
    /// The folder's `catalog.json` says what the source holds. Exits with 1 where a case fails, and where there is none.
    #[command(after_help = "Example:\n  passgate policy test policies")]
    Test {
        /// The folder.
        folder: PathBuf,
    },
    /// Say who would lose and who would gain by a change of policies.
    ///
    /// Decides every statement of an audit log again, under the old policies and under the new, as the person who asked
    /// and at the moment they did. Exits with 1 where anything changes or cannot be told.
    #[command(after_help = "Example:\n  passgate policy diff policies policies.new --against audit.jsonl")]
    Diff {
        /// The folder of policies as they are.
        old: PathBuf,
        /// The folder of policies as they would be.
        new: PathBuf,
        /// The audit log.
        #[arg(long, value_name = "FILE")]
        against: PathBuf,
        /// What the source holds, as `passgate policy catalog` prints it. Default: catalog.json of the new folder, or of
        /// the old.
        #[arg(long, value_name = "FILE")]
        catalog: Option<PathBuf>,
    },
    /// Say what policies would do with a statement, and why.
    #[command(after_help = "Example:\n  passgate policy explain policies --as ana --group analysts \\\n      \
                            --claim region=WEST 'SELECT * FROM analytics.members'")]
    Explain {
        /// The folder, with its `catalog.json`.
        folder: PathBuf,
        /// The statement.
        statement: String,
        /// Who asks.
        #[arg(long = "as", value_name = "NAME", default_value = "somebody")]
        name: String,
        /// Their tenant.
        #[arg(long)]
        tenant: Option<String>,
        /// A group of theirs; may be given several times.
        #[arg(long = "group", value_name = "GROUP")]
        groups: Vec<String>,
        /// A role of theirs; may be given several times.
        #[arg(long = "role", value_name = "ROLE")]
        roles: Vec<String>,
        /// A claim of theirs; may be given several times. A value that is JSON is taken as such.
        #[arg(long = "claim", value_name = "NAME=VALUE")]
        claims: Vec<String>,
        /// What they declared with `SET passgate.purpose`.
        #[arg(long)]
        purpose: Option<String>,
        /// The address they connect from.
        #[arg(long, value_name = "ADDRESS")]
        from: Option<IpAddr>,
        /// When they ask, as `2026-11-21T08:00:00Z`; now, where it is left out.
        #[arg(long, value_name = "MOMENT")]
        at: Option<String>,
    },
    /// Print what a source holds as a `catalog.json`, with its service login.
    #[command(after_help = "Example:\n  passgate policy catalog --config passgate.yaml > policies/catalog.json")]
    Catalog {
        #[command(flatten)]
        settings: SettingsFile,
        /// The source; may be left out where there is one.
        #[arg(long)]
        source: Option<String>,
    },
}

#[derive(Subcommand, Debug)]
enum AuditCommand {
    /// Say whether a log is as it was written, and if not, where it was changed, cut or reordered.
    #[command(after_help = "Examples:\n  passgate audit verify audit.jsonl\n  \
                            passgate audit verify audit.jsonl --expect-head 1042:9f86d081...   # kept elsewhere")]
    Verify {
        /// The log.
        file: PathBuf,
        /// The file with the key of the chain, where the settings have a `chain_key`.
        #[arg(long, value_name = "FILE")]
        key_file: Option<PathBuf>,
        /// The end of the log as somebody else keeps it: `SEQUENCE:HASH`, as an earlier verification printed it.
        #[arg(long, value_name = "END")]
        expect_head: Option<audit::Link>,
    },
}

/// What ends a command: lines for standard error. The exit code is 1.
type Failure = Vec<String>;

fn main() -> ExitCode {
    // Before anything speaks TLS. It can only fail where there is one already, which is as good.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let result = match Arguments::parse().command {
        Command::Serve(settings) => serve_until_told(&settings.config),
        Command::Demo(options) => run_demo(options),
        Command::Check { settings, connect } => check(&settings.config, connect),
        Command::Sync { settings, source } => sync(&settings.config, source.as_deref()),
        Command::Policy(command) => policy(command),
        Command::Audit(AuditCommand::Verify { file, key_file, expect_head }) => {
            verify(&file, key_file.as_deref(), expect_head)
        }
        Command::Scram { name, iterations } => scram(&name, iterations),
        Command::Settings { example: false } => print(&config::reference()),
        Command::Settings { example: true } => print(config::EXAMPLE),
        Command::EmbeddedPostgres(arguments) => {
            // What goes wrong in there is to be seen; without a log nothing is.
            let log = log::Config { level: "warn".to_owned(), ..log::Config::default() };
            let _ = log::start(&log, "demonstration");
            return embedded::run_child(&arguments);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(lines) => {
            lines.iter().for_each(|line| say(line));
            ExitCode::FAILURE
        }
    }
}

fn serve_until_told(file: &Path) -> Result<(), Failure> {
    runtime()?.block_on(async {
        let cannot = |error| vec![format!("cannot wait for signals: {error}")];
        let mut hangup = signal(SignalKind::hangup()).map_err(cannot)?;
        let mut told = Told::new().map_err(cannot)?;
        let running = start(file).await?;
        loop {
            tokio::select! {
                // Every problem has been logged.
                _ = hangup.recv() => drop(running.reload()),
                () = told.stop() => break,
            }
        }
        tracing::info!("draining");
        tokio::select! {
            () = running.drain() => Ok(()),
            () = told.stop() => Err(vec!["told twice to stop: ended before every session had".to_owned()]),
        }
    })
}

/// Reads the settings and starts what they say. What is only unwise is logged.
async fn start(file: &Path) -> Result<Running, Failure> {
    let loaded = config::load(file).map_err(texts)?;
    let Loaded { settings, warnings, .. } = &loaded;
    log::start(&settings.log, &settings.environment).map_err(|error| vec![error.to_string()])?;
    for warning in warnings {
        tracing::warn!(line = warning.at.line, "{}", warning.message);
    }
    serve::start(&loaded).await.map_err(texts)
}

/// The two ways to be told to stop.
struct Told {
    terminate: Signal,
    interrupt: Signal,
}

impl Told {
    fn new() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// The demonstration's gateway is an ordinary one.
struct DemoGateway(Running);

impl demo::Gateway for DemoGateway {
    fn address(&self) -> SocketAddr {
        self.0.addresses().first().copied().unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    fn http_address(&self) -> Option<SocketAddr> {
        self.0.http_address()
    }

    async fn stop(self) {
        self.0.drain().await;
    }
}

fn run_demo(options: demo::Options) -> Result<(), Failure> {
    let gateway = async |file: PathBuf| match start(&file).await {
        Ok(running) => Ok(DemoGateway(running)),
        Err(lines) => Err(lines.join("\n")),
    };
    runtime()?.block_on(demo::run(options, gateway)).map_err(|error| vec![error.to_string()])
}

fn check(file: &Path, connect: bool) -> Result<(), Failure> {
    let loaded = config::load(file).map_err(summed_up)?;
    loaded.warnings.iter().for_each(|warning| say(&warning.to_string()));
    let more = serve::check(&loaded).map_err(summed_up)?;
    more.iter().for_each(|warning| say(&warning.to_string()));
    if connect {
        let answered = runtime()?.block_on(serve::connect(&loaded)).map_err(summed_up)?;
        print(&answered.iter().map(|line| format!("{line}\n")).collect::<String>())?;
    }
    let warnings = match loaded.warnings.len() + more.len() {
        0 => String::new(),
        1 => ", 1 warning".to_owned(),
        several => format!(", {several} warnings"),
    };
    print(&format!("{}: no errors{warnings}\n", loaded.file()))
}

fn sync(file: &Path, source: Option<&str>) -> Result<(), Failure> {
    let loaded = config::load(file).map_err(summed_up)?;
    let shown = io::stderr().is_terminal();
    let tell = |line: &str| {
        if shown {
            // The next line is written over this one. Without a terminal to write to nothing is lost.
            let _ = write!(io::stderr(), "\r\x1b[K{line}");
        }
    };
    let lines = runtime()?.block_on(serve::sync(&loaded, source, &tell));
    tell("");
    print(&lines.map_err(summed_up)?.iter().map(|line| format!("{line}\n")).collect::<String>())
}

fn policy(command: PolicyCommand) -> Result<(), Failure> {
    match command {
        PolicyCommand::Test { folder } => print(&commands::test(&folder)?),
        PolicyCommand::Diff { old, new, against, catalog } => {
            print(&commands::diff(&old, &new, &against, catalog.as_deref())?)
        }
        PolicyCommand::Explain { folder, statement, name, tenant, groups, roles, claims, purpose, from, at } => {
            let asker = commands::Asker { name, tenant, groups, roles, claims, purpose, from, at };
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
            print(&commands::explain(&folder, &asker, &statement, i64::try_from(now).unwrap_or(i64::MAX))?)
        }
        PolicyCommand::Catalog { settings, source } => {
            let loaded = config::load(&settings.config).map_err(summed_up)?;
            let text = runtime()?.block_on(serve::catalog(&loaded, source.as_deref())).map_err(summed_up)?;
            print(&text)
        }
    }
}

fn verify(file: &Path, key_file: Option<&Path>, expected: Option<audit::Link>) -> Result<(), Failure> {
    let key = key_file.map(audit::read_key).transpose().map_err(|error| vec![error.message, error.hint])?;
    let report = audit::verify(file, key.as_ref(), expected)
        .map_err(|error| vec![format!("cannot read {}: {error}", file.display())])?;
    print(&format!("{report}\n"))?;
    if report.is_intact() { Ok(()) } else { Err(Vec::new()) }
}

fn scram(name: &str, iterations: u32) -> Result<(), Failure> {
    let password = read_password(name)?;
    if password.expose().is_empty() {
        return Err(vec!["an empty password is none: nothing was made".to_owned()]);
    }
    let verifier = auth::scram::stored_verifier(password.expose(), iterations);
    // JSON text is YAML text too, whatever the name contains.
    let name = serde_json::Value::from(name);
    print(&format!("  - {{ name: {name}, verifier: \"{verifier}\" }}\n"))
}

fn read_password(name: &str) -> Result<Secret, Failure> {
    let cannot = |error: io::Error| vec![format!("cannot read the password: {error}")];
    if !io::stdin().is_terminal() {
        let mut line = String::new();
        io::stdin().read_line(&mut line).map_err(cannot)?;
        return Ok(Secret::new(line.trim_end_matches(['\r', '\n'])));
    }
    let password = Secret::new(rpassword::prompt_password(format!("Password for {name}: ")).map_err(cannot)?);
    let again = Secret::new(rpassword::prompt_password("Once more: ").map_err(cannot)?);
    if password.expose() != again.expose() {
        return Err(vec!["the two passwords differ: nothing was made".to_owned()]);
    }
    Ok(password)
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(passgate::statement::STACK_BYTES)
        .build()
        .map_err(|error| vec![format!("cannot start: {error}")])
}

fn texts(problems: Vec<Problem>) -> Failure {
    problems.iter().map(ToString::to_string).collect()
}

/// The problems, and how many of them there are.
fn summed_up(problems: Vec<Problem>) -> Failure {
    let errors = problems.iter().filter(|problem| problem.severity == config::Severity::Error).count();
    let sum = if errors == 1 { "1 error".to_owned() } else { format!("{errors} errors") };
    let mut lines = texts(problems);
    lines.push(sum);
    lines
}

fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // Whoever reads has seen enough, as `head` does.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(vec![format!("cannot print: {error}")]),
        _ => Ok(()),
    }
}

fn say(line: &str) {
    // Where standard error is closed there is nobody to tell.
    let _ = writeln!(io::stderr(), "{line}");
}
