//! A store is used only if its format is known, and what is older is brought up to date.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use wardline_storage::applier::Applier;
use wardline_storage::command::{Actor, Command, Rights, Submission};
use wardline_storage::engine::{Direction, Durability, Engine, EngineError, KeyRange, Mutation, Row, Table};
use wardline_storage::format::{self, FORMAT, FormatError};
use wardline_storage::hooked::{CommitGate, Commits, HookedEngine};
use wardline_storage::id::{
    ClientMessageId, ConversationId, DeviceId, EncounterId, Seq, TenantId, Timestamp, UserId,
};
use wardline_storage::key;
use wardline_storage::memory::MemoryEngine;
use wardline_storage::model::{
    Applied, Body, Conversation, Device, Entry, IdSecret, Kind, Member, Message, Policy, Priority, Role, Text,
};
use wardline_storage::record::Record;
use wardline_storage::state::{applied, id_secret};
use wardline_storage::view::View;

/// Part of the format: never changes.
const FORMAT_KEY: &[u8] = b"store/format";

fn put(engine: &MemoryEngine, table: Table, key: &[u8], value: &[u8], expires: Timestamp) {
    let (key, value) = (Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
    engine.commit(&[Mutation::Put { table, key, value, expires }], Durability::Synced).expect("commits");
}

fn put_format(engine: &MemoryEngine, value: &[u8]) {
    put(engine, Table::Meta, FORMAT_KEY, value, Timestamp::NEVER);
}

#[test]
fn an_empty_store_becomes_one_of_this_format() {
    let engine = MemoryEngine::default();
    format::check(&engine).unwrap();
    let stored = engine.get(Table::Meta, FORMAT_KEY, Timestamp::ZERO).unwrap();
    assert_eq!(stored.as_deref(), Some(&FORMAT.to_be_bytes()[..]));
    put(&engine, Table::Message, b"key", b"value", Timestamp::NEVER);
    format::check(&engine).expect("it opens again, with records in it");
}

#[test]
fn a_newer_format_is_refused_and_left_alone() {
    let engine = MemoryEngine::default();
    put_format(&engine, &(FORMAT + 1).to_be_bytes());
    let refused = format::check(&engine).unwrap_err();
    assert!(matches!(refused, FormatError::Newer { found } if found == FORMAT + 1), "{refused}");
    let text = refused.to_string();
    assert!(text.contains(&format!("format {}", FORMAT + 1)) && text.contains("newer version"), "{text}");
    let stored = engine.get(Table::Meta, FORMAT_KEY, Timestamp::ZERO).unwrap();
    assert_eq!(stored.as_deref(), Some(&(FORMAT + 1).to_be_bytes()[..]));
}

#[test]
fn records_without_a_format_are_refused_in_every_table() {
    for table in Table::ALL {
        let engine = MemoryEngine::default();
        // Expired by any clock, but there.
        let expires = if table.expires() { Timestamp(1) } else { Timestamp::NEVER };
        put(&engine, table, b"key", b"value", expires);
        assert!(matches!(format::check(&engine), Err(FormatError::Missing)), "{table:?}");
        assert_eq!(engine.get(Table::Meta, FORMAT_KEY, Timestamp::ZERO).unwrap(), None, "nothing is adopted");
    }
}

#[test]
fn a_damaged_format_is_not_taken_for_one() {
    for damaged in [&b""[..], &[1], &[0, 0, 0, 0], &[0, 0, 0, 0, 1]] {
        let engine = MemoryEngine::default();
        put_format(&engine, damaged);
        let refused = format::check(&engine).unwrap_err();
        assert!(
            matches!(refused, FormatError::Engine(EngineError::Corrupt { .. })),
            "{damaged:?}: {refused}"
        );
    }
}

/// A store as a build of format 1 leaves it, written by hand: a conversation of Alice and Bob with
/// one message, Alice's device, the positions of all 64 partitions, the bare secret.
fn store_of_format_1() -> MemoryEngine {
    let engine = MemoryEngine::default();
    put_format(&engine, &1u32.to_be_bytes());
    for partition in 0u16..64 {
        let key = [&b"applied/"[..], &partition.to_be_bytes()].concat();
        // A version, and a number: 300 in the first, then 1 in each.
        let value: &[u8] = if partition == 0 { &[1, 0xac, 0x02] } else { &[1, 1] };
        put(&engine, Table::Meta, &key, value, Timestamp::NEVER);
    }
    put(&engine, Table::Meta, key::ID_SECRET, &[0x5e; 32], Timestamp::NEVER);
    let rows = [
        (Table::Conversation, key::conversation(WARD).to_vec(), conversation().encode()),
        (Table::Member, key::member(WARD, ALICE).to_vec(), member("alice").encode()),
        (Table::Member, key::member(WARD, BOB).to_vec(), member("bob").encode()),
        (Table::Membership, key::membership(ALICE, WARD).to_vec(), Bytes::new()),
        (Table::Membership, key::membership(BOB, WARD).to_vec(), Bytes::new()),
        (Table::Device, key::device(ALICE, DeviceId::new([0xd1; 16])).to_vec(), device().encode()),
    ];
    for (table, key, value) in rows {
        put(&engine, table, &key, &value, Timestamp::NEVER);
    }
    let entry = entry();
    put(&engine, Table::Message, &key::message(WARD, Seq(1)), &entry.encode(), entry.expires);
    engine
}

const ALICE: UserId = UserId::new([0xa1; 16]);
const BOB: UserId = UserId::new([0xb0; 16]);
const WARD: ConversationId = ConversationId::new([0xc0; 16]);
const TIME: Timestamp = Timestamp(1_700_000_000_000);
const SEEN: Timestamp = Timestamp(TIME.0 + 60_000);

fn conversation() -> Conversation {
    Conversation {
        tenant: TenantId::new([1; 16]),
        kind: Kind::Group,
        title: Text::new("Ward"),
        retention: None,
        head: Seq(1),
        created: TIME,
        last_activity: TIME,
        members: 2,
        admins: 0,
        shortenings: Vec::new(),
        context: None,
        is_care: false,
    }
}

fn member(name: &str) -> Member {
    Member {
        name: Text::new(name),
        role: Role::Member,
        joined: TIME,
        visible_from: Seq(1),
        left_after: None,
        has_published: false,
        granted: false,
    }
}

fn device() -> Device {
    Device { registered: TIME, last_seen: SEEN }
}

fn entry() -> Entry {
    let message = Message {
        client_id: ClientMessageId::new([0xe1; 16]),
        content_type: Text::new("text/plain"),
        payload: Bytes::from_static(b"hello"),
        priority: Priority::Routine,
        reply_to: None,
    };
    Entry { sender: ALICE, time: TIME, expires: Timestamp(TIME.0 + 3_600_000), body: Body::Message(message) }
}

/// A row: where, under which key, what.
type Stored = (Table, Vec<u8>, Vec<u8>);

/// Every row, as it lies there.
fn rows(engine: &dyn Engine) -> Vec<Stored> {
    let mut rows = Vec::new();
    for table in Table::ALL {
        let mut visit = |row: Row<'_>| {
            rows.push((table, row.key.to_vec(), row.value.to_vec()));
            ControlFlow::Continue(())
        };
        engine
            .scan(table, KeyRange::ALL, Direction::Forward, Timestamp::ZERO, &mut visit)
            .expect("memory does not fail");
    }
    rows
}

