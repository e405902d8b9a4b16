//! Ids from names: keyed hashes, so that keys of the store tell nothing about people.
//!
//! HMAC-SHA-256 (RFC 2104) under the store's own secret, truncated to 16 bytes. Every input is
//! preceded by its domain and each part by its length, so that no two different inputs are the same
//! bytes.

use aws_lc_rs::hmac;
use wardline_storage::id::{ConversationId, TenantId, UserId};
use wardline_storage::model::IdSecret;

/// Derives ids. The same names give the same ids for the life of the store, and in no other store.
pub(crate) struct Ids {
    key: hmac::Key,
}

impl Ids {
    /// Under the store's secret.
    pub(crate) fn new(secret: &IdSecret) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()) }
    }

    /// A tenant by its name.
    pub(crate) fn tenant(&self, name: &str) -> TenantId {
        TenantId::new(self.derive(b"tenant", &[name.as_bytes()]))
    }

    /// A user by their name within a tenant.
    pub(crate) fn user(&self, tenant: TenantId, name: &str) -> UserId {
        UserId::new(self.derive(b"user", &[tenant.as_bytes(), name.as_bytes()]))
    }

    /// The direct conversation of two people, whoever asks.
    pub(crate) fn direct(&self, one: UserId, other: UserId) -> ConversationId {
        let (low, high) = if one <= other { (one, other) } else { (other, one) };
        ConversationId::new(self.derive(b"direct", &[low.as_bytes(), high.as_bytes()]))
    }

    /// The group or broadcast that somebody made under an idempotency key.
    pub(crate) fn group(&self, creator: UserId, client_id: &[u8; 16]) -> ConversationId {
        ConversationId::new(self.derive(b"group", &[creator.as_bytes(), client_id]))
    }

    fn derive(&self, domain: &[u8], parts: &[&[u8]]) -> [u8; 16] {
        let mut context = hmac::Context::with_key(&self.key);
        for part in std::iter::once(&domain).chain(parts) {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let tag = context.sign();
        tag.as_ref()[..16].try_into().expect("an HMAC-SHA-256 tag has 32 bytes")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depend_on_every_part_and_on_the_secret() {
        let ids = Ids::new(&IdSecret::new([1; 32]));
        let (a, b) = (ids.tenant("a"), ids.tenant("b"));
        assert_ne!(a, b);
        assert_eq!(ids.user(a, "x"), ids.user(a, "x"));
        assert_ne!(ids.user(a, "x"), ids.user(b, "x"));
        assert_ne!(ids.user(a, "x"), Ids::new(&IdSecret::new([2; 32])).user(a, "x"));
        assert_ne!(ids.user(a, "x").as_bytes(), ids.tenant("x").as_bytes());
    }

    #[test]
    fn direct_conversation_is_the_same_from_both_sides() {
        let ids = Ids::new(&IdSecret::new([1; 32]));
        let tenant = ids.tenant("t");
        let (x, y, z) = (ids.user(tenant, "x"), ids.user(tenant, "y"), ids.user(tenant, "z"));
        assert_eq!(ids.direct(x, y), ids.direct(y, x));
        assert_ne!(ids.direct(x, y), ids.direct(x, z));
        assert_ne!(ids.group(x, &[7; 16]), ids.group(y, &[7; 16]));
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        let ids = Ids::new(&IdSecret::new([1; 32]));
        assert_ne!(ids.derive(b"d", &[b"ab", b"c"]), ids.derive(b"d", &[b"a", b"bc"]));
        assert_ne!(ids.derive(b"da", &[b"b"]), ids.derive(b"d", &[b"ab"]));
    }
}
