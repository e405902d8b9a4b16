//! Care conversations: one for each encounter, whose members are those whom the record names.
//!
//! It is made when the patient is first in care, and has the bytes of its encounter's id. Nobody
//! manages it. What changes the record leaves a mark, and [`Step::regroup`] goes by the marks: who
//! is there and should not be leaves, who should be there and is not joins, so many at a step. They
//! see what was there before: it is the patient's, not theirs. Who may see it meanwhile is judged
//! by the record itself; membership is what is listed, followed and counted.

use std::ops::ControlFlow;

use crate::command::{Event, Outcome, Rejection};
use crate::encounter::{Encounter, Heard};
use crate::engine::{Direction, EngineError, Table};
use crate::id::{ConversationId, EncounterId, Seq, UserId, WardId};
use crate::key::{self, Stay};
use crate::model::{Conversation, Kind, Member, Notice, Person, Role, Text};
use crate::record::Record;
use crate::said::Effect;
use crate::scan;
use crate::staff::{Regrouping, Staff, StaffEvent, StaffOf};

use super::{Scene, Step, Stepped, Stop};

impl Step<'_> {
    pub(super) fn staff_event(&mut self, event: &StaffEvent) -> Stepped {
        self.check_registrar()?;
        if let Some(known) = self.heard_before(event.source)? {
            return Ok(known);
        }
        let max = Staff::PEOPLE_MAX;
        if event.people.len() > max {
            return Err(Rejection::StaffMax { max }.into());
        }
        let (said, ahead) = self.said(event.source);
        let before = self.record::<Staff>(Table::Staff, &key::staff(event.of))?;
        let made = before.is_none();
        let mut staff = before.unwrap_or_else(|| Staff::new(self.actor.tenant));
        if staff.tenant != self.actor.tenant {
            return Err(Rejection::NotFound.into());
        }
        let mut people = event.people.clone();
        people.sort_by_key(|person| person.user);
        people.dedup_by_key(|person| person.user);
        let effect = staff.people.hear(people, said);
        if effect > Effect::Late {
            self.put(Table::Staff, &key::staff(event.of), &staff);
        }
        if effect == Effect::Changed {
            self.mark_for_regrouping(event.of);
        }
        let encounter = match event.of {
            StaffOf::Encounter(encounter) => Some(encounter),
            StaffOf::Ward(_) => None,
        };
        self.note_heard(event.source, None, encounter);
        Ok(Outcome::Heard(Heard {
            effect,
            patient: None,
            encounter,
            made,
            ahead,
            disputed: false,
            bed: None,
        }))
    }

    /// Has the care conversation follow an encounter: makes it when the patient is first in care,
    /// and changes its members with the ward.
    pub(super) fn attend(
        &mut self,
        id: EncounterId,
        before: Option<&Encounter>,
        after: &Encounter,
    ) -> Result<(), Stop> {
        let ward = |encounter: &Encounter| encounter.stands_on().map(|place| place.ward);
        let is_same = before.is_some_and(|before| before.is_present() && ward(before) == ward(after));
        if !after.is_present() || is_same {
            return Ok(());
        }
        let conversation = id.care_conversation();
        if self.state.conversation(conversation)?.is_none() {
            self.make_care_conversation(id)?;
        }
        self.mark_for_regrouping(StaffOf::Encounter(id));
        Ok(())
    }

    fn make_care_conversation(&mut self, encounter: EncounterId) -> Result<(), Stop> {
        self.rules()?;
        let conversation = Conversation {
            tenant: self.actor.tenant,
            kind: Kind::Group,
            title: Text::new(""),
            retention: None,
            head: Seq::ZERO,
            created: self.now,
            last_activity: self.now,
            members: 0,
            admins: 0,
            shortenings: Vec::new(),
            context: Some(encounter),
            is_care: true,
        };
        self.put_conversation(encounter.care_conversation(), conversation);
        Ok(())
    }

    /// Notes that members are to be brought in line with the record, from the beginning.
    fn mark_for_regrouping(&mut self, of: StaffOf) {
        let from = match of {
            StaffOf::Ward(_) => Regrouping::Telling(None),
            StaffOf::Encounter(_) => Regrouping::Leaving(None),
        };
        self.put(Table::Meta, &key::regroup(of), &from);
        self.tell(Event::RegroupDue { of });
    }

    pub(super) fn regroup(&mut self, of: StaffOf) -> Stepped {
        let mark = key::regroup(of);
        let Some(from) = self.record::<Regrouping>(Table::Meta, &mark)? else {
            return Ok(Outcome::Regrouped { more: false });
        };
        let next = match (of, from) {
            (StaffOf::Ward(ward), Regrouping::Telling(after)) => {
                self.tell_ward(ward, after)?.map(|told| Regrouping::Telling(Some(told)))
            }
            (StaffOf::Encounter(encounter), from) => self.regroup_encounter(encounter, from)?,
            (StaffOf::Ward(_), _) => None,
        };
        match &next {
            Some(next) => self.put(Table::Meta, &mark, next),
            None => self.delete(Table::Meta, &mark),
        }
        Ok(Outcome::Regrouped { more: next.is_some() })
    }

    /// Marks the encounters on a ward, a bounded number; gives the last one, if there may be more.
    fn tell_ward(
        &mut self,
        ward: WardId,
        after: Option<EncounterId>,
    ) -> Result<Option<EncounterId>, EngineError> {
        let (mut found, span) = (Vec::new(), key::stays(Stay::On(ward), after));
        scan::each(self.state, Table::Stay, &span, Direction::Forward, self.now, |key, _| {
            found.push(key::stay_encounter(key)?);
            Ok(if found.len() == Regrouping::STEP_MAX {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            })
        })?;
        for encounter in &found {
            self.mark_for_regrouping(StaffOf::Encounter(*encounter));
        }
        Ok(found.last().filter(|_| found.len() == Regrouping::STEP_MAX).copied())
    }

    /// One step for one encounter; gives where to go on.
    fn regroup_encounter(
        &mut self,
        encounter: EncounterId,
        from: Regrouping,
    ) -> Result<Option<Regrouping>, Stop> {
        let found = self.record::<Encounter>(Table::Encounter, &key::encounter(encounter))?;
        let Some(found) = found.filter(Encounter::is_present) else { return Ok(None) };
        let id = encounter.care_conversation();
        let Some(conversation) = self.state.conversation(id)? else { return Ok(None) };
        let staff = self.staff_of(encounter, &found)?;
        let mut scene = self.scene(id, conversation, ())?;
        Ok(match from {
            Regrouping::Leaving(after) => match self.have_leave(&mut scene, after, &staff)? {
                Some(last) => Some(Regrouping::Leaving(Some(last))),
                None => Some(Regrouping::Joining(None)),
            },
            Regrouping::Joining(after) => {
                self.have_join(&mut scene, after, &staff)?.map(|last| Regrouping::Joining(Some(last)))
            }
            Regrouping::Telling(_) => None,
        })
    }

    /// Everybody whom the record names for an encounter, by ascending ids: two records.
    fn staff_of(&self, id: EncounterId, encounter: &Encounter) -> Result<Vec<Person>, EngineError> {
        let mut of = vec![StaffOf::Encounter(id)];
        of.extend(encounter.stands_on().map(|place| StaffOf::Ward(place.ward)));
        let mut people = Vec::new();
        for of in of {
            let staff = self.record::<Staff>(Table::Staff, &key::staff(of))?;
            people.extend(staff.into_iter().flat_map(|staff| staff.people.value));
        }
        people.sort_by_key(|person| person.user);
        people.dedup_by_key(|person| person.user);
        Ok(people)
    }

    /// Of the next members, those whom the record does not name leave; gives the last one that was
    /// looked at, if there may be more.
    fn have_leave(
        &mut self,
        scene: &mut Scene<()>,
        after: Option<UserId>,
        staff: &[Person],
    ) -> Result<Option<UserId>, Stop> {
        let (mut looked_at, mut last, mut leavers) = (0, None, Vec::new());
        let span = key::members(scene.id, after);
        scan::each(self.state, Table::Member, &span, Direction::Forward, self.now, |key, value| {
            let (user, member) = (key::member_user(key)?, Member::decode(value)?);
            (looked_at, last) = (looked_at + 1, Some(user));
            if member.is_active() && !is_among(staff, user) {
                leavers.push((user, member));
            }
            Ok(if looked_at == Regrouping::STEP_MAX {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            })
        })?;
        let mut users = Vec::with_capacity(leavers.len());
        for (user, mut member) in leavers {
            member.left_after = Some(scene.conversation.head);
            scene.conversation.members -= 1;
            self.put_member(scene.id, user, member);
            self.delete(Table::Membership, &key::membership(user, scene.id));
            self.tell(Event::Left { conversation: scene.id, user });
            users.push(user);
        }
        if !users.is_empty() {
            self.introduce(scene.id)?;
            self.notify(scene, Notice::Left(users));
        }
        Ok(last.filter(|_| looked_at == Regrouping::STEP_MAX))
    }

    /// Of the next people whom the record names, those who are no members join, as far as there may
    /// be members; gives the last one that was looked at, if there are more.
    fn have_join(
        &mut self,
        scene: &mut Scene<()>,
        after: Option<UserId>,
        staff: &[Person],
    ) -> Result<Option<UserId>, Stop> {
        let rest = staff.iter().filter(|person| after.is_none_or(|after| person.user > after));
        let next: Vec<&Person> = rest.take(Regrouping::STEP_MAX).collect();
        let mut joining = Vec::new();
        for person in &next {
            let former = self.state.member(scene.id, person.user)?;
            let is_full = scene.conversation.members >= scene.policy.members_max;
            if !is_full && former.as_ref().is_none_or(|former| !former.is_active()) {
                scene.conversation.members += 1;
                joining.push((*person, former));
            }
        }
        if !joining.is_empty() {
            // First, since whoever asks may be among them.
            self.introduce(scene.id)?;
            let joined = joining.iter().map(|(person, _)| person.user).collect();
            self.have_join_as_members(scene.id, joining);
            self.notify(scene, Notice::Added(joined, Role::Member));
        }
        let last = next.last().filter(|_| next.len() == Regrouping::STEP_MAX);
        Ok(last.map(|person| person.user))
    }

    fn have_join_as_members(&mut self, id: ConversationId, joining: Vec<(&Person, Option<Member>)>) {
        for (person, former) in joining {
            let member = Member {
                name: person.name.clone(),
                role: Role::Member,
                joined: self.now,
                visible_from: Seq(1),
                left_after: None,
                has_published: former.is_some_and(|former| former.has_published),
                granted: true,
            };
            self.join(id, person.user, member);
        }
    }
}

fn is_among(staff: &[Person], user: UserId) -> bool {
    staff.binary_search_by_key(&user, |person| person.user).is_ok()
}
