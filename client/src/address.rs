//! Where a broker is: a host and a port, and who finds the addresses of a host.
//!
//! Owns what may be written (`broker.hospital.example:4433`, `192.0.2.7:4433`,
//! `[2001:db8::7]:4433`) and the seam to a resolver. It remembers nothing and connects to nothing.
//! Invariant: what was written is shown as it was written, so that people find it again.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::str::FromStr;

use thiserror::Error;

/// Longest name that DNS has.
const NAME_BYTES_MAX: usize = 253;

/// Where a broker is: an IP address or a name, and a UDP port.
///
/// A name is looked up at every attempt to connect, and all of its addresses are tried.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address(Place);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Place {
    Ip(SocketAddr),
    Name { host: String, port: u16 },
}

/// What was written is no [`Address`].
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoAddress {
    /// There is no port, or none that can be connected to.
    #[error("`{0}` has no port from 1 to 65535: write HOST:PORT, for example broker.example:4433")]
    Port(String),
    /// Which colon is that before the port?
    #[error("`{0}` is ambiguous: write an IPv6 address in brackets, for example [2001:db8::7]:4433")]
    Brackets(String),
    /// No host can have this name.
    #[error("`{0}` names no host: write HOST:PORT, with a name of letters, digits, hyphens and dots")]
    Host(String),
}

impl Address {
    /// The name that is to be looked up, and the port; `None` if it is an IP address.
    pub fn name(&self) -> Option<(&str, u16)> {
        match &self.0 {
            Place::Ip(_) => None,
            Place::Name { host, port } => Some((host, *port)),
        }
    }

    /// The IP address; `None` if it is a name.
    pub fn ip(&self) -> Option<SocketAddr> {
        match self.0 {
            Place::Ip(address) => Some(address),
            Place::Name { .. } => None,
        }
    }

    /// The host as a certificate has it: no brackets, no scope, no dot at the end.
    pub fn server_name(&self) -> String {
        match &self.0 {
            Place::Ip(address) => address.ip().to_string(),
            Place::Name { host, .. } => {
                let host = host.split('%').next().unwrap_or_default();
                host.strip_suffix('.').unwrap_or(host).to_owned()
            }
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self(Place::Ip(address))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::Ip(address) => address.fmt(f),
            // An IPv6 address with a scope that only the system knows.
            Place::Name { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Place::Name { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

impl FromStr for Address {
    type Err = NoAddress;

    fn from_str(text: &str) -> Result<Self, NoAddress> {
        let (host, port) = text.rsplit_once(':').ok_or_else(|| NoAddress::Port(text.into()))?;
        if host.contains(':') && !host.starts_with('[') {
            return Err(NoAddress::Brackets(text.into()));
        }
        let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
        let port = port.parse().ok().filter(|port| is_number && *port != 0);
        let port = port.ok_or_else(|| NoAddress::Port(text.into()))?;
        if let Ok(address) = text.parse() {
            return Ok(Self(Place::Ip(address)));
        }
        let scoped = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let is_host = match scoped {
            Some(scoped) => is_scoped(scoped),
            None => is_name(host),
        };
        let host = scoped.unwrap_or(host).to_owned();
        if is_host { Ok(Self(Place::Name { host, port })) } else { Err(NoAddress::Host(text.into())) }
    }
}

fn is_name(host: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty() && label.chars().all(|letter| letter.is_alphanumeric() || "-_".contains(letter))
    };
    let labels = host.strip_suffix('.').unwrap_or(host);
    // What has digits alone is an IPv4 address that is none, for example 10.0.0.256.
    let is_number = labels.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    host.len() <= NAME_BYTES_MAX && !is_number && labels.split('.').all(is_label)
}

/// An IPv6 address on an interface that has a name, as `fe80::1%eth0`.
fn is_scoped(host: &str) -> bool {
    host.split_once('%').is_some_and(|(address, scope)| {
        address.parse::<std::net::Ipv6Addr>().is_ok() && !scope.contains(':') && is_name(scope)
    })
}

/// What comes of a look-up.
pub type Resolving<'a> = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'a>>;

/// Finds the addresses of a name.
pub trait Resolver: Send + Sync + 'static {
    /// The addresses that this name has now, best first; asked again at every attempt to connect.
    /// An answer that takes longer than half of an attempt is not waited for.
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> Resolving<'a>;
}

/// The operating system's resolver: DNS, the hosts file, and whatever else it is configured for.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

impl Resolver for SystemResolver {
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> Resolving<'a> {
        Box::pin(async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_shown_again() {
        let cases = [
            ("127.0.0.1:4433", None, "127.0.0.1"),
            ("[::1]:4433", None, "::1"),
            ("localhost:4433", Some(("localhost", 4433)), "localhost"),
            ("broker.ward_5.example:1", Some(("broker.ward_5.example", 1)), "broker.ward_5.example"),
            ("broker.example.:65535", Some(("broker.example.", 65_535)), "broker.example"),
            ("[fe80::1%eth0]:4433", Some(("fe80::1%eth0", 4433)), "fe80::1"),
            ("klinik-süd.example:4433", Some(("klinik-süd.example", 4433)), "klinik-süd.example"),
        ];
        for (text, name, server_name) in cases {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.to_string(), text);
            assert_eq!(address.name(), name, "{text}");
            assert_eq!(address.ip().is_none(), name.is_some(), "{text}");
            assert_eq!(address.server_name(), server_name, "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_what_to_write() {
        for text in ["", "broker", "broker:", "broker:0", "broker:65536", "broker:+1", "[::1]", "10.0.0.7"] {
            let refused = text.parse::<Address>().unwrap_err().to_string();
            assert!(refused.contains("HOST:PORT") || refused.contains("brackets"), "{text}: {refused}");
        }
        for text in ["::1:4433", "2001:db8::7:4433", "fe80::1"] {
            assert_eq!(text.parse::<Address>(), Err(NoAddress::Brackets(text.into())));
        }
        let long = format!("{}:1", "a".repeat(254));
        for text in [
            ":4433",
            "a..b:1",
            ".a:1",
            "a b:1",
            "https://broker:4433",
            "a@b:1",
            "10.0.0.256:1",
            "[::g]:1",
            "[a]:1",
            &long,
        ] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }
}
