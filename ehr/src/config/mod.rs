//! Configuration: a TOML file, then the environment, then flags; the later wins.
//!
//! Every key is known to a table, which gives its type, its range and its place in [`Config`].
//! Whatever is not there is refused, whichever way it came, naming the nearest known key. Nothing
//! is read but the one file; certificates, tokens and secrets are read by those who use them.

mod check;
mod error;
mod foreign;
mod key;
mod layer;
mod sender;
mod takes;
mod typed;
mod value;

use std::path::Path;

pub use error::ConfigError;
pub use layer::Setting;
pub use typed::{Config, Sender};

impl Config {
    /// Puts a file, the environment and flags over this configuration, in that order of strength.
    ///
    /// Of the environment, `WARDLINE_EHR_<SECTION>_<KEY>` is read; senders stand in the file, or
    /// come by flags.
    ///
    /// # Errors
    /// [`ConfigError`] naming the first thing that is wrong, and where it came from.
    pub fn layered(
        mut self,
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
        flags: &[Setting],
    ) -> Result<Self, ConfigError> {
        let mut layers = Vec::new();
        if let Some(path) = file {
            layers.extend(layer::from_file(path)?);
        }
        layers.extend(layer::from_environment(environment)?);
        for flag in flags {
            layers.push(flag.assignment()?);
        }
        for assignment in layers {
            assignment.apply(&mut self)?;
        }
        self.check()?;
        Ok(self)
    }
}

/// The names of all keys but those of senders, `section.key`, in the order of the reference file.
pub fn keys() -> impl Iterator<Item = &'static str> {
    key::KEYS.iter().map(|key| key.name)
}

/// The names of the keys of a sender, in the order of the reference file.
pub fn sender_keys() -> impl Iterator<Item = &'static str> {
    sender::SENDER_KEYS.iter().map(|key| key.name)
}
