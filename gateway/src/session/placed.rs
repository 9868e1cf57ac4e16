//! Where an error stands in the text that the client sent.
//!
//! Rooms and sources know a place in the text they were given; which of the client's messages that came from, and where
//! in it, only the session knows. Separate from the errors themselves, which are told without a place as well.

use passgate_policy::Place;

use super::error::{Failure, Shown};
use crate::error::ClientError;
use crate::statement::trace_back;

/// An error with the place of it in the text that the client sent.
struct Placed {
    error: Shown,
    position: Option<u32>,
    /// The text that a source was sent, and the character of it that the source points at.
    ran: Option<(String, u32)>,
}

impl ClientError for Placed {
    fn sqlstate(&self) -> &str {
        self.error.sqlstate()
    }

    fn message(&self) -> String {
        self.error.message()
    }

    fn detail(&self) -> Option<String> {
        self.error.detail()
    }

    fn hint(&self) -> Option<String> {
        self.error.hint()
    }

    fn position(&self) -> Option<u32> {
        self.position
    }

    fn what_ran(&self) -> Option<(&str, u32)> {
        self.ran.as_ref().map(|(text, at)| (text.as_str(), *at))
    }

    fn is_fatal(&self) -> bool {
        self.error.is_fatal()
    }
}

/// Which character of a text stands at a place, from 1.
fn position(text: &str, place: Place) -> Option<u32> {
    let line = usize::try_from(place.line).ok()?.checked_sub(1)?;
    let before: usize = text.split_inclusive('\n').take(line).map(|line| line.chars().count()).sum();
    u32::try_from(before).ok()?.checked_add(u32::try_from(place.column).ok()?)
}

impl Failure {
    /// With the text that a source was sent, where it points into that.
    pub(super) fn ran(self, text: &str) -> Self {
        match self {
            Self::Statement(error) => match error.position_in_what_ran() {
                Some(at) => {
                    Self::Statement(Box::new(Placed { error, position: None, ran: Some((text.to_owned(), at)) }))
                }
                None => Self::Statement(error),
            },
            session @ Self::Session(_) => session,
        }
    }

    /// With its place in this text, which is what the client sent.
    pub(super) fn located(self, text: &str) -> Self {
        let Self::Statement(error) = self else { return self };
        let position = match (error.place(), error.what_ran()) {
            (Some(place), _) => position(text, place),
            (None, Some((ran, at))) => trace_back(ran, at, text),
            (None, None) => return Self::Statement(error),
        };
        Self::Statement(Box::new(Placed { error, position, ran: None }))
    }

    /// Without a place: it is about another text than the one that the client sent.
    pub(super) fn elsewhere(self) -> Self {
        match self {
            Self::Statement(error) if error.place().is_some() || error.what_ran().is_some() => {
                Self::Statement(Box::new(Placed { error, position: None, ran: None }))
            }
            other => other,
        }
    }
}
