//! What is shown, and what is not, in the statements that make a shadow. That they make what they should is tried
//! against a real server.

use std::collections::BTreeSet;

use passgate_connectors::{
    Column, Constraint, ConstraintKind, Details, Filled, Index, Metadata, Oids, Reference, Relation, RelationKind,
    Schema, Sequence, Type, TypeForm,
};
use passgate_policy::SourceName;

use super::*;

fn column(name: &str, type_name: &str, type_oid: u32) -> Column {
    Column { name: name.to_owned(), type_name: type_name.to_owned(), type_oid, ..Column::default() }
}

fn constraint(name: &str, kind: ConstraintKind, definition: &str, columns: &[&str]) -> Constraint {
    let columns = Some(columns.iter().map(|name| (*name).to_owned()).collect());
    Constraint { name: name.to_owned(), kind, definition: definition.to_owned(), columns, ..Constraint::default() }
}

fn relation(schema: &str, name: &str, oid: u32, columns: Vec<Column>) -> Relation {
    let columns = (1..).zip(columns).map(|(number, column)| Column { number, ..column }).collect();
    let oids = Oids { relation: oid, row: oid + 1, array: oid + 2 };
    let details = Details { oids, ..Details::default() };
    Relation { schema: schema.to_owned(), name: name.to_owned(), columns, details, ..Relation::default() }
}

fn snapshot() -> Snapshot {
    let mut people = relation("shop", "people", 100, vec![column("id", "bigint", 20), column("ssn", "text", 25)]);
    people.columns[1].comment = Some("it's secret".to_owned());
    people.columns[1].default = Some("'none'::text".to_owned());
    people.details.constraints = vec![
        constraint("people_pkey", ConstraintKind::PrimaryKey, "PRIMARY KEY (id)", &["id"]),
        constraint("nine", ConstraintKind::Check, "CHECK (length(ssn) = 9)", &["ssn"]),
        constraint("sane", ConstraintKind::Check, "CHECK (id > 0)", &["id"]),
    ];
    people.details.indexes = vec![
        Index {
            name: "by_ssn".to_owned(),
            definition: "CREATE INDEX by_ssn ON shop.people USING btree (ssn)".to_owned(),
            columns: vec!["ssn".to_owned()],
            is_plain: true,
            ..Index::default()
        },
        Index { name: "odd".to_owned(), definition: "DROP TABLE x".to_owned(), is_plain: true, ..Index::default() },
    ];
    let mut orders =
        relation("shop", "orders", 200, vec![column("id", "integer", 23), column("mood", "shop.mood", 300)]);
    orders.columns[1].number = 4;
    orders.columns[0].default = Some("nextval('shop.orders_id_seq'::regclass)".to_owned());
    let target = Reference { schema: "shop".to_owned(), table: "people".to_owned(), columns: vec!["id".to_owned()] };
    let buyer = constraint("buyer", ConstraintKind::ForeignKey, "FOREIGN KEY (id) REFERENCES shop.people(id)", &["id"]);
    orders.details.constraints = vec![Constraint { refers_to: Some(target), ..buyer }];
    let view = Relation {
        kind: RelationKind::View,
        definition: Some(" SELECT people.id FROM shop.people;".to_owned()),
        built_on: vec![("shop".to_owned(), "people".to_owned())],
        ..relation("shop", "ids", 400, vec![column("id", "bigint", 20)])
    };
    let secret = relation("vault", "gold", 500, vec![column("id", "integer", 23)]);
    let schema = |name: &str| Schema { name: name.to_owned(), comment: Some(format!("about {name}")) };
    let sequence = |name: &str, table: &str| Sequence {
        schema: "shop".to_owned(),
        name: name.to_owned(),
        type_name: "integer".to_owned(),
        owned_by: Some(("shop".to_owned(), table.to_owned(), "id".to_owned())),
        ..Sequence::default()
    };
    let mood = Type {
        schema: "shop".to_owned(),
        name: "mood".to_owned(),
        oids: Oids { relation: 0, row: 300, array: 301 },
        form: TypeForm::Enum { labels: vec!["sad".to_owned(), "'".to_owned()] },
        ..Type::default()
    };
    let metadata = Metadata {
        relations: vec![people, orders, view, secret],
        schemas: vec![schema("public"), schema("shop"), schema("vault"), schema("empty")],
        types: vec![mood],
        sequences: vec![sequence("orders_id_seq", "orders"), sequence("people_id_seq", "people")],
        ..Metadata::default()
    };
    Snapshot::new(SourceName::new("warehouse"), "shop".to_owned(), metadata)
}

