//! The opening of a session: the first frame on the first stream is Hello, and is answered with
//! Welcome.
//!
//! Nothing of the store is read, and nothing but the token's signature computed, before the token
//! was found good.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::BytesMut;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::sleep;
use wardline_storage::command::{Command, Outcome};
use wardline_storage::id::{ConversationId, Seq};

use super::reader::{self, FrameReader, Read};
use super::request_lane::RequestLane;
use super::sessions::{Lasts, Session, Sessions};
use crate::access::caller::Caller;
use crate::limits::Limits;
use crate::presence::bell::Bell;
use crate::presence::ending::Ending;
use crate::presence::registry::{Present, SessionId};
use crate::refusal::{Code, Refusal};
use crate::shares::kind::Kind;
use crate::shares::principal::Principal;
use crate::wire::{self, Decoded, Hello, Registered, Request, Response};

/// So many changes of membership a bell remembers in any case.
const CHANGES_MIN: usize = 256;

/// How often a device is registered anew that found no room, in least times to wait.
const REGISTER_FACTOR: f64 = 20.0;

/// A session that was welcomed.
pub(super) struct Opened {
    pub(super) session: Arc<Session>,
    pub(super) control: RequestLane,
    /// Where the device says that it stands; `None`: nothing is to be pushed to it.
    pub(super) resume: Option<HashMap<ConversationId, Seq>>,
    /// Whether the store knows the device. If not, it is to be told when there is room.
    pub(super) is_registered: bool,
}

/// A session that was not.
pub(super) struct Failed {
    /// Why; `None`: the client went away.
    pub(super) refusal: Option<Refusal>,
    pub(super) request_id: u64,
    /// Where to say it.
    pub(super) stream: Option<quinn::SendStream>,
}

impl Failed {
    /// No complete Hello came in time.
    pub(super) fn silent() -> Self {
        Refusal::new(Code::HelloTimeout, "no complete Hello came in time").into()
    }
}

impl From<Refusal> for Failed {
    fn from(refusal: Refusal) -> Self {
        Self { refusal: Some(refusal), request_id: 0, stream: None }
    }
}

/// Waits for Hello, checks it, registers the device and welcomes it.
///
/// # Errors
/// [`Failed`], with the stream on which to say why if there is one.
pub(super) async fn open(sessions: &Arc<Sessions>, connection: &quinn::Connection) -> Result<Opened, Failed> {
    let Ok((mut stream, incoming)) = connection.accept_bi().await else {
        return Err(Failed { refusal: None, request_id: 0, stream: None });
    };
    let limits = &sessions.limits;
    let mut reader = FrameReader::new(incoming, limits.hello_bytes_max(), limits.frame_timeout);
    let read = reader.next().await;
    let (request_id, result) = match hello(limits, read) {
        Ok((request_id, hello)) => (request_id, admit(sessions, hello, connection).await),
        Err((request_id, refusal)) => (request_id, Err(refusal)),
    };
    let Admitted { session, resume, is_registered } = match result {
        Ok(admitted) => admitted,
        Err(refusal) => return Err(Failed { refusal, request_id, stream: Some(stream) }),
    };
    let mut out = BytesMut::new();
    wire::answer(request_id, 0, Response::Welcome(Box::new(session.welcome())), &mut out);
    if stream.write_all(&out).await.is_err() {
        return Err(Failed { refusal: None, request_id, stream: None });
    }
    reader.allow(limits.frame_bytes_max);
    let control = RequestLane::new(Arc::clone(&session), reader, stream);
    Ok(Opened { session, control, resume, is_registered })
}

