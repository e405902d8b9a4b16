//! `tail`: shows what arrives, and turns one's own check marks as others receive and read.
//!
//! What arrives is acknowledged as received, of every conversation, shown or not: this device has
//! it then. What is shown is marked as read if somebody looks: with `--read`, or if stdout is a
//! terminal. An urgent message that overtook others is marked alone, never those that it overtook.

use std::collections::{BTreeSet, HashMap};
use std::io::{self, IsTerminal as _, Write};
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;
use wardline_client::{
    Body, Client, Conversation, ConversationId, Entry, Incoming, NotFollowed, Priority, Receipt, ReceiptKind,
    Sequence, Status,
};

use super::rows::Line;
use super::session::{Connection, Named, Purpose, Session};
use super::{plain, show, time};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Only this one: an id, or @user for the direct conversation with somebody.
    conversation: Option<Named>,
    /// Marks what is shown as read. The default if stdout is a terminal.
    #[arg(long)]
    read: bool,
    /// Ends after this time, like 5s.
    #[arg(long = "for", value_name = "TIME", value_parser = time::some)]
    duration: Option<Duration>,
    /// Ends after so many messages were shown.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    #[command(flatten)]
    connection: Connection,
}

impl Arguments {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let mut session = self.connection.open(Purpose::Receive).await?;
        let only = match &self.conversation {
            Some(named) => Some(named.find(&session.client).await?),
            None => None,
        };
        let read = self.read || io::stdout().is_terminal();
        let mut screen = Screen::new(&session, only, read).await?;
        let who = plain::name(&session.user);
        writeln!(io::stderr(), "connected as {who}; Ctrl-C ends")?;
        let ended = self.follow(&mut session, &mut screen).await;
        session.close().await;
        ended
    }

    async fn follow(&self, session: &mut Session, screen: &mut Screen) -> anyhow::Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut status = session.client.status();
        // Far enough away to be never.
        let end = Instant::now() + self.duration.unwrap_or(Duration::from_secs(10 * 365 * 86_400));
        loop {
            let incoming = tokio::select! {
                incoming = session.inbox.next() => incoming,
                Ok(()) = status.changed() => {
                    let now = status.borrow_and_update().clone();
                    say(&now)?;
                    continue;
                }
                () = tokio::time::sleep_until(end) => return Ok(()),
                _ = interrupt.recv() => return Ok(()),
                _ = terminate.recv() => return Ok(()),
            };
            match incoming {
                Some(incoming) => screen.take(incoming, &session.client)?,
                None => match &*status.borrow() {
                    Status::Closed { why } => bail!("the session has ended: {why}"),
                    _ => bail!("the session has ended"),
                },
            }
            if self.count.is_some_and(|count| screen.shown >= count) {
                return Ok(());
            }
        }
    }
}

/// Tells people about the connection.
fn say(status: &Status) -> io::Result<()> {
    match status {
        Status::Connected(_) => writeln!(io::stderr(), "connected"),
        Status::Reconnecting { attempt: 0 | 1, why, .. } => {
            writeln!(io::stderr(), "connection lost, trying again: {}", plain::lines(why).join(" "))
        }
        Status::Reconnecting { .. } | Status::Closed { .. } => Ok(()),
    }
}

/// What is shown, and how far it is read.
struct Screen {
    me: String,
    only: Option<ConversationId>,
    read: bool,
    /// Messages shown.
    shown: u64,
    reaches: HashMap<ConversationId, Reach>,
    /// What people call the conversations.
    labels: HashMap<ConversationId, String>,
}

impl Screen {
    async fn new(session: &Session, only: Option<ConversationId>, read: bool) -> anyhow::Result<Self> {
        let me = session.user.clone();
        let mut screen = Self { me, only, read, shown: 0, reaches: HashMap::new(), labels: HashMap::new() };
        let mut after = None;
        loop {
            let page = session.client.conversations(100, after).await?;
            for conversation in &page.items {
                screen.know(conversation);
            }
            after = page.next;
            if after.is_none() {
                return Ok(screen);
            }
        }
    }

    fn know(&mut self, conversation: &Conversation) {
        self.labels.insert(conversation.id, show::label(conversation));
        self.reaches.entry(conversation.id).or_default().through = conversation.read_up_to;
    }

    fn take(&mut self, incoming: Incoming, client: &Client) -> io::Result<()> {
        match incoming {
            Incoming::Entry(entry) if self.shows(entry.conversation) => self.entry(&entry, client),
            Incoming::Receipt(receipt) if self.shows(receipt.conversation) && receipt.user != self.me => {
                let marked = self.reaches.entry(receipt.conversation).or_default().mark(&receipt);
                match marked {
                    Some(sequence) => self.line(receipt.conversation, show::receipt(&receipt, sequence)),
                    None => Ok(()),
                }
            }
            Incoming::Joined(conversation) => {
                self.know(&conversation);
                Ok(())
            }
            Incoming::Left(conversation) => {
                self.reaches.remove(&conversation);
                self.labels.remove(&conversation);
                Ok(())
            }
            Incoming::NotFollowed(which) => tell_not_followed(which),
            Incoming::Entry(_) | Incoming::Receipt(_) | Incoming::CaughtUp => Ok(()),
        }
    }

