//! Asks an issuer again about the tokens of open sessions, round after round.
//!
//! A session whose token is not active any more is cut off, and so are all of an issuer that has
//! been silent for longer than its silence is taken for a yes. A round gives up once an issuer
//! leaves too many questions unanswered: the rest would only wait, each for as long.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::one::{Provider, Standing};
use crate::limits::ISSUER_QUESTIONS_MAX;
use crate::presence::registry::{Present, Registry};
use crate::refusal::{Code, Refusal};

/// Questions of a round that may stay unanswered.
const UNANSWERED_MAX: usize = ISSUER_QUESTIONS_MAX;
/// When those are to come again whose issuer has been silent for too long.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Goes round until it is told to stop.
///
/// # Cancellation
/// Loses nothing.
pub(crate) async fn run(provider: Arc<Provider>, registry: Arc<Registry>, stop: CancellationToken) {
    let Some(every) = provider.introspects() else { return };
    loop {
        let next = Instant::now() + every;
        tokio::select! {
            () = round(&provider, &registry) => {}
            () = stop.cancelled() => return,
        }
        tokio::select! {
            () = sleep_until(next) => {}
            () = stop.cancelled() => return,
        }
    }
}

async fn round(provider: &Arc<Provider>, registry: &Registry) {
    let is_ours = |present: &Present| present.credential.lock().issuer == *provider.issuer();
    let mut waiting: VecDeque<Present> = registry.find(is_ours).into();
    let (mut asked, mut unanswered) = (JoinSet::new(), 0);
    loop {
        while asked.len() < ISSUER_QUESTIONS_MAX && unanswered < UNANSWERED_MAX {
            let Some(present) = waiting.pop_front() else { break };
            let provider = Arc::clone(provider);
            asked.spawn(async move { one(&provider, &present).await });
        }
        match asked.join_next().await {
            Some(Ok(Standing::Active | Standing::Inactive)) => {}
            // A panic is logged by whoever panics, and asked again in the next round.
            Some(Ok(Standing::Graced | Standing::Silent) | Err(_)) => unanswered += 1,
            None => break,
        }
    }
    // Those that were not asked about any more fare as those that were.
    if provider.is_past_grace() {
        waiting.iter().for_each(|present| present.ending.cut(silent()));
    }
}

async fn one(provider: &Provider, present: &Present) -> Standing {
    let Some(bearer) = present.credential.lock().bearer.clone() else { return Standing::Active };
    let standing = provider.ask_about(bearer.token()).await;
    // Of a token that was renewed meanwhile it says nothing.
    let is_same = present.credential.lock().bearer.as_ref().is_some_and(|now| Arc::ptr_eq(now, &bearer));
    match standing {
        Standing::Inactive if is_same => present.ending.cut(inactive()),
        Standing::Silent if is_same => present.ending.cut(silent()),
        _ => {}
    }
    standing
}

/// What those are told whose token is not active any more.
pub(crate) fn inactive() -> Refusal {
    Refusal::new(Code::Revoked, "the issuer says that the token is not active any more")
}

/// What those are told whose issuer has been silent for too long.
pub(crate) fn silent() -> Refusal {
    let text = "the token's issuer has not answered for too long: whether it is active cannot be told";
    Refusal::new(Code::Unavailable, text).after(RETRY_AFTER)
}
