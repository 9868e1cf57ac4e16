//! The kinds of rules: one file per kind, one row in [`RULES`].
//!
//! A row carries the kind's manual, its keys, a policy that is accepted and one that is refused, and the function that
//! compiles all policies of the kind into one [`Judge`]. A kind whose rule always holds compiles to it from no policy.

use crate::audience;
use crate::compile::{Context, Policy};
use crate::decide::Judge;
use crate::fields::{Field, Shape};

/// Defines a row whose doc comment is its manual.
macro_rules! rule_kind {
    ($(#[doc = $manual:literal])+ $name:ident { $($field:ident: $value:expr,)+ }) => {
        $(#[doc = $manual])+
        pub(super) static $name: $crate::rules::RuleKind =
            $crate::rules::RuleKind { manual: concat!($($manual, "\n"),+), $($field: $value),+ };
    };
}

mod block;
mod bounded_work;
mod no_cross_join;
mod no_mutations;
mod row_limit;
mod schema_whitelist;

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
pub(crate) static RULES: [&RuleKind; 6] = [
    &block::BLOCK,
    &no_mutations::NO_MUTATIONS,
    &schema_whitelist::SCHEMA_WHITELIST,
    &no_cross_join::NO_CROSS_JOIN,
    &bounded_work::BOUNDED_WORK,
    &row_limit::ROW_LIMIT,
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
        name: "unknown_ok",
        shape: Shape::Flag,
        required: false,
        manual: "Accept names that no source has, such as a table that is yet to be made: they are warnings, not \
                 errors.",
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{PolicyFile, compile};

    fn compiled(text: &str) -> Result<crate::PolicySet, String> {
        let file = PolicyFile { path: "p.json".to_owned(), text: text.to_owned() };
        compile(&[file], None, &crate::NoSql).map_err(|problems| {
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
