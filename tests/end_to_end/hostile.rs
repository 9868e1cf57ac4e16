//! Clients that mean harm, or are broken: whatever they send or leave unread, the gateway's memory stays bounded, others
//! are served, and nothing of theirs stays behind.

use std::time::{Duration, Instant};

use bytes::BytesMut;
use passgate_tests::clients::connect;
use passgate_tests::gateway::Mode;
use passgate_tests::wire::{Connection, Heard, Line, Server};
use passgate_tests::{Gateway, Settings, World};
use postgres_protocol::message::frontend;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::failures::wait_for_activity;

const MEGABYTE: u64 = 1 << 20;

/// A gateway that gives up on a client after two seconds.
async fn gateway(world: &World) -> Gateway {
    let mut settings = Settings::new(world, Mode::SessionAuthorization).unlimited();
    settings.file["limits"] = json!({
        "session": { "write_seconds": 2, "seen_bytes_max": 1_000_000 },
        "server": { "opening_seconds": 2, "sign_in_seconds": 2 },
    });
    settings.start().await
}

async fn sign_in(world: &World, gateway: &Gateway, person: &str) -> Connection {
    let server = Server { port: gateway.port(), user: person.to_owned(), secret: world.openid.token(person).await };
    Connection::sign_in(world, &server, &[]).await.expect("a person signs in")
}

fn line(message: &str, arguments: &[Value]) -> Line {
    Line { number: 0, is_sent: true, message: message.to_owned(), arguments: arguments.to_vec() }
}

/// The codes of the errors up to the next ReadyForQuery, and how many other messages there were.
async fn errors(connection: &mut Connection) -> (Vec<String>, usize) {
    let (mut codes, mut others) = (Vec::new(), 0);
    loop {
        let Heard { message, arguments } = connection.hear().await.expect("an answer");
        match message.as_str() {
            "ReadyForQuery" => return (codes, others),
            "ErrorResponse" => codes.push(arguments[0]["code"].as_str().expect("a code").to_owned()),
            "Closed" => panic!("the session has ended"),
            _ => others += 1,
        }
    }
}

/// The codes of the errors that a simple query answers.
async fn ask(world: &World, connection: &mut Connection, text: &str) -> Vec<String> {
    tell(world, connection, &[line("Query", &[json!(text)])]).await;
    errors(connection).await.0
}

/// Somebody else works as if nothing was.
async fn others_are_served(world: &World, gateway: &Gateway) {
    let served = async {
        let client = connect(world, gateway.port(), "bob", &world.openid.token("bob").await).await.expect("bob");
        client.query_one("SELECT count(*) FROM sales", &[]).await.expect("an answer");
    };
    // Generous: the machine may be busy. What hangs hangs for good.
    tokio::time::timeout(Duration::from_secs(60), served).await.expect("bob is served");
}

/// Files that the gateway has open, its connections among them.
fn open_files(gateway: &Gateway) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", gateway.server.process_id())).expect("the gateway runs").count()
}

/// What a gateway held before somebody came.
struct Before {
    memory_bytes: u64,
    files: usize,
}

impl Before {
    /// Once somebody was served: by then the gateway has opened what it needs for itself and for its source.
    async fn of(world: &World, gateway: &Gateway) -> Self {
        others_are_served(world, gateway).await;
        Self { memory_bytes: gateway.memory_bytes(), files: open_files(gateway) }
    }

    fn grown(&self, gateway: &Gateway) -> u64 {
        gateway.memory_bytes().saturating_sub(self.memory_bytes)
    }

    fn grew_less_than(&self, gateway: &Gateway, megabytes: u64) {
        let grown = self.grown(gateway);
        assert!(grown < megabytes * MEGABYTE, "grew by {} MB", grown / MEGABYTE);
    }
}

/// Queues messages and sends all that is queued.
async fn tell(world: &World, connection: &mut Connection, messages: &[Line]) {
    for message in messages {
        connection.send(world, message).await.expect("it is queued");
    }
    connection.flush().await.expect("it is sent");
}

