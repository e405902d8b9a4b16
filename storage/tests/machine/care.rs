//! Care conversations: who is in them follows the record, in bounded steps.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use wardline_storage::command::{Command, Event, Outcome, Publish, Rejection, Rights};
use wardline_storage::encounter::What;
use wardline_storage::engine::Direction;
use wardline_storage::hooked::HookedEngine;
use wardline_storage::id::{ConversationId, Seq, Timestamp, UserId};
use wardline_storage::model::{Body, Notice, Person, Policy, Role, Text};
use wardline_storage::said::Effect;
use wardline_storage::staff::{Regrouping, Staff, StaffEvent, StaffOf};

use crate::driver::{ALICE, BOB, Driver, POLICY};
use crate::registered::{Counted, FEW, NORTH, SOUTH, STAY, TENANT, at, event, happened, hear, say, source};

const CARE: ConversationId = ConversationId::new(*STAY.as_bytes());
const TEAM: StaffOf = StaffOf::Encounter(STAY);

fn person(number: u16) -> Person {
    let mut id = [0x40; 16];
    id[..2].copy_from_slice(&number.to_be_bytes());
    Person { user: UserId::new(id), name: Text::new(format!("person-{number}")) }
}

fn people(numbers: std::ops::Range<u16>) -> Vec<Person> {
    numbers.map(person).collect()
}

fn users(numbers: std::ops::Range<u16>) -> Vec<UserId> {
    numbers.map(|number| person(number).user).collect()
}

fn staff(driver: &mut Driver, id: u16, of: StaffOf, people: Vec<Person>) -> Effect {
    let source = source(id, driver.now);
    hear(driver, Command::Staff(Box::new(StaffEvent { source, of, people }))).effect
}

fn next_due(driver: &Driver) -> Option<StaffOf> {
    driver.view().regrouping(None, 1).expect("readable").items.pop()
}

/// Brings all members in line; gives the number of steps that it took.
fn regroup(driver: &mut Driver) -> usize {
    let mut steps = 0;
    while let Some(of) = next_due(driver) {
        driver.apply(ALICE, Command::Regroup { of }).expect("whoever asks");
        steps += 1;
    }
    steps
}

fn members(driver: &Driver) -> Vec<UserId> {
    let page = driver.view().members(CARE, None, 2_000).expect("readable");
    assert!(page.next.is_none());
    page.items.into_iter().map(|listed| listed.user).collect()
}

#[test]
fn members_are_the_roster_and_the_care_team_and_follow_the_patient() {
    let mut driver = Driver::new();
    staff(&mut driver, 1, StaffOf::Ward(NORTH), people(0..3));
    staff(&mut driver, 2, StaffOf::Ward(SOUTH), people(2..5));
    staff(&mut driver, 3, TEAM, people(9..10));
    let mut id = 10;
    let mut says = |driver: &mut Driver, what, place| {
        driver.now = driver.now.after(Duration::from_secs(1));
        id += 1;
        let now = driver.now;
        happened(driver, event(id, now, what, place));
        regroup(driver);
        members(driver)
    };
    let with_team = |ward| [users(ward), users(9..10)].concat();
    assert_eq!(says(&mut driver, What::Plan, at(NORTH, None)), [], "nobody is there yet");
    assert_eq!(says(&mut driver, What::Admit, at(NORTH, None)), with_team(0..3));
    assert_eq!(says(&mut driver, What::Transfer, at(SOUTH, None)), with_team(2..5));
    assert_eq!(says(&mut driver, What::Leave, None), with_team(2..5), "they keep their place");
    assert_eq!(says(&mut driver, What::CancelTransfer, at(NORTH, None)), with_team(0..3));
    staff(&mut driver, 4, StaffOf::Ward(NORTH), people(1..7));
    assert_eq!(regroup(&mut driver), 3, "the ward, who leaves, who joins");
    assert_eq!(members(&driver), with_team(1..7));
    staff(&mut driver, 5, StaffOf::Ward(SOUTH), people(0..20));
    assert_eq!(regroup(&mut driver), 1, "nobody is there");
    staff(&mut driver, 6, TEAM, Vec::new());
    regroup(&mut driver);
    assert_eq!(members(&driver), users(1..7));
    assert_eq!(says(&mut driver, What::Discharge, None), users(1..7), "they finish what they began");
}

