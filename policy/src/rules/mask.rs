//! `mask`: what a person sees in place of a column's values.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{NamedBy, Refused, Tagged, columns_of, tags_of};
use crate::compile::{Context, Policy};
use crate::condition::Truth;
use crate::decide::{Header, Judge, Verdict};
use crate::fields::{Field, Shape, Text, Word};
use crate::governed::{Asked, ByTable, ByTag, Demand, Reached, Tables};
use crate::names::ColumnName;
use crate::read_sql::{ReadSql, missing};
use crate::types::{Misfit, fits};
use crate::{ColumnUse, Mask, Place, Reason, Request, TableKind, TableName, Tag};

/// What a fixed mask shows where the policy does not say.
const FIXED_DEFAULT: &str = "***";

/// How many characters a partial mask shows where the policy does not say.
const LAST_DEFAULT: u64 = 4;

rule_kind! {
    /// People see something else in place of the values of these columns. NULL stays NULL, except under `fixed`.
    ///
    /// A column is masked wherever it is read: under views, which are governed by what they read, and in every partition
    /// or child of its table. Several masks of one column do not add up: the strongest holds, in the order `null`,
    /// `fixed`, `hash`, `partial` (the fewer shown the stronger), `year`, `round` (the larger the stronger),
    /// `expression`. A mask has to fit the type of the column; where a tag brings it to a column that it does not fit,
    /// statements that use the column are refused.
    ///
    /// With `predicates` as `deny`, a masked column may only be shown: a statement that chooses, joins, groups or orders
    /// rows by it is refused. Otherwise it does so by the masked values.
    MASK {
        name: "mask",
        named_by: NamedBy::Action,
        fields: &[
            Field {
                name: "columns",
                shape: Shape::Names,
                required: false,
                manual: "Columns, as `schema.table.column`, or `table.column` for that table in any schema.",
            },
            Field {
                name: "tags",
                shape: Shape::Names,
                required: false,
                manual: "Columns that have one of these tags; `pii` means `pii.ssn` too.",
            },
            Field { name: "with", shape: Shape::Word(MASKS), required: true, manual: "What is shown." },
            Field {
                name: "value",
                shape: Shape::Text,
                required: false,
                manual: "The constant that `fixed` shows; of the type of the column, as text. Default: `***`.",
            },
            Field {
                name: "last",
                shape: Shape::Count,
                required: false,
                manual: "How many characters `partial` shows. Default: 4.",
            },
            Field {
                name: "to",
                shape: Shape::Amount,
                required: false,
                manual: "The number to whose nearest multiple `round` rounds.",
            },
            Field {
                name: "expression",
                shape: Shape::Text,
                required: false,
                manual: "SQL over the columns of the table and the person's attributes, as in a filter.",
            },
            Field {
                name: "predicates",
                shape: Shape::Word(PREDICATES),
                required: false,
                manual: "Whether rows may be chosen, joined, grouped and ordered by the column. Default: `masked`.",
            },
        ],
        accepted: include_str!("../../examples/mask.json"),
        refused: Refused {
            file: r#"{ "name": "ssn", "action": "mask", "columns": ["ssn"], "with": "round", "last": 4 }"#,
            problem: "1:48: \"ssn\" does not say of which table; write \"table.column\" or \"schema.table.column\"\n\
                      1:56: \"round\" does not say how; add \"to\": a number above 0, in digits\n\
                      1:73: \"last\" says nothing with \"round\"; leave it out",
        },
        grants: false,
        compile: compile,
    }
}

const MASKS: &[Word] = &[
    Word { name: "null", manual: "NULL." },
    Word { name: "fixed", manual: "The constant `value`, in place of NULL too. Any type of which it is a value." },
    Word {
        name: "hash",
        manual: "A digest of the value and a secret of the tenant: the same for the same value, so that it can be \
                 joined and counted. Texts.",
    },
    Word { name: "partial", manual: "`*` for every character but the `last` few. Texts." },
    Word { name: "year", manual: "The first of January of its year. Dates and timestamps." },
    Word { name: "round", manual: "The nearest multiple of `to`. Numbers." },
    Word { name: "expression", manual: "The value of `expression`." },
];

const PREDICATES: &[Word] =
    &[Word { name: "masked", manual: "By the masked values." }, Word { name: "deny", manual: "Not at all." }];

/// All masks, and those (by number) that are about a column.
#[derive(Debug, Default)]
struct Masks {
    rules: Vec<Rule>,
    by_column: ByTable<(Box<str>, usize)>,
    by_tag: ByTag,
}

#[derive(Debug)]
struct Rule {
    header: Header,
    with: With,
    deny_predicates: bool,
}

