//! The one door through which an error reaches a client.
//!
//! An error type opts in by implementing [`ClientError`]; a catch-all error never does. Texts follow PostgreSQL's
//! style: the message short, lower case, without a full stop; the detail for facts; the hint for the next step.
//! Source: <https://www.postgresql.org/docs/current/error-style-guide.html>.

use passgate_connectors::{Error as SourceError, ServerMessage};
use passgate_policy::Place;

/// An error that may be shown to the person on the other end.
pub trait ClientError {
    /// The SQLSTATE, five characters.
    fn sqlstate(&self) -> &str;

    /// What went wrong.
    fn message(&self) -> String;

    /// Facts that help to understand it.
    fn detail(&self) -> Option<String> {
        None
    }

    /// What to do next.
    fn hint(&self) -> Option<String> {
        None
    }

    /// Where in the statement it is.
    fn place(&self) -> Option<Place> {
        None
    }

    /// The same as a client is told: which character of the text it sent, from 1.
    fn position(&self) -> Option<u32> {
        None
    }

    /// Which character of the text that a source was sent, from 1, where the error is a source's.
    fn position_in_what_ran(&self) -> Option<u32> {
        None
    }

    /// The text that a source was sent, where it is known, and the character of it that the error is at.
    fn what_ran(&self) -> Option<(&str, u32)> {
        None
    }

    /// Whether the connection ends with it (`FATAL`).
    fn is_fatal(&self) -> bool {
        false
    }

    /// All of it, as PostgreSQL words an error.
    fn to_server_message(&self) -> ServerMessage {
        ServerMessage {
            severity: if self.is_fatal() { "FATAL" } else { "ERROR" }.to_owned(),
            code: self.sqlstate().to_owned(),
            message: self.message(),
            detail: self.detail(),
            hint: self.hint(),
            position: None,
        }
    }
}

impl ClientError for SourceError {
    fn sqlstate(&self) -> &str {
        match self {
            Self::Server(message) => &message.code,
            Self::SignIn { .. } | Self::Witness { .. } | Self::NoRole { .. } => "28000",
            Self::Busy { .. } => "53300",
            Self::Protocol { .. } => "08P01",
            Self::NoCrawlLogin { .. } => "55000",
            Self::CatalogTooLarge { .. } => "54000",
            _ => "08006",
        }
    }

    fn message(&self) -> String {
        self.to_string()
    }

    fn position_in_what_ran(&self) -> Option<u32> {
        match self {
            Self::Server(message) => message.position,
            _ => None,
        }
    }

    fn detail(&self) -> Option<String> {
        match self {
            Self::Server(message) => message.detail.clone(),
            _ => None,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Server(message) => message.hint.clone(),
            Self::Connection { .. } => Some("Try again; if it persists, tell whoever runs the gateway.".to_owned()),
            Self::SignIn { .. } | Self::NoRole { .. } | Self::Witness { .. } => Some(
                "Ask whoever runs the gateway to look at the source's login and at the role that belongs to you."
                    .to_owned(),
            ),
            Self::Busy { .. } => Some("Try again in a moment.".to_owned()),
            Self::CatalogTooLarge { .. } => Some("Raise \"relations_max\" of the source.".to_owned()),
            _ => None,
        }
    }
}