fn hello(limits: &Limits, read: Read) -> Result<(u64, Hello), (u64, Option<Refusal>)> {
    let required = || Some(Refusal::new(Code::HelloRequired, "the first frame must be Hello"));
    let content = match read {
        Read::Frame(content) => content,
        Read::End => return Err((0, required())),
        Read::Gone => return Err((0, None)),
        Read::Violation(refusal) => return Err((0, Some(refusal))),
    };
    match wire::decode(content, limits) {
        Ok(Decoded { id, request: Ok(Request::Hello(hello)), .. }) => Ok((id, hello)),
        Ok(Decoded { id, request: Ok(_), .. }) => Err((id, required())),
        Ok(Decoded { id, request: Err(refusal), .. }) => Err((id, Some(refusal))),
        Err(error) => Err((0, Some(reader::refuse(&error)))),
    }
}

/// A session before it was welcomed.
struct Admitted {
    session: Arc<Session>,
    resume: Option<HashMap<ConversationId, Seq>>,
    is_registered: bool,
}

async fn admit(
    sessions: &Arc<Sessions>,
    hello: Hello,
    connection: &quinn::Connection,
) -> Result<Admitted, Option<Refusal>> {
    let identity = sessions.callers.let_in(&hello.token.0).await.map_err(Some)?;
    let caller = sessions.callers.caller(&identity, hello.device);
    let credential = sessions.callers.credential(&identity, &hello.token.0);
    sessions.callers.check(&caller.actor, &credential).map_err(Some)?;
    let whose = Principal::from(&*caller.actor);
    tokio::select! {
        () = sessions.shares.welcome(whose) => {}
        _ = connection.closed() => return Err(None),
    }
    // One more than there may be, for a device whose old session has not ended yet, would have to
    // be looked up first; it comes back in a moment.
    let seat = sessions.shares.sessions.take(whose, 1);
    let seat = seat.map_err(|_| Some(sessions.shares.held(whose, Kind::Sessions)))?;
    let device = register(sessions, &caller).await.map_err(Some)?;
    let is_registered = device.is_some();
    let present = Present {
        id: SessionId(rand::random()),
        actor: Arc::clone(&caller.actor),
        bell: Arc::new(Bell::new(sessions.limits.conversations_max.max(CHANGES_MIN))),
        ending: Arc::new(Ending::new(connection.clone())),
        credential: Arc::new(Mutex::new(credential)),
    };
    let actor = &present.actor;
    tracing::info!(
        code = "session-opened", session = %present.id, tenant = %actor.tenant, user = %actor.user, device = %actor.device,
        client = hello.client, "session opened"
    );
    if device.is_some_and(|device| device.gave_way) {
        sessions.metrics.devices_gave_way.increment(1);
        tracing::info!(code = "device-gave-way", session = %present.id, "the device was not on record, and devices of its user gave way before: it goes on with what was published since");
    }
    let session = Session {
        present,
        caller,
        device,
        opened: sessions.clock.now(),
        lasts: watch::channel(Lasts::of(&identity)).0,
        all: Arc::clone(sessions),
        _seat: seat,
    };
    let resume = (!hello.publish_only).then_some(hello.resume);
    Ok(Admitted { session: Arc::new(session), resume, is_registered })
}

/// Notes the device in the store; `None`: where even the room for it is used up on a full disk, the
/// session opens all the same, to read, and it is done later.
async fn register(sessions: &Sessions, caller: &Caller) -> Result<Option<Registered>, Refusal> {
    match sessions.requests.intake.ask(&caller.actor, Command::RegisterDevice).await {
        Err(refusal) if refusal.code != Code::StorageFull => Err(refusal),
        Ok(Outcome::DeviceRegistered { since, gave_way }) => Ok(Some(Registered { since, gave_way })),
        _ => Ok(None),
    }
}

/// Notes the device of an open session in the store, as soon as there is room for it.
pub(super) async fn register_later(session: &Session) {
    let sessions = &session.all;
    loop {
        match register(sessions, &session.caller).await {
            // What else it is refused for ends the session, or the broker.
            Ok(Some(_)) | Err(Refusal { code: Code::Unavailable, .. }) => return,
            _ => sleep(sessions.requests.intake.admission().delay(REGISTER_FACTOR)).await,
        }
    }
}
