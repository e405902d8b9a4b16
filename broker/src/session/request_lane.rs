//! A request lane: requests up, answers down, on one bidirectional stream.
//!
//! Requests are taken in order. Commands go to the log at once, with a seat in the lane's
//! completion channel reserved, so at most `lane_requests_max` are under way; reads run beside, a
//! few at a time. Nothing is read while there is no seat, so a client that does not read its
//! answers stops being read; nor while a control command waits for room in the log, so a lane holds
//! one at most; nor for a while when its user was told too often that a share is used up, or has
//! asked for more than their share of the broker's work. Answers that are ready go out in one
//! write.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until, timeout};
use wardline_storage::command::Command;
use wardline_storage::fail_point::{self, Point};
use wardline_storage::log::{Completion, Reply};
use wardline_storage::model::Priority;

use super::reader::{self, FrameReader, Read};
use super::sessions::{Session, Sessions};
use super::timing::Timing;
use crate::limits::{ANSWERS_BYTES_MAX, LANE_READS_WAITING_MAX};
use crate::refusal::{Code, Refusal};
use crate::requests::admission::{Epoch, EpochGate, NotTaken, TRY_AGAIN};
use crate::requests::answer::{Answer, answer};
use crate::requests::plan::Plan;
use crate::requests::query::{Answered, Query};
use crate::shares::principal::Principal;
use crate::shares::share::Portion;
use crate::shares::work::Work;
use crate::wire::{self, Decoded, Request, Response, Token};

/// Completions taken from the channel at a time.
const COMPLETIONS_MAX: usize = 256;
/// Work after which a lane says what it did, and may have to rest.
const WORK_MAX: u64 = 256;
/// A buffer with more room than this is given back when it is empty.
const IDLE_BUFFER_BYTES: usize = 1024;

/// Whether requests still come up.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Upward {
    Open,
    /// Finished; answers are still owed.
    Closed,
    /// Nobody is there to be answered.
    Gone,
}

/// One request lane.
pub(super) struct RequestLane {
    session: Arc<Session>,
    reader: FrameReader,
    stream: quinn::SendStream,
    upward: Upward,
    gate: EpochGate,
    completions: mpsc::Receiver<Completion>,
    seats: mpsc::Sender<Completion>,
    /// Commands whose completion is still to come, the one that is held included.
    commands: usize,
    /// A control command for which the log had no room, and the request's id.
    held: Option<(u64, Command)>,
    /// What was done for requests and is not counted yet.
    work: Work,
    /// Until when nothing is read, because too much was refused or done.
    rests: Option<Instant>,
    /// Each with the request's id.
    reads: JoinSet<(u64, Answered)>,
    /// Reads that wait for one of `reads` to end: the request's id, and how far they must see.
    waiting_reads: VecDeque<(u64, u64, Query)>,
    timing: Timing,
    out: BytesMut,
    /// The room of what is in `out`, given back when it is written.
    rooms: Vec<Portion>,
}

impl RequestLane {
    /// A lane on a stream that the client opened.
    pub(super) fn new(session: Arc<Session>, reader: FrameReader, stream: quinn::SendStream) -> Self {
        let (seats, completions) = mpsc::channel(session.all.limits.lane_requests_max);
        let timing = Timing::new(session.opened);
        let rest = session.all.shares.rest_at_first(Principal::from(&*session.caller.actor));
        Self {
            session,
            reader,
            stream,
            upward: Upward::Open,
            gate: EpochGate::default(),
            completions,
            seats,
            commands: 0,
            held: None,
            work: Work::default(),
            rests: until(rest),
            reads: JoinSet::new(),
            waiting_reads: VecDeque::new(),
            timing,
            out: BytesMut::new(),
            rooms: Vec::new(),
        }
    }

    /// Serves the lane until it is finished or the session ends; answers are sent in either case.
    /// Returns the stream, if the client can still be told something on it.
    pub(super) async fn run(mut self) -> Option<quinn::SendStream> {
        let mut done = Vec::new();
        let session = Arc::clone(&self.session);
        loop {
            if !self.flush().await {
                return None;
            }
            let idle = self.commands == 0 && self.reads.is_empty();
            if self.upward != Upward::Open && idle {
                break;
            }
            let open = self.upward == Upward::Open;
            tokio::select! {
                () = session.present.ending.ended(), if open => self.close(),
                taken = self.completions.recv_many(&mut done, COMPLETIONS_MAX), if self.commands > 0 => {
                    self.commands -= taken;
                    done.drain(..).for_each(|completion| self.complete(&completion));
                    self.try_again();
                }
                () = sleep(TRY_AGAIN), if self.held.is_some() => self.try_again(),
                () = rest(self.rests), if self.rests.is_some() => self.rests = None,
                Some(read) = self.reads.join_next(), if !self.reads.is_empty() => self.read_done(read),
                read = self.reader.next(), if open && self.has_room() => self.take(read),
            }
            if done.capacity() > 0 && self.commands == 0 {
                done = Vec::new();
            }
        }
        (self.upward != Upward::Gone).then_some(self.stream)
    }

