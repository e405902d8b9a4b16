//! Answers: from the broker's own types to `ServerFrame`, appended to a lane's buffer.
//!
//! Makes no decision and adds no text: what is answered was decided before.

use bytes::{Bytes, BytesMut};
use wardline_proto::v1::server_frame::Response as Wire;
use wardline_proto::{frame, v1};
use wardline_storage::encounter::Heard;
use wardline_storage::engine::Direction;
use wardline_storage::id::{ConversationId, EncounterId, Seq, Timestamp, UserId};
use wardline_storage::model::{Body, Policy};
use wardline_storage::view::{Chunk, Listed, Page, Placed, Recipient, Summary};

use super::parts::{millis, wire_conversation, wire_entry, wire_role};
use super::recorded::{Context, EncounterState, wire_contexts, wire_encounter, wire_recorded};
use crate::limits::{ENCOUNTER_BYTES_MAX, ENTRY_BYTES_MAX, Limits};
use crate::refusal::Refusal;

/// What a request is answered with.
pub(crate) enum Response {
    Refused(Refusal),
    Welcome(Box<Welcome>),
    Published { seq: Seq, time: Timestamp },
    Acknowledged { delivered: Seq, read: Seq },
    Done(Option<Seq>),
    Conversation(Box<Summary>),
    Conversations(Page<Summary, ConversationId>),
    Members(Page<Listed, UserId>),
    History(Chunk, Direction),
    Receipts(Page<Recipient, UserId>),
    Recorded(Heard),
    Contexts(Page<Context, EncounterId>),
    Encounter(Box<EncounterState>),
}

impl Response {
    /// Bytes that it takes in memory, at most, roughly: what is counted of a principal's share.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Conversations(page) => page.items.len() * 2 * ENTRY_BYTES_MAX,
            Self::Members(page) => page.items.len() * ENTRY_BYTES_MAX,
            Self::Receipts(page) => page.items.len() * ENTRY_BYTES_MAX,
            Self::History(chunk, _) => chunk.entries.iter().map(placed_bytes).sum(),
            Self::Contexts(page) => page.items.len() * 2 * ENTRY_BYTES_MAX,
            Self::Encounter(_) => ENCOUNTER_BYTES_MAX,
            _ => ENTRY_BYTES_MAX,
        }
    }
}

fn placed_bytes(placed: &Placed) -> usize {
    let written = match &placed.entry.body {
        Body::Message(message) => message.payload.len(),
        Body::Tombstone { .. } | Body::Notice(_) => 0,
    };
    ENTRY_BYTES_MAX + written + placed.mentioned.iter().map(|name| name.as_str().len()).sum::<usize>()
}

/// What a session is told when it opens or renews.
pub(crate) struct Welcome {
    pub(crate) session: [u8; 16],
    pub(crate) now: Timestamp,
    pub(crate) limits: Limits,
    pub(crate) policy: Policy,
    pub(crate) user: String,
    pub(crate) tenant: String,
    pub(crate) expires: Timestamp,
    pub(crate) device: Option<Registered>,
}

/// What the store has on record of a session's device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Registered {
    /// It is owed what was published since then.
    pub(crate) since: Timestamp,
    /// It may have given way to others.
    pub(crate) gave_way: bool,
}

/// Appends the answer to a request. `position`: what it rests on was applied up to there; 0: it
/// rests on nothing.
pub(crate) fn answer(request_id: u64, position: u64, response: Response, out: &mut BytesMut) {
    let response = match response {
        Response::Refused(refused) => Wire::Error(wire_error(refused)),
        Response::Welcome(welcome) => Wire::Welcome(wire_welcome(*welcome)),
        Response::Published { seq, time } => {
            Wire::PublishAck(v1::PublishAck { sequence: seq.0, time_ms: time.0 })
        }
        Response::Acknowledged { delivered, read } => {
            Wire::Acknowledged(v1::Acknowledged { delivered_up_to: delivered.0, read_up_to: read.0 })
        }
        Response::Done(seq) => Wire::Done(v1::Done { sequence: seq.map_or(0, |seq| seq.0) }),
        Response::Conversation(summary) => Wire::Conversation(wire_conversation(*summary)),
        Response::Conversations(page) => Wire::ConversationPage(v1::ConversationPage {
            conversations: page.items.into_iter().map(wire_conversation).collect(),
            next_page_token: page.next.map_or_else(Bytes::new, |id| Bytes::copy_from_slice(id.as_bytes())),
        }),
        Response::Members(page) => Wire::MemberPage(v1::MemberPage {
            members: page.items.iter().map(wire_member).collect(),
            next_page_token: user_token(page.next),
        }),
        Response::History(chunk, direction) => Wire::HistoryPage(wire_history(&chunk, direction)),
        Response::Receipts(page) => Wire::ReceiptPage(v1::ReceiptPage {
            recipients: page.items.iter().map(wire_recipient).collect(),
            next_page_token: user_token(page.next),
        }),
        Response::Recorded(heard) => Wire::Recorded(wire_recorded(&heard)),
        Response::Contexts(page) => Wire::ContextPage(wire_contexts(page)),
        Response::Encounter(state) => Wire::EncounterState(wire_encounter(*state)),
    };
    frame::encode(&v1::ServerFrame { request_id, position, response: Some(response) }, out);
}

