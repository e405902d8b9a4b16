//! The table of all keys: name, type, range, and where each goes.
//!
//! A key that is not here does not exist. Ranges keep out what cannot work by itself; what cannot
//! work together is [`Limits::check`](crate::limits::Limits::check)'s business.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::tenant::TenantKey;
use super::typed::Config;
use super::value::{DAY, Given, HOUR, MINUTE, SECOND, show_bytes};
use crate::access::auth;

/// A key of the configuration.
pub(super) struct Key {
    /// `section.key`.
    pub(super) name: &'static str,
    takes: Takes,
}

/// What a key takes, and where it goes.
enum Takes {
    Address(fn(&mut Config, std::net::SocketAddr)),
    AddressOrOff(fn(&mut Config, Option<std::net::SocketAddr>)),
    Text(fn(&mut Config, &str)),
    Switch(fn(&mut Config, bool)),
    Filter(fn(&mut Config, &str)),
    /// The name of a claim.
    Claim(fn(&mut Config, &str)),
    /// Of an engine, or none.
    Engine(fn(&mut Config, &str)),
    /// Milliseconds.
    Time(RangeInclusive<u64>, fn(&mut Config, Duration)),
    /// How long messages may be kept: as for a tenant, by the key's last part.
    Terms,
    Bytes(RangeInclusive<u64>, fn(&mut Config, u64)),
    BytesOrAuto(RangeInclusive<u64>, fn(&mut Config, Option<u64>)),
    Count(RangeInclusive<u64>, fn(&mut Config, u64)),
    /// Of names.
    Percents(fn(&mut Config, BTreeMap<String, u32>)),
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

use Takes::{
    Address, AddressOrOff, Bytes, BytesOrAuto, Claim, Count, Engine, Filter, Percents, Switch, Terms, Text,
    Time,
};

/// All keys, in the order of the reference file.
#[rustfmt::skip] // One line a key: it is a table.
pub(super) const KEYS: &[Key] = &[
    Key { name: "listen.address", takes: Address(|c, v| c.listen = v) },
    Key { name: "tls.certificate", takes: Text(|c, v| c.tls_certificate = v.into()) },
    Key { name: "tls.key", takes: Text(|c, v| c.tls_key = v.into()) },
    Key { name: "auth.jwks", takes: Text(|c, v| c.auth_jwks = v.into()) },
    Key { name: "auth.issuer", takes: Text(|c, v| c.auth_issuer = v.into()) },
    Key { name: "auth.audience", takes: Text(|c, v| c.auth_audience = v.into()) },
    Key { name: "auth.leeway", takes: Time(0..=5 * MINUTE, |c, v| c.auth_leeway = v) },
    Key { name: "auth.lifetime", takes: Time(MINUTE..=3_660 * DAY, |c, v| c.auth_lifetime = v) },
    Key { name: "auth.tenant_claim", takes: Claim(|c, v| c.auth_tenant_claim = v.into()) },
    Key { name: "auth.roles_claim", takes: Claim(|c, v| c.auth_roles_claim = v.into()) },
    Key { name: "auth.fetch_timeout", takes: Time(100..=MINUTE, |c, v| c.auth_pace.timeout = v) },
    Key { name: "auth.fetch_min", takes: Time(SECOND..=DAY, |c, v| c.auth_pace.fetch_min = v) },
    Key { name: "auth.fetch_max", takes: Time(SECOND..=DAY, |c, v| c.auth_pace.fetch_max = v) },
    Key { name: "auth.keys_kept", takes: Time(MINUTE..=30 * DAY, |c, v| c.auth_pace.keys_kept = v) },
    Key { name: "auth.introspect_every", takes: Time(SECOND..=DAY, |c, v| c.auth_pace.introspect_every = v) },
    Key { name: "auth.introspect_grace", takes: Time(0..=DAY, |c, v| c.auth_pace.introspect_grace = v) },
    Key { name: "logout.listen", takes: AddressOrOff(|c, v| c.logout_listen = v) },
    Key { name: "storage.path", takes: Text(|c, v| c.storage_path = v.into()) },
    Key { name: "storage.engine", takes: Engine(|c, v| c.storage_engine = v.into()) },
    Key { name: "storage.memory", takes: Bytes(32 * MIB..=256 * GIB, |c, v| c.storage_memory_bytes = v as usize) },
    Key { name: "storage.reserve", takes: Bytes(0..=1024 * GIB, |c, v| c.storage_reserve_bytes = v) },
    Key { name: "storage.ballast", takes: BytesOrAuto(0..=1024 * GIB, |c, v| c.storage_ballast_bytes = v) },
    Key { name: "retention.max", takes: Time(SECOND..=36_525 * DAY, |c, v| c.policy.retention_max = v) },
    Key { name: "retention.message_min", takes: Terms },
    Key { name: "retention.direct_min", takes: Terms },
    Key { name: "retention.direct_default", takes: Terms },
    Key { name: "retention.direct_max", takes: Terms },
    Key { name: "retention.group_min", takes: Terms },
    Key { name: "retention.group_default", takes: Terms },
    Key { name: "retention.group_max", takes: Terms },
    Key { name: "retention.broadcast_min", takes: Terms },
    Key { name: "retention.broadcast_default", takes: Terms },
    Key { name: "retention.broadcast_max", takes: Terms },
    Key { name: "retention.dedupe_window", takes: Time(MINUTE..=30 * DAY, |c, v| c.policy.dedupe_window = v) },
    Key { name: "retention.reclaim_every", takes: Time(SECOND..=7 * DAY, |c, v| c.reclaim_every = v) },
    Key { name: "limits.payload", takes: Bytes(4 * KIB..=4 * MIB, |c, v| c.limits.payload_bytes_max = v as usize) },
    Key { name: "limits.members", takes: Count(2..=1_000_000, |c, v| c.policy.members_max = v as u32) },
    Key { name: "limits.devices", takes: Count(1..=64, |c, v| c.policy.devices_max = v as u32) },
    Key { name: "limits.conversations", takes: Count(1..=1_000_000, |c, v| c.limits.conversations_max = v as usize) },
    Key { name: "limits.page_entries", takes: Count(1..=1_000, |c, v| c.limits.page_entries_max = v as usize) },
    Key { name: "limits.page_bytes", takes: Bytes(64 * KIB..=7 * MIB, |c, v| c.limits.page_bytes_max = v as usize) },
    Key { name: "limits.pages", takes: Bytes(MIB..=256 * GIB, |c, v| c.limits.pages_bytes_max = v as usize) },
    Key { name: "limits.connections", takes: Count(1..=1_000_000, |c, v| c.limits.connections_max = v as usize) },
    Key { name: "limits.handshakes", takes: Count(1..=1_000_000, |c, v| c.limits.handshakes_max = v as usize) },
    Key { name: "limits.handshakes_before_retry", takes: Count(0..=1_000_000, |c, v| c.limits.handshakes_before_retry = v as usize) },
    Key { name: "limits.lanes", takes: Count(3..=64, |c, v| c.limits.lanes_max = v as u32) },
    Key { name: "limits.lane_requests", takes: Count(1..=65_536, |c, v| c.limits.lane_requests_max = v as usize) },
    Key { name: "limits.send_window", takes: Bytes(64 * KIB..=16 * MIB, |c, v| c.limits.send_window = v) },
    Key { name: "limits.tail", takes: Bytes(0..=64 * MIB, |c, v| c.limits.tail_bytes_max = v as usize) },
    Key { name: "limits.tails", takes: Bytes(0..=256 * GIB, |c, v| c.limits.tails_bytes_max = v as usize) },
    Key { name: "limits.catch_up_reads", takes: Count(1..=1_024, |c, v| c.limits.catch_up_reads_max = v as usize) },
    Key { name: "limits.reads_waiting", takes: Count(1..=1_048_576, |c, v| c.limits.reads_waiting_max = v as usize) },
    Key { name: "limits.waiting_commands", takes: Count(1..=1_048_576, |c, v| c.limits.waiting_commands_max = v as usize) },
    Key { name: "limits.waiting_bytes", takes: Bytes(MIB..=16 * GIB, |c, v| c.limits.waiting_bytes_max = v as usize) },
    Key { name: "limits.group_commands", takes: Count(1..=65_536, |c, v| c.limits.group_commands_max = v as usize) },
    Key { name: "limits.group_bytes", takes: Bytes(64 * KIB..=256 * MIB, |c, v| c.limits.group_bytes_max = v as usize) },
    Key { name: "limits.urgent", takes: Count(1..=1_000_000, |c, v| c.limits.urgent.burst = v as u32) },
    Key { name: "limits.urgent_per_minute", takes: Count(1..=1_000_000, |c, v| c.limits.urgent.per_minute = v as u32) },
    Key { name: "limits.urgent_broadcaster", takes: Count(1..=1_000_000, |c, v| c.limits.urgent_broadcaster.burst = v as u32) },
    Key { name: "limits.urgent_broadcaster_per_minute", takes: Count(1..=1_000_000, |c, v| c.limits.urgent_broadcaster.per_minute = v as u32) },
    Key { name: "limits.group_records", takes: Count(1..=1_048_576, |c, v| c.limits.group_records_max = v as usize) },
    Key { name: "limits.hello_timeout", takes: Time(SECOND..=MINUTE, |c, v| c.limits.hello_timeout = v) },
    Key { name: "limits.frame_timeout", takes: Time(SECOND..=5 * MINUTE, |c, v| c.limits.frame_timeout = v) },
    Key { name: "limits.write_timeout", takes: Time(SECOND..=HOUR, |c, v| c.limits.write_timeout = v) },
    Key { name: "limits.idle_timeout", takes: Time(SECOND..=HOUR, |c, v| c.limits.idle_timeout = v) },
    Key { name: "limits.keep_alive", takes: Time(100..=HOUR, |c, v| c.limits.keep_alive = v) },
    Key { name: "limits.retry_after", takes: Time(10..=MINUTE, |c, v| c.limits.retry_after = v) },
    Key { name: "limits.receipt_delay", takes: Time(0..=10 * SECOND, |c, v| c.limits.receipt_delay = v) },
    Key { name: "shares.sessions", takes: Count(1..=1_000_000, |c, v| c.limits.principal_sessions_max = v as usize) },
    Key { name: "shares.reads", takes: Count(1..=1_048_576, |c, v| c.limits.principal_reads_max = v as usize) },
    Key { name: "shares.read_cost", takes: Count(1_000..=1_000_000_000, |c, v| c.limits.principal_read_cost = v) },
    Key { name: "shares.pages", takes: Bytes(64 * KIB..=256 * GIB, |c, v| c.limits.principal_pages_bytes_max = v as usize) },
    Key { name: "shares.commands", takes: Count(1..=1_048_576, |c, v| c.limits.principal_commands_max = v as usize) },
    Key { name: "shares.command_bytes", takes: Bytes(64 * KIB..=16 * GIB, |c, v| c.limits.principal_bytes_max = v as usize) },
    Key { name: "shares.work", takes: Count(1_000..=1_000_000_000, |c, v| c.limits.principal_work = v) },
    Key { name: "shares.people", takes: Count(1..=1_000_000_000, |c, v| c.limits.principal_people_max = v) },
    Key { name: "shares.people_per_hour", takes: Count(1..=1_000_000_000, |c, v| c.limits.principal_people_per_hour = v) },
    Key { name: "shares.tenant", takes: Count(1..=100, |c, v| c.limits.tenant_percent = v as u32) },
    Key { name: "shares.tenants", takes: Percents(|c, v| c.limits.tenant_percents = v) },
    Key { name: "stop.notice", takes: Time(0..=MINUTE, |c, v| c.stop_notice = v) },
    Key { name: "stop.deadline", takes: Time(SECOND..=10 * MINUTE, |c, v| c.stop_deadline = v) },
    Key { name: "http.listen", takes: AddressOrOff(|c, v| c.http_listen = v) },
    Key { name: "http.remote", takes: Switch(|c, v| c.http_remote = v) },
    Key { name: "log.filter", takes: Filter(|c, v| c.log_filter = v.into()) },
];

impl Key {
    /// Finds a key by its name.
    pub(super) fn find(name: &str) -> Option<&'static Self> {
        KEYS.iter().find(|key| key.name == name)
    }

