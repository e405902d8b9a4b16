//! One sender: its messages in order, each answered before the next is looked at.
//!
//! Nothing more is read while a message waits for the sink, so a sender that sends faster than it
//! is served waits in TCP. An error of one message ends nothing; what cannot be MLLP, takes too
//! long, or does not take its answers ends the connection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::{BufMut as _, Bytes, BytesMut};
use jiff::Timestamp;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::control_ids::ControlIds;
use super::limits::Limits;
use super::metrics::Metrics;
use super::room::{Portion, Room};
use super::sink::Sink;
use crate::hl7::ack::{Envelope, Objection, Reply, Stamped};
use crate::hl7::batch::{self, Part};
use crate::hl7::flaw::{Code, Flaw, Reason};
use crate::hl7::place::Place;
use crate::hl7::read::{Read, Reading, Rules};
use crate::mllp::{self, Block, Decoder};
use crate::record::Event;

/// What all connections share.
pub(super) struct Shared<S> {
    sink: S,
    rules: Rules,
    pub(super) limits: Limits,
    pub(super) metrics: Metrics,
    pub(super) stop: CancellationToken,
    room: Room,
    ids: ControlIds,
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The sender closed it.
    Closed,
    /// We stop.
    Stopped,
    /// Nothing came for too long.
    Idle,
    /// A message did not come to its end in time.
    Slow,
    /// There was no room for its message for too long.
    NoRoom,
    /// The sender did not take an answer.
    Unread,
    /// What came is not MLLP.
    Broken,
    /// The network failed.
    Failed,
}

impl End {
    fn label(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Stopped => "stopped",
            Self::Idle => "idle",
            Self::Slow => "slow",
            Self::NoRoom => "no_room",
            Self::Unread => "unread",
            Self::Broken => "broken",
            Self::Failed => "failed",
        }
    }
}

impl<S: Sink> Shared<S> {
    pub(super) fn new(sink: S, rules: Rules, limits: Limits, stop: CancellationToken) -> Self {
        let room = Room::new(limits.in_hand_bytes_max, rules.bounds.message_bytes_max);
        let metrics = Metrics::new();
        Self { sink, rules, limits, metrics, stop, room, ids: ControlIds::new(now_ms()) }
    }
}

/// A connection while it is served.
pub(super) struct Connection<T, S> {
    stream: T,
    peer: SocketAddr,
    shared: Arc<Shared<S>>,
    decoder: Decoder,
    portion: Portion,
    /// When the message began of which some is there.
    began: Option<Instant>,
}

impl<T: AsyncRead + AsyncWrite + Unpin + Send, S: Sink> Connection<T, S> {
    pub(super) fn new(stream: T, peer: SocketAddr, shared: Arc<Shared<S>>) -> Self {
        let bounds = mllp::Bounds {
            message_bytes_max: shared.rules.bounds.message_bytes_max,
            ..mllp::Bounds::default()
        };
        let (decoder, portion) = (Decoder::new(bounds), Portion::none());
        Self { stream, peer, shared, decoder, portion, began: None }
    }

    /// Serves it to its end.
    pub(super) async fn run(mut self) {
        let end = match self.serve().await {
            Ok(()) => End::Closed,
            Err(end) => end,
        };
        self.shared.room.give_back(&mut self.portion, &self.shared.metrics);
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
        let _ = timeout(self.shared.limits.write, self.stream.shutdown()).await;
    }

    async fn serve(&mut self) -> Result<(), End> {
        loop {
            while let Some(block) = self.decoder.next_block().map_err(|_| End::Broken)? {
                self.began = None;
                self.block(block).await?;
            }
            self.settle();
            if !self.read().await? {
                break;
            }
        }
        while let Some(block) = self.decoder.finish() {
            self.block(block).await?;
        }
        Ok(())
    }

    /// Between reads: notes when a message began, and gives back room that nothing needs.
    fn settle(&mut self) {
        if self.decoder.is_within() {
            self.began.get_or_insert_with(Instant::now);
        }
        let buffer = self.decoder.buffer();
        if buffer.len() < Limits::READ_BYTES {
            if buffer.capacity() > 2 * Limits::READ_BYTES {
                *buffer = BytesMut::from(&buffer[..]);
            }
            self.shared.room.give_back(&mut self.portion, &self.shared.metrics);
        }
    }

    /// Reads some more; false: the stream has ended.
    async fn read(&mut self) -> Result<bool, End> {
        let shared = Arc::clone(&self.shared);
        let limits = &shared.limits;
        let (patience, late) = match self.began {
            Some(began) => (limits.message.saturating_sub(began.elapsed()), End::Slow),
            None => (limits.idle, End::Idle),
        };
        if self.decoder.buffer().len() >= Limits::READ_BYTES {
            let taken = timeout(patience, shared.room.take(&mut self.portion, &shared.metrics));
            let taken = shared.stop.run_until_cancelled(taken).await.ok_or(End::Stopped)?;
            taken.map_err(|_| End::NoRoom)?;
        }
        let ends_soon = self.decoder.buffer().last() == Some(&mllp::FS) && self.decoder.is_within();
        let patience = if ends_soon { limits.pause } else { patience };
        let buffer = self.decoder.buffer();
        buffer.reserve(Limits::READ_BYTES);
        let mut part = buffer.limit(Limits::READ_BYTES);
        let read = timeout(patience, self.stream.read_buf(&mut part));
        match shared.stop.run_until_cancelled(read).await {
            None => Err(End::Stopped),
            Some(Ok(Ok(bytes))) => Ok(bytes > 0),
            Some(Ok(Err(_))) => Err(End::Failed),
            Some(Err(_)) if ends_soon => {
                if let Some(block) = self.decoder.pause() {
                    self.began = None;
                    self.block(block).await?;
                }
                Ok(true)
            }
            Some(Err(_)) => Err(late),
        }
    }

