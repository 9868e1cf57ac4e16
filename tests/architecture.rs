//! The shape of the code, as a test: rooms import to the right only, every file says what it is for, no module is named
//! after nothing, and no committed file knows the machine it was written on.
//!
//! The order of rooms is read from the map in `gateway/src/lib.rs`, so the map cannot be out of date. Separate from
//! every package because it looks at all of them. The checks are functions of (path, text); the tests at the end feed
//! them code that breaks each rule.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};

/// Something that breaks a rule, and where.
#[derive(Debug, PartialEq, Eq)]
struct Violation {
    path: String,
    line: usize,
    what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}: {}", self.path, self.line, self.what)
    }
}

fn violation(path: &str, line: usize, what: impl Into<String>) -> Violation {
    Violation { path: path.to_owned(), line, what: what.into() }
}

// ---- the checks over the repository

#[test]
fn rooms_import_only_rooms_to_their_right() {
    let order = RoomOrder::from_map(&read("gateway/src/lib.rs"));
    let found = rust_files().flat_map(|(path, text)| against_the_order(&path, &text, &order));
    report(found.collect());
}

#[test]
fn packages_import_only_what_they_may() {
    let sources = rust_files().flat_map(|(path, text)| across_packages(&path, &text));
    let manifests = ["policy/Cargo.toml", "gateway/wire/Cargo.toml", "connectors/Cargo.toml"];
    let dependencies = manifests.iter().flat_map(|path| forbidden_dependencies(path, &read(path)));
    report(sources.chain(dependencies).collect());
}

#[test]
fn the_policy_package_has_no_clock_no_network_and_no_files() {
    report(rust_files().flat_map(|(path, text)| impure(&path, &text)).collect());
}

#[test]
fn every_file_opens_with_what_it_is_for() {
    report(rust_files().flat_map(|(path, text)| unexplained(&path, &text)).collect());
}

#[test]
fn no_module_is_named_after_nothing() {
    report(rust_files().flat_map(|(path, text)| vaguely_named(&path, &text)).collect());
}

#[test]
fn no_committed_file_knows_its_machine() {
    report(text_files().flat_map(|(path, text)| tied_to_a_machine(&path, &text)).collect());
}

fn report(violations: Vec<Violation>) {
    let lines: Vec<_> = violations.iter().map(ToString::to_string).collect();
    assert!(lines.is_empty(), "\n{}\n", lines.join("\n"));
}

// ---- the rules

/// The rooms of the gateway, each with its rank: a room may import rooms of a higher rank.
struct RoomOrder(BTreeMap<String, usize>);

impl RoomOrder {
    /// Reads the line with `›` in the documentation of the gateway's library.
    fn from_map(library: &str) -> Self {
        let line = library.lines().find(|line| line.contains('›')).expect("gateway/src/lib.rs has the order of rooms");
        let ranks = line.trim_start_matches("//!").split('›').enumerate();
        Self(ranks.flat_map(|(rank, rooms)| rooms.split(',').map(move |room| (room.trim().to_owned(), rank))).collect())
    }

    /// Why `importer` may not import `imported`, if it may not.
    fn objection(&self, importer: &str, imported: &str) -> Option<String> {
        if importer == imported {
            return None;
        }
        if imported == "*" {
            return Some("takes in the whole crate: name the room".to_owned());
        }
        let Some(to) = self.0.get(imported) else {
            return Some(format!("`{imported}` is not a room in the order of gateway/src/lib.rs"));
        };
        match self.0.get(importer) {
            None => Some(format!("`{importer}` is not a room in the order of gateway/src/lib.rs")),
            // The program's own file only chooses what to run.
            Some(_) if importer == "main" => None,
            Some(from) if from < to => None,
            Some(from) if from == to => Some(format!("`{importer}` and `{imported}` stand between the same two signs")),
            Some(_) => Some(format!("`{importer}` stands to the right of `{imported}`")),
        }
    }
}

fn against_the_order(path: &str, text: &str, order: &RoomOrder) -> Vec<Violation> {
    let Some(module) = module_of(path, "gateway/src") else { return Vec::new() };
    let room = match module.first() {
        Some(room) => room.clone(),
        None if path.ends_with("main.rs") => "main".to_owned(),
        // The library's root is the map: it names every room and belongs to none.
        None => return Vec::new(),
    };
    let references = references(text, &module);
    let rooms = references.iter().filter_map(|reference| match reference.crate_name.as_str() {
        "crate" | "passgate" => Some((reference.path.first()?, reference.line)),
        _ => None,
    });
    let mut found: Vec<_> =
        rooms.filter_map(|(to, line)| Some(violation(path, line, order.objection(&room, to)?))).collect();
    found.dedup();
    found
}

