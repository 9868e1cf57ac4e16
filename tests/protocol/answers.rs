//! What a server answers to a conversation, message by message, and what the protocol has to say about that.
//!
//! Source: <https://www.postgresql.org/docs/15/protocol-flow.html>.

use passgate_tests::World;
use passgate_tests::wire::{Connection, Heard, Server};
use serde_json::Value;

use super::sequence::Step;

/// What was said to one step.
pub(super) type Answer = Vec<Heard>;

/// Plays a conversation and returns what was said to each step; the error says what is against the protocol.
pub(super) async fn play(world: &World, server: &Server, steps: &[Step]) -> Result<Vec<Answer>, String> {
    let mut connection = Connection::sign_in(world, server, &[("TimeZone".to_owned(), "UTC".to_owned())]).await?;
    let mut reader = Reader { skipping: false, over: false };
    let mut answers = Vec::new();
    let mut unread = 0;
    for (place, step) in steps.iter().enumerate() {
        connection.send(world, &step.line).await?;
        if step.reads {
            connection.flush().await?;
            for step in &steps[unread..=place] {
                let answer = reader.read(&mut connection, step).await;
                answers.push(answer.map_err(|problem| format!("{problem}, in answer to {step}"))?);
            }
            unread = place + 1;
        }
    }
    Ok(answers)
}

/// Reads answers in the order of the steps.
struct Reader {
    /// After an error in the extended protocol, until the next Sync.
    skipping: bool,
    /// The server has closed the connection.
    over: bool,
}

impl Reader {
    async fn read(&mut self, connection: &mut Connection, step: &Step) -> Result<Answer, String> {
        let mut answer = Answer::new();
        let Some(last) = self.last_of(step) else { return Ok(answer) };
        while !self.over {
            let heard = connection.hear().await.map_err(|problem| format!("{problem} after {}", shown(&answer)))?;
            self.over = heard.message == "Closed";
            let ends = last.contains(&heard.message.as_str());
            let aside = ["ParameterStatus", "NoticeResponse"].contains(&heard.message.as_str());
            let fits = ends || aside || self.over || self.may_come(step, &heard);
            let failed = heard.message == "ErrorResponse";
            answer.push(heard);
            if !fits {
                return Err(format!("out of place: {}", shown(&answer)));
            }
            self.skipping |= ends && failed;
            if ends {
                break;
            }
        }
        if step.is("Sync") {
            self.skipping = false;
        }
        Ok(answer)
    }

    /// The messages that end the answer to a step; none where nothing answers it.
    fn last_of(&self, step: &Step) -> Option<&'static [&'static str]> {
        match step.line.message.as_str() {
            "Sync" => Some(&["ReadyForQuery"]),
            _ if self.skipping => None,
            "Query" => Some(&["ReadyForQuery"]),
            "Parse" => Some(&["ParseComplete", "ErrorResponse"]),
            "Bind" => Some(&["BindComplete", "ErrorResponse"]),
            "DescribeStatement" | "DescribePortal" => Some(&["RowDescription", "NoData", "ErrorResponse"]),
            "CloseStatement" | "ClosePortal" => Some(&["CloseComplete", "ErrorResponse"]),
            "Execute" => Some(&["CommandComplete", "EmptyQueryResponse", "PortalSuspended", "ErrorResponse"]),
            _ => None,
        }
    }

    /// What may come before the end of an answer.
    fn may_come(&self, step: &Step, heard: &Heard) -> bool {
        let may: &[&str] = match step.line.message.as_str() {
            "Sync" => &["ErrorResponse"],
            "Query" => &[
                "RowDescription",
                "DataRow",
                "CommandComplete",
                "EmptyQueryResponse",
                "ErrorResponse",
                "CopyOutResponse",
                "CopyData",
                "CopyDone",
            ],
            "DescribeStatement" => &["ParameterDescription"],
            "Execute" => &["DataRow", "CopyOutResponse", "CopyData", "CopyDone"],
            _ => &[],
        };
        may.contains(&heard.message.as_str())
    }
}

/// What is compared of an answer: of errors and notices their severity and SQLSTATE, of the rest everything.
pub(super) fn compared(answer: &Answer) -> String {
    lines(answer, &["severity", "code"])
}

/// An answer in a line.
pub(super) fn shown(answer: &Answer) -> String {
    lines(answer, &["severity", "code", "message"])
}

/// The SQLSTATE of the error in an answer.
pub(super) fn code(answer: &Answer) -> Option<String> {
    answer.iter().find(|heard| heard.message == "ErrorResponse").map(|heard| one(heard, &["code"]))
}

/// Whether an answer ends where a portal waits.
pub(super) fn suspends(answer: &Answer) -> bool {
    answer.iter().any(|heard| heard.message == "PortalSuspended")
}

fn lines(answer: &Answer, of: &[&str]) -> String {
    let mut lines: Vec<String> = answer.iter().map(|heard| one(heard, of)).collect();
    // Settings are reported together, in no particular order.
    let reports = lines.iter().position(|line| line.starts_with("ParameterStatus"));
    if let Some(first) = reports {
        lines[first..].sort_by_key(|line| (!line.starts_with("ParameterStatus"), line.clone()));
    }
    lines.join(", ")
}

fn one(heard: &Heard, of: &[&str]) -> String {
    let field = |name: &&str| heard.arguments.first().and_then(|fields| fields.get(*name)).and_then(Value::as_str);
    match heard.message.as_str() {
        "ErrorResponse" | "NoticeResponse" => of.iter().filter_map(field).collect::<Vec<_>>().join(" "),
        _ => heard.to_string(),
    }
}
