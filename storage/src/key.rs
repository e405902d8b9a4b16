//! How keys lie in the tables: the layouts that docs/format.md draws, in code.
//!
//! Every key is made of opaque fixed-width ids, one-byte kinds and big-endian numbers, so byte
//! order is the order of conversations, users and sequences, and a key splits without separators.
//! Names, titles and content never stand in a key: engines copy keys into manifests and logs.
//! Layouts are part of the format.

use crate::engine::{EngineError, KeyRange};
use crate::id::{
    BedId, ClientMessageId, ConversationId, DeviceId, EncounterId, EventId, IdentifierId, KeyId, PatientId,
    Seq, SignInId, TenantId, UserId, WardId,
};
use crate::model::{ReceiptKind, Subject};
use crate::staff::StaffOf;

const ID: usize = 16;
const SEQ: usize = 8;

/// `conversation`: conversation.
pub const CONVERSATION_BYTES: usize = ID;
/// `member` and `cursor`: conversation, user. `membership` and `device` are as wide.
pub const PAIR_BYTES: usize = 2 * ID;
/// `message` and `urgent`: conversation, sequence.
pub const MESSAGE_BYTES: usize = ID + SEQ;
/// `receipt`: conversation, user, kind, sequence.
pub const RECEIPT_BYTES: usize = 2 * ID + 1 + SEQ;
/// `dedupe`: conversation, sender, client message id.
pub const DEDUPE_BYTES: usize = 3 * ID;
/// `patient`, `identifier`, `encounter`, `ward` and `heard`: one id.
pub const ID_BYTES: usize = ID;
/// `stay`: kind; patient, ward or bed; encounter.
pub const STAY_BYTES: usize = 1 + 2 * ID;
/// `staff`: kind; ward or encounter.
pub const STAFF_BYTES: usize = 1 + ID;

/// Key in `meta` of the store's format, a number of 4 bytes: what is read before anything else.
pub const FORMAT: &[u8] = b"store/format";
/// Key in `meta` of the store's secret for ids.
pub const ID_SECRET: &[u8] = b"store/id-secret";
/// Key in `meta` of how far the store has come in the log.
pub const APPLIED: &[u8] = b"store/applied";
/// Key in `meta` of the policy in force.
pub const POLICY: &[u8] = b"store/policy";
/// Key in `meta` of the floors, defaults and ceilings of retention.
pub const RETENTIONS: &[u8] = b"store/retentions";

/// Format 1 had a position of each of 64 partitions.
const PARTITION_APPLIED: &[u8] = b"applied/";
const REEXPIRE: &[u8] = b"reexpire/";
const GAVE_WAY: &[u8] = b"gave-way/";
const REVOKED: &[u8] = b"revoked/";
const REGROUP: &[u8] = b"regroup/";
/// The widest subject is a key.
const REVOKED_BYTES_MAX: usize = REVOKED.len() + 1 + KeyId::BYTES;

/// The kinds of subjects. Append only.
pub(crate) const TENANT: u8 = 1;
pub(crate) const USER: u8 = 2;
pub(crate) const DEVICE: u8 = 3;
pub(crate) const KEY: u8 = 4;
pub(crate) const SIGN_IN: u8 = 5;

/// The kinds of staff. Append only.
pub(crate) const OF_WARD: u8 = 1;
pub(crate) const OF_ENCOUNTER: u8 = 2;

/// A range of keys that owns its bounds: `from` is included, `to` is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    from: Vec<u8>,
    to: Vec<u8>,
}

impl Span {
    /// Every key.
    pub fn all() -> Self {
        let KeyRange { from, to } = KeyRange::ALL;
        Self { from: from.to_vec(), to: to.to_vec() }
    }

    /// The range, for an engine.
    pub fn range(&self) -> KeyRange<'_> {
        KeyRange { from: &self.from, to: &self.to }
    }

    /// Every key of `width` bytes that starts with `prefix`.
    fn prefix(prefix: &[u8], width: usize) -> Self {
        let mut to = prefix.to_vec();
        to.resize(width, 0xff);
        // Keys have a fixed width, so one byte more is the first bound beyond the highest of them.
        to.push(0);
        Self { from: prefix.to_vec(), to }
    }

    /// Narrowed to the keys beyond `key`.
    fn after(mut self, key: &[u8]) -> Self {
        self.from = key.to_vec();
        self.from.push(0);
        self
    }
}

/// Key of a conversation's record.
pub fn conversation(conversation: ConversationId) -> [u8; CONVERSATION_BYTES] {
    *conversation.as_bytes()
}

