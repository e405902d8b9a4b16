//! The control stream after Hello: requests, receipts, the token's renewal, and the broker's
//! Goodbye.
//!
//! Owns the stream for one session. What a request or receipt means is decided elsewhere.
//! Invariants: requests go at once, receipts wait for company (about `receipt_delay`), and ride
//! along when something else goes; one renewal at a time.

use std::time::Duration;

use bytes::BytesMut;
use tokio::time::{Instant, sleep_until};
use wardline_proto::frame;
use wardline_proto::v1::client_frame::Request;
use wardline_proto::v1::server_frame::Response;
use wardline_proto::v1::{ClientFrame, Renew, ServerFrame, Welcome};

use crate::end::End;
use crate::frames::{RequestLane, WRITE_BYTES};
use crate::options::Options;
use crate::shared::Shared;
use crate::types::Status;
use crate::wire::{self, Malformed};

/// Pause of the receipts after a refusal that passes.
const RECEIPTS_PAUSE: Duration = Duration::from_millis(250);

/// Whatever the options say, receipts wait about this long at most.
const RECEIPTS_WAIT_MAX: Duration = Duration::from_secs(3600);

/// Soonest and latest that the token source is asked again, and how long before the token's end at
/// the latest.
const RENEW_MIN: Duration = Duration::from_secs(1);
const RENEW_BEFORE: Duration = Duration::from_secs(60);
const RENEW_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// One session's control stream.
pub(crate) struct Control<'a> {
    lane: RequestLane,
    shared: &'a Shared,
    options: &'a Options,
    token: String,
    next_request_id: u64,
    unanswered: usize,
    unanswered_max: usize,
    receipts_at: Option<Instant>,
    receipts_paused_until: Option<Instant>,
    renew_at: Instant,
    renewal: Option<Renewal>,
}

struct Renewal {
    request_id: u64,
    token: String,
}

impl<'a> Control<'a> {
    /// Takes over after Hello was answered with `welcome`.
    pub(crate) fn new(
        lane: RequestLane,
        token: String,
        welcome: &Welcome,
        shared: &'a Shared,
        options: &'a Options,
    ) -> Self {
        let lane_requests_max = welcome.limits.as_ref().map_or(1, |limits| limits.lane_requests_max);
        Self {
            lane,
            shared,
            options,
            token,
            // Hello had 1.
            next_request_id: 2,
            unanswered: 0,
            unanswered_max: (lane_requests_max as usize).max(1),
            receipts_at: None,
            receipts_paused_until: None,
            renew_at: renew_at(welcome),
            renewal: None,
        }
    }

    /// Works until the session ends.
    ///
    /// # Cancellation
    /// Safe: `Shared::session_lost` makes what had no answer ready for the next session.
    pub(crate) async fn run(mut self) -> End {
        loop {
            if let Err(end) = self.turn().await {
                return end;
            }
        }
    }

    async fn turn(&mut self) -> Result<(), End> {
        let may_ask = self.unanswered < self.unanswered_max;
        if may_ask && self.receipts_at.is_none() && self.shared.receipts(|receipts| receipts.is_ready()) {
            let due = Instant::now() + spread(self.options.receipt_delay);
            self.receipts_at = Some(self.receipts_paused_until.map_or(due, |until| until.max(due)));
        }
        if self.lane.is_free() {
            let frames = self.gather();
            self.lane.write(frames);
        }
        let may_write = self.lane.is_free();
        let Self { lane, shared, receipts_at, renew_at, .. } = self;
        tokio::select! {
            answer = lane.turn() => if let Some(answer) = answer? {
                self.take_answer(answer)?;
            },
            () = shared.requests_bell.notified(), if may_write => {}
            () = shared.receipts_bell.notified(), if receipts_at.is_none() => {}
            () = sleep_until(receipts_at.unwrap_or(*renew_at)), if receipts_at.is_some() && may_write => {}
            () = sleep_until(*renew_at), if may_write => {}
        }
        Ok(())
    }

    /// Flattens what may be sent now.
    fn gather(&mut self) -> BytesMut {
        let mut frames = BytesMut::new();
        let now = Instant::now();
        if now >= self.renew_at {
            self.renew(now, &mut frames);
        }
        self.gather_requests(&mut frames);
        let due = self.receipts_at.is_some_and(|due| now >= due);
        let riding = !frames.is_empty() && self.receipts_paused_until.is_none_or(|until| now >= until);
        if self.receipts_at.is_some() && (due || riding) {
            self.gather_receipts(&mut frames);
        }
        frames
    }

    fn gather_requests(&mut self, frames: &mut BytesMut) {
        self.shared.requests(|requests| {
            while frames.len() < WRITE_BYTES
                && self.unanswered < self.unanswered_max
                && let Some(request) = requests.next_to_send(self.next_request_id)
            {
                self.next_request_id += 1;
                self.unanswered += 1;
                frame::encode(&request, frames);
            }
        });
    }

