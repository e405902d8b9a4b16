//! Listings, of somebody's conversations or of encounters, read in steps.
//!
//! What it takes to count the unread messages of one conversation is bounded; of two hundred it is
//! more than others should wait for. So a step ends once it has looked at a bounded number of
//! records, and a page once all its steps have: it is shorter then, and says where it goes on.
//!
//! Invariant: a step looks at least at one of what is listed, or brings the end.

use std::collections::VecDeque;

use wardline_storage::engine::EngineError;
use wardline_storage::id::{ConversationId, UserId};
use wardline_storage::retention::Rules;
use wardline_storage::view::{Page, Summary, View};

use crate::limits::{LISTING_RECORDS_MAX, LISTING_STEP_RECORDS};
use crate::wire::PageRequest;

/// What is listed.
pub(super) trait Listable: Send + 'static {
    type Id: Copy + Send;
    type Item: Send;

    /// Where to look for a page.
    fn find(&self, view: View<'_>, page: &PageRequest) -> Result<Page<Self::Id, Self::Id>, EngineError>;

    /// What is shown of one; `None`: it is not in the list.
    fn look(&self, view: View<'_>, rules: &Rules, id: Self::Id) -> Result<Option<Self::Item>, EngineError>;
}

/// The conversations of a user.
pub(super) struct Conversations(pub(super) UserId);

impl Listable for Conversations {
    type Id = ConversationId;
    type Item = Summary;

    fn find(&self, view: View<'_>, page: &PageRequest) -> Result<Page<Self::Id, Self::Id>, EngineError> {
        view.memberships(self.0, page.after.map(ConversationId::new), page.entries)
    }

    /// Left between the two reads: not in the list any more.
    fn look(&self, view: View<'_>, rules: &Rules, id: Self::Id) -> Result<Option<Summary>, EngineError> {
        view.access(self.0, id)?.map(|access| view.summary(access, rules)).transpose()
    }
}

/// A page that is being made.
pub(super) struct Listing<L: Listable> {
    of: L,
    /// What it was asked for; `None`: the ids are known.
    asked: Option<PageRequest>,
    left: VecDeque<L::Id>,
    /// Up to here it was looked at.
    through: Option<L::Id>,
    items: Vec<L::Item>,
    /// Where the page after this one goes on.
    next: Option<L::Id>,
    cost: u64,
}

impl<L: Listable> Listing<L> {
    /// Nothing is read yet.
    pub(super) fn new(of: L, asked: PageRequest) -> Self {
        Self {
            of,
            asked: Some(asked),
            left: VecDeque::new(),
            through: None,
            items: Vec::new(),
            next: None,
            cost: 0,
        }
    }

    /// Reads on.
    ///
    /// # Errors
    /// [`EngineError`] if the storage could not be read.
    pub(super) fn step(&mut self, view: View<'_>) -> Result<(), EngineError> {
        if let Some(page) = self.asked.take() {
            let ids = self.of.find(view, &page)?;
            (self.left, self.next) = (ids.items.into(), ids.next);
        }
        let (begun, rules) = (view.records(), view.rules()?);
        while view.records() - begun < LISTING_STEP_RECORDS {
            let Some(id) = self.left.pop_front() else { return Ok(()) };
            self.items.extend(self.of.look(view, &rules, id)?);
            self.through = Some(id);
        }
        Ok(())
    }

    /// Whether the page is ready, after a step that cost so much.
    pub(super) fn is_done(&mut self, cost: u64) -> bool {
        self.cost += cost;
        self.left.is_empty() || self.cost >= LISTING_RECORDS_MAX
    }

    /// The page, as far as it was read.
    pub(super) fn into_page(self) -> Page<L::Item, L::Id> {
        let next = if self.left.is_empty() { self.next } else { self.through };
        Page { items: self.items, next }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use wardline_storage::applier::Applier;
    use wardline_storage::command::{Actor, Command, Create, Publish, Submission};
    use wardline_storage::id::{ClientMessageId, DeviceId, TenantId, Timestamp};
    use wardline_storage::memory::MemoryEngine;
    use wardline_storage::model::{Kind, Person, Policy, Priority, Text};
    use wardline_storage::view::Spent;

    use super::*;

    const NOW: Timestamp = Timestamp(1_000);
    const ANN: UserId = UserId::new([1; 16]);
    const BOB: UserId = UserId::new([2; 16]);
    const CONVERSATIONS: u8 = 60;
    const MESSAGES: u32 = 400;

    /// Conversations of Ann and Bob, in which Bob has read nothing.
    fn store() -> Arc<MemoryEngine> {
        let engine = Arc::new(MemoryEngine::default());
        let mut applier = Applier::new(Arc::clone(&engine) as _).expect("memory does not fail");
        let policy = Policy {
            retention_max: Duration::from_secs(3600),
            dedupe_window: Duration::from_secs(60),
            members_max: 10,
            devices_max: 4,
        };
        let mut commands = vec![Command::SetPolicy(policy)];
        for number in 0..CONVERSATIONS {
            let conversation = ConversationId::new([number; 16]);
            let others = vec![Person { user: BOB, name: Text::new("bob") }];
            let (kind, title) = (Kind::Group, Text::new("Ward"));
            commands.push(Command::Create(Create { conversation, kind, others, title, retention: None }));
            commands.extend((0..MESSAGES).map(|message| {
                let mut client_id = [0; 16];
                client_id[..4].copy_from_slice(&message.to_be_bytes());
                Command::Publish(Publish {
                    conversation,
                    client_id: ClientMessageId::new(client_id),
                    content_type: Text::new("text/plain"),
                    payload: Default::default(),
                    priority: Priority::Routine,
                    reply_to: None,
                    expires_in: None,
                })
            }));
        }
        let (tenant, user, name) = (TenantId::new([9; 16]), ANN, Text::new("ann"));
        let actor = Arc::new(Actor {
            tenant,
            user,
            name,
            device: DeviceId::new([0; 16]),
            rights: Default::default(),
        });
        let group: Vec<Submission> =
            commands.into_iter().map(|command| Submission { actor: Arc::clone(&actor), command }).collect();
        let result = applier.apply_group(NOW, &group).expect("memory does not fail");
        assert!(result.verdicts.iter().all(Result::is_ok));
        engine
    }

    #[test]
    fn a_listing_is_read_in_steps_and_a_page_ends_where_it_cost_enough() {
        let engine = store();
        let (mut listed, mut after, mut pages) = (Vec::new(), None, 0);
        loop {
            let mut listing = Listing::new(Conversations(BOB), PageRequest { entries: 200, after });
            let mut steps = 0;
            loop {
                let spent = Spent::default();
                listing.step(View::metered(&*engine, NOW, &spent)).expect("memory does not fail");
                steps += 1;
                // A step goes over its bound by no more than one conversation, and the ids.
                let most = LISTING_STEP_RECORDS + u64::from(MESSAGES) + 200 + 10;
                assert!(spent.records() <= most, "{} records", spent.records());
                if listing.is_done(spent.records()) {
                    break;
                }
            }
            assert!(steps > 1, "others have their turn between");
            let page = listing.into_page();
            assert!(page.items.iter().all(|item| item.unread == MESSAGES));
            listed.extend(page.items.iter().map(|item| item.access.id));
            pages += 1;
            match page.next {
                Some(next) => after = Some(*next.as_bytes()),
                None => break,
            }
        }
        assert_eq!(pages, 2);
        let all: Vec<_> = (0..CONVERSATIONS).map(|number| ConversationId::new([number; 16])).collect();
        assert_eq!(listed, all);
    }
}
