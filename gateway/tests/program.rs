//! The program's face: help that teaches, exit codes that scripts can rely on.
//!
//! An integration test of this package also makes `cargo test --workspace` build the program, which `tests/` then starts.

#![allow(clippy::expect_used, reason = "a test that cannot go on has failed")]

use std::process::{Command, Output};

fn passgate(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_passgate")).args(arguments).output().expect("passgate runs");
    let Output { status, stdout, stderr } = output;
    (status.code(), String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr))
}

#[test]
fn help_names_every_command() {
    let (code, text) = passgate(&["--help"]);
    assert_eq!(code, Some(0), "{text}");
    for command in ["serve", "demo", "check", "audit", "scram"] {
        assert!(text.contains(command), "there is no {command} in\n{text}");
    }
}

#[test]
fn misuse_is_two() {
    for arguments in [&["no-such-command"][..], &["serve", "--no-such-option"], &["serve"], &[]] {
        let (code, text) = passgate(arguments);
        assert_eq!(code, Some(2), "{arguments:?}: {text}");
    }
}

#[test]
fn problems_found_are_one() {
    let (code, text) = passgate(&["check", "--config", "no/such/file.yaml"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("no/such/file.yaml"), "{text}");
}
