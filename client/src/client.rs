//! The application's handle.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;

use crate::error::{ConnectError, RequestError};
use crate::inbox::Inbox;
use crate::options::Options;
use crate::types::*;

/// Opens a session; from then on the SDK keeps it open.
///
/// # Errors
/// [`ConnectError`] if the first session could not be had.
///
/// # Cancellation
/// Safe: nothing stays behind.
pub async fn connect(options: Options) -> Result<(Client, Inbox), ConnectError> {
    todo!()
}

/// Asks and publishes. Cheap to clone; the session ends when all clones are dropped or [`Client::close`] is called.
#[derive(Clone, Debug)]
pub struct Client {}

/// An acknowledgement that is on its way.
#[derive(Debug)]
pub struct PendingAck {}

impl PendingAck {
    /// Waits until the message is durable.
    ///
    /// # Errors
    /// [`RequestError::Refused`] if the broker will not take it; `Closed` if the client was closed before.
    pub async fn wait(self) -> Result<Ack, RequestError> {
        todo!()
    }
}

impl Client {
    /// The session, as it comes and goes.
    pub fn status(&self) -> watch::Receiver<Status> {
        todo!()
    }

    /// Publishes and waits until it is durable. Sent again after reconnects and `RETRY`, under the same id.
    pub async fn publish(&self, message: Outgoing) -> Result<Ack, RequestError> {
        self.enqueue(message).await?.wait().await
    }

    /// Puts a message in line and returns once it has a place in the publish window. Messages of one client are
    /// published in the order in which this was called.
    pub async fn enqueue(&self, message: Outgoing) -> Result<PendingAck, RequestError> {
        todo!()
    }

    /// Records that this device has every entry up to `sequence`. Returns at once: coalesced, sent again after reconnects.
    pub fn delivered(&self, conversation: ConversationId, sequence: Sequence) {
        todo!()
    }

    /// Records that the user has read every entry up to `sequence`. Returns at once: coalesced, sent again after reconnects.
    pub fn read(&self, conversation: ConversationId, sequence: Sequence) {
        todo!()
    }

    /// Records that the user has read one urgent message ahead of the others. As [`Client::read`].
    pub fn read_only(&self, conversation: ConversationId, sequence: Sequence) {
        todo!()
    }

    /// Sends a receipt and waits until it is durable; tells the broker's refusal.
    pub async fn acknowledge(
        &self,
        conversation: ConversationId,
        delivered: Option<Sequence>,
        read: Option<Sequence>,
    ) -> Result<Watermarks, RequestError> {
        todo!()
    }

    /// Waits until every receipt handed in so far is durable.
    pub async fn flush(&self) -> Result<(), RequestError> {
        todo!()
    }

    /// Finds or makes the conversation with one other person.
    pub async fn direct(&self, peer: &str) -> Result<Conversation, RequestError> {
        todo!()
    }

    /// Makes a group.
    pub async fn create_group(&self, new: NewConversation) -> Result<Conversation, RequestError> {
        todo!()
    }

    /// Makes a broadcast conversation; takes the role `broadcaster`.
    pub async fn create_broadcast(&self, new: NewConversation) -> Result<Conversation, RequestError> {
        todo!()
    }

    /// Adds members. Gives the notice's sequence, `None` if there was nothing to change.
    pub async fn add_members(
        &self,
        conversation: ConversationId,
        members: &[String],
        role: Role,
        share_history: bool,
    ) -> Result<Option<Sequence>, RequestError> {
        todo!()
    }

    /// Removes a member.
    pub async fn remove_member(
        &self,
        conversation: ConversationId,
        member: &str,
    ) -> Result<Option<Sequence>, RequestError> {
        todo!()
    }

    /// Leaves.
    pub async fn leave(&self, conversation: ConversationId) -> Result<Option<Sequence>, RequestError> {
        todo!()
    }

    /// Changes the title.
    pub async fn rename(
        &self,
        conversation: ConversationId,
        title: &str,
    ) -> Result<Option<Sequence>, RequestError> {
        todo!()
    }

    /// Changes how long messages are kept; `None`: the broker's maximum.
    pub async fn set_retention(
        &self,
        conversation: ConversationId,
        retention: Option<Duration>,
    ) -> Result<Option<Sequence>, RequestError> {
        todo!()
    }

    /// Lists the user's conversations, a page at a time (`page_size` 0: the broker's choice).
    pub async fn conversations(
        &self,
        page_size: u32,
        after: Option<Bytes>,
    ) -> Result<Page<Conversation>, RequestError> {
        todo!()
    }

    /// Lists the members of a conversation.
    pub async fn members(
        &self,
        conversation: ConversationId,
        page_size: u32,
        after: Option<Bytes>,
    ) -> Result<Page<Member>, RequestError> {
        todo!()
    }

    /// Reads history beyond `from` (0: from the end that the direction starts at).
    pub async fn history(
        &self,
        conversation: ConversationId,
        from: Sequence,
        direction: Direction,
        page_size: u32,
    ) -> Result<HistoryPage, RequestError> {
        todo!()
    }

    /// Asks who received and read a message, and when.
    pub async fn receipts(
        &self,
        conversation: ConversationId,
        sequence: Sequence,
        page_size: u32,
        after: Option<Bytes>,
    ) -> Result<Page<Recipient>, RequestError> {
        todo!()
    }

    /// Erases a message's content for all.
    pub async fn delete(
        &self,
        conversation: ConversationId,
        sequence: Sequence,
    ) -> Result<Option<Sequence>, RequestError> {
        todo!()
    }

    /// Says goodbye, after what was enqueued is acknowledged and receipts are flushed, at most `deadline`.
    pub async fn close(&self, deadline: Duration) {
        todo!()
    }
}
