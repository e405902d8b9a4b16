//! An entry of the roll: where a client is, and the id to which it sends.
//!
//! Sealed under a key of the node: who has the file alone cannot tell who was connected, and an
//! entry that this node did not write is not one. The tag is made of the content, and the pad of
//! the tag, so that nothing needs to be remembered. It is not more than that: who can read the
//! store's secret and the node's salt can read entries, and make them.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};

use aws_lc_rs::hmac;

use super::super::ids::ID;

/// Bytes of an entry; all of a blank one are zero.
pub(super) const BYTES: usize = 32;
/// A slot that stands for nobody.
pub(super) const BLANK: Sealed = [0; BYTES];
const TAG: usize = 4;
const CONTENT: usize = BYTES - TAG;

/// An entry as the file has it.
pub(super) type Sealed = [u8; BYTES];

/// Seals entries, and opens those that it sealed.
pub(super) struct Seal(hmac::Key);

/// Where a client is, and the id to which it sends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) remote: SocketAddrV6,
    /// The number of the address at which it reached the broker; 0: not known.
    pub(super) local: u8,
    pub(super) id: [u8; ID],
}

impl Entry {
    /// `None`: the id is no id of this broker's.
    pub(super) fn new(remote: SocketAddr, local: u8, id: &[u8]) -> Option<Self> {
        let remote = SocketAddrV6::new(mapped(remote.ip()), remote.port(), 0, 0);
        Some(Self { remote, local, id: id.try_into().ok()? })
    }

    fn to_bytes(self) -> [u8; CONTENT] {
        let mut bytes = [0; CONTENT];
        bytes[..16].copy_from_slice(&self.remote.ip().octets());
        bytes[16..18].copy_from_slice(&self.remote.port().to_be_bytes());
        bytes[18] = self.local;
        bytes[20..].copy_from_slice(&self.id);
        bytes
    }

    fn from_bytes(bytes: [u8; CONTENT]) -> Option<Self> {
        let ip: [u8; 16] = bytes[..16].try_into().ok()?;
        let port = u16::from_be_bytes([bytes[16], bytes[17]]);
        let remote = SocketAddrV6::new(Ipv6Addr::from(ip), port, 0, 0);
        Some(Self { remote, local: bytes[18], id: bytes[20..].try_into().ok()? })
    }
}

/// Any address as one of IPv6.
pub(super) fn mapped(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}

impl Seal {
    pub(super) fn new(secret: &hmac::Tag) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret.as_ref()))
    }

    pub(super) fn seal(&self, entry: Entry) -> Sealed {
        let content = entry.to_bytes();
        let tag = self.tag(&content);
        let mut sealed = BLANK;
        sealed[..TAG].copy_from_slice(&tag);
        sealed[TAG..].copy_from_slice(&self.padded(tag, content));
        sealed
    }

    /// `None`: it is blank, or was not sealed here.
    pub(super) fn open(&self, sealed: &Sealed) -> Option<Entry> {
        let tag = sealed[..TAG].try_into().ok()?;
        let content = self.padded(tag, sealed[TAG..].try_into().ok()?);
        (sealed != &BLANK && self.tag(&content) == tag).then(|| Entry::from_bytes(content))?
    }

    fn tag(&self, content: &[u8; CONTENT]) -> [u8; TAG] {
        let mut tag = [0; TAG];
        tag.copy_from_slice(&self.sign(b'c', content).as_ref()[..TAG]);
        tag
    }

    fn padded(&self, tag: [u8; TAG], mut content: [u8; CONTENT]) -> [u8; CONTENT] {
        let pad = self.sign(b'p', &tag);
        content.iter_mut().zip(pad.as_ref()).for_each(|(byte, pad)| *byte ^= pad);
        content
    }

    fn sign(&self, purpose: u8, bytes: &[u8]) -> hmac::Tag {
        hmac::sign(&self.0, &[&[purpose], bytes].concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal(secret: &[u8]) -> Seal {
        Seal::new(&hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), b"roll"))
    }

    #[test]
    fn an_entry_is_opened_by_the_node_that_sealed_it_alone() {
        let (ours, other) = (seal(b"ours"), seal(b"other"));
        for remote in ["192.0.2.7:40001", "[2001:db8::7]:40001", "0.0.0.0:0"] {
            let remote: SocketAddr = remote.parse().expect("an address");
            let entry = Entry::new(remote, 3, b"8 bytes!").expect("an id of eight bytes");
            let sealed = ours.seal(entry);
            let opened = ours.open(&sealed).expect("ours");
            assert!(opened == entry && opened.remote.ip().to_canonical() == remote.ip());
            assert!(other.open(&sealed).is_none());
            for byte in 0..BYTES {
                let mut forged = sealed;
                forged[byte] ^= 1;
                assert!(ours.open(&forged).is_none(), "byte {byte}");
            }
            let in_the_clear = |bytes: &[u8]| sealed.windows(bytes.len()).any(|window| window == bytes);
            assert!(!in_the_clear(b"8 bytes!") && !in_the_clear(&[192, 0, 2, 7]));
        }
        assert!(ours.open(&BLANK).is_none());
        assert!(Entry::new(([192, 0, 2, 7], 1).into(), 0, b"short").is_none());
    }
}
