//! Writes what the session is into a statement of the catalog: the shadow's own user, database and connection are nobody's
//! business, and its server is nobody's session.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{functions, stand_ins};
use crate::plan::resolve::implied_name;
use crate::plan::{Error, OWN_SCHEMA};
use crate::statement::PartMut;
use crate::statement::tree::{
    Alias, Arguments, Call, Expression, Item, Literal, Name, Path, Query, Relation, Select, Spot, Type,
};

type Result<T> = std::result::Result<T, Error>;

/// What a session is, as a statement of the catalog may ask.
#[derive(Debug)]
pub struct SessionValues {
    /// The person.
    pub person: String,
    /// The source, which is the database to a client.
    pub source: String,
    /// The number by which the session can be cancelled.
    pub pid: i32,
    /// Where the client is.
    pub client: SocketAddr,
    /// Settings as SHOW tells them, by name in lower case.
    pub settings: BTreeMap<String, String>,
    /// The version of the server that answers, as it names itself.
    pub server_version: String,
    /// What the session has prepared: names, statements, parameter types.
    pub prepared: Vec<(String, Arc<str>, Arc<[u32]>)>,
    /// Whether anything was asked that another session of the same person answers otherwise.
    pub asked: AtomicBool,
}

impl SessionValues {
    /// Whether anything was asked that another session of the same person answers otherwise.
    pub fn were_asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }

    fn ask(&self) {
        self.asked.store(true, Ordering::Relaxed);
    }

    fn major_version(&self) -> u32 {
        let digits: String = self.server_version.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().unwrap_or(0)
    }
}

/// Fills a settled query in.
pub(in crate::plan) fn fill(query: &mut Query, values: &SessionValues) -> Result<()> {
    Filler::new(values).query(query)
}

/// So many queries of our own are put into one statement: each is longer than what it stands for.
const FILLED_MAX: usize = 1_000;

/// So many bytes of prepared statements one statement may be told, where it asks for them more than once.
const PREPARED_BYTES_MAX: usize = 4 << 20;

/// Columns that a version of PostgreSQL called otherwise, where clients of an earlier one ask for them by name.
/// Source: <https://www.postgresql.org/docs/17/release-17.html>.
const RENAMED: [(&str, u32, &str); 2] = [("daticulocale", 17, "datlocale"), ("colliculocale", 17, "colllocale")];

struct Filler<'v> {
    values: &'v SessionValues,
    /// Whether what is filled in is our own: it reads relations as they are.
    own: bool,
    /// What stands for `passgate.argument()`.
    argument: Option<Expression>,
    /// Whether this is within what the name of an owner is asked of, which is written twice.
    within_owner: bool,
    /// The bytes of prepared statements that were written.
    prepared_bytes: usize,
    /// The queries of our own that were put in.
    filled: usize,
}

impl<'v> Filler<'v> {
    fn new(values: &'v SessionValues) -> Self {
        Self { values, own: false, argument: None, within_owner: false, prepared_bytes: 0, filled: 0 }
    }

    /// For a query of our own, with what stands for its argument.
    fn own(values: &'v SessionValues, argument: Option<Expression>) -> Self {
        Self { own: true, argument, ..Self::new(values) }
    }

    /// One more query of our own is put in.
    fn count(&mut self) -> Result<()> {
        self.filled += 1;
        match self.filled > FILLED_MAX {
            true => Err(Error::new("54001", "statement asks too much of the catalog").hint("Ask it in several.")),
            false => Ok(()),
        }
    }

    fn query(&mut self, query: &mut Query) -> Result<()> {
        let names: Vec<Vec<Option<String>>> = query.selects().into_iter().map(unaliased).collect();
        query.each_part_mut(&mut |part| self.part(part))?;
        for (select, names) in query.selects_mut().into_iter().zip(names) {
            keep_names(select, names);
            for relation in select.from.iter_mut().flat_map(Relation::leaves_mut) {
                self.relation(relation)?;
            }
        }
        Ok(())
    }

    fn part(&mut self, part: PartMut<'_>) -> Result<()> {
        match part {
            PartMut::Query(query) => self.query(query),
            PartMut::Expression(of) => self.expression(of),
        }
    }

