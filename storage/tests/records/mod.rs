//! A record of every kind, and what must hold of any bytes that claim to be one.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use wardline_storage::command::{Acknowledge, Actor, Command, Create, Group, Publish, Rights, Submission};
use wardline_storage::encounter::{Bed, Encounter, EncounterEvent, Known, Life, Location, Place, Ward, What};
use wardline_storage::engine::EngineError;
use wardline_storage::id::{
    BedId, ClientMessageId, ConversationId, DeviceId, EncounterId, EventId, IdentifierId, KeyId, PatientId,
    Seq, TenantId, Timestamp, UserId, WardId,
};
use wardline_storage::model::{
    Acknowledgement, Applied, Body, Conversation, Cursor, Device, Entry, IdSecret, Kind, Member, Message,
    Notice, Person, Policy, Priority, Revocation, Role, Shortening, Subject, Text,
};
use wardline_storage::patient::{Identifier, Merge, Naming, Patient, PatientEvent};
use wardline_storage::record::{EntryHeader, Record};
use wardline_storage::retention::{ByKind, Keeping, Retentions};
use wardline_storage::said::{Latest, Said, SourceEvent};
use wardline_storage::staff::{Regrouping, Staff, StaffEvent, StaffOf};

const ALICE: UserId = UserId::new([0xa1; 16]);
const BOB: UserId = UserId::new([0xb0; 16]);
pub(crate) const TIME: Timestamp = Timestamp(1_700_000_000_123);

pub(crate) fn conversations() -> Vec<Conversation> {
    let plain = Conversation {
        tenant: TenantId::new([0x7e; 16]),
        kind: Kind::Direct,
        title: Text::new(""),
        retention: None,
        head: Seq::ZERO,
        created: TIME,
        last_activity: TIME,
        members: 2,
        admins: 0,
        shortenings: Vec::new(),
        context: None,
        is_care: false,
    };
    let full = Conversation {
        kind: Kind::Broadcast,
        title: Text::new("Übergabe 7B"),
        retention: Some(Duration::from_secs(72 * 3600)),
        head: Seq(300),
        last_activity: Timestamp(TIME.0 + 1),
        members: 200,
        admins: 3,
        shortenings: vec![
            Shortening { through: Seq(127), retention: Duration::from_secs(1) },
            Shortening { through: Seq(128), retention: Duration::from_secs(60) },
        ],
        ..plain.clone()
    };
    let group = Conversation { kind: Kind::Group, ..plain.clone() };
    let care = Conversation { context: Some(ENCOUNTER), is_care: true, ..group.clone() };
    vec![plain, group, full, care]
}

pub(crate) fn members() -> Vec<Member> {
    let member = Member {
        name: Text::new("alice"),
        role: Role::Member,
        joined: TIME,
        visible_from: Seq(1),
        left_after: None,
        has_published: false,
        granted: false,
    };
    let gone =
        Member { role: Role::Admin, left_after: Some(Seq(16_384)), has_published: true, ..member.clone() };
    let named = Member { role: Role::Publisher, granted: true, ..member.clone() };
    vec![member, gone, named]
}

pub(crate) fn entries() -> Vec<Entry> {
    let message = Message {
        client_id: ClientMessageId::new([0xc1; 16]),
        content_type: Text::new("text/plain"),
        payload: Bytes::from_static(b"hello"),
        priority: Priority::Routine,
        reply_to: None,
    };
    let urgent = Message { priority: Priority::Urgent, reply_to: Some(Seq(41)), ..message.clone() };
    [
        Body::Message(message),
        Body::Message(urgent),
        Body::Tombstone { by: BOB, at: Timestamp(TIME.0 + 2) },
        Body::Notice(Notice::Deleted(Seq(41))),
        Body::Notice(Notice::Added(vec![ALICE, BOB], Role::Admin)),
        Body::Notice(Notice::Removed(BOB)),
        Body::Notice(Notice::Renamed(Text::new("Ward"))),
        Body::Notice(Notice::Retention(Duration::from_secs(60))),
        Body::Notice(Notice::Role(BOB, Role::Publisher)),
        Body::Notice(Notice::NoAdmin),
        Body::Notice(Notice::Left(vec![ALICE, BOB])),
    ]
    .map(|body| Entry { sender: ALICE, time: TIME, expires: Timestamp(TIME.0 + 60_000), body })
    .into()
}

