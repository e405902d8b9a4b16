//! The secrets of the endpoint, which must outlive restarts and reloads.

use aws_lc_rs::hmac;

/// What of the endpoint must outlive restarts and reloads, derived from the secret of the store,
/// which does. The TLS key does not: it changes with each certificate.
pub(crate) struct Secrets(hmac::Key);

impl Secrets {
    /// Derives them from the store's secret. Ids are made of the same secret, from texts that begin
    /// with a length.
    pub(crate) fn new(store: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, store))
    }

    /// The secret for one purpose.
    pub(super) fn derive(&self, label: &[u8]) -> hmac::Tag {
        hmac::sign(&self.0, label)
    }
}