    fn has_room(&self) -> bool {
        let commands_max = self.session.all.limits.lane_requests_max;
        let has_seats = self.commands < commands_max && self.waiting_reads.len() < LANE_READS_WAITING_MAX;
        has_seats && self.held.is_none() && self.rests.is_none()
    }

    /// Takes a frame, and those that came with it.
    fn take(&mut self, first: Read) {
        let mut next = Some(first);
        while let Some(read) = next {
            match read {
                Read::Frame(content) => self.frame(content),
                Read::End => self.upward = Upward::Closed,
                Read::Gone => self.upward = Upward::Gone,
                Read::Violation(refusal) => self.violated(refusal),
            }
            // Refusals are longer than what they refuse.
            let is_full = self.out.len() >= ANSWERS_BYTES_MAX || self.work.sum() >= WORK_MAX;
            let goes_on = self.upward == Upward::Open && self.has_room() && !is_full;
            next = if goes_on { self.reader.buffered() } else { None };
        }
        let work = std::mem::take(&mut self.work);
        let rest = self.session.all.shares.work(Principal::from(&*self.session.caller.actor), work);
        self.rests = self.rests.max(until(rest));
    }

    fn frame(&mut self, content: Bytes) {
        let all = &self.session.all;
        all.metrics.requests.increment(1);
        match wire::decode(content, &all.limits) {
            Err(error) => self.violated(reader::refuse(&error)),
            Ok(Decoded { id, request: Err(refusal), .. }) => {
                self.work.add(Work::REQUEST);
                self.refuse(id, refusal);
            }
            Ok(Decoded { id, request: Ok(Request::Hello(_)), .. }) => {
                let refusal = Refusal::new(Code::HelloRequired, "Hello was sent twice");
                self.refuse(id, refusal.clone());
                self.session.present.ending.end(refusal);
                self.close();
            }
            Ok(Decoded { id, request: Ok(Request::Renew(token)), .. }) => self.renew(id, &token),
            Ok(Decoded { id, at_least, request: Ok(request) }) => self.request(id, at_least, request),
        }
    }

    fn request(&mut self, id: u64, at_least: u64, request: Request) {
        let epoch = match &request {
            Request::Publish { epoch, publish } => Some(Epoch { priority: publish.priority, number: *epoch }),
            _ => None,
        };
        let session = Arc::clone(&self.session);
        let Sessions { requests, .. } = &*session.all;
        let admitted = epoch.map_or(Ok(()), |epoch| self.admit(epoch));
        let is_spent = admitted.is_ok() && epoch.is_some_and(|epoch| epoch.priority == Priority::Urgent);
        let planned = admitted.and_then(|()| requests.planner.plan(&session.caller, request));
        self.work.add(match &planned {
            Ok(Plan::Submit(command)) => Work::of(command),
            _ => Work::REQUEST,
        });
        let refused = match planned {
            Ok(Plan::Read(query)) => return self.read(id, at_least, query),
            Ok(Plan::Submit(command)) => self.submit(id, command),
            Err(refusal) => Err(refusal),
        };
        match refused {
            Ok(()) => self.commands += 1,
            Err(refusal) => {
                if let Some(epoch) = epoch {
                    self.gate.note(epoch, &refusal);
                }
                if is_spent {
                    let (user, rights) = (session.caller.actor.user, session.caller.asks().rights);
                    requests.urgency.give_back(user, rights.broadcaster, Instant::now());
                }
                self.refuse(id, refusal);
            }
        }
    }

    /// Whether a publish may be tried.
    fn admit(&self, epoch: Epoch) -> Result<(), Refusal> {
        let Session { all, caller, .. } = &*self.session;
        self.gate.check(epoch, all.requests.intake.admission())?;
        match epoch.priority {
            Priority::Routine => Ok(()),
            Priority::Urgent => {
                all.requests.urgency.take(caller.actor.user, caller.asks().rights.broadcaster, Instant::now())
            }
        }
    }

    fn submit(&mut self, id: u64, command: Command) -> Result<(), Refusal> {
        fail_point::pass(Point::Validated);
        self.time(&command);
        let (requests, actor) = (&self.session.all.requests, self.session.caller.asks());
        let seat = self.seats.clone().try_reserve_owned();
        let seat = seat.map_err(|_| requests.intake.admission().retry())?;
        let people = requests.bring_in(&actor, &command)?;
        match requests.intake.submit(&actor, command, Reply { ticket: id, seat }) {
            Ok(()) => Ok(()),
            Err(NotTaken::Refused(refusal)) => {
                requests.not_brought_in(&actor, people);
                Err(refusal)
            }
            Err(NotTaken::Yet(command)) => {
                self.held = Some((id, command));
                Ok(())
            }
        }
    }

