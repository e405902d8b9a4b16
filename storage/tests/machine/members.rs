//! Who is in a conversation and who may manage it: how many, when several come at once, and who
//! gave them their role.

use std::sync::Arc;

use wardline_storage::command::{Command, Create, Outcome, Publish, Rejection, Rights};
use wardline_storage::engine::Direction;
use wardline_storage::id::{ConversationId, Seq, TenantId, UserId};
use wardline_storage::model::{Body, Kind, Notice, Person, Role, Text};

use crate::driver::{ALICE, BOB, Driver, WARD};

const OTHERS: [UserId; 3] = [UserId::new([0xc1; 16]), UserId::new([0xd2; 16]), UserId::new([0xe3; 16])];

fn leave(driver: &mut Driver, user: UserId) {
    let left = driver.apply(user, Command::RemoveMember { conversation: WARD, user });
    assert!(matches!(left, Ok(Outcome::Changed(Some(_)))), "{left:?}");
}

fn add_others(driver: &mut Driver, role: Role) {
    let people = OTHERS.iter().map(|user| Person { user: *user, name: Text::new("somebody") }).collect();
    let add = Command::AddMembers { conversation: WARD, people, role, share_history: true };
    driver.apply(ALICE, add).expect("Alice is an admin");
}

fn counts(driver: &Driver) -> (u32, u32) {
    let conversation = driver.access(BOB).conversation;
    (conversation.members, conversation.admins)
}

/// The notices that Bob sees, from a sequence on.
fn notices(driver: &Driver, after: Seq) -> Vec<Notice> {
    let chunk = driver.view().entries(&driver.access(BOB), after, Direction::Forward, 100, 1 << 20);
    let entries = chunk.expect("readable").entries.into_iter();
    entries
        .filter_map(|placed| if let Body::Notice(notice) = placed.entry.body { Some(notice) } else { None })
        .collect()
}

#[test]
fn nobody_becomes_admin_because_the_last_one_left() {
    let mut driver = Driver::new();
    add_others(&mut driver, Role::Admin);
    assert_eq!(counts(&driver), (5, 4));
    leave(&mut driver, ALICE);
    leave(&mut driver, OTHERS[0]);
    leave(&mut driver, OTHERS[1]);
    assert_eq!(counts(&driver), (2, 1));
    let before = driver.access(BOB).conversation;
    assert!(!before.is_without_admin());
    leave(&mut driver, OTHERS[2]);
    assert_eq!((counts(&driver), driver.access(BOB).member.role), ((1, 0), Role::Member));
    assert!(driver.access(BOB).conversation.is_without_admin());
    assert_eq!(notices(&driver, before.head), [Notice::Removed(OTHERS[2]), Notice::NoAdmin], "it says so");
    let rename = Command::Rename { conversation: WARD, title: Text::new("Mine") };
    assert_eq!(driver.apply(BOB, rename), Err(Rejection::Forbidden));
}

/// They need not be in it, and see nothing by it.
#[test]
fn the_tenants_administrator_names_an_admin() {
    let mut driver = Driver::new();
    leave(&mut driver, ALICE);
    let head = driver.access(BOB).conversation.head;
    let name = |user| Command::SetRole { conversation: WARD, user, role: Role::Admin };
    let by = |driver: &Driver, tenant: u8, administrator, command| {
        let mut submission = driver.submission(OTHERS[0], command);
        let actor = Arc::make_mut(&mut submission.actor);
        actor.tenant = TenantId::new([tenant; 16]);
        actor.rights = Rights { administrator, ..Rights::default() };
        submission
    };
    let group = [
        by(&driver, 1, false, name(BOB)),
        by(&driver, 2, true, name(BOB)),
        by(&driver, 1, true, name(OTHERS[1])),
        by(&driver, 1, true, name(BOB)),
        by(&driver, 1, true, name(BOB)),
        by(&driver, 1, true, Command::Rename { conversation: WARD, title: Text::new("Mine") }),
    ];
    let verdicts = driver.applier.apply_group(driver.now, &group).expect("the engine works").verdicts;
    let expected = [
        Err(Rejection::NotFound),
        Err(Rejection::NotFound),
        Err(Rejection::NotMember),
        Ok(Outcome::Changed(Some(head.next()))),
        Ok(Outcome::Changed(None)),
        Err(Rejection::NotFound),
    ];
    assert_eq!(verdicts, expected);
    assert_eq!(notices(&driver, head), [Notice::Role(BOB, Role::Admin)]);
    assert_eq!((counts(&driver), driver.access(BOB).conversation.is_without_admin()), ((1, 1), false));
    assert!(driver.view().access(OTHERS[0], WARD).expect("readable").is_none());
}

