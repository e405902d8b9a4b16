//! The configuration, typed: every key with its default.
//!
//! Checks nothing: what a key takes is its own business, and what must hold between keys is
//! `check`'s.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use jiff::tz::TimeZone;
use wardline_client::{Address, DeviceId};

use crate::hl7::ack::Answering;
use crate::hl7::charset::Charset;
use crate::hl7::message::Bounds;
use crate::hl7::read::Rules;
use crate::listener::Limits;

/// Everything that can be configured, typed and within its range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `broker.address`. `None`: not set.
    pub broker_address: Option<Address>,
    /// `broker.name`. Empty: the host of the address.
    pub broker_name: String,
    /// `broker.ca`. Empty: not set.
    pub broker_ca: PathBuf,
    /// `broker.device`. `None`: by this host and its addresses for senders.
    pub broker_device: Option<DeviceId>,
    /// `token.file`. Empty: not set.
    pub token_file: PathBuf,
    /// `token.endpoint`. Empty: not set.
    pub token_endpoint: String,
    /// `token.client`.
    pub token_client: String,
    /// `token.secret`: the file with it.
    pub token_secret: PathBuf,
    /// `token.ca`. Empty: whom the host trusts.
    pub token_ca: PathBuf,
    /// `token.scope`. Empty: none is asked for.
    pub token_scope: String,
    /// `token.audience`. Empty: none is asked for.
    pub token_audience: String,
    /// `token.timeout`.
    pub token_timeout: Duration,
    /// `senders.*`, by the name that the operator gave.
    pub senders: BTreeMap<String, Sender>,
    /// `limits.*`, for each sender.
    pub limits: Limits,
    /// `stop.deadline`.
    pub stop_deadline: Duration,
    /// `http.listen` (TCP); `None`: off.
    pub http_listen: Option<SocketAddr>,
    /// `http.remote`.
    pub http_remote: bool,
    /// `http.certificate`. Empty: not set.
    pub http_certificate: PathBuf,
    /// `http.key`. Empty: not set.
    pub http_key: PathBuf,
    /// `log.filter`.
    pub log_filter: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            broker_address: None,
            broker_name: String::new(),
            broker_ca: PathBuf::new(),
            broker_device: None,
            token_file: PathBuf::new(),
            token_endpoint: String::new(),
            token_client: String::new(),
            token_secret: PathBuf::new(),
            token_ca: PathBuf::new(),
            token_scope: String::new(),
            token_audience: String::new(),
            token_timeout: Duration::from_secs(5),
            senders: BTreeMap::new(),
            limits: Limits::default(),
            stop_deadline: Duration::from_secs(30),
            http_listen: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 9435))),
            http_remote: false,
            http_certificate: PathBuf::new(),
            http_key: PathBuf::new(),
            log_filter: "info".into(),
        }
    }
}

/// What the operator says of one sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    /// `listen`. `None`: not set.
    pub listen: Option<SocketAddr>,
    /// `certificate`. Empty: in the clear.
    pub certificate: PathBuf,
    /// `key`.
    pub key: PathBuf,
    /// `ca`. Empty: senders need no certificate.
    pub ca: PathBuf,
    /// `clear`: other machines may send in the clear.
    pub clear: bool,
    /// `acknowledge`.
    pub acknowledge: Answering,
    /// `refuse_others`.
    pub refuse_others: bool,
    /// `tests`.
    pub tests: bool,
    /// `charset`.
    pub charset: Charset,
    /// `zone`. `None`: this host's.
    pub zone: Option<TimeZone>,
    /// `ahead`.
    pub ahead: Duration,
    /// `message`, in bytes.
    pub message_bytes_max: usize,
    /// `authority`. Empty: none.
    pub authority: String,
    /// `authorities.*`: what is said instead of what the sender says.
    pub authorities: BTreeMap<String, String>,
    /// `wards.*`: the same of wards.
    pub wards: BTreeMap<String, String>,
    /// `update_moves`.
    pub update_moves: bool,
    /// `labels`.
    pub labels: bool,
}

impl Default for Sender {
    fn default() -> Self {
        let rules = Rules::default();
        Self {
            listen: None,
            certificate: PathBuf::new(),
            key: PathBuf::new(),
            ca: PathBuf::new(),
            clear: false,
            acknowledge: Answering::Asked,
            refuse_others: false,
            tests: false,
            charset: Charset::Unstated,
            zone: None,
            ahead: rules.ahead_max,
            message_bytes_max: Bounds::default().message_bytes_max,
            authority: String::new(),
            authorities: BTreeMap::new(),
            wards: BTreeMap::new(),
            update_moves: false,
            labels: true,
        }
    }
}
