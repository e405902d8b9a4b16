//! What a broker tells its store before it takes clients in: a secret, if it has none yet, and the
//! policy and the bounds of retention, if others are in force.
//!
//! All go through the log like all else, so that every node that applies it has them. What a
//! client is answered rests on them; nothing is served before they are durable.

use std::sync::Arc;

use thiserror::Error;
use tokio::sync::mpsc;
use wardline_storage::command::{Command, Submission};
use wardline_storage::engine::{Engine, EngineError};
use wardline_storage::log::{Log, Reply};
use wardline_storage::model::{IdSecret, Policy};
use wardline_storage::retention::Retentions;
use wardline_storage::state::{State as _, id_secret};

use crate::access::caller::nobody;

/// The store is not ready to be served from. The operator must act.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FoundingError {
    /// The store could not be read.
    #[error("the store cannot be used: {0}")]
    Storage(#[from] EngineError),
    /// The log did not take it, or stopped.
    #[error(
        "the store cannot be used: its log stopped before it had taken a first command; the log lines before this say why"
    )]
    Stopped,
    /// The operating system gives no randomness.
    #[error("the operating system gives no randomness: {0}")]
    Randomness(getrandom::Error),
}

/// Sees to it that the store has a secret and this policy; gives the secret.
///
/// # Errors
/// [`FoundingError`] if it cannot.
pub(crate) async fn found(
    log: &dyn Log,
    engine: &dyn Engine,
    policy: Policy,
) -> Result<IdSecret, FoundingError> {
    if id_secret(engine)?.is_none() {
        let mut fresh = [0; 32];
        getrandom::fill(&mut fresh).map_err(FoundingError::Randomness)?;
        tell(log, Command::Found { secret: IdSecret::new(fresh) }).await?;
    }
    if engine.policy()? != Some(policy) {
        tell(log, Command::SetPolicy(policy)).await?;
        tracing::info!(code = "policy-set", ?policy, "these bounds are in force from now on");
    }
    id_secret(engine)?.ok_or(FoundingError::Stopped)
}

/// Sees to it that these floors, defaults and ceilings of retention are in force.
///
/// # Errors
/// [`FoundingError`] if it cannot.
pub(crate) async fn govern(
    log: &dyn Log,
    engine: &dyn Engine,
    retentions: Retentions,
) -> Result<(), FoundingError> {
    if engine.retentions()?.as_deref() != Some(&retentions) {
        let (tenants, everybody) = (retentions.tenants.len(), retentions.everybody);
        tell(log, Command::SetRetentions(Arc::new(retentions))).await?;
        tracing::info!(
            code = "retention-set",
            ?everybody,
            tenants,
            "these bounds of retention are in force from now on, and those of so many tenants"
        );
    }
    Ok(())
}

async fn tell(log: &dyn Log, command: Command) -> Result<(), FoundingError> {
    let (seats, mut completions) = mpsc::channel(1);
    let seat = seats.try_reserve_owned().expect("a new channel has room for one");
    let taken = log.submit(Submission { actor: nobody(), command }, Reply { ticket: 0, seat });
    taken.map_err(|_| FoundingError::Stopped)?;
    match completions.recv().await.map(|completion| completion.verdict) {
        Some(Ok(Ok(_))) => Ok(()),
        _ => Err(FoundingError::Stopped),
    }
}
