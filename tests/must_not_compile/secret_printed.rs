//! A secret neither prints nor serialises.

use passgate_connectors::Secret;

fn print(secret: &Secret) -> String {
    format!("{secret}")
}

fn serialise(secret: &Secret) -> String {
    serde_json::to_string(secret).unwrap_or_default()
}

fn main() {}
