//! Ids from names: keyed hashes, so that keys of the store tell nothing about people.
//!
//! HMAC-SHA-256 (RFC 2104) under the store's own secret, truncated to 16 bytes. Every input is
//! preceded by its domain and each part by its length, so that no two different inputs are the same
//! bytes.

use aws_lc_rs::hmac;
use wardline_storage::id::{
    BedId, ConversationId, EncounterId, EventId, IdentifierId, SignInId, TenantId, UserId, WardId,
};
use wardline_storage::model::IdSecret;
use wardline_storage::patient::Identifier;

/// The kinds of sign-ins: what an issuer calls a session, what a user has without one, all of them.
const SESSION: &[u8] = b"session";
const NO_SESSION: &[u8] = b"no session";
const EVERYTHING: &[u8] = b"everything";

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

    /// A number of a patient.
    pub(crate) fn identifier(&self, tenant: TenantId, identifier: &Identifier) -> IdentifierId {
        IdentifierId::new(self.number(b"identifier", tenant, identifier))
    }

    /// An encounter by its source's number for it.
    pub(crate) fn encounter(&self, tenant: TenantId, number: &Identifier) -> EncounterId {
        EncounterId::new(self.number(b"encounter", tenant, number))
    }

    /// A ward by its code.
    pub(crate) fn ward(&self, tenant: TenantId, code: &str) -> WardId {
        WardId::new(self.derive(b"ward", &[tenant.as_bytes(), code.as_bytes()]))
    }

    /// A bed by its ward's code, its room and what it is called there.
    pub(crate) fn bed(&self, tenant: TenantId, ward: &str, room: &str, bed: &str) -> BedId {
        let parts = [tenant.as_bytes(), ward.as_bytes(), room.as_bytes(), bed.as_bytes()];
        BedId::new(self.derive(b"bed", &parts))
    }

    /// An event by its source and what that calls it.
    pub(crate) fn event(&self, tenant: TenantId, source: &str, event: &str) -> EventId {
        EventId::new(self.derive(b"event", &[tenant.as_bytes(), source.as_bytes(), event.as_bytes()]))
    }

    fn number(&self, domain: &[u8], tenant: TenantId, number: &Identifier) -> [u8; 16] {
        let (authority, value) = (number.authority.as_str(), number.value.as_str());
        self.derive(domain, &[tenant.as_bytes(), authority.as_bytes(), value.as_bytes()])
    }

    /// What lets a token in, as its issuer can end it: the session that it is of, or the user where
    /// it names none; and everything of the user.
    pub(crate) fn sign_ins(&self, issuer: &str, user: &str, session: Option<&str>) -> [SignInId; 2] {
        let narrow = match session {
            Some(session) => self.sign_in(issuer, SESSION, session),
            None => self.sign_in(issuer, NO_SESSION, user),
        };
        [narrow, self.sign_in(issuer, EVERYTHING, user)]
    }

    /// What has ended once an issuer says that of a session, of a user, or of a session of a user:
    /// then a token of the user that names no session may be of that one.
    pub(crate) fn signed_out(
        &self,
        issuer: &str,
        user: Option<&str>,
        session: Option<&str>,
    ) -> Vec<SignInId> {
        let of_session = session.map(|session| self.sign_in(issuer, SESSION, session));
        let of_user = user.map(|user| match session {
            Some(_) => self.sign_in(issuer, NO_SESSION, user),
            None => self.sign_in(issuer, EVERYTHING, user),
        });
        of_session.into_iter().chain(of_user).collect()
    }

    fn sign_in(&self, issuer: &str, kind: &[u8], name: &str) -> SignInId {
        SignInId::new(self.derive(b"sign-in", &[issuer.as_bytes(), kind, name.as_bytes()]))
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
    use wardline_storage::model::Text;

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
    fn what_is_signed_out_is_what_the_issuer_named() {
        let ids = Ids::new(&IdSecret::new([1; 32]));
        let ends = |user, session, token: (&str, &str, Option<&str>)| {
            let ended = ids.signed_out("https://id", user, session);
            ids.sign_ins(token.0, token.1, token.2).iter().any(|own| ended.contains(own))
        };
        let (here, there, bare) = (
            ("https://id", "ann", Some("s1")),
            ("https://id", "ann", Some("s2")),
            ("https://id", "ann", None),
        );
        let (other, foreign) = (("https://id", "bob", Some("s3")), ("https://di", "ann", Some("s1")));
        // By user: all of theirs.
        assert!([here, there, bare].iter().all(|token| ends(Some("ann"), None, *token)));
        // By session: that one.
        assert!(
            ends(None, Some("s1"), here) && !ends(None, Some("s1"), there) && !ends(None, Some("s1"), bare)
        );
        // By both: that one, and what cannot be told from it.
        assert!(ends(Some("ann"), Some("s1"), here) && ends(Some("ann"), Some("s1"), bare));
        assert!(!ends(Some("ann"), Some("s1"), there));
        for named in [(Some("ann"), None), (None, Some("s1")), (Some("ann"), Some("s1"))] {
            assert!(!ends(named.0, named.1, other) && !ends(named.0, named.1, foreign), "{named:?}");
        }
        // A user who is called like a session is not that session.
        assert!(!ends(Some("s1"), None, here) && !ends(None, Some("ann"), bare));
    }

    #[test]
    fn what_the_record_names_differs_by_tenant_authority_and_kind() {
        let ids = Ids::new(&IdSecret::new([1; 32]));
        let (here, there) = (ids.tenant("a"), ids.tenant("b"));
        let number = |authority: &str, value: &str| Identifier {
            authority: Text::new(authority),
            value: Text::new(value),
        };
        let (one, other) = (number("MRN", "12"), number("MR", "N12"));
        let all: std::collections::HashSet<[u8; 16]> = [
            *ids.identifier(here, &one).as_bytes(),
            *ids.identifier(here, &other).as_bytes(),
            *ids.identifier(there, &one).as_bytes(),
            *ids.encounter(here, &one).as_bytes(),
            *ids.ward(here, "4").as_bytes(),
            *ids.ward(there, "4").as_bytes(),
            *ids.bed(here, "4", "1", "2").as_bytes(),
            *ids.bed(here, "4", "", "12").as_bytes(),
            *ids.bed(here, "41", "", "2").as_bytes(),
            *ids.event(here, "adt", "1").as_bytes(),
            *ids.event(here, "lab", "1").as_bytes(),
        ]
        .into();
        assert_eq!(all.len(), 11);
        assert_eq!(ids.encounter(here, &one), ids.encounter(here, &number("MRN", "12")));
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        let ids = Ids::new(&IdSecret::new([1; 32]));
        assert_ne!(ids.derive(b"d", &[b"ab", b"c"]), ids.derive(b"d", &[b"a", b"bc"]));
        assert_ne!(ids.derive(b"da", &[b"b"]), ids.derive(b"d", &[b"ab"]));
    }
}
