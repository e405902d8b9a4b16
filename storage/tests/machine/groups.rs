//! Groups: one batch, one sync if there is something to sync, and commands that see one another.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use proptest::prelude::*;
use wardline_storage::applier::Applier;
use wardline_storage::command::{Command, Outcome, Rejection};
use wardline_storage::engine::{Direction, Durability, Engine, EngineError, KeyRange, Mutation, Table};
use wardline_storage::hooked::{CommitGate, Commits, HookedEngine, Hooks};
use wardline_storage::id::{Seq, Timestamp, UserId};
use wardline_storage::key;
use wardline_storage::machine::Change;
use wardline_storage::memory::MemoryEngine;
use wardline_storage::model::{Applied, Conversation, Cursor, IdSecret, Member, Policy, Role, Text};
use wardline_storage::overlay::Overlay;
use wardline_storage::record::Record;
use wardline_storage::state::{State, applied, id_secret};

use crate::driver::{ALICE, BOB, Driver, POLICY, WARD};

const SYNC: Duration = Duration::from_millis(2);

/// Each commit takes its time.
struct SlowCommits;

impl Hooks for SlowCommits {
    fn commit(
        &self,
        below: &dyn Engine,
        batch: &[Mutation],
        durability: Durability,
    ) -> Result<(), EngineError> {
        std::thread::sleep(SYNC);
        below.commit(batch, durability)
    }
}

fn gated() -> Arc<HookedEngine<CommitGate>> {
    Arc::new(HookedEngine::new(CommitGate::default()))
}

#[test]
fn a_group_is_one_synced_batch_with_one_record_per_key() {
    let engine = gated();
    let mut driver = Driver::on(engine.clone());
    driver.publish(50);
    // 50 messages, 50 acknowledgements, the conversation, Alice's membership, and how far it came.
    assert_eq!(engine.hooks.returned()[1..], [(103, Durability::Synced)]);
}

#[test]
fn what_changes_nothing_is_not_written() {
    let engine = gated();
    let mut driver = Driver::on(engine.clone());
    let before = engine.hooks.returned();
    let stranger = UserId::new([9; 16]);
    let message = driver.message();
    assert!(driver.apply(stranger, Command::Publish(message)).is_err());
    assert_eq!(engine.hooks.returned(), before);
    // It is as if it had never been: it takes no position, and time does not pass by it.
    let came = driver.applier.applied();
    assert_eq!(came, Applied { position: 2, time: driver.now });
    driver.now = driver.now.after(Duration::from_secs(1));
    assert!(driver.apply(stranger, Command::RemoveMember { conversation: WARD, user: BOB }).is_err());
    assert_eq!(driver.applier.applied(), came);
    driver.publish(1);
    assert_eq!(
        engine.hooks.returned()[before.len()..].iter().map(|(_, how)| *how).collect::<Vec<_>>(),
        [Durability::Synced]
    );
    assert_eq!(applied(&*engine).expect("reads"), Applied { position: 3, time: driver.now });
}

#[test]
fn time_does_not_go_back_whatever_the_clock_says() {
    let mut driver = Driver::new();
    driver.publish(1);
    let (before, latest) = (Timestamp(driver.now.0 - 500), driver.now);
    driver.now = before;
    let message = driver.message();
    let published = driver.apply(ALICE, Command::Publish(message));
    assert_eq!(published, Ok(Outcome::Published { seq: Seq(2), time: latest }));
    // Nor after a restart.
    driver.applier = Applier::new(driver.engine.clone()).expect("readable");
    let message = driver.message();
    let published = driver.apply(ALICE, Command::Publish(message));
    assert_eq!(published, Ok(Outcome::Published { seq: Seq(3), time: latest }));
}

#[test]
fn a_tick_writes_the_time_and_nothing_else() {
    let engine = gated();
    let mut driver = Driver::on(engine.clone());
    let commits = || engine.hooks.returned();
    let (before, came) = (commits().len(), driver.applier.applied());
    assert_eq!(driver.apply(ALICE, Command::Tick), Ok(Outcome::Noted));
    assert_eq!((commits().len(), driver.applier.applied()), (before, came), "no time has passed");
    driver.now = driver.now.after(Duration::from_secs(1));
    assert_eq!(driver.apply(ALICE, Command::Tick), Ok(Outcome::Noted));
    assert_eq!(commits()[before..], [(1, Durability::Synced)]);
    let later = Applied { position: came.position + 1, time: driver.now };
    assert_eq!(applied(&*engine).expect("reads"), later);
}

#[test]
fn a_store_is_founded_once() {
    let mut driver = Driver::new();
    assert_eq!(id_secret(&*driver.engine).expect("reads"), None);
    for number in [1, 2] {
        let secret = IdSecret::new([number; 32]);
        assert_eq!(driver.apply(ALICE, Command::Found { secret }), Ok(Outcome::Noted));
        assert_eq!(id_secret(&*driver.engine).expect("reads"), Some(IdSecret::new([1; 32])));
    }
}

