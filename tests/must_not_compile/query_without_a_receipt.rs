//! Nothing runs on a source before its record is written.

use passgate::sources::Lease;
use passgate_connectors::{Bind, Query};
use passgate_policy::Permitted;

async fn run(lease: &mut Lease, query: &Permitted<Query>) {
    let _ = lease.start(query, &Bind::default()).await;
}

fn main() {}
