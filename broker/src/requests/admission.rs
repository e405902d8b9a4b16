//! Admission: what is taken in, and how a client is told to come back.
//!
//! The log's queue is bounded; when it is full the answer is RETRY with a delay that grows with the
//! depth and is drawn at random, so that not all come back at once. A control command is not
//! refused for that: it waits with whoever has it, and is tried again. While the disk is nearly
//! full, people's messages are refused and control commands are not ([`disk`](super::disk)). The
//! epoch rule (`wardline.v1.Publish.epoch`) keeps a lane's pipelined publishes in order after a
//! refusal.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use wardline_storage::command::{Command, Submission};
use wardline_storage::log::{Depth, Log, Refused, Reply};
use wardline_storage::model::{Applied, Priority};

use super::disk::{Admits, Disk, Standing};
use crate::metrics::Metrics;
use crate::refusal::{Code, Refusal};
use crate::shares::Shares;
use crate::shares::kind::Kind;
use crate::shares::principal::Principal;

/// How often the room on the disk, and the figures of the queue, are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// After so long a control command for which there was no room is tried again.
pub(crate) const TRY_AGAIN: Duration = Duration::from_millis(5);

/// Why a submission was not taken in.
#[derive(Debug)]
pub(crate) enum NotTaken {
    /// It is refused.
    Refused(Refusal),
    /// There is no room for it at the moment. It is a control command: whoever has it holds it, and
    /// nothing behind it, until it is taken in.
    Yet(Command),
}

/// The way into the log.
pub(crate) struct Admission {
    log: Arc<dyn Log>,
    shares: Arc<Shares>,
    /// What the disk has room for, as a number.
    admits: AtomicU8,
    retry_after: Duration,
}

impl Admission {
    /// In front of a log. Refused clients wait at least about `retry_after`.
    pub(crate) fn new(log: Arc<dyn Log>, shares: Arc<Shares>, retry_after: Duration) -> Self {
        Self { log, shares, admits: AtomicU8::new(Admits::All as u8), retry_after }
    }

    /// Takes a submission in, or says why not; then the reply's seat is free again.
    pub(crate) fn submit(&self, submission: Submission, reply: Reply) -> Result<(), NotTaken> {
        let admits = self.admits();
        if !admits.takes(&submission.command) {
            return Err(NotTaken::Refused(self.no_room(admits)));
        }
        let whose = Principal::from(&*submission.actor);
        let control = submission.command.is_control().then(|| submission.command.clone());
        self.log.submit(submission, reply).map_err(|(refused, _)| match (refused, control) {
            (Refused::Full | Refused::Share, Some(command)) => NotTaken::Yet(command),
            (Refused::Full, None) => NotTaken::Refused(self.retry()),
            (Refused::Share, None) => {
                NotTaken::Refused(self.shares.used_up(whose, Kind::Commands, self.delay(2.0)))
            }
            _ => {
                let refusal = Refusal::new(Code::Unavailable, "the broker takes no writes any more");
                NotTaken::Refused(refusal.after(self.delay(10.0)))
            }
        })
    }

    /// How far the store has come.
    pub(crate) fn applied(&self) -> Applied {
        self.log.applied()
    }

    /// Whether messages are refused for lack of room on the disk.
    pub(crate) fn is_disk_full(&self) -> bool {
        self.admits() != Admits::All
    }

    fn admits(&self) -> Admits {
        Admits::from_byte(self.admits.load(Ordering::Relaxed))
    }

    /// A refusal because there is as much work as the broker can hold.
    pub(crate) fn retry(&self) -> Refusal {
        Refusal::new(Code::Retry, "the broker has as much work as it can hold")
            .after(self.delay(1.0 + 9.0 * fullness(self.log.depth())))
    }

    /// The same refusal once more, with a delay of its own.
    fn again(&self, code: Code) -> Refusal {
        match code {
            Code::StorageFull => self.no_room(self.admits()),
            Code::ResourceExhausted => Kind::Commands.refusal(self.delay(2.0)),
            _ => self.retry(),
        }
    }

