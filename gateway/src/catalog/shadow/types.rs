//! Schemas, types and functions as statements.

use passgate_connectors::{Function, Statement, Type, TypeForm};

use super::scope::Scope;
use super::words::{comment, literal, qualified, quoted, type_name};

/// Schemas with their comments. A database begins with the schema `public`, which the source may lack.
pub(super) fn schemas(scope: &Scope<'_>, statements: &mut Vec<Statement>) {
    if !scope.schemas.contains("public") {
        statements.push("DROP SCHEMA public".to_owned().into());
    }
    for name in scope.schemas.iter().filter(|name| **name != "public") {
        statements.push(format!("CREATE SCHEMA {}", quoted(name)).into());
    }
    for schema in scope.snapshot.schemas().iter().filter(|schema| scope.schemas.contains(schema.name.as_str())) {
        let on = || format!("SCHEMA {}", quoted(&schema.name));
        statements.extend(comment(on, schema.comment.as_deref()).map(Statement::from));
    }
}

/// Types, each after those that it is made of.
pub(super) fn types(scope: &Scope<'_>, statements: &mut Vec<Statement>) {
    for of in &scope.types {
        statements.push(made(of));
        if of.extension.is_none() {
            let kind = if matches!(of.form, TypeForm::Domain { .. }) { "DOMAIN" } else { "TYPE" };
            let on = || format!("{kind} {}", type_name(of));
            statements.extend(comment(on, of.comment.as_deref()).map(Statement::from));
        }
    }
}

fn made(of: &Type) -> Statement {
    let name = type_name(of);
    match &of.form {
        TypeForm::Enum { labels } => {
            let labels: Vec<String> = labels.iter().map(|label| literal(label)).collect();
            format!("CREATE TYPE {name} AS ENUM ({})", labels.join(", ")).into()
        }
        TypeForm::Composite { columns } => {
            let columns = columns.iter().map(|column| format!("{} {}", quoted(&column.name), column.type_name));
            format!("CREATE TYPE {name} AS ({})", columns.collect::<Vec<_>>().join(", ")).into()
        }
        TypeForm::Range { of, .. } => format!("CREATE TYPE {name} AS RANGE (SUBTYPE = {of})").into(),
        TypeForm::Domain { base, not_null, default, collation, checks, .. } => {
            let mut text = format!("CREATE DOMAIN {name} AS {base}");
            text.extend(collation.iter().map(|collation| format!(" COLLATE {collation}")));
            let plain = text.clone();
            text.extend(default.iter().map(|default| format!(" DEFAULT {default}")));
            text.push_str(if *not_null { " NOT NULL" } else { "" });
            text.extend(checks.iter().map(|check| format!(" CONSTRAINT {} {}", quoted(&check.name), check.definition)));
            Statement::or(text, [plain])
        }
        // SQL cannot make such a type, but its extension can; otherwise something takes its name.
        TypeForm::Base => {
            let stand_in = format!("CREATE DOMAIN {name} AS text");
            match &of.extension {
                Some(extension) => {
                    let made =
                        format!("CREATE EXTENSION IF NOT EXISTS {} SCHEMA {}", quoted(extension), quoted(&of.schema));
                    Statement::or(made, [stand_in])
                }
                None => stand_in.into(),
            }
        }
    }
}

/// Functions as they are declared, without what they do: they are looked at here, never called. Those that take or give
/// rows of tables can be made only after the tables.
pub(super) fn functions(scope: &Scope<'_>, after_tables: bool, statements: &mut Vec<Statement>) {
    let mut functions: Vec<&Function> = scope
        .snapshot
        .functions()
        .filter(|function| scope.schemas.contains(function.schema.as_str()) && !function.details.of_extension)
        .filter(|function| function.details.types.iter().any(|oid| scope.row_types.contains(oid)) == after_tables)
        .collect();
    functions.sort_by_key(|function| (&function.schema, &function.name, &function.arguments));
    for function in functions {
        let Some(word) = function.details.word else { continue };
        statements.push(declared(function, word).into());
        let on = || {
            let name = qualified(&function.schema, &function.name);
            format!("{word} {name}({})", function.arguments.join(", "))
        };
        statements.extend(comment(on, function.details.comment.as_deref()).map(Statement::from));
    }
}

fn declared(function: &Function, word: &str) -> String {
    let details = &function.details;
    let name = qualified(&function.schema, &function.name);
    // Other languages may not be there, or be for superusers only.
    let language = if details.language == "sql" { "sql" } else { "plpgsql" };
    let mut text = format!("CREATE {word} {name}({})", details.signature);
    if let Some(result) = &details.result {
        let strict = if details.strict { " STRICT" } else { "" };
        text.push_str(&format!(" RETURNS {result} {}{strict}", details.volatility));
    }
    text.push_str(&format!(" LANGUAGE {language} AS ''"));
    text
}