/// Appends a refusal; request id 0 if the request's own could not be read.
pub(crate) fn refusal(request_id: u64, refusal: Refusal, out: &mut BytesMut) {
    answer(request_id, 0, Response::Refused(refusal), out);
}

/// Appends the last frame of a control stream.
pub(crate) fn goodbye(refusal: &Refusal, out: &mut BytesMut) {
    let goodbye = v1::Goodbye {
        code: wire_code(refusal),
        text: refusal.text.clone().into_owned(),
        retry_after_ms: millis(refusal.retry_after),
    };
    let response = Some(Wire::Goodbye(goodbye));
    frame::encode(&v1::ServerFrame { request_id: 0, position: 0, response }, out);
}

fn wire_code(refusal: &Refusal) -> i32 {
    i32::try_from(refusal.code.number()).expect("codes are small numbers")
}

fn wire_error(refusal: Refusal) -> v1::Error {
    v1::Error {
        code: wire_code(&refusal),
        action: refusal.code.action().to_owned(),
        retry_after_ms: millis(refusal.retry_after),
        current_sequence: refusal.current.0,
        text: refusal.text.into_owned(),
    }
}

fn wire_welcome(welcome: Welcome) -> v1::Welcome {
    let bounded = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
    let limits = welcome.limits;
    v1::Welcome {
        session_id: Bytes::copy_from_slice(&welcome.session),
        server_time_ms: welcome.now.0,
        limits: Some(v1::Limits {
            frame_bytes_max: bounded(limits.frame_bytes_max),
            payload_bytes_max: bounded(limits.payload_bytes_max),
            page_entries_max: bounded(limits.page_entries_max),
            lane_requests_max: bounded(limits.lane_requests_max),
            members_max: welcome.policy.members_max,
            resume_positions_max: bounded(limits.resume_positions_max),
            retention_max_ms: millis(welcome.policy.retention_max),
            dedupe_window_ms: millis(welcome.policy.dedupe_window),
            lanes_max: limits.lanes_max,
        }),
        user: welcome.user,
        tenant: welcome.tenant,
        token_expires_at_ms: welcome.expires.0,
        broker_version: env!("CARGO_PKG_VERSION").to_owned(),
        device_since_ms: welcome.device.map_or(0, |device| device.since.0),
        device_gave_way: welcome.device.is_some_and(|device| device.gave_way),
    }
}

fn wire_member(listed: &Listed) -> v1::Member {
    v1::Member {
        user: listed.name.as_str().to_owned(),
        role: wire_role(listed.role).into(),
        joined_at_ms: listed.joined.0,
    }
}

fn wire_recipient(recipient: &Recipient) -> v1::Recipient {
    v1::Recipient {
        user: recipient.name.as_str().to_owned(),
        delivered_at_ms: recipient.delivered.map_or(0, |time| time.0),
        read_at_ms: recipient.read.map_or(0, |time| time.0),
    }
}

fn wire_history(chunk: &Chunk, direction: Direction) -> v1::HistoryPage {
    // Backward from 0 would mean "from the head"; but then there is nothing more either.
    let next = match direction {
        Direction::Forward => chunk.through.0,
        Direction::Backward => chunk.through.0.max(1),
    };
    v1::HistoryPage {
        entries: chunk
            .entries
            .iter()
            .map(|placed| {
                wire_entry(Bytes::new(), placed.seq, &placed.entry, &placed.sender, &placed.mentioned)
            })
            .collect(),
        more: chunk.more,
        next_from_sequence: next,
    }
}

fn user_token(next: Option<UserId>) -> Bytes {
    next.map_or_else(Bytes::new, |id| Bytes::copy_from_slice(id.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refusal::Code;

    #[test]
    fn codes_are_those_of_the_wire() {
        for code in Code::ALL {
            let wire = i32::try_from(code.number()).ok().and_then(|n| v1::ErrorCode::try_from(n).ok());
            let name = wire.map(|wire| wire.as_str_name().trim_start_matches("ERROR_CODE_").to_lowercase());
            assert_eq!(name.as_deref(), Some(code.label()));
        }
        let known = (0..256).filter(|n| v1::ErrorCode::try_from(*n).is_ok()).count();
        assert_eq!(Code::ALL.len() + 1, known, "every code but UNSPECIFIED is in the table");
    }
}
