//! What fills the gaps of a permitted query is said where queries are defined, and nowhere else.

use passgate_connectors::Query;
use passgate_policy::Template;

impl Template for Query {
    type Values = str;

    fn filled(&self, text: &str) -> Option<Self> {
        Some(Self { text: text.to_owned(), ..Self::default() })
    }
}

fn main() {}
