//! The secrets of the endpoint, which must outlive restarts and reloads.

use aws_lc_rs::hmac;
use wardline_storage::model::IdSecret;

use super::salt::Salt;

/// What of the endpoint must outlive restarts and reloads, derived from the secret of the store and
/// the salt of the node, which do. The TLS key does not: it changes with each certificate.
pub(crate) struct Secrets(hmac::Key);

impl Secrets {
    /// Derives them. Ids are made of the same secret, from texts that begin with a length of eight
    /// bytes, the first of which is zero: so no id tells of this.
    pub(crate) fn new(store: &IdSecret, salt: &Salt) -> Self {
        let store = hmac::Key::new(hmac::HMAC_SHA256, store.as_bytes());
        let own = hmac::sign(&store, &[b"wardline node", salt.as_slice()].concat());
        Self(hmac::Key::new(hmac::HMAC_SHA256, own.as_ref()))
    }

    /// The secret for one purpose.
    pub(super) fn derive(&self, label: &[u8]) -> hmac::Tag {
        hmac::sign(&self.0, label)
    }
}
