//! The variables of an expression: everything that a condition can ask about, under the same names.

use std::borrow::Cow;

use chrono_tz::Tz;

use super::value::{Domain, Failure, Type, Value};
use crate::Request;
use crate::condition::{self, Flag, Key, Moment, NameSubject, Quantity, TextSubject, Truth};

/// A variable.
#[derive(Debug)]
pub(crate) struct Variable {
    /// Its name: one word, or two with a dot between them.
    pub(crate) name: &'static str,
    pub(crate) of: Of,
    /// What it is, for the manual.
    pub(crate) manual: &'static str,
}

/// What a variable is the value of.
#[derive(Debug)]
pub(crate) enum Of {
    Names(NameSubject),
    Text(&'static TextSubject),
    Number(&'static Quantity),
    Flag(&'static Flag),
    Groups,
    Roles,
    Claims,
    Address,
    /// A part of the moment, in UTC.
    Time(TimeField),
}

/// A part of the moment, in any time zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimeField {
    Hour,
    Minute,
    Weekday,
    Date,
}

/// The days of the week.
const WEEKDAYS: &[&str] = &["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// What an expression's variable `time` begins.
pub(crate) const TIME: &str = "time";

/// Every variable.
pub(crate) static VARIABLES: [Variable; 28] = [
    Variable {
        name: "tables_referenced",
        of: Of::Names(NameSubject::Tables),
        manual: "The tables and views that the statement names, and what views are built on, as `schema.table`. A part \
                 that holds a dot or a star is quoted: `analytics.\"odd.name\"`.",
    },
    Variable { name: "schemas_referenced", of: Of::Names(NameSubject::Schemas), manual: "The schemas of these." },
    Variable {
        name: "columns_referenced",
        of: Of::Names(NameSubject::Columns),
        manual: "The columns that can reach the answer or shape it, as `schema.table.column`.",
    },
    Variable {
        name: "functions_referenced",
        of: Of::Names(NameSubject::Functions),
        manual: "The functions that the statement calls, as `schema.function`.",
    },
    Variable {
        name: "sources_referenced",
        of: Of::Names(NameSubject::Sources),
        manual: "The sources that the statement touches.",
    },
    Variable {
        name: "classifications_referenced",
        of: Of::Names(NameSubject::Classifications),
        manual: "The tags of tables and columns used, and every tag that covers them: `pii.ssn` and `pii`.",
    },
    Variable { name: "user.name", of: Of::Text(&condition::NAME), manual: "The name the person signed in with." },
    Variable { name: "user.email", of: Of::Text(&condition::EMAIL), manual: "Their e-mail address." },
    Variable { name: "user.tenant", of: Of::Text(&condition::TENANT), manual: "The organisation they belong to." },
    Variable {
        name: "user.subject",
        of: Of::Text(&condition::SUBJECT),
        manual: "The identity provider's own, unchanging id of the person.",
    },
    Variable { name: "user.groups", of: Of::Groups, manual: "Their groups." },
    Variable { name: "user.roles", of: Of::Roles, manual: "Their roles." },
    Variable {
        name: "user.claims",
        of: Of::Claims,
        manual: "Anything else the identity provider says of them: `user.claims.region`, `user.claims['cost-center']`. \
                 A claim may be of any type; `has(user.claims.region)` asks whether it is there.",
    },
    Variable {
        name: "time.hour",
        of: Of::Time(TimeField::Hour),
        manual: "The hour, from 0 to 23, in UTC. `time.inZone('Europe/Berlin').hour` is the hour there, and so for the \
                 next three.",
    },
    Variable { name: "time.minute", of: Of::Time(TimeField::Minute), manual: "The minute of the hour, from 0 to 59." },
    Variable {
        name: "time.weekday",
        of: Of::Time(TimeField::Weekday),
        manual: "The day of the week: `mon`, `tue`, `wed`, `thu`, `fri`, `sat`, `sun`.",
    },
    Variable {
        name: "time.date",
        of: Of::Time(TimeField::Date),
        manual: "The day, as `2026-11-21`; dates compare as texts do.",
    },
    Variable {
        name: "estimated.cost_usd",
        of: Of::Number(&condition::COST),
        manual: "Estimated United States dollars, by the upper end of the estimate.",
    },
    Variable { name: "estimated.bytes", of: Of::Number(&condition::BYTES), manual: "Estimated bytes read." },
    Variable { name: "estimated.rows", of: Of::Number(&condition::ROWS), manual: "Estimated rows answered." },
    Variable {
        name: "confidence",
        of: Of::Number(&condition::CONFIDENCE),
        manual: "How sure the translation of a question is, from 0 to 1. A statement that a person wrote has none: no \
                 comparison but `!=` holds for it.",
    },
    Variable {
        name: "full_export",
        of: Of::Flag(&condition::FULL_EXPORT),
        manual: "Whether the statement takes a whole table: no limit, no aggregate, no predicate.",
    },
    Variable {
        name: "first_access_to_source",
        of: Of::Flag(&condition::FIRST_ACCESS),
        manual: "Whether the person never ran a statement on the source before.",
    },
    Variable {
        name: "statement_kind",
        of: Of::Text(&condition::STATEMENT_KIND),
        manual: "`query`, `explain`, `show_all` (every setting of the session), `show_privileges` (asks the catalog for `relacl` or another list of privileges; only one's own are told), or `write` for everything that is not a read.",
    },
    Variable {
        name: "application_name",
        of: Of::Text(&condition::APPLICATION_NAME),
        manual: "The program, as the session says; empty where it says nothing.",
    },
    Variable {
        name: "authentication_method",
        of: Of::Text(&condition::AUTHENTICATION_METHOD),
        manual: "How the person signed in: `oidc`, `oauthbearer`, `scram`.",
    },
    Variable {
        name: "purpose",
        of: Of::Text(&condition::PURPOSE),
        manual: "What the session declares with `SET passgate.purpose`; empty where it declares nothing.",
    },
    Variable {
        name: "client_address",
        of: Of::Address,
        manual: "Where the client is, as a text; `client_address.inNetwork('10.0.0.0/8')`.",
    },
];

impl Variable {
    /// The variable of a name.
    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        VARIABLES.iter().find(|variable| variable.name == name)
    }

    pub(crate) fn type_of(&self) -> Type {
        let texts = |domain| Type::List(Box::new(Type::Text(domain)));
        match &self.of {
            Of::Names(subject) => texts(Domain::Name(*subject)),
            Of::Groups => texts(Domain::Group),
            Of::Roles => texts(Domain::Role),
            Of::Text(subject) if !subject.words.is_empty() => Type::Text(Domain::Words(subject.words)),
            Of::Text(_) => Type::Text(Domain::Any),
            Of::Address => Type::Text(Domain::Address),
            Of::Number(_) => Type::Double,
            Of::Flag(_) => Type::Bool,
            Of::Claims => Type::Dynamic,
            Of::Time(field) => field.type_of(),
        }
    }

    /// By what policies are found that compare it with a text, or look for a text in it.
    pub(crate) fn trigger(&self) -> Option<Key> {
        match &self.of {
            Of::Groups => Some(Key::Group),
            Of::Roles => Some(Key::Role),
            Of::Text(subject) => subject.trigger,
            _ => None,
        }
    }

    /// The numbers that it can be.
    pub(crate) fn range(&self) -> Option<(f64, f64)> {
        match &self.of {
            Of::Number(quantity) => Some((0.0, quantity.most)),
            Of::Time(field) => field.range(),
            _ => None,
        }
    }

    /// Its value, or why there is none.
    pub(crate) fn read<'r>(&self, request: &'r Request) -> Result<Value<'r>, Failure> {
        Ok(match &self.of {
            Of::Names(subject) => Value::texts(subject.texts(request)),
            Of::Groups => Value::texts(condition::groups(&request.identity)),
            Of::Roles => Value::texts(condition::roles(&request.identity)),
            Of::Text(subject) => Value::Text(Cow::Borrowed((subject.read)(request).map_err(Failure::Unknown)?)),
            Of::Address => Value::Text(Cow::Owned(request.facts.client_address.to_canonical().to_string())),
            Of::Number(quantity) => Value::Double((quantity.read)(request).map_err(|open| match open {
                Truth::Unknown(why) => Failure::Unknown(why),
                _ => Failure::NeedsEstimate,
            })?),
            Of::Flag(flag) => Value::Bool((flag.read)(request).map_err(Failure::Unknown)?),
            Of::Claims => Value::Object(&request.identity.claims),
            Of::Time(field) => field.read(request, Tz::UTC)?,
        })
    }

