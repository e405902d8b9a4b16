//! What a typical message is, and who publishes it where: as a frame from a client, and as a
//! submission to the log.
//!
//! The number of a message makes its idempotency key, which ascends with time and is random within
//! a millisecond, as the SDK's do: in an ordered store keys that only ascend would be cheaper than
//! what comes in practice. Nothing here measures.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use wardline_proto::{frame, v1};
use wardline_storage::applier::Applier;
use wardline_storage::command::{Actor, Command, Create, Publish, Rights, Submission};
use wardline_storage::engine::{EngineError, Mutation};
use wardline_storage::id::{ClientMessageId, ConversationId, DeviceId, TenantId, Timestamp, UserId};
use wardline_storage::model::{Kind, Person, Policy, Priority, Text};

use crate::recording::Recording;

/// Bytes of the typical payload.
pub const PAYLOAD_BYTES: usize = 256;

/// The conversation that everything goes into.
pub const CONVERSATION: [u8; 16] = [7; 16];

/// Who may read there, beside the publisher.
pub const READER: UserId = UserId::new([2; 16]);

/// When everything is published.
pub const TIME: Timestamp = Timestamp(1_000_000);

/// How many ids share their millisecond.
const MESSAGES_PER_MS: u64 = 100;

const CONTENT_TYPE: &str = "text/plain; charset=utf-8";

/// A publish as it comes from a client.
pub fn publish_frame(number: u64) -> v1::ClientFrame {
    publish_into(Bytes::copy_from_slice(&CONVERSATION), number)
}

/// A publish into another conversation.
pub fn publish_into(conversation_id: Bytes, number: u64) -> v1::ClientFrame {
    let publish = v1::Publish {
        conversation_id,
        client_message_id: Bytes::copy_from_slice(&message_id(number)),
        content_type: CONTENT_TYPE.into(),
        payload: Bytes::from(vec![b'x'; PAYLOAD_BYTES]),
        priority: v1::Priority::Routine.into(),
        epoch: 1,
        ..Default::default()
    };
    v1::ClientFrame {
        request_id: number + 1,
        request: Some(v1::client_frame::Request::Publish(publish)),
        ..v1::ClientFrame::default()
    }
}

/// A message as it goes to a reader: an encoded frame with its length.
pub fn entry_frame(payload_bytes: usize) -> Bytes {
    let entry = v1::Entry {
        conversation_id: Bytes::copy_from_slice(&CONVERSATION),
        sequence: 100_000,
        sender: "reader-0000".into(),
        time_ms: 1_800_000_000_000,
        expires_at_ms: 1_802_592_000_000,
        body: Some(v1::entry::Body::Message(v1::Message {
            client_message_id: Bytes::copy_from_slice(&message_id(0)),
            content_type: CONTENT_TYPE.into(),
            payload: Bytes::from(vec![b'x'; payload_bytes]),
            priority: v1::Priority::Routine.into(),
            reply_to_sequence: 0,
        })),
    };
    let mut out = BytesMut::new();
    frame::encode(&v1::PushFrame { push: Some(v1::push_frame::Push::Entry(entry)) }, &mut out);
    out.freeze()
}

/// What the broker writes for a group of publishes: one batch.
///
/// # Errors
/// Never, but by a defect of the machine.
pub fn publishes(group: u64) -> Result<Vec<Mutation>, EngineError> {
    let recording = Arc::new(Recording::default());
    let mut applier = Applier::new(recording.clone())?;
    applier.apply_group(TIME, &found())?;
    applier.apply_group(TIME, &(0..group).map(publish).collect::<Vec<_>>())?;
    Ok(recording.hooks.batch())
}

/// The submissions with which a store begins: the policy, and the conversation.
pub fn found() -> [Submission; 2] {
    let policy = Policy {
        retention_max: Duration::from_secs(30 * 86_400),
        dedupe_window: Duration::from_secs(86_400),
        members_max: 1_000,
        devices_max: 8,
    };
    let other = Person { user: READER, name: Text::new("recipient") };
    let create = Command::Create(Create {
        conversation: ConversationId::new(CONVERSATION),
        kind: Kind::Group,
        others: vec![other],
        title: Text::new("bench"),
        retention: None,
    });
    [Command::SetPolicy(policy), create].map(submission)
}

/// The submission of one publish; `number` makes its idempotency key.
pub fn publish(number: u64) -> Submission {
    submission(Command::Publish(Publish {
        conversation: ConversationId::new(CONVERSATION),
        client_id: ClientMessageId::new(message_id(number)),
        content_type: Text::new(CONTENT_TYPE),
        payload: Bytes::from(vec![b'x'; PAYLOAD_BYTES]),
        priority: Priority::Routine,
        reply_to: None,
        expires_in: None,
    }))
}

/// As the SDK makes them (a UUID of version 7): the millisecond, then what looks random.
pub(crate) fn message_id(number: u64) -> [u8; 16] {
    let (time_ms, random) = (TIME.0 + number / MESSAGES_PER_MS, scattered(number).to_be_bytes());
    let mut id = [0; 16];
    id[..6].copy_from_slice(&time_ms.to_be_bytes()[2..]);
    id[6..14].copy_from_slice(&random);
    id[6] = 0x70 | (random[0] & 0x0f);
    id[8] = 0x80 | (random[2] & 0x3f);
    id
}

/// SplitMix64's output function (Steele, Lea and Flood, 2014): a permutation, so no two numbers
/// meet.
fn scattered(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn submission(command: Command) -> Submission {
    Submission {
        actor: Arc::new(Actor {
            tenant: TenantId::new([9; 16]),
            user: UserId::new([1; 16]),
            name: Text::new("publisher"),
            device: DeviceId::new([3; 16]),
            rights: Rights::default(),
        }),
        command,
    }
}