/// Of one group, of the next, and after a restart.
#[test]
fn a_policy_holds_for_what_comes_after_it() {
    let mut driver = Driver::new();
    let shorter = Policy { dedupe_window: Duration::from_secs(1), ..POLICY };
    let message = driver.message();
    let group = [Command::SetPolicy(shorter), Command::Publish(message.clone())]
        .map(|command| driver.submission(ALICE, command));
    driver.applier.apply_group(driver.now, &group).expect("it works");
    driver.now = driver.now.after(Duration::from_secs(1));
    let again = driver.apply(ALICE, Command::Publish(message));
    assert_eq!(again, Ok(Outcome::Published { seq: Seq(2), time: driver.now }), "it was forgotten");
    driver.applier = Applier::new(driver.engine.clone()).expect("readable");
    let message = driver.message();
    for seq in [3, 4] {
        let published = driver.apply(ALICE, Command::Publish(message.clone()));
        assert_eq!(published, Ok(Outcome::Published { seq: Seq(seq), time: driver.now }));
        driver.now = driver.now.after(Duration::from_secs(1));
    }
    assert_eq!(State::policy(&*driver.engine).expect("reads"), Some(shorter));
}

#[test]
fn without_a_policy_nothing_begins() {
    let engine = Arc::new(MemoryEngine::default());
    let driver = Driver::new();
    let mut fresh = Applier::new(engine.clone()).expect("readable");
    let create = Command::Create(wardline_storage::command::Create {
        conversation: WARD,
        kind: wardline_storage::model::Kind::Group,
        others: Vec::new(),
        title: Text::new(""),
        retention: None,
    });
    let group = [create, Command::RegisterDevice].map(|command| driver.submission(ALICE, command));
    let verdicts = fresh.apply_group(driver.now, &group).expect("it works").verdicts;
    assert_eq!(verdicts, [Err(Rejection::NoPolicy), Err(Rejection::NoPolicy)]);
    assert_eq!(applied(&*engine).expect("reads"), Applied::default());
}

#[test]
fn a_failing_engine_fails_the_group() {
    let engine = gated();
    let mut driver = Driver::on(engine.clone());
    engine.hooks.set(Commits::Fail);
    let message = driver.message();
    let group = [driver.submission(ALICE, Command::Publish(message))];
    assert!(matches!(driver.applier.apply_group(driver.now, &group), Err(EngineError::Io { .. })));
}

#[test]
fn commands_of_a_group_see_one_another() {
    let mut driver = Driver::new();
    let message = driver.message();
    let publish = driver.submission(ALICE, Command::Publish(message));
    let leave = driver.submission(BOB, Command::RemoveMember { conversation: WARD, user: BOB });
    let after = driver.message();
    let late = driver.submission(BOB, Command::Publish(after));
    let result =
        driver.applier.apply_group(driver.now, &[publish.clone(), publish, leave, late]).expect("it works");
    let same = Ok(Outcome::Published { seq: Seq(1), time: driver.now });
    assert_eq!(result.verdicts[..2], [same, same]);
    assert_eq!(result.verdicts[2], Ok(Outcome::Changed(Some(Seq(2)))));
    assert!(result.verdicts[3].is_err(), "Bob has left");
}

#[test]
fn an_applier_goes_on_where_the_last_one_stopped() {
    let mut driver = Driver::new();
    driver.publish(5);
    assert_eq!(driver.applier.applied().position, 7);
    let mut next = Applier::new(driver.engine.clone()).expect("readable");
    assert_eq!(next.applied(), driver.applier.applied());
    let message = driver.message();
    next.apply_group(driver.now, &[driver.submission(BOB, Command::Publish(message))]).expect("it works");
    assert_eq!(Applier::new(driver.engine).expect("readable").applied().position, 8);
}

/// Records that are kept decoded are scanned like all others.
#[test]
fn an_overlay_shows_decoded_changes_in_a_scan() {
    let user = |number: u8| UserId::new([number; 16]);
    let member = |joined: u64| Member {
        name: Text::new("somebody"),
        role: Role::Member,
        joined: Timestamp(joined),
        visible_from: Seq(1),
        left_after: None,
        has_published: false,
        granted: false,
    };
    let below = MemoryEngine::default();
    let mut first = Overlay::new(&below);
    first.absorb([1, 3, 5].map(|number| Change::Member(WARD, user(number), member(1))));
    below.commit(&first.into_batch(), Durability::Synced).expect("memory does not fail");
    let mut overlay = Overlay::new(&below);
    overlay.absorb([2, 3, 9].map(|number| Change::Member(WARD, user(number), member(2))));
    for (direction, expected) in [
        (Direction::Forward, [(1, 1), (2, 2), (3, 2), (5, 1)]),
        (Direction::Backward, [(5, 1), (3, 2), (2, 2), (1, 1)]),
    ] {
        let mut found = Vec::new();
        let (from, to) = (key::member(WARD, user(1)), key::member(WARD, user(9)));
        let range = KeyRange { from: &from, to: &to };
        overlay
            .scan(Table::Member, range, direction, Timestamp(9), &mut |row| {
                let (key, value) = (row.key, row.value);
                let joined = Member::decode(value).expect("well-formed").joined;
                found.push((key[16], joined.0));
                std::ops::ControlFlow::Continue(())
            })
            .expect("memory does not fail");
        assert_eq!(found, expected);
    }
}

