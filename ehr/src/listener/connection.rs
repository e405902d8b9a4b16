//! One sender's connection: what comes, what becomes of it, and the answers in order.
//!
//! A few messages are under way at once ([`Limits::under_way_max`](super::Limits)); beyond that
//! nothing more is read, so a sender that sends faster than it is served waits in TCP. A large
//! message is alone. An error of one message ends nothing; what cannot be MLLP, takes too long, or
//! does not take its answers ends the connection. What is under way is answered first, unless
//! nobody takes answers any more.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use jiff::Timestamp;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::inflow::{Came, Inflow};
use super::limits::Limits;
use super::owed::{Answer, Owed};
use super::shared::{End, Shared, now_ms};
use super::sink::Sink;
use super::turns::Turns;
use crate::hl7::ack::{Envelope, Objection, Reply, Stamped};
use crate::hl7::batch::{self, Part};
use crate::hl7::flaw::{Flaw, Reason};
use crate::hl7::place::Place;
use crate::hl7::read::{Read, Reading};
use crate::mllp::{self, Block};
use crate::record::Event;

/// A connection while it is served.
pub(super) struct Connection<T, S> {
    inflow: Inflow<T>,
    peer: SocketAddr,
    shared: Arc<Shared<S>>,
    turns: Turns,
    owed: Owed,
}

impl<T: AsyncRead + AsyncWrite + Unpin + Send, S: Sink> Connection<T, S> {
    pub(super) fn new(stream: T, peer: SocketAddr, shared: Arc<Shared<S>>) -> Self {
        let inflow = Inflow::new(stream, shared.settings.rules.bounds.message_bytes_max);
        let owed = Owed::new(shared.settings.limits.under_way_max, shared.metrics.under_way.clone());
        Self { inflow, peer, shared, turns: Turns::default(), owed }
    }

    /// Serves it to its end.
    pub(super) async fn run(mut self) {
        let end = match self.serve().await {
            Ok(()) => End::Closed,
            Err(end) => end,
        };
        let end = match end {
            // Nobody is there, or takes what is said.
            End::Unread | End::Failed => end,
            _ => self.answer_all().await.err().unwrap_or(end),
        };
        self.inflow.give_back(&self.shared);
        self.shared.metrics.ended(end.label());
        match end {
            End::Closed | End::Stopped | End::Idle => {
                tracing::debug!(code = "mllp-ended", peer = %self.peer, why = end.label(), "a sender's connection ended");
            }
            _ => {
                tracing::warn!(code = "mllp-ended", peer = %self.peer, why = end.label(), "a sender's connection was ended");
            }
        }
        // With TLS, so that the sender knows that it was no accident.
        let _ = timeout(self.shared.settings.limits.write, self.inflow.stream.shutdown()).await;
    }

    async fn serve(&mut self) -> Result<(), End> {
        loop {
            while !self.owed.is_full()
                && let Some(block) = self.inflow.next_block()?
            {
                self.block(block).await?;
            }
            self.inflow.settle(&self.shared);
            let came = tokio::select! {
                biased;
                answer = self.owed.next() => {
                    self.answer(answer).await?;
                    continue;
                }
                came = self.inflow.read(&self.shared), if !self.owed.is_full() => came?,
            };
            match came {
                Came::Bytes => {}
                Came::Pause => {
                    if let Some(block) = self.inflow.pause() {
                        self.block(block).await?;
                    }
                }
                Came::End => break,
            }
        }
        while let Some(block) = self.inflow.finish() {
            self.block(block).await?;
        }
        Ok(())
    }

    async fn block(&mut self, block: Block) -> Result<(), End> {
        match block {
            Block::Message(bytes) if bytes.trim_ascii().is_empty() => {
                self.shared.metrics.keep_alives.increment(1);
            }
            Block::Message(bytes) => self.messages(&bytes).await?,
            Block::CutOff(bytes) => {
                self.shared.metrics.cut_off.increment(1);
                tracing::warn!(code = "mllp-cut-off", peer = %self.peer, bytes = bytes.len(), "a message was cut off");
                // Whole, it may well be taken.
                if let Some(envelope) = Envelope::read(&bytes) {
                    let flaw = Flaw::new(Reason::CutOff, Place::byte(bytes.len()));
                    self.shared.metrics.retry.increment(1);
                    self.say(envelope, Reply::Retry(Objection::from(&flaw)));
                }
            }
            Block::TooLong { head, bytes } => {
                self.shared.metrics.too_long.increment(1);
                tracing::warn!(code = "mllp-too-long", peer = %self.peer, bytes, "a message was too long");
                let max = self.shared.settings.rules.bounds.message_bytes_max;
                let envelope = Envelope::read(&head).unwrap_or_else(Envelope::unknown);
                self.refuse(envelope, "unreadable", &Flaw::new(Reason::TooLong { max }, Place::byte(max)));
            }
            Block::Stray(bytes) => {
                self.shared.metrics.stray.increment(1);
                tracing::warn!(code = "mllp-stray", peer = %self.peer, bytes, "bytes between messages were passed over");
            }
        }
        Ok(())
    }

