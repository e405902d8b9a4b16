//! Delivery lanes: reads what the broker sends unasked into the application's mailbox.
//!
//! Owns the streams that the broker opens. It never filters and never acknowledges. Invariants: a
//! frame is taken off a stream only when its class has room in the mailbox, so that QUIC's flow
//! control stops the broker, not our memory; lanes do not wait for one another.

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use quinn::{Connection, RecvStream};
use wardline_proto::v1::push_frame::Push;
use wardline_proto::v1::{LaneClass, PushFrame};

use crate::end::{End, FAREWELL};
use crate::frames::{FrameReader, StreamError};
use crate::mailbox::{Class, Filled, Mailbox};
use crate::wire::Malformed;

/// What a frame on a delivery lane may have beside a payload: its envelope, or a conversation, or a
/// notice.
const ENVELOPE_BYTES_MAX: usize = 64 * 1024;

/// Reads all delivery lanes until the session ends.
///
/// # Cancellation
/// Safe: what is lost is sent again after the positions that the next session names.
pub(crate) async fn run(connection: &Connection, mailbox: &Mailbox, payload_bytes_max: usize) -> End {
    let frame_bytes_max = payload_bytes_max.saturating_add(ENVELOPE_BYTES_MAX);
    let mut lanes = FuturesUnordered::new();
    loop {
        tokio::select! {
            opened = connection.accept_uni() => match opened {
                Ok(stream) => lanes.push(read(stream, mailbox, frame_bytes_max)),
                Err(error) => return error.into(),
            },
            Some(end) = lanes.next() => return end,
        }
    }
}

/// Reads one lane to its end.
async fn read(stream: RecvStream, mailbox: &Mailbox, frame_bytes_max: usize) -> End {
    match read_frames(stream, mailbox, frame_bytes_max).await {
        Ok(()) => {
            // The broker is leaving: hear its Goodbye on the control stream first.
            tokio::time::sleep(FAREWELL).await;
            End::from(StreamError::Ended)
        }
        Err(end) => end,
    }
}

async fn read_frames(stream: RecvStream, mailbox: &Mailbox, frame_bytes_max: usize) -> Result<(), End> {
    let mut frames = FrameReader::new(stream, frame_bytes_max);
    let header = frames.next::<PushFrame>().await?;
    let class = match header.and_then(|frame| frame.push) {
        Some(Push::Header(header)) => match LaneClass::try_from(header.lane_class) {
            Ok(LaneClass::Ordered) => Class::Ordered,
            Ok(LaneClass::Urgent) => Class::Urgent,
            _ => return Err(Malformed("lane class").into()),
        },
        _ => return Err(Malformed("lane: no header").into()),
    };
    loop {
        match mailbox.take_in(class, &mut frames)? {
            Filled::AllTaken if frames.read().await? => {}
            Filled::AllTaken => return Ok(()),
            Filled::Full => mailbox.has_room(class).await,
        }
    }
}
