//! Frames off a request lane, with a time limit from a frame's first byte to its last.
//!
//! Holds no memory while the lane is quiet, and never more than one longest frame and one read.

use bytes::{Bytes, BytesMut};
use tokio::time::{Duration, Instant, timeout_at};

use crate::refusal::{Code, Refusal};
use crate::wire::{self, FrameError};

/// Bytes taken from the stream at a time, at most.
const READ_BYTES: usize = 64 * 1024;

/// Reads the frames of one stream.
pub(super) struct FrameReader {
    stream: quinn::RecvStream,
    buffer: BytesMut,
    begun: Option<Instant>,
    frame_bytes_max: usize,
    frame_timeout: Duration,
}

/// What became of reading.
pub(super) enum Read {
    /// A frame's content.
    Frame(Bytes),
    /// The client finished the stream.
    End,
    /// The client reset the stream, or the connection is gone: there is nobody to answer.
    Gone,
    /// The client broke the protocol.
    Violation(Refusal),
}

impl FrameReader {
    /// Reads `stream`.
    pub(super) fn new(stream: quinn::RecvStream, frame_bytes_max: usize, frame_timeout: Duration) -> Self {
        Self { stream, buffer: BytesMut::new(), begun: None, frame_bytes_max, frame_timeout }
    }

    /// Sets the longest frame from now on, in bytes.
    pub(super) fn allow(&mut self, frame_bytes_max: usize) {
        self.frame_bytes_max = frame_bytes_max;
    }

    /// A frame that is here already, if any.
    pub(super) fn buffered(&mut self) -> Option<Read> {
        match wire::split(&mut self.buffer, self.frame_bytes_max) {
            Ok(Some(content)) => {
                self.begun = None;
                Some(Read::Frame(content))
            }
            Ok(None) => {
                if self.buffer.is_empty() {
                    self.buffer = BytesMut::new();
                } else {
                    self.begun.get_or_insert_with(Instant::now);
                }
                None
            }
            Err(error) => Some(Read::Violation(refuse(&error))),
        }
    }

    /// The next frame.
    ///
    /// # Cancellation
    /// Loses nothing.
    pub(super) async fn next(&mut self) -> Read {
        loop {
            if let Some(read) = self.buffered() {
                return read;
            }
            let more = self.stream.read_chunk(READ_BYTES, true);
            let more = match self.begun {
                None => more.await,
                Some(begun) => match timeout_at(begun + self.frame_timeout, more).await {
                    Ok(more) => more,
                    Err(_) => {
                        return Read::Violation(Refusal::new(
                            Code::FrameTimeout,
                            "a frame was begun and not finished in time",
                        ));
                    }
                },
            };
            match more {
                Ok(Some(chunk)) => self.buffer.extend_from_slice(&chunk.bytes),
                Ok(None) if self.buffer.is_empty() => return Read::End,
                Ok(None) => {
                    return Read::Violation(Refusal::new(Code::BadFrame, "the stream ends within a frame"));
                }
                Err(_) => return Read::Gone,
            }
        }
    }

    /// Tells the client that no more is read.
    pub(super) fn stop(&mut self, code: Code) {
        // An error only says that the stream is finished already.
        let _ = self.stream.stop(code.quic());
    }
}

/// The refusal for what is no frame.
pub(super) fn refuse(error: &FrameError) -> Refusal {
    let code = match error {
        FrameError::TooLarge { .. } => Code::FrameTooLarge,
        _ => Code::BadFrame,
    };
    Refusal::new(code, error.to_string())
}
