//! The text of a conversation to lines.

use serde_json::Value;

/// One file.
#[derive(Debug, Default)]
pub struct Conversation {
    /// The only server it plays against, if there is one.
    pub only: Option<Only>,
    /// The person who signs in, if not the default one.
    pub person: Option<String>,
    /// More start-up parameters.
    pub parameters: Vec<(String, String)>,
    /// What is sent and expected, in order.
    pub lines: Vec<Line>,
}

/// A server that a conversation is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Only {
    /// The gateway.
    Gateway,
    /// PostgreSQL itself.
    Postgres,
}

/// A line of a conversation.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Its number in the file.
    pub number: usize,
    /// Whether it is sent (`>`) rather than expected (`<`).
    pub is_sent: bool,
    /// The message's name.
    pub message: String,
    /// Its arguments.
    pub arguments: Vec<Value>,
}

impl Conversation {
    /// Reads a conversation; the error says which line is wrong and how.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut conversation = Self::default();
        for (number, line) in (1..).zip(text.lines()) {
            let (sign, rest) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
            let taken = match sign {
                ">" | "<" => Line::parse(number, sign == ">", rest).map(|line| conversation.lines.push(line)),
                "!" => conversation.direct(rest),
                sign if sign.is_empty() || sign.starts_with('#') => Ok(()),
                _ => Err("a line starts with >, <, ! or #".to_owned()),
            };
            taken.map_err(|problem| format!("line {number}: {problem}"))?;
        }
        Ok(conversation)
    }

    fn direct(&mut self, directive: &str) -> Result<(), String> {
        if !self.lines.is_empty() {
            return Err("a directive stands before the first message".to_owned());
        }
        match directive.splitn(3, ' ').collect::<Vec<_>>()[..] {
            ["only", "gateway"] => self.only = Some(Only::Gateway),
            ["only", "postgres"] => self.only = Some(Only::Postgres),
            ["as", person] => self.person = Some(person.to_owned()),
            ["parameter", name, value] => self.parameters.push((name.to_owned(), value.to_owned())),
            _ => return Err(format!("there is no directive \"{directive}\"")),
        }
        Ok(())
    }
}

impl Line {
    fn parse(number: usize, is_sent: bool, text: &str) -> Result<Self, String> {
        let (message, rest) = text.split_once(' ').unwrap_or((text, ""));
        let arguments: Result<Vec<Value>, _> = serde_json::Deserializer::from_str(rest).into_iter().collect();
        let arguments = arguments.map_err(|problem| format!("its arguments are no JSON values: {problem}"))?;
        Ok(Self { number, is_sent, message: message.to_owned(), arguments })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_conversation_is_read() {
        let text = "# why\n! only gateway\n! as bob\n! parameter application_name a b\n\n> Bind \"p\" \"\" [null, \"1\"]\n< BindComplete\n";
        let conversation = Conversation::parse(text).expect("a conversation");
        assert_eq!(conversation.only, Some(Only::Gateway));
        assert_eq!(conversation.person.as_deref(), Some("bob"));
        assert_eq!(conversation.parameters, [("application_name".to_owned(), "a b".to_owned())]);
        let bind = Line {
            number: 6,
            is_sent: true,
            message: "Bind".to_owned(),
            arguments: vec![json!("p"), json!(""), json!([null, "1"])],
        };
        let complete = Line { number: 7, is_sent: false, message: "BindComplete".to_owned(), arguments: vec![] };
        assert_eq!(conversation.lines, [bind, complete]);
    }

    #[test]
    fn mistakes_have_a_place() {
        for (text, problem) in [
            ("\nQuery", "line 2: a line starts with >, <, ! or #"),
            ("> Sync\n! as bob", "line 2: a directive stands before the first message"),
            ("! loudly", "line 1: there is no directive \"loudly\""),
        ] {
            assert_eq!(Conversation::parse(text).expect_err("a mistake"), problem);
        }
    }
}
