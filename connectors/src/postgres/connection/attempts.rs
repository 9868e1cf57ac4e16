//! Statements of our own of which each stands alone: one that fails stops none of the others.

use postgres_protocol::message::{backend, frontend};

use super::{Connection, write_bind};
use crate::{Batch, Error, ServerMessage};

impl Connection {
    /// Runs statements in one write, each in a transaction of its own, and tells for each why it failed, if it did.
    /// There should not be so many that their answers fill a socket before they are all sent.
    pub(crate) async fn attempt(&mut self, texts: &[&str]) -> Result<Vec<Option<ServerMessage>>, Error> {
        self.must_be_idle()?;
        let mut syncs = 0;
        self.build(|out| {
            for text in texts {
                frontend::parse("", text, [], out)?;
                write_bind("", [], &[], [], out)?;
                frontend::execute("", 0, out)?;
                frontend::sync(out);
                syncs += 1;
            }
            Ok(())
        })?;
        self.send(syncs).await?;
        let mut outcomes = Vec::with_capacity(texts.len());
        while outcomes.len() < texts.len() {
            let (tag, frame) = self.frame().await?;
            if tag == backend::DATA_ROW_TAG {
                continue;
            }
            match self.take_or_break(tag, frame) {
                Ok(Some(Batch::Done { .. })) => outcomes.push(None),
                Ok(_) => {}
                Err(Error::Server(message)) => outcomes.push(Some(message)),
                Err(error) => return Err(error),
            }
        }
        Ok(outcomes)
    }
}
