//! Documents that people follow: what they link to is there, and the commands they name are commands.

use std::path::Path;
use std::process::Command;

const DOCUMENTS: [&str; 4] = ["README.md", "gateway/README.md", "gateway/SETTINGS.md", "policy/README.md"];

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn read(document: &str) -> String {
    std::fs::read_to_string(root().join(document)).unwrap_or_default()
}

#[test]
fn every_link_leads_somewhere() {
    for document in DOCUMENTS {
        let folder = root().join(document).parent().unwrap().to_owned();
        let text = read(document);
        assert!(!text.is_empty(), "{document} cannot be read");
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap_or_default();
            if !target.contains("://") && !file.is_empty() {
                assert!(folder.join(file).exists(), "{document} links to {target}, which is not there");
            }
        }
    }
}

#[test]
fn every_command_of_the_readme_is_one() {
    let text = read("README.md");
    let lines = text.lines().map(|line| line.trim_start_matches("$ ")).filter(|line| line.starts_with("passgate "));
    let mut seen = 0;
    for line in lines {
        let words = line.split_whitespace().skip(1).take_while(|word| !word.starts_with(['-', '>', '#']));
        // A file name is no part of the command.
        let words: Vec<&str> = words.filter(|word| !word.contains('.')).collect();
        let status = Command::new(env!("CARGO_BIN_EXE_passgate")).args(&words).arg("--help").output().unwrap().status;
        assert!(status.success(), "{line}");
        seen += 1;
    }
    assert!(seen >= 4, "the README names {seen} commands");
    assert!(root().join("tests/run").exists());
}

#[test]
fn the_development_authority_makes_certificates_that_verify() {
    let folder = tempfile::tempdir().unwrap();
    let script = root().join("certs/development-ca.sh");
    let made = Command::new(&script).arg(folder.path()).args(["gateway.test", "127.0.0.2"]).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    for (name, option) in [("gateway.test", "-verify_hostname"), ("127.0.0.2", "-verify_ip")] {
        let certificate = folder.path().join(format!("{name}.pem"));
        let verified = Command::new("openssl")
            .args(["verify", "-purpose", "sslserver", option, name, "-CAfile"])
            .args([folder.path().join("ca.pem"), certificate])
            .output()
            .unwrap();
        assert!(verified.status.success(), "{verified:?}");
    }
    let again = Command::new(&script).arg(folder.path()).arg("not a name").output().unwrap();
    assert_eq!(again.status.code(), Some(2));
}
