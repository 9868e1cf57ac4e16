//! The sources keep their connectors to themselves.

use passgate::sources::{Lease, Sources};

fn connectors(sources: &Sources) {
    let _ = &sources.entries;
}

fn lease(lease: Lease) {
    let _ = lease.inner;
}

fn main() {}
