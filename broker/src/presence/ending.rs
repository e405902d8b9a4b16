//! The end of a session: that it has come, and why.
//!
//! Whoever finds that a session must end says so here: the session itself, a newer connection of
//! its device, or the broker's stop. The first reason counts, and is what the client is told. One
//! whose access is taken back is cut off.

use std::sync::OnceLock;

use tokio_util::sync::CancellationToken;

use crate::refusal::Refusal;

/// Why and whether a session ends. The first reason counts.
#[derive(Debug)]
pub(crate) struct Ending {
    connection: quinn::Connection,
    reason: OnceLock<Refusal>,
    token: CancellationToken,
}

impl Ending {
    /// Of the session on this connection.
    pub(crate) fn new(connection: quinn::Connection) -> Self {
        Self { connection, reason: OnceLock::new(), token: CancellationToken::new() }
    }

    /// Ends the session without another word: when this returns, nothing that was written for the
    /// client or waits for it is sent any more, only why.
    pub(crate) fn cut(&self, reason: Refusal) {
        let (code, text) = (reason.code.quic(), reason.text.clone());
        // The reason first, since the session's task finds a closed connection at once; the word
        // to end last, since what is owed is sent then.
        let _ = self.reason.set(reason);
        self.connection.close(code, text.as_bytes());
        self.token.cancel();
    }

    /// Ends the session.
    pub(crate) fn end(&self, reason: Refusal) {
        // If there is a reason already, that one counts.
        let _ = self.reason.set(reason);
        self.token.cancel();
    }

    /// Waits for the end.
    pub(crate) async fn ended(&self) {
        self.token.cancelled().await;
    }

    /// Why; `None` if it has not ended, or the client went by itself.
    pub(crate) fn reason(&self) -> Option<&Refusal> {
        self.reason.get()
    }

    /// Ends it without a reason: nobody is there to be told one.
    pub(crate) fn gone(&self) {
        self.token.cancel();
    }
}
