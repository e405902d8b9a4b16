//! Follows an issuer's keys: reads them again when they are due, or wanted, and puts them in force.
//!
//! What cannot be used is refused with the reason, once, and what was in force stays so, but not
//! past the bound that the operator chose. A key that the issuer does not publish any more is not
//! good any more.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use wardline_storage::id::Timestamp;

use super::error::ProviderError;
use super::kept::{self, Kept};
use super::keys::{self, Fetched};
use super::one::{Keys, Provider};
use crate::access::auth::{LeftOut, Verifier};

/// Puts keys in force.
pub(crate) type Put = Arc<dyn Fn(Verifier) + Send + Sync>;

/// An issuer's keys while they are followed.
struct Followed {
    provider: Arc<Provider>,
    place: Option<PathBuf>,
    put: Put,
    /// When the keys in force were read, or the broker began to ask for them.
    read: Timestamp,
    has_keys: bool,
    failures: u32,
    /// Why it failed last.
    wrong: Option<String>,
    left_out: Vec<LeftOut>,
}

/// Follows an issuer's keys until it is told to stop. `folder` has, and gets, a copy of them.
///
/// # Cancellation
/// Loses nothing.
pub(crate) async fn follow(
    provider: Arc<Provider>,
    folder: Option<PathBuf>,
    put: Put,
    stop: CancellationToken,
) {
    let mut followed = Followed::begin(provider, folder.as_deref(), put).await;
    loop {
        let pause = tokio::select! {
            pause = followed.read() => pause,
            () = stop.cancelled() => return,
        };
        tokio::select! {
            () = sleep(pause) => {}
            () = followed.provider.wanted.notified() => {}
            () = stop.cancelled() => return,
        }
    }
}

impl Followed {
    /// With the keys that lie in the folder, if they are young enough.
    async fn begin(provider: Arc<Provider>, folder: Option<&Path>, put: Put) -> Self {
        let now = provider.clock.own();
        let place = folder.map(|folder| kept::place(folder, provider.issuer()));
        let mut followed = Self {
            provider,
            place,
            put,
            read: now,
            has_keys: false,
            failures: 0,
            wrong: None,
            left_out: Vec::new(),
        };
        if let Some((verifier, read)) = followed.kept(now).await {
            (followed.read, followed.has_keys) = (read.min(now), true);
            followed.put(verifier);
            followed.provider.done.send_modify(|done| *done += 1);
            tracing::info!(
                code = "issuer-keys-kept",
                issuer = followed.provider.config.name,
                "the keys that the issuer last had are in force until it is asked"
            );
        }
        followed.show();
        followed
    }

    /// Lets others see how old the keys are.
    fn show(&self) {
        self.provider.reading.lock().keys = Some(Keys { read: self.read, are_there: self.has_keys });
    }

    async fn kept(&self, now: Timestamp) -> Option<(Verifier, Timestamp)> {
        let place = self.place.clone()?;
        let expected = self.provider.config.expected.clone();
        let kept_ms = u64::try_from(self.provider.config.pace.keys_kept.as_millis()).unwrap_or(u64::MAX);
        let (issuer, oldest) = (Arc::clone(&expected.issuer), Timestamp(now.0.saturating_sub(kept_ms)));
        let kept = tokio::task::spawn_blocking(move || kept::read(&place, &issuer, oldest)).await.ok()??;
        let verifier = Verifier::from_json(&kept.set, "the copy of the issuer's keys", expected).ok()?;
        Some((verifier, Timestamp(kept.fetched_ms)))
    }

    /// Reads the keys, and gives after how long they are to be read again.
    async fn read(&mut self) -> Duration {
        self.provider.reading.lock().is_under_way = true;
        let fetched = keys::fetch(&self.provider.https, &self.provider.config).await;
        let pace = self.provider.config.pace;
        self.provider.metrics.fetched(fetched.as_ref().map_or_else(ProviderError::label, |_| "ok"));
        let pause = match fetched {
            Ok(fetched) => {
                let pause = pace.until_next(fetched.fresh_for);
                self.take(fetched).await;
                pause
            }
            Err(error) => self.fail(&error),
        };
        self.provider.reading.lock().is_under_way = false;
        self.show();
        self.provider.done.send_modify(|done| *done += 1);
        pause
    }

    async fn take(&mut self, fetched: Fetched) {
        let Fetched { verifier, set, document, .. } = fetched;
        let name = &self.provider.config.name;
        if self.wrong.take().is_some() || !self.has_keys {
            tracing::info!(
                code = "issuer-answers",
                issuer = name,
                keys = verifier.keys(),
                "the issuer's keys were read"
            );
        }
        (self.read, self.has_keys, self.failures) = (self.provider.clock.own(), true, 0);
        {
            let mut reading = self.provider.reading.lock();
            (reading.document, reading.not_before) = (Some(document), None);
        }
        self.put(verifier);
        self.keep(set).await;
    }

    fn put(&mut self, verifier: Verifier) {
        for left_out in verifier.left_out() {
            let is_known = |other: &LeftOut| other.kid == left_out.kid && other.reason == left_out.reason;
            if !self.left_out.iter().any(is_known) {
                tracing::warn!(code = "token-key-left-out", issuer = self.provider.config.name, %left_out, "an entry of the issuer's key set is left out");
            }
        }
        self.left_out = verifier.left_out().to_vec();
        (self.put)(verifier);
    }

    async fn keep(&self, set: bytes::Bytes) {
        let Some(place) = self.place.clone() else { return };
        let kept = Kept {
            issuer: self.provider.issuer().to_string(),
            fetched_ms: self.read.0,
            // It was read as JSON, so it is text.
            set: String::from_utf8_lossy(&set).into_owned(),
        };
        let written = tokio::task::spawn_blocking(move || kept::write(&place, &kept)).await;
        // A panic there is logged by whoever panics.
        if let Ok(Err(error)) = written {
            tracing::warn!(code = "issuer-keys-not-kept", issuer = self.provider.config.name, %error, "the issuer's keys cannot be kept in the data folder: a restart while it is silent would not know them");
        }
    }

    /// Notes that they could not be read; past the bound they are not good any more.
    fn fail(&mut self, error: &ProviderError) -> Duration {
        let Provider { config, clock, reading, .. } = &*self.provider;
        let name = &config.name;
        self.failures = self.failures.saturating_add(1);
        let why = error.to_string();
        if self.wrong.as_ref() != Some(&why) {
            tracing::warn!(
                code = "issuer-refused",
                issuer = name,
                error = why,
                "the issuer's keys cannot be read: those that are known stay in force for a while (auth.keys_kept)"
            );
        }
        self.wrong = Some(why);
        let retry_after = error.https().and_then(crate::https::HttpsError::retry_after);
        let pause = config.pace.until_retry(self.failures, retry_after);
        reading.lock().not_before = retry_after.map(|_| Instant::now() + pause);
        let left = config.pace.keys_kept.saturating_sub(clock.own().since(self.read));
        if !self.has_keys {
            return pause;
        }
        if left.is_zero() {
            self.has_keys = false;
            tracing::error!(
                code = "issuer-keys-ended",
                issuer = name,
                "the issuer was silent for too long: its keys are not good any more"
            );
            (self.put)(Verifier::without_keys(config.expected.clone()));
            return pause;
        }
        pause.min(left)
    }
}
