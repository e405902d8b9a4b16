//! Serves one connection, from Hello to Goodbye.
//!
//! Owns the connection and every task on it. A session ends for one reason, the first; the client
//! is told it on the control stream, after the answers that it is owed.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tokio_util::sync::CancellationToken;

use super::hello;
use super::reader::FrameReader;
use super::request_lane::RequestLane;
use super::sessions::{Session, Sessions};
use super::traffic::{self, Traffic};
use crate::counted::Counted;
use crate::delivery::deliver;
use crate::edge::roll::Noted;
use crate::metrics::Held;
use crate::refusal::{Code, Refusal};
use crate::turns::Task;
use crate::wire;

/// Longest time for answers that are owed, once a session ends.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest time for the last frame to be acknowledged by the client.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(1);

/// Serves a connection whose handshake is done, until it is over; `noted` stands for it on the
/// roll, and `stranger` counts it until it has a session. `stop` ends it with the broker's
/// farewell.
pub(crate) async fn serve(
    sessions: Arc<Sessions>,
    connection: quinn::Connection,
    driver: Arc<Task>,
    noted: Option<Noted>,
    stranger: Counted,
    stop: CancellationToken,
) {
    let opening = timeout(sessions.limits.hello_timeout, hello::open(&sessions, &connection));
    let opened = tokio::select! {
        opened = opening => opened.unwrap_or_else(|_| Err(hello::Failed::silent())),
        () = stop.cancelled() => Err(hello::Failed::from(sessions.parting())),
    };
    match opened {
        Ok(opened) => {
            drop(stranger);
            run(opened, &connection, driver, noted, stop).await;
        }
        Err(failed) => {
            let Some(refusal) = &failed.refusal else { return };
            sessions.metrics.refused(refusal.code);
            let refusal_code = refusal.code.label();
            tracing::info!(code = "session-refused", refusal_code, "no session was opened");
            if let Some(stream) = failed.stream {
                let mut out = BytesMut::new();
                wire::refusal(failed.request_id, refusal.clone(), &mut out);
                say(stream, &out).await;
            }
            connection.close(refusal.code.quic(), refusal.text.as_bytes());
        }
    }
}

async fn run(
    opened: hello::Opened,
    connection: &quinn::Connection,
    driver: Arc<Task>,
    mut noted: Option<Noted>,
    stop: CancellationToken,
) {
    let hello::Opened { session, control, resume, is_registered } = opened;
    let (sessions, present) = (Arc::clone(&session.all), session.present.clone());
    sessions.registry.join(present.clone());
    // Whose access was taken back since the token was checked is found now, or by the revocation.
    session.check();
    sessions.metrics.sessions_opened.increment(1);
    let _open = Held::new(&sessions.metrics.sessions);
    let delivery = resume.map(|resume| {
        let deliveries = Arc::clone(&sessions.deliveries);
        let work = deliver::run(deliveries, present.clone(), connection.clone(), Arc::clone(&driver), resume);
        let (task, end) = driver.beside(work);
        present.bell.wakes(task);
        end
    });
    let mut lanes = JoinSet::new();
    lanes.spawn(control_lane(control, Arc::clone(&session)));
    if !is_registered {
        lanes.spawn(register(Arc::clone(&session)));
    }
    wait(&session, connection, &mut noted, &mut lanes, stop).await;

    sessions.registry.leave(&present);
    sessions.metrics.ended(present.ending.reason().map(|reason| reason.code));
    if present.ending.reason().is_some() {
        let left = async { while lanes.join_next().await.is_some() {} };
        if timeout(DRAIN_TIMEOUT, left).await.is_err() {
            tracing::warn!(code = "answers-unsent", session = %present.id, "answers could not be sent before the session ended");
        }
    }
    lanes.shutdown().await;
    let code = present.ending.reason().map_or(Code::Internal, |reason| reason.code);
    let text = present.ending.reason().map_or("", |reason| &reason.text);
    connection.close(code.quic(), text.as_bytes());
    if let Some(end) = delivery {
        // Either way it is over.
        let _ = end.await;
    }
    // Without a reason of the broker's own, the client left or its connection was lost.
    let why = present.ending.reason().map_or("left", |reason| reason.code.label());
    tracing::info!(code = "session-ended", session = %present.id, why, "session ended");
}

/// Takes new lanes until the session ends.
async fn wait(
    session: &Arc<Session>,
    connection: &quinn::Connection,
    noted: &mut Option<Noted>,
    lanes: &mut JoinSet<()>,
    stop: CancellationToken,
) {
    let expired = session.expired();
    tokio::pin!(expired);
    let mut traffic = Traffic::new(connection, &session.all.metrics);
    let mut looks = interval_at(Instant::now() + traffic::LOOK_EVERY, traffic::LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = looks.tick() => {
                traffic.tell();
                if let Some(noted) = noted {
                    noted.look(connection.remote_address(), connection.local_ip());
                }
            }
            () = session.present.ending.ended() => return,
            () = stop.cancelled() => return session.present.ending.end(session.all.parting()),
            () = &mut expired => {
                let text = "the session's token has expired";
                return session.present.ending.end(Refusal::new(Code::TokenExpired, text));
            }
            Some(_) = lanes.join_next() => {}
            accepted = connection.accept_bi() => match accepted {
                Ok((stream, incoming)) => {
                    let lane = RequestLane::new(Arc::clone(session), reader(session, incoming), stream);
                    lanes.spawn(async move {
                        if let Some(mut stream) = lane.run().await {
                            // An error only says that the client stopped it.
                            let _ = stream.finish();
                            let _ = timeout(FAREWELL_TIMEOUT, stream.stopped()).await;
                        }
                    });
                }
                Err(_) => return session.present.ending.gone(),
            },
        }
    }
}

/// Registers the session's device when there is room for it; until then, or until the session ends.
async fn register(session: Arc<Session>) {
    tokio::select! {
        () = hello::register_later(&session) => {}
        () = session.present.ending.ended() => {}
    }
}

/// Serves the control stream; when the session ends, says why as its last frame.
async fn control_lane(control: RequestLane, session: Arc<Session>) {
    let stream = control.run().await;
    session.present.ending.ended().await;
    if let (Some(stream), Some(reason)) = (stream, session.present.ending.reason()) {
        let mut out = BytesMut::new();
        wire::goodbye(reason, &mut out);
        say(stream, &out).await;
    }
}

/// Writes the last bytes of a stream, and waits a little for the client to have them.
async fn say(mut stream: quinn::SendStream, bytes: &[u8]) {
    let said = async {
        if stream.write_all(bytes).await.is_ok() && stream.finish().is_ok() {
            // Either way the client needs no more of it.
            let _ = stream.stopped().await;
        }
    };
    // A client that does not take its farewell in time goes without.
    let _ = timeout(FAREWELL_TIMEOUT, said).await;
}

fn reader(session: &Session, stream: quinn::RecvStream) -> FrameReader {
    let limits = &session.all.limits;
    FrameReader::new(stream, limits.frame_bytes_max, limits.frame_timeout)
}
