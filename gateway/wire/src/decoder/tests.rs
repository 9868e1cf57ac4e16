//! The decoder against hand-made bytes, against pgwire's encoder, and against anything at all.

use bytes::{BufMut, Bytes, BytesMut};
use pgwire::messages::{Message, extendedquery, simplequery, startup as pgwire_startup};
use proptest::prelude::*;

use super::*;
use crate::frontend::{Bind, Malformed, Parse, Target};
use crate::{ProtocolVersion, decode_anything};

fn decoder(phase: Phase, bytes: &[u8]) -> Decoder {
    let mut decoder = Decoder::new(Limits { message_bytes_max: 1 << 20 });
    decoder.enter(phase);
    decoder.buffer().extend_from_slice(bytes);
    decoder
}

fn one(phase: Phase, bytes: &[u8]) -> Result<Option<Frontend>, Violation> {
    decoder(phase, bytes).decode()
}

fn framed(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut frame = vec![kind];
    frame.put_u32(u32::try_from(body.len() + 4).unwrap());
    frame.extend_from_slice(body);
    frame
}

fn packet(code: u32, body: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    packet.put_u32(u32::try_from(body.len() + 8).unwrap());
    packet.put_u32(code);
    packet.extend_from_slice(body);
    packet
}

#[test]
fn openings() {
    assert_eq!(one(Phase::Opening, &packet(80_877_103, b"")), Ok(Some(Frontend::SslRequest)));
    assert_eq!(one(Phase::Opening, &packet(80_877_104, b"")), Ok(Some(Frontend::GssEncryptionRequest)));
    let Ok(Some(Frontend::Cancel(cancel))) = one(Phase::Opening, &packet(80_877_102, b"\0\0\0\x07abcd")) else {
        panic!("a cancel request");
    };
    assert_eq!((cancel.process_id, &cancel.key[..]), (7, &b"abcd"[..]));
    let Ok(Some(Frontend::Startup(startup))) =
        one(Phase::Opening, &packet(196_610, b"user\0alice\0database\0\0user\0bob\0\0"))
    else {
        panic!("a start-up packet");
    };
    assert_eq!(startup.version, ProtocolVersion { major: 3, minor: 2 });
    assert_eq!((startup.parameter("user"), startup.parameter("database")), (Some("bob"), Some("")));
}

#[test]
fn a_cancel_key_may_be_long_but_not_endless() {
    let long = [&b"\0\0\0\x07"[..], &[1; 32]].concat();
    assert!(matches!(one(Phase::Opening, &packet(80_877_102, &long)), Ok(Some(Frontend::Cancel(_)))));
    for key in [0, 3, 257] {
        let body = [&b"\0\0\0\x07"[..], &vec![1; key]].concat();
        let refused = one(Phase::Opening, &packet(80_877_102, &body));
        assert_eq!(refused, Err(Violation::Opening(Malformed::CancelKey)));
    }
}

#[test]
fn broken_openings_end_the_connection() {
    assert_eq!(one(Phase::Opening, b"GET / HTTP/1.1"), Err(Violation::StartupLength));
    assert_eq!(one(Phase::Opening, b"\0\0\0\x04"), Err(Violation::StartupLength));
    assert_eq!(one(Phase::Opening, &10_005_u32.to_be_bytes()), Err(Violation::StartupLength));
    assert_eq!(one(Phase::Opening, &10_004_u32.to_be_bytes()), Ok(None));
    for body in [&b""[..], b"user", b"user\0alice", b"user\0alice\0", b"user\0alice\0\0more"] {
        assert!(matches!(one(Phase::Opening, &packet(196_608, body)), Err(Violation::Opening(_))), "{body:?}");
    }
}

#[test]
fn another_major_version_is_left_to_negotiation() {
    let Ok(Some(Frontend::Startup(startup))) = one(Phase::Opening, &packet(0x0002_0000, b"anything")) else {
        panic!("a start-up packet");
    };
    assert!(startup.negotiate().is_err());
}

#[test]
fn a_token_of_32_kilobytes_fits_and_one_of_64_does_not() {
    let token = framed(b'p', &[b'x'; 32 * 1024]);
    assert!(matches!(one(Phase::SignIn, &token), Ok(Some(Frontend::Answer(_)))));
    let larger = framed(b'p', &[b'x'; 40_000]);
    assert!(matches!(one(Phase::SignIn, &larger), Ok(Some(Frontend::Answer(_)))));
    let announced = [&b"p"[..], &70_000_u32.to_be_bytes()].concat();
    assert_eq!(one(Phase::SignIn, &announced), Err(Violation::TooLarge { length: 70_000, limit: 65_536 }));
}

#[test]
fn a_length_is_refused_before_its_bytes_come() {
    let announced = [&b"Q"[..], &u32::MAX.to_be_bytes()].concat();
    assert!(matches!(one(Phase::Ready, &announced), Err(Violation::TooLarge { .. })));
    assert_eq!(one(Phase::Ready, b"Q\0\0\0\x03"), Err(Violation::Length));
}

#[test]
fn only_answers_before_sign_in_and_only_known_types_after() {
    assert_eq!(one(Phase::SignIn, b"Q"), Err(Violation::Kind(b'Q')));
    assert_eq!(one(Phase::Ready, b"z"), Err(Violation::Kind(b'z')));
}

