//! What comes from a sender: bytes, and the blocks in them.
//!
//! Owns the stream and its buffer. A message has a time in which it must be whole, and a large one
//! needs room of its own; what is read is never lost, whoever stops waiting for it.

use std::sync::Arc;

use bytes::{BufMut as _, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::time::{Instant, timeout};

use super::limits::Limits;
use super::room::Portion;
use super::shared::{End, Shared};
use super::sink::Sink;
use crate::mllp::{self, Block, Decoder};

/// Reads from a sender.
pub(super) struct Inflow<T> {
    pub(super) stream: T,
    decoder: Decoder,
    portion: Portion,
    /// When the message began of which some is there.
    began: Option<Instant>,
}

/// What came of reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// Some bytes.
    Bytes,
    /// Nothing where the end of a message was about to come.
    Pause,
    /// The stream's end.
    End,
}

impl<T: AsyncRead + Unpin + Send> Inflow<T> {
    pub(super) fn new(stream: T, message_bytes_max: usize) -> Self {
        let decoder = Decoder::new(mllp::Bounds { message_bytes_max, ..mllp::Bounds::default() });
        Self { stream, decoder, portion: Portion::none(), began: None }
    }

    /// The next block that is whole.
    pub(super) fn next_block(&mut self) -> Result<Option<Block>, End> {
        let block = self.decoder.next_block().map_err(|_| End::Broken)?;
        if block.is_some() {
            self.began = None;
        }
        Ok(block)
    }

    /// What is a block if nothing follows for a while.
    pub(super) fn pause(&mut self) -> Option<Block> {
        let block = self.decoder.pause()?;
        self.began = None;
        Some(block)
    }

    /// What is left at the stream's end.
    pub(super) fn finish(&mut self) -> Option<Block> {
        self.decoder.finish()
    }

    /// Between reads: notes when a message began, and gives back room that nothing needs.
    pub(super) fn settle<S: Sink>(&mut self, shared: &Shared<S>) {
        if self.decoder.is_within() {
            self.began.get_or_insert_with(Instant::now);
        }
        let buffer = self.decoder.buffer();
        if buffer.len() < Limits::READ_BYTES {
            if buffer.capacity() > 2 * Limits::READ_BYTES {
                *buffer = BytesMut::from(&buffer[..]);
            }
            self.give_back(shared);
        }
    }

    pub(super) fn give_back<S: Sink>(&mut self, shared: &Shared<S>) {
        shared.room.give_back(&mut self.portion, &shared.metrics);
    }

    /// Reads some more.
    ///
    /// # Cancellation
    /// Safe: nothing that was read is lost.
    pub(super) async fn read<S: Sink>(&mut self, shared: &Arc<Shared<S>>) -> Result<Came, End> {
        let limits = &shared.settings.limits;
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
            Some(Ok(Ok(0))) => Ok(Came::End),
            Some(Ok(Ok(_))) => Ok(Came::Bytes),
            Some(Ok(Err(_))) => Err(End::Failed),
            Some(Err(_)) if ends_soon => Ok(Came::Pause),
            Some(Err(_)) => Err(late),
        }
    }
}