#[derive(Debug)]
enum With {
    Mask(Mask),
    Expression(ReadSql),
}

/// A column that a rule may mask, and whether the mask is for the column itself: that of a view which it has a tag from
/// is masked below.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Masked<'r> {
    column: &'r str,
    number: usize,
    below: bool,
}

fn compile(policies: &[Policy<'_>], context: &mut Context<'_>) -> Box<dyn Judge> {
    let mut masks = Masks::default();
    let mut rivals = Vec::new();
    for policy in policies {
        rivals.extend(masks.read(policy, context));
    }
    report_unordered(&masks.rules, &rivals, context);
    Box::new(masks)
}

/// A mask that may meet another of the same strength: what it is for, as written.
struct Rival<'p, 'd> {
    policy: &'p Policy<'d>,
    number: usize,
    columns: Vec<ColumnName>,
    tags: Vec<Tag>,
}

impl Masks {
    fn read<'p, 'd>(&mut self, policy: &'p Policy<'d>, context: &mut Context<'_>) -> Option<Rival<'p, 'd>> {
        let body = policy.body;
        if !body.has("columns") && !body.has("tags") {
            let suggestion = Some("add \"columns\" or \"tags\"".to_owned());
            context.problems.push(body.problem("the mask names no column".to_owned(), suggestion));
        }
        let columns = columns_of(policy, context);
        let tags = tags_of(policy, context, Tagged::Columns);
        let with = read_with(policy, context)?;
        with.check(policy, &columns, context);
        let number = self.rules.len();
        tags.iter().for_each(|tag| self.by_tag.add(tag, number));
        let deny_predicates = body.text("predicates").is_some_and(|word| word.value == "deny");
        let columns: Vec<ColumnName> = columns.into_iter().map(|(_, name)| name).collect();
        for ColumnName { table, column } in &columns {
            self.by_column.add(table.clone(), (column.clone(), number));
        }
        let has_rivals = matches!(with, With::Mask(Mask::Fixed(_)) | With::Expression(_));
        self.rules.push(Rule { header: policy.into(), with, deny_predicates });
        has_rivals.then_some(Rival { policy, number, columns, tags })
    }

    /// The columns of a table that rules may mask, in the order of their names and of the files.
    fn about<'r>(&'r self, tables: &Tables, reached: &'r Reached) -> BTreeSet<Masked<'r>> {
        let facts = &reached.facts;
        let is_there = |column: &str| facts.columns.is_empty() || facts.column(column).is_some();
        let named = self.by_column.about(facts).filter(|(column, _)| is_there(column));
        let mut found: BTreeSet<Masked<'r>> =
            named.map(|(column, number)| Masked { column, number: *number, below: false }).collect();
        if self.by_tag.is_empty() {
            return found;
        }
        for column in &facts.columns {
            let below = |tag: &Tag| facts.kind == TableKind::View && column.inherited_tags.contains(tag);
            for tag in tables.tags_of(facts, column) {
                let masked = |number| Masked { column: &column.name, number, below: below(tag) };
                found.extend(self.by_tag.about(tag).map(masked));
            }
        }
        found
    }
}

impl Judge for Masks {
    fn judge(&self, request: &Request, verdict: &mut Verdict) {
        if self.rules.is_empty() {
            return;
        }
        let tables = verdict.tables(request);
        let mut truths: BTreeMap<usize, Truth> = BTreeMap::new();
        let used = used_columns(request);
        for (table, reached) in tables.iter() {
            for Masked { column, number, below } in self.about(&tables, reached) {
                let Some(rule) = self.rules.get(number) else { continue };
                if !rule.header.audience.covers(&reached.facts.name.source) {
                    continue;
                }
                match truths.entry(number).or_insert_with(|| rule.header.truth(request)) {
                    Truth::False => continue,
                    Truth::NeedsEstimate => verdict.need_estimate(),
                    Truth::True | Truth::Unknown(_) => {}
                }
                let used = used.get(&(&reached.facts.name, column));
                if let Some(at) = used.and_then(|used| used.in_predicate).filter(|_| rule.deny_predicates) {
                    verdict.deny_column(table, column, rule.used_in_predicate(reached, column, at));
                }
                if !below {
                    let place = Site { table, reached, column, number, used_at: used.map(|used| used.at) };
                    rule.mask(request, &place, verdict);
                }
            }
        }
    }
}

impl Rule {
    fn mask(&self, request: &Request, site: &Site<'_>, verdict: &mut Verdict) {
        let Site { table, reached, column, number, used_at } = *site;
        let mask = match &self.with {
            With::Mask(mask) => match reached.facts.column(column).map(|column| fits(mask, &column.type_name)) {
                Some(Err(misfit)) => {
                    if let Some(at) = used_at {
                        verdict.deny_column(table, column, self.misfit(reached, column, &misfit, at));
                    }
                    // Nobody uses the column, and this fits every type.
                    Mask::Null
                }
                Some(Ok(())) | None => mask.clone(),
            },
            With::Expression(expression) => {
                if let Some(why) = expression.misfit(&reached.facts) {
                    return verdict.deny(|| self.no_expression(reached, column, &why));
                }
                match expression.of(&request.identity) {
                    Ok(sql) => Mask::Expression(sql),
                    Err(absent) => return verdict.deny(|| missing(&self.header, absent, &reached.facts, reached.at)),
                }
            }
        };
        let what = Asked::Mask { column: column.into(), mask };
        verdict.demand(Demand { table, what, number, rule: self.header.rule.clone() });
    }

    fn used_in_predicate(&self, reached: &Reached, column: &str, at: Place) -> Reason {
        let rule = &self.header.rule;
        let name = format!("{}.{column}", reached.facts.name);
        Reason {
            rule: rule.clone(),
            message: self.header.message_or(|| format!("rows may not be chosen, joined, grouped or ordered by {name}")),
            detail: format!("policy \"{}\" masks {name} and denies it in predicates", rule.policy),
            hint: format!("Only show {column}, or {}.", self.header.owner()),
            at: Some(at),
        }
    }

    fn misfit(&self, reached: &Reached, column: &str, misfit: &Misfit, at: Place) -> Reason {
        let rule = &self.header.rule;
        Reason {
            rule: rule.clone(),
            message: format!("permission denied for column {}.{column}", reached.facts.name),
            detail: format!("policy \"{}\" cannot mask it: the column {}", rule.policy, misfit.why),
            hint: format!("Leave {column} out, or {}.", self.header.owner()),
            at: Some(at),
        }
    }

    fn no_expression(&self, reached: &Reached, column: &str, why: &str) -> Reason {
        let Header { rule, .. } = &self.header;
        Reason {
            rule: rule.clone(),
            message: format!("permission denied for table {}", reached.facts.name),
            detail: format!("policy \"{}\" cannot mask its column {column}: {why}", rule.policy),
            hint: format!("To read it, {}.", self.header.owner()),
            at: Some(reached.at),
        }
    }
}

/// Where a rule meets a column.
struct Site<'r> {
    table: usize,
    reached: &'r Reached,
    column: &'r str,
    number: usize,
    /// Where the statement uses the column, if it does.
    used_at: Option<Place>,
}