fn texts(snapshot: &Snapshot, seen: &[(&str, &str, VisibleRelation)]) -> Vec<String> {
    let mut visibility = Visibility::default();
    seen.iter().for_each(|(schema, name, seen)| visibility.show(schema, name, seen.clone()));
    script(snapshot, &visibility).statements().iter().flat_map(Statement::texts).cloned().collect()
}

fn only(columns: &[&str]) -> VisibleRelation {
    let columns = columns.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    VisibleRelation { columns: VisibleColumns::Only(columns), ..VisibleRelation::default() }
}

fn all() -> VisibleRelation {
    VisibleRelation::default()
}

fn governed() -> VisibleRelation {
    VisibleRelation { governed: true, ..VisibleRelation::default() }
}

/// The texts that name something.
fn naming<'a>(texts: &'a [String], what: &str) -> Vec<&'a str> {
    texts.iter().map(String::as_str).filter(|text| text.contains(what)).collect()
}

#[test]
fn nothing_names_what_is_hidden() {
    let everything =
        texts(&snapshot(), &[("shop", "people", all()), ("shop", "orders", all()), ("shop", "ids", all())]);
    for hidden in ["vault", "gold"] {
        assert_eq!(naming(&everything, hidden), Vec::<&str>::new());
    }
    assert_eq!(naming(&everything, "SCHEMA \"empty\"").len(), 5, "a schema without tables hides none");
    let without_people = texts(&snapshot(), &[("shop", "orders", all()), ("shop", "ids", all())]);
    assert_eq!(naming(&without_people, "people"), Vec::<&str>::new());
    assert_eq!(
        naming(&without_people, "\"ids\""),
        ["CREATE VIEW \"shop\".\"ids\" (\"id\") AS SELECT NULL::bigint AS \"id\""]
    );
    let without_ssn = texts(&snapshot(), &[("shop", "people", only(&["id"])), ("shop", "orders", all())]);
    assert_eq!(naming(&without_ssn, "ssn"), Vec::<&str>::new());
    assert_eq!(naming(&without_ssn, "nine"), Vec::<&str>::new());
    assert_eq!(naming(&without_ssn, "ADD CONSTRAINT").len(), 3);
}

#[test]
fn what_is_seen_is_made_as_it_is() {
    let texts = texts(&snapshot(), &[("shop", "people", all()), ("shop", "orders", all()), ("shop", "ids", all())]);
    assert_eq!(naming(&texts, "CREATE TYPE"), ["CREATE TYPE \"shop\".\"mood\" AS ENUM ('sad', '''')"]);
    assert_eq!(naming(&texts, "secret"), ["COMMENT ON COLUMN \"shop\".\"people\".\"ssn\" IS 'it''s secret'"]);
    let orders = naming(&texts, "CREATE TABLE \"shop\".\"orders\"");
    assert_eq!(
        orders[0],
        "CREATE TABLE \"shop\".\"orders\" (\"id\" integer DEFAULT nextval('shop.orders_id_seq'::regclass), \
         \"........pg.dropped.2........\" integer, \"........pg.dropped.3........\" integer, \"mood\" shop.mood)"
    );
    assert_eq!(naming(&texts, "DROP COLUMN").len(), 2, "so that the last column has the source's number");
    assert!(
        texts.contains(&"ALTER SEQUENCE \"shop\".\"orders_id_seq\" OWNED BY \"shop\".\"orders\".\"id\"".to_owned())
    );
    assert_eq!(naming(&texts, "\"ids\"")[0], "CREATE VIEW \"shop\".\"ids\" AS SELECT people.id FROM shop.people");
    assert_eq!(naming(&texts, "DROP TABLE"), Vec::<&str>::new(), "an index is not what its server calls one");
    let place = |what: &str| texts.iter().position(|text| text.contains(what)).unwrap();
    assert!(place("PRIMARY KEY") < place("FOREIGN KEY") && place("CREATE TYPE") < place("\"orders\" ("));
}

#[test]
fn of_a_governed_table_nothing_tells_what_its_rows_hold() {
    let texts = texts(
        &snapshot(),
        &[("shop", "people", governed()), ("shop", "ids", governed()), ("shop", "orders", governed())],
    );
    for told in ["CHECK", "none", "AS SELECT people"] {
        assert_eq!(naming(&texts, told), Vec::<&str>::new());
    }
    assert_eq!(naming(&texts, "PRIMARY KEY").len(), 1);
    assert_eq!(naming(&texts, "FOREIGN KEY").len(), 1);
    assert_eq!(naming(&texts, "by_ssn").len(), 1);
    assert_eq!(naming(&texts, "nextval").len(), 1);
}

