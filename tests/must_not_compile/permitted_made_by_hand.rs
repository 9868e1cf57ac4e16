//! Only a discharged permit makes a permitted query.

use passgate_policy::{Permitted, Revision};

fn permitted(query: String, revision: Revision) -> Permitted<String> {
    Permitted { query, revision, fired: Default::default() }
}

fn main() {}