    fn relation(&mut self, relation: &mut Relation) -> Result<()> {
        let (query, name, alias) = match relation {
            Relation::Table { name, alias, .. } if !self.own => {
                let [schema, table] = name.0.as_slice() else { return Ok(()) };
                if schema.text == "pg_catalog" && table.text == "pg_prepared_statements" {
                    self.values.ask();
                }
                let found = match self.prepared(&schema.text, &table.text)? {
                    Some(prepared) => Ok(Some(prepared)),
                    None => stand_ins::stand_in(&schema.text, &table.text, self.values.major_version()),
                }?;
                let Some(mut query) = found else { return Ok(()) };
                self.count()?;
                Filler::own(self.values, None).query(&mut query)?;
                (query, table.clone(), alias.take())
            }
            Relation::Function { call, alias, ordinality: false, .. } => {
                let Some(constant) = self.of_call(call) else { return Ok(()) };
                let Some(name) = call.name.0.last().cloned() else { return Ok(()) };
                let named = alias.as_ref().map_or(&name, |alias| &alias.name).clone();
                (constant_query(constant, named), name, alias.take())
            }
            _ => return Ok(()),
        };
        let at = Spot(name.at);
        let alias = alias.unwrap_or_else(|| Alias { name, columns: Vec::new() });
        *relation = Relation::Query { lateral: false, query: Box::new(query), alias: Some(alias), at };
        Ok(())
    }

    /// `pg_prepared_statements`, where there are any. When and how they were prepared is not known.
    fn prepared(&mut self, schema: &str, table: &str) -> Result<Option<Query>> {
        let prepared = &self.values.prepared;
        if (schema, table) != ("pg_catalog", "pg_prepared_statements") || prepared.is_empty() {
            return Ok(None);
        }
        let bytes: usize = prepared.iter().map(|(name, statement, _)| name.len() + statement.len()).sum();
        if self.prepared_bytes > 0 && self.prepared_bytes.saturating_add(bytes) > PREPARED_BYTES_MAX {
            return Err(Error::new("54000", "statement asks too often for what is prepared"));
        }
        self.prepared_bytes = self.prepared_bytes.saturating_add(bytes);
        let literal = |text: &str| format!("'{}'", text.replace('\'', "''"));
        let row = |(name, statement, types): &(String, Arc<str>, Arc<[u32]>)| {
            let types: Vec<String> = types.iter().map(ToString::to_string).collect();
            format!("({}, {}, '{{{}}}')", literal(name), literal(statement), types.join(","))
        };
        let rows: Vec<String> = prepared.iter().map(row).collect();
        let results = if self.values.major_version() < 16 { "" } else { "NULL::regtype[] AS result_types, " };
        Ok(stand_ins::query(&format!(
            "SELECT given.name::text AS name, given.statement::text AS statement, pg_catalog.now() AS prepare_time, \
             given.types::oid[]::regtype[] AS parameter_types, {results}NULL::bool AS from_sql, \
             NULL::int8 AS generic_plans, NULL::int8 AS custom_plans \
             FROM (VALUES {}) AS given(name, statement, types)",
            rows.join(", ")
        )))
    }

