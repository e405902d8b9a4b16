//! Errors of the SDK, one type per operation, split by who must act.

use std::time::Duration;

use thiserror::Error;

pub use wardline_proto::v1::ErrorCode as Code;

/// The broker refused something; see `wardline.v1.Error`.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{text} ({code:?}); {action}")]
pub struct Refusal {
    /// Why, stably.
    pub code: Code,
    /// What was wrong, for people.
    pub text: String,
    /// What to do, for people.
    pub action: String,
    /// How long to wait before trying again; zero: waiting does not help.
    pub retry_after: Duration,
    /// With `ReceiptBackwards`, the watermark on record.
    pub current_sequence: u64,
}

/// No first session could be had.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The options cannot work; the application must act.
    #[error("{0}")]
    Options(String),
    /// The token source gave no token.
    #[error("no token: {0}")]
    Token(String),
    /// The broker was not reached, or did not speak the protocol; trying again may help.
    #[error("cannot reach the broker at {address}: {detail}")]
    Unreachable {
        /// Where.
        address: String,
        /// Why.
        detail: String,
    },
    /// The broker refused the session.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// A request was not carried out.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestError {
    /// The broker refused it. It changed nothing.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The connection was lost before the answer came, or no answer came in time: it may or may not
    /// have been carried out. (Publishes and receipts are sent again by the SDK and do not end like
    /// this.)
    #[error("the outcome is not known: {0}")]
    Unknown(String),
    /// The client is closed.
    #[error("the client is closed: {0}")]
    Closed(String),
}
