//! What waits for the committer: two lanes, bounded in commands and in bytes.
//!
//! Submitting never blocks: it takes a short lock, or is refused. An eighth of both bounds is kept
//! for urgent submissions, so that they are still taken in when routine ones have filled their
//! share. Each lane keeps its order. The urgent lane is emptied first; what does not fit into a
//! group waits for the next one. Receipts alone are no hurry: they wait a little for company, so
//! that thousands of devices do not make a sync of each.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

use crate::command::Submission;
use crate::log::{Bounds, Depth, Refused, Reply};

/// One part in so many of the bounds is kept for urgent submissions.
const URGENT_SHARE: usize = 8;

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
    urgent: VecDeque<Waiting>,
    routine: VecDeque<Waiting>,
    bytes: usize,
    /// How many are no receipts.
    pressing: usize,
    phase: Phase,
}

/// A submission, and where its verdict goes.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) submission: Submission,
    pub(super) reply: Reply,
    /// When it was taken in.
    pub(super) since: Instant,
    weight: usize,
    is_pressing: bool,
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

/// What the committer commits together, in order. Its memory is used again and again.
pub(super) type Group = VecDeque<Waiting>;

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
        let urgent = submission.command.is_urgent();
        let is_pressing = !submission.command.is_receipt();
        let commands_max = share(self.bounds.waiting_commands_max, urgent);
        let bytes_max = share(self.bounds.waiting_bytes_max, urgent);
        let mut state = self.state.lock();
        if state.phase != Phase::Open {
            return Err((Refused::Stopped, reply));
        }
        if state.commands() >= commands_max || state.bytes.saturating_add(weight) > bytes_max {
            return Err((Refused::Full, reply));
        }
        state.bytes += weight;
        self.urgent.fetch_add(usize::from(urgent), Ordering::Relaxed);
        let lane = if urgent { &mut state.urgent } else { &mut state.routine };
        lane.push_back(Waiting { submission, reply, since, weight, is_pressing });
        state.pressing += usize::from(is_pressing);
        // Of further receipts the committer, which waits for company of the first, need not hear.
        let wakes = is_pressing || state.commands() == 1 || state.fills_group(&self.bounds);
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
                Phase::Closing if state.commands() == 0 => return false,
                Phase::Closing => break,
                Phase::Open if state.commands() == 0 => self.changed.wait(&mut state),
                Phase::Open => match state.patience(&self.bounds) {
                    Some(until) if Instant::now() < until => {
                        // Whichever way it ends, it looks again.
                        let _ = self.changed.wait_until(&mut state, until);
                    }
                    _ => break,
                },
            }
        }
        let (commands_max, bytes_max) = (self.bounds.group_commands_max.max(1), self.bounds.group_bytes_max);
        let Line { urgent, routine, bytes, pressing, .. } = &mut *state;
        if urgent.len() + routine.len() <= commands_max && *bytes <= bytes_max {
            group.append(urgent);
            group.append(routine);
            (*bytes, *pressing) = (0, 0);
            return true;
        }
        let mut taken = 0;
        while group.len() < commands_max {
            let lane = if urgent.is_empty() { &mut *routine } else { &mut *urgent };
            let Some((weight, is_pressing)) = lane.front().map(|next| (next.weight, next.is_pressing)) else {
                break;
            };
            if !group.is_empty() && taken + weight > bytes_max {
                break;
            }
            group.extend(lane.pop_front());
            taken += weight;
            *bytes -= weight;
            *pressing -= usize::from(is_pressing);
        }
        true
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
        (state.bytes, state.pressing) = (0, 0);
        let Line { urgent, routine, .. } = &mut *state;
        self.urgent_done(urgent.len());
        let replies = urgent.drain(..).chain(routine.drain(..)).map(|waiting| waiting.reply).collect();
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
        let state = self.state.lock();
        Depth {
            commands: state.commands(),
            bytes: state.bytes,
            commands_max: self.bounds.waiting_commands_max,
            bytes_max: self.bounds.waiting_bytes_max,
        }
    }
}

impl Line {
    fn commands(&self) -> usize {
        self.urgent.len() + self.routine.len()
    }

    /// Whether there is enough for a group, or no room for more.
    fn fills_group(&self, bounds: &Bounds) -> bool {
        let most = |in_group: usize, waiting: usize| in_group.min(share(waiting, false));
        self.commands() >= most(bounds.group_commands_max, bounds.waiting_commands_max)
            || self.bytes >= most(bounds.group_bytes_max, bounds.waiting_bytes_max)
    }

    /// Until when what waits may wait for more. `None`: not at all.
    fn patience(&self, bounds: &Bounds) -> Option<Instant> {
        let may_wait = self.pressing == 0 && !self.fills_group(bounds);
        let oldest = self.routine.front().filter(|_| may_wait)?;
        Some(oldest.since + bounds.receipts_wait)
    }
}

/// How much of a bound a submission may fill up to.
fn share(bound: usize, urgent: bool) -> usize {
    if urgent { bound } else { bound - bound / URGENT_SHARE }
}