    /// The known key that is most like an unknown one.
    pub(super) fn nearest(unknown: &str) -> &'static str {
        let likeness = |known: &str| {
            let last = |name: &str| name.rsplit('.').next().map(str::to_owned).unwrap_or_default();
            let whole = strsim::normalized_damerau_levenshtein(unknown, known);
            // The right key in the wrong section, or without one, is nearly right.
            let part = strsim::normalized_damerau_levenshtein(&last(unknown), &last(known));
            whole.max(part * 0.9)
        };
        let best = KEYS.iter().max_by(|a, b| likeness(a.name).total_cmp(&likeness(b.name)));
        best.expect("there are keys").name
    }

    /// Puts a value in its place.
    ///
    /// # Errors
    /// What the key takes, for people, if the value is something else.
    pub(super) fn set(&self, config: &mut Config, given: &Given) -> Result<(), String> {
        let done = match &self.takes {
            Terms => return self.terms()?.set(&mut config.retention.everybody, given),
            Address(put) => given.address().map(|address| put(config, address)),
            AddressOrOff(put) => match given.text() {
                Some("") => Some(None),
                _ => given.address().map(Some),
            }
            .map(|address| put(config, address)),
            Text(put) => given.text().map(|text| put(config, text)),
            Switch(put) => given.switch().map(|on| put(config, on)),
            Filter(put) => given
                .text()
                .filter(|text| crate::operator::text_log::is_filter(text))
                .map(|text| put(config, text)),
            Claim(put) => given.text().filter(|text| auth::is_name(text)).map(|text| put(config, text)),
            Engine(put) => given.text().filter(|text| is_name(text)).map(|text| put(config, text)),
            Time(range, put) => given
                .time()
                .filter(|time| (millis(range.start())..=millis(range.end())).contains(time))
                .map(|time| put(config, time)),
            Bytes(range, put) => given.bytes().filter(|n| range.contains(n)).map(|n| put(config, n)),
            BytesOrAuto(range, put) => match given.text() {
                Some("") => Some(None),
                _ => given.bytes().filter(|n| range.contains(n)).map(Some),
            }
            .map(|bytes| put(config, bytes)),
            Count(range, put) => given.count().filter(|n| range.contains(n)).map(|n| put(config, n)),
            Percents(put) => given.percents().map(|percents| put(config, percents)),
        };
        done.ok_or_else(|| self.allowed())
    }

    /// The same key of a tenant.
    fn terms(&self) -> Result<&'static TenantKey, String> {
        let last = self.name.rsplit('.').next().unwrap_or_default();
        TenantKey::find(last).ok_or_else(|| self.allowed())
    }

    /// What the key takes, for people.
    fn allowed(&self) -> String {
        match &self.takes {
            Terms => "a time".into(),
            Address(_) => {
                "an IP address and a port in quotes, like \"127.0.0.1:4433\" or \"[::]:4433\"".into()
            }
            AddressOrOff(_) => {
                "an IP address and a port in quotes, like \"127.0.0.1:9433\", or \"\" for off".into()
            }
            Text(_) => "text in quotes".into(),
            Switch(_) => "true or false".into(),
            Filter(_) => "levels in quotes, like \"info\" or \"info,wardline_broker::session=debug\"".into(),
            Claim(_) => {
                "the name of a claim in quotes, like \"roles\", or the way to it, like \"realm_access.roles\""
                    .into()
            }
            Engine(_) => "the name of an engine in quotes, or \"\" for the first one that keeps files".into(),
            Time(range, _) => {
                let show = |ms| humantime::format_duration(millis(ms));
                format!(
                    "a time like \"90s\" or \"30d\", from {} to {}",
                    show(range.start()),
                    show(range.end())
                )
            }
            Bytes(range, _) => {
                let show = |bytes: &u64| show_bytes(*bytes);
                format!("a size like \"64KiB\", from {} to {}", show(range.start()), show(range.end()))
            }
            BytesOrAuto(range, _) => {
                let show = |bytes: &u64| show_bytes(*bytes);
                let (least, most) = (show(range.start()), show(range.end()));
                format!(
                    "a size like \"64MiB\", from {least} to {most}, or \"\" for one that fits the reserve"
                )
            }
            Count(range, _) => format!("a whole number from {} to {}", range.start(), range.end()),
            Percents(_) => {
                "names with percents from 1 to 100, in quotes, like \"st-mary=60, st-paul=30\", or \"\""
                    .into()
            }
        }
    }
}

/// Whether an engine could be called so: `serve` and `check-config` know which engines there are.
fn is_name(text: &str) -> bool {
    text.len() <= 32 && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn millis(ms: &u64) -> Duration {
    Duration::from_millis(*ms)
}
