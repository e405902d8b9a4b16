//! The keys of one tenant: `tenants.NAME.key`, or a section `[tenants."NAME"]` in the file.
//!
//! A name is what tokens say (`tenant`), and may have dots. What is not said of a tenant holds for
//! it as for everybody, whichever layer said that: tenants come after all other keys.

use std::ops::RangeInclusive;
use std::time::Duration;

use wardline_storage::retention::Retentions;

use super::typed::Config;
use super::value::{DAY, Given, SECOND};
use crate::access::auth::is_name;
use crate::limits::NAME_BYTES_MAX;
use crate::retention::{Kept, Terms};

/// What they begin with.
const SECTION: &str = "tenants";

/// Where a time of a tenant goes; `None`: "max".
type Put = fn(&mut Terms, Option<Duration>);

/// A key of a tenant.
pub(super) struct TenantKey {
    name: &'static str,
    range: RangeInclusive<u64>,
    /// Whether it takes "max": as long as any message.
    open: bool,
    put: Put,
}

const LONG: u64 = 36_525 * DAY;

const fn floor(name: &'static str, put: Put) -> TenantKey {
    TenantKey { name, range: 0..=LONG, open: false, put }
}

const fn open(name: &'static str, put: Put) -> TenantKey {
    TenantKey { name, range: SECOND..=LONG, open: true, put }
}

fn set_min(kept: &mut Kept, min: Option<Duration>) {
    kept.min = min.unwrap_or(kept.min);
}

/// All keys of a tenant. The same stand in `[retention]`, for everybody.
#[rustfmt::skip] // One line a key: it is a table.
pub(super) const TENANT_KEYS: &[TenantKey] = &[
    TenantKey { name: "message_min", range: 0..=7 * DAY, open: false, put: |t, v| t.message_min = v.unwrap_or(t.message_min) },
    floor("direct_min", |t, v| set_min(&mut t.direct, v)),
    open("direct_default", |t, v| t.direct.default = v),
    open("direct_max", |t, v| t.direct.max = v),
    floor("group_min", |t, v| set_min(&mut t.group, v)),
    open("group_default", |t, v| t.group.default = v),
    open("group_max", |t, v| t.group.max = v),
    floor("broadcast_min", |t, v| set_min(&mut t.broadcast, v)),
    open("broadcast_default", |t, v| t.broadcast.default = v),
    open("broadcast_max", |t, v| t.broadcast.max = v),
];

/// Sets a key of a tenant; `None`: it is another key.
pub(super) fn set(config: &mut Config, key: &str, given: &Given) -> Option<Result<(), String>> {
    let (name, key) = split(key)?;
    let known = TenantKey::find(key)?;
    Some(terms(config, name).and_then(|terms| known.set(terms, given)))
}

impl TenantKey {
    pub(super) fn find(name: &str) -> Option<&'static Self> {
        TENANT_KEYS.iter().find(|key| key.name == name)
    }

    /// Puts a value in its place.
    ///
    /// # Errors
    /// What the key takes, for people, if the value is something else.
    pub(super) fn set(&self, terms: &mut Terms, given: &Given) -> Result<(), String> {
        let time = match given.text() {
            Some("max") if self.open => None,
            _ => Some(given.time().filter(|time| self.allows(*time)).ok_or_else(|| self.allowed())?),
        };
        (self.put)(terms, time);
        Ok(())
    }

    fn allows(&self, time: Duration) -> bool {
        let millis = |ms: &u64| Duration::from_millis(*ms);
        (millis(self.range.start())..=millis(self.range.end())).contains(&time)
    }

    fn allowed(&self) -> String {
        let show = |ms: &u64| humantime::format_duration(Duration::from_millis(*ms)).to_string();
        let or = if self.open { ", or \"max\" for as long as any message (retention.max)" } else { "" };
        format!(
            "a time like \"90s\" or \"30d\", from {} to {}{or}",
            show(self.range.start()),
            show(self.range.end())
        )
    }
}

/// Whether a section of the file is that of tenants, or of one of them.
pub(super) fn is_section(name: &str) -> bool {
    name.strip_prefix(SECTION).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// The tenant and the key in `tenants.NAME.key`; `None`: it is another key.
pub(super) fn split(key: &str) -> Option<(&str, &str)> {
    key.strip_prefix(SECTION)?.strip_prefix('.')?.rsplit_once('.')
}

/// The terms of a tenant, which begin as everybody's.
///
/// # Errors
/// What a name of a tenant is, for people, if this is none, or how many can be named.
fn terms<'c>(config: &'c mut Config, tenant: &str) -> Result<&'c mut Terms, String> {
    if !is_name(tenant) {
        return Err(format!("of a tenant whose name has 1 to {NAME_BYTES_MAX} bytes, as in its tokens"));
    }
    let everybody = config.retention.everybody;
    let tenants = &mut config.retention.tenants;
    if tenants.len() == Retentions::TENANTS_MAX && !tenants.contains_key(tenant) {
        return Err(format!("of at most {} tenants", Retentions::TENANTS_MAX));
    }
    Ok(tenants.entry(tenant.to_owned()).or_insert(everybody))
}
