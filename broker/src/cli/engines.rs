//! The engine that is meant: by its name, of those that this build has.
//!
//! The list comes from `main.rs`, in the order in which it is offered to people; without a name,
//! the first that keeps files is meant. Nothing here knows one of them: whether it keeps files, and
//! whether a folder is its store, it says itself.

use std::path::Path;
use std::sync::Arc;

use thiserror::Error;
use wardline_broker::config::Config;
use wardline_storage::ballast::opening::{self, Opened};
use wardline_storage::engine::Engine;
use wardline_storage::open::{self, OpenError, Opener, Options};
use wardline_storage::room;

/// The engines of this build.
#[derive(Clone, Copy)]
pub(crate) struct Engines(pub(crate) &'static [&'static dyn Opener]);

/// One of them.
#[derive(Clone, Copy)]
pub(super) struct Chosen {
    engines: Engines,
    engine: &'static dyn Opener,
}

/// This build has not got what was asked for. The operator must act.
#[derive(Debug, Error)]
pub(super) enum NoEngine {
    #[error("storage.engine = \"{name}\": there is no such engine; this build has {}{}", .engines.names(), .engines.meant(name))]
    Unknown { name: String, engines: Engines },
    #[error("this build has no engine that keeps files: set storage.engine = {}, or build it with one", .engines.names())]
    NoFiles { engines: Engines },
    #[error("the backup is of the engine \"{name}\", and this build has {}: restore it with one that has it", .engines.names())]
    OfBackup { name: String, engines: Engines },
}

impl Engines {
    /// The one with this name; the first that keeps files, if the name is empty.
    pub(super) fn choose(self, name: &str) -> Result<Chosen, NoEngine> {
        if name.is_empty() {
            let first = self.0.iter().find(|engine| engine.keeps_files());
            return first.map(|first| self.chosen(*first)).ok_or(NoEngine::NoFiles { engines: self });
        }
        self.named(name).ok_or_else(|| NoEngine::Unknown { name: name.to_owned(), engines: self })
    }

    /// The one that a backup names.
    pub(super) fn of_backup(self, name: &str) -> Result<Chosen, NoEngine> {
        self.named(name).ok_or_else(|| NoEngine::OfBackup { name: name.to_owned(), engines: self })
    }

    /// Whether a folder holds a store of any of them.
    pub(super) fn find_store(self, folder: &Path) -> bool {
        self.0.iter().any(|engine| engine.keeps_files() && engine.is_store(folder).unwrap_or_default())
    }

    fn named(self, name: &str) -> Option<Chosen> {
        self.0.iter().find(|engine| engine.name() == name).map(|engine| self.chosen(*engine))
    }

    fn chosen(self, engine: &'static dyn Opener) -> Chosen {
        Chosen { engines: self, engine }
    }

    /// Their names, for people.
    fn names(self) -> String {
        let names: Vec<String> = self.0.iter().map(|engine| format!("\"{}\"", engine.name())).collect();
        match names.split_last() {
            Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
            _ => names.concat(),
        }
    }

    /// The one that may have been meant by an unknown name, for people; nothing, if none is alike.
    fn meant(self, unknown: &str) -> String {
        const ALIKE: f64 = 0.5;
        let likeness = |known: &str| strsim::normalized_damerau_levenshtein(unknown, known);
        let names = self.0.iter().map(|engine| engine.name());
        let nearest = names.max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
        let nearest = nearest.filter(|name| likeness(name) >= ALIKE);
        nearest.map(|name| format!("; the nearest is \"{name}\"")).unwrap_or_default()
    }
}

impl std::fmt::Debug for Engines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.names())
    }
}

