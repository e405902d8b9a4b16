//! Reads and writes whole frames on QUIC streams.
//!
//! Owns the bytes between a stream and its frames. It never looks into a frame.
//! Invariants: an idle stream holds no buffer; at most one batch of frames waits to be written, flattened into one
//! buffer, since the cost is per packet; every wait is cancel-safe.

use bytes::{Bytes, BytesMut};
use prost::Message;
use quinn::{RecvStream, SendStream};
use thiserror::Error;
use wardline_proto::frame::{self, FrameError};
use wardline_proto::v1::ServerFrame;

/// How much is gathered before it is written at once.
pub(crate) const WRITE_BYTES: usize = 32 * 1024;

/// Longest answer that is read: a page of history with its envelopes, whatever the operator's limits.
pub(crate) const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Chunks taken from a stream at once.
const CHUNKS: usize = 8;

/// A stream cannot go on.
#[derive(Debug, Error)]
pub(crate) enum StreamError {
    /// The broker broke the protocol.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The stream ended within a frame.
    #[error("the stream ended within a frame")]
    Truncated,
    /// The broker ended the stream while it was needed.
    #[error("the broker ended a stream")]
    Ended,
    /// Reading failed.
    #[error(transparent)]
    Read(#[from] quinn::ReadError),
    /// Writing failed.
    #[error(transparent)]
    Write(#[from] quinn::WriteError),
}

/// The frames that arrive on a stream.
pub(crate) struct FrameReader {
    stream: RecvStream,
    buffer: BytesMut,
    frame_bytes_max: usize,
}

impl FrameReader {
    pub(crate) fn new(stream: RecvStream, frame_bytes_max: usize) -> Self {
        Self { stream, buffer: BytesMut::new(), frame_bytes_max }
    }

    /// Reads the next frame; `None` at the stream's end.
    ///
    /// # Cancellation
    /// Safe: what was read stays in the buffer.
    pub(crate) async fn next<M: Message + Default>(&mut self) -> Result<Option<M>, StreamError> {
        loop {
            if let Some(content) = frame::split(&mut self.buffer, self.frame_bytes_max)? {
                return Ok(Some(frame::decode(content)?));
            }
            if self.buffer.is_empty() {
                self.buffer = BytesMut::new();
            }
            let mut chunks = [const { Bytes::new() }; CHUNKS];
            let Some(count) = self.stream.read_chunks(&mut chunks).await? else {
                return if self.buffer.is_empty() { Ok(None) } else { Err(StreamError::Truncated) };
            };
            self.buffer.reserve(chunks[..count].iter().map(Bytes::len).sum());
            for chunk in &chunks[..count] {
                self.buffer.extend_from_slice(chunk);
            }
        }
    }
}

/// A request lane: frames both ways.
pub(crate) struct Lane {
    stream: SendStream,
    reader: FrameReader,
    outgoing: [Bytes; 1],
}

impl Lane {
    pub(crate) fn new((stream, incoming): (SendStream, RecvStream)) -> Self {
        let reader = FrameReader::new(incoming, ANSWER_BYTES_MAX);
        Self { stream, reader, outgoing: [Bytes::new()] }
    }

    /// Whether everything handed over was written, and more may be.
    pub(crate) fn is_free(&self) -> bool {
        self.outgoing[0].is_empty()
    }

    /// Hands frames over to be written by [`Lane::turn`]; only when [`Lane::is_free`].
    pub(crate) fn write(&mut self, frames: BytesMut) {
        debug_assert!(self.is_free(), "a batch at a time");
        self.outgoing[0] = frames.freeze();
    }

    /// Writes what was handed over, until an answer comes (`Some`) or all is written (`None`).
    ///
    /// # Cancellation
    /// Safe: call it again to go on.
    pub(crate) async fn turn(&mut self) -> Result<Option<ServerFrame>, StreamError> {
        let Self { stream, reader, outgoing } = self;
        let writing = !outgoing[0].is_empty();
        tokio::select! {
            biased;
            answer = reader.next() => match answer? {
                Some(answer) => Ok(Some(answer)),
                None => Err(StreamError::Ended),
            },
            written = write(stream, outgoing), if writing => written.map(|()| None),
        }
    }
}

/// Writes all of `outgoing`. Cancel-safe, since the stream takes what it accepts off the front.
async fn write(stream: &mut SendStream, outgoing: &mut [Bytes; 1]) -> Result<(), StreamError> {
    while !outgoing[0].is_empty() {
        stream.write_chunks(outgoing).await?;
    }
    Ok(())
}
