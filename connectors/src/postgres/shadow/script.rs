//! What a shadow is made by: statements, each of which may fail without the others.

use sha2::{Digest, Sha256};

/// The statements that make a database, and the name that follows from them: equal scripts make equal databases.
#[derive(Clone, Debug)]
pub struct Script {
    statements: Vec<Statement>,
    estimates: Vec<Statement>,
    fingerprint: String,
}

/// One statement.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub struct Statement {
    /// Its text.
    pub text: String,
    /// What is tried where it fails, in turn.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub otherwise: Vec<String>,
}

impl Script {
    /// A script. `estimates` come last and need rights that a server's login may not have. Their numbers do not count for
    /// what the database is, as they change whenever the source counts again; of what they are, the names of `estimated`,
    /// does: people from whom one is kept share no database with those who are shown it.
    pub fn new(statements: Vec<Statement>, estimates: Vec<Statement>, estimated: &[String]) -> Self {
        let mut hash = Sha256::new();
        for text in statements.iter().flat_map(Statement::texts).chain(estimated) {
            hash.update(text.len().to_be_bytes());
            hash.update(text);
        }
        let fingerprint = hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        Self { statements, estimates, fingerprint }
    }

    /// What tells scripts apart: 32 hexadecimal digits.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The statements in order.
    pub fn statements(&self) -> &[Statement] {
        &self.statements
    }

    /// Those that come last and need a superuser.
    pub fn estimates(&self) -> &[Statement] {
        &self.estimates
    }
}

impl Statement {
    /// A statement, and what is tried where it fails.
    pub fn or(text: impl Into<String>, otherwise: impl IntoIterator<Item = String>) -> Self {
        let text = text.into();
        let mut otherwise: Vec<String> = otherwise.into_iter().collect();
        otherwise.dedup();
        otherwise.retain(|other| *other != text);
        Self { text, otherwise }
    }

    /// The text, then what is tried where it fails.
    pub fn texts(&self) -> impl Iterator<Item = &String> {
        std::iter::once(&self.text).chain(&self.otherwise)
    }
}

impl From<String> for Statement {
    fn from(text: String) -> Self {
        Self { text, otherwise: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_that_make_the_same_have_one_name() {
        let script = |texts: &[&str], estimates: &[&str], estimated: &[&str]| {
            let statements = |texts: &[&str]| texts.iter().map(|text| Statement::from((*text).to_owned())).collect();
            let estimated: Vec<String> = estimated.iter().map(|name| (*name).to_owned()).collect();
            Script::new(statements(texts), statements(estimates), &estimated).fingerprint().to_owned()
        };
        assert_eq!(script(&["a", "b"], &["1"], &["t"]), script(&["a", "b"], &["2"], &["t"]));
        assert_ne!(script(&["a", "b"], &["1"], &["t"]), script(&["a", "b"], &[], &[]));
        assert_ne!(script(&["a", "b"], &[], &[]), script(&["ab"], &[], &[]));
        assert_ne!(script(&["a", "b"], &[], &[]), script(&["b", "a"], &[], &[]));
        assert_eq!(script(&[], &[], &[]).len(), 32);
    }
}
