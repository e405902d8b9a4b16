//! Queries: what is read from the store for a request, on a blocking thread.
//!
//! A client may say how far a read must see: then it waits, within a bound, until the store has
//! come so far, and each answer says how far it had come before it was read. Every one begins with
//! the caller's access, so that what may not be seen and what does not exist are one answer. What
//! is answered has its room in memory before it is read, and keeps it until it is written; a
//! listing is read in steps, between which others have their turn.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};
use wardline_storage::engine::{Direction, EngineError};
use wardline_storage::id::{ConversationId, EncounterId, Seq, UserId, WardId};
use wardline_storage::log::Log;
use wardline_storage::view::{Access, Page, View};

use super::contexts::{self, Contexts, Reader};
use super::listing::{Conversations, Listable, Listing};
use super::reads::Reads;
use crate::limits::{ENCOUNTER_BYTES_MAX, ENTRY_BYTES_MAX, Limits};
use crate::refusal::{Code, Refusal};
use crate::shares::Shares;
use crate::shares::kind::Kind;
use crate::shares::line::Turn;
use crate::shares::principal::Principal;
use crate::shares::share::Portion;
use crate::wire::{PageRequest, Response};

/// Longest wait of a read for what it must see.
const REACH_MAX: Duration = Duration::from_secs(1);
/// How often it is looked meanwhile. Rare enough to cost nothing: on one node, who was acknowledged
/// need not wait at all.
const REACH_LOOK_EVERY: Duration = Duration::from_millis(10);

/// Longest wait of a read for room in memory: for its own principal to read earlier answers.
const ROOM_MAX: Duration = Duration::from_secs(10);

/// A question to the store.
pub(crate) enum Query {
    /// One conversation, as a list shows it.
    Conversation(ConversationId),
    /// The caller's conversations.
    Conversations(PageRequest),
    /// Who is in it.
    Members { conversation: ConversationId, page: PageRequest },
    /// What was said.
    History { conversation: ConversationId, from: Seq, direction: Direction, entries: usize },
    /// Who received and read a message.
    Receipts { conversation: ConversationId, seq: Seq, page: PageRequest },
    /// Encounters that the reader may see, on a ward or anywhere.
    Contexts { reader: Reader, ward: Option<WardId>, page: PageRequest },
    /// The conversations about an encounter.
    ContextConversations { reader: Reader, encounter: EncounterId, page: PageRequest },
    /// What the record says of an encounter.
    Encounter { reader: Reader, encounter: EncounterId },
}

/// An answer to a query.
pub(crate) struct Answered {
    /// What the store had come to before it was read; 0: it rests on nothing.
    pub(crate) position: u64,
    pub(crate) response: Response,
    /// Its room in memory, to be held until it is written.
    pub(crate) room: Option<Portion>,
}

/// What answers to queries are bounded by.
#[derive(Clone, Copy)]
pub(crate) struct Bounds {
    page_bytes_max: usize,
}

/// Answers queries.
pub(crate) struct Queries {
    log: Arc<dyn Log>,
    reads: Arc<Reads>,
    shares: Arc<Shares>,
    bounds: Bounds,
}

impl Queries {
    /// From what this reads of a store that this log writes.
    pub(crate) fn new(log: Arc<dyn Log>, reads: Arc<Reads>, shares: Arc<Shares>, limits: &Limits) -> Self {
        Self { log, reads, shares, bounds: Bounds { page_bytes_max: limits.page_bytes_max } }
    }

    /// Answers a query as of now, once the store has come to a position, it is the principal's
    /// turn, and there is room for the answer.
    ///
    /// # Cancellation
    /// A read that has begun runs to its end, and its result is dropped.
    pub(crate) async fn answer(&self, whose: Principal, at_least: u64, query: Query) -> Answered {
        let position = match self.reach(at_least).await {
            Ok(position) => position,
            Err(refusal) => return Answered::refused(refusal),
        };
        let Ok(_in_hand) = self.shares.reads.take(whose, 1) else {
            return Answered::refused(self.shares.held(whose, Kind::Reads));
        };
        match self.read(whose, query).await {
            Ok((response, mut room)) => {
                room.shrink(response.bytes());
                Answered { position, response, room: Some(room) }
            }
            Err(refusal) => Answered::refused(refusal),
        }
    }

    async fn read(&self, whose: Principal, query: Query) -> Result<(Response, Portion), Refusal> {
        let (turn, room) = self.turn(whose, query.bytes_max(self.bounds.page_bytes_max)).await?;
        let bounds = self.bounds;
        let response = match query {
            Query::Conversations(page) => {
                let listing = Listing::new(Conversations(whose.user), page);
                Response::Conversations(self.list(whose, turn, listing).await?)
            }
            Query::Contexts { reader, ward, page } => {
                let listing = Listing::new(Contexts { reader, ward }, page);
                Response::Contexts(self.list(whose, turn, listing).await?)
            }
            query => {
                let read = move |view: View<'_>| bounds.answer(view, whose.user, &query);
                self.reads.within(turn, read).await?.0
            }
        };
        Ok((response, room))
    }

