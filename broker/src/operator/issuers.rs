//! Keeps the issuers that are asked over HTTPS: follows their keys, asks again about the tokens of
//! open sessions, and shows how all that stands.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::access::caller::Callers;
use crate::access::provider::{Pace, Put, follow, rounds};
use crate::metrics::Metrics;
use crate::operator::reload::Reloader;
use crate::presence::registry::Registry;
use crate::tasks::Tasks;

/// How often it is shown how they stand.
const SHOW_EVERY: Duration = Duration::from_secs(2);

/// What keeping them takes.
pub(crate) struct Keeper {
    pub(crate) callers: Arc<Callers>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) reloader: Reloader,
    pub(crate) metrics: Arc<Metrics>,
    /// Where copies of their keys lie.
    pub(crate) folder: Option<PathBuf>,
}

impl Keeper {
    /// Begins, if there are any.
    pub(crate) fn start(self, tasks: &mut Tasks) {
        let Self { callers, registry, reloader, metrics, folder } = self;
        let Some(pace) = callers.providers().first().map(|provider| provider.pace()) else { return };
        metrics.issuer_keys_kept.set(pace.keys_kept.as_secs_f64());
        let put: Put = Arc::new(move |verifier| reloader.replace_keys(verifier));
        for provider in callers.providers() {
            let (keys, tokens) = (Arc::clone(provider), Arc::clone(provider));
            let (put, folder, registry) = (Arc::clone(&put), folder.clone(), Arc::clone(&registry));
            tasks.spawn(|stop| follow(keys, folder, put, stop));
            tasks.spawn(|stop| rounds::run(tokens, registry, stop));
        }
        tasks.spawn(|stop| show(callers, metrics, stop));
    }
}

async fn show(callers: Arc<Callers>, metrics: Arc<Metrics>, stop: CancellationToken) {
    let mut ticks = interval(SHOW_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => show_once(&callers, &metrics),
            () = stop.cancelled() => return,
        }
    }
}

fn show_once(callers: &Callers, metrics: &Metrics) {
    let now = callers.clock().own();
    let providers = callers.providers();
    let keys: Vec<_> = providers.iter().filter_map(|provider| provider.keys()).collect();
    let oldest = keys.iter().map(|keys| now.since(keys.read)).max().unwrap_or_default();
    let asked = providers.iter().filter(|provider| provider.introspects().is_some());
    let grace = |pace: Pace| pace.introspect_grace.as_secs_f64();
    metrics.issuers.set(providers.len() as f64);
    metrics.issuers_without_keys.set(keys.iter().filter(|keys| !keys.are_there).count() as f64);
    metrics.issuer_keys_age.set(oldest.as_secs_f64());
    metrics.introspection_grace.set(asked.clone().map(|provider| grace(provider.pace())).fold(0.0, f64::max));
    let silent = asked.filter_map(|provider| provider.silence()).max().unwrap_or_default();
    metrics.introspection_silent.set(silent.as_secs_f64());
}
