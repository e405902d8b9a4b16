//! Who may do what, and who gives others a role.
//!
//! The one place where rights are looked up, and they are when they are used. A role that an admin
//! gave holds by the membership. One that somebody has because they made the conversation holds by
//! their token, where making it took one: in a broadcast it counts only while the token still says
//! broadcaster. No role comes by itself: a conversation that loses its last admin says so in a
//! notice, and the tenant's administrator names another.

use crate::command::{Outcome, Rejection};
use crate::id::{ConversationId, Seq, UserId};
use crate::model::{Conversation, Kind, Member, Notice, Role};

use super::{Scene, Step, Stepped, Stop};

impl Step<'_> {
    pub(super) fn is_admin(&self, scene: &Scene) -> bool {
        scene.member.role == Role::Admin && self.holds_role(scene)
    }

    pub(super) fn may_publish(&self, scene: &Scene) -> bool {
        match scene.conversation.kind {
            Kind::Direct | Kind::Group => true,
            Kind::Broadcast => scene.member.role != Role::Member && self.holds_role(scene),
        }
    }

    /// Whether whoever gave the actor their role still lets them have it.
    fn holds_role(&self, scene: &Scene) -> bool {
        let by_token = scene.conversation.kind == Kind::Broadcast && !scene.member.granted;
        !by_token || self.actor.rights.broadcaster
    }

    /// The way in for what only admins of groups and broadcasts may do.
    pub(super) fn manage(&self, id: ConversationId) -> Result<Scene, Stop> {
        let scene = self.enter(id)?;
        if scene.conversation.kind == Kind::Direct || !self.is_admin(&scene) {
            return Err(Rejection::Forbidden.into());
        }
        Ok(scene)
    }

    /// The way in for who gives roles: an admin, or the tenant's administrator, who need not be a
    /// member, and sees nothing by it.
    fn appoint(&self, id: ConversationId) -> Result<Scene<()>, Stop> {
        match self.manage(id) {
            Ok(Scene { conversation, .. }) => self.scene(id, conversation, ()),
            Err(Stop::Rejected(rejection)) => match self.state.conversation(id)? {
                Some(conversation) if self.administers(&conversation) => self.scene(id, conversation, ()),
                _ => Err(rejection.into()),
            },
            Err(failed) => Err(failed),
        }
    }

    fn administers(&self, conversation: &Conversation) -> bool {
        self.actor.rights.administrator
            && conversation.tenant == self.actor.tenant
            && conversation.kind != Kind::Direct
            && !conversation.is_care
    }

    pub(super) fn set_role(&mut self, id: ConversationId, user: UserId, role: Role) -> Stepped {
        let mut scene = self.appoint(id)?;
        let Some(mut member) = self.state.member(id, user)?.filter(Member::is_active) else {
            return Err(Rejection::NotMember.into());
        };
        // Who renews their own role does not make it last beyond their token.
        let granted = member.granted || user != self.actor.user || self.actor.rights.administrator;
        if (member.role, member.granted) == (role, granted) {
            return Ok(Outcome::Changed(None));
        }
        self.introduce(id)?;
        let before = scene.conversation.admins;
        scene.conversation.admins -= u32::from(member.role == Role::Admin);
        scene.conversation.admins += u32::from(role == Role::Admin);
        (member.role, member.granted) = (role, granted);
        self.put_member(id, user, member);
        let told = self.notify(&mut scene, Notice::Role(user, role));
        self.tell_if_without_admin(&mut scene, before);
        Ok(told)
    }

    /// Who changes what they were never in has to have a name there: that of somebody who has left,
    /// and was there for no entry.
    pub(super) fn introduce(&mut self, id: ConversationId) -> Result<(), Stop> {
        let user = self.actor.user;
        if self.state.member(id, user)?.is_none() {
            let stranger = Member {
                name: self.actor.name.clone(),
                role: Role::Member,
                joined: self.now,
                visible_from: Seq(1),
                left_after: Some(Seq::ZERO),
                has_published: false,
                granted: false,
            };
            self.put_member(id, user, stranger);
        }
        Ok(())
    }

    /// Says so if there were admins `before`, and nobody is one now.
    pub(super) fn tell_if_without_admin<M>(&mut self, scene: &mut Scene<M>, before: u32) {
        if before > 0 && scene.conversation.is_without_admin() {
            self.notify(scene, Notice::NoAdmin);
        }
    }
}
