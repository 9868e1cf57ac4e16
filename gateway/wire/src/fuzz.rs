//! The entry for fuzzers: any bytes, in any chunks.

use crate::decoder::{Decoder, Limits, Phase};
use crate::frontend::Frontend;

/// Decodes `stream`, cut as `cuts` says, as a whole connection would see it, and returns what came out; a violation
/// ends it. A fuzzer asserts that this returns, and that the answer does not depend on the cuts.
pub fn decode_anything(stream: &[u8], cuts: &[u8]) -> Vec<Result<Frontend, crate::Violation>> {
    let mut decoder = Decoder::new(Limits { message_bytes_max: 1 << 20 });
    let mut decoded = Vec::new();
    let mut rest = stream;
    let mut cuts = cuts.iter().map(|&cut| usize::from(cut).max(1)).chain(std::iter::repeat(usize::MAX));
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(cuts.next().unwrap_or(usize::MAX).min(rest.len()));
        decoder.buffer().extend_from_slice(chunk);
        rest = after;
        loop {
            match decoder.decode() {
                Ok(None) => break,
                Ok(Some(message)) => {
                    move_on(&mut decoder, &message);
                    decoded.push(Ok(message));
                }
                Err(violation) => {
                    decoded.push(Err(violation));
                    return decoded;
                }
            }
        }
    }
    decoded
}

/// A connection that signs in with its first answer.
fn move_on(decoder: &mut Decoder, message: &Frontend) {
    match message {
        Frontend::Startup(_) => decoder.enter(Phase::SignIn),
        Frontend::Answer(_) => decoder.enter(Phase::Ready),
        _ => {}
    }
}
