//! The disk is full to the last byte: control commands go through all the same, and whenever the
//! broker is killed, it starts, and lets read.
//!
//! One owner has conversations full of people and messages. Then the disk fills up, and nobody else
//! may publish. The owner removes, deletes and changes how long is kept, and each of it must be
//! answered with yes, and be true after every restart. After each kill, what the broker left free
//! is taken too. At the end there is room, and the message that nobody took all the time goes
//! through by itself.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use tokio::time::{sleep, timeout};
use wardline_client::{
    Body, Client, ConversationId, DeviceId, Direction, Inbox, NewConversation, Outgoing, Role,
};

use crate::broker::Broker;
use crate::event::User;
use crate::filler::Filler;
use crate::oracle::Tally;
use crate::people::{Dial, MEMBERS, PATIENCE, dial};
use crate::programme::{Context, Outcome};
use crate::trial::{Disk, dial_for, site};

const NAME: &str = "full";
const VOLUME_BYTES: u64 = 256 << 20;
const SETTINGS: [&str; 4] = [
    "storage.reserve=64MiB",
    "limits.retry_after=10ms",
    "limits.devices=64",
    // One that is under way when the disk fills up may end the broker: that is for `--disk-full`.
    "retention.reclaim_every=1h",
];
const OWNER: User = MEMBERS[0];
const OTHER: User = MEMBERS[1];
/// Members who never come: each can be removed once. So many at a time.
const ABSENT: usize = 400;
const NAMED_AT_ONCE: usize = 100;
/// What the store holds before: more than fits into the log that is replayed.
const BULKY: usize = 400;
const BULKY_BYTES: usize = 32 << 10;
const PAGE: u32 = 200;
/// What the retention of one conversation is at first.
const KEPT_FOR: Duration = Duration::from_secs(7 * 86_400);
/// How long nothing is acknowledged, to believe that nothing is.
const SILENCE: Duration = Duration::from_millis(700);

/// Kills the broker so often, with so many control commands before and between.
pub async fn run(context: &Context, kills: u64, commands: u64) -> anyhow::Result<Outcome> {
    let began = Instant::now();
    let (mut site, volume) = site(context, NAME, Disk::Volume(VOLUME_BYTES), &SETTINGS).await?;
    let volume = volume.context("there is a volume")?;
    let mut broker = site.start().await?;
    let to = dial_for(&site, &broker).await?;
    let mut troubles = Vec::new();
    let mut control = Control::begin(&to, commands + kills).await?;
    let mut done = 0;
    let tried = async {
        let filler = Filler::take(volume.folder(), 0)?;
        let pending = control.publish_in_vain(&to).await?;
        control.carry_out(commands).await.context("before the first kill")?;
        for kill in 1..=kills {
            let at = || format!("kill {kill} of {kills}");
            broker.kill().await?;
            filler.take_more(0)?;
            broker = site.start().await.with_context(at)?;
            control.look(&to).await.with_context(at)?;
            control.carry_out(1).await.with_context(at)?;
            filler.take_more(0)?;
            done = kill;
        }
        ensure!(!pending.is_finished(), "a message was acknowledged on a full disk");
        drop(filler);
        timeout(PATIENCE, pending).await.context("there is room, and the message is not taken")???;
        control.look(&to).await.context("with room again")?;
        control.carry_out(1).await.context("with room again")?;
        ballast_is_whole(&site.data).await
    };
    if let Err(error) = tried.await {
        troubles.push(format!("{error:#}\n{}", site.log_since(0)));
    }
    let figures =
        vec![("control commands on the full disk", control.done), ("starts on the full disk", done)];
    control.end().await;
    if let Err(error) = end(broker).await
        && troubles.is_empty()
    {
        troubles.push(format!("at the end: {error:#}"));
    }
    let tally = Tally { kills: done, ..Tally::default() };
    let (name, took) = (NAME.to_owned(), began.elapsed());
    Ok(Outcome { name, cycles: done, took, tally, objections: Vec::new(), troubles, figures })
}

