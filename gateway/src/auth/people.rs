//! The people file: who may sign in with a password, and what is known of them.
//!
//! Separate from SCRAM because reading a file, reporting all that is wrong with it, and replacing it under running
//! sessions has nothing to do with the exchange. The file holds verifiers, never passwords:
//!
//! ```yaml
//! people:
//!   - name: alice
//!     verifier: "SCRAM-SHA-256$4096:..."   # passgate scram alice
//!     tenant: acme
//!     groups: [analysts]
//!     roles: [reader]
//!     email: alice@example.com
//!     claims: { region: WEST }
//! ```

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use passgate_policy::{Identity, PersonName, Proof, Role, Tenant};
use saphyr::{LoadableYamlNode, MarkedYaml, Scalar, YamlData};
use serde_json::{Map, Value};

use super::problem::nearest;
use super::scram::{ITERATIONS_DEFAULT, SALT_LENGTH, Verifier};
use super::{DEFAULT_TENANT, Problem};

/// A larger file is refused unread.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// How deep a claim may nest.
const DEPTH_MAX: usize = 16;

const KEYS: [&str; 7] = ["name", "verifier", "tenant", "groups", "roles", "email", "claims"];

/// A people file that can be read again while exchanges run.
#[derive(Debug)]
pub(super) struct PeopleFile {
    method: String,
    path: PathBuf,
    current: RwLock<Arc<People>>,
}

impl PeopleFile {
    /// Reads the file.
    pub(super) fn open(method: &str, path: PathBuf) -> Result<Self, Vec<Problem>> {
        let people = People::read(method, &path)?;
        Ok(Self { method: method.to_owned(), path, current: RwLock::new(Arc::new(people)) })
    }

    /// The people as last read.
    pub(super) fn current(&self) -> Arc<People> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the file again. If anything is wrong with it, the people as they were stay in force.
    pub(super) fn reload(&self) -> Result<(), Vec<Problem>> {
        let people = People::read(&self.method, &self.path)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(people);
        Ok(())
    }
}

/// Everybody in a people file.
#[derive(Debug)]
pub(super) struct People {
    by_name: HashMap<String, Person>,
    /// The iterations and the length of salt that most people here have: what somebody who does not exist would have.
    pub(super) usual_shape: (u32, usize),
}

/// A person and what is kept of their password.
#[derive(Clone, Debug)]
pub(super) struct Person {
    pub(super) verifier: Verifier,
    pub(super) identity: Arc<Identity>,
}

impl People {
    pub(super) fn find(&self, name: &str) -> Option<&Person> {
        self.by_name.get(name)
    }

    /// Everybody, in no order.
    pub(super) fn identities(&self) -> impl Iterator<Item = &Arc<Identity>> {
        self.by_name.values().map(|person| &person.identity)
    }

    fn read(method: &str, path: &Path) -> Result<Self, Vec<Problem>> {
        let unreadable = |error: std::io::Error| {
            vec![
                Problem::new(method, format!("the people file {} cannot be read: {error}", path.display())).key("file"),
            ]
        };
        let length = std::fs::metadata(path).map_err(unreadable)?.len();
        if length > FILE_BYTES_MAX {
            let message = format!("the people file has {length} bytes; at most {FILE_BYTES_MAX} are read");
            return Err(vec![Problem::new(method, message).key("file")]);
        }
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        Self::parse(method, path, &text)
    }

    /// Reads the text, and reports everything wrong with it.
    pub(super) fn parse(method: &str, path: &Path, text: &str) -> Result<Self, Vec<Problem>> {
        let mut reader = Reader { method, path, problems: Vec::new() };
        let by_name = match MarkedYaml::load_from_str(text) {
            Ok(documents) => reader.people(documents.first()),
            Err(error) => {
                reader.problem_at(error.marker().line(), error.marker().col() + 1, error.info());
                HashMap::new()
            }
        };
        if !reader.problems.is_empty() {
            return Err(reader.problems);
        }
        Ok(Self { usual_shape: usual_shape(&by_name), by_name })
    }
}