    /// Takes in what is in a block: one message, or a batch of them.
    async fn messages(&mut self, block: &Bytes) -> Result<(), End> {
        let is_large = block.len() > Limits::READ_BYTES;
        for part in batch::split(block) {
            while self.owed.is_full() || (is_large && !self.owed.is_empty()) {
                let answer = self.owed.next().await;
                self.answer(answer).await?;
            }
            match part {
                Part::Message(message) => self.message(message),
                // It belongs to none of the messages, so the answer names none.
                Part::Flaw(flaw) => self.refuse(Envelope::unknown(), "unreadable", &flaw),
            }
        }
        // Its room is given back once it is done.
        if is_large { self.answer_all().await } else { Ok(()) }
    }

    fn message(&mut self, bytes: Bytes) {
        let shared = Arc::clone(&self.shared);
        let (metrics, now_ms) = (&shared.metrics, now_ms());
        metrics.last_message.set(now_ms as f64 / 1000.0);
        let envelope = Envelope::read(&bytes).unwrap_or_else(Envelope::unknown);
        let Read { kind, outcome } = shared.settings.rules.read(bytes, now_ms);
        match outcome {
            Ok(Reading::Event(event)) => self.begin(envelope, *event),
            Ok(Reading::Ignored) => {
                metrics.ignored.increment(1);
                self.say(envelope, Reply::Applied);
            }
            Ok(Reading::Acknowledgement) => metrics.acknowledgements.increment(1),
            Err(flaw) => {
                let kind = kind.map_or_else(|| "unreadable".to_owned(), |kind| kind.to_string());
                self.refuse(envelope, &kind, &flaw);
            }
        }
    }

    /// Begins to apply an event.
    fn begin(&mut self, envelope: Envelope, event: Event) {
        let turn = self.turns.take(&event);
        let task = tokio::spawn(Arc::clone(&self.shared).apply(self.peer, event, turn));
        let envelope = envelope.answered(self.shared.settings.answering);
        self.owed.push_task(envelope, Instant::now(), AbortOnDropHandle::new(task));
    }

    /// Refuses what cannot be read.
    fn refuse(&mut self, envelope: Envelope, kind: &str, flaw: &Flaw) {
        self.shared.metrics.refused.increment(1);
        self.shared.metrics.reason(flaw.reason);
        let (reason, section) = (flaw.reason.label(), flaw.section());
        tracing::warn!(code = "hl7-refused", peer = %self.peer, kind, reason, at = %flaw.at, section, "a message was refused");
        self.say(envelope, Reply::Refused(Objection::from(flaw)));
    }

    fn say(&mut self, envelope: Envelope, reply: Reply) {
        let envelope = envelope.answered(self.shared.settings.answering);
        self.owed.push(envelope, Instant::now(), reply);
    }

    async fn answer_all(&mut self) -> Result<(), End> {
        while !self.owed.is_empty() {
            let answer = self.owed.next().await;
            self.answer(answer).await?;
        }
        Ok(())
    }

    /// Writes an answer, and those that are ready behind it.
    async fn answer(&mut self, answer: Answer) -> Result<(), End> {
        let (mut out, mut began) = (BytesMut::new(), Vec::new());
        let mut next = Some(answer);
        while let Some(Answer { envelope, reply, began: at }) = next {
            let stamped = self.stamp();
            envelope.answers(&reply, &stamped).iter().for_each(|answer| mllp::encode(answer, &mut out));
            began.push(at);
            next = if out.len() < Limits::READ_BYTES { self.owed.next_ready().await } else { None };
        }
        if !out.is_empty() {
            self.write(&out).await?;
        }
        began.iter().for_each(|at| self.shared.metrics.answer_seconds.record(at.elapsed().as_secs_f64()));
        Ok(())
    }

    fn stamp(&self) -> Stamped {
        let now_ms = now_ms();
        let now = Timestamp::from_millisecond(now_ms).unwrap_or_default();
        let offset_s = self.shared.settings.rules.zone.to_offset(now).seconds();
        Stamped { control_id: self.shared.ids.give(), now_ms, offset_s }
    }

    async fn write(&mut self, out: &[u8]) -> Result<(), End> {
        let written = async {
            self.inflow.stream.write_all(out).await?;
            self.inflow.stream.flush().await
        };
        match timeout(self.shared.settings.limits.write, written).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(End::Failed),
            Err(_) => Err(End::Unread),
        }
    }
}
