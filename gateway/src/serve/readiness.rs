//! What `/readyz` answers: whether a client that came now would be served.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::http::Readiness;
use crate::server::Server;
use crate::sources::Sources;

pub(super) struct Ready {
    pub(super) server: Arc<Server>,
    pub(super) sources: Arc<Sources>,
}

impl Readiness for Ready {
    fn check(&self) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async {
            if self.server.is_draining() {
                return Err("draining".to_owned());
            }
            match self.sources.any_reachable().await {
                true => Ok(()),
                false => Err("no source can be reached".to_owned()),
            }
        })
    }
}
