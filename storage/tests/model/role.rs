//! Who may do what, and who gives roles, as plainly as it can be said.

use wardline_storage::command::{Rejection, Verdict};
use wardline_storage::id::UserId;
use wardline_storage::model::{Kind, Notice, Role};

use super::{Case, Participant, Room};

/// Who made a broadcast holds their role by their token.
fn holds(case: &Case<'_>, room: &Room, role: &[Role]) -> bool {
    let me = &room.people[&case.me.user];
    let token = case.submission.actor.rights.broadcaster;
    role.contains(&me.role) && (room.kind != Kind::Broadcast || me.granted || token)
}

pub(super) fn check_manager(case: &Case<'_>, room: &Room) -> Result<(), Rejection> {
    let manager = room.kind != Kind::Direct && holds(case, room, &[Role::Admin]);
    if manager { Ok(()) } else { Err(Rejection::Forbidden) }
}

pub(super) fn check_publisher(case: &Case<'_>, room: &Room) -> Result<(), Rejection> {
    let publisher = room.kind != Kind::Broadcast || holds(case, room, &[Role::Publisher, Role::Admin]);
    if publisher { Ok(()) } else { Err(Rejection::Forbidden) }
}

/// Who changes what they were never in has a name there.
pub(super) fn introduce(case: &Case<'_>, room: &mut Room) {
    let name = case.me.name.clone();
    room.people.entry(case.me.user).or_insert_with(|| Participant {
        name,
        role: Role::Member,
        granted: false,
        joined: case.now,
        active: false,
        first: 1,
        last: 0,
        has_published: false,
        delivered: 0,
        read: 0,
        places: Vec::new(),
        receipts: Vec::new(),
    });
}

pub(super) fn set(case: &mut Case<'_>, room: &mut Room, user: UserId, role: Role) -> Verdict {
    let (actor, me) = (&case.submission.actor, case.me.user);
    let administrator = actor.rights.administrator;
    let same_tenant = room.tenant == actor.tenant;
    let inside = same_tenant && room.people.get(&me).is_some_and(|person| person.active);
    let admin = inside && check_manager(case, room).is_ok();
    let above = administrator && same_tenant && room.kind != Kind::Direct && room.care_of.is_none();
    if !admin && !above {
        return Err(if inside { Rejection::Forbidden } else { Rejection::NotFound });
    }
    let Some(member) = room.people.get_mut(&user).filter(|person| person.active) else {
        return Err(Rejection::NotMember);
    };
    let before = (member.role, member.granted);
    let granted = member.granted || administrator || user != me;
    if before == (role, granted) {
        return Ok(wardline_storage::command::Outcome::Changed(None));
    }
    (member.role, member.granted) = (role, granted);
    introduce(case, room);
    let told = case.notify(room, Notice::Role(user, role));
    if before.0 == Role::Admin && room.is_without_admin() {
        let _ = case.notify(room, Notice::NoAdmin);
    }
    told
}
