//! Compiles `cases/problems/*.json` and compares what is reported, underlined, with the `.txt` beside each. With
//! `UPDATE=1` in the environment the texts are written anew, to be reviewed.

use std::fs;
use std::path::{Path, PathBuf};

use passgate_policy::{Known, PolicyFile, Problem, Role, SourceName, Sql, SqlFault, SqlUse, TableName, Tag, compile};

mod words;
use words::Words;

#[test]
fn every_problem_is_reported_as_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases/problems");
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    assert!(!paths.is_empty(), "no case was played");
    let known = known();
    for path in paths {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        // The classification goes by its name: `x.tags.json` stands for a folder `x` that holds `tags.json`.
        let file_path = name.strip_suffix(".tags.json").map_or(name.clone(), |folder| format!("{folder}/tags.json"));
        let file = PolicyFile { path: file_path, text: fs::read_to_string(&path).unwrap() };
        let against = name.starts_with("unknown_").then_some(&known);
        let reported = match compile(std::slice::from_ref(&file), against, &Words) {
            Ok(set) => format!("accepted, with warnings\n\n{}", shown(&file, set.warnings())),
            Err(problems) => shown(&file, &problems),
        };
        let expected = path.with_extension("txt");
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&expected, &reported).unwrap();
        }
        let written = fs::read_to_string(&expected).unwrap_or_default();
        assert!(reported == written, "{name} reports\n\n{reported}\ninstead of\n\n{written}");
    }
}

fn shown(file: &PolicyFile, problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("{problem}\n{}\n\n", problem.underlined(&file.text))).collect()
}

/// What the cases called `unknown_` are compiled against.
fn known() -> Known {
    let mut known = Known::new();
    for (schema, table) in [("analytics", "dim_patient"), ("analytics", "fct_sales"), ("reference", "countries")] {
        let source = SourceName::new("warehouse");
        known.add_table(TableName { source, schema: schema.to_owned(), table: table.to_owned() });
    }
    let patients = TableName {
        source: SourceName::new("warehouse"),
        schema: "analytics".to_owned(),
        table: "dim_patient".to_owned(),
    };
    known.add_column(patients, "ssn".to_owned(), "text".to_owned());
    let sales = TableName {
        source: SourceName::new("warehouse"),
        schema: "analytics".to_owned(),
        table: "fct_sales".to_owned(),
    };
    for (column, type_name) in
        [("region_code", "text"), ("amount", "numeric(10,2)"), ("sold_on", "date"), ("mood", "analytics.mood")]
    {
        known.add_column(sales.clone(), column.to_owned(), type_name.to_owned());
    }
    known.add_table_tag(Tag::new("internal"));
    known.add_column_tag(Tag::new("pii.ssn"));
    known.add_built_in("count");
    known.add_built_in("pg_sleep");
    known.add_group("finance".to_owned());
    known.add_role(Role::new("analyst"));
    known.all_people_are_known();
    known.add_function(
        SourceName::new("warehouse"),
        "analytics".to_owned(),
        "fiscal_quarter".to_owned(),
        &["date".to_owned()],
    );
    known
}
