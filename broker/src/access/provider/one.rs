//! One issuer that is asked over HTTPS, as sessions know it: they may have its keys read early, and
//! ask whether a token is still active.
//!
//! Whoever comes with a key that is not known waits for the reading that is under way, or for one
//! that begins now, if the last early one is long enough ago; never for more. An answer about a
//! token is remembered for as long as until a session would ask again. An issuer that is silent is
//! taken to say yes, for a while since it last said anything; each such yes is counted.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;
use wardline_storage::id::Timestamp;

use super::config::{Config, Pace};
use super::document::Document;
use super::introspection;
use crate::clock::Clock;
use crate::https::Https;
use crate::limits::{ACTIVE_TOKENS_MAX, EARLY_FETCH_MIN};
use crate::metrics::Metrics;

/// What is known of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// The issuer says that it is active, or does not want to be asked.
    Active,
    /// It says that it is not.
    Inactive,
    /// It says nothing, and that is taken for a yes for now.
    Graced,
    /// It has said nothing for too long.
    Silent,
}

/// One issuer that is asked over HTTPS.
pub(crate) struct Provider {
    pub(super) config: Config,
    pub(super) https: Https,
    pub(super) clock: Arc<Clock>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) reading: Mutex<Reading>,
    /// Counts the readings that are done.
    pub(super) done: watch::Sender<u64>,
    /// Asks for a reading.
    pub(super) wanted: Notify,
    talk: Mutex<Talk>,
}

/// What is known of reading its keys.
#[derive(Debug, Default)]
pub(super) struct Reading {
    pub(super) is_under_way: bool,
    /// The last one that somebody wanted.
    early: Option<Instant>,
    /// The issuer asked not to be asked before.
    pub(super) not_before: Option<Instant>,
    /// As they are in force; `None`: nobody has looked yet.
    pub(super) keys: Option<Keys>,
    pub(super) document: Option<Document>,
}

/// The keys in force.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keys {
    /// When they were read, or the broker began to ask for them.
    pub(crate) read: Timestamp,
    pub(crate) are_there: bool,
}

/// What is known of asking it about tokens.
#[derive(Debug, Default)]
struct Talk {
    /// Since when it has said nothing about a token, though it was asked.
    silent: Option<Timestamp>,
    /// Tokens, by their hash, and when it said that they are active.
    active: HashMap<[u8; 32], Instant>,
}

impl Provider {
    /// Of this broker; nobody is asked yet.
    pub(crate) fn new(config: Config, clock: Arc<Clock>, metrics: Arc<Metrics>) -> Self {
        let https = Https::new(&config.trust, config.pace.bounds());
        Self {
            config,
            https,
            clock,
            metrics,
            reading: Mutex::default(),
            done: watch::channel(0).0,
            wanted: Notify::new(),
            talk: Mutex::default(),
        }
    }

    /// Its `iss`.
    pub(crate) fn issuer(&self) -> &Arc<str> {
        &self.config.expected.issuer
    }

    /// How often it is asked.
    pub(crate) fn pace(&self) -> Pace {
        self.config.pace
    }

    /// How often it is asked about a token; `None`: it is not.
    pub(crate) fn introspects(&self) -> Option<Duration> {
        self.config.introspection.as_ref().map(|_| self.config.pace.introspect_every)
    }

    /// Has its keys read early, or joins a reading that is under way; gives whether one has ended
    /// since. At once, if the last early one is not long enough ago.
    ///
    /// # Cancellation
    /// The reading goes on.
    pub(crate) async fn hurry(&self) -> bool {
        let mut done = self.done.subscribe();
        if !self.ask_early() {
            return false;
        }
        // Both of its answers may take as long as they may.
        timeout(self.config.pace.timeout * 2, done.changed()).await.is_ok_and(|changed| changed.is_ok())
    }