    async fn block(&mut self, block: Block) -> Result<(), End> {
        let shared = Arc::clone(&self.shared);
        let metrics = &shared.metrics;
        match block {
            Block::Message(bytes) if bytes.trim_ascii().is_empty() => metrics.keep_alives.increment(1),
            Block::Message(bytes) => {
                for part in batch::split(&bytes) {
                    match part {
                        Part::Message(message) => self.message(message).await?,
                        // It belongs to none of the messages, so the answer names none.
                        Part::Flaw(flaw) => self.refuse(Envelope::unknown(), &flaw).await?,
                    }
                }
            }
            Block::CutOff(bytes) => {
                metrics.cut_off.increment(1);
                tracing::warn!(code = "mllp-cut-off", peer = %self.peer, bytes = bytes.len(), "a message was cut off");
                // Whole, it may well be taken.
                if let Some(envelope) = Envelope::read(&bytes) {
                    let flaw = Flaw::new(Reason::CutOff, Place::byte(bytes.len()));
                    metrics.retry.increment(1);
                    self.answer(&envelope, &Reply::Retry(Objection::from(&flaw))).await?;
                }
            }
            Block::TooLong { head, bytes } => {
                metrics.too_long.increment(1);
                tracing::warn!(code = "mllp-too-long", peer = %self.peer, bytes, "a message was too long");
                let max = shared.rules.bounds.message_bytes_max;
                let envelope = Envelope::read(&head).unwrap_or_else(Envelope::unknown);
                self.refuse(envelope, &Flaw::new(Reason::TooLong { max }, Place::byte(max))).await?;
            }
            Block::Stray(bytes) => {
                metrics.stray.increment(1);
                tracing::warn!(code = "mllp-stray", peer = %self.peer, bytes, "bytes between messages were passed over");
            }
        }
        Ok(())
    }

    async fn message(&mut self, bytes: Bytes) -> Result<(), End> {
        let began = Instant::now();
        let shared = Arc::clone(&self.shared);
        let metrics = &shared.metrics;
        let now_ms = now_ms();
        metrics.last_message.set(now_ms as f64 / 1000.0);
        let envelope = Envelope::read(&bytes).unwrap_or_else(Envelope::unknown);
        let Read { kind, outcome } = shared.rules.read(bytes, now_ms);
        let reply = match outcome {
            Ok(Reading::Event(event)) => self.apply(*event).await,
            Ok(Reading::Ignored) => {
                metrics.ignored.increment(1);
                Reply::Applied
            }
            Ok(Reading::Acknowledgement) => {
                metrics.acknowledgements.increment(1);
                return Ok(());
            }
            Err(flaw) => {
                let kind = kind.map_or_else(|| "unreadable".to_owned(), |kind| kind.to_string());
                self.note(&kind, &flaw);
                Reply::Refused(Objection::from(&flaw))
            }
        };
        self.answer(&envelope, &reply).await?;
        metrics.answer_seconds.record(began.elapsed().as_secs_f64());
        Ok(())
    }

    /// Gives an event to the sink, for as long as that may take.
    async fn apply(&self, event: Event) -> Reply {
        let (metrics, began) = (&self.shared.metrics, Instant::now());
        let applied = timeout(self.shared.limits.apply, self.shared.sink.apply(event)).await;
        metrics.apply_seconds.record(began.elapsed().as_secs_f64());
        let reply = applied.unwrap_or_else(|_| {
            tracing::warn!(code = "hl7-apply-slow", peer = %self.peer, "an event took too long: AE was answered");
            let text = "it took too long: send it again; what was done already is not done twice".to_owned();
            Reply::Retry(Objection { code: Code::Internal, at: None, text })
        });
        match &reply {
            Reply::Applied => metrics.applied.increment(1),
            Reply::Retry(_) => metrics.retry.increment(1),
            Reply::Refused(_) => metrics.refused.increment(1),
        }
        reply
    }

    /// Refuses what is not even a message.
    async fn refuse(&mut self, envelope: Envelope, flaw: &Flaw) -> Result<(), End> {
        self.note("unreadable", flaw);
        self.answer(&envelope, &Reply::Refused(Objection::from(flaw))).await
    }

    fn note(&self, kind: &str, flaw: &Flaw) {
        self.shared.metrics.refused.increment(1);
        self.shared.metrics.reason(flaw.reason);
        let (reason, section) = (flaw.reason.label(), flaw.section());
        tracing::warn!(code = "hl7-refused", peer = %self.peer, kind, reason, at = %flaw.at, section, "a message was refused");
    }

    async fn answer(&mut self, envelope: &Envelope, reply: &Reply) -> Result<(), End> {
        let now_ms = now_ms();
        let now = Timestamp::from_millisecond(now_ms).unwrap_or_default();
        let offset_s = self.shared.rules.zone.to_offset(now).seconds();
        let stamped = Stamped { control_id: self.shared.ids.give(), now_ms, offset_s };
        let mut out = BytesMut::new();
        envelope.answers(reply, &stamped).iter().for_each(|answer| mllp::encode(answer, &mut out));
        if out.is_empty() {
            return Ok(());
        }
        let written = async {
            self.stream.write_all(&out).await?;
            self.stream.flush().await
        };
        match timeout(self.shared.limits.write, written).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(End::Failed),
            Err(_) => Err(End::Unread),
        }
    }
}

fn now_ms() -> i64 {
    let since: Duration = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