    fn expression(&mut self, of: &mut Expression) -> Result<()> {
        if let Some(constant) = self.constant(of) {
            *of = constant;
            return Ok(());
        }
        match of {
            Expression::Column(path) if !self.own => self.follow_name(path),
            _ => {}
        }
        let around = self.within_owner;
        self.within_owner |= matches!(of, Expression::Call(call) if !self.own && is_owners_name(call));
        if around && matches!(of, Expression::Call(call) if is_owners_name(call)) {
            // It would double with each level.
            return Err(Error::new("0A000", "the owner of an owner is not supported by the gateway"));
        }
        of.each_part_mut(&mut |part| self.part(part))?;
        self.within_owner = around;
        match of {
            Expression::Call(call) if !self.own && is_owners_name(call) => self.owners_name(of),
            Expression::Call(call) if !self.own => {
                self.role_arguments(call)?;
                self.database_argument(call)?;
                if may_create(call) {
                    *of = Expression::Literal(Literal::Boolean(false));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Calls a column of the catalog as the version at hand does. An old client knows the version of the server that it was
    /// installed with, and the shadow may be of a later one.
    fn follow_name(&self, path: &mut Path) {
        let Some(last) = path.0.last_mut() else { return };
        let renamed =
            RENAMED.iter().find(|(name, version, _)| last.text == *name && self.values.major_version() >= *version);
        if let Some((_, _, now)) = renamed {
            last.text = (*now).to_owned();
        }
    }

    /// What an expression is in this session, where the shadow would say something else.
    fn constant(&mut self, of: &Expression) -> Option<Expression> {
        match of {
            Expression::Keyword { keyword: "CURRENT_USER" | "SESSION_USER" | "USER" | "CURRENT_ROLE", .. } => {
                Some(name(&self.values.person))
            }
            Expression::Keyword { keyword: "CURRENT_CATALOG", .. } => Some(name(&self.values.source)),
            Expression::Call(call) => self.of_call(call),
            _ => None,
        }
    }

    fn of_call(&mut self, call: &Call) -> Option<Expression> {
        let [schema, function] = call.name.0.as_slice() else { return None };
        if let Some(value) = functions::idle_setting(call) {
            return Some(cast(value.clone(), "text"));
        }
        let Arguments::List(arguments) = &call.arguments else { return None };
        let arguments: Vec<&Expression> = arguments.iter().map(|(_, of)| of).collect();
        let values = self.values;
        if is_of_one_session(&schema.text, &function.text) {
            values.ask();
        }
        if schema.text == OWN_SCHEMA {
            return match function.text.as_str() {
                "person" => Some(name(&values.person)),
                "source" => Some(name(&values.source)),
                "pid" => Some(number(values.pid)),
                "application_name" => Some(text(values.settings.get("application_name").map_or("", String::as_str))),
                "client_address" => Some(cast(string(&values.client.ip().to_string()), "inet")),
                "client_port" => Some(number(values.client.port().into())),
                "shadow_role" => Some(Expression::Keyword { keyword: "CURRENT_USER", precision: None }),
                "argument" => self.argument.clone(),
                "setting" => arguments.first().and_then(|of| setting_of(of, values)).or_else(|| Some(text(""))),
                _ => None,
            };
        }
        if schema.text != "pg_catalog" || self.own {
            return None;
        }
        match (function.text.as_str(), arguments.as_slice()) {
            ("current_database", []) => Some(name(&values.source)),
            ("current_user" | "session_user" | "getpgusername", []) => Some(name(&values.person)),
            ("pg_backend_pid", []) => Some(number(values.pid)),
            ("inet_client_addr", []) => Some(cast(string(&values.client.ip().to_string()), "inet")),
            ("inet_client_port", []) => Some(number(values.client.port().into())),
            ("inet_server_addr", []) => Some(cast(Expression::Literal(Literal::Null), "inet")),
            ("inet_server_port", []) => Some(cast(Expression::Literal(Literal::Null), "int4")),
            ("current_setting", [setting, ..]) => setting_of(setting, values),
            _ => None,
        }
    }

    /// Has functions that are given a role find the shadow's by the person's name; the shadow's server has no role of that
    /// name. Without a role `has_..._privilege(role, thing, privilege)` is asked of the session's own user.
    fn role_arguments(&mut self, call: &mut Call) -> Result<()> {
        let Some(function) = call.name.0.last() else { return Ok(()) };
        let of_roles = function.text == "pg_has_role";
        let most = if function.text == "has_column_privilege" { 4 } else { 3 };
        let Arguments::List(arguments) = &mut call.arguments else { return Ok(()) };
        let given = match arguments.len() {
            given if given == most && (of_roles || function.text.ends_with("_privilege")) => 1,
            _ => 0,
        };
        let roles = if of_roles { arguments.len().saturating_sub(1) } else { given };
        for (_, role) in arguments.iter_mut().take(roles).skip(given) {
            self.role(role)?;
        }
        match arguments.first_mut().filter(|_| given > 0) {
            Some((_, role)) if self.is_person(role) => drop(arguments.remove(0)),
            Some((_, role)) => self.role(role)?,
            None => {}
        }
        Ok(())
    }

    /// A role in place of what names one, or is its oid. A constant that is not the person's name stays what it is.
    fn role(&mut self, role: &mut Expression) -> Result<()> {
        const FOUND: &str = "SELECT CASE given.name WHEN 'public' THEN 0::oid ELSE known.oid END \
             FROM (SELECT (passgate.argument())::text) AS given(name) \
             LEFT JOIN pg_catalog.pg_roles AS known ON known.oid::text = given.name OR known.rolname::text = \
             CASE given.name WHEN (passgate.person())::text THEN (passgate.shadow_role())::text ELSE given.name END";
        match role {
            _ if self.is_person(role) => *role = Expression::Keyword { keyword: "CURRENT_USER", precision: None },
            Expression::Literal(_) | Expression::Parameter(_) => {}
            Expression::Cast { of, .. } if matches!(**of, Expression::Literal(_) | Expression::Parameter(_)) => {}
            _ => *role = self.looked_up(FOUND, role)?,
        }
        Ok(())
    }

    fn is_person(&self, of: &Expression) -> bool {
        match of {
            Expression::Literal(Literal::String(role)) => *role == self.values.person,
            Expression::Cast { of, .. } => {
                matches!(&**of, Expression::Literal(Literal::String(role)) if *role == self.values.person)
            }
            _ => false,
        }
    }

    /// A query of our own that finds what an argument means.
    fn looked_up(&mut self, found: &str, argument: &mut Expression) -> Result<Expression> {
        self.count()?;
        let mut query = stand_ins::query(found).ok_or_else(Error::internal)?;
        let argument = std::mem::replace(argument, Expression::Literal(Literal::Null));
        Filler::own(self.values, Some(argument)).query(&mut query)?;
        Ok(Expression::Query(Box::new(query)))
    }

    /// What is the shadow's is the person's: who looks an owner up among the roles finds them there.
    fn owners_name(&mut self, of: &mut Expression) -> Result<()> {
        const OWNER: &str = "SELECT CASE WHEN passgate.argument() = passgate.shadow_role() THEN passgate.person() \
             ELSE passgate.argument() END";
        self.count()?;
        let mut query = stand_ins::query(OWNER).ok_or_else(Error::internal)?;
        Filler::own(self.values, Some(of.clone())).query(&mut query)?;
        let item = query.selects_mut().into_iter().next().and_then(|select| select.items.pop());
        let Some(Item::Expression { of: owner, .. }) = item else { return Err(Error::internal()) };
        *of = owner;
        Ok(())
    }

    /// Has a function that is given a database by name find the shadow's by the source's name.
    fn database_argument(&mut self, call: &mut Call) -> Result<()> {
        const FOUND: &str = "SELECT known.oid FROM (SELECT (passgate.argument())::text) AS given(name) \
             JOIN pg_catalog.pg_database AS known ON known.oid::text = given.name \
             OR (known.datname = pg_catalog.current_database() AND given.name = (passgate.source())::text)";
        let Some(function) = call.name.0.last() else { return Ok(()) };
        let back = match function.text.as_str() {
            "has_database_privilege" => 2,
            "pg_database_size" => 1,
            _ => return Ok(()),
        };
        let Arguments::List(arguments) = &mut call.arguments else { return Ok(()) };
        let Some((_, given)) = arguments.len().checked_sub(back).and_then(|place| arguments.get_mut(place)) else {
            return Ok(());
        };
        *given = self.looked_up(FOUND, given)?;
        Ok(())
    }
}

/// Whether it is asked if the session's user may create schemas. The shadow's reader may, in what is its own.
fn may_create(call: &Call) -> bool {
    match (call.name.0.as_slice(), &call.arguments) {
        ([schema, name], Arguments::List(list)) if schema.text == "pg_catalog" => match list.as_slice() {
            [_, (_, Expression::Literal(Literal::String(privilege)))] => {
                name.text == "has_database_privilege" && privilege.trim().eq_ignore_ascii_case("create")
            }
            _ => false,
        },
        _ => false,
    }
}

fn is_owners_name(call: &Call) -> bool {
    matches!(call.name.0.as_slice(), [schema, name] if schema.text == "pg_catalog" && name.text == "pg_get_userbyid")
}

fn setting_of(named: &Expression, values: &SessionValues) -> Option<Expression> {
    let Expression::Literal(Literal::String(setting)) = named else { return None };
    values.settings.get(&setting.to_ascii_lowercase()).map(|value| text(value))
}

/// Whether two sessions of one person differ in the answer.
fn is_of_one_session(schema: &str, function: &str) -> bool {
    match schema {
        OWN_SCHEMA => ["pid", "application_name", "client_address", "client_port", "setting"].contains(&function),
        "pg_catalog" => function == "current_setting" || function == "pg_backend_pid" || function.starts_with("inet_"),
        _ => false,
    }
}

/// The names of the columns that have no alias.
fn unaliased(select: &Select) -> Vec<Option<String>> {
    let implied = |item: &Item| match item {
        Item::Expression { of, alias: None } => Some(implied_name(of).0),
        _ => None,
    };
    select.items.iter().map(implied).collect()
}

/// Gives columns back the names that they had before constants were put in them.
fn keep_names(select: &mut Select, names: Vec<Option<String>>) {
    for (item, before) in select.items.iter_mut().zip(names) {
        if let (Item::Expression { of, alias: alias @ None }, Some(before)) = (item, before)
            && implied_name(of).0 != before
        {
            *alias = Some(Name::invented(before));
        }
    }
}

fn constant_query(of: Expression, named: Name) -> Query {
    let at = Spot(named.at);
    let select = Select {
        items: vec![Item::Expression { of, alias: Some(named) }],
        from: Vec::new(),
        ..Select::everything_from(
            Relation::Table { name: Path(Vec::new()), only: false, alias: None, sample: None },
            at,
        )
    };
    Query {
        with: None,
        body: crate::statement::tree::Body::Select(Box::new(select)),
        order_by: Vec::new(),
        limit: None,
        offset: None,
    }
}

fn string(text: &str) -> Expression {
    Expression::Literal(Literal::String(text.to_owned()))
}

fn cast(of: Expression, to: &str) -> Expression {
    let to = Type { name: to.to_owned(), modifiers: Vec::new(), dimensions: 0 };
    Expression::Cast { of: Box::new(of), to }
}

fn name(text: &str) -> Expression {
    cast(string(text), "name")
}

fn text(value: &str) -> Expression {
    cast(string(value), "text")
}

fn number(value: i32) -> Expression {
    cast(string(&value.to_string()), "int4")
}
