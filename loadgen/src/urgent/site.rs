//! Where `urgent-worst` is done: people and groups under names of this run, and what one does there
//! all the time.
//!
//! Everything is the public SDK. Whoever waits here gives up in the end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use tokio::time::timeout;
use wardline_client::{
    Ack, Body, Client, ConversationId, DeviceId, Inbox, Incoming, NewConversation, Outgoing, Priority,
};

use crate::dialler::Dialler;

/// Nothing takes longer, or the broker is not there.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);

/// How much of each is done.
#[derive(Clone, Debug, clap::Args)]
pub struct Asked {
    /// Urgent messages of each measurement with and without a flood.
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u32).range(100..=100_000))]
    pub(super) calls: u32,
    /// Turns, each without and with the flood.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(super) turns: u32,
    /// Clients that send routine messages as fast as they are taken.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(super) flooders: u32,
    /// Own routine messages before an own urgent one.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(super) own: u32,
    /// Entries of the backlog of a device that comes back.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub(super) backlog: u32,
    /// Conversations that somebody was invited to.
    #[arg(long, default_value_t = 50_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(super) invitations: u32,
}

/// Where it is done, under names of this run.
pub(super) struct Site {
    pub(super) dialler: Arc<Dialler>,
    pub(super) run: String,
}

impl Site {
    pub(super) async fn person(&self, name: &str) -> anyhow::Result<(Client, Inbox)> {
        self.person_with(name, DeviceId::random()).await
    }

    pub(super) async fn person_with(&self, name: &str, device: DeviceId) -> anyhow::Result<(Client, Inbox)> {
        self.dialler.dial(&self.name(name), device).await
    }

    pub(super) fn name(&self, name: &str) -> String {
        format!("urgent-{}-{name}", self.run)
    }

    pub(super) async fn group(&self, of: &Client, members: &[&str]) -> anyhow::Result<ConversationId> {
        let members = members.iter().map(|name| self.name(name)).collect();
        let new = NewConversation { title: "urgent-worst".into(), members, retention: None };
        Ok(of.create_group(new).await.context("no group could be made")?.id)
    }
}

/// A message whose payload is its number.
pub(super) fn message(conversation: ConversationId, number: u32, priority: Priority) -> Outgoing {
    let mut payload = vec![0; 256];
    payload[..4].copy_from_slice(&number.to_be_bytes());
    Outgoing { priority, ..Outgoing::new(conversation, "application/octet-stream", payload) }
}

/// Publishes an urgent message, and sees that it was one.
pub(super) async fn call(client: &Client, conversation: ConversationId, number: u32) -> anyhow::Result<Ack> {
    let ack = timeout(PATIENCE, client.publish(message(conversation, number, Priority::Urgent)));
    let ack = ack.await.context("no acknowledgement of an urgent message")??;
    ensure!(
        ack.priority == Priority::Urgent,
        "more urgent messages than the broker lets this user send: raise limits.urgent and its like"
    );
    Ok(ack)
}

/// Waits for the urgent message with this number in a conversation; everything else is passed over.
pub(super) async fn called(
    inbox: &mut Inbox,
    conversation: ConversationId,
    number: u32,
) -> anyhow::Result<Instant> {
    let waiting = async {
        while let Some(incoming) = inbox.next().await {
            if is_call(&incoming, conversation, number) {
                return Some(Instant::now());
            }
        }
        None
    };
    let arrived = timeout(PATIENCE, waiting).await.context("an urgent message did not come")?;
    arrived.context("the client was closed while an urgent message was on its way")
}

pub(super) fn is_call(incoming: &Incoming, conversation: ConversationId, number: u32) -> bool {
    let Incoming::Entry(entry) = incoming else { return false };
    let Body::Message { priority: Priority::Urgent, payload, .. } = &entry.body else { return false };
    entry.conversation == conversation && payload.get(..4) == Some(&number.to_be_bytes()[..])
}
