//! Replays a trace: connects everybody, lets them live, and waits until all is said, received and
//! read.
//!
//! It ends when every message is acknowledged, has arrived at both people's devices and was read,
//! or some time after that should have been. What is missing then is counted as lost by the check
//! that follows; nothing is judged here.

pub mod arrivals;
pub mod check;
pub mod compare;
pub mod content;
pub mod control;
pub mod pace;
pub mod people;
pub mod person;
pub mod record;
pub mod report;
pub mod trace;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep_until};
use tokio_util::sync::CancellationToken;
use wardline_client::{Client, Inbox};

use self::content::Contents;
use self::pace::{ReadDelay, Schedule};
use self::people::Plan;
use self::person::World;
use self::record::Record;
use self::trace::Trace;
use crate::dialler::Dialler;
use crate::progress::Progress;

/// How often progress is told.
const TICK: Duration = Duration::from_millis(100);
/// From the last step of the connecting to the first message.
const HEAD_START: Duration = Duration::from_millis(500);

/// What is replayed, and how.
pub struct Replay {
    /// The trace.
    pub trace: Arc<Trace>,
    /// When its messages are due.
    pub schedule: Schedule,
    /// What everybody does.
    pub plans: Vec<Plan>,
    /// Draws everything that is drawn.
    pub seed: u64,
    /// How long after its planned end the replay is given up.
    pub grace: Duration,
    /// Whether a parent process tells on stdin what it does to the broker.
    pub has_parent: bool,
}

impl Replay {
    /// Runs it.
    ///
    /// # Errors
    /// If not everybody could connect, or the parent process is gone.
    pub async fn run(&self, dialler: &Arc<Dialler>, progress: &Progress) -> anyhow::Result<Arc<Record>> {
        let sessions = self.connect(dialler, progress).await?;
        let origin = Instant::now() + HEAD_START;
        let record = Arc::new(Record::new(origin, self.trace.messages.len()));
        let orphaned = CancellationToken::new();
        if self.has_parent {
            control::listen(record.clone(), orphaned.clone()).context("cannot listen on stdin")?;
        }
        self.mark_absent(&record);
        let world = Arc::new(World {
            trace: self.trace.clone(),
            schedule: self.schedule.clone(),
            contents: Contents::new(self.seed),
            read_delay: ReadDelay::new(self.seed, self.schedule.speed()),
            dialler: dialler.clone(),
            record: record.clone(),
            finish: CancellationToken::new(),
        });
        let mut lives = JoinSet::new();
        for (plan, session) in self.plans.iter().cloned().zip(sessions) {
            lives.spawn(person::live(world.clone(), plan, session));
        }
        let deadline = origin + self.schedule.duration() + self.grace;
        progress.begin("replaying", self.trace.messages.len());
        tokio::select! {
            () = self.watch(&record, progress) => {}
            () = sleep_until(deadline) => progress.note("the replay is given up: not everything arrived in time"),
            () = orphaned.cancelled() => bail!("the parent process is gone"),
        }
        world.finish.cancel();
        self.send_home(lives, progress).await;
        Ok(record)
    }

    /// Opens everybody's first session, in the order of the plans.
    async fn connect(
        &self,
        dialler: &Arc<Dialler>,
        progress: &Progress,
    ) -> anyhow::Result<Vec<(Client, Inbox)>> {
        progress.begin("connecting", self.plans.len());
        let mut dials = JoinSet::new();
        for (place, plan) in self.plans.iter().enumerate() {
            let (dialler, user, device) = (dialler.clone(), plan.person.to_string(), plan.device);
            dials.spawn(async move { dialler.dial(&user, device).await.map(|session| (place, session)) });
        }
        let mut sessions = Vec::with_capacity(self.plans.len());
        while let Some(dial) = dials.join_next().await {
            sessions.push(dial.context("a task that connects has panicked")??);
            progress.at(sessions.len(), &json!({}));
        }
        sessions.sort_unstable_by_key(|(place, _)| *place);
        Ok(sessions.into_iter().map(|(_, session)| session).collect())
    }

    fn mark_absent(&self, record: &Record) {
        for (index, message) in self.trace.messages.iter().enumerate() {
            let recipient = self.plans.binary_search_by_key(&message.recipient, |plan| plan.person);
            let plan = &self.plans[recipient.expect("everybody has a plan")];
            if plan.is_away(self.schedule.intended(index)) {
                record.away(index);
            }
        }
    }

    /// Tells how far the replay is; returns when all is done.
    async fn watch(&self, record: &Record, progress: &Progress) {
        let counts = record.counts();
        let all = self.trace.messages.len();
        let mut tick = interval(TICK);
        loop {
            tick.tick().await;
            let (acked, failed) = (counts.acked.load(Relaxed), counts.failed.load(Relaxed));
            let (arrived, read) = (counts.arrived.load(Relaxed), counts.read.load(Relaxed));
            let echoed = counts.echoed.load(Relaxed);
            progress.at(acked, &json!({"acked": acked, "arrived": arrived, "read": read, "failed": failed}));
            if [acked, arrived, read, echoed].iter().all(|count| *count == all) {
                return;
            }
        }
    }

    /// Lets everybody finish what they have begun.
    async fn send_home(&self, mut lives: JoinSet<anyhow::Result<()>>, progress: &Progress) {
        let deadline = Instant::now() + self.grace;
        progress.begin("leaving", lives.len());
        let mut left = 0;
        loop {
            tokio::select! {
                life = lives.join_next() => match life {
                    None => return,
                    Some(Ok(Ok(()))) => {}
                    Some(Ok(Err(error))) => progress.note(&format!("{error:#}")),
                    Some(Err(error)) => progress.note(&format!("a person's task has panicked: {error}")),
                },
                () = sleep_until(deadline) => {
                    progress.note(&format!("{} people did not leave in time", lives.len()));
                    return lives.shutdown().await;
                }
            }
            left += 1;
            progress.at(left, &json!({}));
        }
    }
}