    fn shows(&self, conversation: ConversationId) -> bool {
        self.only.is_none_or(|only| only == conversation)
    }

    fn entry(&mut self, entry: &Entry, client: &Client) -> io::Result<()> {
        self.line(entry.conversation, show::entry(entry, &self.me))?;
        if matches!(entry.body, Body::Message { .. }) {
            self.shown += 1;
        }
        if entry.sender == self.me {
            self.reaches.entry(entry.conversation).or_default().note_own(entry.sequence);
        }
        if self.read {
            match self.reaches.entry(entry.conversation).or_default().show(entry) {
                Reached::UpTo(sequence) => client.read(entry.conversation, sequence),
                Reached::Only(sequence) => client.read_only(entry.conversation, sequence),
            }
        }
        Ok(())
    }

    fn line(&self, conversation: ConversationId, mut line: Line) -> io::Result<()> {
        if let (None, Some(label)) = (self.only, self.labels.get(&conversation)) {
            line.head = format!("{label:<16} {}", line.head);
        }
        let mut out = io::stdout().lock();
        line.print(&mut out)?;
        out.flush()
    }
}

/// There are more conversations than a session follows: says so beside what people say.
fn tell_not_followed(which: NotFollowed) -> io::Result<()> {
    match which {
        NotFollowed::Some(count) => {
            writeln!(
                io::stderr(),
                "of {count} conversations only urgent messages come: a session follows no more"
            )
        }
        NotFollowed::One(id) => {
            writeln!(
                io::stderr(),
                "of conversation {id} only urgent messages come: a session follows no more"
            )
        }
    }
}

/// Own messages whose check marks are turned one by one, the latest of a conversation.
const OWN_MAX: usize = 256;

/// How far a conversation was shown without a gap, and how far others are with our messages.
#[derive(Default)]
struct Reach {
    through: Sequence,
    /// Urgent messages shown ahead of their turn.
    ahead: BTreeSet<Sequence>,
    /// Our messages that were shown.
    own: BTreeSet<Sequence>,
    /// The latest message that somebody's check mark was shown for; apart for received and read.
    marked: HashMap<(String, bool), Sequence>,
}

/// What showing an entry makes read.
#[derive(Debug, PartialEq, Eq)]
enum Reached {
    UpTo(Sequence),
    Only(Sequence),
}

impl Reach {
    fn show(&mut self, entry: &Entry) -> Reached {
        let urgent = matches!(&entry.body, Body::Message { priority: Priority::Urgent, .. });
        if urgent && entry.sequence > self.through + 1 {
            self.ahead.insert(entry.sequence);
            return Reached::Only(entry.sequence);
        }
        // Entries that are not urgent come in order: whatever lies before has been shown, or is
        // gone.
        self.through = self.through.max(entry.sequence);
        while self.ahead.remove(&(self.through + 1)) {
            self.through += 1;
        }
        self.ahead = self.ahead.split_off(&(self.through + 1));
        Reached::UpTo(self.through)
    }

    fn note_own(&mut self, sequence: Sequence) {
        self.own.insert(sequence);
        if self.own.len() > OWN_MAX {
            self.own.pop_first();
        }
    }

    /// The latest of our messages that a receipt newly covers; `None` if it says nothing new about
    /// ours.
    fn mark(&mut self, receipt: &Receipt) -> Option<Sequence> {
        if receipt.only {
            return Some(receipt.sequence);
        }
        // Of messages sent before this began we know nothing; then the receipt is shown as it is.
        let latest = self.own.range(..=receipt.sequence).next_back().copied().unwrap_or(receipt.sequence);
        let read = receipt.kind == ReceiptKind::Read;
        let before = self.marked.entry((receipt.user.clone(), read)).or_default();
        (latest > *before).then(|| {
            *before = latest;
            latest
        })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use wardline_client::{ConversationId, MessageId};

    use super::*;

    fn entry(sequence: Sequence, priority: Priority) -> Entry {
        let content_type = "text/plain".into();
        let payload = Bytes::from_static(b"x");
        let body = Body::Message { id: MessageId([0; 16]), content_type, payload, priority, reply_to: None };
        Entry {
            conversation: ConversationId([0; 16]),
            sequence,
            sender: "bob".into(),
            time_ms: 0,
            expires_at_ms: 0,
            body,
        }
    }

    #[test]
    fn what_an_urgent_message_overtook_is_not_marked_as_read_with_it() {
        use Priority::{Routine, Urgent};
        use Reached::{Only, UpTo};
        let mut reach = Reach { through: 4, ..Reach::default() };
        let steps = [
            (5, Urgent, UpTo(5)),
            (8, Urgent, Only(8)),
            (7, Urgent, Only(7)),
            (6, Routine, UpTo(8)),
            (12, Urgent, Only(12)),
            // 9 and 10 have expired: what comes in order says so.
            (11, Routine, UpTo(12)),
        ];
        for (sequence, priority, reached) in steps {
            assert_eq!(reach.show(&entry(sequence, priority)), reached, "{sequence}");
        }
        assert!(reach.ahead.is_empty());
    }
}