/// Which of our packages each package may import, and from the policy package which names.
fn across_packages(path: &str, text: &str) -> Vec<Violation> {
    // `Template` is how a permitted query is filled, which only the owner of its type can say.
    let connector_names = ["Identity", "PersonName", "Permitted", "Proof", "Role", "SourceName", "Template", "Tenant"];
    let allowed: &[&str] = match package_of(path) {
        Some("policy" | "wire") => &[],
        Some("connectors") => &["passgate_policy", "passgate_certs"],
        _ => return Vec::new(),
    };
    // A package's own tests and benches may build what they need.
    let Some(module) = module_of(path, source_folder(path)) else { return Vec::new() };
    let mut found = Vec::new();
    for reference in references(text, &module) {
        let name = reference.crate_name.as_str();
        if name == "crate" {
            continue;
        }
        let leaf = reference.path.first().map_or("*", String::as_str);
        if !allowed.contains(&name) {
            found.push(violation(path, reference.line, format!("imports `{name}`, which this package may not")));
        } else if name == "passgate_policy" && !reference.in_tests && !connector_names.contains(&leaf) {
            let what = format!("takes `{leaf}` from the policy package; connectors take Identity, names and Permitted");
            found.push(violation(path, reference.line, what));
        }
    }
    found
}

fn forbidden_dependencies(path: &str, manifest: &str) -> Vec<Violation> {
    let io = ["tokio", "reqwest", "axum", "datafusion", "rustls", "tokio-rustls", "sqlparser"];
    let ours = ["passgate", "passgate-connectors", "passgate-policy", "passgate-tests", "passgate-wire"];
    let allowed: &[&str] = if path.starts_with("connectors") { &["passgate-policy", "passgate-certs"] } else { &[] };
    let pure = !path.starts_with("connectors");
    let mut in_dependencies = false;
    let mut found = Vec::new();
    for (number, line) in (1..).zip(manifest.lines()) {
        if line.starts_with('[') {
            in_dependencies = line.starts_with("[dependencies") || line.contains(".dependencies");
        }
        let name = line.split(['.', '=', ' ']).next().unwrap_or_default();
        let forbidden = (ours.contains(&name) && !allowed.contains(&name)) || (pure && io.contains(&name));
        if in_dependencies && forbidden {
            found.push(violation(path, number, format!("this package may not depend on `{name}`")));
        }
    }
    found
}

fn impure(path: &str, text: &str) -> Vec<Violation> {
    let Some(module) = module_of(path, "policy/src") else { return Vec::new() };
    let words = ["SystemTime", "Instant", "TcpStream", "TcpListener", "UdpSocket", "OffsetDateTime", "File"];
    let std_modules = ["fs", "process", "env", "thread"];
    let mut found = Vec::new();
    walk(text, &module, &mut |tokens, at, context| {
        let Some(TokenTree::Ident(ident)) = tokens.get(at) else { return };
        let name = ident.to_string();
        let from_std = std_modules.contains(&name.as_str()) && ident_before(tokens, at).as_deref() == Some("std");
        if !context.in_tests && (words.contains(&name.as_str()) || from_std) {
            found.push(violation(path, ident.span().start().line, format!("`{name}` has no place in a pure package")));
        }
    });
    found
}

fn unexplained(path: &str, text: &str) -> Vec<Violation> {
    let opening = text.lines().next().unwrap_or_default();
    let explained = opening.starts_with("//!") && opening.trim_start_matches("//!").trim().len() > 3;
    let placeholder = opening.contains("To be written");
    if explained && !placeholder {
        Vec::new()
    } else {
        vec![violation(path, 1, "does not open with `//!` saying what it is for")]
    }
}