async fn end(mut broker: Broker) -> anyhow::Result<()> {
    broker.stop().await
}

/// With room again the broker keeps as much of it as before.
async fn ballast_is_whole(data: &Path) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let kept = std::fs::metadata(data.join("ballast")).context("there is no ballast")?.len();
        if kept == 32 << 20 {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "the ballast has {kept} bytes and does not grow");
        sleep(Duration::from_millis(50)).await;
    }
}

/// Somebody who may do everything in their conversations, and what they did.
struct Control {
    client: Client,
    /// Kept, so that the client goes on.
    _inbox: Inbox,
    /// Messages are deleted here.
    chat: ConversationId,
    /// Sequences of the messages, in order.
    messages: Vec<u64>,
    deleted: BTreeSet<u64>,
    /// Members are removed from these.
    crowds: Vec<ConversationId>,
    removed: usize,
    /// How long is kept changes here.
    kept: ConversationId,
    retention: Duration,
    /// How many were carried out.
    done: u64,
}

impl Control {
    /// Makes everything that there is to take away.
    async fn begin(to: &Dial, commands: u64) -> anyhow::Result<Self> {
        let (client, inbox) = dial(to.options(OWNER, DeviceId::random())?).await?;
        let chat = group(&client, vec![OTHER.0.to_owned()]).await?;
        let kept = group(&client, vec![OTHER.0.to_owned()]).await?;
        // Only lengthened later, so that nothing has to be rewritten.
        client.set_retention(kept, Some(KEPT_FOR)).await.context("while there is room")?;
        let mut messages = Vec::new();
        for bytes in [BULKY_BYTES; BULKY].into_iter().chain((0..commands).map(|_| 100)) {
            let message = Outgoing::new(chat, "", vec![3; bytes]);
            messages.push(client.publish(message).await.context("while there is room")?.sequence);
        }
        let mut crowds = Vec::new();
        for _ in 0..=(commands as usize) / (3 * ABSENT) {
            crowds.push(crowd(&client).await?);
        }
        Ok(Self {
            client,
            _inbox: inbox,
            chat,
            messages,
            deleted: BTreeSet::new(),
            crowds,
            removed: 0,
            kept,
            retention: KEPT_FOR,
            done: 0,
        })
    }

    /// Begins to publish what must not be taken before there is room.
    async fn publish_in_vain(
        &self,
        to: &Dial,
    ) -> anyhow::Result<tokio::task::JoinHandle<anyhow::Result<()>>> {
        let (other, inbox) = dial(to.options(OTHER, DeviceId::random())?).await?;
        let chat = self.kept;
        // What the broker took in before it had looked at the disk is not held against it.
        sleep(SILENCE).await;
        let pending = tokio::spawn(async move {
            let _inbox = inbox;
            other
                .publish(Outgoing::text(chat, "in vain"))
                .await
                .context("the message was refused for good")?;
            Ok(())
        });
        sleep(SILENCE).await;
        ensure!(!pending.is_finished(), "the disk is full, and a message is acknowledged");
        Ok(pending)
    }

    /// Takes so many things away.
    async fn carry_out(&mut self, commands: u64) -> anyhow::Result<()> {
        for _ in 0..commands {
            let what = match self.done % 3 {
                0 => self.delete().await.context("a deletion"),
                1 => self.remove().await.context("a removal"),
                _ => self.keep_for().await.context("a change of how long is kept"),
            };
            what.with_context(|| format!("control command {} was not carried out", self.done + 1))?;
            self.done += 1;
        }
        Ok(())
    }

    async fn delete(&mut self) -> anyhow::Result<()> {
        let sequence = self.messages.pop().context("there are messages left")?;
        timeout(PATIENCE, self.client.delete(self.chat, sequence)).await.context("no answer in time")??;
        self.deleted.insert(sequence);
        Ok(())
    }