    /// What it is, as a clause of evidence; nothing where there is nothing to tell.
    pub(crate) fn fact(&self, request: &Request) -> Option<String> {
        match &self.of {
            Of::Names(subject) => Some(subject.fact(request)),
            Of::Groups => Some(condition::membership_fact(request, "groups", &condition::groups(&request.identity))),
            Of::Roles => Some(condition::membership_fact(request, "roles", &condition::roles(&request.identity))),
            Of::Text(subject) => subject.fact(request),
            Of::Address => Some(condition::address_fact(request)),
            Of::Number(quantity) => quantity.fact(request),
            Of::Flag(flag) => flag.fact(request),
            // Which claim is meant is told by whoever selects it.
            Of::Claims => None,
            Of::Time(_) => Moment::of(request, Tz::UTC).ok().map(Moment::fact),
        }
    }
}

impl TimeField {
    /// The field of a name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::each().into_iter().find(|field| field.name() == name)
    }

    pub(crate) fn each() -> [Self; 4] {
        [Self::Hour, Self::Minute, Self::Weekday, Self::Date]
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Minute => "minute",
            Self::Weekday => "weekday",
            Self::Date => "date",
        }
    }

    pub(crate) fn type_of(self) -> Type {
        match self {
            Self::Hour | Self::Minute => Type::Int,
            Self::Weekday => Type::Text(Domain::Words(WEEKDAYS)),
            Self::Date => Type::Text(Domain::Date),
        }
    }

    pub(crate) fn range(self) -> Option<(f64, f64)> {
        match self {
            Self::Hour => Some((0.0, 23.0)),
            Self::Minute => Some((0.0, 59.0)),
            Self::Weekday | Self::Date => None,
        }
    }

    /// Its value in a time zone.
    pub(crate) fn read(self, request: &Request, zone: Tz) -> Result<Value<'static>, Failure> {
        let moment = Moment::of(request, zone).map_err(Failure::Unknown)?;
        Ok(match self {
            Self::Hour => Value::Int(i64::from(moment.hour())),
            Self::Minute => Value::Int(i64::from(moment.minute())),
            Self::Weekday => Value::Text(Cow::Borrowed(moment.weekday())),
            Self::Date => Value::Text(Cow::Owned(moment.date())),
        })
    }
}
