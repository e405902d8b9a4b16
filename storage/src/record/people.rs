//! The bytes of people: an id and a name each.
//!
//! In the order in which they were given; who wants another order checks it.

use super::codec::{Damage, Reader, Writer};
use crate::id::UserId;
use crate::model::Person;

pub(super) fn write_people(people: &[Person], out: &mut Writer<'_>) {
    out.list(people, |out, person| {
        out.id(person.user.as_bytes());
        out.text(&person.name);
    });
}

pub(super) fn read_people(from: &mut Reader<'_>) -> Result<Vec<Person>, Damage> {
    from.list(UserId::BYTES + 1, |from| Ok(Person { user: UserId::new(from.array()?), name: from.text()? }))
}
