//! Reads everything back through QUIC, as every member, over sessions of their own.
//!
//! An auditor is a client that receives and publishes nothing, so that its reading changes nothing.
//! What it finds goes to the oracle; what it cannot read is an error of its own, [`Unreadable`],
//! since a damaged store may refuse.

use std::collections::HashMap;
use std::sync::Arc;

use crate::event::{Event, Index, Reading, Recipient, User};
use thiserror::Error;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use wardline_client::{Client, Conversation, ConversationId, DeviceId, Direction, Refusal, RequestError};

use crate::journal::Journal;
use crate::people::{Dial, Kind, MEMBERS, PATIENCE, Room, dial, found, noticed};

/// Entries asked for at a time; the broker may give less.
const PAGE: u32 = 1_000;
/// Between two attempts.
const PAUSE: std::time::Duration = std::time::Duration::from_millis(5);

/// Why not everything could be read.
#[derive(Debug, Error)]
pub enum Unreadable {
    /// The broker refuses.
    #[error("the broker refuses to answer: {0}")]
    Refused(#[from] Refusal),
    /// The broker does not answer in time, or the client has ended.
    #[error("the broker does not answer: {0}")]
    Silent(String),
}

/// A member who reads and nothing else.
#[derive(Clone)]
pub struct Auditor {
    user: User,
    client: Client,
    journal: Arc<Journal>,
}

/// One auditor for each member.
pub async fn auditors(to: &Dial, journal: &Arc<Journal>) -> anyhow::Result<Vec<Auditor>> {
    let mut auditors = Vec::new();
    for user in MEMBERS {
        let mut options = to.options(user, DeviceId::random())?;
        options.publish_only = true;
        let (client, _) = dial(options).await?;
        auditors.push(Auditor { user, client, journal: Arc::clone(journal) });
    }
    Ok(auditors)
}

/// Lets all of these read these conversations.
pub async fn audit(auditors: &[Auditor], rooms: &[Room]) -> Result<(), Unreadable> {
    let mut readers = JoinSet::new();
    for auditor in auditors {
        let (auditor, rooms) = (auditor.clone(), rooms.to_vec());
        readers.spawn(async move { auditor.read(&rooms).await });
    }
    while let Some(read) = readers.join_next().await {
        read.map_err(|error| Unreadable::Silent(error.to_string()))??;
    }
    Ok(())
}

impl Auditor {
    /// Their client.
    pub fn client(&self) -> &Client {
        &self.client
    }

    async fn read(&self, rooms: &[Room]) -> Result<(), Unreadable> {
        let since = self.journal.heard();
        let listed = self.conversations().await?;
        for room in rooms {
            let conversation = listed.get(&room.id);
            if let Some(conversation) = conversation {
                self.journal.note(Event::MarksRead {
                    user: self.user,
                    room: room.id,
                    since,
                    delivered: conversation.delivered_up_to,
                    read: conversation.read_up_to,
                });
                if room.kind == Kind::Governed {
                    let kept_ms = conversation.retention.as_millis() as u64;
                    self.journal.note(Event::KeptRead { room: room.id, since, kept_ms });
                }
                if room.kind.stays() {
                    // The first, one in the middle, and the last that this member has read.
                    let head = conversation.head;
                    let some = [head.min(1), head.div_ceil(2), conversation.read_up_to];
                    for sequence in some.into_iter().filter(|sequence| *sequence > 0) {
                        self.recipients(room.id, sequence).await?;
                    }
                }
            }
            // A conversation that is not listed is one without messages, and the oracle knows
            // better.
            let head = conversation.map_or(0, |conversation| conversation.head);
            self.history(room.id, since, head, conversation.is_some()).await?;
        }
        Ok(())
    }

    async fn history(
        &self,
        room: ConversationId,
        since: Index,
        head: u64,
        listed: bool,
    ) -> Result<(), Unreadable> {
        let began_ms = self.journal.now_ms();
        let (mut entries, mut notices) = (Vec::new(), Vec::new());
        let mut next = listed.then_some(0);
        while let Some(from) = next {
            let page = ask(|| self.client.history(room, from, Direction::Forward, PAGE)).await?;
            entries.extend(page.entries.iter().filter_map(found));
            notices.extend(page.entries.iter().filter_map(noticed));
            next = page.next_from;
        }
        let (reader, ended_ms) = (self.user, self.journal.now_ms());
        let reading = Reading { reader, room, since, began_ms, ended_ms, head, entries, notices };
        self.journal.note(Event::Read(reading));
        Ok(())
    }

    /// Who received and read one message.
    async fn recipients(&self, room: ConversationId, sequence: u64) -> Result<(), Unreadable> {
        let since = self.journal.heard();
        let page = ask(|| self.client.receipts(room, sequence, 0, None)).await?;
        let of = |name: &str| MEMBERS.into_iter().find(|user| user.0 == name);
        let recipients = page.items.into_iter().filter_map(|recipient| {
            Some(Recipient {
                user: of(&recipient.user)?,
                delivered_at_ms: recipient.delivered_at_ms,
                read_at_ms: recipient.read_at_ms,
            })
        });
        let recipients = recipients.collect();
        self.journal.note(Event::RecipientsRead { room, sequence, since, recipients });
        Ok(())
    }

    async fn conversations(&self) -> Result<HashMap<ConversationId, Conversation>, Unreadable> {
        let mut all = HashMap::new();
        let mut after = None;
        loop {
            let page = ask(|| self.client.conversations(PAGE, after.clone())).await?;
            all.extend(page.items.into_iter().map(|conversation| (conversation.id, conversation)));
            if page.next.is_none() {
                return Ok(all);
            }
            after = page.next;
        }
    }
}

/// Asks, again if the answer was lost: the broker may go at any time.
async fn ask<T, F>(request: impl Fn() -> F) -> Result<T, Unreadable>
where
    F: Future<Output = Result<T, RequestError>>,
{
    let deadline = Instant::now() + PATIENCE;
    loop {
        match request().await {
            Ok(answer) => return Ok(answer),
            Err(RequestError::Refused(refusal)) => return Err(refusal.into()),
            Err(RequestError::Unknown(_)) if Instant::now() < deadline => sleep(PAUSE).await,
            Err(error) => return Err(Unreadable::Silent(error.to_string())),
        }
    }
}