#[test]
fn who_joins_sees_what_was_there_and_who_left_nothing_more() {
    let mut driver = Driver::new();
    let now = driver.now;
    let [alice, bob] =
        [(ALICE, "alice"), (BOB, "bob")].map(|(user, name)| Person { user, name: Text::new(name) });
    staff(&mut driver, 1, TEAM, vec![alice]);
    happened(&mut driver, event(2, now, What::Admit, at(NORTH, None)));
    regroup(&mut driver);
    let message = Publish { conversation: CARE, ..driver.message() };
    driver.apply(ALICE, Command::Publish(message)).expect("every member publishes");
    staff(&mut driver, 3, TEAM, vec![bob.clone()]);
    regroup(&mut driver);
    let view = driver.view();
    assert!(view.access(ALICE, CARE).expect("readable").is_none());
    let access = view.access(BOB, CARE).expect("readable").expect("a member");
    let chunk = view.entries(&access, Seq::ZERO, Direction::Forward, 10, 1 << 20).expect("readable");
    let bodies: Vec<&Body> = chunk.entries.iter().map(|placed| &placed.entry.body).collect();
    let [added, message, left, joined] = bodies[..] else { panic!("{bodies:?}") };
    assert_eq!(*added, Body::Notice(Notice::Added(vec![ALICE], Role::Member)));
    assert!(matches!(message, Body::Message(_)));
    assert_eq!(*left, Body::Notice(Notice::Left(vec![ALICE])));
    assert_eq!(*joined, Body::Notice(Notice::Added(vec![BOB], Role::Member)));
    assert_eq!(chunk.entries[2].mentioned, [Text::new("alice")]);
    let conversation = &access.conversation;
    assert_eq!((conversation.context, conversation.is_care), (Some(STAY), true));
    assert!(!conversation.is_without_admin(), "nobody manages it, and nobody is missing");
    assert_eq!(staff(&mut driver, 4, TEAM, vec![bob]), Effect::Unchanged);
    assert_eq!(regroup(&mut driver), 0, "nobody is out of line");
}

/// Not even somebody who could name admins elsewhere.
#[test]
fn nobody_manages_a_care_conversation() {
    let mut driver = Driver::new();
    let (now, alice) = (driver.now, Person { user: ALICE, name: Text::new("alice") });
    staff(&mut driver, 1, TEAM, vec![alice]);
    happened(&mut driver, event(2, now, What::Admit, at(NORTH, None)));
    regroup(&mut driver);
    let people = vec![Person { user: BOB, name: Text::new("bob") }];
    for command in [
        Command::AddMembers { conversation: CARE, people, role: Role::Member, share_history: true },
        Command::RemoveMember { conversation: CARE, user: ALICE },
        Command::Rename { conversation: CARE, title: Text::new("Ward") },
        Command::SetRetention { conversation: CARE, retention: Some(Duration::from_secs(60)) },
        Command::SetRole { conversation: CARE, user: ALICE, role: Role::Admin },
    ] {
        let mut submission = driver.submission(ALICE, command);
        Arc::make_mut(&mut submission.actor).rights =
            Rights { administrator: true, broadcaster: true, ..Rights::default() };
        let group = [submission];
        let mut done = driver.applier.apply_group(driver.now, &group).expect("works");
        assert_eq!(done.verdicts.remove(0), Err(Rejection::Forbidden), "{:?}", group[0].command);
    }
}

