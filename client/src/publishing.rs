//! The publish lane: sends what is in line, as soon as it is there, and takes the answers.
//!
//! Owns the lane's stream for one session. The rules of order and of sending again are
//! [`Outbox`]'s. Invariants: no artificial delay; whatever waits goes in one write; the lane is
//! opened with the first message, so that a client that only listens pays for none.

use std::time::Duration;

use bytes::BytesMut;
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
use crate::types::Ack;
use crate::wire::{self, Malformed};

/// Publishes until the session ends.
///
/// # Cancellation
/// Safe: what has no answer goes again on the next session's lane.
pub(crate) async fn run(connection: &Connection, shared: &Shared, unanswered_max: usize) -> End {
    match publish(connection, shared, unanswered_max.max(1)).await {
        Ok(never) => match never {},
        Err(end) => end,
    }
}

async fn publish(
    connection: &Connection,
    shared: &Shared,
    unanswered_max: usize,
) -> Result<std::convert::Infallible, End> {
    shared.outbox(Outbox::lane_opened);
    while shared.outbox(|outbox| outbox.is_empty()) {
        shared.publishes_bell.notified().await;
    }
    let mut lane = RequestLane::new(connection.open_bi().await?);
    let mut resume_at = None;
    loop {
        if lane.is_free() {
            lane.write(gather(shared, unanswered_max));
        }
        tokio::select! {
            answer = lane.turn() => if let Some(answer) = answer? {
                let pause = take_answer(shared, answer)?;
                resume_at = pause.map(|pause| Instant::now() + pause).or(resume_at);
            },
            () = shared.publishes_bell.notified(), if lane.is_free() => {}
            () = sleep_until(resume_at.unwrap_or_else(Instant::now)), if resume_at.is_some() => {
                resume_at = None;
                shared.outbox(Outbox::resume);
            }
        }
    }
}

/// Flattens what may be sent now.
fn gather(shared: &Shared, unanswered_max: usize) -> BytesMut {
    let mut frames = BytesMut::new();
    shared.outbox(|outbox| {
        while frames.len() < WRITE_BYTES
            && let Some(publish) = outbox.next_to_send(unanswered_max)
        {
            frame::encode(&publish, &mut frames);
        }
    });
    frames
}

/// Takes an answer; gives the pause that the broker asked for, once it begins.
fn take_answer(shared: &Shared, answer: ServerFrame) -> Result<Option<Duration>, End> {
    shared.note_position(answer.position);
    let result = match answer.response {
        Some(Response::PublishAck(ack)) => Ok(Ack { sequence: ack.sequence, time_ms: ack.time_ms }),
        Some(Response::Error(error)) => Err(wire::refusal(error)),
        _ => return Err(Malformed("answer to a publish").into()),
    };
    let refusal = result.as_ref().err().cloned();
    match shared.outbox(|outbox| outbox.answer(answer.request_id, result)) {
        Answered::Final(publisher, result) => tell(shared, publisher, result),
        Answered::FinalThenPause(publisher, result, pause) => {
            tell(shared, publisher, result);
            return Ok(Some(jittered(pause)));
        }
        Answered::Kept => {}
        Answered::Pause(pause) => return Ok(Some(jittered(pause))),
        // The broker could not read a request of ours: it says so under id 0 and ends the lane.
        Answered::Unknown => return Err(refusal.map_or(Malformed("request id").into(), End::Told)),
    }
    Ok(None)
}

fn tell(shared: &Shared, publisher: Publisher, result: Result<Ack, Refusal>) {
    // Whoever dropped the pending acknowledgement does not want to know.
    let _ = publisher.reply.send(result.map_err(RequestError::from));
    if shared.outbox(|outbox| outbox.is_empty()) {
        shared.settled.notify_waiters();
    }
}

/// Adds up to a quarter, so that clients refused together do not come back together.
fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(rand::random_range(1.0..1.25))
}
