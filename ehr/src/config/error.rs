//! What can be wrong with a configuration: what, where, and what to do.
//!
//! A text names the file and line, the variable or the flag that is meant. Values may be shown,
//! since no key takes a secret.

use std::net::SocketAddr;

use thiserror::Error;

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
    /// The file is not TOML.
    #[error(
        "{origin}: not valid TOML: {detail}; correct it there, `wardline-ehr check-config` tells when it is right"
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
        "environment: unknown key {name}; the nearest known key is {nearest}; keys of senders are set in the file or by \
         --set; of variables that begin with WARDLINE_EHR_, only those that Kubernetes and Docker set for a service \
         beside the bridge are passed over: unset or rename it"
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
    /// The pages would be seen from other machines.
    #[error(
        "http.listen = \"{address}\" can be reached from other machines: set http.remote = true if it should be (with \
         http.certificate and http.key), or listen on 127.0.0.1"
    )]
    HttpRemote {
        /// Where.
        address: SocketAddr,
    },
    /// A key that has no default was not set, or what goes with it.
    #[error("{key} is not set: {what}; set it in the configuration (see wardline-ehr.toml)")]
    NotSet {
        /// Which key.
        key: &'static str,
        /// What it is for.
        what: &'static str,
    },
    /// Keys of which only one can be.
    #[error("{0}")]
    Contradiction(&'static str),
    /// A sender that lacks something, or cannot be beside another one.
    #[error("[senders.{name}]: {what}")]
    Sender {
        /// Which.
        name: String,
        /// What is wrong, and what to do.
        what: &'static str,
    },
}
