//! How the rows of a query are handed over: as they are, through a cursor, or as a copy.
//!
//! Separate from what a query is: whoever decides about a query decides the same, however it is delivered. The words
//! around it are printed here, from what was understood.

use super::commands::Direction;
use super::quoted_name;

/// How rows are handed over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Delivery {
    /// As rows.
    #[default]
    Rows,
    /// As `COPY ... TO STDOUT`.
    Copy(CopyOptions),
    /// Through a cursor.
    Cursor(Cursor),
}

impl Delivery {
    /// The query's text within the words of its delivery.
    pub fn around(&self, query: &str) -> String {
        match self {
            Self::Rows => query.to_owned(),
            Self::Copy(options) => format!("COPY ({query}) TO STDOUT WITH ({})", options.text()),
            Self::Cursor(cursor) => format!("DECLARE {} FOR {query}", cursor.text()),
        }
    }
}

/// Options of COPY to the client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CopyOptions {
    /// FORMAT: `text`, `csv` or `binary`.
    pub format: CopyFormat,
    /// HEADER.
    pub header: bool,
    /// DELIMITER.
    pub delimiter: Option<String>,
    /// NULL.
    pub null: Option<String>,
    /// QUOTE.
    pub quote: Option<String>,
    /// ESCAPE.
    pub escape: Option<String>,
    /// FORCE_QUOTE.
    pub force_quote: Option<ForceQuote>,
}

/// FORMAT of COPY.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CopyFormat {
    /// PostgreSQL's own text.
    #[default]
    Text,
    /// Comma-separated values.
    Csv,
    /// Binary.
    Binary,
}

/// FORCE_QUOTE of COPY.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ForceQuote {
    /// `*`.
    Everything,
    /// These columns.
    Columns(Vec<String>),
}

impl CopyOptions {
    fn text(&self) -> String {
        let format = match self.format {
            CopyFormat::Text => "text",
            CopyFormat::Csv => "csv",
            CopyFormat::Binary => "binary",
        };
        let mut text = format!("FORMAT {format}");
        if self.header {
            text.push_str(", HEADER TRUE");
        }
        let strings =
            [("DELIMITER", &self.delimiter), ("NULL", &self.null), ("QUOTE", &self.quote), ("ESCAPE", &self.escape)];
        for (name, value) in strings {
            if let Some(value) = value {
                text.push_str(&format!(", {name} {}", quoted(value)));
            }
        }
        match &self.force_quote {
            None => {}
            Some(ForceQuote::Everything) => text.push_str(", FORCE_QUOTE *"),
            Some(ForceQuote::Columns(columns)) => {
                let columns: Vec<_> = columns.iter().map(|column| quoted_name(column)).collect();
                text.push_str(&format!(", FORCE_QUOTE ({})", columns.join(", ")));
            }
        }
        text
    }
}

/// A string in quotes, whatever `standard_conforming_strings` says.
fn quoted(value: &str) -> String {
    let escape = if value.contains('\\') { "E" } else { "" };
    format!("{escape}'{}'", value.replace('\\', "\\\\").replace('\'', "''"))
}

/// A cursor as declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Its name.
    pub name: String,
    /// BINARY: a simple query fetches binary values.
    pub binary: bool,
    /// INSENSITIVE.
    pub insensitive: bool,
    /// SCROLL, or NO SCROLL, where written.
    pub scroll: Option<bool>,
    /// WITH HOLD: it outlives its transaction.
    pub hold: bool,
}

impl Cursor {
    /// BINARY is left out: how values are written is asked for with each FETCH.
    fn text(&self) -> String {
        let insensitive = if self.insensitive { " INSENSITIVE" } else { "" };
        let scroll = match self.scroll {
            None => "",
            Some(true) => " SCROLL",
            Some(false) => " NO SCROLL",
        };
        let hold = if self.hold { " WITH HOLD" } else { "" };
        format!("{}{insensitive}{scroll} CURSOR{hold}", quoted_name(&self.name))
    }
}

/// FETCH, or MOVE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// The cursor.
    pub cursor: String,
    /// How far.
    pub direction: Direction,
    /// MOVE: the rows themselves are not wanted.
    pub moves: bool,
}