/// Key of a membership, by conversation.
pub fn member(conversation: ConversationId, user: UserId) -> [u8; PAIR_BYTES] {
    pair(conversation.as_bytes(), user.as_bytes())
}

/// The members of a conversation, those beyond `after` if it is given.
pub fn members(conversation: ConversationId, after: Option<UserId>) -> Span {
    let all = Span::prefix(conversation.as_bytes(), PAIR_BYTES);
    after.map_or(all.clone(), |user| all.after(&member(conversation, user)))
}

/// The user in a key of the `member` table.
///
/// # Errors
/// [`EngineError::Corrupt`] if the key has another width.
pub fn member_user(key: &[u8]) -> Result<UserId, EngineError> {
    second(key).and_then(UserId::from_slice).ok_or_else(|| corrupt("reading a member's key"))
}

/// Key of a membership, by user.
pub fn membership(user: UserId, conversation: ConversationId) -> [u8; PAIR_BYTES] {
    pair(user.as_bytes(), conversation.as_bytes())
}

/// The memberships of a user, those beyond `after` if it is given.
pub fn memberships(user: UserId, after: Option<ConversationId>) -> Span {
    let all = Span::prefix(user.as_bytes(), PAIR_BYTES);
    after.map_or(all.clone(), |conversation| all.after(&membership(user, conversation)))
}

/// The conversation in a key of the `membership` table.
///
/// # Errors
/// [`EngineError::Corrupt`] if the key has another width.
pub fn membership_conversation(key: &[u8]) -> Result<ConversationId, EngineError> {
    second(key).and_then(ConversationId::from_slice).ok_or_else(|| corrupt("reading a membership's key"))
}

/// Key of an entry, and of an urgent message in its index.
pub fn message(conversation: ConversationId, seq: Seq) -> [u8; MESSAGE_BYTES] {
    let mut key = [0; MESSAGE_BYTES];
    key[..ID].copy_from_slice(conversation.as_bytes());
    key[ID..].copy_from_slice(&seq.0.to_be_bytes());
    key
}

/// The entries from `first` to `last`, both included.
pub fn messages(conversation: ConversationId, first: Seq, last: Seq) -> Span {
    let mut to = message(conversation, last).to_vec();
    to.push(0);
    Span { from: message(conversation, first).to_vec(), to }
}

/// The sequence in a key of the `message` table.
///
/// # Errors
/// [`EngineError::Corrupt`] if the key has another width.
pub fn message_seq(key: &[u8]) -> Result<Seq, EngineError> {
    trailing_seq(key, MESSAGE_BYTES).ok_or_else(|| corrupt("reading an entry's key"))
}

/// Key of somebody's watermarks.
pub fn cursor(conversation: ConversationId, user: UserId) -> [u8; PAIR_BYTES] {
    pair(conversation.as_bytes(), user.as_bytes())
}

/// Key of a receipt. The kind stands before the sequence, so "who saw N" is one seek per person and
/// kind.
pub fn receipt(
    conversation: ConversationId,
    user: UserId,
    kind: ReceiptKind,
    seq: Seq,
) -> [u8; RECEIPT_BYTES] {
    let mut key = [0; RECEIPT_BYTES];
    key[..ID].copy_from_slice(conversation.as_bytes());
    key[ID..2 * ID].copy_from_slice(user.as_bytes());
    key[2 * ID] = match kind {
        ReceiptKind::Delivered => 1,
        ReceiptKind::Read => 2,
        ReceiptKind::DeliveredOnly => 3,
        ReceiptKind::ReadOnly => 4,
    };
    key[2 * ID + 1..].copy_from_slice(&seq.0.to_be_bytes());
    key
}

/// Somebody's receipts of one kind at or above `first`.
pub fn receipts_from(conversation: ConversationId, user: UserId, kind: ReceiptKind, first: Seq) -> Span {
    let mut to = receipt(conversation, user, kind, Seq::MAX).to_vec();
    to.push(0);
    Span { from: receipt(conversation, user, kind, first).to_vec(), to }
}

/// Key of what remembers a published client message id.
pub fn dedupe(
    conversation: ConversationId,
    sender: UserId,
    client_id: ClientMessageId,
) -> [u8; DEDUPE_BYTES] {
    let mut key = [0; DEDUPE_BYTES];
    key[..ID].copy_from_slice(conversation.as_bytes());
    key[ID..2 * ID].copy_from_slice(sender.as_bytes());
    key[2 * ID..].copy_from_slice(client_id.as_bytes());
    key
}

