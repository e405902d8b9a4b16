//! Signing out: an issuer says by a logout token that a sign-in has ended (OpenID Connect
//! Back-Channel Logout 1.0).
//!
//! Sessions are cut off first, and nobody comes in by a token of that sign-in again; then it is put
//! on record, through the log as all else. A token of a sign-in that began later is not touched,
//! whenever the logout token comes. Each logout token counts once: what is remembered of it is a
//! hash, for as long as it could be used, and not past the end of the broker. After that it could
//! be used again, and would find nothing more to end.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use aws_lc_rs::digest::{Context, SHA256};
use parking_lot::Mutex;
use thiserror::Error;
use tokio::sync::Semaphore;
use wardline_storage::command::Command;
use wardline_storage::id::Timestamp;
use wardline_storage::model::{Revocation, Subject, Text};

use crate::access::auth::TokenError;
use crate::access::auth::logout::Logout;
use crate::access::caller::Callers;
use crate::access::revocations;
use crate::limits::{LOGOUT_TOKENS_MAX, SIGN_OUTS_MAX};
use crate::metrics::Metrics;
use crate::operator::revoke::Revoker;
use crate::presence::registry::Registry;
use crate::requests::intake::Intake;

/// Most logout tokens that are looked at at the same time.
const AT_ONCE_MAX: usize = 8;
/// What it is called on record.
const NAME: &str = "signed out at the issuer";

/// A logout token was not acted upon, or not to the end. The issuer is told.
#[derive(Debug, Error)]
pub(crate) enum SignOutError {
    /// It is not acceptable.
    #[error("{0}")]
    Token(#[from] TokenError),
    /// It was used before.
    #[error("a logout token with this jti was used before")]
    Replayed,
    /// More came than is remembered.
    #[error("too many logout tokens came: try again later")]
    Crowded,
    /// Sessions are ended, but it is not on record.
    #[error("the sessions have ended, but it could not be put on record: try again later")]
    NotOnRecord,
}

/// Ends sign-ins.
#[derive(Clone)]
pub struct SignOuts(Arc<Inner>);

struct Inner {
    callers: Arc<Callers>,
    registry: Arc<Registry>,
    intake: Arc<Intake>,
    revoker: Revoker,
    metrics: Arc<Metrics>,
    used: Mutex<Used>,
    at_once: Semaphore,
}

/// Logout tokens that were used, by a hash, and until when they could be used again.
#[derive(Default)]
struct Used(HashMap<[u8; 32], Timestamp>);

impl SignOuts {
    /// Of the broker with these parts.
    pub(crate) fn new(
        callers: Arc<Callers>,
        registry: Arc<Registry>,
        intake: Arc<Intake>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let revoker = Revoker::new(Arc::clone(&callers), Arc::clone(&registry), Arc::clone(&intake));
        let (used, at_once) = (Mutex::default(), Semaphore::new(AT_ONCE_MAX));
        Self(Arc::new(Inner { callers, registry, intake, revoker, metrics, used, at_once }))
    }

    /// Does what a logout token says; gives how many sessions were cut off.
    ///
    /// # Errors
    /// [`SignOutError`] saying why not.
    ///
    /// # Cancellation
    /// What was begun may not be on record, and the token not be used again.
    pub(crate) async fn take(&self, token: &str) -> Result<usize, SignOutError> {
        let (inner, began) = (&*self.0, Instant::now());
        let done = inner.take(token, began).await;
        let metrics = &inner.metrics;
        match &done {
            Ok(0) => metrics.logouts_of_nobody.increment(1),
            Ok(_) => metrics.logouts_done.increment(1),
            Err(SignOutError::Token(_)) => metrics.logouts_refused.increment(1),
            Err(SignOutError::Replayed) => metrics.logouts_replayed.increment(1),
            Err(SignOutError::Crowded) => metrics.logouts_crowded.increment(1),
            Err(SignOutError::NotOnRecord) => metrics.logouts_not_on_record.increment(1),
        }
        if let Err(error) = &done {
            tracing::warn!(code = "logout-refused", %error, "a logout token was refused");
        }
        done
    }

    /// Counts what came and was no form with a logout token.
    pub(crate) fn malformed(&self) {
        self.0.metrics.logouts_malformed.increment(1);
    }
}

impl Inner {
    async fn take(&self, token: &str, began: Instant) -> Result<usize, SignOutError> {
        let Ok(_one) = self.at_once.acquire().await else { return Err(SignOutError::Crowded) };
        let logout = self.callers.logout(token).await?;
        let hash = hash_of(&logout);
        self.used.lock().note(hash, logout.good_until, self.callers.clock().own())?;
        let done = self.end(&logout, began).await;
        if done.is_err() {
            // So that the issuer can try again.
            self.used.lock().0.remove(&hash);
        }
        done
    }

