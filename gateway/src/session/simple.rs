//! The simple query: a text of any number of statements, answered in order up to the first error, in one transaction.

use std::sync::Arc;

use passgate_connectors::Bind;
use passgate_wire::Backend;

use super::Session;
use super::error::{End, Failure};
use super::ready::Ready;
use super::relay::{Reached, Wanted};
use super::road::{Asked, is_governed};
use super::transaction::Implicit;
use crate::audit::Event;
use crate::error::ClientError;
use crate::statement::Statement;

impl Session<Ready> {
    /// Answers a Query message.
    pub(super) async fn simple(&mut self, text: &str) -> Result<(), End> {
        if let Err(failure) = self.simple_statements(text).await {
            self.answer_failure(failure.located(text))?;
        }
        self.end_turn().await
    }

    async fn simple_statements(&mut self, text: &str) -> Result<(), Failure> {
        // As PostgreSQL does: a simple query takes the place of the unnamed statement, and of the portal where it runs.
        self.state.statements.remove("");
        let statements = self.recognise(text)?;
        if statements.is_empty() {
            self.channel.send(&Backend::EmptyQueryResponse);
        }
        let (untyped, unbound) = (Arc::default(), Bind::default());
        let mut answered = 0_u64;
        for (place, statement) in statements.iter().enumerate() {
            self.state.last = place + 1 == statements.len();
            if statements.len() > 1 {
                self.begin_implicit(Implicit::Message);
            }
            if self.allowed_now(statement).is_ok() {
                self.close_portal("").await?;
            }
            let asked = Asked { statement, parameter_types: &untyped, bind: &unbound, simple: true };
            let mut running = self.start(asked).await?;
            let wanted = Wanted { fields: true, rows_max: None, answered_before: answered };
            if let Reached::End(tag) = self.relay(&mut running, wanted).await? {
                answered = answered.saturating_add(running.rows_read());
                running.finish();
                self.channel.send(&Backend::CommandComplete(&tag));
                self.channel.flush_if_full().await?;
            }
        }
        Ok(())
    }

    /// Parses a text; what is not understood is recorded too.
    pub(super) fn understand(&mut self, text: &str) -> Result<Arc<[Arc<Statement>]>, Failure> {
        let understood = self.services.seen.statements(text, &self.services.statement_limits);
        understood.map_err(|error| self.refuse_text(text, error))
    }

    /// The same for a text that is run and forgotten: one that is known but for its constants is not read again.
    pub(super) fn recognise(&mut self, text: &str) -> Result<Arc<[Arc<Statement>]>, Failure> {
        let is_governed = |statement: &Statement| is_governed(&statement.kind);
        let recognised = self.services.seen.recognised(text, &self.services.statement_limits, is_governed);
        recognised.map_err(|error| self.refuse_text(text, error))
    }

    /// Records a text that did not become a statement, and says what to answer.
    pub(super) fn refuse_text(&self, text: &str, error: impl ClientError + Send + 'static) -> Failure {
        let mut record = self.record_text(Event::Statement, text, "unknown");
        record.validation = "not_checked: not understood".into();
        self.note(record, Failure::statement(error))
    }
}
