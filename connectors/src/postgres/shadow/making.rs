//! Making a database from a script, and reading what its objects are called by number.

use std::collections::HashMap;

use super::script::{Script, Statement};
use crate::postgres::connection::{Connection, Row, Step};
use crate::{Error, Oids};

/// Statements in one write.
const STATEMENTS_AT_ONCE: usize = 128;

/// What a statement is not made of twice for: it is there already, with an extension.
const DUPLICATES: [&str; 3] = ["42710", "42723", "42P07"];

/// Numbers by which a shadow calls what it holds, by schema and name.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// The name of the database.
    pub database: String,
    /// The server's version, as it names itself.
    pub server_version: String,
    /// The role that sessions have there.
    pub reader: String,
    /// Relations: their oid, and the numbers of their columns by name.
    pub relations: HashMap<(String, String), (u32, HashMap<String, i16>)>,
    /// Types, those of tables' rows too: their oid and that of their arrays.
    pub types: HashMap<(String, String), Oids>,
}

/// Runs a script as far as it can be run.
pub(super) async fn make(connection: &mut Connection, source: &str, script: &Script) -> Result<(), Error> {
    let mut left_out = 0;
    // What a crash takes is not found again under its name, and made anew.
    connection.attempt(&["SET synchronous_commit = off"]).await?;
    for statements in script.statements().chunks(STATEMENTS_AT_ONCE) {
        if !run_together(connection, statements).await? {
            left_out += run(connection, statements).await?;
        }
    }
    if left_out > 0 {
        tracing::warn!(source, left_out, "the catalog that clients see lacks what could not be made");
    }
    // A login that is no superuser may not do this, and need not.
    for estimate in script.estimates() {
        connection.attempt(&[&estimate.text]).await?;
    }
    Ok(())
}

/// Runs statements in one transaction, which takes a fifth of the time; tells whether none failed, and otherwise leaves
/// nothing behind.
async fn run_together(connection: &mut Connection, statements: &[Statement]) -> Result<bool, Error> {
    let texts = statements.iter().map(|statement| statement.text.as_str());
    let texts: Vec<&str> = ["BEGIN"].into_iter().chain(texts).chain(["COMMIT"]).collect();
    Ok(connection.attempt(&texts).await?.iter().all(Option::is_none))
}

/// Runs statements and what is to be tried in their place. What failed is run again after that, for it may have needed it.
/// Tells how many failed in the end.
async fn run(connection: &mut Connection, statements: &[Statement]) -> Result<usize, Error> {
    let mut waiting: Vec<Vec<&String>> = statements.iter().map(|statement| statement.texts().collect()).collect();
    loop {
        let texts: Vec<&str> = waiting.iter().filter_map(|texts| texts.first()).map(|text| text.as_str()).collect();
        let outcomes = connection.attempt(&texts).await?;
        let mut failed: Vec<_> =
            waiting.into_iter().zip(outcomes).filter_map(|(texts, outcome)| Some((texts, outcome?))).collect();
        let has_another = failed.iter().any(|(texts, _)| texts.len() > 1);
        if !has_another {
            failed.retain(|(_, why)| !DUPLICATES.contains(&why.code.as_str()));
            for (texts, why) in &failed {
                tracing::debug!(statement = texts.first().map(|text| text.as_str()), why = why.message, "left out");
            }
            return Ok(failed.len());
        }
        waiting = failed
            .into_iter()
            .map(|(mut texts, _)| {
                if texts.len() > 1 {
                    texts.remove(0);
                }
                texts
            })
            .collect();
    }
}

const RELATIONS: &str = "
SELECT n.nspname, c.relname, c.oid, a.attname, a.attnum
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relkind IN ('r', 'v', 'm', 'p', 'f') AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'";

const TYPES: &str = "
SELECT n.nspname, t.typname, t.oid, t.typarray, t.typrelid
FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
WHERE n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'";

const READER: &str = "SELECT CURRENT_USER";

/// Reads the numbers of what the database holds.
pub(super) async fn names(connection: &mut Connection, database: &str) -> Result<Names, Error> {
    let mut names = Names { database: database.to_owned(), ..Names::default() };
    let steps = [Step::new(RELATIONS), Step::new(TYPES), Step::new(READER)];
    let ran = connection
        .run(&steps, &mut |step, row| match step {
            0 => names.relation(&row),
            1 => names.type_of(&row),
            _ => {
                names.reader = row.text(0).unwrap_or_default().to_owned();
                Ok(())
            }
        })
        .await;
    ran.map_err(|failed| failed.error)?;
    names.server_version = connection.parameter_value("server_version").unwrap_or_default().to_owned();
    Ok(names)
}

impl Names {
    fn relation(&mut self, row: &Row) -> Result<(), String> {
        let (_, columns) = self.relations.entry(name(row)?).or_insert_with(|| (number(row, 2), HashMap::new()));
        if let Some(column) = row.text(3) {
            columns.insert(column.to_owned(), number(row, 4));
        }
        Ok(())
    }

    fn type_of(&mut self, row: &Row) -> Result<(), String> {
        let oids = Oids { relation: number(row, 4), row: number(row, 2), array: number(row, 3) };
        self.types.insert(name(row)?, oids);
        Ok(())
    }
}

fn name(row: &Row) -> Result<(String, String), String> {
    let text = |column| row.text(column).map(str::to_owned).ok_or_else(|| "a name is missing".to_owned());
    Ok((text(0)?, text(1)?))
}

fn number<T: std::str::FromStr + Default>(row: &Row, column: usize) -> T {
    row.text(column).and_then(|text| text.parse().ok()).unwrap_or_default()
}