pub(crate) fn cursors() -> Vec<Cursor> {
    let devices = vec![(DeviceId::new([0xd1; 16]), Seq(7)), (DeviceId::new([0xd2; 16]), Seq(9))];
    vec![Cursor::default(), Cursor { delivered: Seq(9), read: Seq(8), devices }]
}

pub(crate) fn devices() -> Vec<Device> {
    vec![Device { registered: TIME, last_seen: Timestamp(TIME.0 + 60_000) }]
}

pub(crate) fn acknowledgements() -> Vec<Acknowledgement> {
    vec![Acknowledgement { seq: Seq(300), time: TIME }]
}

pub(crate) const APPLIED: Applied = Applied { position: 70_000, time: TIME };

pub(crate) const POLICY: Policy = Policy {
    retention_max: Duration::from_secs(30 * 24 * 3600),
    dedupe_window: Duration::from_secs(24 * 3600),
    members_max: 1_000,
    devices_max: 8,
};

pub(crate) fn retentions() -> Retentions {
    let seconds = |min, default, max, message_min| {
        let [min, default, max, message_min] = [min, default, max, message_min].map(Duration::from_secs);
        Keeping { min, default, max, message_min }
    };
    let by_kind =
        ByKind { direct: seconds(1, 2, 3, 0), group: seconds(4, 5, 6, 1), broadcast: seconds(7, 8, 9, 2) };
    let named = ByKind::all(Keeping::up_to(Duration::from_secs(10)));
    Retentions { everybody: by_kind, tenants: vec![(TenantId::new([0x7e; 16]), named)] }
}

pub(crate) fn revocations() -> Vec<Revocation> {
    vec![Revocation { made: TIME, through: Timestamp::NEVER, name: Text::new("bob") }]
}

const TENANT: TenantId = TenantId::new([0x7e; 16]);
pub(crate) const PATIENT: PatientId = PatientId::new([0x9a; 16]);
const OTHER_PATIENT: PatientId = PatientId::new([0x9b; 16]);
const ENCOUNTER: EncounterId = EncounterId::new([0xec; 16]);
const SAID: Said = Said { time: TIME, event: EventId::new([0xee; 16]), by: ALICE };

fn identifier() -> Identifier {
    Identifier { authority: Text::new("MRN"), value: Text::new("4711") }
}

fn identified() -> Vec<(IdentifierId, Identifier)> {
    vec![(IdentifierId::new([0x1d; 16]), identifier())]
}

fn place() -> Place {
    let bed = Bed { id: BedId::new([0xbe; 16]), name: Text::new("3-1") };
    Place { ward: WardId::new([0xda; 16]), bed: Some(bed) }
}

pub(crate) fn patients() -> Vec<Patient> {
    let plain = Patient { identifiers: identified(), ..Patient::new(TENANT) };
    let label = Latest { value: Text::new("M. M."), said: Some(SAID) };
    let survivor = Patient { label, absorbed: vec![OTHER_PATIENT], ..plain.clone() };
    let retired = Patient { merged_into: Some(PATIENT), ..plain.clone() };
    vec![plain, survivor, retired]
}

pub(crate) fn encounters() -> Vec<Encounter> {
    let plain = Encounter::new(TENANT, PATIENT, identifier(), TIME);
    let on_ward = Encounter {
        life: Latest { value: Life::InProgress, said: Some(SAID) },
        has_moved: true,
        place: Latest { value: Some(place()), said: Some(SAID) },
        away: Latest { value: true, said: Some(SAID) },
        ..plain.clone()
    };
    let life = |life| Latest { value: life, said: Some(SAID) };
    let nowhere = Latest { value: Some(Place { bed: None, ..place() }), said: None };
    let finished = Encounter { life: life(Life::Finished), place: nowhere, ..plain.clone() };
    let cancelled = Encounter { life: life(Life::Cancelled), ..plain.clone() };
    vec![plain, on_ward, finished, cancelled]
}

pub(crate) fn wards() -> Vec<Ward> {
    vec![Ward { tenant: TENANT, name: Latest { value: Text::new("7B"), said: Some(SAID) } }]
}

pub(crate) fn known() -> Vec<Known> {
    let known = Known { heard: TIME, patient: None, encounter: None };
    let patient = Some(PATIENT);
    vec![known, Known { patient, ..known }, Known { patient, encounter: Some(ENCOUNTER), ..known }]
}

