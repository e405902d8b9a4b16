//! What a delivery reads of the store next, and what becomes of what was read.
//!
//! Urgent messages have a read of their own, whatever else is under way. New memberships have turns
//! with the rest: neither many invitations nor a long backlog hold the other up.

use std::collections::HashMap;
use std::sync::Arc;

use wardline_storage::id::ConversationId;

use super::super::catch_up::{self, Beginning};
use super::super::following::Place;
use super::super::job::{self, Done, Job};
use super::Delivery;
use crate::wire;

impl Delivery {
    /// Begins the next read of the store, if there is one to do.
    pub(super) fn start_job(&mut self) {
        if self.call_job.is_none() && self.called.is_none() && !self.calls.is_empty() {
            let calls = std::mem::take(&mut self.calls);
            self.call_job = Some(job::call(Arc::clone(&self.all), self.follower.clone(), calls));
        }
        if self.job.is_some() {
            return;
        }
        // In turns: neither many invitations nor a long backlog hold the other up.
        if !self.joined_last
            && let Some(conversation) = self.next_joined()
        {
            self.joined_last = true;
            self.job = Some(self.join_job(conversation));
            return;
        }
        self.joined_last = false;
        let may_load = self.joining.len() < catch_up::PAGE_CONVERSATIONS
            && self.calls.len() < self.all.limits.conversations_max.max(catch_up::PAGE_CONVERSATIONS);
        if let Some(after) = self.loading.take_if(|_| may_load) {
            self.job = Some(self.page_job(after));
        } else if self.begun && self.chunk.is_none() {
            self.job = self.chunk_job();
        }
        if self.job.is_none()
            && let Some(conversation) = self.next_joined()
        {
            self.job = Some(self.join_job(conversation));
        }
    }

    /// Takes the next new membership, if there is room to tell of it.
    fn next_joined(&mut self) -> Option<ConversationId> {
        if self.has_room_to_tell() { self.joining.pop_first() } else { None }
    }

    fn join_job(&mut self, conversation: ConversationId) -> Job {
        let follows = self.following.of(conversation).is_some_and(|follow| follow.is_active());
        if !follows {
            self.unfollow(conversation);
        }
        let slot = (!follows).then(|| self.following.reserve(1));
        let resume = self.resume.get(&conversation).copied();
        job::join(Arc::clone(&self.all), self.follower.clone(), conversation, slot, resume)
    }

    fn page_job(&mut self, after: Option<ConversationId>) -> Job {
        let first = self.following.reserve(catch_up::PAGE_CONVERSATIONS as u64);
        job::page(Arc::clone(&self.all), self.follower.clone(), after, first, self.resume.clone())
    }

    fn chunk_job(&mut self) -> Option<Job> {
        loop {
            let (slot, after) = self.progress.next_read()?;
            if let Some(gap) = self.following.get(slot).and_then(|follow| follow.gap(after)) {
                self.all.metrics.lag_entries.record((gap.up_to.0 - after.0) as f64);
                return Some(job::chunk(Arc::clone(&self.all), self.follower.whose(), gap));
            }
            // The user left, or there is nothing beyond: the tail says the rest.
            self.progress.chunk_sent(slot, after, 0, false);
        }
    }

    pub(super) fn done(&mut self, done: Done) {
        match done {
            Done::Chunk(chunk) => {
                if self.following.get(chunk.slot).is_some() {
                    self.chunk = Some(chunk);
                }
            }
            Done::Called(mut called) => {
                self.calls.append(std::mem::take(&mut called.rest));
                self.called = (!called.is_sent()).then_some(called);
            }
            Done::Joined(conversation, found, summary) => {
                if let Some(summary) = summary {
                    wire::joined(*summary, self.ordered.buffer());
                }
                let resume = self.resume.remove(&conversation);
                if let Some(found) = found
                    && let Place::None(_) = self.follow(found, resume)
                {
                    wire::not_followed(conversation, self.ordered.buffer());
                }
            }
            Done::Page(page) => self.page_done(page),
        }
    }

    fn page_done(&mut self, page: Beginning) {
        for found in page.found {
            let conversation = found.follow.conversation();
            if !self.begun {
                let resume = self.resume.get(&conversation).copied();
                self.follow(found, resume);
            } else if self.following.may_have_passed_over(conversation) {
                self.follow(found, None);
            } else if self.following.of(conversation).is_none() {
                // Looked at anew: that they joined may not have been heard.
                self.joining.insert(conversation);
            }
        }
        self.loading = page.next.map(Some);
        if self.loading.is_none() && !self.begun {
            self.begun = true;
            self.resume = HashMap::new();
            self.following.begun();
            self.progress.loaded();
            let not_followed = self.following.not_followed();
            if not_followed > 0 {
                tracing::warn!(code = "follows-too-many", session = %self.session, not_followed, "follows as many conversations as it may: of the others only urgent messages are sent");
            }
        }
    }
}
