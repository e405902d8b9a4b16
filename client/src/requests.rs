//! Requests with one answer each, over whatever session is open.
//!
//! Owns the requests that wait to be sent or to be answered, and the rules by which they are tried
//! again within their time. It never touches a stream. Invariants: a request is sent once, unless
//! doing it twice is as good as once; bounded by `REQUESTS_MAX`; one whose caller has gone is not
//! sent any more.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{Instant, sleep_until, timeout_at};
use wardline_proto::v1::ClientFrame;
use wardline_proto::v1::client_frame::Request;
use wardline_proto::v1::server_frame::Response;

use crate::error::{Code, RequestError};
use crate::shared::Shared;
use crate::wire;

/// Most requests of one client that are under way; further callers wait their turn.
const REQUESTS_MAX: usize = 64;

/// Pause before a request is tried again when the broker named none.
const PAUSE: Duration = Duration::from_millis(100);

/// Whether a request may be carried out twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// Twice is as good as once.
    Safe,
    /// The application must decide.
    Unsafe,
}

/// Requests that wait to be sent or to be answered.
pub(crate) struct Requests {
    waiting: VecDeque<Call>,
    sent: HashMap<u64, Call>,
    places: Arc<Semaphore>,
}

struct Call {
    request: Option<Request>,
    reply: oneshot::Sender<Result<Response, NoAnswer>>,
    _place: OwnedSemaphorePermit,
}

/// Why a request has no answer.
#[derive(Debug)]
enum NoAnswer {
    /// The session was lost after it was sent.
    Lost,
    /// The client was closed.
    Closed(String),
}

impl Default for Requests {
    fn default() -> Self {
        Self {
            waiting: VecDeque::new(),
            sent: HashMap::new(),
            places: Arc::new(Semaphore::new(REQUESTS_MAX)),
        }
    }
}

impl Requests {
    /// Gives the next request to send, under `request_id`.
    pub(crate) fn next_to_send(&mut self, request_id: u64) -> Option<ClientFrame> {
        loop {
            let mut call = self.waiting.pop_front()?;
            if call.reply.is_closed() {
                continue;
            }
            let request = call.request.take();
            self.sent.insert(request_id, call);
            return Some(ClientFrame { request_id, request });
        }
    }

    /// Takes the broker's answer; gives it back if nothing was asked under this id.
    pub(crate) fn answered(&mut self, request_id: u64, response: Response) -> Option<Response> {
        let Some(call) = self.sent.remove(&request_id) else { return Some(response) };
        // A caller that has gone does not want to know.
        let _ = call.reply.send(Ok(response));
        None
    }

    /// Tells those whose requests were sent that the session was lost. The others wait for the next
    /// one.
    pub(crate) fn lost(&mut self) {
        for (_, call) in self.sent.drain() {
            let _ = call.reply.send(Err(NoAnswer::Lost));
        }
    }

    /// Tells all that there will be no answer.
    pub(crate) fn close(&mut self, why: &str) {
        self.places.close();
        let sent = self.sent.drain().map(|(_, call)| call);
        for call in sent.chain(self.waiting.drain(..)) {
            let _ = call.reply.send(Err(NoAnswer::Closed(why.to_owned())));
        }
    }
}

/// Asks the broker, within `time`: across sessions, and waiting out refusals that pass.
///
/// # Errors
/// As [`RequestError`] says.
///
/// # Cancellation
/// A request that was sent may have been carried out; one that was not never will be.
pub(crate) async fn ask(
    shared: &Shared,
    request: Request,
    repeat: Repeat,
    time: Duration,
) -> Result<Response, RequestError> {
    let deadline = Instant::now() + time;
    loop {
        let answer = match timeout_at(deadline, ask_once(shared, request.clone())).await {
            Ok(answer) => answer,
            Err(_) => return Err(RequestError::Unknown(format!("no answer within {time:?}"))),
        };
        let pause = match answer {
            Ok(Response::Error(error)) => {
                let refusal = wire::refusal(error);
                let pause = if refusal.retry_after.is_zero() { PAUSE } else { refusal.retry_after };
                let passes = matches!(refusal.code, Code::Retry | Code::ShuttingDown);
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

async fn ask_once(shared: &Shared, request: Request) -> Result<Response, NoAnswer> {
    let closed = || {
        NoAnswer::Closed(shared.closed().map_or_else(String::new, |closed| match closed {
            RequestError::Closed(why) => why,
            other => other.to_string(),
        }))
    };
    let places = shared.requests(|requests| Arc::clone(&requests.places));
    let Ok(place) = places.acquire_owned().await else { return Err(closed()) };
    let (reply, answer) = oneshot::channel();
    shared.requests(|requests| {
        // Closed in between: the reply is dropped, and so the answer an error.
        if !requests.places.is_closed() {
            requests.waiting.push_back(Call { request: Some(request), reply, _place: place });
        }
    });
    shared.requests_bell.notify_one();
    answer.await.unwrap_or_else(|_| Err(closed()))
}
