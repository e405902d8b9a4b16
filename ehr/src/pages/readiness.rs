//! Readiness: whether messages of senders can be done now.
//!
//! Not while the bridge stops, and not without a session at the broker. Senders are listened to all
//! the same: they are answered AE, and send again.

use metrics::{describe_gauge, gauge};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

const READY: &str = "wardline_ehr_ready";
const DRAINING: &str = "wardline_ehr_draining";

/// What of one check is wrong; `None`: nothing.
pub type Wrong = Option<String>;

/// Tells whether messages can be done now.
#[derive(Clone)]
pub struct Readiness {
    broker: watch::Receiver<Wrong>,
    stop: CancellationToken,
}

impl Readiness {
    /// By what is wrong with the session at the broker, and whether the bridge stops.
    pub fn new(broker: watch::Receiver<Wrong>, stop: CancellationToken) -> Self {
        describe_gauge!(READY, "1 while messages of senders can be done.");
        describe_gauge!(DRAINING, "1 while the bridge stops.");
        Self { broker, stop }
    }

    /// Tells it as metrics.
    pub fn tell(&self) {
        let is_ready = self.checks().iter().all(|(_, wrong)| wrong.is_none());
        gauge!(READY).set(f64::from(u8::from(is_ready)));
        gauge!(DRAINING).set(f64::from(u8::from(self.stop.is_cancelled())));
    }

    /// Every check by its name, with what is wrong. Ready is when nothing is.
    pub fn checks(&self) -> [(&'static str, Wrong); 2] {
        [
            ("draining", self.stop.is_cancelled().then(|| "the bridge is stopping".into())),
            ("broker", self.broker.borrow().clone()),
        ]
    }
}
