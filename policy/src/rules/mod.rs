//! The kinds of rules: one file per kind, one row in [`RULES`].
//!
//! A row carries the kind's manual, its keys, a policy that is accepted and one that is refused, and the function that
//! compiles all policies of the kind into one [`Judge`]. A kind whose rule always holds compiles to it from no policy.

use crate::Tag;
use crate::audience;
use crate::classification::read_tag;
use crate::compile::{Context, Policy};
use crate::decide::Judge;
use crate::fields::{Field, Shape, Text, Word};
use crate::names::{ColumnName, ObjectName};
use crate::problem::did_you_mean;

/// Defines a row whose doc comment is its manual.
macro_rules! rule_kind {
    ($(#[doc = $manual:literal])+ $name:ident { $($field:ident: $value:expr,)+ }) => {
        $(#[doc = $manual])+
        pub(super) static $name: $crate::rules::RuleKind =
            $crate::rules::RuleKind { manual: concat!($($manual, "\n"),+), $($field: $value),+ };
    };
}

mod allow;
mod block;
mod bounded_work;
mod filter;
mod limit;
mod mask;
mod no_cross_join;
mod no_mutations;
mod redirect;
mod require_approval;
mod row_limit;
mod schema_whitelist;
mod warn;

/// One kind of rule.
pub(crate) struct RuleKind {
    /// Its name, as `check` or `action` gives it.
    pub(crate) name: &'static str,
    /// Which of the two gives it.
    pub(crate) named_by: NamedBy,
    /// What it does and why: the doc comment.
    pub(crate) manual: &'static str,
    /// The keys of its own, beside [`COMMON_FIELDS`].
    pub(crate) fields: &'static [Field],
    /// A policy file that is accepted.
    pub(crate) accepted: &'static str,
    /// A policy file that is refused, and why.
    pub(crate) refused: Refused,
    /// Whether policies of this kind let more through, so that what one of them does depends on the others.
    pub(crate) grants: bool,
    /// Compiles all policies of this kind, reporting every problem in them.
    pub(crate) compile: fn(&[Policy<'_>], &mut Context<'_>) -> Box<dyn Judge>,
}

/// The key that says of which kind a policy is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NamedBy {
    /// `check`: a rule about how statements are written, which always holds.
    Check,
    /// `action`: what is done where the policy's own condition holds.
    Action,
}

impl NamedBy {
    /// The key.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::Check => "check",
            Self::Action => "action",
        }
    }
}

/// A policy file that is refused.
pub(crate) struct Refused {
    /// Its text.
    pub(crate) file: &'static str,
    /// The problem as it prints, without the file's name.
    pub(crate) problem: &'static str,
}

/// Every kind of rule. What comes first here is told first when several refuse.
pub(crate) static RULES: [&RuleKind; 13] = [
    &block::BLOCK,
    &no_mutations::NO_MUTATIONS,
    &schema_whitelist::SCHEMA_WHITELIST,
    &allow::ALLOW,
    &no_cross_join::NO_CROSS_JOIN,
    &bounded_work::BOUNDED_WORK,
    &redirect::REDIRECT,
    &filter::FILTER,
    &mask::MASK,
    &limit::LIMIT,
    &row_limit::ROW_LIMIT,
    &require_approval::REQUIRE_APPROVAL,
    &warn::WARN,
];

/// The keys that a policy with an `action` may have, beside those of its kind.
pub(crate) const ACTION_FIELDS: &[Field] = &[
    Field { name: "action", shape: Shape::Text, required: true, manual: "What is done where the condition holds." },
    Field {
        name: "condition",
        shape: Shape::Condition,
        required: false,
        manual: "What must be true for the action to be done. Several keys must all hold.",
    },
    Field {
        name: "when",
        shape: Shape::Text,
        required: false,
        manual: "The same as an expression in CEL, in place of `condition`: `time.hour < 6 && 'finance' in user.groups`.",
    },
];

/// The keys that every policy may have.
pub(crate) const COMMON_FIELDS: &[Field] = &[
    Field {
        name: "$schema",
        shape: Shape::Text,
        required: false,
        manual: "Where an editor finds the schema of policy files; ignored otherwise.",
    },
    Field {
        name: "name",
        shape: Shape::Text,
        required: true,
        manual: "What the policy is called, in refusals and in the audit log. No two policies share a name.",
    },
    Field {
        name: "description",
        shape: Shape::Text,
        required: false,
        manual: "What it is for, for those who read the file. Never shown to the people it applies to.",
    },
    Field {
        name: "check",
        shape: Shape::Text,
        required: false,
        manual: "The kind of rule, where it is one about how statements are written.",
    },
    Field {
        name: "applies_to",
        shape: Shape::Object(audience::FIELDS),
        required: false,
        manual: "Whom and which sources it is for; everybody and all sources where it is left out.",
    },
    Field {
        name: "message",
        shape: Shape::Text,
        required: false,
        manual: "What a person reads when this policy refuses a statement.",
    },
    Field {
        name: "mode",
        shape: Shape::Word(MODES),
        required: false,
        manual: "Whether the policy acts, or only records what it would have done. Default: `enforce`.",
    },
    Field {
        name: "priority",
        shape: Shape::Integer,
        required: false,
        manual: "Of several policies that refuse a statement, the one with the highest number is told first. It changes \
                 nothing else. Default: 0.",
    },
    Field {
        name: "unknown_ok",
        shape: Shape::Flag,
        required: false,
        manual: "Accept names that no source has, such as a table that is yet to be made: they are warnings, not \
                 errors.",
    },
];

