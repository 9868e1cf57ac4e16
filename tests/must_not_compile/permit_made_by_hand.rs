//! Only a decision makes a permit.

use passgate_policy::{Permit, Revision, StatementDigest};

fn permit(statement: StatementDigest, revision: Revision) -> Permit {
    Permit::new(statement, revision)
}

fn main() {}
