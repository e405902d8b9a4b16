//! One session, from Welcome to its end.
//!
//! Owns the connection while the session lasts: control stream, publish lane and delivery lanes run
//! as parts of the client's one task, so that nothing can outlive it. It never connects. Invariant:
//! the connection is closed when [`run`] returns; after Goodbye the answers that are still on their
//! way are awaited, for a while.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use quinn::{Connection, VarInt};
use wardline_proto::v1::Welcome;

use crate::control::Control;
use crate::end::{End, FAREWELL};
use crate::error::Code;
use crate::frames::RequestLane;
use crate::options::Options;
use crate::shared::Shared;
use crate::{delivering, publishing};

/// How finely silence is measured.
const TICKS_PER_KEEP_ALIVE: u32 = 16;
/// Fewest round trips in which a broker that is there would have acknowledged.
const ROUND_TRIPS_PER_TICK: u32 = 4;

/// A session that was just opened.
pub(crate) struct Established {
    pub(crate) connection: Connection,
    pub(crate) control: RequestLane,
    pub(crate) welcome: Welcome,
    /// The token that opened it.
    pub(crate) token: String,
}

/// Looks for signs of life: a broker that was killed says nothing, and QUIC's own idle time-out is
/// long.
///
/// A broker that is there acknowledges, within a round trip, whatever asks for it: data, its
/// repetitions, keep-alives; even while it takes long to answer. What is sent in the first silent
/// tick may be a last acknowledgement of ours, which asks for nothing. So: silence, then something
/// sent, then a whole tick of silence means that nobody is there. A tick is several round trips at
/// least: where all is slow, connecting again would only make it slower.
async fn watch(connection: &Connection, keep_alive: Duration) -> End {
    let mut last = connection.stats();
    let mut silent = Duration::ZERO;
    let mut asked = false;
    loop {
        let tick = (keep_alive / TICKS_PER_KEEP_ALIVE).max(connection.rtt() * ROUND_TRIPS_PER_TICK);
        tokio::time::sleep(tick).await;
        let now = connection.stats();
        if now.udp_rx.datagrams != last.udp_rx.datagrams {
            silent = Duration::ZERO;
            asked = false;
        } else if asked {
            return End::Lost(format!("the broker has been silent for {:?}", silent + tick));
        } else {
            let is_first = silent.is_zero();
            silent += tick;
            asked = !is_first && now.udp_tx.datagrams != last.udp_tx.datagrams;
        }
        last = now;
    }
}

/// Gives a part of the task a waker of its own.
fn apart<F: Future>(part: F) -> FuturesUnordered<F> {
    FuturesUnordered::from_iter([part])
}

/// Runs a session to its end.
pub(crate) async fn run(session: Established, shared: &Shared, options: &Options) -> End {
    let Established { connection, control, welcome, token } = session;
    let limits = welcome.limits.unwrap_or_default();
    // Each is polled only when it was itself woken: the lanes wake the task for every few packets.
    let mut control = apart(Control::new(control, token, &welcome, shared, options).run());
    let requests_max = limits.lane_requests_max as usize;
    let mut publishing = apart(publishing::run(&connection, shared, limits.lanes_max, requests_max));
    let mut delivering =
        apart(delivering::run(&connection, &shared.mailbox, limits.payload_bytes_max as usize));
    let mut stopped = apart(shared.stop.cancelled());
    let mut watching = apart(watch(&connection, options.keep_alive));
    // In this order, so that a Goodbye is heard before the loss that follows it.
    let mut end = tokio::select! {
        biased;
        () = stopped.select_next_some() => End::Stopped,
        end = control.select_next_some() => end,
        end = publishing.select_next_some() => end,
        end = delivering.select_next_some() => end,
        end = watching.select_next_some() => end,
    };
    if let End::Cut(_) = end {
        // The streams of a session end in any order; whoever took the first one's end for the
        // reason would fight for a session that a newer connection has.
        let reason = async {
            tokio::select! {
                biased;
                Some(end) = control.next() => end,
                error = connection.closed() => error.into(),
                () = shared.stop.cancelled() => End::Stopped,
            }
        };
        end = tokio::time::timeout(FAREWELL, reason).await.unwrap_or(end);
    }
    if let End::Goodbye(_) = end {
        let rest = async {
            tokio::select! {
                Some(_) = publishing.next() => {}
                Some(_) = delivering.next() => {}
                _ = connection.closed() => {}
                () = shared.stop.cancelled() => {}
            }
        };
        // Whether it came in time or not, the session is over.
        let _ = tokio::time::timeout(FAREWELL, rest).await;
    }
    let (code, reason) = match &end {
        End::Protocol(_) => (Code::BadFrame as u32, "protocol violation"),
        _ => (0, ""),
    };
    connection.close(VarInt::from_u32(code), reason.as_bytes());
    end
}
