//! Schemas, types and sequences: what rules do not ask for, and clients that look at a catalog do.

use super::Oids;

/// A schema.
#[derive(Clone, Debug, Default)]
pub struct Schema {
    /// Name.
    pub name: String,
    /// The comment on it.
    pub comment: Option<String>,
}

/// A type that is not built in.
#[derive(Clone, Debug, Default)]
pub struct Type {
    /// Schema.
    pub schema: String,
    /// Name.
    pub name: String,
    /// Its oid, and that of its arrays.
    pub oids: Oids,
    /// What it is made of.
    pub form: TypeForm,
    /// The extension that it came with.
    pub extension: Option<String>,
    /// The comment on it.
    pub comment: Option<String>,
}

/// What a type is made of.
#[derive(Clone, Debug, Default)]
pub enum TypeForm {
    /// Of nothing that SQL could say.
    #[default]
    Base,
    /// Of labels, in order.
    Enum {
        /// The labels.
        labels: Vec<String>,
    },
    /// Of the values of another type that pass its checks.
    Domain {
        /// The other type, as `format_type` writes it.
        base: String,
        /// Its oid.
        base_oid: u32,
        /// Whether it is never NULL.
        not_null: bool,
        /// Its default.
        default: Option<String>,
        /// Its collation, as SQL names it, where that is not the other type's own.
        collation: Option<String>,
        /// Its checks.
        checks: Vec<Check>,
    },
    /// Of columns.
    Composite {
        /// The columns, in order.
        columns: Vec<CompositeColumn>,
    },
    /// Of the values between two of another type.
    Range {
        /// The other type, as `format_type` writes it.
        of: String,
        /// Its oid.
        of_oid: u32,
    },
}

/// A check of a domain.
#[derive(Clone, Debug, Default)]
pub struct Check {
    /// Name.
    pub name: String,
    /// Its definition, such as `CHECK ((VALUE > 0))`.
    pub definition: String,
}

/// A column of a composite type.
#[derive(Clone, Debug, Default)]
pub struct CompositeColumn {
    /// Name.
    pub name: String,
    /// Type, as `format_type` writes it.
    pub type_name: String,
    /// The type's oid.
    pub type_oid: u32,
}

/// A sequence.
#[derive(Clone, Debug, Default)]
pub struct Sequence {
    /// Schema.
    pub schema: String,
    /// Name.
    pub name: String,
    /// Its oid.
    pub oid: u32,
    /// Type of its values, such as `bigint`.
    pub type_name: String,
    /// How it counts: where it starts, by how much it goes on, between what, how many at once; and whether it begins again.
    pub start: i64,
    /// See `start`.
    pub increment: i64,
    /// See `start`.
    pub minimum: i64,
    /// See `start`.
    pub maximum: i64,
    /// See `start`.
    pub cache: i64,
    /// See `start`.
    pub cycles: bool,
    /// The column that it goes with, as (schema, table, column).
    pub owned_by: Option<(String, String, String)>,
    /// Whether it is the column's identity.
    pub is_identity: bool,
    /// The comment on it.
    pub comment: Option<String>,
}
