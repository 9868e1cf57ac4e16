//! What is either so or not: whether a statement takes a whole table away, and whether it is a person's first on a source.

use super::evidence::Evidence;
use super::{Condition, Reading, Test, Truth};
use crate::Request;
use crate::fields::Object;

/// Something that is so or not.
#[derive(Debug)]
pub(crate) struct Flag {
    pub(crate) key: &'static str,
    /// Whether it is so, or why that is not known.
    pub(crate) read: fn(&Request) -> Result<bool, String>,
    /// What it is when it is so.
    fact: &'static str,
}

/// `full_export`.
pub(crate) static FULL_EXPORT: Flag = Flag {
    key: "full_export",
    read: |request| Ok(request.full_export),
    fact: "it takes a whole table: no limit, no aggregate, no predicate",
};

/// `first_access_to_source`.
pub(crate) static FIRST_ACCESS: Flag = Flag {
    key: "first_access_to_source",
    read: |request| {
        let unknown = || format!("it is not known whether this is the first statement on source {}", request.source);
        request.facts.first_access_to_source.ok_or_else(unknown)
    },
    fact: "it is the person's first statement on the source",
};

#[derive(Debug)]
struct FlagTest {
    flag: &'static Flag,
    wanted: bool,
}

/// Compiles what stands at the key of a flag.
pub(super) fn compile(object: Object<'_>, key: &'static str, _: &mut Reading<'_, '_>) -> Option<Condition> {
    let flag = [&FULL_EXPORT, &FIRST_ACCESS].into_iter().find(|flag| flag.key == key)?;
    Some(Condition::test(FlagTest { flag, wanted: object.flag(key) }))
}

impl Test for FlagTest {
    fn truth(&self, request: &Request) -> Truth {
        match (self.flag.read)(request) {
            Ok(is_so) => Truth::from(is_so == self.wanted),
            Err(why) => Truth::Unknown(why),
        }
    }

    fn evidence(&self, request: &Request, _: bool, found: &mut Evidence) {
        self.flag.fact(request).into_iter().for_each(|fact| found.fact(fact));
    }
}

impl Flag {
    /// That it is so, as a clause of evidence; nothing where it is not.
    pub(crate) fn fact(&self, request: &Request) -> Option<String> {
        ((self.read)(request) == Ok(true)).then(|| self.fact.to_owned())
    }
}
