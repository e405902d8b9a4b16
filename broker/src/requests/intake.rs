//! The one way for a command into the log.
//!
//! What a command needs beside itself is added here and nowhere else. Who submits many keeps a
//! channel for their completions; who has just one to submit asks, and waits for what came of it.

use std::sync::Arc;

use tokio::sync::mpsc;
use wardline_storage::command::{Actor, Command, Outcome, Policy, Submission};
use wardline_storage::log::Reply;

use super::admission::Admission;
use crate::clock::Clock;
use crate::refusal::{Code, Refusal};

/// Takes commands in.
pub(crate) struct Intake {
    admission: Arc<Admission>,
    clock: Arc<Clock>,
    policy: Policy,
}

impl Intake {
    /// Behind this admission.
    pub(crate) fn new(admission: Arc<Admission>, clock: Arc<Clock>, policy: Policy) -> Self {
        Self { admission, clock, policy }
    }

    /// What is taken in, and how refused clients are told to come back.
    pub(crate) fn admission(&self) -> &Admission {
        &self.admission
    }

    /// Takes a command in, or says why not; then the reply's seat is free again.
    ///
    /// # Errors
    /// A refusal, with the time to wait.
    pub(crate) fn submit(&self, actor: &Arc<Actor>, command: Command, reply: Reply) -> Result<(), Refusal> {
        self.admission.submit(self.submission(actor, command), reply)
    }

    /// Takes a command in, and waits until it is done.
    ///
    /// # Errors
    /// A refusal, by whoever refused it.
    ///
    /// # Cancellation
    /// What was taken in is done all the same.
    pub(crate) async fn ask(&self, actor: &Arc<Actor>, command: Command) -> Result<Outcome, Refusal> {
        let (seats, mut completions) = mpsc::channel(1);
        let seat = seats.try_reserve_owned().expect("a new channel has room for one");
        self.submit(actor, command, Reply { ticket: 0, place: seat })?;
        match completions.recv().await.map(|completion| completion.verdict) {
            Some(Ok(verdict)) => verdict.map_err(Refusal::from),
            Some(Err(_)) | None => Err(self.lost()),
        }
    }

    /// The refusal of what was taken in and is not known to be durable.
    pub(crate) fn lost(&self) -> Refusal {
        Refusal::new(Code::Unavailable, "the broker stopped before this was known to be durable")
            .after(self.admission.delay(10.0))
    }

    fn submission(&self, actor: &Arc<Actor>, command: Command) -> Submission {
        Submission { time: self.clock.now(), actor: Arc::clone(actor), policy: self.policy, command }
    }
}
