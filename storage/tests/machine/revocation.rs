//! Access that is taken back is on record until it is given back.

use wardline_storage::command::{Command, Outcome};
use wardline_storage::id::{KeyId, Timestamp};
use wardline_storage::model::{Revocation, Subject, Text};

use crate::driver::{ALICE, BOB, Driver};

fn revoke(driver: &mut Driver, subject: Subject, through: Timestamp) -> Timestamp {
    let command = Command::Revoke { subject, name: Text::new("bob"), through };
    match driver.apply(ALICE, command) {
        Ok(Outcome::Revoked { through }) => through,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_revocation_holds_for_what_was_issued_before_it_until_it_is_lifted() {
    let mut driver = Driver::new();
    let (bob, key) = (Subject::User(BOB), Subject::Key(KeyId::new([4; 32])));
    // By the clock of tokens, which need not be the log's.
    let (first, early, later) = (driver.now, Timestamp(900), Timestamp(901));
    assert_eq!(revoke(&mut driver, bob, early), early);
    assert_eq!(revoke(&mut driver, key, Timestamp::NEVER), Timestamp::NEVER);
    let on_record = |driver: &Driver| driver.view().revocations().expect("readable");
    let made = |through| Revocation { made: first, through, name: Text::new("bob") };
    assert_eq!(on_record(&driver), [(bob, made(early)), (key, made(Timestamp::NEVER))]);

    // Again, later: it reaches further. Less far is not made of it by accident.
    driver.now = Timestamp(first.0 + 1);
    assert_eq!(revoke(&mut driver, bob, later), later);
    assert_eq!(revoke(&mut driver, bob, early), later);
    assert_eq!(on_record(&driver)[0].1.made, driver.now);
    assert_eq!(revoke(&mut driver, bob, Timestamp::NEVER), Timestamp::NEVER);
    assert_eq!(revoke(&mut driver, bob, later), Timestamp::NEVER);

    assert_eq!(driver.apply(ALICE, Command::Lift { subject: bob }), Ok(Outcome::Noted));
    assert_eq!(driver.apply(ALICE, Command::Lift { subject: bob }), Ok(Outcome::Noted), "it was lifted");
    assert_eq!(on_record(&driver), [(key, made(Timestamp::NEVER))]);
}
