//! What must hold between keys: what has no default is set, and nothing contradicts anything.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;

use super::error::ConfigError;
use super::typed::{Config, Sender};

impl Config {
    /// Checks what holds between keys, whatever is set.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let has_file = is_set(&self.token_file);
        if has_file && !self.token_endpoint.is_empty() {
            return Err(ConfigError::Contradiction(
                "token.file and token.endpoint are both set: take one of them out",
            ));
        }
        if let Some(address) = self.http_listen
            && !is_loopback(address)
            && !self.http_remote
        {
            return Err(ConfigError::HttpRemote { address });
        }
        if self.http_remote && !(is_set(&self.http_certificate) && is_set(&self.http_key)) {
            return Err(ConfigError::NotSet {
                key: "http.certificate",
                what: "with http.remote the pages need it and http.key, in PEM",
            });
        }
        let mut addresses = BTreeSet::new();
        for (name, sender) in &self.senders {
            let wrong = |what| ConfigError::Sender { name: name.clone(), what };
            sender.check().map_err(wrong)?;
            let is_new = sender.listen.is_none_or(|at| at.port() == 0 || addresses.insert(at));
            if !is_new {
                return Err(wrong("its address is that of another sender: give each one of its own"));
            }
        }
        Ok(())
    }

    /// Checks that everything without a default is set.
    ///
    /// # Errors
    /// [`ConfigError::NotSet`] naming the first one that is not.
    pub fn require_keys(&self) -> Result<(), ConfigError> {
        let by_endpoint = !self.token_endpoint.is_empty();
        let keys = [
            ("broker.address", self.broker_address.is_none(), "the broker's name or address, and its port"),
            ("broker.ca", !is_set(&self.broker_ca), "the certificate authority of the broker, in PEM"),
            (
                "token.file",
                !by_endpoint && !is_set(&self.token_file),
                "the file with the bridge's token, unless token.endpoint gives one",
            ),
            ("token.client", by_endpoint && self.token_client.is_empty(), "what the bridge is called there"),
            (
                "token.secret",
                by_endpoint && !is_set(&self.token_secret),
                "the file with the secret that it is known by there",
            ),
            ("senders", self.senders.is_empty(), "at least one section [senders.NAME]"),
        ];
        match keys.into_iter().find(|(_, lacks, _)| *lacks) {
            Some((key, _, what)) => Err(ConfigError::NotSet { key, what }),
            None => Ok(()),
        }
    }
}

impl Sender {
    fn check(&self) -> Result<(), &'static str> {
        let (certificate, key, ca) = (is_set(&self.certificate), is_set(&self.key), is_set(&self.ca));
        let is_clear = !certificate;
        let reaches_far = self.listen.is_some_and(|address| !is_loopback(address));
        let rules = [
            (self.listen.is_some(), "listen is not set: the IP address and TCP port that it sends to"),
            (certificate == key, "certificate and key go together: set both, or none"),
            (certificate || !ca, "ca needs certificate and key: without TLS nobody shows a certificate"),
            (
                !(is_clear && reaches_far) || self.clear,
                "other machines would send patients' data in the clear: set certificate and key, listen on 127.0.0.1, or \
                 set clear = true if the network is protected otherwise",
            ),
        ];
        rules.into_iter().find(|(holds, _)| !holds).map_or(Ok(()), |(_, rule)| Err(rule))
    }
}

fn is_set(path: &Path) -> bool {
    !path.as_os_str().is_empty()
}

/// Also one of IPv4 that is written as one of IPv6.
fn is_loopback(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}