fn vaguely_named(path: &str, text: &str) -> Vec<Violation> {
    let vague = ["util", "utils", "common", "helper", "helpers", "manager", "managers", "misc"];
    let mut found = Vec::new();
    for part in path.trim_end_matches(".rs").split('/') {
        if vague.contains(&part) {
            found.push(violation(path, 1, format!("`{part}` says nothing: name it after what it does")));
        }
    }
    walk(text, &[], &mut |tokens, at, _| {
        let Some(TokenTree::Ident(ident)) = tokens.get(at) else { return };
        let name = ident.to_string();
        let is_module = at > 0 && matches!(tokens.get(at - 1), Some(TokenTree::Ident(word)) if *word == "mod");
        if is_module && vague.contains(&name.as_str()) {
            let line = ident.span().start().line;
            found.push(violation(path, line, format!("`{name}` says nothing: name it after what it does")));
        }
    });
    found
}

fn tied_to_a_machine(path: &str, text: &str) -> Vec<Violation> {
    // Written in two halves so that this file passes its own check.
    let hosts = [
        concat!("registry.", "npmjs.org"),
        concat!("registry.", "yarnpkg.com"),
        concat!("pypi.", "org"),
        concat!("files.", "pythonhosted.org"),
        concat!("index.", "crates.io"),
        concat!("static.", "crates.io"),
        concat!("proxy.", "golang.org"),
        concat!("repo1.", "maven.org"),
    ];
    let machine = [concat!("/", "work/"), concat!("/tmp", "/w/"), concat!("/", "root/"), concat!("/", "home/")];
    let mut found = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        for host in hosts.iter().filter(|host| line.contains(**host)) {
            found.push(violation(path, number, format!("names the package registry {host}")));
        }
        for folder in machine.iter().filter(|folder| contains_path(line, folder)) {
            found.push(violation(path, number, format!("names a path of one machine: {folder}")));
        }
    }
    found
}

/// Whether `line` has `folder` as the start of an absolute path, not inside a relative one such as `gateway/work/x`.
fn contains_path(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|character| character.is_alphanumeric() || "._-/}".contains(character))
    })
}

// ---- reading Rust: tokens, not text, so that comments and strings are no imports and macro bodies are looked into

/// A path that starts at one of our crates' roots.
#[derive(Debug)]
struct Reference {
    /// `crate` (also through `super`) or a crate of ours.
    crate_name: String,
    path: Vec<String>,
    line: usize,
    in_tests: bool,
}

const OUR_CRATES: [&str; 6] =
    ["passgate", "passgate_certs", "passgate_connectors", "passgate_policy", "passgate_tests", "passgate_wire"];

/// Every path in `text` that leads to a room or a package of ours, through `use`, inline, or inside a macro.
fn references(text: &str, module: &[String]) -> Vec<Reference> {
    let mut found = Vec::new();
    walk(text, module, &mut |tokens, at, context| {
        let Some(TokenTree::Ident(ident)) = tokens.get(at) else { return };
        let word = ident.to_string();
        let continues = is_path_separator(tokens, at + 1);
        let follows_separator = at >= 2 && is_path_separator(tokens, at - 2);
        let line = ident.span().start().line;
        let mut add = |crate_name: &str, path| {
            let in_tests = context.in_tests;
            found.push(Reference { crate_name: crate_name.to_owned(), path, line, in_tests });
        };
        if word == "crate" && (continues || is_word(tokens, at + 1, "as")) {
            leaves(tokens, at + 1, &[]).into_iter().for_each(|path| add("crate", path));
        } else if word == "super" && !follows_separator {
            let (mut base, mut next) = (context.module.clone(), at);
            while is_word(tokens, next, "super") {
                base.pop();
                next += if is_path_separator(tokens, next + 1) { 3 } else { 1 };
            }
            // Step back onto the separator behind the last `super`.
            leaves(tokens, next.saturating_sub(2), &base).into_iter().for_each(|path| add("crate", path));
        } else if OUR_CRATES.contains(&word.as_str()) && (continues || starts_import(tokens, at)) {
            leaves(tokens, at + 1, &[]).into_iter().for_each(|path| add(&word, path));
        }
    });
    found
}

