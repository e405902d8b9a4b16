//! Tickets: what a client that was here before shows instead of having all of the handshake again
//! (TLS 1.3, RFC 8446, section 4.6.1).
//!
//! A ticket is the broker's own note about a session, sealed, and kept by the client. Its key is
//! made of the node's secrets, so that it is good after a crash, when all clients come at once; of
//! the certificate, so that none outlives the certificate under which its client checked the
//! broker; and of the time, so that it is good for a day or two. Nothing is kept here for a client.
//!
//! The new session has keys of its own all the same (`psk_dhe_ke`), and its token is checked as any
//! other: who had a ticket's key could pass for the broker, and could not read what was recorded.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::{digest, hmac};
use rustls::pki_types::CertificateDer;
use rustls::server::ProducesTickets;

use super::secrets::Secrets;

/// How many are given to a client at a time: one connection, one session.
pub(super) const EACH: usize = 1;
/// For how long a key seals; a ticket is taken for as long again. Longer than a shift: connections
/// last as long, and their tickets are for the time after a crash.
const PERIOD: Duration = Duration::from_secs(24 * 60 * 60);
/// A ticket begins with the number of its period.
const NUMBER: usize = 4;

/// Seals and opens tickets.
pub(super) struct Tickets {
    secret: hmac::Key,
    now: fn() -> Duration,
}

impl Tickets {
    /// Of a node with this certificate.
    pub(super) fn new(secrets: &Secrets, chain: &[CertificateDer<'_>]) -> Self {
        Self::at(secrets, chain, since_epoch)
    }

    fn at(secrets: &Secrets, chain: &[CertificateDer<'_>], now: fn() -> Duration) -> Self {
        let secret = secrets.derive(b"wardline ticket");
        let node = hmac::Key::new(hmac::HMAC_SHA256, secret.as_ref());
        let mut certificates = digest::Context::new(&digest::SHA256);
        chain.iter().for_each(|certificate| certificates.update(certificate));
        let secret = hmac::sign(&node, certificates.finish().as_ref());
        Self { secret: hmac::Key::new(hmac::HMAC_SHA256, secret.as_ref()), now }
    }

    /// The number of the period that it is now.
    fn period(&self) -> u32 {
        let number = (self.now)().as_secs() / PERIOD.as_secs();
        u32::try_from(number).unwrap_or(u32::MAX)
    }

    fn key(&self, period: u32) -> Option<LessSafeKey> {
        let key = hmac::sign(&self.secret, &period.to_be_bytes());
        UnboundKey::new(&AES_256_GCM, key.as_ref()).ok().map(LessSafeKey::new)
    }
}

fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

impl std::fmt::Debug for Tickets {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Tickets")
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        // What is sealed at a period's end is taken until the end of the next one.
        PERIOD.as_secs() as u32
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let period = self.period();
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce);
        let mut ticket = Vec::with_capacity(NUMBER + NONCE_LEN + plain.len() + AES_256_GCM.tag_len());
        ticket.extend_from_slice(&period.to_be_bytes());
        ticket.extend_from_slice(&nonce);
        let mut sealed = plain.to_vec();
        let nonce = Nonce::assume_unique_for_key(nonce);
        self.key(period)?.seal_in_place_append_tag(nonce, Aad::empty(), &mut sealed).ok()?;
        ticket.extend_from_slice(&sealed);
        Some(ticket)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let (period, sealed) = ticket.split_first_chunk::<NUMBER>()?;
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>()?;
        let period = u32::from_be_bytes(*period);
        if self.period().abs_diff(period) > 1 {
            return None;
        }
        let mut sealed = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let plain = self.key(period)?.open_in_place(nonce, Aad::empty(), &mut sealed).ok()?.len();
        sealed.truncate(plain);
        Some(sealed)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use wardline_storage::model::IdSecret;

    use super::*;

    thread_local! {
        static HOURS: Cell<u64> = const { Cell::new(1_000_000) };
    }

    fn set_hours() -> Duration {
        Duration::from_secs(HOURS.get() * 3_600)
    }

    fn tickets(salt: u8, certificate: &'static [u8]) -> Tickets {
        let secrets = Secrets::new(&IdSecret::new([7; 32]), &[salt; 32]);
        Tickets::at(&secrets, &[CertificateDer::from(certificate)], set_hours)
    }

    #[test]
    fn a_ticket_is_opened_by_the_node_that_sealed_it_while_it_has_the_certificate() {
        let ticket = tickets(1, b"one").encrypt(b"a session").expect("sealed");
        // Another broker of the same node, as after a crash.
        assert_eq!(tickets(1, b"one").decrypt(&ticket).as_deref(), Some(&b"a session"[..]));
        assert_eq!(tickets(1, b"two").decrypt(&ticket), None);
        assert_eq!(tickets(2, b"one").decrypt(&ticket), None);
        assert!(!ticket.windows(9).any(|window| window == b"a session"));
        for byte in 0..ticket.len() {
            let mut forged = ticket.clone();
            forged[byte] ^= 1;
            assert_eq!(tickets(1, b"one").decrypt(&forged), None, "byte {byte}");
            assert_eq!(tickets(1, b"one").decrypt(&ticket[..byte]), None, "of {byte} bytes");
        }
        assert_ne!(tickets(1, b"one").encrypt(b"a session"), Some(ticket), "the same ticket twice");
    }

    #[test]
    fn a_ticket_is_good_for_a_day_and_no_longer_than_two() {
        let tickets = tickets(1, b"one");
        for begun in 0..24 {
            HOURS.set(600_000 + begun);
            let ticket = tickets.encrypt(b"a session").expect("sealed");
            for (later, is_good) in [(0, true), (24, true), (48, false), (480, false)] {
                HOURS.set(600_000 + begun + later);
                assert_eq!(tickets.decrypt(&ticket).is_some(), is_good, "{later} h after {begun}");
            }
        }
    }
}
