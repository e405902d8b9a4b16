//! How many members and admins a conversation has, when several come at once.

use wardline_storage::command::{Command, Outcome, Rejection};
use wardline_storage::id::UserId;
use wardline_storage::model::{Person, Role, Text};

use crate::driver::{ALICE, BOB, Driver, WARD};

const OTHERS: [UserId; 3] = [UserId::new([0xc1; 16]), UserId::new([0xd2; 16]), UserId::new([0xe3; 16])];

fn leave(driver: &mut Driver, user: UserId) {
    let left = driver.apply(user, Command::RemoveMember { conversation: WARD, user });
    assert!(matches!(left, Ok(Outcome::Changed(Some(_)))), "{left:?}");
}

#[test]
fn only_when_the_last_of_several_admins_leaves_another_member_becomes_one() {
    let mut driver = Driver::new();
    let people = OTHERS.iter().map(|user| Person { user: *user, name: Text::new("somebody") }).collect();
    let add = Command::AddMembers { conversation: WARD, people, role: Role::Admin, share_history: true };
    driver.apply(ALICE, add).expect("Alice is an admin");
    let counts = |driver: &Driver| {
        let conversation = driver.access(BOB).conversation;
        (conversation.members, conversation.admins)
    };
    assert_eq!(counts(&driver), (5, 4));
    leave(&mut driver, ALICE);
    leave(&mut driver, OTHERS[0]);
    leave(&mut driver, OTHERS[1]);
    assert_eq!((counts(&driver), driver.access(BOB).member.role), ((2, 1), Role::Member));
    leave(&mut driver, OTHERS[2]);
    assert_eq!((counts(&driver), driver.access(BOB).member.role), ((1, 1), Role::Admin));
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
