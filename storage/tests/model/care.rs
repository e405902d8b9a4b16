//! Care conversations, and who is in them by the record's word.

use std::collections::BTreeMap;

use wardline_storage::command::{Command, Event, Outcome, Rejection, Submission, Verdict};
use wardline_storage::encounter::Heard;
use wardline_storage::id::{ConversationId, EncounterId, Timestamp, UserId, WardId};
use wardline_storage::key::Stay;
use wardline_storage::model::{Body, Kind, Notice, Person, Role, Text};
use wardline_storage::said::Effect;
use wardline_storage::staff::StaffOf;

use super::role::introduce;
use super::{Case, Model, NO_POLICY, Room, join, keeping};

/// Whose members are to be brought in line; `true`: only those who are to join are left to do.
pub(crate) type Marks = BTreeMap<StaffOf, bool>;

impl Model {
    /// Does what a registrar, or the broker for the record, asks; `None`: it is something else.
    pub(super) fn apply_for_the_record(
        &mut self,
        now: Timestamp,
        submission: &Submission,
    ) -> Option<(Verdict, Vec<Event>)> {
        if let Command::Regroup { of } = submission.command {
            return Some(self.regroup(now, submission, of));
        }
        let before = self.register.clone();
        let verdict = self.register.apply(now, submission)?;
        let Ok(Outcome::Heard(heard)) = verdict else { return Some((verdict, Vec::new())) };
        if heard.effect == Effect::Repeated {
            return Some((verdict, Vec::new()));
        }
        match self.attend(now, submission, &before, heard) {
            Ok(due) => {
                let events = due.into_iter().map(|of| self.mark(of)).collect();
                Some((verdict, events))
            }
            Err(rejection) => {
                self.register = before;
                Some((Err(rejection), Vec::new()))
            }
        }
    }

    /// Whose members something that was heard puts out of line.
    fn attend(
        &mut self,
        now: Timestamp,
        submission: &Submission,
        before: &super::record::Register,
        heard: Heard,
    ) -> Result<Option<StaffOf>, Rejection> {
        let id = match &submission.command {
            Command::Staff(event) => return Ok(Some(event.of).filter(|_| heard.effect == Effect::Changed)),
            Command::Encounter(event) => event.encounter,
            _ => return Ok(None),
        };
        let was = before.encounters.get(&id).filter(|stood| stood.is_present()).map(|stood| stood.ward());
        let stood = &self.register.encounters[&id];
        if !stood.is_present() || was == Some(stood.ward()) {
            return Ok(None);
        }
        let room = ConversationId::new(*id.as_bytes());
        if !self.rooms.contains_key(&room) {
            self.policy.ok_or(Rejection::NoPolicy)?;
            let tenant = submission.actor.tenant;
            self.rooms.insert(
                room,
                Room {
                    tenant,
                    kind: Kind::Group,
                    title: Text::new(""),
                    retention: None,
                    created: now,
                    last_activity: now,
                    people: BTreeMap::new(),
                    entries: Vec::new(),
                    reexpire_due: false,
                    care_of: Some(id),
                },
            );
        }
        Ok(Some(StaffOf::Encounter(id)))
    }

    fn mark(&mut self, of: StaffOf) -> Event {
        self.marks.insert(of, false);
        Event::RegroupDue { of }
    }

    fn regroup(&mut self, now: Timestamp, submission: &Submission, of: StaffOf) -> (Verdict, Vec<Event>) {
        let done = Ok(Outcome::Regrouped { more: false });
        let Some(joining) = self.marks.remove(&of) else { return (done, Vec::new()) };
        let encounter = match of {
            StaffOf::Ward(ward) => return (done, self.tell(ward)),
            StaffOf::Encounter(encounter) => encounter,
        };
        if !self.register.encounters.get(&encounter).is_some_and(|stood| stood.is_present()) {
            return (done, Vec::new());
        }
        let staff = self.staff(encounter);
        let id = ConversationId::new(*encounter.as_bytes());
        let Some(room) = self.rooms.get_mut(&id) else { return (done, Vec::new()) };
        let me = Person { user: submission.actor.user, name: submission.actor.name.clone() };
        let (policy, retentions) = (self.policy.unwrap_or(NO_POLICY), self.retentions.clone());
        let mut case = Case { id, me, now, policy, retentions, submission, events: Vec::new() };
        if joining {
            have_join(&mut case, room, &staff);
        } else {
            have_leave(&mut case, room, &staff);
            self.marks.insert(of, true);
        }
        (Ok(Outcome::Regrouped { more: !joining }), case.events)
    }

    fn tell(&mut self, ward: WardId) -> Vec<Event> {
        let on_it = self.register.stays(Stay::On(ward));
        on_it.into_iter().map(|encounter| self.mark(StaffOf::Encounter(encounter))).collect()
    }

    /// Everybody whom the record names for an encounter.
    fn staff(&self, encounter: EncounterId) -> BTreeMap<UserId, Person> {
        let ward = self.register.encounters[&encounter].ward().map(StaffOf::Ward);
        // Who is in both is named as in the care team.
        let of = [ward, Some(StaffOf::Encounter(encounter))];
        let all = of.into_iter().flatten().flat_map(|of| self.register.staff(of));
        all.map(|person| (person.user, person)).collect()
    }
}

fn notify(case: &mut Case<'_>, room: &mut Room, notice: Notice) {
    introduce(case, room);
    let kept = keeping(case.policy, case.retentions.as_deref(), room.tenant, room.kind).max;
    let expires = case.now.after(kept);
    case.append(room, expires, Body::Notice(notice));
}

fn have_leave(case: &mut Case<'_>, room: &mut Room, staff: &BTreeMap<UserId, Person>) {
    let head = room.head();
    let mut left = Vec::new();
    for (user, person) in &mut room.people {
        if person.active && !staff.contains_key(user) {
            (person.active, person.last) = (false, head);
            left.push(*user);
            case.events.push(Event::Left { conversation: case.id, user: *user });
        }
    }
    if !left.is_empty() {
        notify(case, room, Notice::Left(left));
    }
}

fn have_join(case: &mut Case<'_>, room: &mut Room, staff: &BTreeMap<UserId, Person>) {
    let mut joined = Vec::new();
    for (user, person) in staff {
        let is_member = room.people.get(user).is_some_and(|person| person.active);
        if is_member || room.active() >= case.policy.members_max as usize {
            continue;
        }
        join(case, room, person, Role::Member, true, 1);
        joined.push(*user);
    }
    if !joined.is_empty() {
        notify(case, room, Notice::Added(joined, Role::Member));
    }
}