/// What remembers the client message ids of somebody in a conversation, whose keys begin with
/// `sender`.
pub fn dedupes(sender: &[u8; PAIR_BYTES]) -> Span {
    Span::prefix(sender, DEDUPE_BYTES)
}

/// Key of a device.
pub fn device(user: UserId, device: DeviceId) -> [u8; PAIR_BYTES] {
    pair(user.as_bytes(), device.as_bytes())
}

/// The devices of a user.
pub fn devices(user: UserId) -> Span {
    Span::prefix(user.as_bytes(), PAIR_BYTES)
}

/// The device in a key of the `device` table.
///
/// # Errors
/// [`EngineError::Corrupt`] if the key has another width.
pub fn device_id(key: &[u8]) -> Result<DeviceId, EngineError> {
    second(key).and_then(DeviceId::from_slice).ok_or_else(|| corrupt("reading a device's key"))
}

/// Key of a patient's record.
pub fn patient(patient: PatientId) -> [u8; ID_BYTES] {
    *patient.as_bytes()
}

/// Key of who has an identifier.
pub fn identifier(identifier: IdentifierId) -> [u8; ID_BYTES] {
    *identifier.as_bytes()
}

/// Key of an encounter's record.
pub fn encounter(encounter: EncounterId) -> [u8; ID_BYTES] {
    *encounter.as_bytes()
}

/// Key of a ward's record.
pub fn ward(ward: WardId) -> [u8; ID_BYTES] {
    *ward.as_bytes()
}

/// Key of what remembers a source event.
pub fn heard(event: EventId) -> [u8; ID_BYTES] {
    *event.as_bytes()
}

/// What encounters belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stay {
    /// All of a patient.
    Of(PatientId),
    /// Those that stand on a ward.
    On(WardId),
    /// Those that hold a bed.
    In(BedId),
}

impl Stay {
    fn prefix(self) -> [u8; 1 + ID] {
        let (kind, id) = match &self {
            Self::Of(patient) => (1, patient.as_bytes()),
            Self::On(ward) => (2, ward.as_bytes()),
            Self::In(bed) => (3, bed.as_bytes()),
        };
        let mut prefix = [kind; 1 + ID];
        prefix[1..].copy_from_slice(id);
        prefix
    }
}

/// Key of an encounter where it belongs.
pub fn stay(stay: Stay, encounter: EncounterId) -> [u8; STAY_BYTES] {
    let mut key = [0; STAY_BYTES];
    key[..1 + ID].copy_from_slice(&stay.prefix());
    key[1 + ID..].copy_from_slice(encounter.as_bytes());
    key
}

/// The encounters that belong there, those beyond `after` if it is given.
pub fn stays(whose: Stay, after: Option<EncounterId>) -> Span {
    let all = Span::prefix(&whose.prefix(), STAY_BYTES);
    after.map_or(all.clone(), |encounter| all.after(&stay(whose, encounter)))
}

/// The encounter in a key of the `stay` table.
///
/// # Errors
/// [`EngineError::Corrupt`] if the key has another width.
pub fn stay_encounter(key: &[u8]) -> Result<EncounterId, EngineError> {
    let encounter = if key.len() == STAY_BYTES { key.get(1 + ID..) } else { None };
    encounter.and_then(EncounterId::from_slice).ok_or_else(|| corrupt("reading the key of a stay"))
}

/// Whose staff it is: the kind, and the id.
pub(crate) fn staff_of(of: &StaffOf) -> (u8, &[u8; ID]) {
    match of {
        StaffOf::Ward(ward) => (OF_WARD, ward.as_bytes()),
        StaffOf::Encounter(encounter) => (OF_ENCOUNTER, encounter.as_bytes()),
    }
}

/// Key of a roster or a care team.
pub fn staff(of: StaffOf) -> [u8; STAFF_BYTES] {
    let (kind, id) = staff_of(&of);
    let mut key = [kind; STAFF_BYTES];
    key[1..].copy_from_slice(id);
    key
}

/// Key in `meta` of the mark that members are to be brought in line with the record.
pub fn regroup(of: StaffOf) -> Vec<u8> {
    [REGROUP, &staff(of)].concat()
}

/// Those marks, those beyond `after` if it is given.
pub fn regroups(after: Option<StaffOf>) -> Span {
    let all = Span::prefix(REGROUP, REGROUP.len() + STAFF_BYTES);
    after.map_or(all.clone(), |of| all.after(&regroup(of)))
}