    /// Waits for a turn, with room for what is read in it. Nobody has a turn who waits for room.
    async fn turn(&self, whose: Principal, bytes: usize) -> Result<(Turn, Portion), Refusal> {
        let until = Instant::now() + ROOM_MAX;
        loop {
            if timeout_at(until, self.shares.pages.room(whose, bytes)).await.is_err() {
                return Err(self.shares.held(whose, Kind::Pages));
            }
            let turn = self.reads.turn(whose).await?;
            if let Ok(room) = self.shares.pages.take(whose, bytes) {
                return Ok((turn, room));
            }
        }
    }

    /// Lists in steps.
    async fn list<L: Listable>(
        &self,
        whose: Principal,
        first: Turn,
        mut listing: Listing<L>,
    ) -> Result<Page<L::Item, L::Id>, Refusal> {
        let mut turn = first;
        loop {
            let step = move |view: View<'_>| {
                listing.step(view)?;
                Ok(listing)
            };
            let (stepped, cost) = self.reads.within(turn, step).await?;
            listing = stepped;
            if listing.is_done(cost) {
                return Ok(listing.into_page());
            }
            turn = self.reads.turn(whose).await?;
        }
    }

    async fn reach(&self, at_least: u64) -> Result<u64, Refusal> {
        let until = Instant::now() + REACH_MAX;
        loop {
            let position = self.log.applied().position;
            if position >= at_least {
                return Ok(position);
            }
            if Instant::now() >= until {
                let text = format!("at_least: the store has come to position {position} only; ask again");
                return Err(Refusal::new(Code::Unavailable, text).after(REACH_MAX));
            }
            sleep(REACH_LOOK_EVERY).await;
        }
    }
}

impl Answered {
    fn refused(refusal: Refusal) -> Self {
        Self { position: 0, response: Response::Refused(refusal), room: None }
    }
}

impl Query {
    /// Bytes that its answer takes in memory, at most.
    fn bytes_max(&self, page_bytes_max: usize) -> usize {
        match self {
            Self::Conversation(_) | Self::ContextConversations { .. } => 2 * ENTRY_BYTES_MAX,
            // With a title and the name of a peer; with label, ward and bed.
            Self::Conversations(page) | Self::Contexts { page, .. } => page.entries * 2 * ENTRY_BYTES_MAX,
            Self::Members { page, .. } | Self::Receipts { page, .. } => page.entries * ENTRY_BYTES_MAX,
            Self::History { entries, .. } => page_bytes_max + entries * ENTRY_BYTES_MAX,
            Self::Encounter { .. } => ENCOUNTER_BYTES_MAX,
        }
    }
}

impl Bounds {
    fn answer(&self, view: View<'_>, user: UserId, query: &Query) -> Result<Response, EngineError> {
        let conversation = match query {
            Query::Conversation(conversation)
            | Query::Members { conversation, .. }
            | Query::History { conversation, .. }
            | Query::Receipts { conversation, .. } => conversation,
            Query::ContextConversations { reader, encounter, page } => {
                let found = contexts::conversations(view, *reader, *encounter, page)?;
                return Ok(found.map_or_else(no_encounter, Response::Conversations));
            }
            Query::Encounter { reader, encounter } => {
                let found = contexts::show(view, *reader, *encounter)?;
                return Ok(found.map_or_else(no_encounter, |state| Response::Encounter(Box::new(state))));
            }
            // Those are read in steps.
            Query::Conversations(_) | Query::Contexts { .. } => {
                return Ok(Response::Refused(Refusal::internal()));
            }
        };
        match view.access(user, *conversation)? {
            Some(access) => self.within(view, access, query),
            None => Ok(Response::Refused(Refusal::not_found())),
        }
    }

    fn within(&self, view: View<'_>, access: Access, query: &Query) -> Result<Response, EngineError> {
        Ok(match query {
            Query::Conversation(_)
            | Query::Conversations(_)
            | Query::Contexts { .. }
            | Query::ContextConversations { .. }
            | Query::Encounter { .. } => {
                Response::Conversation(Box::new(view.summary(access, &view.rules()?)?))
            }
            Query::Members { page, .. } => {
                Response::Members(view.members(access.id, page.after.map(UserId::new), page.entries)?)
            }
            Query::History { from, direction, entries, .. } => {
                let bytes_max = self.page_bytes_max;
                let chunk = view.entries(&access, *from, *direction, *entries, bytes_max)?;
                Response::History(chunk, *direction)
            }
            Query::Receipts { seq, page, .. } => {
                match view.recipients(&access, *seq, page.after.map(UserId::new), page.entries)? {
                    Some(page) => Response::Receipts(page),
                    None => Response::Refused(Refusal::not_found()),
                }
            }
        })
    }
}

fn no_encounter() -> Response {
    Response::Refused(Refusal::new(Code::NotFound, "no such encounter, or you may not see it"))
}
