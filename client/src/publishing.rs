//! The publish lanes: send what is in line, as soon as it is there, and take the answers.
//!
//! Owns the lanes' streams for one session: urgent messages have a lane of their own, which goes
//! first, so that no routine one stands before them; unless the broker allows too few lanes, then
//! they go first on the one there is. The rules of order and of sending again are [`Outbox`]'s.
//! Invariants: no artificial delay; whatever waits goes in one write; a lane is opened with its
//! first message, so that a client that only listens pays for none.

use std::time::Duration;

use bytes::BytesMut;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use quinn::Connection;
use tokio::time::{Instant, sleep_until};
use wardline_proto::frame;
use wardline_proto::v1::ServerFrame;
use wardline_proto::v1::server_frame::Response;

use crate::core::outbox::{Answered, Outbox};
use crate::end::End;
use crate::error::{Refusal, RequestError};
use crate::frames::{RequestLane, WRITE_BYTES};
use crate::shared::{Publisher, Shared};
use crate::types::{Ack, Priority};
use crate::wire::{self, Malformed};

/// Control stream, routine, urgent.
const LANES_FOR_EACH: u32 = 3;
const URGENT: &[Priority] = &[Priority::Urgent];
const ROUTINE: &[Priority] = &[Priority::Routine];
const BOTH: &[Priority] = &[Priority::Urgent, Priority::Routine];
/// What is urgent is sent first.
const URGENT_PRIORITY: i32 = 1;

/// Publishes until the session ends. `lanes_max`: how many the broker allows, the control stream
/// included.
///
/// # Cancellation
/// Safe: what has no answer goes again on the next session's lane.
pub(crate) async fn run(
    connection: &Connection,
    shared: &Shared,
    lanes_max: u32,
    unanswered_max: usize,
) -> End {
    let lane = |lines| Lane::new(shared, lines, unanswered_max.max(1)).run(connection);
    // Each has a waker of its own.
    let mut lanes = FuturesUnordered::new();
    if lanes_max < LANES_FOR_EACH {
        lanes.push(lane(BOTH));
    } else {
        lanes.push(lane(URGENT));
        lanes.push(lane(ROUTINE));
    }
    lanes.select_next_some().await
}

/// A lane, and what goes on it: the first line first.
struct Lane<'a> {
    shared: &'a Shared,
    lines: &'static [Priority],
    unanswered_max: usize,
    /// When a line that the broker asked to wait goes on, as in `lines`.
    resume_at: [Option<Instant>; 2],
}

impl<'a> Lane<'a> {
    fn new(shared: &'a Shared, lines: &'static [Priority], unanswered_max: usize) -> Self {
        Self { shared, lines, unanswered_max, resume_at: [None; 2] }
    }

    async fn run(mut self, connection: &Connection) -> End {
        match self.publish(connection).await {
            Ok(never) => match never {},
            Err(end) => end,
        }
    }

    async fn publish(&mut self, connection: &Connection) -> Result<std::convert::Infallible, End> {
        let shared = self.shared;
        for line in self.lines {
            shared.outbox(*line, Outbox::lane_opened);
        }
        while self.lines.iter().all(|line| shared.outbox(*line, |outbox| outbox.is_empty())) {
            self.rung().await;
        }
        let (stream, answers) = connection.open_bi().await?;
        if self.lines[0] == Priority::Urgent {
            // An error only says that the stream is closed: writing tells.
            let _ = stream.set_priority(URGENT_PRIORITY);
        }
        let mut lane = RequestLane::new((stream, answers));
        loop {
            if lane.is_free() {
                lane.write(self.gather());
            }
            let resume_at = self.resume_at.iter().flatten().min().copied();
            tokio::select! {
                answer = lane.turn() => if let Some(answer) = answer? {
                    self.take_answer(answer)?;
                },
                () = self.rung(), if lane.is_free() => {}
                () = sleep_until(resume_at.unwrap_or_else(Instant::now)), if resume_at.is_some() => {
                    self.resume();
                }
            }
        }
    }

    /// Waits until something was put in one of the lines.
    async fn rung(&self) {
        let bell = |line: &Priority| self.shared.publishes_bell(*line).notified();
        match self.lines {
            [first, second, ..] => tokio::select! {
                () = bell(first) => {}
                () = bell(second) => {}
            },
            [one] => bell(one).await,
            [] => std::future::pending().await,
        }
    }

    /// Flattens what may be sent now.
    fn gather(&self) -> BytesMut {
        let mut frames = BytesMut::new();
        for line in self.lines {
            self.shared.outbox(*line, |outbox| {
                while frames.len() < WRITE_BYTES
                    && let Some(publish) = outbox.next_to_send(self.unanswered_max)
                {
                    frame::encode(&publish, &mut frames);
                }
            });
        }
        frames
    }

    /// Goes on with the lines whose pause is over.
    fn resume(&mut self) {
        let now = Instant::now();
        for (line, resume_at) in self.lines.iter().zip(&mut self.resume_at) {
            if resume_at.take_if(|at| *at <= now).is_some() {
                self.shared.outbox(*line, Outbox::resume);
            }
        }
    }

    /// Takes an answer; notes the pause that the broker asked for, once it begins.
    fn take_answer(&mut self, answer: ServerFrame) -> Result<(), End> {
        let shared = self.shared;
        shared.note_position(answer.position);
        let result = match answer.response {
            Some(Response::PublishAck(ack)) => Ok(ack),
            Some(Response::Error(error)) => Err(wire::refusal(error)),
            _ => return Err(Malformed("answer to a publish").into()),
        };
        let index = self.lines.iter().position(|line| shared.outbox(*line, |it| it.asks(answer.request_id)));
        let Some(index) = index else {
            // The broker could not read a request of ours: it says so under id 0 and ends the lane.
            return Err(result.err().map_or(Malformed("request id").into(), End::Told));
        };
        let result = result.map(|ack| Ack {
            sequence: ack.sequence,
            time_ms: ack.time_ms,
            priority: self.lines[index],
        });
        let refusal = result.as_ref().err().cloned();
        let pause = match shared.outbox(self.lines[index], |outbox| outbox.answer(answer.request_id, result))
        {
            Answered::Final(publisher, result) => {
                tell(shared, publisher, result);
                None
            }
            Answered::FinalThenPause(publisher, result, pause) => {
                tell(shared, publisher, result);
                Some(pause)
            }
            Answered::Spent(publish, publisher, pause) => {
                shared.push_again(Priority::Routine, publish, publisher);
                pause
            }
            Answered::Kept => None,
            Answered::Pause(pause) => Some(pause),
            Answered::Unknown => return Err(refusal.map_or(Malformed("request id").into(), End::Told)),
        };
        if let Some(pause) = pause {
            self.resume_at[index] = Some(Instant::now() + jittered(pause));
        }
        Ok(())
    }
}

fn tell(shared: &Shared, publisher: Publisher, result: Result<Ack, Refusal>) {
    // Whoever dropped the pending acknowledgement does not want to know.
    let _ = publisher.reply.send(result.map_err(RequestError::from));
    if shared.has_published_all() {
        shared.settled.notify_waiters();
    }
}

/// Adds up to a quarter, so that clients refused together do not come back together.
fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(rand::random_range(1.0..1.25))
}