fn usual_shape(people: &HashMap<String, Person>) -> (u32, usize) {
    let mut counts: HashMap<(u32, usize), usize> = HashMap::new();
    for person in people.values() {
        *counts.entry((person.verifier.iterations, person.verifier.salt.len())).or_default() += 1;
    }
    let usual = counts.into_iter().max_by_key(|(shape, count)| (*count, *shape)).map(|(shape, _)| shape);
    usual.unwrap_or((ITERATIONS_DEFAULT, SALT_LENGTH))
}

type Node<'a> = MarkedYaml<'a>;

/// Walks the tree and gathers problems.
struct Reader<'a> {
    method: &'a str,
    path: &'a Path,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn problem_at(&mut self, line: usize, column: usize, message: &str) {
        let mut problem = Problem::new(self.method, message);
        problem.place = Some((self.path.to_owned(), line, column));
        self.problems.push(problem);
    }

    fn problem(&mut self, node: &Node<'_>, message: impl AsRef<str>) {
        self.problem_at(node.span.start.line(), node.span.start.col() + 1, message.as_ref());
    }

    fn suggest(&mut self, suggestion: impl Into<String>) {
        if let Some(last) = self.problems.last_mut() {
            last.suggestion = Some(suggestion.into());
        }
    }

    fn people(&mut self, document: Option<&Node<'_>>) -> HashMap<String, Person> {
        let mut by_name = HashMap::new();
        let Some(document) = document else {
            self.problem_at(1, 1, "the people file is empty");
            self.suggest("write `people: []`");
            return by_name;
        };
        // A bare list will do: it is what `passgate scram NAME >> people.yaml` makes.
        let entries = match &document.data {
            YamlData::Sequence(entries) => entries,
            _ => {
                let Some(fields) = self.fields(document, &["people"]) else { return by_name };
                let Some(list) = fields.get("people") else {
                    self.problem(document, "`people` is missing");
                    return by_name;
                };
                let YamlData::Sequence(entries) = &list.data else {
                    self.problem(list, "`people` must be a list");
                    return by_name;
                };
                entries
            }
        };
        for entry in entries {
            let Some(person) = self.person(entry) else { continue };
            let name = person.identity.person.as_str().to_owned();
            if by_name.contains_key(&name) {
                self.problem(entry, format!("\"{name}\" is in the file twice"));
            }
            by_name.insert(name, person);
        }
        by_name
    }

    fn person(&mut self, entry: &Node<'_>) -> Option<Person> {
        let fields = self.fields(entry, &KEYS)?;
        let name = self.required(entry, &fields, "name");
        let verifier = self.verifier(entry, &fields);
        let tenant = self.optional(&fields, "tenant").unwrap_or_else(|| DEFAULT_TENANT.to_owned());
        let email = self.optional(&fields, "email");
        let groups = self.words(&fields, "groups");
        let roles = self.words(&fields, "roles").into_iter().map(Role::new).collect();
        let claims = fields.get("claims").map(|node| self.claims(node)).unwrap_or_default();
        let (name, verifier) = (name?, verifier?);
        let proof = Proof { method: "scram", issuer: self.method.to_owned(), expires_at: None };
        let identity = Identity {
            person: PersonName::new(name.clone()),
            subject: name,
            email,
            tenant: Tenant::new(tenant),
            groups,
            roles,
            claims,
            proof,
        };
        Some(Person { verifier, identity: Arc::new(identity) })
    }

    fn verifier(&mut self, entry: &Node<'_>, fields: &HashMap<String, &Node<'_>>) -> Option<Verifier> {
        let text = self.required(entry, fields, "verifier")?;
        match Verifier::parse(&text) {
            Ok(verifier) => Some(verifier),
            Err(error) => {
                self.problem(fields.get("verifier").copied().unwrap_or(entry), error.to_string());
                self.suggest("make one with `passgate scram NAME`");
                None
            }
        }
    }

    /// The node as a mapping with these keys and no others.
    fn fields<'a>(&mut self, node: &'a Node<'a>, allowed: &[&str]) -> Option<HashMap<String, &'a Node<'a>>> {
        let YamlData::Mapping(mapping) = &node.data else {
            self.problem(node, format!("expected a mapping with the keys {}", allowed.join(", ")));
            return None;
        };
        let mut fields = HashMap::new();
        for (key, value) in mapping {
            match key.data.as_str() {
                Some(name) if allowed.contains(&name) => drop(fields.insert(name.to_owned(), value)),
                name => {
                    let name = name.unwrap_or("(not text)");
                    self.problem(key, format!("unknown key `{name}`"));
                    match nearest(name, allowed) {
                        Some(near) => self.suggest(format!("did you mean `{near}`?")),
                        None => self.suggest(format!("known keys are {}", allowed.join(", "))),
                    }
                }
            }
        }
        Some(fields)
    }

    fn required(&mut self, entry: &Node<'_>, fields: &HashMap<String, &Node<'_>>, key: &str) -> Option<String> {
        match fields.get(key) {
            Some(_) => self.optional(fields, key),
            None => {
                self.problem(entry, format!("`{key}` is missing"));
                None
            }
        }
    }

    fn optional(&mut self, fields: &HashMap<String, &Node<'_>>, key: &str) -> Option<String> {
        let node = fields.get(key)?;
        self.word(node, key)
    }

    fn word(&mut self, node: &Node<'_>, key: &str) -> Option<String> {
        match node.data.as_str() {
            Some(text) if !text.is_empty() && !text.contains(char::is_control) => Some(text.to_owned()),
            Some(_) => {
                self.problem(node, format!("`{key}` must not be empty or hold control characters"));
                None
            }
            None => {
                self.problem(node, format!("`{key}` must be text"));
                self.suggest("put it in quotes");
                None
            }
        }
    }

    fn words(&mut self, fields: &HashMap<String, &Node<'_>>, key: &str) -> BTreeSet<String> {
        let Some(node) = fields.get(key) else { return BTreeSet::new() };
        let YamlData::Sequence(entries) = &node.data else {
            self.problem(node, format!("`{key}` must be a list"));
            return BTreeSet::new();
        };
        entries.iter().filter_map(|entry| self.word(entry, key)).collect()
    }

    fn claims(&mut self, node: &Node<'_>) -> Map<String, Value> {
        match self.value(node, DEPTH_MAX) {
            Some(Value::Object(claims)) => claims,
            Some(_) => {
                self.problem(node, "`claims` must be a mapping");
                Map::new()
            }
            None => Map::new(),
        }
    }

    fn value(&mut self, node: &Node<'_>, depth: usize) -> Option<Value> {
        let Some(depth) = depth.checked_sub(1) else {
            self.problem(node, format!("a claim nests deeper than {DEPTH_MAX}"));
            return None;
        };
        match &node.data {
            YamlData::Value(scalar) => Some(scalar_value(scalar)),
            YamlData::Sequence(entries) => {
                entries.iter().map(|entry| self.value(entry, depth)).collect::<Option<_>>().map(Value::Array)
            }
            YamlData::Mapping(mapping) => {
                let mut object = Map::new();
                for (key, value) in mapping {
                    let key = self.word(key, "claims")?;
                    object.insert(key, self.value(value, depth)?);
                }
                Some(Value::Object(object))
            }
            _ => {
                self.problem(node, "a claim must be text, a number, true, false, null, a list or a mapping");
                None
            }
        }
    }
}

