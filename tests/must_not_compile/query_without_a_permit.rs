//! A connector starts nothing that no policy has permitted.

use passgate_connectors::{Bind, Gives, Lease, Query};

async fn run(lease: &mut dyn Lease) {
    let query = Query { text: "SELECT 1".to_owned(), shown: None, parameter_types: Vec::new(), gives: Gives::Rows, discreet: false };
    let _ = lease.start(&query, &Bind::default()).await;
}

fn main() {}
