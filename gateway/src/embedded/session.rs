//! One session: a copy of the template, opened, and messages passed to and fro until the client goes.
//!
//! Separate from the frames because it owns the processes' input, output and PostgreSQL itself.

use std::fs;
use std::io::{self, BufReader, Stdin, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, atomic::AtomicBool};
use std::thread;

use pglite_oxide::{ExecProtocolOptions, Pglite};

use super::frames::{self, FrameError, Incoming, Startup};
use super::instances::InstanceDirectory;
use super::{LOGIN, Problem, template};

/// Batches that may wait while one is answered.
const WAITING_MAX: usize = 8;

/// What a server reports at the start, as in PostgreSQL 17.
/// Source: <https://www.postgresql.org/docs/17/protocol-flow.html#PROTOCOL-ASYNC>.
const REPORTED: &str = "SELECT name, setting FROM pg_catalog.pg_settings WHERE name IN ('application_name', \
     'client_encoding', 'DateStyle', 'default_transaction_read_only', 'in_hot_standby', 'integer_datetimes', \
     'IntervalStyle', 'is_superuser', 'scram_iterations', 'server_encoding', 'server_version', \
     'standard_conforming_strings', 'TimeZone')";

/// Serves one session on standard input and output, until the client ends it.
pub(super) fn serve(directory: &Path, template: &str) -> Result<(), Problem> {
    super::require_private_cache(directory)?;
    // Ctrl-C reaches every process of the terminal; this one ends when its client does, so that statements can finish.
    signal_hook::flag::register(signal_hook::consts::SIGINT, Arc::new(AtomicBool::new(false)))
        .map_err(Problem::Thread)?;
    let mut input = BufReader::new(io::stdin());
    let startup = frames::read_startup(&mut input).inspect_err(|problem| refuse("08P01", &problem.to_string()))?;
    let instance = InstanceDirectory::create(directory)?;
    let mut server = open(directory, template, &instance, &startup)
        .inspect_err(|_| refuse("XX000", "the embedded server cannot start with these settings"))?;
    let greeting = greet(&mut server)?;
    send(&greeting)?;
    let incoming = spawn_reader(input, &instance)?;
    answer(&mut server, &incoming)
}

fn open(directory: &Path, template: &str, instance: &InstanceDirectory, startup: &Startup) -> Result<Pglite, Problem> {
    if startup.parameter("user") != Some(LOGIN) {
        return Err(Problem::Engine(format!("there is no login but {LOGIN}")));
    }
    let root = instance.path().join("root");
    template::copy(directory, template, &root)?;
    template::builder(&root)
        .database(startup.parameter("database").unwrap_or(LOGIN))
        // As settings of the start, so that RESET and DISCARD ALL return to them.
        .postgres_configs(startup.settings())
        .open()
        .map_err(Problem::engine)
}

/// AuthenticationOk, ParameterStatus, BackendKeyData and ReadyForQuery.
fn greet(server: &mut Pglite) -> Result<Vec<u8>, Problem> {
    let mut greeting = Vec::new();
    frames::put(&mut greeting, b'R', &0_u32.to_be_bytes());
    frames::put(&mut greeting, b'S', &frames::texts(["session_authorization", LOGIN]));
    for row in server.exec(REPORTED, None).map_err(Problem::engine)?.iter().flat_map(|results| &results.rows) {
        let text = |name| row.get(name).and_then(|value| value.as_str()).unwrap_or_default();
        frames::put(&mut greeting, b'S', &frames::texts([text("name"), text("setting")]));
    }
    // There is no cancelling, so the key is of no use to anyone.
    frames::put(&mut greeting, b'K', &[std::process::id().to_be_bytes(), [0; 4]].concat());
    frames::put(&mut greeting, b'Z', b"I");
    Ok(greeting)
}

/// Reads on a thread of its own, since a statement cannot be interrupted: when the client goes away in the middle of
/// one, this thread sees it and ends the process.
fn spawn_reader(
    mut input: BufReader<Stdin>,
    instance: &InstanceDirectory,
) -> Result<Receiver<Result<Vec<u8>, FrameError>>, Problem> {
    let (sender, receiver) = sync_channel(WAITING_MAX);
    let directory = instance.path().to_owned();
    thread::Builder::new()
        .name("client".to_owned())
        .spawn(move || {
            if read_until_gone(&mut input, &sender) {
                let _ = fs::remove_dir_all(directory);
                std::process::exit(0);
            }
        })
        .map_err(Problem::Thread)?;
    Ok(receiver)
}

/// Whether the client has gone, rather than sent what cannot be understood.
fn read_until_gone(input: &mut BufReader<Stdin>, sender: &SyncSender<Result<Vec<u8>, FrameError>>) -> bool {
    loop {
        let batch = match frames::read_batch(input) {
            Ok(Incoming::Batch(batch)) => Ok(batch),
            Ok(Incoming::Terminate) => return true,
            Err(FrameError::Input(_)) => return true,
            Err(problem) => Err(problem),
        };
        let understood = batch.is_ok();
        if sender.send(batch).is_err() || !understood {
            return false;
        }
    }
}

fn answer(server: &mut Pglite, incoming: &Receiver<Result<Vec<u8>, FrameError>>) -> Result<(), Problem> {
    while let Ok(batch) = incoming.recv() {
        let batch = batch.inspect_err(|problem| refuse("08P01", &problem.to_string()))?;
        let mut response = run(server, &batch)?;
        if authorization_was_reset(&response) {
            restore_authorization(server, &mut response)?;
        }
        send(&response)?;
    }
    Ok(())
}

fn run(server: &mut Pglite, batch: &[u8]) -> Result<Vec<u8>, Problem> {
    server
        .exec_protocol_raw(batch, ExecProtocolOptions::no_sync())
        .map_err(Problem::engine)
        .inspect_err(|_| refuse("XX000", "the embedded server failed"))
}

/// RESET SESSION AUTHORIZATION and DISCARD ALL report an empty name here, and change nothing: run without a
/// postmaster, PostgreSQL never notes who signed in (`InitializeSessionUserIdStandalone`), so there is nothing to
/// return to.
fn authorization_was_reset(response: &[u8]) -> bool {
    let reset = frames::texts(["session_authorization", ""]);
    frames::messages(response).filter(|(kind, body)| *kind == b'S' && *body == reset).count() > 0
}

/// Does what the reset should have done, and reports it in the same answer.
fn restore_authorization(server: &mut Pglite, response: &mut Vec<u8>) -> Result<(), Problem> {
    let mut query = Vec::new();
    frames::put(&mut query, b'Q', &frames::texts([format!("SET SESSION AUTHORIZATION {LOGIN}").as_str()]));
    let restored = run(server, &query)?;
    let mut whole = Vec::with_capacity(response.len().saturating_add(restored.len()));
    let ready = frames::messages(response).filter(|(kind, _)| *kind != b'Z');
    let reports = frames::messages(&restored).filter(|(kind, _)| matches!(kind, b'S' | b'Z'));
    for (kind, body) in ready.chain(reports) {
        frames::put(&mut whole, kind, body);
    }
    *response = whole;
    Ok(())
}

fn send(bytes: &[u8]) -> Result<(), Problem> {
    let mut output = io::stdout().lock();
    output.write_all(bytes).and_then(|()| output.flush()).map_err(Problem::Output)
}

/// Tells the client why the session ends. That it ends is what counts, so a client that is gone is no new problem.
fn refuse(code: &str, message: &str) {
    let _ = send(&frames::fatal(code, message));
}