#[test]
fn a_late_roster_changes_nothing_and_a_long_one_is_refused() {
    let mut driver = Driver::new();
    let roster = |id, time, people| {
        let (source, of) = (source(id, Timestamp(time)), StaffOf::Ward(NORTH));
        Command::Staff(Box::new(StaffEvent { source, of, people }))
    };
    hear(&mut driver, roster(1, 2_000, people(0..3)));
    assert_eq!(hear(&mut driver, roster(2, 1_000, people(0..9))).effect, Effect::Late);
    let known = driver.view().staff(TENANT, StaffOf::Ward(NORTH)).expect("readable").expect("known");
    assert_eq!(known.people.value, people(0..3));
    assert!(known.has(person(2).user) && !known.has(person(3).user));
    let long = people(0..Staff::PEOPLE_MAX as u16 + 1);
    let refused = Err(Rejection::StaffMax { max: Staff::PEOPLE_MAX });
    assert_eq!(say(&mut driver, roster(3, 3_000, long.clone())), refused);
    hear(&mut driver, roster(4, 3_000, long[1..].to_vec()));
}

#[test]
fn a_step_is_bounded_whoever_comes_and_goes() {
    let engine = Arc::new(HookedEngine::new(Counted::default()));
    let mut driver = Driver::on(Arc::clone(&engine) as _);
    let policy = Policy { members_max: 1_000, ..POLICY };
    driver.apply(ALICE, Command::SetPolicy(policy)).expect("taken");
    let now = driver.now;
    staff(&mut driver, 1, StaffOf::Ward(NORTH), people(0..256));
    staff(&mut driver, 2, TEAM, people(256..512));
    happened(&mut driver, event(3, now, What::Admit, at(NORTH, None)));
    let count = |driver: &mut Driver| {
        let mut steps = 0;
        while let Some(of) = next_due(driver) {
            let command = Command::Regroup { of };
            let stated = command.records();
            engine.hooks.0.store(0, Ordering::Relaxed);
            driver.apply(ALICE, command).expect("whoever asks");
            let touched = engine.hooks.0.load(Ordering::Relaxed);
            assert!(touched <= stated + FEW, "{touched} records, {stated} and {FEW} are stated");
            steps += 1;
        }
        steps
    };
    let (telling, leaving, last) = (1, 1, 1);
    assert_eq!(count(&mut driver), telling + leaving + 512 / Regrouping::STEP_MAX + last);
    assert_eq!(members(&driver), users(0..512));
    staff(&mut driver, 4, StaffOf::Ward(NORTH), people(600..856));
    staff(&mut driver, 5, TEAM, people(900..901));
    count(&mut driver);
    assert_eq!(members(&driver), [users(600..856), users(900..901)].concat());
}

#[test]
fn a_care_conversation_has_no_more_members_than_any() {
    let mut driver = Driver::new();
    let (now, max) = (driver.now, POLICY.members_max as u16);
    staff(&mut driver, 1, TEAM, people(0..max + 5));
    happened(&mut driver, event(2, now, What::Admit, at(NORTH, None)));
    regroup(&mut driver);
    assert_eq!(members(&driver), users(0..max));
}

#[test]
fn the_broker_is_told_and_finds_what_is_due() {
    let mut driver = Driver::new();
    let now = driver.now;
    let admission = Command::Encounter(Box::new(event(1, now, What::Admit, at(NORTH, None))));
    let mut admission = driver.submission(ALICE, admission);
    Arc::make_mut(&mut admission.actor).rights.registrar = true;
    let told = driver.applier.apply_group(now, &[admission]).expect("works").events;
    assert_eq!(told, [Event::RegroupDue { of: TEAM }]);
    assert_eq!(driver.view().regrouping(None, 10).expect("readable").items, [TEAM]);
    for more in [true, false, false] {
        let step = driver.apply(ALICE, Command::Regroup { of: TEAM });
        assert_eq!(step, Ok(Outcome::Regrouped { more }));
    }
    assert_eq!(driver.view().regrouping(None, 10).expect("readable").items, []);
}
