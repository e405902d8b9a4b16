//! Opening a folder, and saying clearly why not.
//!
//! Owns the folder's making and the meaning of RocksDB's errors at opening. Repairs nothing and
//! adopts nothing: a folder that is in use, newer or damaged is left as it was found, or what was
//! found is kept beside it. What RocksDB would pass over in silence is looked for here: a store
//! without `CURRENT`, and one that ends too early.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::path::Path;

use rocksdb::{ColumnFamilyDescriptor, DB, ErrorKind};
use rustix::fs::{Mode, OFlags};
use wardline_storage::engine::Table;
use wardline_storage::open::OpenError;

use crate::options;
use crate::synced::{self, AsFound, CURRENT, Manifest, Synced};
use crate::torn;
use crate::unreadable;

/// Makes the folder if it is missing, checks its tables, opens it; gives the note of how far it is
/// durable, too.
pub(crate) fn open(
    path: &Path,
    mut database: rocksdb::Options,
    tables: impl Fn() -> Vec<ColumnFamilyDescriptor>,
) -> Result<(DB, Synced), OpenError> {
    let folder = |source| OpenError::of_folder(path, source);
    prepare_folder(path).map_err(folder)?;
    if !path.join(CURRENT).try_exists().map_err(folder)? {
        refuse_remains(path).map_err(folder)??;
    }
    let (mut note, known) = Synced::open(path).map_err(folder)?;
    let is_store = path.join(CURRENT).try_exists().map_err(folder)?;
    if is_store {
        check_manifest(path, known.manifest)?;
    }
    options::set_direct_io(&mut database, takes_direct_io(path));
    let read = read_at_opening(path).map_err(folder)?;
    // Without a note there is nothing to compare with.
    let as_found = known.write.and_then(|_| AsFound::keep(path));
    let attempt = || {
        if is_store {
            refuse_unknown_tables(path, &database, &read)?;
        }
        DB::open_cf_descriptors(&database, path, tables()).map_err(|error| classify(path, &error, &read))
    };
    let mut database = attempt();
    let is_torn =
        matches!(database, Err(OpenError::Damaged { .. })) && drop_torn_records(path).map_err(folder)?;
    if is_torn {
        database = attempt();
    }
    let found = database.as_ref().map_or(u64::MAX, DB::latest_sequence_number);
    if let Some(synced) = known.write.filter(|synced| found < *synced) {
        let (path, files) = (path.to_owned(), read.join(", "));
        let kept = as_found.map(|as_found| as_found.folder().to_owned());
        let detail = format!(
            "it ends at write {found}, and everything up to {synced} was acknowledged; {files} lost what was \
             there, or a log file is gone"
        );
        return Err(OpenError::Damaged { path, detail, kept });
    }
    // If RocksDB refused, it changed nothing.
    if database.is_ok() || !is_torn {
        as_found.into_iter().for_each(AsFound::discard);
    }
    let database = database.map_err(|refused| name_tables(path, refused))?;
    note.note(found);
    Ok((database, note))
}

/// RocksDB blames the manifest for some kinds of damage to a table file that it lists.
fn name_tables(path: &Path, refused: OpenError) -> OpenError {
    let OpenError::Damaged { path: folder, mut detail, kept } = refused else { return refused };
    if detail.contains(BLAMED) && !detail.contains(".sst") {
        let unreadable = names(path).map(|names| unreadable::tables(path, names)).unwrap_or_default();
        if !unreadable.is_empty() {
            detail =
                format!("{detail} (of the table files, these cannot be opened: {})", unreadable.join(", "));
        }
    }
    OpenError::Damaged { path: folder, detail, kept }
}