impl Fetch {
    /// The statement.
    pub fn text(&self) -> String {
        let command = if self.moves { "MOVE" } else { "FETCH" };
        let far = |rows: Option<u32>| rows.map_or_else(|| "ALL".to_owned(), |rows| rows.to_string());
        let direction = match self.direction {
            Direction::Forward(rows) => format!("FORWARD {}", far(rows)),
            Direction::Backward(rows) => format!("BACKWARD {}", far(rows)),
            Direction::Absolute(row) => format!("ABSOLUTE {row}"),
            Direction::Relative(rows) => format!("RELATIVE {rows}"),
        };
        format!("{command} {direction} FROM {}", quoted_name(&self.cursor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statement::{Kind, Limits, parse};

    fn kind(text: &str) -> Kind {
        let mut statements = parse(text, &Limits::default()).unwrap_or_else(|error| panic!("{text}: {error:?}"));
        statements.remove(0).kind
    }

    fn delivered(text: &str) -> Delivery {
        match kind(text) {
            Kind::Copy(_, options) => Delivery::Copy(options),
            Kind::Declare(_, cursor) => Delivery::Cursor(cursor),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn what_is_printed_is_read_back_as_the_same() {
        for text in [
            "COPY (SELECT 1) TO STDOUT",
            "copy (select 1) to stdout with csv header",
            "COPY t TO STDOUT",
            "COPY s.t (a, \"B\") TO STDOUT (FORMAT 'csv', HEADER, DELIMITER ';', NULL '', QUOTE '''', ESCAPE '\\')",
            "COPY t TO STDOUT WITH (FORMAT csv, HEADER on, FORCE_QUOTE *)",
            "COPY t TO STDOUT CSV QUOTE AS '\"' FORCE QUOTE a, \"B \"\"\" DELIMITER AS E'\\t'",
            "COPY t TO STDOUT BINARY",
            "COPY (SELECT 1) TO STDOUT (FORMAT binary, ENCODING 'UTF8')",
            "DECLARE c CURSOR FOR SELECT 1",
            "DECLARE \"C 1\" BINARY INSENSITIVE NO SCROLL CURSOR WITHOUT HOLD FOR VALUES (1)",
            "declare c scroll cursor with hold for (select 1)",
        ] {
            let delivery = delivered(text);
            let mut again = delivered(&delivery.around("SELECT 1"));
            if let (Delivery::Cursor(cursor), Delivery::Cursor(again)) = (&delivery, &mut again) {
                again.binary = cursor.binary;
            }
            assert_eq!(again, delivery, "{text}");
        }
    }

    #[test]
    fn every_direction_is_read_as_postgresql_does() {
        let cases = [
            ("FETCH c", "FETCH FORWARD 1 FROM \"c\""),
            ("FETCH NEXT", "FETCH FORWARD 1 FROM \"next\""),
            ("FETCH NEXT c", "FETCH FORWARD 1 FROM \"c\""),
            ("FETCH FROM \"C\"", "FETCH FORWARD 1 FROM \"C\""),
            ("FETCH 5 IN c", "FETCH FORWARD 5 FROM \"c\""),
            ("FETCH -5 c", "FETCH BACKWARD 5 FROM \"c\""),
            ("FETCH ALL FROM c", "FETCH FORWARD ALL FROM \"c\""),
            ("FETCH FORWARD c", "FETCH FORWARD 1 FROM \"c\""),
            ("FETCH FORWARD 0 FROM c", "FETCH RELATIVE 0 FROM \"c\""),
            ("FETCH FORWARD ALL FROM c", "FETCH FORWARD ALL FROM \"c\""),
            ("FETCH BACKWARD ALL c", "FETCH BACKWARD ALL FROM \"c\""),
            ("FETCH BACKWARD -2 c", "FETCH FORWARD 2 FROM \"c\""),
            ("FETCH PRIOR FROM c", "FETCH BACKWARD 1 FROM \"c\""),
            ("FETCH FIRST FROM c", "FETCH ABSOLUTE 1 FROM \"c\""),
            ("MOVE LAST c", "MOVE ABSOLUTE -1 FROM \"c\""),
            ("MOVE ABSOLUTE -3 IN c", "MOVE ABSOLUTE -3 FROM \"c\""),
            ("move relative +3 from c", "MOVE RELATIVE 3 FROM \"c\""),
        ];
        for (text, printed) in cases {
            let Kind::Fetch(fetch) = kind(text) else { panic!("{text}") };
            assert_eq!(fetch.text(), printed, "{text}");
            let Kind::Fetch(again) = kind(&fetch.text()) else { panic!("{text}") };
            assert_eq!(again, fetch, "{text}");
        }
        for text in ["FETCH", "FETCH 5", "FETCH 5.5 c", "FETCH 99999999999 c", "FETCH - c", "FETCH ABSOLUTE c", "MOVE"]
        {
            assert_eq!(parse(text, &Limits::default()).unwrap_err().sqlstate, "42601", "{text}");
        }
    }
}