    fn no_room(&self, admits: Admits) -> Refusal {
        let text = match admits {
            Admits::Nothing => "the disk is full, and so is the room kept for control commands: make room",
            _ => {
                "the disk is nearly full: nothing new is taken in; reading, removing and deleting still work"
            }
        };
        Refusal::new(Code::StorageFull, text).after(self.delay(50.0))
    }

    /// `factor` times the least delay, give or take a half.
    pub(crate) fn delay(&self, factor: f64) -> Duration {
        self.retry_after.mul_f64(factor * rand::random_range(0.5..1.5))
    }

    /// Watches the disk and the queue until stopped.
    pub(super) async fn watch(
        self: Arc<Self>,
        mut disk: Option<Disk>,
        metrics: Arc<Metrics>,
        stop: CancellationToken,
    ) {
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            let depth = self.log.depth();
            metrics.queue_commands.set(depth.commands as f64);
            metrics.queue_bytes.set(depth.bytes as f64);
            metrics.queue_commands_max.set(depth.commands_max as f64);
            metrics.queue_bytes_max.set(depth.bytes_max as f64);
            let Some(mut looking) = disk.take() else { continue };
            let (admission, metrics) = (Arc::clone(&self), Arc::clone(&metrics));
            let position = self.log.applied().position;
            let looked = tokio::task::spawn_blocking(move || {
                looking.look(position, |standing| admission.note(standing, &metrics));
                looking
            });
            // A panic of it is logged by whoever panics; what was told last holds.
            disk = looked.await.ok();
        }
    }

    fn note(&self, standing: &Standing, metrics: &Metrics) {
        let (admits, free) = (standing.admits(), standing.room.free_bytes);
        let is_full = admits != Admits::All;
        metrics.disk_free_bytes.set(free as f64);
        metrics.disk_size_bytes.set(standing.room.size_bytes as f64);
        metrics.disk_reserve_bytes.set(standing.reserve as f64);
        metrics.disk_full.set(f64::from(u8::from(is_full)));
        metrics.disk_ballast_bytes.set(standing.kept as f64);
        metrics.disk_ballast_size_bytes.set(standing.size as f64);
        let before = Admits::from_byte(self.admits.swap(admits as u8, Ordering::Relaxed));
        if before != admits {
            say(before, admits, standing);
        }
    }
}

/// Tells what is taken in from now on, where it is not what it was.
fn say(before: Admits, now: Admits, standing: &Standing) {
    let (free, reserve, ballast) = (standing.room.free_bytes, standing.reserve, standing.kept);
    match (before, now) {
        (Admits::All, _) => tracing::error!(
            code = "disk-full",
            free,
            reserve,
            ballast,
            "the disk is nearly full: refusing messages until there is room; control commands are taken in"
        ),
        (_, Admits::All) => tracing::info!(
            code = "disk-room",
            free,
            reserve,
            ballast,
            "there is room on the disk again: taking messages"
        ),
        (_, Admits::Nothing) => tracing::error!(
            code = "ballast-spent",
            free,
            ballast,
            "the room for control commands is used up, and what is left is for a restart: make room on the disk now"
        ),
        _ => {
            tracing::warn!(code = "ballast-used", free, ballast, ?now, "what the full disk takes in is this")
        }
    }
}

fn fullness(depth: Depth) -> f64 {
    let part = |waiting: usize, max: usize| waiting as f64 / max.max(1) as f64;
    part(depth.commands, depth.commands_max).max(part(depth.bytes, depth.bytes_max)).clamp(0.0, 1.0)
}

/// The epoch rule of one lane, for each priority: an urgent message does not wait for routine ones
/// that were refused.
#[derive(Debug, Default)]
pub(crate) struct EpochGate {
    routine: Option<(u32, Code)>,
    urgent: Option<(u32, Code)>,
}