/// The full paths that continue `base` at `at`, where a separator, a `use` group, or the end of the path stands.
fn leaves(tokens: &[TokenTree], at: usize, base: &[String]) -> Vec<Vec<String>> {
    let whole = |mut path: Vec<String>| {
        // The root itself, under another name or as a glob, is everything.
        if path.is_empty() {
            path.push("*".to_owned());
        }
        vec![path]
    };
    if !is_path_separator(tokens, at) {
        return whole(base.to_vec());
    }
    match tokens.get(at + 2) {
        Some(TokenTree::Ident(ident)) if *ident == "self" => whole(base.to_vec()),
        Some(TokenTree::Ident(ident)) => {
            let mut path = base.to_vec();
            path.push(ident.to_string());
            leaves(tokens, at + 3, &path)
        }
        Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
            let inner: Vec<_> = group.stream().into_iter().collect();
            let items = inner.split(|token| matches!(token, TokenTree::Punct(punct) if punct.as_char() == ','));
            items.filter(|item| !item.is_empty()).flat_map(|item| group_item(item, base)).collect()
        }
        Some(TokenTree::Punct(punct)) if punct.as_char() == '*' => {
            let mut path = base.to_vec();
            path.push("*".to_owned());
            vec![path]
        }
        _ => whole(base.to_vec()),
    }
}

fn group_item(item: &[TokenTree], base: &[String]) -> Vec<Vec<String>> {
    let mut path = base.to_vec();
    match item.first() {
        Some(TokenTree::Ident(ident)) if *ident == "self" => {}
        Some(TokenTree::Ident(ident)) => path.push(ident.to_string()),
        _ => path.push("*".to_owned()),
    }
    leaves(item, 1, &path)
}

/// Where the walk stands.
struct Context {
    module: Vec<String>,
    in_tests: bool,
}

/// Calls `visit` at every token of `text`, inside every group and inline module.
fn walk(text: &str, module: &[String], visit: &mut dyn FnMut(&[TokenTree], usize, &Context)) {
    let stream: TokenStream = text.parse().expect("a committed Rust file has valid tokens");
    let in_tests = module.last().is_some_and(|name| name == "tests");
    walk_tokens(stream, &Context { module: module.to_vec(), in_tests }, visit);
}

fn walk_tokens(stream: TokenStream, context: &Context, visit: &mut dyn FnMut(&[TokenTree], usize, &Context)) {
    let tokens: Vec<TokenTree> = stream.into_iter().collect();
    for at in 0..tokens.len() {
        visit(&tokens, at, context);
        let Some(TokenTree::Group(group)) = tokens.get(at) else { continue };
        match inline_module(&tokens, at) {
            Some(name) => {
                let in_tests = context.in_tests || name == "tests";
                let module = context.module.iter().cloned().chain([name]).collect();
                walk_tokens(group.stream(), &Context { module, in_tests }, visit);
            }
            None => walk_tokens(group.stream(), context, visit),
        }
    }
}

/// The name in `mod name { ... }`, where the group at `at` is the body.
fn inline_module(tokens: &[TokenTree], at: usize) -> Option<String> {
    let is_module = at >= 2 && is_word(tokens, at - 2, "mod");
    match tokens.get(at.checked_sub(1)?) {
        Some(TokenTree::Ident(name)) if is_module => Some(name.to_string()),
        _ => None,
    }
}

fn is_word(tokens: &[TokenTree], at: usize, word: &str) -> bool {
    matches!(tokens.get(at), Some(TokenTree::Ident(ident)) if *ident == word)
}

fn is_path_separator(tokens: &[TokenTree], at: usize) -> bool {
    let colon = |token: Option<&TokenTree>, joint: bool| {
        matches!(token, Some(TokenTree::Punct(punct))
            if punct.as_char() == ':' && (!joint || punct.spacing() == Spacing::Joint))
    };
    colon(tokens.get(at), true) && colon(tokens.get(at + 1), false)
}

/// The identifier before a separator: `std` for the token `fs` in `std::fs`.
fn ident_before(tokens: &[TokenTree], at: usize) -> Option<String> {
    let before = at.checked_sub(3).filter(|_| is_path_separator(tokens, at - 2))?;
    tokens.get(before).map(ToString::to_string)
}

/// Whether the token at `at` is what `use` or `extern crate` brings in.
fn starts_import(tokens: &[TokenTree], at: usize) -> bool {
    at > 0 && (is_word(tokens, at - 1, "use") || is_word(tokens, at - 1, "crate"))
}

