//! A delivery lane: a stream that the broker opens when there is something to deliver for the first
//! time.
//!
//! Frames are gathered into one flat buffer and written at once. Remembers when the client last
//! took something, so that one who stops reading is noticed, and since when it owes its least
//! pace, so that one is, too, who takes a byte now and then.

use bytes::{Buf, BytesMut};
use tokio::time::Instant;
use wardline_storage::fail_point::{self, Point};

use crate::limits::PACE_BYTES;

/// A delivery lane.
pub(super) struct DeliveryLane {
    header: fn(&mut BytesMut),
    priority: i32,
    stream: Option<quinn::SendStream>,
    /// What is left to write of the lane's first frame.
    head: BytesMut,
    buffer: BytesMut,
    /// Since when the client has been taking nothing.
    waiting_since: Option<Instant>,
    pace: Pace,
}

/// How fast a client takes what waits for it: at least [`PACE_BYTES`] in a time that others set, or
/// all of it.
#[derive(Debug, Default)]
struct Pace {
    /// Since when that has been owed.
    since: Option<Instant>,
    /// What was taken of it.
    taken: usize,
}

impl Pace {
    /// Something waits.
    fn begin(&mut self, now: Instant) {
        self.since.get_or_insert(now);
    }

    /// Something was taken.
    fn take(&mut self, bytes: usize, now: Instant) {
        self.taken += bytes;
        if self.taken >= PACE_BYTES {
            *self = Self { since: Some(now), taken: 0 };
        }
    }
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
            pace: Pace::default(),
        }
    }

    /// The buffer, to append whole frames to.
    pub(super) fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// How much waits to be written.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.buffer.len()
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
        let now = Instant::now();
        self.waiting_since.get_or_insert(now);
        self.pace.begin(now);
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
            let now = Instant::now();
            self.waiting_since = Some(now);
            self.pace.take(written, now);
        }
        self.buffer.clear();
        (self.waiting_since, self.pace) = (None, Pace::default());
        Ok(())
    }

    /// Since when the client has been taking nothing of what waits for it.
    pub(super) fn waiting_since(&self) -> Option<Instant> {
        self.waiting_since.filter(|_| self.is_pending())
    }

    /// Since when the client has been owing its least pace.
    pub(super) fn owing_since(&self) -> Option<Instant> {
        self.pace.since.filter(|_| self.is_pending())
    }

    /// Gives the buffer's memory back, if it is empty.
    pub(super) fn shrink(&mut self) {
        if self.buffer.is_empty() && self.buffer.capacity() > 0 {
            self.buffer = BytesMut::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_byte_now_and_then_is_no_pace() {
        let (mut pace, begun) = (Pace::default(), Instant::now());
        let at = |seconds| begun + Duration::from_secs(seconds);
        pace.begin(begun);
        for turn in 1..=100 {
            pace.take(1, at(59 * turn));
            pace.begin(at(59 * turn));
        }
        assert_eq!(pace.since, Some(begun), "it is owed since then");
        pace.take(PACE_BYTES - 100, at(6_000));
        assert_eq!(pace.since, Some(at(6_000)), "now it was kept");
    }
}
