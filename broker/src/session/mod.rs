//! A session: one device's connection, from Hello to Goodbye.
//!
//! Owns the connection and every task on it: the lanes, delivery, and the wait for the end. The
//! decisions are in [`delivery`](crate::delivery) (what is delivered next) and in
//! [`requests`](crate::requests) (what a request means); here is the I/O. A session ends for one
//! reason, the first; the client is told it on the control stream, after the answers that it is
//! owed.

mod hello;
mod lane;
mod reader;
mod timing;
mod traffic;

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::BytesMut;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tokio_util::sync::CancellationToken;
use wardline_storage::id::Timestamp;

use crate::delivery::deliver;
use crate::metrics::Held;
use crate::presence::bell::Bell;
use crate::presence::farewell;
use crate::presence::registry::Present;
use crate::refusal::{Code, Refusal};
use crate::requests::service::{Caller, Service};
use crate::turns::Task;
use crate::wire::{self, Token, Welcome};
use lane::Lane;
use reader::FrameReader;
use traffic::Traffic;

/// Longest time for answers that are owed, once a session ends.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest time for the last frame to be acknowledged by the client.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(1);
/// Longest sleep at a time: the wall clock may be corrected meanwhile.
const EXPIRY_SLEEP_MAX: Duration = Duration::from_secs(3600);

/// Why and whether a session ends. The first reason counts.
#[derive(Debug, Default)]
pub(crate) struct Ending {
    reason: OnceLock<Refusal>,
    token: CancellationToken,
}

impl Ending {
    /// Ends the session.
    pub(crate) fn end(&self, reason: Refusal) {
        // If there is a reason already, that one counts.
        let _ = self.reason.set(reason);
        self.token.cancel();
    }

    /// Waits for the end.
    pub(crate) async fn ended(&self) {
        self.token.cancelled().await;
    }

    /// Why; `None` if it has not ended, or the client went by itself.
    fn reason(&self) -> Option<&Refusal> {
        self.reason.get()
    }

    /// Ends it without a reason: nobody is there to be told one.
    pub(crate) fn gone(&self) {
        self.token.cancel();
    }
}

/// Names a session in the log.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct SessionId([u8; 16]);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// What the tasks of a session share.
pub(crate) struct Session {
    pub(crate) id: SessionId,
    /// When it was opened, by the broker's time.
    opened: Timestamp,
    pub(crate) service: Arc<Service>,
    pub(crate) caller: Caller,
    pub(crate) bell: Arc<Bell>,
    pub(crate) ending: Arc<Ending>,
    expires: watch::Sender<Timestamp>,
}

impl Session {
    fn welcome(&self) -> Welcome {
        Welcome {
            session: self.id.0,
            now: self.service.clock.now(),
            limits: self.service.limits.clone(),
            policy: self.service.policy,
            user: self.caller.actor.name.as_str().to_owned(),
            tenant: self.caller.tenant_name.clone(),
            expires: *self.expires.borrow(),
        }
    }

    /// Replaces the token.
    fn renew(&self, token: &Token) -> Result<Welcome, Refusal> {
        let identity = self.service.authenticate(token)?;
        self.service.renew(&self.caller, &identity)?;
        self.expires.send_replace(identity.expires);
        Ok(self.welcome())
    }

    /// Waits until the token expires, renewals included.
    async fn expired(&self) {
        let mut expires = self.expires.subscribe();
        loop {
            let left = expires.borrow_and_update().since(self.service.clock.now());
            if left.is_zero() {
                return;
            }
            // A renewal, a correction of the clock, or the end of the wait: look again.
            let _ = timeout(left.min(EXPIRY_SLEEP_MAX), expires.changed()).await;
        }
    }
}

