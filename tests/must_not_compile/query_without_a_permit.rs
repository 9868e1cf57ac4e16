//! A connector starts nothing that no policy has permitted.

use passgate_connectors::{Bind, Lease, Query};

async fn run(lease: &mut dyn Lease) {
    let query = Query { text: "SELECT 1".to_owned(), ..Query::default() };
    let _ = lease.start(&query, &Bind::default()).await;
}

fn main() {}
