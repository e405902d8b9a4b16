//! The application's handle.
//!
//! Owns nothing but the right to use the client's one task, and how it ends: with the last clone.
//! Every operation puts something into the shared state and waits for what comes of it; nothing
//! here touches a stream.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{oneshot, watch};
use tokio::time::{timeout, timeout_at};
use wardline_proto::v1;
use wardline_proto::v1::client_frame::Request;
use wardline_proto::v1::server_frame::Response;

use crate::asking::{self, Repeat};
use crate::core::receipts::Mark;
use crate::error::{ConnectError, RequestError};
use crate::inbox::Inbox;
use crate::life;
use crate::options::Options;
use crate::shared::{Publisher, Shared};
use crate::types::*;
use crate::wire::{self, Malformed};

/// Opens a session; from then on the SDK keeps it open. Must be called within a tokio runtime.
///
/// ```no_run
/// use wardline_client::{Address, Body, DeviceId, Incoming, Options, Outgoing, Trust, connect};
///
/// # async fn run(token: String, device: DeviceId) -> anyhow::Result<()> {
/// let trust = Trust::Pem(std::fs::read("data/dev/ca.pem")?);
/// let broker: Address = "broker.hospital.example:4433".parse()?;
/// let options = Options::new(broker.clone(), broker.server_name(), trust, token, device);
/// let (client, mut inbox) = connect(options).await?;
///
/// let conversation = client.direct("dr.silva").await?;
/// let ack = client.publish(Outgoing::text(conversation.id, "Bed 12 is ready")).await?;
/// println!("durable as number {}", ack.sequence);
///
/// while let Some(incoming) = inbox.next().await {
///     if let Incoming::Entry(entry) = incoming
///         && let Body::Message { payload, .. } = &entry.body
///     {
///         println!("{}: {}", entry.sender, String::from_utf8_lossy(payload));
///         client.read(entry.conversation, entry.sequence);
///     }
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`ConnectError`] if the first session could not be had. It is tried once.
///
/// # Cancellation
/// Safe: nothing stays behind.
pub async fn connect(options: Options) -> Result<(Client, Inbox), ConnectError> {
    let request_timeout = options.request_timeout;
    let shared = life::start(options).await?;
    let inbox = Inbox::new(Arc::clone(&shared));
    let handle = Handle { shared, turns: Default::default(), request_timeout };
    Ok((Client { handle: Arc::new(handle), at_least: 0 }, inbox))
}

/// Asks and publishes. Cheap to clone; the session ends when all clones are dropped or
/// [`Client::close`] is called.
#[derive(Clone)]
pub struct Client {
    handle: Arc<Handle>,
    /// What reads must see.
    at_least: u64,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

/// What all clones share; the last one to go ends the client.
struct Handle {
    shared: Arc<Shared>,
    /// Held while waiting for a seat in the window of a priority: first come, first in line.
    turns: [tokio::sync::Mutex<()>; 2],
    request_timeout: Duration,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.stop.cancel();
    }
}

/// An acknowledgement that is on its way. Dropping it does not take the message back.
#[derive(Debug)]
pub struct PendingAck {
    answer: oneshot::Receiver<Result<Ack, RequestError>>,
}

impl PendingAck {
    /// Waits until the message is durable.
    ///
    /// # Errors
    /// [`RequestError::Refused`] if the broker will not take it; `Closed` if the client was closed
    /// before.
    pub async fn wait(self) -> Result<Ack, RequestError> {
        self.answer.await.unwrap_or_else(|_| Err(RequestError::Closed("the client has ended".into())))
    }
}

