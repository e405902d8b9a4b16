//! The table of all keys but those of senders: name, type, range, and where each goes.
//!
//! A key that is neither here nor among those of a sender does not exist.

use super::sender::SENDER_KEYS;
use super::takes::Takes::{self, AddressOrOff, Bytes, Count, Read, Switch, Text, Time};
use super::typed::Config;
use super::value::{DAY, MINUTE, SECOND};
use crate::text_log;

/// A key of the configuration.
pub(super) struct Key {
    /// `section.key`.
    pub(super) name: &'static str,
    pub(super) takes: Takes<Config>,
}

const KIB: u64 = 1 << 10;
const GIB: u64 = 1 << 30;

/// All of them, in the order of the reference file.
#[rustfmt::skip] // One line a key: it is a table.
pub(super) const KEYS: &[Key] = &[
    Key { name: "broker.address", takes: Read("a name or an IP address, and a port, in quotes, like \"broker.example:4433\"", |c, v| { c.broker_address = if v.is_empty() { None } else { Some(v.parse().ok()?) }; Some(()) }) },
    Key { name: "broker.name", takes: Text(|c, v| c.broker_name = v.into()) },
    Key { name: "broker.ca", takes: Text(|c, v| c.broker_ca = v.into()) },
    Key { name: "broker.device", takes: Read("32 hexadecimal digits in quotes, or \"\" for one by this host and its addresses", |c, v| { c.broker_device = if v.is_empty() { None } else { Some(v.parse().ok()?) }; Some(()) }) },
    Key { name: "token.file", takes: Text(|c, v| c.token_file = v.into()) },
    Key { name: "token.endpoint", takes: Text(|c, v| c.token_endpoint = v.into()) },
    Key { name: "token.client", takes: Text(|c, v| c.token_client = v.into()) },
    Key { name: "token.secret", takes: Text(|c, v| c.token_secret = v.into()) },
    Key { name: "token.ca", takes: Text(|c, v| c.token_ca = v.into()) },
    Key { name: "token.scope", takes: Text(|c, v| c.token_scope = v.into()) },
    Key { name: "token.audience", takes: Text(|c, v| c.token_audience = v.into()) },
    Key { name: "token.timeout", takes: Time(100..=MINUTE, |c, v| c.token_timeout = v) },
    Key { name: "limits.connections", takes: Count(1..=65_536, |c, v| c.limits.connections_max = v) },
    Key { name: "limits.under_way", takes: Count(1..=1_024, |c, v| c.limits.under_way_max = v) },
    Key { name: "limits.large_bytes", takes: Bytes(64 * KIB..=64 * GIB, |c, v| c.limits.in_hand_bytes_max = v) },
    Key { name: "limits.idle", takes: Time(SECOND..=30 * DAY, |c, v| c.limits.idle = v) },
    Key { name: "limits.message", takes: Time(SECOND..=10 * MINUTE, |c, v| c.limits.message = v) },
    Key { name: "limits.apply", takes: Time(SECOND..=10 * MINUTE, |c, v| c.limits.apply = v) },
    Key { name: "limits.write", takes: Time(SECOND..=10 * MINUTE, |c, v| c.limits.write = v) },
    Key { name: "limits.handshake", takes: Time(SECOND..=MINUTE, |c, v| c.limits.handshake = v) },
    Key { name: "stop.deadline", takes: Time(SECOND..=10 * MINUTE, |c, v| c.stop_deadline = v) },
    Key { name: "http.listen", takes: AddressOrOff(|c, v| c.http_listen = v) },
    Key { name: "http.remote", takes: Switch(|c, v| c.http_remote = v) },
    Key { name: "http.certificate", takes: Text(|c, v| c.http_certificate = v.into()) },
    Key { name: "http.key", takes: Text(|c, v| c.http_key = v.into()) },
    Key { name: "log.filter", takes: Read("levels in quotes, like \"info\" or \"info,wardline_ehr::listener=debug\"", |c, v| { text_log::is_filter(v).then(|| c.log_filter = v.into()) }) },
];

impl Key {
    /// Finds a key by its name.
    pub(super) fn find(name: &str) -> Option<&'static Self> {
        KEYS.iter().find(|key| key.name == name)
    }
}

/// The known key that is most like an unknown one.
pub(super) fn nearest(unknown: &str) -> String {
    let of_senders = SENDER_KEYS.iter().map(|key| match unknown.split('.').nth(1) {
        Some(name) if unknown.starts_with("senders.") => format!("senders.{name}.{}", key.name),
        _ => format!("senders.NAME.{}", key.name),
    });
    let all = KEYS.iter().map(|key| key.name.to_owned()).chain(of_senders);
    let best = all.max_by(|a, b| likeness(unknown, a).total_cmp(&likeness(unknown, b)));
    best.expect("there are keys")
}

/// The right key in the wrong section, or without one, is nearly right.
fn likeness(unknown: &str, known: &str) -> f64 {
    let last = |name: &str| name.rsplit('.').next().map(str::to_owned).unwrap_or_default();
    let whole = strsim::normalized_damerau_levenshtein(unknown, known);
    whole.max(strsim::normalized_damerau_levenshtein(&last(unknown), &last(known)) * 0.9)
}