impl Chosen {
    pub(super) fn name(self) -> &'static str {
        self.engine.name()
    }

    pub(super) fn keeps_files(self) -> bool {
        self.engine.keeps_files()
    }

    /// Whether a folder holds a store of this engine; an error, if it holds one of another.
    pub(super) fn is_store(self, folder: &Path) -> Result<bool, OpenError> {
        open::is_store(self.engines.0, self.engine, folder)
    }

    /// Opens a folder to look at it, within the memory that is configured. The format is not
    /// checked yet.
    pub(super) fn open(self, folder: &Path, config: &Config) -> anyhow::Result<Arc<dyn Engine>> {
        let options = Options::with_memory(config.storage_memory_bytes);
        Ok(opening::look(self.engines.0, self.engine, folder, options)?)
    }

    /// Opens the data folder to serve it, with the ballast that is configured. The format is not
    /// checked yet.
    pub(super) fn open_to_serve(self, config: &Config) -> anyhow::Result<Opened> {
        let folder = &config.storage_path;
        let disk_bytes = room::of_nearest(folder).map_or(0, |room| room.size_bytes);
        let options = Options {
            ballast_bytes: config.ballast_bytes(disk_bytes),
            ..Options::with_memory(config.storage_memory_bytes)
        };
        Ok(opening::open(self.engines.0, self.engine, folder, options)?)
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    /// Keeps files if its name says so.
    struct Named(&'static str);

    impl Opener for Named {
        fn name(&self) -> &'static str {
            self.0
        }

        fn keeps_files(&self) -> bool {
            self.0.contains("disk")
        }

        fn is_store(&self, folder: &Path) -> io::Result<bool> {
            Ok(folder.ends_with(self.0))
        }

        fn open(&self, folder: &Path, _options: Options) -> Result<Arc<dyn Engine>, OpenError> {
            Err(OpenError::InUse { path: folder.to_owned() })
        }
    }

    const ALL: Engines = Engines(&[&Named("memory"), &Named("disk"), &Named("newdisk")]);
    const NONE: Engines = Engines(&[&Named("memory")]);

    #[test]
    fn the_first_that_keeps_files_is_meant_unless_one_is_named() {
        let choose = |name| ALL.choose(name).map(Chosen::name).map_err(|error| error.to_string());
        assert_eq!(choose(""), Ok("disk"));
        assert_eq!(choose("newdisk"), Ok("newdisk"));
        assert_eq!(choose("memory"), Ok("memory"));
        let refused = "storage.engine = \"disc\": there is no such engine; this build has \"memory\", \"disk\" and \
                       \"newdisk\"; the nearest is \"disk\"";
        assert_eq!(choose("disc"), Err(refused.to_owned()));
        assert!(!choose("qqq").expect_err("unknown").contains("nearest"));
        let refused = NONE.choose("").map(Chosen::name).expect_err("none keeps files").to_string();
        assert!(refused.contains("set storage.engine = \"memory\""), "{refused}");
        let refused = NONE.of_backup("disk").map(Chosen::name).expect_err("unknown").to_string();
        assert!(refused.contains("of the engine \"disk\", and this build has \"memory\""), "{refused}");
    }

    #[test]
    fn a_folder_of_another_engine_is_refused_before_it_is_opened() {
        let disk = ALL.choose("disk").expect("there is one");
        assert!(disk.is_store(Path::new("data/disk")).expect("looks"));
        assert!(!disk.is_store(Path::new("data/none")).expect("looks"));
        assert!(ALL.find_store(Path::new("data/newdisk")) && !ALL.find_store(Path::new("data/memory")));
        let refused = disk.is_store(Path::new("data/newdisk")).expect_err("another's").to_string();
        assert!(refused.contains("set storage.engine to \"newdisk\""), "{refused}");
        let open = |name| {
            let opened = ALL.choose("disk").map(|disk| disk.open(Path::new(name), &Config::default()));
            opened.expect("there is one").map(|_| ()).expect_err("none opens").to_string()
        };
        assert!(open("newdisk").contains("holds a store of the engine"));
        assert!(open("disk").contains("in use"));
        let memory = ALL.choose("memory").expect("there is one");
        assert!(!memory.is_store(Path::new("newdisk")).expect("whatever lies there is not looked at"));
    }
}
