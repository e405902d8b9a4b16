//! The engines of the broker, as the chores build and start them.
//!
//! The only file of the chores that names one: what a build of it takes, and what that needs on the
//! machine. All else passes a name on to the broker. Builds of either lie in one target folder, and
//! share what they have in common.

use clap::ValueEnum;

/// An engine of the broker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Engine {
    /// What people run; its C++ takes long to compile, once.
    #[default]
    Rocksdb,
    /// In Rust alone.
    Redb,
}

impl Engine {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Rocksdb, Self::Redb];

    /// What the broker calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rocksdb => "rocksdb",
            Self::Redb => "redb",
        }
    }

    /// Whether the broker has it by default.
    pub fn is_default(self) -> bool {
        self == Self::default()
    }

    /// The setting by which a broker takes it.
    pub fn setting(self) -> String {
        format!("storage.engine={}", self.name())
    }

    /// Cargo's arguments for a broker that has this engine and no other, with more features.
    pub fn build_arguments(self, more_features: &[&str]) -> Vec<String> {
        let mut features: Vec<String> =
            more_features.iter().map(|feature| format!("wardline-broker/{feature}")).collect();
        let mut arguments = Vec::new();
        if !self.is_default() {
            arguments.push("--no-default-features".to_owned());
            features.push(format!("wardline-broker/{}", self.name()));
        }
        if !features.is_empty() {
            arguments.extend(["--features".to_owned(), features.join(",")]);
        }
        arguments
    }

    /// Whether a build compiles C++ that takes minutes, and wants libclang.
    pub fn is_cpp(self) -> bool {
        self == Self::Rocksdb
    }

    /// The name of a program that has it, beside that of the default.
    pub fn program(self, name: &str) -> String {
        if self.is_default() { name.to_owned() } else { format!("{name}-{}", self.name()) }
    }

    /// The one that these arguments for another program name by `--engine`.
    ///
    /// # Errors
    /// The text, if there is no such engine.
    pub fn named_in(arguments: &[String]) -> Result<Option<Self>, String> {
        let mut named = None;
        for (argument, next) in arguments.iter().zip(arguments.iter().skip(1).map(Some).chain([None])) {
            let name = match argument.strip_prefix("--engine") {
                Some("") => next.map(String::as_str).unwrap_or_default(),
                Some(value) => value.strip_prefix('=').unwrap_or_default(),
                None => continue,
            };
            named = Some(Self::from_str(name, false)?);
        }
        Ok(named)
    }
}

#[cfg(test)]
mod tests {
    use super::Engine;

    #[test]
    fn the_default_is_built_as_anybody_builds_it() {
        assert!(Engine::Rocksdb.build_arguments(&[]).is_empty());
        assert_eq!(
            Engine::Redb.build_arguments(&["fail-points"]),
            ["--no-default-features", "--features", "wardline-broker/fail-points,wardline-broker/redb"]
        );
    }

    #[test]
    fn an_engine_is_found_among_the_arguments_of_another_program() {
        let named = |arguments: &[&str]| {
            let arguments: Vec<String> = arguments.iter().map(|text| (*text).to_owned()).collect();
            Engine::named_in(&arguments)
        };
        assert_eq!(named(&["--kill", "3"]), Ok(None));
        assert_eq!(named(&["--kill", "3", "--engine", "redb"]), Ok(Some(Engine::Redb)));
        assert_eq!(named(&["--engine=rocksdb"]), Ok(Some(Engine::Rocksdb)));
        assert!(named(&["--engine", "none"]).is_err());
        assert!(named(&["--engine"]).is_err());
    }
}