    /// Has its keys read early, unless that was done just before; gives whether they are being
    /// read.
    pub(crate) fn ask_early(&self) -> bool {
        let mut reading = self.reading.lock();
        if reading.is_under_way {
            return true;
        }
        let now = Instant::now();
        let pause = EARLY_FETCH_MIN.min(self.config.pace.fetch_min);
        let is_too_soon = reading.early.is_some_and(|early| now.duration_since(early) < pause)
            || reading.not_before.is_some_and(|not_before| now < not_before);
        if is_too_soon {
            self.metrics.early_fetches_held.increment(1);
            return false;
        }
        reading.early = Some(now);
        reading.is_under_way = true;
        self.metrics.early_fetches.increment(1);
        self.wanted.notify_one();
        true
    }

    /// Asks about a token, unless that was done just before.
    ///
    /// # Cancellation
    /// Nothing is remembered of it.
    pub(crate) async fn standing(&self, token: &str) -> Standing {
        let Some(every) = self.introspects() else { return Standing::Active };
        let hash = hash_of(token);
        let is_fresh = |at: &Instant| at.elapsed() < every;
        if self.talk.lock().active.get(&hash).is_some_and(is_fresh) {
            return Standing::Active;
        }
        self.ask_about(token).await
    }

    /// Asks about a token anew.
    ///
    /// # Cancellation
    /// Nothing is remembered of it.
    pub(crate) async fn ask_about(&self, token: &str) -> Standing {
        let Some(account) = &self.config.introspection else { return Standing::Active };
        let address =
            self.reading.lock().document.as_ref().and_then(|document| document.introspection.clone());
        let asked = introspection::ask(&self.https, address.as_ref(), account, token).await;
        let standing = self.talk.lock().note(self, hash_of(token), &asked);
        match standing {
            Standing::Active => self.metrics.introspections_active.increment(1),
            Standing::Inactive => self.metrics.introspections_inactive.increment(1),
            Standing::Graced => self.metrics.introspections_graced.increment(1),
            Standing::Silent => self.metrics.introspections_silent.increment(1),
        }
        standing
    }

    /// For how long it has said nothing about tokens, though it was asked.
    pub(crate) fn silence(&self) -> Option<Duration> {
        let silent = self.talk.lock().silent;
        silent.map(|silent| self.clock.own().since(silent))
    }

    /// Whether it has been silent for longer than that is taken for a yes.
    pub(crate) fn is_past_grace(&self) -> bool {
        self.silence().is_some_and(|silence| silence >= self.config.pace.introspect_grace)
    }

    /// Its keys, as they are in force; `None`: nobody has looked yet.
    pub(crate) fn keys(&self) -> Option<Keys> {
        self.reading.lock().keys
    }
}

impl Talk {
    fn note(
        &mut self,
        provider: &Provider,
        hash: [u8; 32],
        asked: &Result<bool, super::error::ProviderError>,
    ) -> Standing {
        let (now, name) = (provider.clock.own(), &provider.config.name);
        match asked {
            Ok(is_active) => {
                if self.silent.take().is_some() {
                    tracing::info!(
                        code = "introspection-answers",
                        issuer = name,
                        "the issuer answers about tokens again"
                    );
                }
                if *is_active {
                    self.remember(hash, provider.config.pace.introspect_every);
                    return Standing::Active;
                }
                self.active.remove(&hash);
                Standing::Inactive
            }
            Err(error) => {
                if self.silent.is_none() {
                    tracing::warn!(code = "introspection-silent", issuer = name, %error, "the issuer does not answer about tokens: they count as active for a while (auth.introspect_grace)");
                }
                let since = *self.silent.get_or_insert(now);
                let is_graced = now.since(since) < provider.config.pace.introspect_grace;
                if is_graced { Standing::Graced } else { Standing::Silent }
            }
        }
    }

    fn remember(&mut self, hash: [u8; 32], every: Duration) {
        if self.active.len() >= ACTIVE_TOKENS_MAX {
            self.active.retain(|_, at| at.elapsed() < every);
        }
        // Who finds no place is asked about again, no more.
        if self.active.len() < ACTIVE_TOKENS_MAX {
            self.active.insert(hash, Instant::now());
        }
    }
}

fn hash_of(token: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
    hash
}