#[test]
fn estimates_are_shown_where_they_may_be_and_change_nothing_else() {
    let mut visibility = Visibility::default();
    visibility.show("shop", "people", VisibleRelation { statistics: true, ..all() });
    visibility.show("shop", "orders", all());
    let script_of = |rows: f64| {
        let people = Relation { rows: Some(rows), bytes: Some(16384.0), ..relation("shop", "people", 100, Vec::new()) };
        let orders = Relation { rows: Some(7.0), ..relation("shop", "orders", 200, Vec::new()) };
        let metadata = Metadata { relations: vec![people, orders], ..Metadata::default() };
        script(&Snapshot::new(SourceName::new("w"), "shop".to_owned(), metadata), &visibility)
    };
    let (few, many) = (script_of(5.0), script_of(5000.0));
    assert_eq!(few.fingerprint(), many.fingerprint());
    let estimates: Vec<&String> = many.estimates().iter().map(|statement| &statement.text).collect();
    assert!(estimates[0].contains("('shop', 'people', 5000::pg_catalog.float4, 2::pg_catalog.int4)"), "{estimates:?}");
    assert!(!estimates[0].contains("orders"));
}

#[test]
fn parts_and_children_are_made_of_what_is_seen() {
    let parent = |oid| relation("shop", "visits", oid, vec![column("day", "date", 1082), column("note", "text", 25)]);
    let mut whole = parent(100);
    whole.details.partition_key = Some("RANGE (day)".to_owned());
    let mut part = Relation { name: "visits_1".to_owned(), ..parent(200) };
    part.details.parents = vec![("shop".to_owned(), "visits".to_owned())];
    part.details.partition_bound = Some("DEFAULT".to_owned());
    let mut child = Relation { name: "child".to_owned(), ..parent(300) };
    child.columns.iter_mut().for_each(|column| column.inherited = true);
    child.columns[0].filled = Filled::IdentityAlways;
    child.details.parents = vec![("shop".to_owned(), "visits".to_owned())];
    let metadata = Metadata { relations: vec![child, part, whole], ..Metadata::default() };
    let snapshot = Snapshot::new(SourceName::new("w"), "shop".to_owned(), metadata);
    let seen = |columns: &VisibleRelation| {
        texts(&snapshot, &[("shop", "visits", all()), ("shop", "visits_1", all()), ("shop", "child", columns.clone())])
    };
    let attached = "ALTER TABLE ONLY \"shop\".\"visits\" ATTACH PARTITION \"shop\".\"visits_1\" DEFAULT";
    assert!(seen(&all()).contains(&attached.to_owned()));
    assert_eq!(
        naming(&seen(&all()), "\"child\""),
        ["CREATE TABLE \"shop\".\"child\" () INHERITS (\"shop\".\"visits\")"]
    );
    // Its parent would show the column that it hides.
    let alone = seen(&only(&["day"]));
    assert!(
        naming(&alone, "INHERITS").is_empty() && naming(&alone, "\"child\" (\"day\" date GENERATED ALWAYS").len() == 1
    );
    let orphan = texts(&snapshot, &[("shop", "visits_1", all())]);
    assert_eq!(naming(&orphan, "visits\""), Vec::<&str>::new());
}

#[test]
fn a_type_that_only_hidden_columns_have_is_hidden() {
    let with =
        |seen: &[(&str, &str, VisibleRelation)]| texts(&snapshot(), seen).iter().any(|text| text.contains("mood"));
    assert!(with(&[("shop", "orders", all())]));
    assert!(!with(&[("shop", "orders", only(&["id"]))]));
    assert!(!with(&[("shop", "people", all())]));
}

#[test]
fn a_comment_that_names_what_is_hidden_is_not_shown() {
    let comments = [
        ("from vault.gold", false),
        ("Joins to SHOP.GOLD_BARS, by id", false),
        ("see gold_bars.", false),
        ("by bar_weight", false),
        ("as good as gold", true),
        ("in the vault", true),
        ("gold_bars_2", true),
        ("goes by sale_id", true),
    ];
    for (comment, shown) in comments {
        let mut people =
            relation("shop", "people", 100, vec![column("id", "bigint", 20), column("sale_id", "bigint", 20)]);
        people.comment = Some(comment.to_owned());
        let gold = relation("vault", "gold", 200, vec![column("id", "bigint", 20)]);
        let bars = vec![column("sale_id", "bigint", 20), column("bar_weight", "bigint", 20)];
        let relations = vec![people, gold, relation("shop", "gold_bars", 300, bars)];
        let snapshot =
            Snapshot::new(SourceName::new("w"), "shop".to_owned(), Metadata { relations, ..Metadata::default() });
        let texts = texts(&snapshot, &[("shop", "people", all())]);
        assert_eq!(naming(&texts, "COMMENT ON TABLE").len() == 1, shown, "{comment}");
    }
}