/// `CURRENT` must name a manifest that is there, and that begins with what was synced of it.
fn check_manifest(path: &Path, noted: Option<Manifest>) -> Result<(), OpenError> {
    let folder = |source| OpenError::of_folder(path, source);
    let current = synced::current_manifest(path).map_err(folder)?;
    let name = current.map(synced::manifest_name).unwrap_or_default();
    let detail = match (current, noted) {
        (None, _) => format!("the file {CURRENT} does not name a manifest"),
        (Some(_), _) if !path.join(&name).is_file() => {
            format!("the file {CURRENT} names {name}, which is not there")
        }
        (Some(number), Some(noted)) if !noted.check(path, number).map_err(folder)? => format!(
            "the file {name} (named by {CURRENT}) is not the one that was synced, of {} bytes at least",
            noted.bytes()
        ),
        _ => return Ok(()),
    };
    Err(OpenError::Damaged { path: path.to_owned(), detail, kept: None })
}

/// Drops the record that was being written when the power went, of the last log and of the
/// manifest; whether there was one. If the log's was acknowledged, that will be noticed. Nothing
/// would tell of a change of table files that was synced and then damaged: of the manifest, only a
/// record with a hole is dropped.
fn drop_torn_records(path: &Path) -> io::Result<bool> {
    let log = names(path)?.into_iter().filter(|name| name.ends_with(".log")).max();
    let manifest = synced::current_manifest(path)?.map(synced::manifest_name);
    let mut is_any = false;
    for (name, needs_hole) in log.map(|log| (log, false)).into_iter().chain(manifest.map(|name| (name, true)))
    {
        let file = path.join(&name);
        let content = fs::read(&file)?;
        let torn = torn::bytes_before(&content);
        if let Some(bytes) = torn.filter(|bytes| !needs_hole || torn::has_hole(&content, *bytes)) {
            torn::cut(&file, &content, bytes)?;
            let dropped = content.len() - bytes;
            tracing::warn!(code = "torn-record", file = %name, bytes = dropped, "the last record was being written when the power went, and was not acknowledged: it is dropped");
            is_any = true;
        }
    }
    Ok(is_any)
}

/// Whether a folder holds a store, or what is left of one.
pub(crate) fn is_store(path: &Path) -> io::Result<bool> {
    match names(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
        Ok(names) => Ok(names.iter().any(|name| name == CURRENT || is_data(name)) || synced::is_noted(path)),
    }
}

/// Bytes that opening may write anew: what the log holds, if none of it is in table files yet.
pub(crate) fn log_bytes(path: &Path) -> io::Result<u64> {
    let names = match names(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        names => names?,
    };
    let logs = names.iter().filter(|name| name.ends_with(".log"));
    // One that went meanwhile holds nothing.
    Ok(logs.map(|log| fs::metadata(path.join(log)).map_or(0, |found| found.len())).sum())
}

/// RocksDB names its table and log files by a number.
fn is_data(name: &str) -> bool {
    let number = name.strip_suffix(".sst").or_else(|| name.strip_suffix(".log"));
    number.is_some_and(|number| number.bytes().all(|letter| letter.is_ascii_digit()))
}

/// A folder without `CURRENT` must not have been a store: RocksDB would make a new one and delete
/// the old one's files. A manifest alone is what a crash leaves that came while the first one was
/// made.
fn refuse_remains(path: &Path) -> io::Result<Result<(), OpenError>> {
    let remains = names(path)?.iter().filter(|name| is_data(name)).count();
    if remains == 0 && !synced::is_noted(path) {
        return Ok(Ok(()));
    }
    let detail = format!("the file {CURRENT} is missing, and there are {remains} files of a store beside it");
    Ok(Err(OpenError::Damaged { path: path.to_owned(), detail, kept: None }))
}

/// The files that opening reads from end to end: the manifest and what there is of the log.
fn read_at_opening(path: &Path) -> io::Result<Vec<String>> {
    let mut read: Vec<String> = names(path)?;
    read.retain(|name| name.starts_with("MANIFEST-") || name.ends_with(".log"));
    read.sort();
    Ok(read)
}

fn names(path: &Path) -> io::Result<Vec<String>> {
    fs::read_dir(path)?.map(|file| Ok(file?.file_name().to_string_lossy().into_owned())).collect()
}

/// What RocksDB says of the manifest when it could not open what that lists
/// (`db/version_edit_handler.cc`).
const BLAMED: &str = "may be corrupted";
/// A file that is made and removed, to see what the folder can do.
const PROBE: &str = ".writable";