    async fn end(&self, logout: &Logout, began: Instant) -> Result<usize, SignOutError> {
        let Logout { issuer, user, session, through, .. } = logout;
        let ended = self.callers.ids().signed_out(issuer, user.as_deref(), session.as_deref());
        let subjects: Vec<_> = ended.into_iter().map(Subject::SignIn).collect();
        if !self.has_room(&subjects) {
            self.revoker.lift_moot().await;
        }
        let has_room = self.has_room(&subjects);
        for subject in subjects.iter().filter(|_| has_room) {
            let made = self.callers.clock().now();
            self.callers.revoke(*subject, Revocation { made, through: *through, name: Text::new(NAME) });
        }
        let cut = self.cut(&subjects, *through);
        self.metrics.sign_out_seconds.record(began.elapsed().as_secs_f64());
        tracing::info!(code = "signed-out", sessions = cut, "an issuer has ended a sign-in");
        if !has_room {
            tracing::error!(
                code = "sign-outs-full",
                "as many ended sign-ins are on record as there can be: tokens of this one are good until they expire; let the issuer make shorter ones, and set auth.lifetime to as long"
            );
            return Err(SignOutError::NotOnRecord);
        }
        for subject in subjects {
            let command = Command::Revoke { subject, name: Text::new(NAME), through: *through };
            if self.intake.control(command).await.is_err() {
                return Err(SignOutError::NotOnRecord);
            }
        }
        let revoker = self.revoker.clone();
        tokio::spawn(async move { revoker.lift_moot().await });
        Ok(cut)
    }

    fn has_room(&self, subjects: &[Subject]) -> bool {
        let revocations = self.callers.revocations();
        let new = subjects.iter().filter(|subject| !revocations.has(subject)).count();
        revocations.sign_outs() + new <= SIGN_OUTS_MAX
    }

    /// Cuts off the sessions of what has ended, but those of a token of later.
    fn cut(&self, subjects: &[Subject], through: Timestamp) -> usize {
        let Some(first) = subjects.first() else { return 0 };
        self.registry.cut(&revocations::refusal(first), |present| {
            let credential = present.credential.lock();
            let is_of = |sign_in| subjects.contains(&Subject::SignIn(sign_in));
            credential.sign_ins.into_iter().any(is_of) && credential.issued.unwrap_or_default() <= through
        })
    }
}

impl Used {
    /// Notes one, unless it is known.
    fn note(&mut self, hash: [u8; 32], good_until: Timestamp, now: Timestamp) -> Result<(), SignOutError> {
        if self.0.get(&hash).is_some_and(|until| now < *until) {
            return Err(SignOutError::Replayed);
        }
        if self.0.len() >= LOGOUT_TOKENS_MAX {
            self.0.retain(|_, until| now < *until);
        }
        // One that is forgotten too early could be used again.
        if self.0.len() >= LOGOUT_TOKENS_MAX {
            return Err(SignOutError::Crowded);
        }
        self.0.insert(hash, good_until);
        Ok(())
    }
}

fn hash_of(logout: &Logout) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    context.update(&(logout.issuer.len() as u64).to_be_bytes());
    context.update(logout.issuer.as_bytes());
    context.update(logout.id.as_bytes());
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_logout_token_counts_once_as_long_as_it_could_be_used() {
        let mut used = Used::default();
        let (hash, until) = ([1; 32], Timestamp(1_000));
        used.note(hash, until, Timestamp(10)).expect("it is the first");
        for now in [10, 999] {
            assert!(matches!(used.note(hash, until, Timestamp(now)), Err(SignOutError::Replayed)), "{now}");
        }
        used.note([2; 32], until, Timestamp(10)).expect("it is another");
        for number in 0..LOGOUT_TOKENS_MAX as u64 {
            let mut hash = [3; 32];
            hash[..8].copy_from_slice(&number.to_be_bytes());
            let _ = used.note(hash, until, Timestamp(10));
        }
        assert!(matches!(used.note([4; 32], until, Timestamp(999)), Err(SignOutError::Crowded)));
        assert!(used.0.len() <= LOGOUT_TOKENS_MAX);
        used.note([4; 32], Timestamp(2_000), Timestamp(1_000)).expect("what is too old made room");
        assert_eq!(used.0.len(), 1);
    }
}