/// Serves a connection whose handshake is done, until it is over. `stop` ends it with the broker's
/// farewell.
pub(crate) async fn serve(
    service: Arc<Service>,
    connection: quinn::Connection,
    driver: Arc<Task>,
    stop: CancellationToken,
) {
    let opening = timeout(service.limits.hello_timeout, hello::open(&service, &connection));
    let opened = tokio::select! {
        opened = opening => opened.unwrap_or_else(|_| Err(hello::Failed::silent())),
        () = stop.cancelled() => Err(hello::Failed::from(parting(&service))),
    };
    match opened {
        Ok(opened) => run(opened, &connection, driver, stop).await,
        Err(failed) => {
            let Some(refusal) = &failed.refusal else { return };
            service.metrics.refused(refusal.code);
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
    stop: CancellationToken,
) {
    let hello::Opened { session, control, resume } = opened;
    let service = Arc::clone(&session.service);
    let present = Present {
        device: session.caller.actor.device,
        bell: Arc::clone(&session.bell),
        ending: Arc::clone(&session.ending),
    };
    service.registry.join(session.caller.actor.user, present);
    service.metrics.sessions_opened.increment(1);
    let _open = Held::new(&service.metrics.sessions);
    let delivery = resume.map(|resume| {
        let work = deliver::run(Arc::clone(&session), connection.clone(), Arc::clone(&driver), resume);
        let (task, end) = driver.beside(work);
        session.bell.wakes(task);
        end
    });
    let mut lanes = JoinSet::new();
    lanes.spawn(control_lane(control, Arc::clone(&session)));
    wait(&session, connection, &mut lanes, stop).await;

    service.registry.leave(session.caller.actor.user, &session.bell);
    service.metrics.ended(session.ending.reason().map(|reason| reason.code));
    if session.ending.reason().is_some() {
        let left = async { while lanes.join_next().await.is_some() {} };
        if timeout(DRAIN_TIMEOUT, left).await.is_err() {
            tracing::warn!(code = "answers-unsent", session = %session.id, "answers could not be sent before the session ended");
        }
    }
    lanes.shutdown().await;
    let code = session.ending.reason().map_or(Code::Internal, |reason| reason.code);
    let text = session.ending.reason().map_or("", |reason| &reason.text);
    connection.close(code.quic(), text.as_bytes());
    if let Some(end) = delivery {
        // Either way it is over.
        let _ = end.await;
    }
    // Without a reason of the broker's own, the client left or its connection was lost.
    let why = session.ending.reason().map_or("left", |reason| reason.code.label());
    tracing::info!(code = "session-ended", session = %session.id, why, "session ended");
}

/// Takes new lanes until the session ends.
async fn wait(
    session: &Arc<Session>,
    connection: &quinn::Connection,
    lanes: &mut JoinSet<()>,
    stop: CancellationToken,
) {
    let expired = session.expired();
    tokio::pin!(expired);
    let mut traffic = Traffic::new(connection, &session.service.metrics);
    let mut looks = interval_at(Instant::now() + traffic::LOOK_EVERY, traffic::LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = looks.tick() => traffic.tell(),
            () = session.ending.ended() => return,
            () = stop.cancelled() => return session.ending.end(parting(&session.service)),
            () = &mut expired => {
                let text = "the session's token has expired";
                return session.ending.end(Refusal::new(Code::TokenExpired, text));
            }
            Some(_) = lanes.join_next() => {}
            accepted = connection.accept_bi() => match accepted {
                Ok((stream, incoming)) => {
                    let lane = Lane::new(Arc::clone(session), reader(session, incoming), stream);
                    lanes.spawn(async move {
                        if let Some(mut stream) = lane.run().await {
                            // An error only says that the client stopped it.
                            let _ = stream.finish();
                            let _ = timeout(FAREWELL_TIMEOUT, stream.stopped()).await;
                        }
                    });
                }
                Err(_) => return session.ending.gone(),
            },
        }
    }
}

/// Serves the control stream; when the session ends, says why as its last frame.
async fn control_lane(control: Lane, session: Arc<Session>) {
    let stream = control.run().await;
    session.ending.ended().await;
    if let (Some(stream), Some(reason)) = (stream, session.ending.reason()) {
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
    let limits = &session.service.limits;
    FrameReader::new(stream, limits.frame_bytes_max, limits.frame_timeout)
}

fn parting(service: &Service) -> Refusal {
    service.farewell.to_client(service.admission.delay(farewell::LEAST))
}
