//! Chunks: what a device that is behind is sent, read from the store.

use bytes::BytesMut;
use wardline_storage::id::{ConversationId, Seq, Timestamp};

use crate::presence::bell::Slot;

/// What a device has not got yet of a conversation that it follows.
#[derive(Clone, Copy)]
pub(super) struct Gap {
    pub(super) conversation: ConversationId,
    pub(super) slot: Slot,
    /// It has everything up to here.
    pub(super) after: Seq,
    /// The last that is missing.
    pub(super) up_to: Seq,
    /// How often the topic had withdrawn entries when the gap was looked at.
    pub(super) withdrawals: u64,
}

/// Consecutive entries of one conversation, encoded.
pub(super) struct Chunk {
    pub(super) slot: Slot,
    pub(super) bytes: BytesMut,
    pub(super) frames: u64,
    /// Everything up to here is in it, or is not for this device.
    pub(super) through: Seq,
    pub(super) more: bool,
    /// From when on it must not be sent as it is.
    pub(super) expires: Timestamp,
    /// Nor if the topic has withdrawn entries since: [`Gap::withdrawals`].
    pub(super) withdrawals: u64,
}
