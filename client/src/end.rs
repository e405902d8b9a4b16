//! Why a session ended: what its parts give when they cannot go on, and what the client's task
//! decides by.
//!
//! Every failure of a stream or a connection, and every breach of the protocol, becomes one of
//! these.

use std::time::Duration;

use quinn::ConnectionError;

use crate::error::{Code, Refusal};
use crate::frames::StreamError;
use crate::wire::Malformed;

/// How long the broker may take, after Goodbye or the end of a stream, to send what is on its way
/// and close.
pub(crate) const FAREWELL: Duration = Duration::from_secs(5);

/// Why a session ended.
#[derive(Debug)]
pub(crate) enum End {
    /// The application closed the client.
    Stopped,
    /// The broker said Goodbye; answers may still come.
    Goodbye(Refusal),
    /// The broker closed the connection and said why.
    Told(Refusal),
    /// The connection broke.
    Lost(String),
    /// The broker says that it knows nothing of the connection: it was started anew, and is there.
    Forgotten(String),
    /// A stream ended while the connection lived: the broker is about to say why.
    Cut(String),
    /// The broker broke the protocol.
    Protocol(String),
}

impl From<ConnectionError> for End {
    fn from(error: ConnectionError) -> Self {
        if let ConnectionError::Reset = error {
            return Self::Forgotten("the broker was started anew".into());
        }
        let ConnectionError::ApplicationClosed(close) = &error else { return Self::Lost(error.to_string()) };
        let code =
            i32::try_from(close.error_code.into_inner()).ok().and_then(|code| Code::try_from(code).ok());
        match code {
            Some(code) if code != Code::Unspecified => Self::Told(Refusal {
                code,
                text: String::from_utf8_lossy(&close.reason).into_owned(),
                action: "see the meaning of the code".into(),
                retry_after: Duration::ZERO,
                current_sequence: 0,
            }),
            _ => Self::Lost("the broker closed the connection".into()),
        }
    }
}

impl From<StreamError> for End {
    fn from(error: StreamError) -> Self {
        match error {
            StreamError::Frame(_) | StreamError::Truncated => Self::Protocol(error.to_string()),
            StreamError::Read(quinn::ReadError::ConnectionLost(error))
            | StreamError::Write(quinn::WriteError::ConnectionLost(error)) => error.into(),
            StreamError::Ended | StreamError::Read(_) | StreamError::Write(_) => Self::Cut(error.to_string()),
        }
    }
}

impl From<Malformed> for End {
    fn from(error: Malformed) -> Self {
        Self::Protocol(error.to_string())
    }
}
