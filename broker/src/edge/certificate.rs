//! The certificate in force, and how another one takes its place.

use std::sync::Arc;
use std::time::Duration;

use super::endpoint;
use super::secrets::Secrets;
use super::tls;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::settings::Tls;

/// Replaces the certificate of an endpoint.
pub(crate) struct Certificates {
    endpoint: quinn::Endpoint,
    secrets: Secrets,
    limits: Arc<Limits>,
    metrics: Arc<Metrics>,
}

/// A certificate that fits its key, ready to be put in force.
pub(crate) struct Usable {
    config: quinn::ServerConfig,
    valid_until: Option<Duration>,
}

impl Certificates {
    /// Of this endpoint, which began with `secrets`; `tls` is in force.
    pub(super) fn new(
        endpoint: quinn::Endpoint,
        secrets: Secrets,
        limits: Arc<Limits>,
        metrics: Arc<Metrics>,
        tls: &Tls,
    ) -> Self {
        let certificates = Self { endpoint, secrets, limits, metrics };
        certificates.tell(tls::valid_until(&tls.chain));
        certificates
    }

    /// Looks whether a certificate can be used.
    ///
    /// # Errors
    /// [`rustls::Error`] if key and certificate do not go together.
    pub(crate) fn check(&self, tls: &Tls) -> Result<Usable, rustls::Error> {
        let config = endpoint::server_config(tls, &self.limits, &self.secrets)?;
        Ok(Usable { config, valid_until: tls::valid_until(&tls.chain) })
    }

    /// Puts another one in force, for handshakes that come from now on.
    pub(crate) fn replace(&self, usable: Usable) {
        self.endpoint.set_server_config(Some(usable.config));
        self.tell(usable.valid_until);
    }

    fn tell(&self, valid_until: Option<Duration>) {
        if let Some(until) = valid_until {
            self.metrics.certificate_expires.set(until.as_secs_f64());
        }
    }
}