#[test]
fn a_broken_inside_leaves_the_next_message_readable() {
    let stream = [framed(b'B', b"p\0s\0\0\x01"), framed(b'Q', b"\xff\0"), framed(b'S', b"")].concat();
    let mut decoder = decoder(Phase::Ready, &stream);
    assert_eq!(decoder.decode(), Ok(Some(Frontend::Malformed { kind: b'B', cause: Malformed::Short })));
    assert_eq!(decoder.decode(), Ok(Some(Frontend::Malformed { kind: b'Q', cause: Malformed::NotUtf8 })));
    assert_eq!(decoder.decode(), Ok(Some(Frontend::Sync)));
}

#[test]
fn the_opening_can_be_read_without_a_byte_too_many() {
    let stream = packet(80_877_103, b"");
    let mut decoder = Decoder::new(Limits { message_bytes_max: 0 });
    assert_eq!(decoder.missing(), 4);
    decoder.buffer().extend_from_slice(&stream[..4]);
    assert_eq!(decoder.missing(), 4);
    decoder.buffer().extend_from_slice(&stream[4..]);
    assert_eq!(decoder.missing(), 0);
    assert_eq!(decoder.decode(), Ok(Some(Frontend::SslRequest)));
}

fn encoded(message: &impl Message) -> BytesMut {
    let mut out = BytesMut::new();
    message.encode(&mut out).unwrap();
    out
}

fn name() -> impl Strategy<Value = String> {
    "[^\0]{0,12}"
}

fn named(name: &str) -> Option<String> {
    (!name.is_empty()).then(|| name.to_owned())
}

proptest! {
    #[test]
    fn reads_what_pgwire_writes(
        portal in name(),
        statement in name(),
        query in "[^\0]{0,200}",
        types in prop::collection::vec(any::<u32>(), 0..8),
        parameter_formats in prop::collection::vec(0_i16..2, 0..4),
        values in prop::collection::vec(prop::option::of(prop::collection::vec(any::<u8>(), 0..40)), 0..6),
        result_formats in prop::collection::vec(0_i16..2, 0..4),
        rows_max in 0..i32::MAX,
    ) {
        let parameters: Vec<Option<Bytes>> = values.into_iter().map(|value| value.map(Bytes::from)).collect();
        let mut stream = encoded(&simplequery::Query::new(query.clone()));
        stream.put(encoded(&extendedquery::Parse::new(named(&statement), query.clone(), types.clone())));
        stream.put(encoded(&extendedquery::Bind::new(
            named(&portal), named(&statement), parameter_formats.clone(), parameters.clone(), result_formats.clone(),
        )));
        stream.put(encoded(&extendedquery::Describe::new(b'P', named(&portal))));
        stream.put(encoded(&extendedquery::Execute::new(named(&portal), rows_max)));
        stream.put(encoded(&extendedquery::Close::new(b'S', named(&statement))));
        stream.put(encoded(&extendedquery::Sync::new()));
        let expected = [
            Frontend::Query(query.clone()),
            Frontend::Parse(Parse { statement: statement.clone(), query, parameter_types: types }),
            Frontend::Bind(Bind {
                portal: portal.clone(), statement: statement.clone(), parameter_formats, parameters, result_formats,
            }),
            Frontend::Describe(Target::Portal(portal.clone())),
            Frontend::Execute { portal, rows_max: u32::try_from(rows_max).unwrap() },
            Frontend::Close(Target::Statement(statement)),
            Frontend::Sync,
        ];
        let mut decoder = decoder(Phase::Ready, &stream);
        for message in expected {
            prop_assert_eq!(decoder.decode(), Ok(Some(message)));
        }
        prop_assert_eq!(decoder.decode(), Ok(None));
    }

    #[test]
    fn any_bytes_in_any_chunks_give_the_same_messages(
        stream in connection(),
        cuts in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let whole = decode_anything(&stream, &[]);
        prop_assert_eq!(decode_anything(&stream, &cuts), whole.clone());
        prop_assert_eq!(decode_anything(&stream, &[1; 4096]), whole);
    }
}

/// Plausible connections, damaged here and there, so that the decoder gets past its first byte.
fn connection() -> impl Strategy<Value = Vec<u8>> {
    let message = (prop::sample::select(&b"QPBDECHSXFdcfpz"[..]), prop::collection::vec(any::<u8>(), 0..60))
        .prop_map(|(kind, body)| framed(kind, &body));
    let messages = prop::collection::vec(message, 0..12).prop_map(|messages| messages.concat());
    let opening = encoded(&pgwire_startup::Startup::new()).to_vec();
    let damage = prop::option::of((any::<prop::sample::Index>(), any::<u8>()));
    (messages, damage, any::<bool>()).prop_map(move |(messages, damage, whole)| {
        let mut stream = if whole { [opening.clone(), framed(b'p', b"x\0"), messages].concat() } else { messages };
        if let (Some((at, byte)), false) = (damage, stream.is_empty()) {
            let at = at.index(stream.len());
            stream[at] = byte;
        }
        stream
    })
}
