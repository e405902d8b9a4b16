//! The client's one task: session after session, until it is closed or refused for good.
//!
//! Owns the client's life and says how it stands in [`Status`]. What happens within a session is
//! [`session`]'s. Invariants: one task per client; it ends when the application drops its handles
//! or closes, and then everybody who waits has been told; attempts to connect are spaced by a
//! jittered back-off that only a session that lasted resets; the first one is made at once if the
//! broker itself says that it was started anew.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::connect::Connector;
use crate::end::End;
use crate::error::{Code, ConnectError, Refusal};
use crate::options::{Backoff, Options};
use crate::session::{self, Established};
use crate::shared::Shared;
use crate::types::{Session, Status};
use crate::wire::{self, Malformed};

/// How often in a row a token may be refused before the client gives up.
const TOKENS_REFUSED_MAX: u32 = 5;

/// Positions that are named before the broker has said how many it takes; its own default.
pub(crate) const POSITIONS_BEFORE_WELCOME: usize = 256;

/// Longest pause, whatever the options say: an application that waits for longer waits for nothing.
const PAUSE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// See the module's documentation.
pub(crate) struct Life {
    shared: Arc<Shared>,
    options: Options,
    connector: Connector,
    /// Sessions opened so far.
    generation: u64,
    positions_max: usize,
    /// Attempts and sessions in a row that did not last.
    failures: u32,
    tokens_refused: u32,
}

impl Life {
    pub(crate) fn new(shared: Arc<Shared>, options: Options, connector: Connector) -> Self {
        Self {
            shared,
            options,
            connector,
            generation: 1,
            positions_max: POSITIONS_BEFORE_WELCOME,
            failures: 0,
            tokens_refused: 0,
        }
    }

    /// Lives from the first session to the last.
    pub(crate) async fn run(mut self, first: Established) {
        let mut session = first;
        let why = loop {
            self.positions_max = positions_max(&session);
            let began = Instant::now();
            let end = session::run(session, &self.shared, &self.options).await;
            self.shared.session_lost();
            if began.elapsed() > self.options.backoff.max {
                self.failures = 0;
            }
            let (why, next_in) = match self.judge(end) {
                Next::Close(why) => break why,
                Next::Reconnect { why, next_in } => (why, next_in),
            };
            session = match self.reconnect(why, next_in).await {
                Ok(session) => session,
                Err(why) => break why,
            };
        };
        self.shared.close(why);
        self.connector.wait_idle().await;
    }

    /// Tries to open a session until it succeeds; the error says why there will be none.
    async fn reconnect(&mut self, mut why: String, mut next_in: Duration) -> Result<Established, String> {
        let mut attempt = 0;
        loop {
            self.failures = self.failures.saturating_add(1);
            self.shared.status.send_replace(Status::Reconnecting { attempt, next_in, why });
            tokio::select! {
                () = sleep(next_in) => {}
                () = self.shared.stop.cancelled() => return Err(STOPPED.into()),
            }
            let positions = self.shared.mailbox.resume(self.positions_max);
            let connected = tokio::select! {
                connected = self.connector.connect(&self.options, positions) => connected,
                () = self.shared.stop.cancelled() => return Err(STOPPED.into()),
            };
            let end = match connected
                .map(|session| (wire::session(session.welcome.clone(), self.generation), session))
            {
                Ok((Ok(status), session)) => {
                    self.connected(status);
                    return Ok(session);
                }
                Ok((Err(malformed), _)) => End::from(malformed),
                Err(ConnectError::Refused(refusal)) => End::Told(refusal),
                Err(error) => End::Lost(error.to_string()),
            };
            (why, next_in) = match self.judge(end) {
                Next::Close(why) => return Err(why),
                Next::Reconnect { why, next_in } => (why, next_in),
            };
            attempt += 1;
        }
    }

    fn connected(&mut self, status: Session) {
        self.generation += 1;
        self.tokens_refused = 0;
        self.shared.status.send_replace(Status::Connected(status));
    }

    /// Decides what follows the end of a session, or of an attempt.
    fn judge(&mut self, end: End) -> Next {
        let backoff = pause(self.options.backoff, self.failures);
        let (why, next_in) = match end {
            End::Stopped => return Next::Close(STOPPED.into()),
            // The broker is there, and tells its clients one after the other.
            End::Forgotten(why) if self.failures == 0 => (why, Duration::ZERO),
            End::Lost(why) | End::Forgotten(why) | End::Cut(why) => (why, backoff),
            End::Protocol(why) => {
                tracing::warn!(%why, "the broker broke the protocol");
                (why, backoff)
            }
            End::Goodbye(refusal) | End::Told(refusal) => {
                if self.is_final(&refusal) {
                    return Next::Close(refusal.to_string());
                }
                (refusal.to_string(), backoff.max(refusal.retry_after))
            }
        };
        Next::Reconnect { why, next_in }
    }

    /// Whether connecting again cannot help.
    fn is_final(&mut self, refusal: &Refusal) -> bool {
        match refusal.code {
            Code::UnsupportedVersion | Code::Superseded => true,
            Code::Unauthenticated | Code::TokenExpired | Code::Revoked => {
                self.tokens_refused += 1;
                self.tokens_refused > TOKENS_REFUSED_MAX
            }
            _ => false,
        }
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        // Not so after `run`; but a runtime that shuts down, or a defect, must not leave anybody
        // waiting.
        if self.shared.closed().is_none() {
            self.shared.close("the client's task was ended with its runtime".into());
        }
        self.shared.ended.cancel();
    }
}

const STOPPED: &str = "closed by the application";

enum Next {
    Close(String),
    Reconnect { why: String, next_in: Duration },
}

fn positions_max(session: &Established) -> usize {
    session.welcome.limits.as_ref().map_or(0, |limits| limits.resume_positions_max as usize)
}

/// Doubles with each failure; drawn between half and all of it.
fn pause(backoff: Backoff, failures: u32) -> Duration {
    let doubled = backoff.first.saturating_mul(1 << failures.min(20)).min(backoff.max).min(PAUSE_MAX);
    doubled.mul_f64(rand::random_range(0.5..=1.0))
}

/// Opens the first session and starts the task.
///
/// # Errors
/// As [`ConnectError`] says.
pub(crate) async fn start(options: Options) -> Result<Arc<Shared>, ConnectError> {
    let connector = Connector::new(&options)?;
    let mut positions = options.resume.clone();
    positions.truncate(POSITIONS_BEFORE_WELCOME);
    let session = connector.connect(&options, positions).await?;
    let status = wire::session(session.welcome.clone(), 0).map_err(|malformed: Malformed| {
        ConnectError::Unreachable { address: options.address.to_string(), detail: malformed.to_string() }
    })?;
    let shared = Arc::new(Shared::new(&options, Status::Connected(status)));
    tokio::spawn(Life::new(Arc::clone(&shared), options, connector).run(session));
    Ok(shared)
}
