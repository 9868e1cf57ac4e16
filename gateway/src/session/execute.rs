//! SQL's PREPARE and EXECUTE: the same statements as the protocol's, under the same names.
//!
//! What is executed is the statement that was prepared, with its values bound; the road decides about it as if the
//! client had bound it by message, at every EXECUTE and by the policies of then.

use std::sync::Arc;

use passgate_connectors::{Bind, Format};

use super::Session;
use super::error::{Error, Failure};
use super::prepared::Prepared;
use super::ready::Ready;
use super::relay::Running;
use super::road::Asked;
use crate::audit::Record;
use crate::statement::{Argument, ArgumentForm, Execute, Kind, Prepare, Statement};

/// A prepared statement with the values of an EXECUTE.
pub(super) struct Called {
    pub(super) statement: Arc<Statement>,
    pub(super) parameter_types: Arc<[u32]>,
    pub(super) bind: Bind,
}

impl Called {
    /// As the road takes it.
    pub(super) fn asked(&self, simple: bool) -> Asked<'_> {
        Asked { statement: &self.statement, parameter_types: &self.parameter_types, bind: &self.bind, simple }
    }
}

impl Session<Ready> {
    /// PREPARE. What the policy refuses now is refused now, as with Parse.
    pub(super) async fn prepare(&mut self, prepare: &Prepare, mut record: Record) -> Result<Running, Failure> {
        match self.prepare_noted(prepare, &mut record).await {
            Ok(()) => self.answer_tag("PREPARE", record),
            Err(failure) => Err(self.note(record, failure)),
        }
    }

    async fn prepare_noted(&mut self, prepare: &Prepare, record: &mut Record) -> Result<(), Failure> {
        let Prepare { name, parameter_types, statement } = prepare;
        let parameter_types: Arc<[u32]> = parameter_types.as_slice().into();
        self.foresee_noted(statement, &parameter_types, record).await?;
        let prepared = Prepared::new(Some(Arc::clone(statement)), parameter_types);
        Ok(self.state.statements.insert(name.clone(), prepared, &self.services.config)?)
    }

    /// What an EXECUTE runs. `outer` is the EXECUTE as it was asked.
    pub(super) fn called(&self, execute: &Execute, outer: Asked<'_>) -> Result<Called, Error> {
        let (prepared, statement) = self.executed(execute)?;
        let (required, supplied) = (prepared.parameters(), execute.arguments.len());
        if !prepared.takes(execute) {
            return Err(Error::ArgumentCount { statement: execute.name.clone(), required, supplied });
        }
        let mut bind = Bind { result_formats: outer.bind.result_formats.clone(), kept: true, ..Bind::default() };
        let mut types = prepared.parameter_types.to_vec();
        types.resize(required, 0);
        for (place, (argument, declared)) in execute.arguments.iter().zip(types.iter_mut()).enumerate() {
            let (value, format) = match argument {
                Argument::Constant { value, form, cast } => {
                    *declared = agreed(*declared, *form, *cast).ok_or(Error::ArgumentType(place + 1))?;
                    (value.clone().map(Into::into), Format::Text)
                }
                Argument::Parameter(number) => {
                    let at = usize::from(*number).saturating_sub(1);
                    if *declared == 0 {
                        *declared = outer.parameter_types.get(at).copied().unwrap_or(0);
                    }
                    let formats = &outer.bind.parameter_formats;
                    let format = if formats.len() == 1 { formats.first() } else { formats.get(at) };
                    (outer.bind.parameters.get(at).cloned().flatten(), format.copied().unwrap_or_default())
                }
            };
            bind.parameters.push(value);
            bind.parameter_formats.push(format);
        }
        Ok(Called { statement, parameter_types: types.into(), bind })
    }

