//! The policies in the README compile.

use std::fs;
use std::path::Path;

use passgate_policy::{PolicyFile, Sql, SqlFault, SqlUse, compile};

mod words;
use words::Words;

#[test]
fn the_policies_in_the_readme_compile() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let blocks: Vec<&str> = readme.split("```jsonc\n").skip(1).filter_map(|block| block.split("```").next()).collect();
    assert!(!blocks.is_empty());
    for text in blocks {
        let file = PolicyFile { path: "README.md".to_owned(), text: text.to_owned() };
        assert!(compile(&[file], None, &Words).is_ok(), "{text}");
    }
}

#[test]
fn the_examples_compile_together() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let file = |entry: fs::DirEntry| PolicyFile {
        path: entry.file_name().to_string_lossy().into_owned(),
        text: fs::read_to_string(entry.path()).unwrap(),
    };
    let files: Vec<PolicyFile> = fs::read_dir(folder).unwrap().map(|entry| file(entry.unwrap())).collect();
    let set = compile(&files, None, &Words).map_err(|problems| format!("{problems:?}")).unwrap();
    assert!(set.warnings().is_empty());
}
