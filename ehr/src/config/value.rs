//! Values as they are given: a file gives typed ones, and the type must be right; the environment
//! and flags give text, which is read as whatever the key takes.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

/// Milliseconds of a second, a minute, an hour, a day.
pub(super) const SECOND: u64 = 1000;
pub(super) const MINUTE: u64 = 60 * SECOND;
pub(super) const HOUR: u64 = 60 * MINUTE;
pub(super) const DAY: u64 = 24 * HOUR;

/// A value as it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Given {
    /// By the environment or a flag.
    Bare(String),
    /// By a file, as all that follow.
    Text(String),
    Integer(String),
    Switch(bool),
    /// Of a type that no key takes.
    Other(&'static str),
}

impl fmt::Display for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bare(text) | Self::Integer(text) => f.write_str(text),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Switch(on) => write!(f, "{on}"),
            Self::Other(kind) => write!(f, "(a value of type {kind})"),
        }
    }
}

impl Given {
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Bare(text) | Self::Text(text) => Some(text),
            Self::Integer(_) | Self::Switch(_) | Self::Other(_) => None,
        }
    }

    pub(super) fn switch(&self) -> Option<bool> {
        match self {
            Self::Switch(on) => Some(*on),
            Self::Bare(text) => text.parse().ok(),
            Self::Text(_) | Self::Integer(_) | Self::Other(_) => None,
        }
    }

    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.text()?.parse().ok()
    }

    pub(super) fn time(&self) -> Option<Duration> {
        humantime::parse_duration(self.text()?).ok()
    }

    pub(super) fn count(&self) -> Option<u64> {
        match self {
            Self::Bare(text) | Self::Integer(text) => text.replace('_', "").parse().ok(),
            Self::Text(_) | Self::Switch(_) | Self::Other(_) => None,
        }
    }

    /// A count of bytes, or text with a unit.
    pub(super) fn bytes(&self) -> Option<u64> {
        self.count().or_else(|| parse_bytes(self.text()?))
    }
}

const UNITS: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

fn parse_bytes(text: &str) -> Option<u64> {
    let (unit, factor) = UNITS.iter().find(|(unit, _)| text.ends_with(unit))?;
    text.strip_suffix(unit)?.trim_end().parse::<u64>().ok()?.checked_mul(*factor)
}

/// Shows a size in the largest unit that divides it.
pub(super) fn show_bytes(bytes: u64) -> String {
    let fits = |(_, factor): &&(&str, u64)| bytes >= *factor && bytes.is_multiple_of(*factor);
    let (unit, factor) = UNITS.iter().find(fits).unwrap_or(&UNITS[3]);
    format!("{} {unit}", bytes / factor)
}