#[test]
fn a_store_of_format_1_is_brought_up_to_date() {
    let engine = store_of_format_1();
    assert_eq!(format::found(&engine).unwrap(), Some(1));
    let came = Applied { position: 363, time: Timestamp::ZERO };
    assert_eq!(format::progress(&engine).unwrap(), (1, came));
    let before = rows(&engine);
    assert_eq!(rows(&engine), before, "looking writes nothing");
    format::check(&engine).unwrap();

    let stored = engine.get(Table::Meta, FORMAT_KEY, Timestamp::ZERO).unwrap();
    assert_eq!(stored.as_deref(), Some(&FORMAT.to_be_bytes()[..]));
    let came = Applied { position: 363, time: SEEN };
    assert_eq!(applied(&engine).unwrap(), came);
    assert_eq!(format::progress(&engine).unwrap(), (FORMAT, came));
    assert_eq!(id_secret(&engine).unwrap(), Some(IdSecret::new([0x5e; 32])));
    let split =
        |rows: Vec<Stored>| rows.into_iter().partition::<Vec<_>, _>(|(table, ..)| *table == Table::Meta);
    let ((_, old), (meta, new)) = (split(before), split(rows(&engine)));
    assert_eq!(meta.len(), 3, "nothing is left over");
    assert_eq!(new, old, "all else is as it was");

    let view = View::new(&engine, SEEN);
    let access = view.access(BOB, WARD).unwrap().expect("Bob is in it");
    let chunk = view.entries(&access, Seq::ZERO, Direction::Forward, 10, 1 << 20).unwrap();
    assert_eq!(chunk.entries.iter().map(|placed| &placed.entry).collect::<Vec<_>>(), [&entry()]);

    // It goes on where it stood, at no earlier time, and opens again.
    let engine = Arc::new(engine);
    let mut applier = Applier::new(engine.clone()).unwrap();
    let policy = Policy {
        retention_max: Duration::from_secs(3600),
        dedupe_window: Duration::from_secs(60),
        members_max: 10,
        devices_max: 4,
    };
    let (tenant, device) = (TenantId::new([1; 16]), DeviceId::new([0xd1; 16]));
    let actor =
        Arc::new(Actor { tenant, user: ALICE, name: Text::new("alice"), device, rights: Rights::default() });
    let group = [Command::SetPolicy(policy), Command::SetRetention { conversation: WARD, retention: None }]
        .map(|command| Submission { actor: actor.clone(), command });
    applier.apply_group(TIME, &group).unwrap();
    format::check(&*engine).unwrap();
    assert_eq!(applied(&*engine).unwrap(), Applied { position: 365, time: SEEN });
}

