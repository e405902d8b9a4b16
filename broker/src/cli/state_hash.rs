//! `doctor --state-hash`: the hash of a store's state, table by table.
//!
//! Of a stopped store it is taken where that lies. A running broker is asked for a copy, as for a
//! backup. A backup is restored to a folder that goes away again, since opening a store writes to
//! it. Two stores with the same position and the same hashes hold the same.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use wardline_broker::config::Config;
use wardline_broker::operator::admin::Checkpoint;
use wardline_broker::operator::backup::{self, Manifest};
use wardline_storage::format::{self, FORMAT};
use wardline_storage::state_hash::{self, StateHash};

use super::engines::{Chosen, Engines};
use super::failure;

/// Prints it.
pub(super) fn print(config: &Config, engines: Engines) -> anyhow::Result<()> {
    let folder = &config.storage_path;
    let StateHash { applied, tables } = match Manifest::read(folder) {
        Ok(manifest) => of_backup(folder, engines.of_backup(&manifest.engine)?)?,
        Err(_) => of_store(folder, config, engines.choose(&config.storage_engine)?)?,
    };
    let mut out = io::stdout().lock();
    writeln!(out, "position  {}", applied.position)?;
    writeln!(out, "time      {} ms since 1970", applied.time.0)?;
    for (table, records, hash) in tables {
        writeln!(out, "{:<12}  {hash}  {records} records", table.name())?;
    }
    Ok(())
}

fn of_store(folder: &Path, config: &Config, chosen: Chosen) -> anyhow::Result<StateHash> {
    if let Some(copy) = Checkpoint::ask(folder)? {
        return hash(&copy.source().checkpoint, config, chosen);
    }
    if !chosen.is_store(folder)? {
        bail!("there is no store in {}; name the data folder, or a backup, with --data", folder.display());
    }
    hash(folder, config, chosen)
}

fn of_backup(backup: &Path, chosen: Chosen) -> anyhow::Result<StateHash> {
    // Of a name that nobody can have put there before.
    let name = format!("wardline-state-{:016x}", rand::random::<u64>());
    let scratch = Scratch(std::env::temp_dir().join(name));
    let mut found = None;
    let open = |folder: &Path| {
        let opened = chosen.open(folder, &Config::default());
        let hashed = opened.and_then(|engine| {
            format::check(engine.as_ref())?;
            Ok(state_hash::of(engine.as_ref())?)
        });
        found = Some(hashed.map_err(|error| failure::told(&error))?);
        Ok(())
    };
    backup::restore(backup, &scratch.0, open)?;
    found.context("the backup's store was not opened")
}

fn hash(folder: &Path, config: &Config, chosen: Chosen) -> anyhow::Result<StateHash> {
    let engine = chosen.open(folder, config)?;
    match format::found(engine.as_ref())? {
        None | Some(FORMAT) => Ok(state_hash::of(engine.as_ref())?),
        Some(older) => {
            bail!("the store has format {older}, of which no hash is defined: start the broker on it once")
        }
    }
}

/// A folder that goes away.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left is in the folder for temporary files.
        let _ = fs::remove_dir_all(&self.0);
    }
}
