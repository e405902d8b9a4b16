//! What the operator says of an issuer that is asked over HTTPS.
//!
//! Whatever an issuer says of when to come again is held within what the operator said.

use std::path::PathBuf;
use std::time::Duration;

use crate::access::auth::Expected;
use crate::https::{Bounds, Trust};
use crate::limits::{ISSUER_ANSWER_BYTES_MAX, ISSUER_QUESTIONS_MAX};

/// An issuer that is asked over HTTPS.
#[derive(Clone, Debug)]
pub struct Config {
    /// What the operator calls it.
    pub name: String,
    /// What its tokens must say; its `iss` is where its discovery document is found.
    pub expected: Expected,
    /// Who certifies it.
    pub trust: Trust,
    /// By which account it is asked about tokens; `None`: it is not.
    pub introspection: Option<Account>,
    /// How often, and for how long.
    pub pace: Pace,
}

/// What an issuer knows the broker by. `Debug` does not show the secret, which is not here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// `client_id`.
    pub client: String,
    /// The file with `client_secret`, read anew for each question.
    pub secret: PathBuf,
}

/// How often issuers are asked, and for how long what they said holds. The same for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Longest time for an answer.
    pub timeout: Duration,
    /// Keys are asked for again after what the issuer says (`max-age`), but not sooner,
    pub fetch_min: Duration,
    /// and not later.
    pub fetch_max: Duration,
    /// How long keys are good since they were last read.
    pub keys_kept: Duration,
    /// How often an issuer is asked about a token.
    pub introspect_every: Duration,
    /// How long its silence is taken for a yes.
    pub introspect_grace: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(5),
            fetch_min: Duration::from_secs(60),
            fetch_max: Duration::from_secs(3600),
            keys_kept: Duration::from_secs(86_400),
            introspect_every: Duration::from_secs(60),
            introspect_grace: Duration::from_secs(600),
        }
    }
}

impl Pace {
    /// The bounds of each question.
    pub(super) fn bounds(&self) -> Bounds {
        Bounds {
            deadline: self.timeout,
            answer_bytes_max: ISSUER_ANSWER_BYTES_MAX,
            questions_max: ISSUER_QUESTIONS_MAX,
        }
    }

    /// After how long keys are asked for again that are fresh for so long.
    pub(super) fn until_next(&self, fresh_for: Option<Duration>) -> Duration {
        fresh_for.unwrap_or(self.fetch_min * 5).clamp(self.fetch_min, self.fetch_max.max(self.fetch_min))
    }

    /// After how long an issuer is asked again that failed so many times, the last time with this
    /// word of when to come again.
    pub(super) fn until_retry(&self, failures: u32, retry_after: Option<Duration>) -> Duration {
        const FIRST: Duration = Duration::from_secs(1);
        let doubled = FIRST.saturating_mul(1 << failures.saturating_sub(1).min(16));
        let own = doubled.min(self.fetch_min);
        retry_after.map_or(own, |after| after.clamp(own, self.fetch_max.max(own)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_issuer_says_is_bounded() {
        let pace = Pace::default();
        let seconds = Duration::from_secs;
        assert_eq!(pace.until_next(None), seconds(300));
        assert_eq!(pace.until_next(Some(seconds(0))), seconds(60));
        assert_eq!(pace.until_next(Some(seconds(600))), seconds(600));
        assert_eq!(pace.until_next(Some(seconds(u64::MAX))), seconds(3600));
        let retries: Vec<_> = (1..9).map(|n| pace.until_retry(n, None).as_secs()).collect();
        assert_eq!(retries, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(pace.until_retry(1, Some(seconds(120))), seconds(120));
        assert_eq!(pace.until_retry(3, Some(seconds(0))), seconds(4));
        assert_eq!(pace.until_retry(u32::MAX, Some(seconds(u64::MAX))), seconds(3600));
    }
}
