//! What `tags.json` says of tables and columns, once compiled with the policies.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeSet;

use passgate_policy::{NoSql, PolicyFile, PolicySet, SourceName, TableName, compile};

fn compiled(text: &str) -> PolicySet {
    let file = PolicyFile { path: "policies/tags.json".to_owned(), text: text.to_owned() };
    compile(&[file], None, &NoSql).map_err(|problems| format!("{problems:?}")).unwrap()
}

fn table(source: &str, schema: &str, table: &str) -> TableName {
    TableName { source: SourceName::new(source), schema: schema.to_owned(), table: table.to_owned() }
}

fn texts(tags: BTreeSet<passgate_policy::Tag>) -> Vec<String> {
    tags.into_iter().map(|tag| tag.to_string()).collect()
}

#[test]
fn patterns_give_tags_to_tables_and_columns() {
    let set = compiled(include_str!("../examples/tags.json"));
    let patients = table("warehouse", "analytics", "dim_patient_note");
    assert_eq!(texts(set.tags_of_table(&patients)), ["phi"]);
    assert_eq!(texts(set.tags_of_column(&patients, "ssn")), ["pii.ssn"]);
    assert_eq!(texts(set.tags_of_column(&patients, "phone_number")), ["pii.contact"]);
    assert_eq!(texts(set.tags_of_column(&patients, "Phone")), Vec::<String>::new());
    assert_eq!(texts(set.tags_of_column(&table("warehouse", "ledger", "salaries"), "ssn")), Vec::<String>::new());
}

#[test]
fn tags_add_up_and_keep_to_their_sources() {
    let set = compiled(
        r#"{ "tags": [
            { "tag": "a", "tables": ["t"], "columns": ["t.*"] },
            { "tag": "b", "tables": ["s.*"], "columns": ["s.t.c", "\"s\".t.\"c.d\""], "sources": ["one"] },
        ] }"#,
    );
    let (one, two) = (table("one", "s", "t"), table("two", "s", "t"));
    assert_eq!(texts(set.tags_of_table(&one)), ["a", "b"]);
    assert_eq!(texts(set.tags_of_table(&two)), ["a"]);
    assert_eq!(texts(set.tags_of_column(&one, "c")), ["a", "b"]);
    assert_eq!(texts(set.tags_of_column(&one, "c.d")), ["a", "b"]);
    assert_eq!(texts(set.tags_of_column(&two, "c")), ["a"]);
}
