//! Urgent messages beside a flood of routine ones, and behind one's own.
//!
//! The flood is routine messages as fast as the broker takes them, into conversations of the very
//! person who is called, so that it fills their lane, too.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use wardline_client::{Client, ConversationId, Inbox, Priority};

use super::report::{Line, Times, beside};
use super::site::{Asked, Site, call, called, message};
use crate::progress::Progress;

/// Between two urgent messages.
const EVERY: Duration = Duration::from_millis(10);
/// How long a flood runs before anything counts.
const RISES: Duration = Duration::from_millis(500);

/// Urgent messages of one to another, while others flood the latter.
pub(super) async fn flood(asked: &Asked, site: &Site, progress: &Progress) -> anyhow::Result<Line> {
    let (caller, _own) = site.person("caller").await?;
    let (_callee, mut inbox) = site.person("callee").await?;
    let team = site.group(&caller, &["callee"]).await?;
    let mut flooders = Vec::new();
    for number in 0..asked.flooders {
        let (client, own) = site.person(&format!("flooder-{number}")).await?;
        let ward = site.group(&client, &["callee"]).await?;
        flooders.push((client, own, ward));
    }
    let (mut alone, mut loaded) = (Times::default(), Times::default());
    progress.begin("beside a flood", asked.turns as usize);
    for turn in 0..asked.turns {
        calls(asked.calls, &caller, team, &mut inbox, &mut alone).await?;
        let stop = CancellationToken::new();
        let mut flood = JoinSet::new();
        for (client, _, ward) in &flooders {
            flood.spawn(pour(client.clone(), *ward, u32::MAX, stop.clone()));
        }
        tokio::time::sleep(RISES).await;
        calls(asked.calls, &caller, team, &mut inbox, &mut loaded).await?;
        stop.cancel();
        while flood.join_next().await.is_some() {}
        progress.at(turn as usize + 1, &json!({}));
    }
    Ok(beside("urgent beside a flood of routine", &alone, &loaded))
}

/// Urgent messages of somebody who has put very many routine ones in line before.
pub(super) async fn own(asked: &Asked, site: &Site, progress: &Progress) -> anyhow::Result<Line> {
    let (writer, _own) = site.person("writer").await?;
    let (_reader, mut inbox) = site.person("reader").await?;
    let team = site.group(&writer, &["reader"]).await?;
    let (mut alone, mut behind) = (Times::default(), Times::default());
    progress.begin("behind one's own", asked.turns as usize);
    for turn in 0..asked.turns {
        calls(asked.calls, &writer, team, &mut inbox, &mut alone).await?;
        let stop = CancellationToken::new();
        let mut flood = JoinSet::new();
        flood.spawn(pour(writer.clone(), team, asked.own, stop.clone()));
        let mut number = 0;
        while flood.try_join_next().is_none() {
            calls(1, &writer, team, &mut inbox, &mut behind).await?;
            number += 1;
            if number >= asked.calls {
                stop.cancel();
            }
        }
        progress.at(turn as usize + 1, &json!({}));
    }
    Ok(beside("own urgent behind own routine", &alone, &behind))
}

/// Sends urgent messages one after the other, and times each from the call of the SDK until the
/// other application has it.
async fn calls(
    count: u32,
    caller: &Client,
    team: ConversationId,
    inbox: &mut Inbox,
    times: &mut Times,
) -> anyhow::Result<()> {
    for _ in 0..count {
        let (number, began) = (rand::random(), Instant::now());
        let (ack, arrived) = tokio::join!(call(caller, team, number), called(inbox, team, number));
        ack?;
        times.add(arrived? - began);
        tokio::time::sleep(EVERY).await;
    }
    Ok(())
}

/// Puts routine messages in line, as fast as there are seats.
async fn pour(client: Client, ward: ConversationId, count: u32, stop: CancellationToken) {
    let mut last = None;
    for number in 0..count {
        let next = stop.run_until_cancelled(client.enqueue(message(ward, number, Priority::Routine)));
        match next.await {
            Some(Ok(pending)) => last = Some(pending),
            _ => break,
        }
    }
    if let Some(pending) = last {
        // Whatever came of it, the flood is over.
        let _ = pending.wait().await;
    }
}
