//! Conversations and who is in them.
//!
//! Invariants: `members` and `admins` count the active memberships; the `membership` index holds
//! exactly the active ones. Memberships are kept after somebody left. Nobody becomes admin because
//! others left: a group or broadcast may have none, and says so.

use std::collections::BTreeSet;

use bytes::Bytes;

use crate::command::{Create, Event, Outcome, Rejection};
use crate::engine::{Mutation, Table};
use crate::id::{ConversationId, Seq, Timestamp, UserId};
use crate::key;
use crate::model::{Conversation, Kind, Member, Notice, Person, Policy, Role, Text};

use super::retention::check_floor;
use super::{Step, Stepped};

impl Step<'_> {
    pub(super) fn create(&mut self, create: &Create) -> Stepped {
        let id = create.conversation;
        if self.state.conversation(id)?.is_some() {
            return self.enter(id).map(|_| Outcome::Created { conversation: id, existed: true });
        }
        let rules = self.rules()?;
        if create.kind == Kind::Broadcast && !self.actor.rights.broadcaster {
            return Err(Rejection::NotBroadcaster.into());
        }
        let mut seen = BTreeSet::from([self.actor.user]);
        let others: Vec<&Person> = create.others.iter().filter(|person| seen.insert(person.user)).collect();
        let direct = create.kind == Kind::Direct;
        if direct && others.len() != 1 {
            return Err(Rejection::Forbidden.into());
        }
        let members = check_members_max(others.len() + 1, rules.policy)?;
        check_floor(create.retention, &rules.keeping(self.actor.tenant, create.kind))?;

        let (now, actor) = (self.now, self.actor);
        let role = if direct { Role::Member } else { Role::Admin };
        let fresh = |name: &Text, role| Member {
            name: name.clone(),
            role,
            joined: now,
            visible_from: Seq(1),
            left_after: None,
            has_published: false,
            granted: false,
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
            context: None,
            is_care: false,
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
                granted: true,
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
        let own = user == self.actor.user;
        let is_fixed = scene.conversation.kind == Kind::Direct || scene.conversation.is_care;
        if is_fixed || !(own || self.is_admin(&scene)) {
            return Err(Rejection::Forbidden.into());
        }
        let Some(mut leaver) = self.state.member(id, user)?.filter(Member::is_active) else {
            return Ok(Outcome::Changed(None));
        };
        leaver.left_after = Some(scene.conversation.head);
        let before = scene.conversation.admins;
        scene.conversation.admins -= u32::from(leaver.role == Role::Admin);
        scene.conversation.members -= 1;
        self.put_member(id, user, leaver);
        self.delete(Table::Membership, &key::membership(user, id));
        // First, so that their sessions detach before the notice, which is not theirs to see.
        self.tell(Event::Left { conversation: id, user });
        let told = self.notify(&mut scene, Notice::Removed(user));
        self.tell_if_without_admin(&mut scene, before);
        Ok(told)
    }

    pub(super) fn rename(&mut self, id: ConversationId, title: &Text) -> Stepped {
        let mut scene = self.manage(id)?;
        if scene.conversation.title == *title {
            return Ok(Outcome::Changed(None));
        }
        scene.conversation.title = title.clone();
        Ok(self.notify(&mut scene, Notice::Renamed(title.clone())))
    }

    pub(super) fn join(&mut self, id: ConversationId, user: UserId, member: Member) {
        self.put_member(id, user, member);
        self.change(Mutation::Put {
            table: Table::Membership,
            key: Bytes::copy_from_slice(&key::membership(user, id)),
            value: Bytes::new(),
            expires: Timestamp::NEVER,
        });
        self.tell(Event::Joined { conversation: id, user });
    }
}

fn check_members_max(members: usize, policy: Policy) -> Result<u32, Rejection> {
    let max = policy.members_max;
    u32::try_from(members).ok().filter(|members| *members <= max).ok_or(Rejection::MembersMax { max })
}
