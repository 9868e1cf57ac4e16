//! Statements that stay prepared on a connection, because the client keeps them: what is run again is neither sent nor
//! parsed nor, in the end, planned again, as on a connection of the client's own.
//!
//! They are the connection's, and so one person's: whoever comes after another finds none (DISCARD ALL), and nobody finds
//! any that were read under other settings. One whose run failed is given up, whatever the cause: a table may have
//! changed under it ("cached plan must not change result type").
//! <https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-EXT-QUERY>

use crate::Query;

/// So many stay; the one that was not used for the longest time makes room. Each takes memory of the server.
const KEPT_MAX: usize = 50;
/// Longer texts do not stay.
const TEXT_BYTES_MAX: usize = 16 << 10;

/// The statements of a connection.
#[derive(Default)]
pub(super) struct Named {
    /// The one that was used last stands last.
    kept: Vec<Kept>,
    /// Names that the server is to forget.
    closing: Vec<String>,
    /// How many were made.
    made: u64,
    /// The one that is under way.
    running: Option<String>,
}

struct Kept {
    text: String,
    parameter_types: Vec<u32>,
    name: String,
    /// Whether the server has it.
    parsed: bool,
}

/// How a statement is sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// With its text, by this name; none for once.
    Whole(String),
    /// By its name: the server has it.
    ByName(String),
}

impl Named {
    /// How to send a statement that the client keeps.
    pub(super) fn send(&mut self, query: &Query) -> Sent {
        if query.text.len() > TEXT_BYTES_MAX {
            return Sent::Whole(String::new());
        }
        let same = |kept: &Kept| kept.text == query.text && kept.parameter_types == query.parameter_types;
        if let Some(at) = self.kept.iter().position(same) {
            let kept = self.kept.remove(at);
            let name = kept.name.clone();
            self.running = Some(name.clone());
            let sent = if kept.parsed { Sent::ByName(name) } else { Sent::Whole(name) };
            self.kept.push(kept);
            return sent;
        }
        if self.kept.len() >= KEPT_MAX {
            self.closing.push(self.kept.remove(0).name);
        }
        self.made += 1;
        let name = format!("passgate_{}", self.made);
        let (text, parameter_types) = (query.text.clone(), query.parameter_types.clone());
        self.kept.push(Kept { text, parameter_types, name: name.clone(), parsed: false });
        self.running = Some(name.clone());
        Sent::Whole(name)
    }

    /// The names that the server is to forget before anything else.
    pub(super) fn closing(&mut self) -> Vec<String> {
        std::mem::take(&mut self.closing)
    }

    /// Nothing of it was sent, nor these names.
    pub(super) fn not_sent(&mut self, closing: Vec<String>) {
        self.closing.extend(closing);
        self.failed();
    }

    /// The server has parsed what was sent.
    pub(super) fn parsed(&mut self) {
        let Some(running) = &self.running else { return };
        if let Some(kept) = self.kept.iter_mut().find(|kept| kept.name == *running) {
            kept.parsed = true;
        }
    }

    /// What was under way failed.
    pub(super) fn failed(&mut self) {
        let Some(running) = self.running.take() else { return };
        self.kept.retain(|kept| kept.name != running);
        self.closing.push(running);
    }

    /// Nothing is under way.
    pub(super) fn ended(&mut self) {
        self.running = None;
    }

    /// The settings are others now.
    pub(super) fn give_up(&mut self) {
        self.closing.extend(self.kept.drain(..).map(|kept| kept.name));
    }

    /// The server has forgotten all.
    pub(super) fn clear(&mut self) {
        *self = Self { made: self.made, ..Self::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Query {
        Query { text: text.to_owned(), ..Query::default() }
    }

    fn whole(number: u64) -> Sent {
        Sent::Whole(format!("passgate_{number}"))
    }

    #[test]
    fn what_the_server_has_is_sent_by_its_name() {
        let mut named = Named::default();
        assert_eq!(named.send(&query("SELECT 1")), whole(1));
        named.ended();
        assert_eq!(named.send(&query("SELECT 1")), whole(1), "nothing was heard of it");
        named.parsed();
        named.ended();
        assert_eq!(named.send(&query("SELECT 1")), Sent::ByName("passgate_1".to_owned()));
        let typed = Query { parameter_types: vec![23], ..query("SELECT 1") };
        assert_eq!(named.send(&typed), whole(2), "of other types it is another");
        assert_eq!(named.send(&query(&"x".repeat(TEXT_BYTES_MAX + 1))), Sent::Whole(String::new()));
    }

    #[test]
    fn what_failed_is_forgotten_by_both() {
        let mut named = Named::default();
        named.send(&query("SELECT 1"));
        named.parsed();
        named.failed();
        assert_eq!(named.closing(), ["passgate_1"]);
        assert_eq!(named.send(&query("SELECT 1")), whole(2));
        named.parsed();
        named.ended();
        named.failed();
        assert!(named.closing().is_empty(), "nothing was under way");
        named.give_up();
        assert_eq!(named.closing(), ["passgate_2"]);
        named.send(&query("SELECT 1"));
        named.clear();
        assert!(named.closing().is_empty());
        assert_eq!(named.send(&query("SELECT 1")), whole(4), "a name is never used twice");
    }

    #[test]
    fn the_one_that_was_not_used_for_the_longest_time_makes_room() {
        let mut named = Named::default();
        for number in 0..KEPT_MAX {
            named.send(&query(&format!("SELECT {number}")));
            named.parsed();
        }
        named.send(&query("SELECT 0"));
        named.send(&query("SELECT 'new'"));
        assert_eq!(named.closing(), ["passgate_2"]);
        assert_eq!(named.kept.len(), KEPT_MAX);
    }
}