    async fn remove(&mut self) -> anyhow::Result<()> {
        let (crowd, member) = (self.removed / ABSENT, self.removed % ABSENT);
        let crowd = *self.crowds.get(crowd).context("there are members left")?;
        let member = absent(member);
        let removal = self.client.remove_member(crowd, &member);
        timeout(PATIENCE, removal).await.context("no answer in time")??;
        self.removed += 1;
        Ok(())
    }

    async fn keep_for(&mut self) -> anyhow::Result<()> {
        self.retention += Duration::from_secs(1);
        let change = self.client.set_retention(self.kept, Some(self.retention));
        timeout(PATIENCE, change).await.context("no answer in time")??;
        Ok(())
    }

    /// Whether everything that was answered is true, as a device sees it that is new here. From
    /// then on that one is used: another one may not have heard yet that its broker is gone.
    async fn look(&mut self, to: &Dial) -> anyhow::Result<()> {
        let (fresh, inbox) = dial(to.options(OWNER, DeviceId::random())?).await.context("a new device")?;
        let (messages, gone) = chat(&fresh, self.chat).await?;
        ensure!(
            messages.iter().eq(&self.messages),
            "{} messages instead of {}",
            messages.len(),
            self.messages.len()
        );
        ensure!(gone == self.deleted, "other messages are deleted than should be");
        for (number, crowd) in self.crowds.iter().enumerate() {
            let left = members(&fresh, *crowd).await?;
            let removed = self.removed.saturating_sub(number * ABSENT).min(ABSENT);
            let expected: BTreeSet<String> =
                (removed..ABSENT).map(absent).chain([OWNER.0.to_owned()]).collect();
            ensure!(left == expected, "{} members instead of {}", left.len(), expected.len());
        }
        let all = fresh.conversations(PAGE, None).await.context("the conversations")?.items;
        let kept = all.into_iter().find(|one| one.id == self.kept).context("a conversation is missing")?;
        ensure!(kept.retention == self.retention, "kept for {:?}", kept.retention);
        std::mem::replace(&mut self.client, fresh).close(Duration::ZERO).await;
        self._inbox = inbox;
        Ok(())
    }

    async fn end(self) {
        self.client.close(Duration::ZERO).await;
    }
}

async fn group(client: &Client, members: Vec<String>) -> anyhow::Result<ConversationId> {
    let new = NewConversation { title: "Ward".into(), members, retention: None };
    Ok(client.create_group(new).await.context("a conversation cannot be made")?.id)
}

/// A conversation of people who never come.
async fn crowd(client: &Client) -> anyhow::Result<ConversationId> {
    let crowd = group(client, (0..NAMED_AT_ONCE).map(absent).collect()).await?;
    for from in (NAMED_AT_ONCE..ABSENT).step_by(NAMED_AT_ONCE) {
        let more: Vec<String> = (from..from + NAMED_AT_ONCE).map(absent).collect();
        client.add_members(crowd, &more, Role::Member, true).await.context("members cannot be added")?;
    }
    Ok(crowd)
}

fn absent(number: usize) -> String {
    format!("absent-{number:04}")
}

/// The messages that are there, and those that were deleted.
async fn chat(client: &Client, chat: ConversationId) -> anyhow::Result<(BTreeSet<u64>, BTreeSet<u64>)> {
    let (mut messages, mut gone, mut next) = (BTreeSet::new(), BTreeSet::new(), Some(0));
    while let Some(from) = next {
        let page = client.history(chat, from, Direction::Forward, PAGE).await.context("history")?;
        for entry in page.entries {
            match entry.body {
                Body::Message { .. } => messages.insert(entry.sequence),
                Body::Tombstone { .. } => gone.insert(entry.sequence),
                Body::Notice(_) => false,
            };
        }
        next = page.next_from;
    }
    Ok((messages, gone))
}

async fn members(client: &Client, crowd: ConversationId) -> anyhow::Result<BTreeSet<String>> {
    let (mut all, mut after) = (BTreeSet::new(), None);
    loop {
        let page = client.members(crowd, PAGE, after).await.context("members")?;
        all.extend(page.items.into_iter().map(|member| member.user));
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(all),
        }
    }
}
