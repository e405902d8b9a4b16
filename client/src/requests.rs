//! Requests with one answer each, until they have it.
//!
//! Owns the requests that wait to be sent or to be answered. It never touches a stream and never
//! waits. Invariants: each is given out to be sent once; bounded by `REQUESTS_MAX` and
//! `CONTROL_MAX`; one whose caller has gone is not sent any more.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use wardline_proto::v1::client_frame::Request;
use wardline_proto::v1::server_frame::Response;
use wardline_proto::v1::{ClientFrame, EncounterEventKind};

/// Most requests of one client that are under way; further callers wait their turn.
const REQUESTS_MAX: usize = 64;
/// And so many that protect or take away, beside them: no other holds those up.
const CONTROL_MAX: usize = 16;

/// Requests that wait to be sent or to be answered.
pub(crate) struct Requests {
    waiting: VecDeque<Call>,
    sent: HashMap<u64, Call>,
    seats: Arc<Semaphore>,
    control_seats: Arc<Semaphore>,
}

struct Call {
    request: Option<Request>,
    /// What a read must see.
    at_least: u64,
    reply: oneshot::Sender<Result<Response, NoAnswer>>,
    _seat: OwnedSemaphorePermit,
}

/// Why a request has no answer.
#[derive(Debug)]
pub(crate) enum NoAnswer {
    /// The session was lost after it was sent.
    Lost,
    /// The client was closed.
    Closed(String),
}

impl Default for Requests {
    fn default() -> Self {
        let seats = |count| Arc::new(Semaphore::new(count));
        let (seats, control_seats) = (seats(REQUESTS_MAX), seats(CONTROL_MAX));
        Self { waiting: VecDeque::new(), sent: HashMap::new(), seats, control_seats }
    }
}

impl Requests {
    /// What a request needs before it may wait to be sent.
    pub(crate) fn seats(&self, request: &Request) -> Arc<Semaphore> {
        Arc::clone(if is_control(request) { &self.control_seats } else { &self.seats })
    }

    /// Puts a request in line, which must see `at_least` if it reads; gives where its answer will
    /// be. If all was closed in between, there will be none: the sender is dropped.
    pub(crate) fn push(
        &mut self,
        request: Request,
        at_least: u64,
        seat: OwnedSemaphorePermit,
    ) -> oneshot::Receiver<Result<Response, NoAnswer>> {
        let (reply, answer) = oneshot::channel();
        if !self.seats.is_closed() {
            self.waiting.push_back(Call { request: Some(request), at_least, reply, _seat: seat });
        }
        answer
    }

    /// Gives the next request to send, under `request_id`.
    pub(crate) fn next_to_send(&mut self, request_id: u64) -> Option<ClientFrame> {
        loop {
            let mut call = self.waiting.pop_front()?;
            if call.reply.is_closed() {
                continue;
            }
            let (request, at_least) = (call.request.take(), call.at_least);
            self.sent.insert(request_id, call);
            return Some(ClientFrame { request_id, request, at_least });
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
        self.seats.close();
        self.control_seats.close();
        let sent = self.sent.drain().map(|(_, call)| call);
        for call in sent.chain(self.waiting.drain(..)) {
            let _ = call.reply.send(Err(NoAnswer::Closed(why.to_owned())));
        }
    }
}

/// Whether it protects, or takes away.
fn is_control(request: &Request) -> bool {
    match request {
        Request::RemoveMember(_)
        | Request::LeaveConversation(_)
        | Request::SetRole(_)
        | Request::SetRetention(_)
        | Request::DeleteMessage(_)
        | Request::SetRoster(_)
        | Request::SetCareTeam(_) => true,
        Request::RecordEncounter(event) => matches!(
            event.kind(),
            EncounterEventKind::Transfer
                | EncounterEventKind::Discharge
                | EncounterEventKind::CancelAdmit
                | EncounterEventKind::CancelTransfer
        ),
        _ => false,
    }
}
