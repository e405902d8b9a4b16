//! What waits for the committer: two lanes, bounded in commands and in bytes.
//!
//! Submitting never blocks: it takes a short lock, or is refused. An eighth of both bounds is kept
//! for urgent submissions, so that they are still taken in when routine ones have filled their
//! share; an eighth on top of both is for control commands alone; and nobody fills more than a
//! principal's share. Each lane keeps the order of each caller, and shares a group among them if
//! they do not all fit ([`lane`](super::lane)). The urgent lane is emptied first; what does not fit
//! into a group waits for the next one. Receipts alone are no hurry: they wait a little for
//! company, so that thousands of devices do not make a sync of each.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

use super::lane::{Lane, Load, Room};
use super::waiting::{Group, Waiting};
use crate::command::{Actor, Command, Submission};
use crate::id::{TenantId, UserId};
use crate::log::{Bounds, Depth, Refused, Reply};

/// One part in so many of the bounds is kept for urgent submissions, and as much again on top of
/// them for control commands.
const KEPT_SHARE: usize = 8;
/// One part in so many of a principal's share is what they may have of the urgent lane: less than
/// what is kept for it.
const URGENT_SHARE: usize = 4;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Queue {
    bounds: Bounds,
    state: Mutex<Line>,
    /// Urgent submissions that were taken in and are not done.
    urgent: AtomicUsize,
    /// Something waits, or the phase changed: the committer looks.
    changed: Condvar,
    /// The committer left.
    finished: Condvar,
}

#[derive(Debug, Default)]
struct Line {
    urgent: Lane,
    routine: Lane,
    phase: Phase,
}

/// Up to where what a command asks for may fill a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Routine,
    Urgent,
    Control,
}

impl Class {
    fn of(command: &Command) -> Self {
        if command.is_urgent() {
            Self::Urgent
        } else if command.is_control() {
            Self::Control
        } else {
            Self::Routine
        }
    }

    fn of_all(self, bound: usize) -> usize {
        let kept = bound / KEPT_SHARE;
        match self {
            Self::Routine => bound - kept,
            Self::Urgent => bound,
            Self::Control => bound.saturating_add(kept),
        }
    }

    fn of_principal(self, bound: usize) -> usize {
        match self {
            Self::Routine => bound,
            Self::Urgent => bound / URGENT_SHARE,
            Self::Control => bound.saturating_add(bound / KEPT_SHARE),
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// Takes submissions in.
    #[default]
    Open,
    /// Takes nothing in; the committer finishes what waits.
    Closing,
    /// Takes nothing in and gives nothing out.
    Stopped,
    /// Stopped, and the committer left.
    Finished,
}

impl Queue {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            state: Mutex::default(),
            urgent: AtomicUsize::new(0),
            changed: Condvar::new(),
            finished: Condvar::new(),
        }
    }

    /// Takes a submission in, or gives the reply back unsent.
    pub(super) fn push(&self, submission: Submission, reply: Reply) -> Result<(), (Refused, Reply)> {
        let (since, weight) = (Instant::now(), submission.weight());
        let class = Class::of(&submission.command);
        let (tenant, user) = principal(&submission.actor);
        let mut state = self.state.lock();
        if state.phase != Phase::Open {
            return Err((Refused::Stopped, reply));
        }
        if !has_room(
            state.waiting(),
            weight,
            class.of_all(self.bounds.waiting_commands_max),
            class.of_all(self.bounds.waiting_bytes_max),
        ) {
            return Err((Refused::Full, reply));
        }
        let is_urgent = class == Class::Urgent;
        let lane = if is_urgent { &mut state.urgent } else { &mut state.routine };
        let (pile, theirs) = lane.pile(tenant, user);
        let share = &self.bounds.share;
        // One is taken in any case: what is longer than a share of it could never be.
        if theirs.commands > 0
            && !has_room(
                theirs,
                weight,
                class.of_principal(share.commands_max),
                class.of_principal(share.bytes_max),
            )
        {
            return Err((Refused::Share, reply));
        }
        let (records, is_pressing) = (submission.command.records(), !submission.command.is_receipt());
        lane.push(Waiting { submission, reply, since, weight, records, is_pressing, pile }, share);
        self.urgent.fetch_add(usize::from(is_urgent), Ordering::Relaxed);
        // Of further receipts the committer, which waits for company of the first, need not hear.
        let wakes = is_pressing || state.waiting().commands == 1 || state.fills_group(&self.bounds);
        drop(state);
        if wakes {
            self.changed.notify_one();
        }
        Ok(())
    }