    /// The prepared statement that an EXECUTE names, and what it is with EXPLAIN around it.
    pub(super) fn executed(&self, execute: &Execute) -> Result<(Arc<Prepared>, Arc<Statement>), Error> {
        let prepared = self.state.statements.find(&execute.name)?;
        let statement = prepared.statement.clone().ok_or_else(|| Error::NotExecutable(execute.name.clone()))?;
        let statement = match (&statement.kind, execute.explain) {
            (Kind::Query(query), Some(options)) => {
                Arc::new(Statement { kind: Kind::Explain(Arc::clone(query), options), ..(*statement).clone() })
            }
            (Kind::Query(_) | Kind::Explain(..), None) | (Kind::Write, _) => statement,
            _ => return Err(Error::NotExecutable(execute.name.clone())),
        };
        Ok((prepared, statement))
    }
}

/// The oids of types that a constant is cast to or read as.
mod oid {
    pub(super) const BOOL: u32 = 16;
    pub(super) const INT8: u32 = 20;
    pub(super) const INT2: u32 = 21;
    pub(super) const INT4: u32 = 23;
    pub(super) const TEXT: u32 = 25;
    pub(super) const FLOAT4: u32 = 700;
    pub(super) const FLOAT8: u32 = 701;
    pub(super) const VARCHAR: u32 = 1043;
    pub(super) const NUMERIC: u32 = 1700;

    pub(super) const INTEGERS: [u32; 3] = [INT2, INT4, INT8];
    pub(super) const FRACTIONS: [u32; 3] = [FLOAT4, FLOAT8, NUMERIC];
    pub(super) const TEXTS: [u32; 2] = [TEXT, VARCHAR];
}

/// The type under which a constant's text means to the source what the constant means to PostgreSQL; none where it would
/// mean something else, because nothing here converts values.
fn agreed(declared: u32, form: ArgumentForm, cast: Option<u32>) -> Option<u32> {
    let written_as = cast.unwrap_or(declared);
    let reads = match form {
        ArgumentForm::Text => true,
        ArgumentForm::Integer => written_as != oid::BOOL,
        // PostgreSQL rounds it to an integer, and writes it its own way as a text.
        ArgumentForm::Numeric => written_as == 0 || oid::FRACTIONS.contains(&written_as),
        ArgumentForm::Boolean => written_as == 0 || written_as == oid::BOOL || oid::TEXTS.contains(&written_as),
    };
    let both = |family: &[u32], other: u32| family.contains(&other) && family.contains(&declared);
    match cast {
        _ if !reads => None,
        None => Some(declared),
        Some(cast) if declared == 0 || declared == cast => Some(cast),
        Some(cast) if both(&oid::INTEGERS, cast) || both(&oid::TEXTS, cast) => Some(declared),
        Some(cast) if oid::INTEGERS.contains(&cast) && oid::FRACTIONS.contains(&declared) => Some(declared),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constant_is_passed_on_only_where_its_text_means_the_same() {
        use ArgumentForm::{Boolean, Integer, Numeric, Text};
        let cases = [
            ((0, Text, None), Some(0)),
            ((1082, Text, None), Some(1082)),
            ((0, Text, Some(1082)), Some(1082)),
            ((1114, Text, Some(1082)), None),
            ((oid::INT8, Integer, Some(oid::INT4)), Some(oid::INT8)),
            ((oid::INT4, Numeric, None), None),
            ((oid::NUMERIC, Numeric, None), Some(oid::NUMERIC)),
            ((oid::TEXT, Numeric, None), None),
            ((oid::NUMERIC, Integer, Some(oid::INT4)), Some(oid::NUMERIC)),
            ((0, Numeric, Some(oid::INT4)), None),
            ((oid::BOOL, Integer, None), None),
            ((oid::TEXT, Boolean, None), Some(oid::TEXT)),
            ((oid::INT4, Boolean, None), None),
        ];
        for ((declared, form, cast), expected) in cases {
            assert_eq!(agreed(declared, form, cast), expected, "{declared} {form:?} {cast:?}");
        }
    }
}