// ---- the files

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package is a folder of the workspace").to_owned()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Committed files, and those about to be.
fn text_files() -> impl Iterator<Item = (String, String)> {
    let listing = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .expect("git lists the files of the repository");
    assert!(listing.status.success(), "git ls-files: {}", String::from_utf8_lossy(&listing.stderr));
    let paths = String::from_utf8(listing.stdout).expect("paths are UTF-8");
    let paths: Vec<String> = paths.lines().map(str::to_owned).collect();
    assert!(paths.iter().any(|path| path == "gateway/src/lib.rs"), "git lists no gateway/src/lib.rs: wrong folder?");
    // A file that is deleted but not yet committed, or is not text, has nothing to say.
    paths.into_iter().filter_map(|path| Some((path.clone(), std::fs::read_to_string(root().join(path)).ok()?)))
}

fn rust_files() -> impl Iterator<Item = (String, String)> {
    text_files().filter(|(path, _)| path.ends_with(".rs"))
}

fn package_of(path: &str) -> Option<&'static str> {
    let packages =
        [("gateway/wire/", "wire"), ("gateway/", "gateway"), ("policy/", "policy"), ("connectors/", "connectors")];
    packages.iter().find(|(folder, _)| path.starts_with(folder)).map(|(_, name)| *name)
}

fn source_folder(path: &str) -> &'static str {
    match package_of(path) {
        Some("wire") => "gateway/wire/src",
        Some("policy") => "policy/src",
        Some("connectors") => "connectors/src",
        _ => "gateway/src",
    }
}

/// The module a file is, from the root of its crate: `gateway/src/audit/record.rs` is `audit::record`.
fn module_of(path: &str, sources: &str) -> Option<Vec<String>> {
    let inside = path.strip_prefix(sources)?.strip_prefix('/')?.strip_suffix(".rs")?;
    let mut parts: Vec<String> = inside.split('/').map(str::to_owned).collect();
    if parts.last().is_some_and(|last| ["mod", "lib", "main"].contains(&last.as_str())) {
        parts.pop();
    }
    Some(parts)
}

// ---- the checks themselves, fed with what they must find

/// Code that breaks each rule, and code that looks as if it did.
mod finds {
    use super::*;

    fn order() -> RoomOrder {
        RoomOrder::from_map("//! main, demo › config › session › plan › statement, audit › error")
    }

    fn in_room(path: &str, text: &str) -> Vec<String> {
        let found = against_the_order(path, text, &order());
        found.iter().map(|violation| format!("{}: {}", violation.line, violation.what)).collect()
    }

    #[test]
    fn imports_to_the_right_are_fine() {
        let text =
            "use crate::plan::Plan;\nuse crate::{audit::{Record, Receipt}, error::ClientError};\nuse super::error;";
        assert_eq!(in_room("gateway/src/session/mod.rs", text), [""; 0]);
        assert_eq!(in_room("gateway/src/main.rs", "use passgate::{config, demo};"), [""; 0]);
        assert_eq!(in_room("gateway/src/lib.rs", "pub mod error; pub use crate::session::run;"), [""; 0]);
    }

    #[test]
    fn imports_to_the_left() {
        let left = ["`plan` stands to the right of `session`"];
        for text in [
            "use crate::session::Session;",
            "use crate::{session, error};",
            "use crate::{error::ClientError, session::{self, Session}};",
            "use super::session;",
            "fn f() { crate::session::run() }",
            "fn f() { let x = vec![crate::session::run()]; }",
            "impl super::session::Trait for X {}",
            "mod inner { use super::super::session::X; }",
            "mod inner { fn f(x: super::super::session::X) {} }",
            "pub(in crate::session) fn f() {}",
            "macro_rules! m { () => { $crate::session::run() } }",
            "use crate::session as error;",
        ] {
            let found = in_room("gateway/src/plan/mod.rs", text);
            assert_eq!(found, left.map(|what| format!("1: {what}")), "{text}");
        }
    }

    #[test]
    fn imports_from_a_file_inside_a_room() {
        assert_eq!(in_room("gateway/src/plan/rewrite.rs", "use super::resolve::X;"), [""; 0]);
        assert_eq!(
            in_room("gateway/src/plan/rewrite.rs", "\nuse super::super::config;"),
            ["2: `plan` stands to the right of `config`"]
        );
    }

    #[test]
    fn imports_between_the_same_signs() {
        assert_eq!(
            in_room("gateway/src/audit/mod.rs", "use crate::statement::Statement;"),
            ["1: `audit` and `statement` stand between the same two signs"]
        );
    }

