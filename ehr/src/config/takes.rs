//! What a key takes: of the whole bridge, or of one sender. The same kinds for both.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::value::{Given, show_bytes};

/// What a key takes, and where in `C` it goes.
pub(super) enum Takes<C> {
    Address(fn(&mut C, SocketAddr)),
    AddressOrOff(fn(&mut C, Option<SocketAddr>)),
    Text(fn(&mut C, &str)),
    /// Text of another form, which is told if it is not that.
    Read(&'static str, fn(&mut C, &str) -> Option<()>),
    Switch(fn(&mut C, bool)),
    /// Milliseconds.
    Time(RangeInclusive<u64>, fn(&mut C, Duration)),
    Bytes(RangeInclusive<u64>, fn(&mut C, usize)),
    Count(RangeInclusive<u64>, fn(&mut C, usize)),
}

impl<C> Takes<C> {
    /// Puts a value in its place.
    ///
    /// # Errors
    /// What the key takes, for people, if the value is something else.
    pub(super) fn set(&self, config: &mut C, given: &Given) -> Result<(), String> {
        let done = match self {
            Self::Address(put) => given.address().map(|address| put(config, address)),
            Self::AddressOrOff(put) => match given.text() {
                Some("") => Some(None),
                _ => given.address().map(Some),
            }
            .map(|address| put(config, address)),
            Self::Text(put) => given.text().map(|text| put(config, text)),
            Self::Read(_, read) => given.text().and_then(|text| read(config, text)),
            Self::Switch(put) => given.switch().map(|on| put(config, on)),
            Self::Time(range, put) => {
                let within = |time: &Duration| (millis(*range.start())..=millis(*range.end())).contains(time);
                given.time().filter(within).map(|time| put(config, time))
            }
            Self::Bytes(range, put) => {
                given.bytes().filter(|n| range.contains(n)).map(|n| put(config, n as usize))
            }
            Self::Count(range, put) => {
                given.count().filter(|n| range.contains(n)).map(|n| put(config, n as usize))
            }
        };
        done.ok_or_else(|| self.allowed())
    }

    /// What the key takes, for people.
    fn allowed(&self) -> String {
        match self {
            Self::Address(_) => "an IP address and a port in quotes, like \"127.0.0.1:2575\"".into(),
            Self::AddressOrOff(_) => {
                "an IP address and a port in quotes, like \"127.0.0.1:9435\", or \"\" for off".into()
            }
            Self::Text(_) => "text in quotes".into(),
            Self::Read(form, _) => (*form).into(),
            Self::Switch(_) => "true or false".into(),
            Self::Time(range, _) => {
                let show = |ms: &u64| humantime::format_duration(millis(*ms)).to_string();
                let (least, most) = (show(range.start()), show(range.end()));
                format!("a time like \"90s\" or \"1h\", from {least} to {most}")
            }
            Self::Bytes(range, _) => {
                let (least, most) = (show_bytes(*range.start()), show_bytes(*range.end()));
                format!("a size like \"64KiB\", from {least} to {most}")
            }
            Self::Count(range, _) => format!("a whole number from {} to {}", range.start(), range.end()),
        }
    }
}

fn millis(ms: u64) -> Duration {
    Duration::from_millis(ms)
}