/// Whose members a key of [`regroup`] is about.
///
/// # Errors
/// [`EngineError::Corrupt`] if the key has another form.
pub fn regroup_of(key: &[u8]) -> Result<StaffOf, EngineError> {
    let of = key.strip_prefix(REGROUP).and_then(|rest| {
        let (&kind, id) = rest.split_first()?;
        match kind {
            OF_WARD => WardId::from_slice(id).map(StaffOf::Ward),
            OF_ENCOUNTER => EncounterId::from_slice(id).map(StaffOf::Encounter),
            _ => None,
        }
    });
    of.ok_or_else(|| corrupt("reading the key of members to be brought in line"))
}

/// The applied positions of partitions that a store of format 1 has in `meta`.
pub fn partitions_applied() -> Span {
    Span::prefix(PARTITION_APPLIED, PARTITION_APPLIED.len() + size_of::<u16>())
}

/// Key in `meta` of the mark that a conversation's messages wait for their expiry to be rewritten.
pub fn reexpire(conversation: ConversationId) -> Vec<u8> {
    [REEXPIRE, conversation.as_bytes()].concat()
}

/// Those marks, those beyond `after` if it is given.
pub fn reexpires(after: Option<ConversationId>) -> Span {
    let all = Span::prefix(REEXPIRE, REEXPIRE.len() + ID);
    after.map_or(all.clone(), |conversation| all.after(&reexpire(conversation)))
}

/// The conversation in a key of [`reexpire`].
///
/// # Errors
/// [`EngineError::Corrupt`] if the key has another form.
pub fn reexpire_conversation(key: &[u8]) -> Result<ConversationId, EngineError> {
    key.strip_prefix(REEXPIRE)
        .and_then(ConversationId::from_slice)
        .ok_or_else(|| corrupt("reading the key of waiting work"))
}

/// Key in `meta` of what is remembered of a user's devices that gave way to others.
pub fn gave_way(user: UserId) -> Vec<u8> {
    [GAVE_WAY, user.as_bytes()].concat()
}

/// The kind of a subject, and its id.
pub(crate) fn subject(subject: &Subject) -> (u8, &[u8]) {
    match subject {
        Subject::Tenant(tenant) => (TENANT, tenant.as_bytes()),
        Subject::User(user) => (USER, user.as_bytes()),
        Subject::Device(device) => (DEVICE, device.as_bytes()),
        Subject::Key(key) => (KEY, key.as_bytes()),
        Subject::SignIn(sign_in) => (SIGN_IN, sign_in.as_bytes()),
    }
}

/// Key in `meta` of a revocation.
pub fn revoked(whose: &Subject) -> Vec<u8> {
    let (kind, id) = subject(whose);
    [REVOKED, &[kind], id].concat()
}

/// All revocations.
pub fn revocations() -> Span {
    Span::prefix(REVOKED, REVOKED_BYTES_MAX)
}

/// The subject in a key of [`revoked`].
///
/// # Errors
/// [`EngineError::Corrupt`] if the key has another form.
pub fn revoked_subject(key: &[u8]) -> Result<Subject, EngineError> {
    let subject = key.strip_prefix(REVOKED).and_then(|rest| {
        let (&kind, id) = rest.split_first()?;
        match kind {
            TENANT => TenantId::from_slice(id).map(Subject::Tenant),
            USER => UserId::from_slice(id).map(Subject::User),
            DEVICE => DeviceId::from_slice(id).map(Subject::Device),
            KEY => id.try_into().ok().map(KeyId::new).map(Subject::Key),
            SIGN_IN => SignInId::from_slice(id).map(Subject::SignIn),
            _ => None,
        }
    });
    subject.ok_or_else(|| corrupt("reading the key of a revocation"))
}

fn pair(first: &[u8; ID], second: &[u8; ID]) -> [u8; PAIR_BYTES] {
    let mut key = [0; PAIR_BYTES];
    key[..ID].copy_from_slice(first);
    key[ID..].copy_from_slice(second);
    key
}

fn second(key: &[u8]) -> Option<&[u8]> {
    if key.len() == PAIR_BYTES { key.get(ID..) } else { None }
}

fn trailing_seq(key: &[u8], width: usize) -> Option<Seq> {
    if key.len() != width {
        return None;
    }
    let bytes = key.get(width - SEQ..)?.try_into().ok()?;
    Some(Seq(u64::from_be_bytes(bytes)))
}

fn corrupt(doing: &'static str) -> EngineError {
    EngineError::Corrupt { doing, detail: "the key has another form than this version writes".into() }
}