    /// Submits again what is held, unless the session has ended: who may not ask any more has not
    /// asked.
    fn try_again(&mut self) {
        let Some((id, command)) = self.held.take() else { return };
        let tried = match self.session.present.ending.reason() {
            None => self.submit(id, command),
            Some(_) => Err(self.session.all.requests.intake.admission().retry()),
        };
        if let Err(refusal) = tried {
            self.commands -= 1;
            self.refuse(id, refusal);
        }
    }

    /// Takes from a receipt how long messages took.
    fn time(&mut self, command: &Command) {
        let Command::Acknowledge(acknowledge) = command else { return };
        let all = &self.session.all;
        let now = all.clock.now();
        if !self.timing.wants(acknowledge, now) {
            return;
        }
        let topic = all.deliveries.topics.find(acknowledge.conversation);
        let stamp = |seq| topic.as_ref().and_then(|topic| topic.stamp(seq));
        self.timing.hear(acknowledge, now, stamp, &all.metrics);
    }

    fn renew(&mut self, id: u64, token: &Token) {
        self.work.add(Work::REQUEST);
        match self.session.renew(token) {
            Ok(welcome) => self.answer(id, 0, Response::Welcome(Box::new(welcome))),
            Err(refusal) => self.refuse(id, refusal),
        }
    }

    fn complete(&mut self, completion: &Completion) {
        match answer(completion, &self.session.all.requests.intake) {
            Answer::Now(response) => self.answer(completion.ticket, completion.position, response),
            Answer::Read(query) => self.read(completion.ticket, completion.position, query),
        }
    }

    fn read(&mut self, id: u64, at_least: u64, query: Query) {
        if self.reads.len() >= self.session.all.limits.lane_reads_max {
            self.waiting_reads.push_back((id, at_least, query));
            return;
        }
        let session = Arc::clone(&self.session);
        self.reads.spawn(async move {
            let (queries, whose) = (&session.all.requests.queries, Principal::from(&*session.caller.actor));
            (id, queries.answer(whose, at_least, query).await)
        });
    }

    fn read_done(&mut self, read: Result<(u64, Answered), tokio::task::JoinError>) {
        match read {
            Ok((id, Answered { position, response, room })) => {
                self.rooms.extend(room);
                self.answer(id, position, response);
            }
            Err(error) => {
                // Its request id is lost with it, so the client can only be told to start afresh.
                tracing::error!(code = "read-failed", session = %self.session.present.id, %error, "a read failed");
                self.session.present.ending.end(Refusal::internal());
            }
        }
        match self.waiting_reads.pop_front() {
            Some((id, at_least, query)) => self.read(id, at_least, query),
            None => self.waiting_reads = VecDeque::new(),
        }
    }

    fn refuse(&mut self, id: u64, refusal: Refusal) {
        self.answer(id, 0, Response::Refused(refusal));
    }

    fn answer(&mut self, id: u64, position: u64, response: Response) {
        if let Response::Refused(refusal) = &response {
            self.session.all.metrics.refused(refusal.code);
            self.rest_after(refusal.code);
        }
        if let Response::Recorded(heard) = &response {
            self.session.all.metrics.heard(heard);
        }
        wire::answer(id, position, response, &mut self.out);
    }

    fn rest_after(&mut self, refused: Code) {
        if refused == Code::ResourceExhausted {
            let rest = self.session.all.shares.rest(Principal::from(&*self.session.caller.actor));
            self.rests = self.rests.max(until(rest));
        }
    }

    /// The client broke the protocol: it is told, and the session ends; but one unfinished frame
    /// costs only its lane.
    fn violated(&mut self, refusal: Refusal) {
        self.refuse(0, refusal.clone());
        if refusal.code == Code::FrameTimeout {
            self.reader.stop(refusal.code);
        } else {
            let refusal_code = refusal.code.label();
            tracing::info!(code = "protocol-violated", session = %self.session.present.id, refusal_code, "protocol violated");
            self.session.present.ending.end(refusal);
        }
        self.close();
    }

    fn close(&mut self) {
        if self.upward == Upward::Open {
            self.upward = Upward::Closed;
        }
    }

    /// Writes what is ready; false if nobody reads it.
    async fn flush(&mut self) -> bool {
        if self.out.is_empty() {
            return true;
        }
        let written = timeout(self.session.all.limits.write_timeout, self.stream.write_all(&self.out)).await;
        self.out.clear();
        self.rooms.clear();
        if self.out.capacity() > IDLE_BUFFER_BYTES && self.commands == 0 && self.reads.is_empty() {
            self.out = BytesMut::new();
        }
        if written.is_err() {
            let text = "answers were left unread for too long";
            self.session.present.ending.end(Refusal::new(Code::SlowReader, text));
        }
        matches!(written, Ok(Ok(())))
    }
}

/// When that will be over; `None`: it is.
fn until(rest: Duration) -> Option<Instant> {
    (!rest.is_zero()).then(|| Instant::now() + rest)
}

/// Waits until then.
async fn rest(until: Option<Instant>) {
    if let Some(until) = until {
        sleep_until(until.into()).await;
    }
}