/// Whether files of the folder can be written around the page cache.
fn takes_direct_io(path: &Path) -> bool {
    let (probe, flags) = (path.join(PROBE), OFlags::WRONLY | OFlags::CREATE | OFlags::DIRECT);
    let opened = rustix::fs::open(&probe, flags, Mode::RUSR | Mode::WUSR);
    // If it is left behind, the next start removes it.
    let _ = std::fs::remove_file(&probe);
    if let Err(error) = &opened {
        tracing::info!(code = "no-direct-io", %error, "the file system takes no direct writes: table files go through the page cache");
    }
    opened.is_ok()
}

fn prepare_folder(path: &Path) -> io::Result<()> {
    match make_private(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
        Ok(()) => {
            // RocksDB syncs its folder, but not the folder's own entry: a loss of power could take
            // all of it.
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?;
        }
    }
    // Fails here, with the system's own words, if it is no folder or not ours.
    let probe = path.join(PROBE);
    std::fs::write(&probe, [])?;
    std::fs::remove_file(&probe)
}

/// Makes the folder for its owner alone: payloads lie in it.
fn make_private(path: &Path) -> io::Result<()> {
    let mut folder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut folder, 0o700);
    folder.create(path)
}

fn refuse_unknown_tables(path: &Path, database: &rocksdb::Options, read: &[String]) -> Result<(), OpenError> {
    let known: BTreeSet<&str> =
        Table::ALL.iter().map(|table| table.name()).chain([options::UNUSED_TABLE]).collect();
    let found = DB::list_cf(database, path).map_err(|error| classify(path, &error, read))?;
    match found.into_iter().find(|name| !known.contains(name.as_str())) {
        Some(table) => {
            Err(OpenError::Newer { path: path.to_owned(), what: format!("it has the table \"{table}\"") })
        }
        None => Ok(()),
    }
}

/// The name of a log that the manifest knows and that is not there: RocksDB says its number
/// (`db/wal_edit.cc`).
fn missing_log(detail: &str) -> Option<String> {
    let (_, number) = detail.split_once("Missing WAL with log number: ")?;
    let digits = number.split(|letter: char| !letter.is_ascii_digit()).next()?;
    Some(format!("{:06}.log", digits.parse::<u64>().ok()?))
}

/// RocksDB gives a kind and a text. The lock and the permissions are only in the text, whose words
/// come from `env/fs_posix.cc` and `strerror`. Where the text names no file, those that were `read`
/// are named.
fn classify(path: &Path, error: &rocksdb::Error, read: &[String]) -> OpenError {
    let mut detail = error.as_ref().to_owned();
    let is_store = |name: &String| name != "LOG" && name != "LOCK";
    let named = |name: String| is_store(&name) && detail.contains(&name);
    let names_one = names(path).is_ok_and(|names| names.into_iter().any(named));
    if let Some(log) = missing_log(&detail) {
        detail = format!("{detail} (the file {log} is gone)");
    } else if !read.is_empty() && !names_one {
        detail = format!("{detail} (in one of {})", read.join(", "));
    }
    let path = path.to_owned();
    let folder = |kind: io::ErrorKind| OpenError::Folder {
        path: path.clone(),
        source: io::Error::new(kind, detail.clone()),
    };
    match error.kind() {
        ErrorKind::IOError if detail.contains("lock hold by") || detail.contains("While lock file") => {
            OpenError::InUse { path }
        }
        ErrorKind::IOError if detail.contains("Permission denied") => folder(io::ErrorKind::PermissionDenied),
        ErrorKind::IOError if detail.contains("No space left") => OpenError::NoRoom { path, detail },
        ErrorKind::Corruption => OpenError::Damaged { path, detail, kept: None },
        _ => OpenError::Other { path, detail },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_is_gone_is_named_as_a_file() {
        let named = |detail: &str| missing_log(detail);
        assert_eq!(named("Corruption: Missing WAL with log number: 324.").as_deref(), Some("000324.log"));
        assert_eq!(named("Missing WAL with log number: 12345678").as_deref(), Some("12345678.log"));
        assert_eq!(named("Corruption: checksum mismatch in 000324.log"), None);
    }
}