impl Client {
    /// The session, as it comes and goes.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.shared().status.subscribe()
    }

    /// Publishes and waits until it is durable. Sent again after reconnects and `RETRY`, under the
    /// same id.
    ///
    /// # Errors
    /// As [`PendingAck::wait`].
    ///
    /// # Cancellation
    /// Once in line the message is published all the same.
    pub async fn publish(&self, message: Outgoing) -> Result<Ack, RequestError> {
        self.enqueue(message).await?.wait().await
    }

    /// Puts a message in line and returns once it has a seat in the publish window. Messages of
    /// one client and priority are published in the order in which this was called (first polled);
    /// urgent ones wait for no routine one.
    ///
    /// # Errors
    /// [`RequestError::Closed`] if the client was closed.
    ///
    /// # Cancellation
    /// Safe: the message is in line only if this returned.
    pub async fn enqueue(&self, message: Outgoing) -> Result<PendingAck, RequestError> {
        let shared = self.shared();
        let priority = message.priority;
        let turn = self.handle.turns[priority as usize].lock().await;
        let seat = Arc::clone(shared.window(priority)).acquire_owned().await;
        let seat = seat.map_err(|_| {
            shared.closed().unwrap_or_else(|| RequestError::Closed("the client has ended".into()))
        })?;
        let (reply, answer) = oneshot::channel();
        shared.push(priority, wire::publish(message), Publisher { reply, _seat: seat })?;
        drop(turn);
        Ok(PendingAck { answer })
    }

    /// Records that this device has every entry up to `sequence`. Returns at once: coalesced, sent
    /// again after reconnects.
    pub fn delivered(&self, conversation: ConversationId, sequence: Sequence) {
        self.shared().note(conversation, Mark::Delivered(sequence));
    }

    /// Records that the user has read every entry up to `sequence`. Returns at once: coalesced,
    /// sent again after reconnects.
    pub fn read(&self, conversation: ConversationId, sequence: Sequence) {
        self.shared().note(conversation, Mark::Read(sequence));
    }

    /// Records that the user has read one urgent message ahead of the others. As [`Client::read`].
    pub fn read_only(&self, conversation: ConversationId, sequence: Sequence) {
        self.shared().note(conversation, Mark::ReadOnly(sequence));
    }

    /// Sends a receipt and waits until it is durable; tells the broker's refusal.
    pub async fn acknowledge(
        &self,
        conversation: ConversationId,
        delivered: Option<Sequence>,
        read: Option<Sequence>,
    ) -> Result<Watermarks, RequestError> {
        let acknowledge = v1::Acknowledge {
            conversation_id: wire::id_bytes(conversation.0),
            delivered_up_to: delivered.unwrap_or(0),
            read_up_to: read.unwrap_or(0),
            delivered_only: Vec::new(),
            read_only: Vec::new(),
        };
        match self.ask(Request::Acknowledge(acknowledge), Repeat::Safe).await? {
            Response::Acknowledged(now) => {
                Ok(Watermarks { delivered_up_to: now.delivered_up_to, read_up_to: now.read_up_to })
            }
            _ => Err(mismatch()),
        }
    }

    /// Waits until every receipt handed in so far is durable. They are not hurried: allow for
    /// [`Options::receipt_delay`](crate::Options::receipt_delay) and half as much again.
    pub async fn flush(&self) -> Result<(), RequestError> {
        let shared = self.shared();
        let stamp = shared.receipts(|receipts| receipts.stamp());
        let settled = self.settled(|| shared.receipts(|receipts| receipts.is_settled_up_to(stamp)));
        match timeout(self.handle.request_timeout, settled).await {
            Ok(settled) => settled,
            Err(_) => Err(RequestError::Unknown("receipts are still on their way".into())),
        }
    }

    /// Finds or makes the conversation with one other person.
    pub async fn direct(&self, peer: &str) -> Result<Conversation, RequestError> {
        self.create(Kind::Direct, NewConversation { members: vec![peer.to_owned()], ..Default::default() })
            .await
    }

    /// Makes a group.
    pub async fn create_group(&self, new: NewConversation) -> Result<Conversation, RequestError> {
        self.create(Kind::Group, new).await
    }

    /// Makes a broadcast conversation; takes the role `broadcaster`.
    pub async fn create_broadcast(&self, new: NewConversation) -> Result<Conversation, RequestError> {
        self.create(Kind::Broadcast, new).await
    }

    /// Adds members. Gives the notice's sequence, `None` if there was nothing to change.
    pub async fn add_members(
        &self,
        conversation: ConversationId,
        members: &[String],
        role: Role,
        share_history: bool,
    ) -> Result<Option<Sequence>, RequestError> {
        self.change(Request::AddMembers(v1::AddMembers {
            conversation_id: wire::id_bytes(conversation.0),
            members: members.to_vec(),
            role: wire::role(role),
            share_history,
        }))
        .await
    }

    /// Removes a member.
    pub async fn remove_member(
        &self,
        conversation: ConversationId,
        member: &str,
    ) -> Result<Option<Sequence>, RequestError> {
        self.change(Request::RemoveMember(v1::RemoveMember {
            conversation_id: wire::id_bytes(conversation.0),
            member: member.to_owned(),
        }))
        .await
    }

    /// Leaves.
    pub async fn leave(&self, conversation: ConversationId) -> Result<Option<Sequence>, RequestError> {
        let conversation_id = wire::id_bytes(conversation.0);
        self.change(Request::LeaveConversation(v1::LeaveConversation { conversation_id })).await
    }

    /// Gives a member another role. For admins, and for whose token has the role `administrator`:
    /// they need not be a member.
    pub async fn set_role(
        &self,
        conversation: ConversationId,
        member: &str,
        role: Role,
    ) -> Result<Option<Sequence>, RequestError> {
        self.change(Request::SetRole(v1::SetRole {
            conversation_id: wire::id_bytes(conversation.0),
            member: member.to_owned(),
            role: wire::role(role),
        }))
        .await
    }

    /// Changes the title.
    pub async fn rename(
        &self,
        conversation: ConversationId,
        title: &str,
    ) -> Result<Option<Sequence>, RequestError> {
        self.change(Request::RenameConversation(v1::RenameConversation {
            conversation_id: wire::id_bytes(conversation.0),
            title: title.to_owned(),
        }))
        .await
    }

    /// Changes how long messages are kept; `None`: the operator's default.
    pub async fn set_retention(
        &self,
        conversation: ConversationId,
        retention: Option<Duration>,
    ) -> Result<Option<Sequence>, RequestError> {
        self.change(Request::SetRetention(v1::SetRetention {
            conversation_id: wire::id_bytes(conversation.0),
            // Zero would mean the opposite of a very short time.
            retention_ms: retention.map_or(0, |retention| wire::millis(retention).max(1)),
        }))
        .await
    }

    /// The highest position that an answer told: who sees what was applied up to there sees all
    /// that this client was answered. It does not go back if the broker's store does, by a restored
    /// backup: then open the client anew.
    pub fn position(&self) -> u64 {
        self.shared().position()
    }

    /// A clone whose reads (conversations, members, history, receipts) see what was applied up to a
    /// position, such as [`Client::position`] of another client, or are refused with
    /// [`Code::Unavailable`] after a second. One broker shows what it acknowledged anyway; this is
    /// for when there are more.
    ///
    /// [`Code::Unavailable`]: crate::Code::Unavailable
    #[must_use]
    pub fn at_least(&self, position: u64) -> Self {
        Self { at_least: position, ..self.clone() }
    }

    /// Lists the user's conversations, a page at a time (`page_size` 0: the broker's choice).
    pub async fn conversations(
        &self,
        page_size: u32,
        after: Option<Bytes>,
    ) -> Result<Page<Conversation>, RequestError> {
        let page_token = after.unwrap_or_default();
        let request = Request::ListConversations(v1::ListConversations { page_size, page_token });
        match self.ask(request, Repeat::Safe).await? {
            Response::ConversationPage(page) => {
                let items = page.conversations.into_iter().map(wire::conversation);
                Ok(Page { items: items.collect::<Result<_, _>>()?, next: next(page.next_page_token) })
            }
            _ => Err(mismatch()),
        }
    }

    /// Lists the members of a conversation.
    pub async fn members(
        &self,
        conversation: ConversationId,
        page_size: u32,
        after: Option<Bytes>,
    ) -> Result<Page<Member>, RequestError> {
        let request = Request::ListMembers(v1::ListMembers {
            conversation_id: wire::id_bytes(conversation.0),
            page_size,
            page_token: after.unwrap_or_default(),
        });
        match self.ask(request, Repeat::Safe).await? {
            Response::MemberPage(page) => Ok(Page {
                items: page.members.into_iter().map(wire::member).collect(),
                next: next(page.next_page_token),
            }),
            _ => Err(mismatch()),
        }
    }

    /// Reads history beyond `from` (0: from the end that the direction starts at).
    pub async fn history(
        &self,
        conversation: ConversationId,
        from: Sequence,
        direction: Direction,
        page_size: u32,
    ) -> Result<HistoryPage, RequestError> {
        let request = Request::History(v1::History {
            conversation_id: wire::id_bytes(conversation.0),
            from_sequence: from,
            direction: wire::direction(direction),
            page_size,
        });
        match self.ask(request, Repeat::Safe).await? {
            Response::HistoryPage(page) => {
                let entries = page.entries.into_iter().map(|entry| wire::entry(conversation, entry));
                Ok(HistoryPage {
                    // Entries of a kind that this version does not know are skipped.
                    entries: entries.filter_map(Result::transpose).collect::<Result<_, _>>()?,
                    next_from: page.more.then_some(page.next_from_sequence),
                })
            }
            _ => Err(mismatch()),
        }
    }

    /// Asks who received and read a message, and when.
    pub async fn receipts(
        &self,
        conversation: ConversationId,
        sequence: Sequence,
        page_size: u32,
        after: Option<Bytes>,
    ) -> Result<Page<Recipient>, RequestError> {
        let request = Request::ListReceipts(v1::ListReceipts {
            conversation_id: wire::id_bytes(conversation.0),
            sequence,
            page_size,
            page_token: after.unwrap_or_default(),
        });
        match self.ask(request, Repeat::Safe).await? {
            Response::ReceiptPage(page) => Ok(Page {
                items: page.recipients.into_iter().map(wire::recipient).collect(),
                next: next(page.next_page_token),
            }),
            _ => Err(mismatch()),
        }
    }

    /// Erases a message's content for all.
    pub async fn delete(
        &self,
        conversation: ConversationId,
        sequence: Sequence,
    ) -> Result<Option<Sequence>, RequestError> {
        let conversation_id = wire::id_bytes(conversation.0);
        self.change(Request::DeleteMessage(v1::DeleteMessage { conversation_id, sequence })).await
    }

    /// Says goodbye, after what was enqueued is acknowledged and receipts are flushed, at most
    /// `deadline`.
    pub async fn close(&self, deadline: Duration) {
        let shared = self.shared();
        let deadline = asking::after(deadline);
        let done = self.settled(|| {
            shared.has_published_all() && shared.receipts(|receipts| receipts.is_settled_up_to(u64::MAX))
        });
        // Past the deadline, or closed by somebody else: what is left is told so.
        let _ = timeout_at(deadline, done).await;
        shared.stop.cancel();
        let _ = timeout_at(deadline, shared.ended.cancelled()).await;
    }

    fn shared(&self) -> &Shared {
        &self.handle.shared
    }

    pub(crate) async fn ask(&self, request: Request, repeat: Repeat) -> Result<Response, RequestError> {
        asking::ask(self.shared(), request, self.at_least, repeat, self.handle.request_timeout).await
    }

    async fn change(&self, request: Request) -> Result<Option<Sequence>, RequestError> {
        match self.ask(request, Repeat::Unsafe).await? {
            Response::Done(done) => Ok((done.sequence > 0).then_some(done.sequence)),
            _ => Err(mismatch()),
        }
    }

    /// Creates under a fresh idempotency key, so that asking again after a lost connection makes
    /// nothing twice.
    async fn create(&self, kind: Kind, new: NewConversation) -> Result<Conversation, RequestError> {
        let request = Request::CreateConversation(v1::CreateConversation {
            kind: wire::kind(kind),
            members: new.members,
            title: new.title,
            retention_ms: new.retention.map_or(0, |retention| wire::millis(retention).max(1)),
            client_conversation_id: wire::id_bytes(MessageId::random().0),
        });
        match self.ask(request, Repeat::Safe).await? {
            Response::Conversation(conversation) => Ok(wire::conversation(conversation)?),
            _ => Err(mismatch()),
        }
    }

    /// Waits until `is_settled`, which `Shared::settled` rings for.
    async fn settled(&self, is_settled: impl Fn() -> bool) -> Result<(), RequestError> {
        loop {
            // Made before the check, so that nothing that happens in between is missed.
            let changed = self.shared().settled.notified();
            if let Some(closed) = self.shared().closed() {
                return Err(closed);
            }
            if is_settled() {
                return Ok(());
            }
            changed.await;
        }
    }
}

pub(crate) fn next(page_token: Bytes) -> Option<Bytes> {
    (!page_token.is_empty()).then_some(page_token)
}

pub(crate) fn mismatch() -> RequestError {
    Malformed("answer of another kind than the request's").into()
}

impl From<Malformed> for RequestError {
    fn from(error: Malformed) -> Self {
        Self::Unknown(error.to_string())
    }
}