    /// Waits for submissions and moves a group of them out, urgent ones first. At least one, even
    /// if it is larger than a group may be. `false`: there is nothing more to come.
    pub(super) fn next_group(&self, group: &mut Group) -> bool {
        let mut state = self.state.lock();
        loop {
            match state.phase {
                Phase::Stopped | Phase::Finished => return false,
                Phase::Closing if state.is_empty() => return false,
                Phase::Closing => break,
                Phase::Open if state.is_empty() => self.changed.wait(&mut state),
                Phase::Open => match state.patience(&self.bounds) {
                    Some(until) if Instant::now() < until => {
                        // Whichever way it ends, it looks again.
                        let _ = self.changed.wait_until(&mut state, until);
                    }
                    _ => break,
                },
            }
        }
        let Line { urgent, routine, .. } = &mut *state;
        let mut room = self.room();
        let all = urgent.waiting().and(routine.waiting());
        if urgent.is_plain() && routine.is_plain() && room.holds(all) {
            urgent.give_all(group);
            routine.give_all(group);
        } else {
            let share = &self.bounds.share;
            urgent.give(group, &mut room, share);
            routine.give(group, &mut room, share);
            urgent.give_rest(group, &mut room, share);
            routine.give_rest(group, &mut room, share);
        }
        true
    }

    /// An empty group's.
    fn room(&self) -> Room {
        let Bounds { group_commands_max, group_bytes_max, group_records_max, .. } = self.bounds;
        Room {
            commands_max: group_commands_max.max(1),
            bytes_max: group_bytes_max,
            records_max: group_records_max,
            taken: Load::default(),
        }
    }

    /// Takes nothing in any more; what waits is still given out.
    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        if state.phase == Phase::Open {
            state.phase = Phase::Closing;
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Waits until the committer has left; `false` if it has not by the deadline.
    pub(super) fn wait_finished(&self, deadline: Instant) -> bool {
        let mut state = self.state.lock();
        while state.phase != Phase::Finished {
            if self.finished.wait_until(&mut state, deadline).timed_out() {
                return state.phase == Phase::Finished;
            }
        }
        true
    }

    /// Takes nothing in and gives nothing out any more; returns the replies of what waited.
    pub(super) fn stop(&self) -> Vec<Reply> {
        let mut state = self.state.lock();
        if state.phase != Phase::Finished {
            state.phase = Phase::Stopped;
        }
        let Line { urgent, routine, .. } = &mut *state;
        self.urgent_done(urgent.waiting().commands);
        let replies = urgent.drain().chain(routine.drain()).map(|waiting| waiting.reply).collect();
        drop(state);
        self.changed.notify_all();
        replies
    }

    /// Notes that the committer left.
    pub(super) fn finish(&self) {
        self.state.lock().phase = Phase::Finished;
        self.finished.notify_all();
    }

    /// So many urgent submissions that were given out are answered and told, or lost.
    pub(super) fn urgent_done(&self, count: usize) {
        self.urgent.fetch_sub(count, Ordering::Relaxed);
    }

    /// Whether an urgent submission is not done yet.
    pub(super) fn owes_urgent(&self) -> bool {
        self.urgent.load(Ordering::Relaxed) > 0
    }

    pub(super) fn depth(&self) -> Depth {
        let waiting = self.state.lock().waiting();
        Depth {
            commands: waiting.commands,
            bytes: waiting.bytes,
            commands_max: self.bounds.waiting_commands_max,
            bytes_max: self.bounds.waiting_bytes_max,
        }
    }
}

impl Line {
    fn waiting(&self) -> Load {
        self.urgent.waiting().and(self.routine.waiting())
    }

    fn is_empty(&self) -> bool {
        self.waiting().commands == 0
    }

    /// Whether there is enough for a group, or no room for more.
    fn fills_group(&self, bounds: &Bounds) -> bool {
        let most = |in_group: usize, waiting: usize| in_group.min(Class::Routine.of_all(waiting));
        let waiting = self.waiting();
        waiting.commands >= most(bounds.group_commands_max, bounds.waiting_commands_max)
            || waiting.bytes >= most(bounds.group_bytes_max, bounds.waiting_bytes_max)
    }

    /// Until when what waits may wait for more. `None`: not at all.
    fn patience(&self, bounds: &Bounds) -> Option<Instant> {
        let may_wait = self.waiting().pressing == 0 && !self.fills_group(bounds);
        let oldest = self.routine.oldest().filter(|_| may_wait)?;
        Some(oldest + bounds.receipts_wait)
    }
}

/// Whose it counts as: everybody is one in the broker of `cargo xtask noisy --unfair`.
fn principal(actor: &Actor) -> (TenantId, UserId) {
    if cfg!(feature = "unfair") {
        return (TenantId::new([0; 16]), UserId::new([0; 16]));
    }
    (actor.tenant, actor.user)
}

/// Whether one more of this weight is within bounds.
fn has_room(waiting: Load, weight: usize, commands_max: usize, bytes_max: usize) -> bool {
    waiting.commands < commands_max && waiting.bytes.saturating_add(weight) <= bytes_max
}
