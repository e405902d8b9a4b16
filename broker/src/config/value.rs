//! Values as they are given, and as they are meant: times, sizes, counts, addresses.
//!
//! A file gives typed values and the type must be right; the environment and flags give text, which
//! is read as whatever the key takes.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use crate::limits::NAME_BYTES_MAX;

/// Milliseconds of a second.
pub(super) const SECOND: u64 = 1000;
/// Of a minute.
pub(super) const MINUTE: u64 = 60 * SECOND;
/// Of an hour.
pub(super) const HOUR: u64 = 60 * MINUTE;
/// Of a day.
pub(super) const DAY: u64 = 24 * HOUR;

/// A value as it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Given {
    /// By the environment or a flag.
    Bare(String),
    /// By a file.
    Text(String),
    /// By a file.
    Integer(String),
    /// By a file.
    Switch(bool),
    /// By a file; a list of texts.
    List(Vec<String>),
    /// By a file; of a type that no key takes.
    Other(&'static str),
}

impl fmt::Display for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bare(text) | Self::Integer(text) => f.write_str(text),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Switch(on) => write!(f, "{on}"),
            Self::List(texts) => write!(f, "{texts:?}"),
            Self::Other(kind) => write!(f, "(a value of type {kind})"),
        }
    }
}

impl Given {
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Bare(text) | Self::Text(text) => Some(text),
            Self::Integer(_) | Self::Switch(_) | Self::List(_) | Self::Other(_) => None,
        }
    }

    /// Several texts: a list, or one text with commas between.
    pub(super) fn texts(&self) -> Option<Vec<String>> {
        match self {
            Self::List(texts) => Some(texts.clone()),
            _ => self.text().map(|text| text.split(',').map(|one| one.trim().to_owned()).collect()),
        }
    }

    pub(super) fn switch(&self) -> Option<bool> {
        match self {
            Self::Switch(on) => Some(*on),
            Self::Bare(text) => text.parse().ok(),
            Self::Text(_) | Self::Integer(_) | Self::List(_) | Self::Other(_) => None,
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
            Self::Text(_) | Self::Switch(_) | Self::List(_) | Self::Other(_) => None,
        }
    }

    /// Names with a percentage each; no name twice.
    pub(super) fn percents(&self) -> Option<BTreeMap<String, u32>> {
        let mut percents = BTreeMap::new();
        for part in self.text()?.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (name, percent) = part.rsplit_once('=')?;
            let (name, percent) = (name.trim(), percent.trim().parse().ok()?);
            let is_allowed = !name.is_empty() && name.len() <= NAME_BYTES_MAX && (1..=100).contains(&percent);
            if !is_allowed || percents.insert(name.to_owned(), percent).is_some() {
                return None;
            }
        }
        Some(percents)
    }

    /// A count of bytes, or text with a unit.
    pub(super) fn bytes(&self) -> Option<u64> {
        self.count().or_else(|| parse_bytes(self.text()?))
    }
}

const UNITS: [(&str, u64); 5] =
    [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

fn parse_bytes(text: &str) -> Option<u64> {
    let (unit, factor) = UNITS.iter().find(|(unit, _)| text.ends_with(unit))?;
    let number = text.strip_suffix(unit)?.trim_end();
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

/// Shows a size in the largest unit that divides it.
pub(super) fn show_bytes(bytes: u64) -> String {
    let fitting = UNITS.iter().find(|(_, factor)| bytes >= *factor && bytes.is_multiple_of(*factor));
    let (unit, factor) = fitting.unwrap_or(&UNITS[4]);
    format!("{} {unit}", bytes / factor)
}
