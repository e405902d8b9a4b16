//! Where values come from: a file, the environment, flags.
//!
//! Each layer becomes a list of assignments that know their origin, in an order that does not
//! depend on chance. What a value means is its key's business.

use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::error::ConfigError;
use super::foreign;
use super::key::{self, KEYS, Key};
use super::sender;
use super::typed::Config;
use super::value::Given;

/// The prefix of environment variables that configure.
const PREFIX: &str = "WARDLINE_EHR_";
/// The variable that begins like it and is not configuration: the text log's filter.
const OTHER: &str = "LOG";

/// A value given by `--set section.key=value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting(pub String);

impl Setting {
    pub(super) fn assignment(&self) -> Result<Assignment, ConfigError> {
        let (key, value) =
            self.0.split_once('=').ok_or_else(|| ConfigError::Form { given: self.0.clone() })?;
        Ok(Assignment { origin: "--set".into(), key: key.into(), given: Given::Bare(value.into()) })
    }
}

/// A key, what it was given, and where.
#[derive(Clone, Debug)]
pub(super) struct Assignment {
    origin: String,
    key: String,
    given: Given,
}

impl Assignment {
    pub(super) fn apply(self, config: &mut Config) -> Result<(), ConfigError> {
        let Self { origin, key, given } = self;
        let done = sender::set(config, &key, &given)
            .or_else(|| Key::find(&key).map(|known| known.takes.set(config, &given)));
        let Some(done) = done else {
            let nearest = key::nearest(&key);
            return Err(ConfigError::Unknown { origin, key, nearest });
        };
        done.map_err(|allowed| ConfigError::Value { origin, key, value: given.to_string(), allowed })
    }
}

/// Reads a TOML file.
pub(super) fn from_file(path: &Path) -> Result<Vec<Assignment>, ConfigError> {
    let shown = path.display().to_string();
    let text =
        std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: shown.clone(), source })?;
    let at = |offset: usize| {
        let line = text.bytes().take(offset).filter(|&byte| byte == b'\n').count() + 1;
        format!("{shown}:{line}")
    };
    let table = DeTable::parse(&text).map_err(|error| ConfigError::Syntax {
        origin: at(error.span().map_or(text.len(), |span| span.start)),
        detail: error.message().replace('\n', ", "),
    })?;
    let mut found = Vec::new();
    collect("", table.get_ref(), &mut found);
    found.sort_by_key(|(offset, ..)| *offset);
    let assignment = |(offset, key, given)| Assignment { origin: at(offset), key, given };
    Ok(found.into_iter().map(assignment).collect())
}

/// Lists the values of a table and of the tables in it, each with its offset in the file.
fn collect(prefix: &str, table: &DeTable<'_>, out: &mut Vec<(usize, String, Given)>) {
    for (name, value) in table {
        let key = format!("{prefix}{}", name.get_ref());
        match value.get_ref() {
            DeValue::Table(inner) if !inner.is_empty() => collect(&format!("{key}."), inner, out),
            // An empty section of a known name is harmless; another is a mistake worth telling.
            DeValue::Table(_) if is_section(&key) => {}
            other => out.push((name.span().start, key, given(other))),
        }
    }
}

fn is_section(name: &str) -> bool {
    sender::is_section(name) || KEYS.iter().any(|key| key.name.split('.').next() == Some(name))
}

fn given(value: &DeValue<'_>) -> Given {
    match value {
        DeValue::String(text) => Given::Text(text.to_string()),
        // Another radix than ten is no number to `Given`, and so refused.
        DeValue::Integer(number) if number.radix() == 10 => Given::Integer(number.as_str().into()),
        DeValue::Boolean(on) => Given::Switch(*on),
        other => Given::Other(other.type_str()),
    }
}

/// Picks the variables that configure.
pub(super) fn from_environment(
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<Vec<Assignment>, ConfigError> {
    // The environment has no order of its own, and errors should.
    let mut variables: Vec<_> = variables.into_iter().collect();
    variables.sort();
    let mut assignments = Vec::new();
    for (name, value) in variables {
        let Some(rest) = name.strip_prefix(PREFIX) else { continue };
        if let Some(key) = KEYS.iter().find(|key| variable(key.name) == name) {
            let origin = format!("environment, {name}");
            assignments.push(Assignment { origin, key: key.name.into(), given: Given::Bare(value) });
        } else if rest != OTHER && !foreign::is_of_a_service(rest, &value) {
            let nearest = key::nearest(&rest.to_lowercase().replacen('_', ".", 1));
            let nearest = if nearest.starts_with("senders.") { nearest } else { variable(&nearest) };
            return Err(ConfigError::Variable { name, nearest });
        }
    }
    Ok(assignments)
}

/// The environment variable of a key.
fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "_").to_uppercase())
}
