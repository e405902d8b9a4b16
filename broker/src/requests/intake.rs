//! The one way for a command into the log.
//!
//! Who submits many keeps a channel for their completions; who has just one to submit asks, and
//! waits for what came of it. What a command needs beside its author, the log adds.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::time::sleep;
use wardline_storage::command::{Actor, Command, Outcome, Submission};
use wardline_storage::id::Timestamp;
use wardline_storage::log::{Completion, Reply};

use super::admission::{Admission, NotTaken, TRY_AGAIN};
use crate::access::caller::nobody;
use crate::refusal::{Code, Refusal};

/// Takes commands in.
pub(crate) struct Intake {
    admission: Arc<Admission>,
}

impl Intake {
    /// Behind this admission.
    pub(crate) fn new(admission: Arc<Admission>) -> Self {
        Self { admission }
    }

    /// What is taken in, and how refused clients are told to come back.
    pub(crate) fn admission(&self) -> &Admission {
        &self.admission
    }

    /// Takes a command in, or says why not; then the reply's seat is free again.
    ///
    /// # Errors
    /// A refusal, with the time to wait; or a control command, for which there is no room yet.
    pub(crate) fn submit(&self, actor: &Arc<Actor>, command: Command, reply: Reply) -> Result<(), NotTaken> {
        self.admission.submit(Submission { actor: Arc::clone(actor), command }, reply)
    }

    /// Takes a command in, and waits until it is done; a control command also until there is room
    /// for it.
    ///
    /// # Errors
    /// A refusal, by whoever refused it.
    ///
    /// # Cancellation
    /// What was taken in is done all the same.
    pub(crate) async fn ask(&self, actor: &Arc<Actor>, mut command: Command) -> Result<Outcome, Refusal> {
        loop {
            let (seats, completions) = mpsc::channel(1);
            let seat = seats.try_reserve_owned().expect("a new channel has room for one");
            match self.submit(actor, command, Reply { ticket: 0, seat }) {
                Ok(()) => return self.outcome(completions).await,
                Err(NotTaken::Refused(refusal)) => return Err(refusal),
                Err(NotTaken::Yet(again)) => command = again,
            }
            sleep(TRY_AGAIN).await;
        }
    }

    /// The same for a command of the broker itself.
    ///
    /// # Errors
    /// As [`Intake::ask`].
    ///
    /// # Cancellation
    /// As [`Intake::ask`].
    pub(crate) async fn control(&self, command: Command) -> Result<Outcome, Refusal> {
        self.ask(&nobody(), command).await
    }

    async fn outcome(&self, mut completions: mpsc::Receiver<Completion>) -> Result<Outcome, Refusal> {
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

    /// Lets the log's time pass, though nobody asks for anything, also where the disk is nearly
    /// full: what has expired makes room. If it is not taken in, the log is busy, and its time
    /// passes anyway; or it has stopped. Gives the time that it has reached.
    ///
    /// # Cancellation
    /// Time passes all the same.
    pub(crate) async fn tick(&self) -> Timestamp {
        let (seats, mut completions) = mpsc::channel(1);
        let seat = seats.try_reserve_owned().expect("a new channel has room for one");
        let tick = Submission { actor: nobody(), command: Command::Tick };
        if self.admission.submit(tick, Reply { ticket: 0, seat }).is_ok() {
            // Durable or lost, the log knows how far it came.
            let _ = completions.recv().await;
        }
        self.admission.applied().time
    }
}
