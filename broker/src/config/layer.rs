//! Where values come from: a file, the environment, flags.
//!
//! Each layer becomes a list of assignments that know their origin, in an order that does not
//! depend on chance. What a value means is its key's business; the environment is handed in, never
//! read here.

use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::error::ConfigError;
use super::foreign;
use super::issuer;
use super::key::{KEYS, Key};
use super::tenant;
use super::typed::Config;
use super::value::Given;

/// The prefix of environment variables that configure.
const PREFIX: &str = "WARDLINE_";
/// Variables that begin like it and are not configuration: the command line's and the tests'.
const OTHERS: [&str; 4] = ["TOKEN", "LOG", "SEED", "SEQUENCES"];

/// A value given by a flag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Setting {
    /// `--set section.key=value`.
    Set(String),
    /// A flag of its own for one key.
    Flag {
        /// The flag, with its dashes.
        flag: &'static str,
        /// Its key, `section.key`.
        key: &'static str,
        /// What was given.
        value: String,
    },
}

impl Setting {
    pub(super) fn assignment(&self) -> Result<Assignment, ConfigError> {
        match self {
            Self::Set(given) => {
                let (key, value) =
                    given.split_once('=').ok_or_else(|| ConfigError::Form { given: given.clone() })?;
                Ok(Assignment { origin: "--set".into(), key: key.into(), given: Given::Bare(value.into()) })
            }
            Self::Flag { flag, key, value } => Ok(Assignment {
                origin: (*flag).into(),
                key: (*key).into(),
                given: Given::Bare(value.clone()),
            }),
        }
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
    /// Whether it is about one tenant, or one issuer.
    pub(super) fn is_of_one(&self) -> bool {
        tenant::split(&self.key).is_some() || issuer::split(&self.key).is_some()
    }

    pub(super) fn apply(self, config: &mut Config) -> Result<(), ConfigError> {
        let Self { origin, key, given } = self;
        let done = tenant::set(config, &key, &given)
            .or_else(|| issuer::set(config, &key, &given))
            .or_else(|| Key::find(&key).map(|known| known.set(config, &given)));
        let Some(done) = done else {
            let nearest = Key::nearest(&key).into();
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
    let file = File { path: shown, text: &text };
    let table = DeTable::parse(&text).map_err(|error| ConfigError::Syntax {
        origin: file.at(error.span().map_or(text.len(), |span| span.start)),
        detail: error.message().replace('\n', ", "),
    })?;
    let mut found = Vec::new();
    collect("", table.get_ref(), &mut found);
    found.sort_by_key(|(offset, ..)| *offset);
    let assignment = |(offset, key, given)| Assignment { origin: file.at(offset), key, given };
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
    tenant::is_section(name)
        || issuer::is_section(name)
        || KEYS.iter().any(|key| key.name.split('.').next() == Some(name))
}

fn given(value: &DeValue<'_>) -> Given {
    match value {
        DeValue::String(text) => Given::Text(text.to_string()),
        // Another radix than ten is no number to `Given`, and so refused.
        DeValue::Integer(number) if number.radix() == 10 => Given::Integer(number.as_str().into()),
        DeValue::Boolean(on) => Given::Switch(*on),
        DeValue::Array(items) => {
            let texts = items.iter().map(|item| match item.get_ref() {
                DeValue::String(text) => Some(text.to_string()),
                _ => None,
            });
            texts.collect::<Option<_>>().map_or(Given::Other("array"), Given::List)
        }
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
            assignments.push(Assignment {
                origin: format!("environment, {name}"),
                key: key.name.into(),
                given: Given::Bare(value),
            });
        } else if !OTHERS.contains(&rest) && !foreign::is_of_a_service(rest, &value) {
            let nearest = variable(Key::nearest(&rest.to_lowercase().replacen('_', ".", 1)));
            return Err(ConfigError::Variable { name, nearest });
        }
    }
    Ok(assignments)
}

/// The environment variable of a key.
fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "_").to_uppercase())
}

struct File<'a> {
    path: String,
    text: &'a str,
}

impl File<'_> {
    fn at(&self, offset: usize) -> String {
        let line = self.text.bytes().take(offset).filter(|&byte| byte == b'\n').count() + 1;
        format!("{}:{line}", self.path)
    }
}
