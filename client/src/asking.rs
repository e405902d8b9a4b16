//! Asking the broker, over whatever session is open.
//!
//! Owns the rules by which a request is tried again within its time. It never touches a stream.
//! Invariant: a request is sent once, unless doing it twice is as good as once.

use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};
use wardline_proto::v1::client_frame::Request;
use wardline_proto::v1::server_frame::Response;

use crate::error::{Code, RequestError};
use crate::requests::NoAnswer;
use crate::shared::Shared;
use crate::wire;

/// Pause before a request is tried again when the broker named none.
const PAUSE: Duration = Duration::from_millis(100);

/// Far enough away to be never.
const NEVER: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// The moment after this time, however long somebody wants to wait.
pub(crate) fn after(time: Duration) -> Instant {
    Instant::now() + time.min(NEVER)
}

/// Whether a request may be carried out twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// Twice is as good as once.
    Safe,
    /// The application must decide.
    Unsafe,
}

/// Asks the broker, within `time`: across sessions, and waiting out refusals that pass. A read sees
/// what was applied up to the position `at_least`.
///
/// # Errors
/// As [`RequestError`] says.
///
/// # Cancellation
/// A request that was sent may have been carried out; one that was not never will be.
pub(crate) async fn ask(
    shared: &Shared,
    request: Request,
    at_least: u64,
    repeat: Repeat,
    time: Duration,
) -> Result<Response, RequestError> {
    let deadline = after(time);
    loop {
        let answer = match timeout_at(deadline, ask_once(shared, request.clone(), at_least)).await {
            Ok(answer) => answer,
            Err(_) => return Err(RequestError::Unknown(format!("no answer within {time:?}"))),
        };
        let pause = match answer {
            Ok(Response::Error(error)) => {
                let refusal = wire::refusal(error);
                let pause = if refusal.retry_after.is_zero() { PAUSE } else { refusal.retry_after };
                let passes =
                    matches!(refusal.code, Code::Retry | Code::ResourceExhausted | Code::ShuttingDown);
                if !passes || Instant::now() + pause >= deadline {
                    return Err(refusal.into());
                }
                pause
            }
            Ok(response) => return Ok(response),
            Err(NoAnswer::Lost) if repeat == Repeat::Safe => PAUSE,
            Err(NoAnswer::Lost) => {
                return Err(RequestError::Unknown("the connection was lost before the answer came".into()));
            }
            Err(NoAnswer::Closed(why)) => return Err(RequestError::Closed(why)),
        };
        sleep_until((Instant::now() + pause).min(deadline)).await;
    }
}

async fn ask_once(shared: &Shared, request: Request, at_least: u64) -> Result<Response, NoAnswer> {
    let closed = || {
        NoAnswer::Closed(shared.closed().map_or_else(String::new, |closed| match closed {
            RequestError::Closed(why) => why,
            other => other.to_string(),
        }))
    };
    let seats = shared.requests(|requests| requests.seats(&request));
    let Ok(seat) = seats.acquire_owned().await else { return Err(closed()) };
    let answer = shared.requests(|requests| requests.push(request, at_least, seat));
    shared.requests_bell.notify_one();
    answer.await.unwrap_or_else(|_| Err(closed()))
}
