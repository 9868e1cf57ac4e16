//! What a broken or hostile server may say: every case is an error, none a hang or a panic.

use std::time::Duration;

use proptest::prelude::*;

use super::fake::{Script, error, frame, ready, row, source_of};
use super::*;

fn answering(answer: Vec<u8>, hangs_up: bool) -> Script {
    Script { serves: ["alice", "alice"], answer, hangs_up }
}

/// Everything the lease says to one statement, up to the end or the first error.
async fn hear(answer: Vec<u8>, hangs_up: bool) -> (u64, Result<String, Error>, bool) {
    let source = source_of(answering(answer, hangs_up), Config::default());
    let mut lease = checkout(&source, "alice").await.unwrap();
    lease.start_query(&query("SELECT 1"), &Bind::default()).await.unwrap();
    let mut seen = 0;
    loop {
        match lease.next().await {
            Ok(Batch::Rows { rows, .. }) => seen += rows,
            Ok(Batch::Done { tag }) => return (seen, Ok(tag), lease.connection().unwrap().is_reusable()),
            Ok(_) => {}
            Err(error) => return (seen, Err(error), lease.connection().unwrap().is_reusable()),
        }
    }
}

#[tokio::test]
async fn a_wrong_witness_is_refused() {
    for serves in [["service", "service"], ["alice", "bob"], ["", ""]] {
        let source = source_of(Script { serves, answer: Vec::new(), hangs_up: false }, Config::default());
        let refused = checkout(&source, "alice").await.map(|_| ()).unwrap_err();
        assert!(matches!(refused, Error::Witness { .. }), "{refused}");
    }
}

#[tokio::test]
async fn an_error_in_mid_stream_leaves_the_connection_good() {
    let answer = [row(&["1"]), row(&["2"]), error("ERROR", "22012", "division by zero"), ready(b'I')].concat();
    let (seen, result, reusable) = hear(answer, false).await;
    assert_eq!(seen, 2);
    let Err(Error::Server(message)) = result else { panic!("{result:?}") };
    assert_eq!((message.code.as_str(), message.message.as_str()), ("22012", "division by zero"));
    assert!(reusable);
}

#[tokio::test]
async fn a_server_that_goes_away_is_a_lost_connection() {
    let mut half = row(&["1234567"]);
    half.truncate(9);
    let fatal = error("FATAL", "57P01", "terminating connection due to administrator command");
    for answer in [Vec::new(), [row(&["1"]), half].concat(), fatal] {
        let (_, result, reusable) = hear(answer, true).await;
        assert!(matches!(result, Err(Error::Connection { .. })), "{result:?}");
        assert!(!reusable);
    }
}

#[tokio::test]
async fn what_the_protocol_does_not_allow_ends_the_connection() {
    let breaches = [
        b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
        vec![b'D', 0, 0, 0, 3],
        vec![b'D', 0x7f, 0xff, 0xff, 0xff],
        frame(b'D', &vec![0; 2 << 20]),
        frame(b'H', &[0, 0, 0]),
        frame(b'G', &[0, 0, 0]),
        frame(b'd', b"copied"),
        frame(b's', &[]),
        frame(b'R', &[0; 4]),
        frame(b'C', b"no end"),
        ready(b'?'),
    ];
    for answer in breaches {
        let (_, result, reusable) = hear(answer.clone(), false).await;
        assert!(matches!(result, Err(Error::Protocol { .. })), "{result:?} for {:?}", answer.first());
        assert!(!reusable);
    }
}

#[tokio::test]
async fn rows_before_a_breach_are_good() {
    let (seen, result, _) = hear([row(&["1"]), row(&["2"]), vec![b'D', 0, 0, 0, 0]].concat(), false).await;
    assert_eq!(seen, 2);
    assert!(matches!(result, Err(Error::Protocol { .. })));
}

#[tokio::test]
async fn a_reported_change_of_identity_ends_the_connection() {
    let change = frame(b'S', b"session_authorization\0mallory\0");
    let (_, result, reusable) = hear([change, frame(b'C', b"SELECT 1\0"), ready(b'I')].concat(), false).await;
    assert!(matches!(result, Err(Error::Witness { .. })), "{result:?}");
    assert!(!reusable);
}

#[tokio::test]
async fn dropping_next_loses_nothing() {
    let source = source_of(answering(row(&["1"])[..6].to_vec(), false), Config::default());
    let mut lease = checkout(&source, "alice").await.unwrap();
    lease.start_query(&query("SELECT 1"), &Bind::default()).await.unwrap();
    for _ in 0..3 {
        assert!(tokio::time::timeout(Duration::from_millis(20), lease.next()).await.is_err());
    }
    assert!(lease.connection().unwrap().is_busy());
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_is_given_up() {
    let config = Config { statement_timeout_ms: 1_000, ..Config::default() };
    let source = source_of(answering(Vec::new(), false), config);
    let mut lease = checkout(&source, "alice").await.unwrap();
    lease.start_query(&query("SELECT 1"), &Bind::default()).await.unwrap();
    let error = lease.next().await.unwrap_err();
    assert_eq!(error.to_string(), "connection to source \"warehouse\" failed: the server was silent for 11 s");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever comes, the lease comes to an end of it.
    #[test]
    fn no_bytes_hang_or_panic(answer in proptest::collection::vec(any::<u8>(), 0..200), tag in "[12CDEINSTZAtnG]") {
        let tag = tag.as_bytes()[0];
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let heard = runtime.block_on(async {
            tokio::time::timeout(Duration::from_secs(5), hear(frame(tag, &answer), true)).await
        });
        prop_assert!(heard.is_ok());
    }
}