/// What 4 added is not there: nothing was said of any patient.
#[test]
fn a_store_of_format_3_is_brought_up_to_date() {
    let engine = store_of_format_1();
    format::check(&engine).unwrap();
    put_format(&engine, &3u32.to_be_bytes());
    let before = rows(&engine);
    assert_eq!(format::found(&engine).unwrap(), Some(3));
    assert_eq!(format::progress(&engine).unwrap(), (3, Applied { position: 363, time: SEEN }));
    assert_eq!(rows(&engine), before, "looking writes nothing");
    format::check(&engine).unwrap();
    let beside_format = |rows: Vec<Stored>| rows.into_iter().filter(|(_, key, _)| key != FORMAT_KEY);
    assert!(beside_format(rows(&engine)).eq(beside_format(before)), "all else is as it was");
    assert_eq!(format::found(&engine).unwrap(), Some(4));
    let (tenant, nobody) = (TenantId::new([1; 16]), EncounterId::new([0; 16]));
    assert_eq!(View::new(&engine, SEEN).encounter(tenant, nobody).unwrap(), None);
}

/// What 3 added is not there: nobody gave a role, and anything up to the policy's longest is kept.
#[test]
fn a_store_of_format_2_is_brought_up_to_date() {
    let engine = store_of_format_1();
    format::check(&engine).unwrap();
    put_format(&engine, &2u32.to_be_bytes());
    for (user, name) in [(ALICE, "alice"), (BOB, "bob")] {
        let bytes = member(name).encode();
        let mut old = bytes[..bytes.len() - 1].to_vec();
        old[0] = 1;
        put(&engine, Table::Member, &key::member(WARD, user), &old, Timestamp::NEVER);
    }
    let before = rows(&engine);
    assert_eq!(format::found(&engine).unwrap(), Some(2));
    format::check(&engine).unwrap();
    let beside_format = |rows: Vec<Stored>| rows.into_iter().filter(|(_, key, _)| key != FORMAT_KEY);
    assert!(beside_format(rows(&engine)).eq(beside_format(before)), "all else is as it was");
    assert_eq!(format::found(&engine).unwrap(), Some(FORMAT));
    let access = View::new(&engine, SEEN).access(BOB, WARD).unwrap().expect("Bob is in it");
    assert_eq!(access.member, member("bob"));
}

/// A migration is one batch: the store is the old one, or the new one.
#[test]
fn a_migration_that_is_cut_off_is_made_again() {
    let engine = HookedEngine { hooks: CommitGate::default(), below: store_of_format_1() };
    let before = rows(&engine);
    engine.hooks.set(Commits::Fail);
    assert!(matches!(format::check(&engine), Err(FormatError::Engine(EngineError::Io { .. }))));
    assert_eq!(rows(&engine), before);
    engine.hooks.set(Commits::Pass);
    format::check(&engine).unwrap();
    assert_eq!(engine.hooks.entered(), 2, "one batch each time");
    assert_eq!(format::found(&engine).unwrap(), Some(FORMAT));
}

#[test]
fn a_damaged_secret_is_not_replaced() {
    let engine = store_of_format_1();
    put(&engine, Table::Meta, key::ID_SECRET, &[1; 31], Timestamp::NEVER);
    let before = rows(&engine);
    assert!(matches!(format::check(&engine), Err(FormatError::Engine(EngineError::Corrupt { .. }))));
    assert_eq!(rows(&engine), before);
}