pub(crate) fn staff() -> Vec<Staff> {
    let people = vec![person(ALICE, "alice"), person(BOB, "bob")];
    vec![Staff::new(TENANT), Staff { tenant: TENANT, people: Latest { value: people, said: Some(SAID) } }]
}

fn person(user: UserId, name: &str) -> Person {
    Person { user, name: Text::new(name) }
}

pub(crate) fn regroupings() -> Vec<Regrouping> {
    vec![
        Regrouping::Leaving(None),
        Regrouping::Leaving(Some(BOB)),
        Regrouping::Joining(Some(BOB)),
        Regrouping::Telling(Some(ENCOUNTER)),
    ]
}

/// Of every form; of what a source says in all its kinds.
fn source_commands() -> Vec<Command> {
    let source = SourceEvent { id: EventId::new([0xee; 16]), time: TIME };
    let nameless = Naming { identifiers: identified(), label: None };
    let named = Naming { label: Some(Text::new("M. M.")), ..nameless.clone() };
    let happened = |what, place: Option<Place>| {
        let place = place.map(|place| Location { place, ward_name: Text::new("7B") });
        let (encounter, number, patient) = (ENCOUNTER, identifier(), named.clone());
        Command::Encounter(Box::new(EncounterEvent { source, encounter, number, what, place, patient }))
    };
    let mut all: Vec<Command> = What::ALL.into_iter().map(|what| happened(what, None)).collect();
    all.push(happened(What::Admit, Some(place())));
    all.push(happened(What::Transfer, Some(Place { bed: None, ..place() })));
    all.push(Command::Patient(Box::new(PatientEvent { source, patient: nameless.clone() })));
    all.push(Command::Merge(Box::new(Merge { source, survivor: named.clone(), retired: nameless })));
    let (ward, encounter) = (StaffOf::Ward(WardId::new([0xda; 16])), StaffOf::Encounter(ENCOUNTER));
    let roster = StaffEvent { source, of: ward, people: vec![person(BOB, "bob")] };
    all.push(Command::Staff(Box::new(roster)));
    all.push(Command::Staff(Box::new(StaffEvent { source, of: encounter, people: Vec::new() })));
    all.extend([ward, encounter].map(|of| Command::Regroup { of }));
    all
}

/// One of every kind and form.
pub(crate) fn commands() -> Vec<Command> {
    let conversation = ConversationId::new([0xc0; 16]);
    let bob = Person { user: BOB, name: Text::new("bob") };
    let direct = Create {
        conversation,
        kind: Kind::Direct,
        others: vec![bob.clone()],
        title: Text::new(""),
        retention: None,
    };
    let group = Create {
        kind: Kind::Group,
        others: Vec::new(),
        title: Text::new("Ward"),
        retention: Some(Duration::from_secs(60)),
        ..direct.clone()
    };
    let plain = Publish {
        conversation,
        client_id: ClientMessageId::new([0xc1; 16]),
        content_type: Text::new("text/plain"),
        payload: Bytes::from_static(b"hello"),
        priority: Priority::Routine,
        reply_to: None,
        expires_in: None,
    };
    let urgent = Publish {
        priority: Priority::Urgent,
        reply_to: Some(Seq(41)),
        expires_in: Some(Duration::from_millis(1)),
        ..plain.clone()
    };
    let receipts = Acknowledge {
        conversation,
        delivered: Some(Seq(9)),
        read: Some(Seq(8)),
        delivered_only: vec![Seq(300)],
        read_only: vec![Seq(1), Seq(2)],
    };
    vec![
        Command::Create(direct),
        Command::Create(group),
        Command::AddMembers { conversation, people: vec![bob], role: Role::Admin, share_history: true },
        Command::RemoveMember { conversation, user: BOB },
        Command::Rename { conversation, title: Text::new("Ward") },
        Command::SetRetention { conversation, retention: None },
        Command::SetRetention { conversation, retention: Some(Duration::from_secs(60)) },
        Command::Publish(plain),
        Command::Publish(urgent),
        Command::Acknowledge(Acknowledge { conversation, ..Acknowledge::default() }),
        Command::Acknowledge(receipts),
        Command::DeleteMessage { conversation, seq: Seq(41) },
        Command::RegisterDevice,
        Command::Reexpire { conversation },
        Command::Found { secret: IdSecret::new([0x5e; 32]) },
        Command::Revoke { subject: Subject::User(BOB), name: Text::new("bob"), through: Timestamp::NEVER },
        Command::Lift { subject: Subject::Key(KeyId::new([0x4e; 32])) },
        Command::SetPolicy(POLICY),
        Command::Tick,
        Command::SetRole { conversation, user: BOB, role: Role::Publisher },
        Command::SetRetentions(Arc::new(retentions())),
    ]
    .into_iter()
    .chain(source_commands())
    .collect()
}