    #[test]
    fn the_whole_crate() {
        for text in ["use crate::*;", "use super::*;", "use crate as root;", "use crate::{self as root};"] {
            let found = in_room("gateway/src/plan/mod.rs", text);
            assert_eq!(found, ["1: takes in the whole crate: name the room"], "{text}");
        }
        assert_eq!(in_room("gateway/src/plan/mod.rs", "mod tests { use super::*; }"), [""; 0]);
    }

    #[test]
    fn rooms_that_are_not_on_the_map() {
        assert_eq!(
            in_room("gateway/src/plan/mod.rs", "use crate::cache::X;"),
            ["1: `cache` is not a room in the order of gateway/src/lib.rs"]
        );
        assert_eq!(
            in_room("gateway/src/cache.rs", "use crate::error::X;"),
            ["1: `cache` is not a room in the order of gateway/src/lib.rs"]
        );
    }

    #[test]
    fn no_imports_in_comments_and_strings() {
        let text =
            "/// See [`crate::session`].\n// crate::session\nconst X: &str = \"crate::session\";\npub(crate) fn f() {}";
        assert_eq!(in_room("gateway/src/plan/mod.rs", text), [""; 0]);
    }

    #[test]
    fn imports_across_packages() {
        let count = |path: &str, text: &str| across_packages(path, text).len();
        assert_eq!(count("policy/src/lib.rs", "use passgate_connectors::Secret;"), 1);
        assert_eq!(count("policy/src/lib.rs", "fn f() { ::passgate::run() }"), 1);
        assert_eq!(count("gateway/wire/src/lib.rs", "use passgate_policy as policy;"), 1);
        assert_eq!(count("gateway/wire/src/lib.rs", "use crate::message::Message;"), 0);
        assert_eq!(count("connectors/src/lib.rs", "use passgate_policy::{Identity, Permitted};"), 0);
        assert_eq!(count("connectors/src/lib.rs", "use passgate_policy::{Identity, Permit};"), 1);
        assert_eq!(count("connectors/src/lib.rs", "use passgate_policy::*;"), 1);
        assert_eq!(count("connectors/src/lib.rs", "mod tests { use passgate_policy::decide; }"), 0);
        assert_eq!(count("connectors/src/lib.rs", "mod tests { use passgate::config; }"), 1);
    }

    #[test]
    fn dependencies_a_package_may_not_have() {
        let manifest = "[dependencies]\ntokio.workspace = true\npassgate-wire = { path = \"x\" }\nserde = \"1\"\n\
                        [dev-dependencies]\ntokio = \"1\"";
        assert_eq!(forbidden_dependencies("policy/Cargo.toml", manifest).len(), 2);
        assert_eq!(forbidden_dependencies("connectors/Cargo.toml", manifest).len(), 1);
    }

    #[test]
    fn a_clock_in_the_policy_package() {
        let count = |text: &str| impure("policy/src/lib.rs", text).len();
        assert_eq!(count("use std::time::SystemTime;"), 1);
        assert_eq!(count("fn f() { std::fs::read(\"x\"); }"), 1);
        assert_eq!(count("use std::net::IpAddr; /* SystemTime */"), 0);
    }

    #[test]
    fn files_that_do_not_say_what_they_are_for() {
        let count = |text: &str| unexplained("policy/src/lib.rs", text).len();
        assert_eq!(count("use std::fmt;"), 1);
        assert_eq!(count(""), 1);
        assert_eq!(count("//!"), 1);
        assert_eq!(count("//! Who is asking."), 0);
    }

    #[test]
    fn names_that_say_nothing() {
        assert_eq!(vaguely_named("policy/src/util.rs", "").len(), 1);
        assert_eq!(vaguely_named("policy/src/common/x.rs", "").len(), 1);
        assert_eq!(vaguely_named("policy/src/lib.rs", "mod helpers { }").len(), 1);
        assert_eq!(vaguely_named("policy/src/lib.rs", "let util = manager;").len(), 0);
    }

    #[test]
    fn traces_of_a_machine() {
        let count = |text: &str| tied_to_a_machine("README.md", text).len();
        assert_eq!(count(concat!("see /", "work/shared/x")), 1);
        assert_eq!(count(concat!("\"resolved\": \"https://registry.", "npmjs.org/x\"")), 1);
        assert_eq!(count("cd gateway/work/x && ls a/home/b"), 0);
        assert_eq!(count("$HOME/.cache"), 0);
    }
}