/// What the rule goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Epoch {
    pub(crate) priority: Priority,
    pub(crate) number: u32,
}

impl EpochGate {
    /// Whether a publish may be tried; if not, why.
    pub(crate) fn check(&self, epoch: Epoch, admission: &Admission) -> Result<(), Refusal> {
        match self.refused_as(epoch) {
            Some(code) => Err(admission.again(code)),
            None => Ok(()),
        }
    }

    /// Notes how a publish was refused.
    pub(crate) fn note(&mut self, epoch: Epoch, refusal: &Refusal) {
        let counts = matches!(refusal.code, Code::Retry | Code::ResourceExhausted | Code::StorageFull);
        let refused = match epoch.priority {
            Priority::Routine => &mut self.routine,
            Priority::Urgent => &mut self.urgent,
        };
        if counts && refused.is_none_or(|(highest, _)| epoch.number >= highest) {
            *refused = Some((epoch.number, refusal.code));
        }
    }

    fn refused_as(&self, epoch: Epoch) -> Option<Code> {
        let refused = match epoch.priority {
            Priority::Routine => self.routine,
            Priority::Urgent => self.urgent,
        };
        refused.filter(|(highest, _)| epoch.number <= *highest).map(|(_, code)| code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(code: Code) -> Refusal {
        Refusal::new(code, "")
    }

    fn routine(number: u32) -> Epoch {
        Epoch { priority: Priority::Routine, number }
    }

    #[test]
    fn urgent_messages_do_not_wait_for_routine_ones_that_were_refused() {
        let mut gate = EpochGate::default();
        gate.note(routine(4), &refusal(Code::Retry));
        let urgent = |number| Epoch { priority: Priority::Urgent, number };
        assert_eq!(gate.refused_as(urgent(0)), None);
        gate.note(urgent(0), &refusal(Code::StorageFull));
        assert_eq!(gate.refused_as(urgent(0)), Some(Code::StorageFull));
        assert_eq!(gate.refused_as(routine(5)), None);
    }

    #[test]
    fn after_a_refusal_the_epoch_and_all_below_are_refused() {
        let mut gate = EpochGate::default();
        assert_eq!(gate.refused_as(routine(1)), None);
        gate.note(routine(2), &refusal(Code::Retry));
        assert_eq!(gate.refused_as(routine(1)), Some(Code::Retry));
        assert_eq!(gate.refused_as(routine(2)), Some(Code::Retry));
        assert_eq!(gate.refused_as(routine(3)), None);
        gate.note(routine(3), &refusal(Code::StorageFull));
        assert_eq!(gate.refused_as(routine(3)), Some(Code::StorageFull));
        gate.note(routine(1), &refusal(Code::Retry));
        assert_eq!(gate.refused_as(routine(3)), Some(Code::StorageFull), "a lower epoch lowers nothing");
        gate.note(routine(4), &refusal(Code::ResourceExhausted));
        assert_eq!(gate.refused_as(routine(4)), Some(Code::ResourceExhausted));
    }

    #[test]
    fn epoch_zero_counts_like_any_other() {
        let mut gate = EpochGate::default();
        gate.note(routine(0), &refusal(Code::Retry));
        assert_eq!(gate.refused_as(routine(0)), Some(Code::Retry));
        assert_eq!(gate.refused_as(routine(1)), None);
    }

    #[test]
    fn refusals_for_which_waiting_does_not_help_do_not_count() {
        let mut gate = EpochGate::default();
        gate.note(routine(5), &refusal(Code::NotFound));
        assert_eq!(gate.refused_as(routine(5)), None);
    }

    #[test]
    fn fullness_is_of_the_fuller_bound() {
        let depth = Depth { commands: 1, commands_max: 10, bytes: 5, bytes_max: 10 };
        assert!((fullness(depth) - 0.5).abs() < 1e-9);
        assert!((fullness(Depth::default())).abs() < 1e-9);
    }
}
