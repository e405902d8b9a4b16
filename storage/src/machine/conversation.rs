//! Conversations and who is in them.
//!
//! Invariants: `members` and `admins` count the active memberships; a group or broadcast with
//! members has an admin; the `membership` index holds exactly the active ones. Memberships are kept
//! after somebody left.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use bytes::Bytes;

use crate::command::{Create, Event, Outcome, Rejection};
use crate::engine::{Direction, EngineError, Mutation, Table};
use crate::id::{ConversationId, Seq, Timestamp, UserId};
use crate::key;
use crate::model::{Conversation, Kind, Member, Notice, Person, Policy, Role, Text};
use crate::record::Record;
use crate::scan;

use super::{Scene, Step, Stepped, Stop};

impl Step<'_> {
    pub(super) fn create(&mut self, create: &Create) -> Stepped {
        let id = create.conversation;
        if self.state.conversation(id)?.is_some() {
            return self.enter(id).map(|_| Outcome::Created { conversation: id, existed: true });
        }
        let policy = self.policy()?;
        let mut seen = BTreeSet::from([self.actor.user]);
        let others: Vec<&Person> = create.others.iter().filter(|person| seen.insert(person.user)).collect();
        let direct = create.kind == Kind::Direct;
        if direct && others.len() != 1 {
            return Err(Rejection::Forbidden.into());
        }
        let members = check_members_max(others.len() + 1, policy)?;

        let (now, actor) = (self.now, self.actor);
        let role = if direct { Role::Member } else { Role::Admin };
        let fresh = |name: &Text, role| Member {
            name: name.clone(),
            role,
            joined: now,
            visible_from: Seq(1),
            left_after: None,
            has_published: false,
        };
        self.join(id, actor.user, fresh(&actor.name, role));
        for person in others {
            self.join(id, person.user, fresh(&person.name, Role::Member));
        }
        let conversation = Conversation {
            tenant: actor.tenant,
            kind: create.kind,
            title: if direct { Text::new("") } else { create.title.clone() },
            retention: create.retention,
            head: Seq::ZERO,
            created: now,
            last_activity: now,
            members,
            admins: u32::from(!direct),
            shortenings: Vec::new(),
        };
        self.put_conversation(id, conversation);
        Ok(Outcome::Created { conversation: id, existed: false })
    }

    pub(super) fn add_members(
        &mut self,
        id: ConversationId,
        people: &[Person],
        role: Role,
        share_history: bool,
    ) -> Stepped {
        let mut scene = self.manage(id)?;
        let notice = scene.conversation.head.next();
        let visible_from = if share_history { Seq(1) } else { notice };
        let mut added = Vec::new();
        let mut seen = BTreeSet::new();
        for person in people {
            if !seen.insert(person.user) {
                continue;
            }
            let former = self.state.member(id, person.user)?;
            if former.as_ref().is_some_and(Member::is_active) {
                continue;
            }
            let member = Member {
                name: person.name.clone(),
                role,
                joined: self.now,
                visible_from,
                left_after: None,
                has_published: former.is_some_and(|former| former.has_published),
            };
            self.join(id, person.user, member);
            added.push(person.user);
        }
        if added.is_empty() {
            return Ok(Outcome::Changed(None));
        }
        let conversation = &mut scene.conversation;
        let before = conversation.members;
        conversation.members = check_members_max(before as usize + added.len(), scene.policy)?;
        if role == Role::Admin {
            conversation.admins += conversation.members - before;
        }
        Ok(self.notify(&mut scene, Notice::Added(added, role)))
    }

    pub(super) fn remove_member(&mut self, id: ConversationId, user: UserId) -> Stepped {
        let mut scene = self.enter(id)?;
        if scene.conversation.kind == Kind::Direct || (user != self.actor.user && !scene.is_admin()) {
            return Err(Rejection::Forbidden.into());
        }
        let Some(mut leaver) = self.state.member(id, user)?.filter(Member::is_active) else {
            return Ok(Outcome::Changed(None));
        };
        leaver.left_after = Some(scene.conversation.head);
        let was_admin = leaver.role == Role::Admin;
        self.put_member(id, user, leaver);
        self.delete(Table::Membership, &key::membership(user, id));
        // First, so that their sessions detach before the notice, which is not theirs to see.
        self.tell(Event::Left { conversation: id, user });

        scene.conversation.members -= 1;
        if was_admin {
            scene.conversation.admins -= 1;
            if scene.conversation.admins == 0 && scene.conversation.members > 0 {
                self.promote(&mut scene, user)?;
            }
        }
        Ok(self.notify(&mut scene, Notice::Removed(user)))
    }

    pub(super) fn rename(&mut self, id: ConversationId, title: &Text) -> Stepped {
        let mut scene = self.manage(id)?;
        if scene.conversation.title == *title {
            return Ok(Outcome::Changed(None));
        }
        scene.conversation.title = title.clone();
        Ok(self.notify(&mut scene, Notice::Renamed(title.clone())))
    }

    /// The way in for what only admins of groups and broadcasts may do.
    fn manage(&self, id: ConversationId) -> Result<Scene, Stop> {
        let scene = self.enter(id)?;
        if scene.conversation.kind == Kind::Direct || !scene.is_admin() {
            return Err(Rejection::Forbidden.into());
        }
        Ok(scene)
    }

    fn join(&mut self, id: ConversationId, user: UserId, member: Member) {
        self.put_member(id, user, member);
        self.change(Mutation::Put {
            table: Table::Membership,
            key: Bytes::copy_from_slice(&key::membership(user, id)),
            value: Bytes::new(),
            expires: Timestamp::NEVER,
        });
        self.tell(Event::Joined { conversation: id, user });
    }

    /// Makes the longest-standing member an admin, now that the last one leaves. Reads every
    /// membership there ever was; only this step does, and only then.
    fn promote(&mut self, scene: &mut Scene, leaver: UserId) -> Result<(), EngineError> {
        let mut eldest: Option<(Timestamp, UserId, Member)> = None;
        let all = key::members(scene.id, None);
        scan::each(self.state, Table::Member, &all, Direction::Forward, self.now, |key, value| {
            let (user, member) = (key::member_user(key)?, Member::decode(value)?);
            let elder = eldest.as_ref().is_none_or(|(joined, id, _)| (member.joined, user) < (*joined, *id));
            if member.is_active() && user != leaver && elder {
                eldest = Some((member.joined, user, member));
            }
            Ok(ControlFlow::Continue(()))
        })?;
        if let Some((_, user, mut member)) = eldest {
            member.role = Role::Admin;
            self.put_member(scene.id, user, member);
            scene.conversation.admins = 1;
        }
        Ok(())
    }
}

fn check_members_max(members: usize, policy: Policy) -> Result<u32, Rejection> {
    let max = policy.members_max;
    u32::try_from(members).ok().filter(|members| *members <= max).ok_or(Rejection::MembersMax { max })
}