    fn gather_receipts(&mut self, frames: &mut BytesMut) {
        self.receipts_at = None;
        self.shared.receipts(|receipts| {
            while frames.len() < WRITE_BYTES
                && self.unanswered < self.unanswered_max
                && let Some(acknowledge) = receipts.next_to_send(self.next_request_id)
            {
                let request = Some(Request::Acknowledge(acknowledge));
                frame::encode(
                    &ClientFrame { request_id: self.next_request_id, request, ..ClientFrame::default() },
                    frames,
                );
                self.next_request_id += 1;
                self.unanswered += 1;
            }
        });
    }

    /// Asks for a token and, if it is another one, sends it.
    fn renew(&mut self, now: Instant, frames: &mut BytesMut) {
        self.renew_at = now + RENEW_BEFORE / 4;
        if self.renewal.is_some() {
            return;
        }
        match self.options.tokens.token() {
            Ok(token) if token != self.token => {
                let request_id = self.next_request_id;
                self.next_request_id += 1;
                self.unanswered += 1;
                let request = Some(Request::Renew(Renew { token: token.clone() }));
                frame::encode(&ClientFrame { request_id, request, ..ClientFrame::default() }, frames);
                self.renewal = Some(Renewal { request_id, token });
            }
            Ok(_) => {}
            Err(_) => tracing::warn!("the token source gave no token to renew the session with"),
        }
    }

    fn take_answer(&mut self, answer: ServerFrame) -> Result<(), End> {
        self.shared.note_position(answer.position);
        let response = match answer.response {
            Some(Response::Goodbye(goodbye)) => return Err(End::Goodbye(wire::farewell(goodbye))),
            Some(response) => response,
            None => return Err(Malformed("answer").into()),
        };
        self.unanswered = self.unanswered.saturating_sub(1);
        let id = answer.request_id;
        if self.renewal.as_ref().is_some_and(|renewal| renewal.request_id == id) {
            return self.renewed(response);
        }
        let Some(response) = self.shared.requests(|requests| requests.answered(id, response)) else {
            return Ok(());
        };
        let answer = match response {
            Response::Acknowledged(_) => Ok(()),
            Response::Error(error) => Err(wire::refusal(error)),
            _ => return Err(Malformed("answer").into()),
        };
        let code = answer.as_ref().map(|&()| ()).map_err(|refusal| refusal.code);
        match self.shared.receipts(|receipts| receipts.answered(id, code)) {
            Some(pause) => {
                let asked = answer.err().map_or(Duration::ZERO, |refusal| refusal.retry_after);
                if pause {
                    let until = Instant::now() + asked.max(RECEIPTS_PAUSE);
                    self.receipts_at = self.receipts_at.map(|due| due.max(until));
                    self.receipts_paused_until = Some(until);
                }
                self.shared.settled.notify_waiters();
                Ok(())
            }
            // The broker could not read a request of ours: it says so under id 0 and ends the
            // session.
            None => Err(answer.err().map_or(Malformed("request id").into(), End::Told)),
        }
    }

    fn renewed(&mut self, response: Response) -> Result<(), End> {
        let Some(renewal) = self.renewal.take() else { return Ok(()) };
        match response {
            Response::Welcome(welcome) => {
                self.token = renewal.token;
                self.renew_at = renew_at(&welcome);
                let expires = welcome.token_expires_at_ms;
                self.shared.status.send_modify(|status| {
                    if let Status::Connected(session) = status {
                        session.token_expires_at_ms = expires;
                    }
                });
                Ok(())
            }
            // The old token holds until its end; the source is asked again before.
            Response::Error(error) => {
                tracing::warn!(code = error.code, "the broker refused to renew the session");
                Ok(())
            }
            _ => Err(Malformed("answer to a renewal").into()),
        }
    }
}

/// Between half of a delay and one and a half: a message to hundreds must not be answered by all of
/// them at once.
fn spread(delay: Duration) -> Duration {
    delay.min(RECEIPTS_WAIT_MAX).mul_f64(rand::random_range(0.5..1.5))
}

/// When to ask for the next token: a minute, or a fifth of what is left, before the end.
fn renew_at(welcome: &Welcome) -> Instant {
    let left = welcome.token_expires_at_ms.saturating_sub(welcome.server_time_ms);
    let left = Duration::from_millis(left).min(RENEW_MAX);
    Instant::now() + (left - RENEW_BEFORE.min(left / 5)).max(RENEW_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_spread_about_the_delay() {
        let delay = Duration::from_millis(40);
        let waits: Vec<Duration> = (0..200).map(|_| spread(delay)).collect();
        assert!(waits.iter().all(|wait| (delay / 2..delay * 3 / 2).contains(wait)), "{waits:?}");
        assert!(waits.iter().any(|wait| *wait < delay * 3 / 4), "{waits:?}");
        assert!(waits.iter().any(|wait| *wait > delay * 5 / 4), "{waits:?}");
        assert_eq!(spread(Duration::ZERO), Duration::ZERO);
        assert!(spread(Duration::MAX) < RECEIPTS_WAIT_MAX * 2);
    }
}
