//! `backup`, `verify`, `restore`: what keeps a hospital's messages when a machine is gone.
//!
//! A running broker has the store to itself, so it is asked for a copy; without one the store is
//! opened here. The copy is read and written by this process, not by the broker. What is said on
//! stdout is what was done; damage is named file by file.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use wardline_broker::config::Config;
use wardline_broker::operator::admin::Checkpoint;
use wardline_broker::operator::backup::{self, Manifest, Pruned, StoreIdentity};
use wardline_broker::operator::text_log;
use wardline_storage::{format, state};

use super::engines::{Chosen, Engines};
use super::report::report;
use super::serve::{Configuration, now};
use super::{failure, time};

#[derive(Debug, Args)]
pub(super) struct Backup {
    #[command(flatten)]
    configuration: Configuration,
    /// The folder of backups; made if it is missing. Each backup is a folder in it, named by its
    /// time.
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// Removes older backups of this store afterwards, like 7d. No longer than retention.max: what
    /// is to be forgotten lies in backups too.
    #[arg(long, value_name = "TIME", value_parser = time::any)]
    keep: Option<Duration>,
}

#[derive(Debug, Args)]
pub(super) struct Verify {
    /// A backup, or a folder of backups.
    #[arg(value_name = "DIR")]
    backups: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct Restore {
    /// A backup, or a folder of one store's backups: the newest one then.
    #[arg(value_name = "DIR")]
    backup: PathBuf,
    /// The data folder that is made. Must be missing or empty; a mount point will do.
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
}

/// Backs up the store, whether a broker runs or not.
pub(super) fn backup(arguments: &Backup, engines: Engines) -> anyhow::Result<()> {
    text_log::start_for_people("warn")?;
    let config = arguments.configuration.layered()?;
    let chosen = engines.choose(&config.storage_engine)?;
    if !chosen.keeps_files() {
        bail!(
            "the {} engine keeps nothing that could be backed up; set storage.engine to one that keeps files",
            chosen.name()
        );
    }
    let checkpoint = checkpoint(&config, chosen)?;
    let now = now();
    let made = backup::make(checkpoint.source(), &arguments.to, now)?;
    let store = checkpoint.source().store.clone();
    let counted_to = backup::counted_to(now, checkpoint.broker_time(), config.reclaim_every);
    drop(checkpoint);
    let mut out = report();
    writeln!(
        out,
        "{}: {} files, {} ({} files, {} written), number {} of {}",
        made.folder.display(),
        made.files,
        size(made.bytes),
        made.files_written,
        size(made.bytes_written),
        made.sequence,
        whose(store.as_ref()),
    )?;
    match (arguments.keep, &store) {
        (Some(keep), Some(store)) => {
            if counted_to < now {
                writeln!(
                    out,
                    "this clock is far ahead of the broker's: ages are counted to {}",
                    shown(counted_to.0)
                )?;
            }
            let pruned = backup::prune(&arguments.to, store, keep, counted_to)?;
            tell_of_pruned(&mut out, pruned, keep, config.policy.retention_max)
        }
        (Some(_), None) => Ok(writeln!(
            out,
            "nothing is removed: which store it is cannot be told before a broker of this version has run on it"
        )?),
        (None, _) => Ok(()),
    }
}

/// Says what was removed, and what stays that should perhaps not.
fn tell_of_pruned(
    out: &mut impl Write,
    pruned: Pruned,
    keep: Duration,
    retention_max: Duration,
) -> anyhow::Result<()> {
    for removed in pruned.removed {
        writeln!(out, "removed {}", removed.display())?;
    }
    for (left, why) in pruned.left {
        writeln!(out, "left    {}: {why}; remove it by hand once nobody needs it", left.display())?;
    }
    if keep > retention_max {
        writeln!(
            out,
            "but backups are kept longer than messages (retention.max is {}): what was to be forgotten lies in them",
            humantime::format_duration(retention_max)
        )?;
    }
    Ok(())
}

/// Which store a backup is of, for people.
fn whose(store: Option<&StoreIdentity>) -> String {
    store.map_or_else(|| "an unknown store".to_owned(), |store| format!("store {store}"))
}

fn checkpoint(config: &Config, chosen: Chosen) -> anyhow::Result<Checkpoint> {
    let data = &config.storage_path;
    if let Some(checkpoint) = Checkpoint::ask(data)? {
        return Ok(checkpoint);
    }
    // Opening would make a new store.
    if !chosen.is_store(data)? {
        bail!("there is no store in {}; name the data folder with --data or --config", data.display());
    }
    let engine = chosen.open(data, config).with_context(
        || "no broker answers at the folder's admin.sock, and the store cannot be opened without one",
    )?;
    Ok(Checkpoint::make(engine.as_ref(), data)?)
}

/// Reads backups whole, and names what is damaged.
pub(super) fn verify(arguments: &Verify) -> anyhow::Result<()> {
    let backups = find(&arguments.backups)?;
    let mut out = report();
    let mut bad = 0;
    for folder in &backups {
        let shown = folder.display();
        match backup::examine(folder) {
            Ok((manifest, damage)) if damage.is_empty() => {
                writeln!(out, "good    {shown}: {}", describe(&manifest))?;
                continue;
            }
            Ok((_, damage)) => {
                for damage in damage {
                    writeln!(out, "DAMAGED {damage}")?;
                }
            }
            Err(error) => writeln!(out, "DAMAGED {error}")?,
        }
        bad += 1;
    }
    if bad > 0 {
        bail!(
            "{bad} of {} backups cannot be restored; make a new one now, and look at the disk",
            backups.len()
        );
    }
    Ok(())
}

/// Makes a data folder out of a backup.
pub(super) fn restore(arguments: &Restore, engines: Engines) -> anyhow::Result<()> {
    text_log::start_for_people("warn")?;
    let backup = backup::choose(&arguments.backup)?;
    let manifest = Manifest::read(&backup)?;
    // A backup is opened by the engine that made it, whatever is configured.
    let chosen = engines.of_backup(&manifest.engine)?;
    let open = |folder: &Path| check_store(folder, &manifest, chosen).map_err(|error| failure::told(&error));
    let restored = backup::restore(&backup, &arguments.to, open)?;
    Ok(writeln!(
        report(),
        "{} restored to {}: {}; keys and certificates are not in a backup; start the broker on it",
        backup.display(),
        restored.folder.display(),
        describe(&restored.manifest),
    )?)
}

/// Opens the store once, and looks whether it has come as far as its backup says.
fn check_store(folder: &Path, manifest: &Manifest, chosen: Chosen) -> anyhow::Result<()> {
    let engine = chosen.open(folder, &Config::default())?;
    format::check(engine.as_ref())?;
    let applied = state::applied(engine.as_ref())?;
    if applied.position < manifest.position || applied.time.0 < manifest.log_time_ms {
        bail!("it has not come as far as the backup's manifest says");
    }
    Ok(())
}

fn find(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let backups =
        backup::list(folder).with_context(|| format!("cannot read the backups in {}", folder.display()))?;
    if backups.is_empty() {
        bail!("there is no complete backup in {}", folder.display());
    }
    Ok(backups)
}

fn describe(manifest: &Manifest) -> String {
    format!(
        "{} files, {}, made {} by wardline {}, format {}, number {} of {}",
        manifest.files.len(),
        size(manifest.bytes()),
        shown(manifest.made_at_ms),
        manifest.wardline,
        manifest.format,
        manifest.sequence,
        whose(manifest.store.as_ref()),
    )
}

/// A time for people.
fn shown(ms: u64) -> impl std::fmt::Display {
    humantime::format_rfc3339_seconds(std::time::UNIX_EPOCH + Duration::from_millis(ms))
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1_048_576 => format!("{} KiB", bytes.div_ceil(1024)),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}
