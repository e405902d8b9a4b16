//! `send`, `history`, `receipts` and `delete`: one message or one look, and away.
//!
//! Each opens a session, asks, prints and says goodbye. None takes deliveries or marks anything as
//! received or read: that is `tail`'s.

use std::io::{self, Read, Write};
use std::time::Duration;

use anyhow::ensure;
use clap::Args;
use wardline_client::{Direction, Outgoing, Priority, Sequence};

use super::session::{Connection, Named, Purpose};
use super::{show, time};

/// Longest text read from stdin; the broker's own limit is lower as a rule.
const TEXT_BYTES_MAX: u64 = 4 << 20;

#[derive(Debug, Args)]
pub(super) struct Send {
    /// Where: an id, or @user for the direct conversation with somebody.
    conversation: Named,
    /// What; - reads it from stdin. One that begins with a dash is fine; one that is an option of
    /// this command, like --urgent, goes last and behind --.
    #[arg(allow_hyphen_values = true)]
    text: String,
    /// Overtakes other messages.
    #[arg(long)]
    urgent: bool,
    /// The number of the message that this one answers.
    #[arg(long, value_name = "NUMBER")]
    reply_to: Option<Sequence>,
    /// Forget it after this time, like 1h, if that is sooner than the conversation does.
    #[arg(long, value_name = "TIME", value_parser = time::some)]
    expires: Option<Duration>,
    #[command(flatten)]
    connection: Connection,
}

impl Send {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let text = match self.text.as_str() {
            "-" => {
                let mut text = String::new();
                io::stdin().take(TEXT_BYTES_MAX + 1).read_to_string(&mut text)?;
                ensure!(text.len() as u64 <= TEXT_BYTES_MAX, "the text is over 4 MiB; send it in parts");
                text.trim_end().to_owned()
            }
            _ => self.text,
        };
        ensure!(!text.is_empty(), "there is no text to send");
        let session = self.connection.open(Purpose::Request).await?;
        let conversation = self.conversation.find(&session.client).await?;
        let message = Outgoing {
            priority: if self.urgent { Priority::Urgent } else { Priority::Routine },
            reply_to: self.reply_to,
            expires_in: self.expires,
            ..Outgoing::text(conversation, text)
        };
        let ack = session.client.publish(message).await?;
        writeln!(io::stdout(), "#{} {}", ack.sequence, show::time(ack.time_ms))?;
        if self.urgent && ack.priority == Priority::Routine {
            writeln!(
                io::stderr(),
                "it was sent as routine: you have sent more urgent messages than you may"
            )?;
        }
        session.close().await;
        Ok(())
    }
}

#[derive(Debug, Args)]
pub(super) struct History {
    /// Which: an id, or @user for the direct conversation with somebody.
    conversation: Named,
    /// How many messages at most: the latest, unless --after is given.
    #[arg(long, value_name = "COUNT", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Those before this number.
    #[arg(long, value_name = "NUMBER", conflicts_with = "after")]
    before: Option<Sequence>,
    /// Those after this number.
    #[arg(long, value_name = "NUMBER")]
    after: Option<Sequence>,
    #[command(flatten)]
    connection: Connection,
}

impl History {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let session = self.connection.open(Purpose::Request).await?;
        let conversation = self.conversation.find(&session.client).await?;
        let (direction, mut from) = match self.after {
            Some(after) => (Direction::Forward, after),
            None => (Direction::Backward, self.before.unwrap_or(0)),
        };
        let mut entries = Vec::new();
        let mut missing = self.limit;
        while missing > 0 {
            let page = session.client.history(conversation, from, direction, missing.min(100)).await?;
            missing = missing.saturating_sub(u32::try_from(page.entries.len()).unwrap_or(u32::MAX));
            entries.extend(page.entries);
            match page.next_from {
                Some(next) => from = next,
                None => break,
            }
        }
        entries.sort_by_key(|entry| entry.sequence);
        let mut out = io::stdout().lock();
        for entry in &entries {
            show::entry(entry, &session.user).print(&mut out)?;
        }
        drop(out);
        session.close().await;
        Ok(())
    }
}

#[derive(Debug, Args)]
pub(super) struct Receipts {
    /// Which: an id, or @user for the direct conversation with somebody.
    conversation: Named,
    /// The message's number.
    #[arg(value_name = "NUMBER")]
    sequence: Sequence,
    #[command(flatten)]
    connection: Connection,
}

impl Receipts {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let session = self.connection.open(Purpose::Request).await?;
        let conversation = self.conversation.find(&session.client).await?;
        let mut after = None;
        loop {
            let page = session.client.receipts(conversation, self.sequence, 100, after).await?;
            let mut out = io::stdout().lock();
            for recipient in &page.items {
                show::recipient(recipient).print(&mut out)?;
            }
            drop(out);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        session.close().await;
        Ok(())
    }
}

#[derive(Debug, Args)]
pub(super) struct Delete {
    /// Which: an id, or @user for the direct conversation with somebody.
    conversation: Named,
    /// The message's number.
    #[arg(value_name = "NUMBER")]
    sequence: Sequence,
    #[command(flatten)]
    connection: Connection,
}

impl Delete {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let session = self.connection.open(Purpose::Request).await?;
        let conversation = self.conversation.find(&session.client).await?;
        let told = match session.client.delete(conversation, self.sequence).await? {
            Some(_) => "deleted",
            None => "deleted before",
        };
        writeln!(io::stdout(), "#{} {told}", self.sequence)?;
        session.close().await;
        Ok(())
    }
}