/// And read by their keys.
#[test]
fn an_overlay_shows_decoded_changes_by_key() {
    let below = Driver::new();
    let conversation = State::conversation(&*below.engine, WARD).expect("readable").expect("Alice made it");
    let member = State::member(&*below.engine, WARD, BOB).expect("readable").expect("Bob is in it");
    let changed = Conversation { head: Seq(7), ..conversation };
    let gone = Member { left_after: Some(Seq(7)), ..member };
    let cursor = Cursor { delivered: Seq(6), read: Seq(5), devices: Vec::new() };
    let mut overlay = Overlay::new(&*below.engine);
    overlay.absorb([
        Change::Conversation(WARD, changed.clone()),
        Change::Member(WARD, BOB, gone.clone()),
        Change::Cursor(WARD, BOB, cursor.clone()),
    ]);
    for (table, key, expected) in [
        (Table::Conversation, key::conversation(WARD).to_vec(), changed.encode()),
        (Table::Member, key::member(WARD, BOB).to_vec(), gone.encode()),
        (Table::Cursor, key::cursor(WARD, BOB).to_vec(), cursor.encode()),
    ] {
        let found = State::get(&overlay, table, &key, below.now).expect("memory does not fail");
        assert_eq!(found, Some(expected), "{table:?}");
    }
    // What has not changed is read from below.
    let alice = State::get(&overlay, Table::Member, &key::member(WARD, ALICE), below.now);
    assert!(alice.expect("memory does not fail").is_some());
}

#[test]
fn a_group_tells_what_it_took() {
    let mut driver = Driver::on(Arc::new(HookedEngine::new(SlowCommits)));
    let messages = [driver.message(), driver.message()];
    let group = messages.map(|message| driver.submission(ALICE, Command::Publish(message)));
    let began = Instant::now();
    let stats = driver.applier.apply_group(driver.now, &group).expect("it works").stats;
    let whole = began.elapsed();
    // Two messages, two acknowledgements, the conversation, Alice's membership, how far it came.
    assert_eq!((stats.commands, stats.mutations), (2, 7));
    assert!(stats.commit >= SYNC && !stats.apply.is_zero(), "{stats:?}");
    assert!(stats.apply + stats.commit <= whole, "{stats:?} of {whole:?}");
}

fn mutations() -> impl Strategy<Value = Vec<Mutation>> {
    // Few keys, so that changes meet; some have expired at the reading time, 5.
    let one = (0u8..12, prop::option::of((any::<u8>(), 3u64..8))).prop_map(|(key, put)| {
        let (table, key) = (Table::Message, Bytes::copy_from_slice(&[key]));
        match put {
            Some((value, expires)) => Mutation::Put {
                table,
                key,
                value: Bytes::copy_from_slice(&[value]),
                expires: Timestamp(expires),
            },
            None => Mutation::Delete { table, key },
        }
    });
    prop::collection::vec(one, 0..20)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Reading changes over an engine is reading the engine after they are committed.
    #[test]
    fn an_overlay_reads_like_its_batch_committed(
        before in mutations(), changes in mutations(), from in 0u8..13, to in 0u8..13, most in 1usize..14,
    ) {
        const NOW: Timestamp = Timestamp(5);
        let (below, whole) = (MemoryEngine::default(), MemoryEngine::default());
        for engine in [&below, &whole] {
            engine.commit(&before, Durability::Synced).unwrap();
        }
        whole.commit(&changes, Durability::Synced).unwrap();
        let mut overlay = Overlay::new(&below);
        overlay.absorb(changes.into_iter().map(Change::Record));
        let read = |state: &dyn State, direction| {
            let mut found = Vec::new();
            let range = KeyRange { from: &[from], to: &[to] };
            state.scan(Table::Message, range, direction, NOW, &mut |row| {
                let (key, value) = (row.key, row.value);
                found.push((key.to_vec(), value.to_vec()));
                if found.len() == most { std::ops::ControlFlow::Break(()) } else { std::ops::ControlFlow::Continue(()) }
            }).unwrap();
            found
        };
        for direction in [Direction::Forward, Direction::Backward] {
            prop_assert_eq!(read(&overlay, direction), read(&whole, direction));
        }
        for key in 0u8..12 {
            let found = State::get(&overlay, Table::Message, &[key], NOW).unwrap();
            prop_assert_eq!(found, State::get(&whole, Table::Message, &[key], NOW).unwrap());
        }
        below.commit(&overlay.into_batch(), Durability::Synced).unwrap();
        for direction in [Direction::Forward, Direction::Backward] {
            prop_assert_eq!(read(&below, direction), read(&whole, direction));
        }
    }
}