/// Waits until what clients opened is closed again.
async fn wait_for_files(gateway: &Gateway, most: usize) {
    let end = Instant::now() + Duration::from_secs(15);
    while open_files(gateway) > most {
        assert!(Instant::now() < end, "{} files are open, and were {most} before", open_files(gateway));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn answers_that_nobody_reads_are_not_collected() {
    let world = World::shared();
    let gateway = gateway(world).await;
    let before = Before::of(world, &gateway).await;
    let mut unread = Vec::new();
    for text in
        ["SELECT id AS unread_rows, label FROM million", "COPY (SELECT label AS unread_copy FROM million) TO STDOUT"]
    {
        for _ in 0..5 {
            let mut connection = sign_in(world, &gateway, "alice").await;
            tell(world, &mut connection, &[line("Query", &[json!(text)])]).await;
            unread.push(connection);
        }
    }
    wait_for_activity(world, "unread_", 10).await;
    others_are_served(world, &gateway).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    before.grew_less_than(&gateway, 40);
    // Whoever takes nothing for too long counts as gone, and so does what they asked.
    wait_for_activity(world, "unread_", 0).await;
    // Connections to the warehouse stay for a while.
    wait_for_files(&gateway, before.files + 10).await;
    gateway.audited("an abandoned copy", |record| record["status"] == "abandoned").await;
}

#[tokio::test]
async fn a_pipeline_that_nobody_reads_is_not_read_either() {
    let world = World::shared();
    let gateway = gateway(world).await;
    let before = Before::of(world, &gateway).await;
    let mut connection = sign_in(world, &gateway, "alice").await;
    // Each asks for more than it says, and one in two fails.
    for number in 0..20_000 {
        let text = if number % 2 == 0 { "SELECT region FROM sales" } else { "SELEC" };
        connection.send(world, &line("Query", &[json!(text)])).await.expect("it is queued");
    }
    let sent = tokio::time::timeout(Duration::from_secs(8), connection.flush()).await;
    let grown = before.grown(&gateway);
    assert!(!matches!(sent, Ok(Ok(()))) || grown < 24 * MEGABYTE, "all of it was taken");
    assert!(grown < 24 * MEGABYTE, "grew by {} MB", grown / MEGABYTE);
    others_are_served(world, &gateway).await;
}

#[tokio::test]
async fn messages_that_never_end_cost_what_was_sent_of_them_and_not_for_long() {
    let world = World::shared();
    let gateway = gateway(world).await;
    let before = Before::of(world, &gateway).await;
    let mut halves = Vec::new();
    for _ in 0..30 {
        let mut connection = sign_in(world, &gateway, "alice").await;
        // A Query of fifteen megabytes, of which there are two words.
        tell(world, &mut connection, &[line("Raw", &[json!("51 00F00000 53454C45435420")])]).await;
        halves.push(connection);
    }
    before.grew_less_than(&gateway, 16);
    wait_for_files(&gateway, before.files + 4).await;
    let mut connection = sign_in(world, &gateway, "alice").await;
    tell(world, &mut connection, &[line("Raw", &[json!("51 7FFFFFFF 53")])]).await;
    let refused = connection.hear().await.expect("an answer");
    assert_eq!((refused.message.as_str(), &refused.arguments[0]["code"]), ("ErrorResponse", &json!("54000")));
}

#[tokio::test]
async fn statements_portals_and_what_they_hold_have_an_end() {
    let world = World::shared();
    let gateway = gateway(world).await;
    let mut connection = sign_in(world, &gateway, "alice").await;
    let before = Before::of(world, &gateway).await;
    for number in 0..3_000 {
        let text = json!("SELECT $1::text AS given");
        connection.send(world, &line("Parse", &[json!(format!("s{number}")), text])).await.expect("it is queued");
        connection.send(world, &line("Sync", &[])).await.expect("it is queued");
    }
    connection.flush().await.expect("it is sent");
    let mut refused = 0;
    for _ in 0..3_000 {
        let (codes, _) = errors(&mut connection).await;
        assert!(codes.iter().all(|code| code == "54000"), "{codes:?}");
        refused += codes.len();
    }
    assert_eq!(refused, 2_000, "a thousand are kept");
    // Portals, each with a megabyte, in a transaction that keeps them.
    connection.send(world, &line("Query", &[json!("BEGIN")])).await.expect("it is queued");
    let large = "x".repeat(1_000_000);
    for number in 0..40 {
        let bind = line("Bind", &[json!(format!("p{number}")), json!("s1"), json!([large])]);
        connection.send(world, &bind).await.expect("it is queued");
        connection.flush().await.expect("it is sent");
    }
    tell(world, &mut connection, &[line("Sync", &[])]).await;
    errors(&mut connection).await;
    let (codes, bound) = errors(&mut connection).await;
    assert_eq!((codes, bound), (vec!["54000".to_owned()], 16));
    before.grew_less_than(&gateway, 60);
    others_are_served(world, &gateway).await;
}

#[tokio::test]
async fn small_portals_do_not_keep_the_memory_of_large_messages_beside_them() {
    let world = World::shared();
    let gateway = gateway(world).await;
    let mut connection = sign_in(world, &gateway, "alice").await;
    connection
        .send(world, &line("Parse", &[json!("s1"), json!("SELECT $1::text AS given")]))
        .await
        .expect("it is queued");
    let before = Before::of(world, &gateway).await;
    connection.send(world, &line("Query", &[json!("BEGIN")])).await.expect("it is queued");
    let larger = "x".repeat(4_000_000);
    for number in 0..90 {
        let bind = line("Bind", &[json!(format!("q{number}")), json!("s1"), json!(["small"])]);
        // A CopyFail out of place is passed over, with its reason.
        connection.send(world, &line("CopyFail", &[json!(larger)])).await.expect("it is queued");
        connection.send(world, &bind).await.expect("it is queued");
        connection.flush().await.expect("it is sent");
    }
    tell(world, &mut connection, &[line("Sync", &[])]).await;
    errors(&mut connection).await;
    let (codes, bound) = errors(&mut connection).await;
    assert_eq!((codes, bound), (Vec::new(), 90));
    // The messages were 360 MB.
    before.grew_less_than(&gateway, 150);
    others_are_served(world, &gateway).await;
}

#[tokio::test]
async fn savepoints_do_not_multiply_what_a_session_keeps() {
    let world = World::shared();
    let gateway = gateway(world).await;
    let mut connection = sign_in(world, &gateway, "alice").await;
    let before = Before::of(world, &gateway).await;
    ask(world, &mut connection, "BEGIN; SAVEPOINT a").await;
    for number in 0..200 {
        let text = format!("SET search_path = 'public, {}{number}'; SAVEPOINT a", "x".repeat(200_000));
        assert_eq!(ask(world, &mut connection, &text).await, ["22023"]);
        assert!(ask(world, &mut connection, "ROLLBACK TO a; SAVEPOINT a").await.is_empty());
    }
    before.grew_less_than(&gateway, 30);
}

#[tokio::test]
async fn wrong_keys_cancel_nothing_however_many_there_are() {
    let world = World::shared();
    let gateway = gateway(world).await;
    let client = connect(world, gateway.port(), "bob", &world.openid.token("bob").await).await.expect("bob");
    let before = Before::of(world, &gateway).await;
    let statement = client.simple_query("SELECT max(state) AS storm FROM (SELECT state FROM naps LIMIT 15) AS naps");
    let storm = async {
        wait_for_activity(world, "storm", 1).await;
        for number in 0..400_u32 {
            let mut socket = TcpStream::connect(("127.0.0.1", gateway.port())).await.expect("a connection");
            let words = [16, 80_877_102, number, 0xDEAD_BEEF];
            let request: Vec<u8> = words.iter().flat_map(|word: &u32| word.to_be_bytes()).collect();
            socket.write_all(&request).await.expect("it is sent");
        }
    };
    let (answer, ()) = tokio::join!(statement, storm);
    answer.expect("nobody had the right key");
    wait_for_files(&gateway, before.files + 2).await;
    others_are_served(world, &gateway).await;
}

#[tokio::test]
async fn connections_that_come_to_nothing_leave_nothing() {
    let world = World::shared();
    let gateway = gateway(world).await;
    let before = Before::of(world, &gateway).await;
    let mut silent = Vec::new();
    for number in 0..600_usize {
        let mut socket = TcpStream::connect(("127.0.0.1", gateway.port())).await.expect("a connection");
        let mut request = BytesMut::new();
        frontend::ssl_request(&mut request);
        match number % 4 {
            0 => {}
            1 => socket.write_all(&request[..5]).await.expect("it is sent"),
            2 => {
                socket.write_all(&request).await.expect("it is sent");
                // A place may be taken already, and the connection closed then.
                let _ = socket.read_u8().await;
            }
            _ => {
                request.extend_from_slice(b"\x16\x03\x01\x40\x00 this is no handshake");
                socket.write_all(&request).await.expect("it is sent");
            }
        }
        if number % 3 == 0 {
            silent.push(socket);
        }
    }
    drop(silent.split_off(100));
    wait_for_files(&gateway, before.files + 2).await;
    before.grew_less_than(&gateway, 16);
    others_are_served(world, &gateway).await;
}
