//! Devices that were away: they leave, their conversations go on, and all come back at once.
//!
//! A device comes back as itself, so that the broker knows how far it was. Its catching up counts
//! from when it was to come back; waiting for a handshake's turn is part of it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::set_up::{Scene, enter};
use crate::dialler::Dialler;
use crate::measure::recorder::Name;
use crate::plan::Target;
use crate::progress::Progress;
use crate::workload::{Priority, Reconnect};

/// Longest goodbye.
const CLOSE_DEADLINE: Duration = Duration::from_secs(10);
/// Longest time for the backlog to become durable.
const BACKLOG_DEADLINE: Duration = Duration::from_secs(60);
/// How often that is looked at.
const TICK: Duration = Duration::from_millis(50);

/// Those who are to be away leave, and get their backlog.
///
/// # Errors
/// If the backlog does not become durable.
pub(crate) async fn leave(
    scene: &mut Scene,
    reconnect: &Reconnect,
    progress: &Progress,
) -> anyhow::Result<()> {
    let stage = scene.stage.clone();
    let mut closing = JoinSet::new();
    progress.begin("leaving", stage.plan.away.len());
    for person in &stage.plan.away {
        let client = stage.clients.borrow_mut()[person.0 as usize].take();
        if let Some(client) = client {
            closing.spawn_local(async move { client.close(CLOSE_DEADLINE).await });
        }
    }
    let mut left = 0;
    while closing.join_next().await.is_some() {
        left += 1;
        progress.at(left, &json!({}));
    }
    for _ in 0..reconnect.backlog {
        for room in &stage.plan.away_rooms {
            let target = Target { room: *room, publisher: 0, priority: Priority::Routine };
            stage.fall_due(target, reconnect.payload_bytes as usize, stage.clock.now_ns());
        }
    }
    let deadline = Instant::now() + BACKLOG_DEADLINE;
    while stage.backlog() > 0 {
        ensure!(Instant::now() < deadline, "the backlog did not become durable within {BACKLOG_DEADLINE:?}");
        sleep(TICK).await;
    }
    Ok(())
}

/// Lets those who were away come back, evenly spaced from a time on.
pub(crate) fn come_back(scene: &mut Scene, reconnect: &Reconnect, dialler: &Arc<Dialler>, from_ns: u64) {
    let stage = scene.stage.clone();
    let away = stage.plan.away.clone();
    let gap_ns = reconnect.within.as_nanos() as u64 / away.len().max(1) as u64;
    for (place, person) in away.into_iter().enumerate() {
        let (stage, dialler) = (stage.clone(), dialler.clone());
        let back_ns = from_ns + place as u64 * gap_ns;
        scene.tasks.spawn_local(async move {
            sleep(Duration::from_nanos(back_ns.saturating_sub(stage.clock.now_ns()))).await;
            let number = person.0 as usize;
            match dialler.dial(&stage.users[number], stage.devices[number]).await {
                Ok((client, inbox)) => {
                    let now_ns = stage.clock.now_ns();
                    stage.recorder.borrow_mut().record(Name::Reconnect, back_ns, now_ns);
                    // The tasks live in this one: it is the person's from now on.
                    let mut tasks = JoinSet::new();
                    enter(&stage, &mut tasks, person, client, inbox, Some(back_ns));
                    while tasks.join_next().await.is_some() {}
                }
                Err(error) => stage.trouble(format!("a device could not come back: {error:#}")),
            }
        });
    }
}

/// Waits until everybody's receipts are durable; notes whose are not.
pub(crate) async fn flush(scene: &Scene) {
    let clients: Vec<_> = scene.stage.clients.borrow().iter().flatten().cloned().collect();
    let mut flushing = JoinSet::new();
    for client in clients {
        flushing.spawn_local(async move { client.flush().await });
    }
    while let Some(flushed) = flushing.join_next().await {
        if let Ok(Err(error)) = flushed {
            scene.stage.trouble(format!("a receipt did not become durable: {error}"));
        }
    }
}
