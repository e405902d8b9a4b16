//! A delivery lane: a stream that the broker opens when there is something to deliver for the first
//! time.
//!
//! Frames are gathered into one flat buffer and written at once. Remembers when the client last
//! took something, so that one who stops reading is noticed.

use bytes::{Buf, BytesMut};
use tokio::time::Instant;
use wardline_storage::fail_point::{self, Point};

/// A delivery lane.
pub(super) struct DeliveryLane {
    header: fn(&mut BytesMut),
    priority: i32,
    stream: Option<quinn::SendStream>,
    /// What is left to write of the lane's first frame.
    head: BytesMut,
    buffer: BytesMut,
    /// Since when the client has been owing progress.
    waiting_since: Option<Instant>,
}

/// The lane is gone, and with it the session.
pub(super) struct Gone;

impl DeliveryLane {
    /// A lane that is not open yet. Higher priorities are sent first.
    pub(super) fn new(header: fn(&mut BytesMut), priority: i32) -> Self {
        Self {
            header,
            priority,
            stream: None,
            head: BytesMut::new(),
            buffer: BytesMut::new(),
            waiting_since: None,
        }
    }

    /// The buffer, to append whole frames to.
    pub(super) fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// Whether something waits to be written.
    pub(super) fn is_pending(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// Writes all that waits.
    ///
    /// # Errors
    /// [`Gone`] if the client stopped the lane or the connection is gone.
    ///
    /// # Cancellation
    /// Loses nothing: what was not written waits still.
    pub(super) async fn flush(&mut self, connection: &quinn::Connection) -> Result<(), Gone> {
        self.waiting_since.get_or_insert_with(Instant::now);
        if self.stream.is_none() {
            let stream = connection.open_uni().await.map_err(|_| Gone)?;
            stream.set_priority(self.priority).map_err(|_| Gone)?;
            self.stream = Some(stream);
            (self.header)(&mut self.head);
        }
        let Some(stream) = &mut self.stream else { return Err(Gone) };
        while !self.head.is_empty() {
            let written = stream.write(&self.head).await.map_err(|_| Gone)?;
            self.head.advance(written);
        }
        while !self.buffer.is_empty() {
            let written = stream.write(&self.buffer).await.map_err(|_| Gone)?;
            self.buffer.advance(written);
            fail_point::pass(Point::Delivered);
            self.waiting_since = Some(Instant::now());
        }
        self.buffer.clear();
        self.waiting_since = None;
        Ok(())
    }

    /// Since when the client has been owing progress, if it does.
    pub(super) fn waiting_since(&self) -> Option<Instant> {
        self.waiting_since.filter(|_| self.is_pending())
    }

    /// Gives the buffer's memory back, if it is empty.
    pub(super) fn shrink(&mut self) {
        if self.buffer.is_empty() && self.buffer.capacity() > 0 {
            self.buffer = BytesMut::new();
        }
    }
}
