//! Which table files RocksDB cannot open.
//!
//! A store is refused when one of those that are opened at its start cannot be, but RocksDB names
//! it only for some kinds of damage; for others it blames the manifest that lists it. So each is
//! offered by itself to an empty store beside it: of one that can be opened it says that it was not
//! made for being offered, and takes none in. Costs a few reads and a sync for each table file, so
//! it is for a store that was refused.

use std::fs;
use std::path::Path;

use rocksdb::{DB, ErrorKind, Options};

/// The folder of the empty store, in that of the data. Whatever is in it is removed.
const FOLDER: &str = ".unreadable";
/// RocksDB's word for a table file that is whole and of a store
/// (`db/external_sst_file_ingestion_job.cc`).
const OF_A_STORE: &str = "External file version not found";

/// The names of the table files among these that cannot be opened, unfinished ones that a crash
/// left behind among them; none, if that cannot be found out.
pub(crate) fn tables(path: &Path, names: impl IntoIterator<Item = String>) -> Vec<String> {
    let folder = path.join(FOLDER);
    // Left behind by a kill.
    let _ = fs::remove_dir_all(&folder);
    let mut options = Options::default();
    options.create_if_missing(true);
    tracing::info!(code = "looking-for-damage", "the store is refused: looking for the damaged table file");
    let mut unreadable = Vec::new();
    if let Ok(empty) = DB::open(&options, &folder) {
        let is_unreadable = |name: &String| {
            let offered = empty.ingest_external_file(vec![path.join(name)]);
            offered.is_err_and(|error| {
                error.kind() == ErrorKind::Corruption && !error.as_ref().contains(OF_A_STORE)
            })
        };
        unreadable = names.into_iter().filter(|name| name.ends_with(".sst")).filter(is_unreadable).collect();
    }
    let _ = fs::remove_dir_all(&folder);
    unreadable
}