/// Where a statement uses a column.
#[derive(Clone, Copy, Debug)]
struct Used {
    at: Place,
    in_predicate: Option<Place>,
}

fn used_columns(request: &Request) -> HashMap<(&TableName, &str), Used> {
    let mut columns: HashMap<(&TableName, &str), Used> = HashMap::new();
    for ColumnUse { table, column, in_predicate, at, .. } in &request.columns {
        let used = columns.entry((&table.name, column)).or_insert(Used { at: *at, in_predicate: None });
        if *in_predicate {
            used.in_predicate.get_or_insert(*at);
        }
    }
    columns
}

/// What is shown, or `None` where the policy has a problem there.
fn read_with(policy: &Policy<'_>, context: &mut Context<'_>) -> Option<With> {
    let body = policy.body;
    let word = body.text("with")?;
    for (key, of) in [("value", "fixed"), ("last", "partial"), ("to", "round"), ("expression", "expression")] {
        if body.has(key) && word.value != of {
            let message = format!("\"{key}\" says nothing with \"{}\"", word.value);
            context.problems.push(body.problem_at(key, message, Some("leave it out".to_owned())));
        }
    }
    if word.value == "hash" && !context.sql.hashes() {
        let suggestion = "set \"policies\": { \"hash_secret\": ... } in the gateway's settings, or use another mask";
        let message = "there is no secret to make hashes with".to_owned();
        context.problems.push(word.problem(message, Some(suggestion.to_owned())));
    }
    let mut without = |key: &str, shape: Shape| {
        if !body.has(key) {
            let suggestion = Some(format!("add \"{key}\": {}", shape.described()));
            context.problems.push(body.problem_at("with", format!("\"{}\" does not say how", word.value), suggestion));
        }
    };
    Some(With::Mask(match word.value {
        "null" => Mask::Null,
        "fixed" => Mask::Fixed(body.text("value").map_or(FIXED_DEFAULT, |value| value.value).into()),
        "hash" => Mask::Hash,
        "partial" => {
            let last = body.count("last").unwrap_or(LAST_DEFAULT);
            Mask::Partial { last: last.try_into().unwrap_or(u32::MAX) }
        }
        "year" => Mask::Year,
        "round" => {
            without("to", Shape::Amount);
            Mask::Round { to: body.amount("to")?.into() }
        }
        "expression" => {
            without("expression", Shape::Text);
            return ReadSql::compile(&body.text("expression")?, context).map(With::Expression);
        }
        _ => return None,
    }))
}

