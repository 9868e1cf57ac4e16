//! What the demonstration prints once it is ready: lines to paste, and what each shows; or one line of JSON for programs.
//!
//! Separate because it is prose, written for someone who meets the gateway for the first time.

use std::fmt::{self, Display, Formatter};
use std::net::SocketAddr;
use std::path::PathBuf;

use passgate_connectors::Secret;
use serde_json::{Value, json};

use super::identity_provider::TOKEN_HOURS;
use super::warehouse::DATABASE;
use super::{Folder, Person};

/// What is needed to connect.
pub(super) struct Announcement<'a> {
    pub(super) address: SocketAddr,
    pub(super) http: Option<SocketAddr>,
    pub(super) people: &'a [(Person, Secret)],
    pub(super) folder: &'a Folder,
}

impl Announcement<'_> {
    /// One line for programs. The passwords are in it, as the option asks.
    pub(super) fn to_json(&self) -> Value {
        let person = |(person, token): &(Person, Secret)| json!({ "name": person.name, "password": token.expose() });
        json!({
            "host": self.address.ip().to_string(),
            "port": self.address.port(),
            "database": DATABASE,
            "people": self.people.iter().map(person).collect::<Vec<_>>(),
            "http": self.http.map(|http| http.to_string()),
        })
    }

    fn psql(&self, person: &str, query: &str) -> String {
        let token = shell_word(self.folder.path(&format!("{person}.token")));
        let (host, port) = (self.address.ip(), self.address.port());
        format!(
            "  PGPASSWORD=$(cat {token}) psql -P pager=off \"host={host} port={port} user={person} dbname={DATABASE}\" -c \"{query}\"\n"
        )
    }
}

/// Each thing to try: what to read before it, who asks, and the query.
const TRIES: [(&str, &str, &str); 6] = [
    (
        "The same query, two people, different rows: the warehouse's own row-level security decides, because the\n\
         gateway runs each statement as the person.",
        "analyst_west",
        "SELECT region_code, count(*), sum(net_amount) FROM fct_sales GROUP BY 1",
    ),
    ("", "analyst_east", "SELECT region_code, count(*), sum(net_amount) FROM fct_sales GROUP BY 1"),
    (
        "Someone who may see every region; current_user is the warehouse's own word for who it is serving.",
        "security",
        "SELECT current_user, region_code, sum(sales) FROM v_sales_monthly GROUP BY 1, 2",
    ),
    (
        "A blocked table explains itself: what stands in the way, where in the query, and whom to ask. The anonymized view\n\
         passes.",
        "analyst_west",
        "SELECT full_name FROM dim_patient",
    ),
    ("", "analyst_west", "SELECT birth_decade, count(*) FROM v_patient_anonymous GROUP BY 1 ORDER BY 1"),
    (
        "No more than 10,000 rows, however many there are: the last line says (10000 rows).",
        "analyst_west",
        "SELECT sale_id, product, net_amount FROM fct_sales",
    ),
];

const REFUSALS: [(&str, &str, &str); 2] = [
    ("A write is refused.", "analyst_west", "DELETE FROM fct_sales"),
    (
        "A join without a condition is refused, before it costs anything.",
        "analyst_west",
        "SELECT count(*) FROM fct_claims, fct_sales",
    ),
];

impl Display for Announcement<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.people.iter().map(|(person, _)| person.name).collect();
        writeln!(f, "\nPassgate is listening on {}. The database is {DATABASE}; the people are:", self.address)?;
        for (person, _) in self.people {
            writeln!(f, "  {:<14}{}", person.name, person.sees)?;
        }
        writeln!(f, "Their passwords are tokens of a development identity provider, good for {TOKEN_HOURS} hours.")?;
        writeln!(f, "\nPaste these into another terminal (psql is in the package postgresql-client).")?;
        for (text, person, query) in TRIES.iter().chain(&REFUSALS) {
            if !text.is_empty() {
                writeln!(f, "\n{text}")?;
            }
            f.write_str(&self.psql(person, query))?;
        }
        let audit = shell_word(self.folder.path("audit.jsonl"));
        let program = std::env::current_exe().map_or_else(|_| "passgate".to_owned(), shell_word);
        writeln!(f, "\nWhat happened, one record for each statement; any change, cut or reordering is found.")?;
        writeln!(f, "  tail -n 1 {audit}\n  {program} audit verify {audit}")?;
        if let Some(http) = self.http {
            writeln!(f, "\nWhether it is well, and what it measures.")?;
            writeln!(f, "  curl http://{http}/readyz\n  curl http://{http}/metrics")?;
        }
        let folder = shell_word(self.folder.path(""));
        writeln!(f, "\nThe settings and policies it runs on are in {folder}.")?;
        writeln!(f, "A token signs in as one person only ({}): try one with another's name.", names.join(", "))?;
        writeln!(f, "This listener takes unencrypted connections too (sslmode=disable), as only one on loopback can.")?;
        writeln!(f, "\nCtrl-C ends the demonstration and removes everything it made.")
    }
}

/// A path as a shell takes it for one word.
fn shell_word(path: PathBuf) -> String {
    let path = path.to_string_lossy().into_owned();
    let plain = |character: char| character.is_ascii_alphanumeric() || "/._-+".contains(character);
    if path.chars().all(plain) { path } else { format!("'{}'", path.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::PEOPLE;

    #[test]
    fn programs_get_one_line_with_what_they_need() {
        let folder = Folder::create().unwrap();
        let people = PEOPLE.map(|person| (person, Secret::new("token")));
        let address = SocketAddr::from(([127, 0, 0, 1], 6432));
        let http = Some(SocketAddr::from(([127, 0, 0, 1], 6433)));
        let line = Announcement { address, http, people: &people, folder: &folder }.to_json().to_string();
        assert!(!line.contains('\n'));
        assert!(line.starts_with(
            r#"{"host":"127.0.0.1","port":6432,"database":"demo","people":[{"name":"analyst_west","password":"token"},"#
        ));
        assert!(line.ends_with(r#"],"http":"127.0.0.1:6433"}"#));
    }

    #[test]
    fn a_persons_text_shows_no_token_and_a_line_for_each_thing_to_try() {
        let folder = Folder::create().unwrap();
        let people = PEOPLE.map(|person| (person, Secret::new("the-token")));
        let address = SocketAddr::from(([127, 0, 0, 1], 6432));
        let http = Some(SocketAddr::from(([127, 0, 0, 1], 6433)));
        let text = Announcement { address, http, people: &people, folder: &folder }.to_string();
        assert!(!text.contains("the-token"));
        assert_eq!(
            text.matches("psql -P pager=off \"host=127.0.0.1 port=6432 user=").count(),
            TRIES.len() + REFUSALS.len()
        );
        assert!(text.contains("audit verify"));
        assert!(text.contains("curl http://127.0.0.1:6433/metrics"));
    }

    #[test]
    fn paths_are_one_word_for_the_shell() {
        assert_eq!(shell_word("/tmp/a-b/c.token".into()), "/tmp/a-b/c.token");
        assert_eq!(shell_word("/tmp/it's here".into()), r"'/tmp/it'\''s here'");
    }
}
