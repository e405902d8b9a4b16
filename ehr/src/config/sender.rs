//! The keys of one sender: `senders.NAME.key`, or a section `[senders.NAME]` in the file.
//!
//! A name is the operator's own; it stands in events' ids, text log and metrics, so it is short and
//! plain. `authorities` and `wards` are tables of what is said instead of what a sender says.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;

use super::takes::Takes::{self, Address, Bytes, Read, Switch, Text, Time};
use super::typed::{Config, Sender};
use super::value::{Given, HOUR};
use crate::hl7::ack::Answering;
use crate::hl7::charset::Charset;

/// What they begin with.
const SECTION: &str = "senders";
/// Most senders of a bridge.
const SENDERS_MAX: usize = 64;
/// Longest name of a sender, in bytes.
const NAME_BYTES_MAX: usize = 32;
/// Most words of a table, and the longest one, in bytes.
const WORDS_MAX: usize = 4096;
const WORD_BYTES_MAX: usize = 128;

/// A key of a sender.
pub(super) struct SenderKey {
    pub(super) name: &'static str,
    takes: Takes<Sender>,
}

/// All of them, in the order of the reference file.
#[rustfmt::skip] // One line a key: it is a table.
pub(super) const SENDER_KEYS: &[SenderKey] = &[
    SenderKey { name: "listen", takes: Address(|s, v| s.listen = Some(v)) },
    SenderKey { name: "certificate", takes: Text(|s, v| s.certificate = v.into()) },
    SenderKey { name: "key", takes: Text(|s, v| s.key = v.into()) },
    SenderKey { name: "ca", takes: Text(|s, v| s.ca = v.into()) },
    SenderKey { name: "clear", takes: Switch(|s, v| s.clear = v) },
    SenderKey { name: "acknowledge", takes: Read("\"asked\", \"original\" or \"enhanced\"", |s, v| { s.acknowledge = Answering::named(v)?; Some(()) }) },
    SenderKey { name: "refuse_others", takes: Switch(|s, v| s.refuse_others = v) },
    SenderKey { name: "tests", takes: Switch(|s, v| s.tests = v) },
    SenderKey { name: "charset", takes: Read("a character set of MSH-18 in quotes, like \"8859/1\" or \"UNICODE UTF-8\", or \"\" for ASCII", |s, v| { s.charset = if v.is_empty() { Charset::Unstated } else { Charset::named(v).ok()? }; Some(()) }) },
    SenderKey { name: "zone", takes: Read("the name of a time zone in quotes, like \"Europe/Berlin\", or \"\" for this host's", |s, v| { s.zone = if v.is_empty() { None } else { Some(TimeZone::get(v).ok()?) }; Some(()) }) },
    SenderKey { name: "ahead", takes: Time(0..=24 * HOUR, |s, v| s.ahead = v) },
    SenderKey { name: "message", takes: Bytes(16 << 10..=16 << 20, |s, v| s.message_bytes_max = v) },
    SenderKey { name: "authority", takes: Read("text in quotes, at most 128 bytes", |s, v| { (v.len() <= WORD_BYTES_MAX).then(|| s.authority = v.into()) }) },
    SenderKey { name: "update_moves", takes: Switch(|s, v| s.update_moves = v) },
    SenderKey { name: "labels", takes: Switch(|s, v| s.labels = v) },
];

/// Sets a key of a sender; `None`: it is another key.
pub(super) fn set(config: &mut Config, key: &str, given: &Given) -> Option<Result<(), String>> {
    let (name, key) = split(key)?;
    match key.split_once('.') {
        Some(("authorities", word)) => {
            Some(of(config, name).and_then(|sender| put(&mut sender.authorities, word, given)))
        }
        Some(("wards", word)) => {
            Some(of(config, name).and_then(|sender| put(&mut sender.wards, word, given)))
        }
        _ => {
            let known = SENDER_KEYS.iter().find(|known| known.name == key)?;
            Some(of(config, name).and_then(|sender| known.takes.set(sender, given)))
        }
    }
}

/// Whether a section of the file is that of senders, or of one of them.
pub(super) fn is_section(name: &str) -> bool {
    name.strip_prefix(SECTION).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// The sender and the key in `senders.NAME.key`; `None`: it is another key.
pub(super) fn split(key: &str) -> Option<(&str, &str)> {
    key.strip_prefix(SECTION)?.strip_prefix('.')?.split_once('.')
}

/// A sender by the operator's name for it.
fn of<'c>(config: &'c mut Config, name: &str) -> Result<&'c mut Sender, String> {
    let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(is_plain) {
        return Err(format!(
            "of a sender whose name has 1 to {NAME_BYTES_MAX} of the letters a to z, digits, - and _"
        ));
    }
    if config.senders.len() == SENDERS_MAX && !config.senders.contains_key(name) {
        return Err(format!("of at most {SENDERS_MAX} senders"));
    }
    Ok(config.senders.entry(name.to_owned()).or_default())
}

/// Puts a word into a table.
fn put(table: &mut BTreeMap<String, String>, word: &str, given: &Given) -> Result<(), String> {
    let fits = |text: &str| (1..=WORD_BYTES_MAX).contains(&text.len());
    let meant = given
        .text()
        .filter(|text| fits(text) && fits(word))
        .ok_or_else(|| format!("a word in quotes for a word, each of 1 to {WORD_BYTES_MAX} bytes"))?;
    if table.len() == WORDS_MAX && !table.contains_key(word) {
        return Err(format!("one of at most {WORDS_MAX} words"));
    }
    table.insert(word.to_owned(), meant.to_owned());
    Ok(())
}
