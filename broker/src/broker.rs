//! The broker as a whole: starts its parts, stops them in order.

use std::net::SocketAddr;
use std::sync::Arc;

use thiserror::Error;
use wardline_storage::engine::Engine;

use crate::settings::Settings;

/// A running broker.
pub struct Broker {}

/// The broker could not start. The operator must act.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// The port is taken, or the address is not ours.
    #[error("cannot listen on {address} (UDP): {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
}

/// Why a broker ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// It was told to.
    Stopped,
    /// The store failed; the text says how. Exit with a failure.
    StorageFailed(String),
}

impl Broker {
    /// Starts on an open engine whose format was checked.
    ///
    /// # Errors
    /// [`StartError`] if it cannot run as set.
    pub async fn start(settings: Settings, engine: Arc<dyn Engine>) -> Result<Self, StartError> {
        let _ = (settings, engine);
        todo!()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        todo!()
    }

    /// Waits until the store fails; pends for ever otherwise.
    pub async fn failed(&self) -> String {
        todo!()
    }

    /// Stops: says goodbye to every client, finishes what was taken in, closes. At most the deadline of the settings.
    pub async fn stop(self) -> Ended {
        todo!()
    }
}
