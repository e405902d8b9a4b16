//! Reads and writes whole frames on QUIC streams.
//!
//! Owns the bytes between a stream and its frames. It never looks into a frame. Invariants: what
//! arrives is cut up where it lies, and only a frame that lies across packets is copied; an idle
//! stream holds no buffer; nothing is reserved for what has not arrived; at most one batch of
//! frames waits to be written, flattened into one buffer, since the cost is per packet; every wait
//! is cancel-safe.

use std::ops::Range;

use bytes::{Buf, Bytes, BytesMut};
use prost::Message;
use quinn::{RecvStream, SendStream};
use thiserror::Error;
use wardline_proto::frame::{self, Announced, FrameError};
use wardline_proto::v1::ServerFrame;

/// How much is gathered before it is written at once.
pub(crate) const WRITE_BYTES: usize = 32 * 1024;

/// Longest answer that is read: a page of history with its envelopes, whatever the operator's
/// limits.
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
    /// What was read; `chunks[next..count]` is not cut into frames yet.
    chunks: [Bytes; CHUNKS],
    next: usize,
    count: usize,
    /// How much of the next chunk was taken.
    cut: usize,
    /// The beginning of a frame whose end did not arrive yet, or lies in another chunk.
    partial: BytesMut,
    /// The content of the last frame that was put together from several chunks.
    joined: Bytes,
    frame_bytes_max: usize,
}

/// A whole frame, where it lies.
pub(crate) struct Frame<'a> {
    owner: &'a Bytes,
    content: &'a [u8],
}

/// Where the next frame lies.
enum Location {
    /// Within the next chunk.
    Chunk(Range<usize>),
    /// In `joined`.
    Joined,
}

impl<'a> Frame<'a> {
    /// Gives the content.
    pub(crate) fn content(&self) -> &'a [u8] {
        self.content
    }

    /// Gives a part of the content that lives on; it keeps the packets alive that it came in.
    pub(crate) fn share(&self, part: &[u8]) -> Bytes {
        self.owner.slice_ref(part)
    }

    /// Decodes the content.
    ///
    /// # Errors
    /// [`FrameError::Content`] if it is malformed.
    pub(crate) fn decode<M: Message + Default>(&self) -> Result<M, FrameError> {
        frame::decode(self.share(self.content))
    }
}

impl FrameReader {
    pub(crate) fn new(stream: RecvStream, frame_bytes_max: usize) -> Self {
        Self {
            stream,
            chunks: [const { Bytes::new() }; CHUNKS],
            next: 0,
            count: 0,
            cut: 0,
            partial: BytesMut::new(),
            joined: Bytes::new(),
            frame_bytes_max,
        }
    }

    /// Reads the next frame; `None` at the stream's end.
    ///
    /// # Cancellation
    /// Safe: what was read stays here.
    pub(crate) async fn next<M: Message + Default>(&mut self) -> Result<Option<M>, StreamError> {
        loop {
            if let Some(frame) = self.take()? {
                return Ok(Some(frame.decode()?));
            }
            if !self.read().await? {
                return Ok(None);
            }
        }
    }

    /// Takes the next whole frame of what was read; `None`: all that was read is taken,
    /// [`FrameReader::read`] more.
    ///
    /// # Errors
    /// As [`frame::split`].
    pub(crate) fn take(&mut self) -> Result<Option<Frame<'_>>, FrameError> {
        self.joined = Bytes::new();
        Ok(match self.find()? {
            Some(Location::Chunk(range)) => {
                let owner = &self.chunks[self.next];
                Some(Frame { owner, content: &owner[range] })
            }
            Some(Location::Joined) => Some(Frame { owner: &self.joined, content: &self.joined }),
            None => None,
        })
    }

    /// Reads on, once everything was taken; whether there was something to read, or the stream has
    /// ended.
    ///
    /// # Cancellation
    /// Safe: what was read stays here.
    pub(crate) async fn read(&mut self) -> Result<bool, StreamError> {
        debug_assert!(self.next == self.count, "what was read is taken first");
        match self.stream.read_chunks(&mut self.chunks).await? {
            Some(count) => {
                (self.next, self.count, self.cut) = (0, count, 0);
                Ok(true)
            }
            None if self.partial.is_empty() => Ok(false),
            None => Err(StreamError::Truncated),
        }
    }

    /// Finds the next whole frame, and passes it.
    fn find(&mut self) -> Result<Option<Location>, FrameError> {
        if self.partial.is_empty() {
            let frame_bytes_max = self.frame_bytes_max;
            let rest = self.rest();
            let Some(Announced { prefix_bytes, content_bytes }) = frame::announced(rest, frame_bytes_max)?
            else {
                return self.join();
            };
            if rest.len() - prefix_bytes >= content_bytes {
                let from = self.cut + prefix_bytes;
                self.cut = from + content_bytes;
                return Ok(Some(Location::Chunk(from..self.cut)));
            }
            // No more than has arrived, whatever is announced.
            let unread: usize = self.chunks[self.next..self.count].iter().map(Bytes::len).sum();
            self.partial.reserve((prefix_bytes + content_bytes).min(unread - self.cut));
        }
        self.join()
    }

    /// Puts together a frame that lies across chunks, as far as it was read.
    fn join(&mut self) -> Result<Option<Location>, FrameError> {
        loop {
            let lacking = match frame::announced(&self.partial, self.frame_bytes_max)? {
                Some(Announced { prefix_bytes, content_bytes }) => {
                    let lacking = prefix_bytes + content_bytes - self.partial.len();
                    if lacking == 0 {
                        self.joined = std::mem::take(&mut self.partial).freeze();
                        self.joined.advance(prefix_bytes);
                        return Ok(Some(Location::Joined));
                    }
                    lacking
                }
                None => 1,
            };
            let rest = self.rest();
            if rest.is_empty() {
                return Ok(None);
            }
            let bytes = lacking.min(rest.len());
            self.partial.extend_from_slice(&self.chunks[self.next][self.cut..self.cut + bytes]);
            self.cut += bytes;
        }
    }

    /// Gives what is left of the first chunk that has something left, and lets go of those before
    /// it.
    fn rest(&mut self) -> &[u8] {
        while self.next < self.count {
            if self.cut < self.chunks[self.next].len() {
                return &self.chunks[self.next][self.cut..];
            }
            self.chunks[self.next] = Bytes::new();
            self.next += 1;
            self.cut = 0;
        }
        &[]
    }
}

/// A request lane: frames both ways.
pub(crate) struct RequestLane {
    stream: SendStream,
    reader: FrameReader,
    outgoing: [Bytes; 1],
}

impl RequestLane {
    pub(crate) fn new((stream, incoming): (SendStream, RecvStream)) -> Self {
        let reader = FrameReader::new(incoming, ANSWER_BYTES_MAX);
        Self { stream, reader, outgoing: [Bytes::new()] }
    }

    /// Whether everything handed over was written, and more may be.
    pub(crate) fn is_free(&self) -> bool {
        self.outgoing[0].is_empty()
    }

    /// Hands frames over to be written by [`RequestLane::turn`]; only when
    /// [`RequestLane::is_free`].
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
