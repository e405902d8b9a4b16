//! What can be wrong with a configuration: what, where, and what to do.
//!
//! Nothing is decided here; a text names the file and line, the variable or the flag that is meant.
//! Values may be shown, since no key takes a secret.

use std::net::SocketAddr;

use thiserror::Error;

use crate::limits::Contradiction;

/// The configuration is wrong. The operator must act.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {path}: {source}; check the path given with --config")]
    Read {
        /// Which file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML, for example because it was only half written.
    #[error(
        "{origin}: not valid TOML: {detail}; correct it there, `wardline check-config` tells when it is right"
    )]
    Syntax {
        /// File and line.
        origin: String,
        /// The parser's words.
        detail: String,
    },
    /// No such key.
    #[error("{origin}: unknown key {key}; the nearest known key is {nearest}")]
    Unknown {
        /// File and line, or flag.
        origin: String,
        /// What was given.
        key: String,
        /// What may have been meant.
        nearest: String,
    },
    /// No such variable.
    #[error(
        "environment: unknown key {name}; the nearest known key is {nearest}; of variables that begin with WARDLINE_, \
         only those that Kubernetes and Docker set for a service beside the broker are passed over \
         (..._SERVICE_HOST, ..._SERVICE_PORT, ..._PORT = tcp://..., ..._PORT_443_TCP and the like): unset or rename it"
    )]
    Variable {
        /// What was set.
        name: String,
        /// What may have been meant.
        nearest: String,
    },
    /// A value of the wrong type or out of range.
    #[error("{origin}: {key} = {value} is not allowed; it must be {allowed}")]
    Value {
        /// File and line, environment variable, or flag.
        origin: String,
        /// Which key.
        key: String,
        /// What was given.
        value: String,
        /// What can be given.
        allowed: String,
    },
    /// A flag that is not `section.key=value`.
    #[error("--set {given} is not of the form section.key=value")]
    Form {
        /// What was given.
        given: String,
    },
    /// Values that are fine each, but not together.
    #[error("{0}; change one of them in [limits]")]
    Limits(#[from] Contradiction),
    /// The pages would be seen from other machines, and nobody said that they may.
    #[error(
        "http.listen = \"{address}\" can be reached from other machines: set http.remote = true if it should be (with \
         TLS, by the broker's certificate), or listen on 127.0.0.1"
    )]
    HttpRemote {
        /// Where.
        address: SocketAddr,
    },
    /// A broker with development keys would be reached from other machines, and nobody said that it
    /// may.
    #[error(
        "listen.address = \"{address}\" can be reached from other machines, and with --dev whoever can read the data \
         folder can be anybody: listen on 127.0.0.1, or add --dev-remote if others are to reach it all the same"
    )]
    DevRemote {
        /// Where.
        address: SocketAddr,
    },
    /// Issuers that cannot be beside each other, or lack something.
    #[error("[issuers.{name:?}]: {what}")]
    Issuer {
        /// Which.
        name: String,
        /// What is wrong, and what to do.
        what: String,
    },
    /// A key that has no default was not set.
    #[error(
        "{key} is not set: {what}; set it in the configuration (see wardline.toml), or try `serve --dev` first"
    )]
    NotSet {
        /// Which key.
        key: &'static str,
        /// What it is for.
        what: &'static str,
    },
    /// Production keys were configured and development keys asked for.
    #[error("{key} is set, but --dev makes its own; remove one of the two")]
    DevKeys {
        /// Which key.
        key: &'static str,
    },
}