pub(crate) fn submissions() -> Vec<Submission> {
    let actor = Arc::new(Actor {
        tenant: TenantId::new([0x7e; 16]),
        user: ALICE,
        name: Text::new("alice"),
        device: DeviceId::new([0xd1; 16]),
        rights: Rights { administrator: true, registrar: true, ..Rights::default() },
    });
    commands().into_iter().map(|command| Submission { actor: Arc::clone(&actor), command }).collect()
}

pub(crate) fn groups() -> Vec<Group> {
    let submissions = submissions()[17..19].to_vec();
    vec![
        Group { position: 0, time: TIME, submissions: Vec::new() },
        Group { position: 70_000, time: TIME, submissions },
    ]
}

/// The bytes of one record of every kind and form.
pub(crate) fn samples() -> Vec<Bytes> {
    fn all<R: Record>(records: Vec<R>) -> impl Iterator<Item = Bytes> {
        records.into_iter().map(|record| record.encode())
    }
    all(conversations())
        .chain(all(members()))
        .chain(all(entries()))
        .chain(all(cursors()))
        .chain(all(devices()))
        .chain(all(acknowledgements()))
        .chain(all(vec![TIME]))
        .chain(all(vec![Seq(300)]))
        .chain(all(vec![APPLIED]))
        .chain(all(vec![POLICY]))
        .chain(all(vec![retentions()]))
        .chain(all(revocations()))
        .chain(all(vec![IdSecret::new([0x5e; 32])]))
        .chain(all(patients()))
        .chain(all(encounters()))
        .chain(all(wards()))
        .chain(all(known()))
        .chain(all(staff()))
        .chain(all(regroupings()))
        .chain(all(vec![PATIENT]))
        .chain(all(submissions()))
        .chain(all(groups()))
        .collect()
}

/// Decodes bytes as every kind of record. What is accepted must be written again as the same bytes;
/// what is not must be reported as damage. Gives how many kinds accepted them.
///
/// # Errors
/// The kind that broke this.
pub(crate) fn check_bytes(bytes: &[u8]) -> Result<usize, String> {
    if let Err(error) = EntryHeader::decode(bytes)
        && !matches!(error, EngineError::Corrupt { .. } | EngineError::Version { .. })
    {
        return Err(format!("an entry's header: {error}"));
    }
    Ok([
        check_as::<Conversation>(bytes)?,
        check_as::<Member>(bytes)?,
        check_as::<Entry>(bytes)?,
        check_as::<Cursor>(bytes)?,
        check_as::<Device>(bytes)?,
        check_as::<Acknowledgement>(bytes)?,
        check_as::<Timestamp>(bytes)?,
        check_as::<Seq>(bytes)?,
        check_as::<Applied>(bytes)?,
        check_as::<Policy>(bytes)?,
        check_as::<Retentions>(bytes)?,
        check_as::<Revocation>(bytes)?,
        check_as::<IdSecret>(bytes)?,
        check_as::<Patient>(bytes)?,
        check_as::<Encounter>(bytes)?,
        check_as::<Ward>(bytes)?,
        check_as::<Known>(bytes)?,
        check_as::<Staff>(bytes)?,
        check_as::<Regrouping>(bytes)?,
        check_as::<PatientId>(bytes)?,
        check_as::<Submission>(bytes)?,
        check_as::<Group>(bytes)?,
    ]
    .into_iter()
    .filter(|accepted| *accepted)
    .count())
}

fn check_as<R: Record>(bytes: &[u8]) -> Result<bool, String> {
    match R::decode(bytes) {
        Ok(record) if record.encode() == bytes => Ok(true),
        // An older version is read, and written again as ours.
        Ok(_) if bytes.first().is_some_and(|version| *version < R::VERSION) => Ok(true),
        Ok(_) => Err(format!("{}: accepted what it would not write: {bytes:02x?}", R::NAME)),
        Err(EngineError::Corrupt { .. } | EngineError::Version { .. }) => Ok(false),
        Err(error) => Err(format!("{}: {error}", R::NAME)),
    }
}