fn scalar_value(scalar: &Scalar<'_>) -> Value {
    match scalar {
        Scalar::Null => Value::Null,
        Scalar::Boolean(value) => Value::from(*value),
        Scalar::Integer(value) => Value::from(*value),
        Scalar::FloatingPoint(value) => Value::from(value.into_inner()),
        Scalar::String(value) => Value::from(value.as_ref()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::scram::stored_verifier;

    fn parse(text: &str) -> Result<People, Vec<Problem>> {
        People::parse("people", Path::new("people.yaml"), text)
    }

    #[test]
    fn reads_a_person_with_everything() {
        let verifier = stored_verifier("pencil", 4096);
        let people = parse(&format!(
            "people:\n  - name: alice\n    verifier: \"{verifier}\"\n    tenant: acme\n    groups: [analysts, west]\n    \
             roles: [reader]\n    email: alice@example.com\n    claims: {{ region: WEST, level: 3, flags: [true, null] }}\n"
        ))
        .unwrap();
        let alice = &people.find("alice").unwrap().identity;
        assert_eq!(alice.tenant.as_str(), "acme");
        assert_eq!(alice.groups, BTreeSet::from(["analysts".to_owned(), "west".to_owned()]));
        assert_eq!(alice.roles, BTreeSet::from([Role::new("reader")]));
        assert_eq!(alice.email.as_deref(), Some("alice@example.com"));
        assert_eq!(
            Value::Object(alice.claims.clone()),
            serde_json::json!({"region": "WEST", "level": 3, "flags": [true, null]})
        );
        assert_eq!(alice.proof.issuer, "people");
        assert_eq!(people.usual_shape, (4096, 16));
    }

    #[test]
    fn reports_every_problem_with_its_place_and_a_suggestion() {
        let text = "people:\n  - name: alice\n    verifyer: x\n  - name: 7\n    verifier: hunter2\n    groups: west\n  - bob\n";
        let problems: Vec<_> = parse(text).unwrap_err().iter().map(Problem::to_string).collect();
        assert_eq!(
            problems,
            [
                "people.yaml:3:5: sign-in method \"people\": unknown key `verifyer` (did you mean `verifier`?)",
                "people.yaml:2:5: sign-in method \"people\": `verifier` is missing",
                "people.yaml:4:11: sign-in method \"people\": `name` must be text (put it in quotes)",
                "people.yaml:5:15: sign-in method \"people\": this is not a SCRAM-SHA-256 verifier \
                 (make one with `passgate scram NAME`)",
                "people.yaml:6:13: sign-in method \"people\": `groups` must be a list",
                "people.yaml:7:5: sign-in method \"people\": expected a mapping with the keys name, verifier, tenant, \
                 groups, roles, email, claims",
            ]
        );
        assert!(!problems.concat().contains("hunter2"), "a verifier is a secret");
    }

    #[test]
    fn a_name_twice_a_key_twice_and_broken_yaml_are_problems() {
        let verifier = stored_verifier("pencil", 4096);
        let person = format!("  - {{ name: alice, verifier: \"{verifier}\" }}\n");
        assert!(parse(&format!("people:\n{person}{person}")).unwrap_err()[0].message.contains("twice"));
        assert!(parse(&format!("people:\n  - {{ name: a, name: b, verifier: \"{verifier}\" }}\n")).is_err());
        assert!(parse("people: [").is_err());
        assert!(parse("").is_err());
        assert!(parse("people: []").is_ok());
        assert_eq!(parse(&person).unwrap().by_name.len(), 1);
    }

    #[test]
    fn a_broken_file_leaves_the_people_as_they_were() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("people.yaml");
        let person = |name| format!("people:\n  - {{ name: {name}, verifier: \"{}\" }}\n", stored_verifier("x", 4096));
        std::fs::write(&path, person("alice")).unwrap();
        let file = PeopleFile::open("people", path.clone()).unwrap();
        std::fs::write(&path, "people: {").unwrap();
        assert!(file.reload().is_err());
        assert!(file.current().find("alice").is_some());
        std::fs::write(&path, person("bob")).unwrap();
        file.reload().unwrap();
        assert!(file.current().find("alice").is_none());
        assert!(file.current().find("bob").is_some());
    }
}