/// The role that the token gave holds while the token says so; the one that an admin gave holds
/// until an admin takes it.
#[test]
fn a_broadcast_looks_at_the_role_whenever_it_is_used() {
    let mut driver = Driver::new();
    let news = ConversationId::new([0xee; 16]);
    let with = |driver: &Driver, user, broadcaster, command| {
        let mut submission = driver.submission(user, command);
        Arc::make_mut(&mut submission.actor).rights = Rights { broadcaster, ..Rights::default() };
        submission
    };
    let create = Command::Create(Create {
        conversation: news,
        kind: Kind::Broadcast,
        others: vec![Person { user: BOB, name: Text::new("bob") }],
        title: Text::new("All staff"),
        retention: None,
    });
    let mut publish = || Command::Publish(Publish { conversation: news, ..driver.message() });
    let messages: Vec<Command> = (0..5).map(|_| publish()).collect();
    let role = |user, role| Command::SetRole { conversation: news, user, role };
    let steps = [
        (ALICE, false, create.clone(), false),
        (ALICE, true, create, true),
        (ALICE, true, messages[0].clone(), true),
        (ALICE, false, messages[1].clone(), false),
        (ALICE, false, role(BOB, Role::Admin), false),
        (BOB, true, messages[2].clone(), false),
        (ALICE, true, role(BOB, Role::Publisher), true),
        (BOB, false, messages[3].clone(), true),
        (BOB, false, role(BOB, Role::Admin), false),
        (ALICE, true, role(BOB, Role::Member), true),
        (BOB, false, messages[4].clone(), false),
    ];
    for (number, (user, broadcaster, command, allowed)) in steps.into_iter().enumerate() {
        let submission = with(&driver, user, broadcaster, command);
        let result = driver.applier.apply_group(driver.now, &[submission]).expect("the engine works");
        assert_eq!(result.verdicts[0].is_ok(), allowed, "step {number}: {:?}", result.verdicts);
    }
}

/// Nobody's own word makes their role outlast their token.
#[test]
fn who_names_themselves_is_not_named() {
    let mut driver = Driver::new();
    assert!(!driver.access(ALICE).member.granted);
    let role = |user, role| Command::SetRole { conversation: WARD, user, role };
    assert_eq!(driver.apply(ALICE, role(ALICE, Role::Admin)), Ok(Outcome::Changed(None)));
    assert!(!driver.access(ALICE).member.granted);
    let last = driver.apply(ALICE, role(ALICE, Role::Member));
    assert_eq!(last, Ok(Outcome::Changed(Some(Seq(1)))));
    assert_eq!(notices(&driver, Seq::ZERO), [Notice::Role(ALICE, Role::Member), Notice::NoAdmin]);
}

#[test]
fn who_was_removed_gets_an_earlier_acknowledgement_again_and_no_new_one() {
    let mut driver = Driver::new();
    let (earlier, later) = (driver.message(), driver.message());
    let published = driver.apply(BOB, Command::Publish(earlier.clone()));
    assert!(matches!(published, Ok(Outcome::Published { .. })), "{published:?}");
    leave(&mut driver, BOB);
    assert_eq!(driver.apply(BOB, Command::Publish(earlier.clone())), published);
    assert_eq!(driver.apply(OTHERS[0], Command::Publish(earlier.clone())), Err(Rejection::NotFound));
    assert_eq!(driver.apply(BOB, Command::Publish(later)), Err(Rejection::NotFound));
    driver.now = driver.now.after(std::time::Duration::from_secs(60));
    assert_eq!(driver.apply(BOB, Command::Publish(earlier)), Err(Rejection::NotFound), "it is forgotten");
}