/// Whether a policy acts.
pub(crate) const MODES: &[Word] = &[
    Word { name: "enforce", manual: "It acts." },
    Word { name: "shadow", manual: "It changes no decision; what it would have done is recorded with the decision." },
];

/// The key under which several kinds name tables.
const TABLES: Field = Field {
    name: "tables",
    shape: Shape::Names,
    required: false,
    manual: "Tables and views, as `schema.table`, or `table` for that one in any schema.",
};

/// The tables that a policy names, reporting those that cannot be meant.
fn tables_of(policy: &Policy<'_>, context: &mut Context<'_>) -> Vec<ObjectName> {
    let mut names = Vec::new();
    for written in policy.body.names("tables") {
        match ObjectName::read(written.value) {
            Ok(name) => {
                let known = context.known.map(|known| known.check_table(&name, policy.audience.sources()));
                if let Some(Err(unknown)) = known {
                    let problem = written.problem(format!("no table is called \"{}\"", written.value), unknown.0);
                    context.report_unknown(problem, policy.unknown_ok);
                }
                names.push(name);
            }
            Err(fault) => context.problems.push(written.problem(fault.message, fault.suggestion)),
        }
    }
    names
}

/// The columns that a policy names, reporting those that cannot be meant.
fn columns_of<'d>(policy: &Policy<'d>, context: &mut Context<'_>) -> Vec<(Text<'d>, ColumnName)> {
    let mut names = Vec::new();
    for written in policy.body.names("columns") {
        match ColumnName::read(written.value) {
            Ok(name) => {
                let known = context.known.map(|known| known.check_column(&name, policy.audience.sources()));
                if let Some(Err(unknown)) = known {
                    let problem = written.problem(format!("no column is called \"{}\"", written.value), unknown.0);
                    context.report_unknown(problem, policy.unknown_ok);
                }
                names.push((written, name));
            }
            Err(fault) => context.problems.push(written.problem(fault.message, fault.suggestion)),
        }
    }
    names
}

/// What the tags of a policy are looked for on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tagged {
    Tables,
    Columns,
}

/// The tags that a policy names, reporting those that nothing has.
fn tags_of(policy: &Policy<'_>, context: &mut Context<'_>, on: Tagged) -> Vec<Tag> {
    let mut tags = Vec::new();
    for written in policy.body.names("tags") {
        let Some(tag) = read_tag(&written, context) else { continue };
        if let Some(problem) = unknown_tag(&written, &tag, policy, context, on) {
            context.report_unknown(problem, policy.unknown_ok);
        }
        tags.push(tag);
    }
    tags
}

/// Why nothing can have a tag: neither `tags.json` nor a comment gives it. What a source's comments say is known once the
/// source was read.
fn unknown_tag(
    written: &Text<'_>,
    tag: &Tag,
    policy: &Policy<'_>,
    context: &Context<'_>,
    on: Tagged,
) -> Option<crate::Problem> {
    let known = context.known.filter(|known| known.is_complete(policy.audience.sources()))?;
    let (given, others) = match on {
        Tagged::Tables => (known.table_tags(), known.column_tags()),
        Tagged::Columns => (known.column_tags(), known.table_tags()),
    };
    if given.iter().any(|given| tag.covers(given)) {
        return None;
    }
    let (noun, other) = if on == Tagged::Tables { ("table", "columns") } else { ("column", "tables") };
    let message = format!("no {noun} has the tag \"{}\"", written.value);
    Some(match others.iter().any(|other| tag.covers(other)) {
        true => written.problem(format!("{message}; {other} do"), None),
        false => written.problem(message, did_you_mean(written.value, given.iter().map(Tag::as_str))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::Words;
    use crate::{PolicyFile, compile};

    fn compiled(text: &str) -> Result<crate::PolicySet, String> {
        let file = PolicyFile { path: "p.json".to_owned(), text: text.to_owned() };
        compile(&[file], None, &Words).map_err(|problems| {
            problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n").replace("p.json:", "")
        })
    }

    #[test]
    fn every_row_has_a_manual_an_accepted_and_a_refused_file() {
        for kind in RULES {
            assert!(kind.manual.lines().count() > 2, "{}: say what it does and why", kind.name);
            compiled(kind.accepted).unwrap_or_else(|problems| panic!("{}: {problems}", kind.name));
            assert_eq!(compiled(kind.refused.file).unwrap_err(), kind.refused.problem, "{}", kind.name);
        }
    }

    #[test]
    fn no_two_rows_share_a_name_and_none_takes_a_common_key() {
        let mut names: Vec<_> = RULES.iter().map(|kind| kind.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), RULES.len());
        for field in RULES.iter().flat_map(|kind| kind.fields) {
            assert!(COMMON_FIELDS.iter().all(|common| common.name != field.name), "{}", field.name);
        }
    }

    #[test]
    fn every_field_of_every_kind_has_its_sentence() {
        for field in COMMON_FIELDS.iter().chain(RULES.iter().flat_map(|kind| kind.fields)) {
            assert!(field.manual.ends_with('.'), "{}", field.name);
        }
    }
}
