//! Answers: what is said once the log is done with a command.

use wardline_storage::command::Outcome;
use wardline_storage::log::Completion;

use super::intake::Intake;
use super::query::Query;
use crate::wire::Response;

/// What is answered once a command is done.
pub(crate) enum Answer {
    /// This.
    Now(Response),
    /// What the store has then.
    Read(Query),
}

/// What to answer when the log, behind `intake`, is done with a command.
pub(crate) fn answer(completion: &Completion, intake: &Intake) -> Answer {
    let response = match &completion.verdict {
        Err(_lost) => Response::Refused(intake.lost()),
        Ok(Err(rejection)) => Response::Refused((*rejection).into()),
        Ok(Ok(Outcome::Published { seq, time })) => Response::Published { seq: *seq, time: *time },
        Ok(Ok(Outcome::Acknowledged { delivered, read })) => {
            Response::Acknowledged { delivered: *delivered, read: *read }
        }
        Ok(Ok(Outcome::Changed(seq))) => Response::Done(*seq),
        Ok(Ok(Outcome::Heard(heard))) => Response::Recorded(*heard),
        Ok(Ok(Outcome::Created { conversation, .. })) => {
            return Answer::Read(Query::Conversation(*conversation));
        }
        Ok(Ok(
            Outcome::DeviceRegistered { .. }
            | Outcome::Reexpired { .. }
            | Outcome::Noted
            | Outcome::Revoked { .. }
            | Outcome::Regrouped { .. },
        )) => Response::Done(None),
    };
    Answer::Now(response)
}
