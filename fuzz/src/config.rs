//! The configuration: any text as `wardline.toml`, as a variable's value and as `--set`.
//!
//! Nothing panics. An error says where the mistake is and, once it knows the key, names it, or the
//! nearest known one. A value means the same by `--set` and by the environment; what is accepted is
//! within its limits.

use std::cell::RefCell;
use std::fs::File;
use std::io::{Seek, Write};

use tempfile::NamedTempFile;
use wardline_broker::config::{Config, ConfigError, Setting, keys};

use crate::wire::Choices;

thread_local! {
    static FILE: RefCell<NamedTempFile> = RefCell::new(NamedTempFile::new().expect("a temporary file can be made"));
}

/// Reads a configuration.
///
/// # Panics
/// If a property does not hold.
pub fn run(data: &[u8]) {
    let Some((&how, rest)) = data.split_first() else { return };
    let Ok(text) = str::from_utf8(rest) else { return };
    match how % 4 {
        0 => drop(file(text)),
        1 => drop(judged(Config::default().layered(None, [], &[Setting::Set(text.into())]), "--set")),
        2 => value(text),
        _ => drop(file(&lines(rest))),
    }
}

/// A file, and the same file again under what it came to.
fn file(text: &str) -> Option<Config> {
    FILE.with_borrow_mut(|file| {
        let path = file.path().to_owned();
        write(file.as_file_mut(), text);
        let config = judged(Config::default().layered(Some(&path), [], &[]), &path.to_string_lossy())?;
        let again = config.clone().layered(Some(&path), [], &[]).expect("accepted before");
        assert_eq!(config, again, "reading it again changed something");
        Some(config)
    })
}

/// Cut to its length after the write: a file that is first cut to nothing is written to the disk by
/// ext4, each time.
fn write(file: &mut File, text: &str) {
    let length = text.len() as u64;
    let written =
        file.rewind().and_then(|()| file.write_all(text.as_bytes())).and_then(|()| file.set_len(length));
    written.expect("a temporary file can be written");
}

/// The same value by both ways that have no types of their own.
fn value(text: &str) {
    let mut choices = text.split_at_checked(1).map_or(Choices(&[]), |(key, _)| Choices(key.as_bytes()));
    let key = key(&mut choices);
    let value = text.get(1..).unwrap_or_default();
    let set = Config::default().layered(None, [], &[Setting::Set(format!("{key}={value}"))]);
    let variable = format!("WARDLINE_{}", key.replace('.', "_").to_uppercase());
    let environment = Config::default().layered(None, [(variable, value.to_owned())], &[]);
    if let Err(error) = &set {
        assert!(says(error, key), "{error} does not name {key}");
    }
    match (judged(set, "--set"), judged(environment, "environment")) {
        (set, environment) => assert_eq!(set, environment, "{key}"),
    }
}

/// Whether an error about the value of a key names it, or the section in which several contradict
/// each other.
fn says(error: &ConfigError, key: &str) -> bool {
    let text = error.to_string();
    match error {
        ConfigError::Limits(_) => text.contains("[limits]"),
        _ => text.contains(key),
    }
}

/// Makes a file of known keys with values that are nearly right.
fn lines(data: &[u8]) -> String {
    const VALUES: [&str; 18] = [
        "0",
        "1",
        "-1",
        "64",
        "4096",
        "18446744073709551616",
        "0x10",
        "1_000",
        "true",
        "\"\"",
        "\"1s\"",
        "\"2h 3m\"",
        "\"64 KiB\"",
        "\"1 GiB\"",
        "\"127.0.0.1:0\"",
        "\"[::]:4433\"",
        "\"info,quinn=warn\"",
        "\"memory\"",
    ];
    let mut choices = Choices(data);
    let mut text = String::new();
    while !choices.0.is_empty() {
        let (section, name) = key(&mut choices).split_once('.').expect("section.key");
        let value = VALUES[choices.below(VALUES.len())];
        text += &match choices.below(4) {
            0 => format!("{section}.{name} = {value}\n"),
            1 => format!("{section} = {{ {name} = {value} }}\n"),
            _ => format!("[{section}]\n{name} = {value}\n"),
        };
    }
    text
}

fn key(choices: &mut Choices<'_>) -> &'static str {
    let keys: Vec<_> = keys().collect();
    keys[choices.below(keys.len())]
}

/// What was accepted; what was not must be said so that it can be found and corrected.
fn judged(read: Result<Config, ConfigError>, origin: &str) -> Option<Config> {
    let error = match read {
        Ok(config) => {
            config.limits.check().expect("accepted, so within its limits");
            return Some(config);
        }
        Err(error) => error,
    };
    let text = error.to_string();
    match &error {
        ConfigError::Unknown { origin: at, key, nearest } => {
            assert!(at.contains(origin) && text.contains(key), "{text}");
            let known = keys().any(|key| key == nearest || nearest.starts_with("WARDLINE_"));
            assert!(known, "the nearest known key is none: {text}");
        }
        ConfigError::Value { origin: at, key, allowed, .. } => {
            let known = keys().any(|known| known == *key) || key.starts_with("tenants.");
            assert!(at.contains(origin) && known && !allowed.is_empty(), "{text}");
        }
        ConfigError::Syntax { origin: at, .. } => assert!(at.contains(origin), "{text}"),
        ConfigError::Form { .. } | ConfigError::Limits(_) | ConfigError::HttpRemote { .. } => {}
        other => panic!("{other}"),
    }
    None
}
