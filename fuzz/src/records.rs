//! What lies on the disk: records of every kind, and keys.
//!
//! Bytes are a record, and then written again as the same bytes, or they are damage: never a panic,
//! never anything else. Keys lie in the order of what they are made of, their parts come out again
//! as they went in, and a range has the keys that it says and no others.

use wardline_storage::engine::EngineError;
use wardline_storage::id::{ClientMessageId, ConversationId, DeviceId, Seq, UserId};
use wardline_storage::key::{self, Span};
use wardline_storage::model::ReceiptKind;

use crate::samples::{check_bytes, samples};
use crate::wire::{Choices, damage};

const KINDS: [ReceiptKind; 4] =
    [ReceiptKind::Delivered, ReceiptKind::Read, ReceiptKind::DeliveredOnly, ReceiptKind::ReadOnly];

/// Decodes bytes, or a damaged record, or makes and compares keys.
///
/// # Panics
/// If a property does not hold.
pub fn run(data: &[u8]) {
    let Some((&how, rest)) = data.split_first() else { return };
    match how % 4 {
        0 => record(rest),
        1 => {
            let (samples, mut choices) = (samples(), Choices(rest));
            let mut bytes = samples[choices.below(samples.len())].to_vec();
            while !choices.0.is_empty() {
                damage(&mut bytes, &mut choices);
                record(&bytes);
            }
        }
        2 => strange_key(rest),
        _ => keys(
            &Parts::choose(&mut Choices(rest)),
            &Parts::choose(&mut Choices(rest.get(20..).unwrap_or(&[]))),
        ),
    }
}

fn record(bytes: &[u8]) {
    if let Err(what) = check_bytes(bytes) {
        panic!("{what}");
    }
}

/// Bytes that are no key of ours, or are one by chance.
fn strange_key(bytes: &[u8]) {
    fn damage_or<T>(read: Result<T, EngineError>, is_right: impl FnOnce(T) -> bool) {
        match read {
            Ok(part) => assert!(is_right(part), "a key was read as something else"),
            Err(EngineError::Corrupt { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    damage_or(key::member_user(bytes), |user| bytes.ends_with(user.as_bytes()));
    damage_or(key::membership_conversation(bytes), |conversation| bytes.ends_with(conversation.as_bytes()));
    damage_or(key::message_seq(bytes), |seq| bytes.ends_with(&seq.0.to_be_bytes()));
    damage_or(key::device_id(bytes), |device| bytes.ends_with(device.as_bytes()));
    damage_or(key::reexpire_conversation(bytes), |conversation| key::reexpire(conversation) == bytes);
}

/// What keys are made of. Few values and the edges, so that parts are often equal.
struct Parts {
    conversation: ConversationId,
    user: UserId,
    device: DeviceId,
    client_id: ClientMessageId,
    kind: usize,
    seq: Seq,
}

impl Parts {
    fn choose(choices: &mut Choices<'_>) -> Self {
        let seq = match choices.below(4) {
            0 => u64::MAX - choices.below(3) as u64,
            1 => choices.below(3) as u64,
            _ => (0..8).fold(0, |seq, _| seq << 8 | choices.below(256) as u64),
        };
        Self {
            conversation: ConversationId::new(id(choices)),
            user: UserId::new(id(choices)),
            device: DeviceId::new(id(choices)),
            client_id: ClientMessageId::new(id(choices)),
            kind: choices.below(KINDS.len()),
            seq: Seq(seq),
        }
    }
}

fn id(choices: &mut Choices<'_>) -> [u8; 16] {
    let mut id = [[0, 0xff, 0x7f, 0x80][choices.below(4)]; 16];
    for _ in 0..choices.below(3) {
        id[choices.below(16)] = choices.below(256) as u8;
    }
    id
}

fn keys(a: &Parts, b: &Parts) {
    let (kind_a, kind_b) = (KINDS[a.kind], KINDS[b.kind]);
    let message = key::message(a.conversation, a.seq);
    assert_eq!(
        message.cmp(&key::message(b.conversation, b.seq)),
        (a.conversation, a.seq).cmp(&(b.conversation, b.seq))
    );
    assert_eq!(
        key::member(a.conversation, a.user).cmp(&key::member(b.conversation, b.user)),
        (a.conversation, a.user).cmp(&(b.conversation, b.user))
    );
    assert_eq!(
        key::receipt(a.conversation, a.user, kind_a, a.seq).cmp(&key::receipt(
            b.conversation,
            b.user,
            kind_b,
            b.seq
        )),
        (a.conversation, a.user, a.kind, a.seq).cmp(&(b.conversation, b.user, b.kind, b.seq))
    );
    let dedupe = key::dedupe(a.conversation, a.user, a.client_id);
    assert_eq!(
        dedupe.cmp(&key::dedupe(b.conversation, b.user, b.client_id)),
        (a.conversation, a.user, a.client_id).cmp(&(b.conversation, b.user, b.client_id))
    );
    parts(a);

    let ours = a.conversation == b.conversation;
    let member = key::member(a.conversation, a.user);
    holds(&key::members(b.conversation, None), &member, ours);
    holds(&key::members(b.conversation, Some(b.user)), &member, ours && a.user > b.user);
    let same = a.user == b.user;
    let membership = key::membership(a.user, a.conversation);
    holds(&key::memberships(b.user, None), &membership, same);
    holds(
        &key::memberships(b.user, Some(b.conversation)),
        &membership,
        same && a.conversation > b.conversation,
    );
    holds(&key::devices(b.user), &key::device(a.user, a.device), same);
    holds(&key::messages(b.conversation, b.seq, Seq(u64::MAX)), &message, ours && a.seq >= b.seq);
    holds(&key::messages(b.conversation, Seq(0), b.seq), &message, ours && a.seq <= b.seq);
    let receipts = key::receipts_from(b.conversation, b.user, kind_b, b.seq);
    let receipt = key::receipt(a.conversation, a.user, kind_a, a.seq);
    holds(&receipts, &receipt, ours && same && a.kind == b.kind && a.seq >= b.seq);
    holds(&key::dedupes(&key::cursor(b.conversation, b.user)), &dedupe, ours && same);
    holds(&key::reexpires(None), &key::reexpire(a.conversation), true);
    let after = key::reexpires(Some(b.conversation));
    holds(&after, &key::reexpire(a.conversation), a.conversation > b.conversation);
    let partition = [&b"applied/"[..], &(a.seq.0 as u16).to_be_bytes()].concat();
    holds(&key::partitions_applied(), &partition, true);
    for other in [&key::reexpire(a.conversation)[..], key::APPLIED] {
        holds(&key::partitions_applied(), other, false);
    }
    holds(&key::reexpires(None), key::APPLIED, false);
}

/// What went into a key comes out of it.
fn parts(of: &Parts) {
    let Parts { conversation, user, device, seq, .. } = *of;
    assert_eq!(key::member_user(&key::member(conversation, user)).ok(), Some(user));
    assert_eq!(key::membership_conversation(&key::membership(user, conversation)).ok(), Some(conversation));
    assert_eq!(key::message_seq(&key::message(conversation, seq)).ok(), Some(seq));
    assert_eq!(key::device_id(&key::device(user, device)).ok(), Some(device));
    assert_eq!(key::reexpire_conversation(&key::reexpire(conversation)).ok(), Some(conversation));
}

fn holds(span: &Span, key: &[u8], expected: bool) {
    let range = span.range();
    let held = range.from <= key && key < range.to;
    assert_eq!(held, expected, "{key:02x?} in {span:02x?}");
}
