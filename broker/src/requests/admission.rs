//! Admission: what is taken in, and how a client is told to come back.
//!
//! The log's queue is bounded; when it is full the answer is RETRY with a delay that grows with the
//! depth and is drawn at random, so that not all come back at once. Writes are refused while the
//! disk is nearly full. The epoch rule (`wardline.v1.Publish.epoch`) keeps a lane's pipelined
//! publishes in order after a refusal.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use wardline_storage::command::Submission;
use wardline_storage::log::{Depth, Log, Refused, Reply};
use wardline_storage::model::{Applied, Priority};

use crate::metrics::Metrics;
use crate::refusal::{Code, Refusal};
use crate::settings::DiskWatch;

/// How often the room on the disk, and the figures of the queue, are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The way into the log.
pub(crate) struct Admission {
    log: Arc<dyn Log>,
    disk_full: AtomicBool,
    retry_after: Duration,
}

impl Admission {
    /// In front of a log. Refused clients wait at least about `retry_after`.
    pub(crate) fn new(log: Arc<dyn Log>, retry_after: Duration) -> Self {
        Self { log, disk_full: AtomicBool::new(false), retry_after }
    }

    /// Takes a submission in, or says why not; then the reply's seat is free again.
    pub(crate) fn submit(&self, submission: Submission, reply: Reply) -> Result<(), Refusal> {
        if self.disk_full.load(Ordering::Relaxed) {
            return Err(self.storage_full());
        }
        self.control(submission, reply)
    }

    /// The same for what makes room on the disk, however little of it there is.
    pub(crate) fn control(&self, submission: Submission, reply: Reply) -> Result<(), Refusal> {
        self.log.submit(submission, reply).map_err(|(refused, _)| match refused {
            Refused::Full => self.retry(),
            _ => {
                Refusal::new(Code::Unavailable, "the broker takes no writes any more").after(self.delay(10.0))
            }
        })
    }

    /// How far the store has come.
    pub(crate) fn applied(&self) -> Applied {
        self.log.applied()
    }

    /// Whether writes are refused for lack of room on the disk.
    pub(crate) fn is_disk_full(&self) -> bool {
        self.disk_full.load(Ordering::Relaxed)
    }

    /// A refusal because there is as much work as the broker can hold.
    pub(crate) fn retry(&self) -> Refusal {
        Refusal::new(Code::Retry, "the broker has as much work as it can hold")
            .after(self.delay(1.0 + 9.0 * fullness(self.log.depth())))
    }

    /// The same refusal once more, with a delay of its own.
    fn again(&self, code: Code) -> Refusal {
        match code {
            Code::StorageFull => self.storage_full(),
            _ => self.retry(),
        }
    }

    fn storage_full(&self) -> Refusal {
        Refusal::new(Code::StorageFull, "the disk is nearly full: writes are refused, reads still work")
            .after(self.delay(50.0))
    }

    /// `factor` times the least delay, give or take a half.
    pub(crate) fn delay(&self, factor: f64) -> Duration {
        self.retry_after.mul_f64(factor * rand::random_range(0.5..1.5))
    }

    /// Watches the disk and the queue until stopped.
    pub(crate) async fn watch(
        self: Arc<Self>,
        disk: Option<DiskWatch>,
        metrics: Arc<Metrics>,
        stop: CancellationToken,
    ) {
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            let depth = self.log.depth();
            metrics.queue_commands.set(depth.commands as f64);
            metrics.queue_bytes.set(depth.bytes as f64);
            metrics.queue_commands_max.set(depth.commands_max as f64);
            metrics.queue_bytes_max.set(depth.bytes_max as f64);
            if let Some(disk) = disk.clone() {
                let reserve = disk.reserve_bytes;
                metrics.disk_reserve_bytes.set(reserve as f64);
                let room = tokio::task::spawn_blocking(move || room(&disk.path)).await;
                if let Ok(Some(room)) = room {
                    metrics.disk_size_bytes.set(room.size_bytes as f64);
                    self.note_free(room.free_bytes, reserve, &metrics);
                }
            }
        }
    }

    fn note_free(&self, free: u64, reserve: u64, metrics: &Metrics) {
        let full = free < reserve;
        metrics.disk_free_bytes.set(free as f64);
        metrics.disk_full.set(if full { 1.0 } else { 0.0 });
        if self.disk_full.swap(full, Ordering::Relaxed) != full {
            if full {
                tracing::error!(
                    code = "disk-full",
                    free,
                    reserve,
                    "the disk is nearly full: refusing writes until there is room"
                );
            } else {
                tracing::info!(
                    code = "disk-room",
                    free,
                    reserve,
                    "there is room on the disk again: taking writes"
                );
            }
        }
    }
}

/// How much a file system holds.
struct Room {
    /// For users other than root.
    free_bytes: u64,
    size_bytes: u64,
}

fn room(path: &Path) -> Option<Room> {
    match rustix::fs::statvfs(path) {
        Ok(status) => Some(Room {
            free_bytes: status.f_bavail.saturating_mul(status.f_frsize),
            size_bytes: status.f_blocks.saturating_mul(status.f_frsize),
        }),
        Err(error) => {
            tracing::warn!(code = "disk-unseen", path = %path.display(), %error, "cannot see how much room the disk has");
            None
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
        let counts = matches!(refusal.code, Code::Retry | Code::StorageFull);
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