impl With {
    /// Reports the columns that it cannot mask.
    fn check(&self, policy: &Policy<'_>, columns: &[(Text<'_>, ColumnName)], context: &mut Context<'_>) {
        let Some(known) = context.known else { return };
        for (written, name) in columns {
            let tables = || known.tables_named(&name.table, policy.audience.sources());
            match self {
                Self::Mask(mask) => {
                    for type_name in tables().filter_map(|table| known.columns(table)?.get(&*name.column)) {
                        if let Err(Misfit { why, suggestion }) = fits(mask, type_name) {
                            let message = format!("column {} {why}", written.value);
                            context.problems.push(written.problem(message, Some(suggestion.to_owned())));
                        }
                    }
                }
                Self::Expression(expression) => {
                    if let Some(sql) = policy.body.text("expression") {
                        expression.check_columns(&sql, tables(), policy.unknown_ok, context);
                    }
                }
            }
        }
    }
}

/// Reports masks of which neither is stronger, and that could meet on one column for one person.
fn report_unordered(rules: &[Rule], rivals: &[Rival<'_, '_>], context: &mut Context<'_>) {
    for (one, other) in meetings(rivals, context) {
        let (Some(one), Some(other)) = (rivals.get(one), rivals.get(other)) else { continue };
        let (Some(first), Some(second)) = (rules.get(one.number), rules.get(other.number)) else { continue };
        if are_ordered(&first.with, &second.with) || one.policy.audience.is_apart_from(&other.policy.audience) {
            continue;
        }
        let earlier = &first.header.rule;
        let message = format!(
            "policy \"{}\" ({}:{}) may mask the same column in another way, and neither mask is stronger",
            earlier.policy, earlier.file, earlier.line
        );
        let suggestion = "agree on one, or apply them to different users, tenants or sources".to_owned();
        context.problems.push(other.policy.body.problem_at("with", message, Some(suggestion)));
    }
}

/// Pairs of rivals, the earlier first, that name one column, or tags of which one covers the other, or a column and a tag
/// that `tags.json` gives it.
fn meetings(rivals: &[Rival<'_, '_>], context: &Context<'_>) -> BTreeSet<(usize, usize)> {
    let mut by_column: HashMap<(&str, &str), Vec<(&ColumnName, usize)>> = HashMap::new();
    let mut by_tag = ByTag::default();
    for (index, rival) in rivals.iter().enumerate() {
        for name in &rival.columns {
            by_column.entry((&name.table.name, &name.column)).or_default().push((name, index));
        }
        rival.tags.iter().for_each(|tag| by_tag.add(tag, index));
    }
    let mut met = BTreeSet::new();
    for (index, rival) in rivals.iter().enumerate() {
        let mut meet = |other: usize| {
            if other != index {
                met.insert((index.min(other), index.max(other)));
            }
        };
        for name in &rival.columns {
            let same = by_column.get(&(&*name.table.name, &*name.column)).into_iter().flatten();
            same.filter(|(other, _)| may_be_same(other, name)).for_each(|(_, other)| meet(*other));
            for tag in tags_given(name, rival.policy, context) {
                by_tag.about(&tag).for_each(&mut meet);
            }
        }
        rival.tags.iter().for_each(|tag| by_tag.about(tag).for_each(&mut meet));
    }
    met
}

fn may_be_same(one: &ColumnName, other: &ColumnName) -> bool {
    match (&one.table.schema, &other.table.schema) {
        (Some(one), Some(other)) => one == other,
        (None, _) | (_, None) => true,
    }
}

/// The tags that `tags.json` gives the columns of a name.
fn tags_given(name: &ColumnName, policy: &Policy<'_>, context: &Context<'_>) -> BTreeSet<Tag> {
    let known = context.known.into_iter();
    let tables = known.flat_map(|known| known.tables_named(&name.table, policy.audience.sources()));
    tables.flat_map(|table| context.classification.of_column(table, &name.column)).collect()
}

/// Whether one of two masks is stronger, or both are the same.
fn are_ordered(one: &With, other: &With) -> bool {
    match (one, other) {
        (With::Mask(Mask::Fixed(one)), With::Mask(Mask::Fixed(other))) => one == other,
        (With::Expression(one), With::Expression(other)) => one.is_same(other),
        (With::Mask(_) | With::Expression(_), _) => true,
    }
}
