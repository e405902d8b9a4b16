//! The last key set of an issuer in the data folder, so that a broker which starts while the issuer
//! is silent knows its keys.
//!
//! A copy of what anybody can ask for: it is believed as far as the folder is. It is no older than
//! the operator lets keys be, names its issuer, and is passed over if it is damaged. It appears
//! whole or not at all.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use wardline_storage::id::Timestamp;

use crate::limits::JWKS_BYTES_MAX;

/// What is written around a set, and what escaping makes of it at the most.
const FILE_BYTES_MAX: u64 = 2 * JWKS_BYTES_MAX as u64 + 4096;

/// A key set that was read from an issuer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) issuer: String,
    /// When, in milliseconds since 1970.
    pub(super) fetched_ms: u64,
    /// The set as it came.
    pub(super) set: String,
}

/// Where that of an issuer lies.
pub(super) fn place(folder: &Path, issuer: &str) -> PathBuf {
    let hash = digest(&SHA256, issuer.as_bytes());
    folder.join(format!("issuer-{}.json", hex::encode(&hash.as_ref()[..8])))
}

/// Reads it, if it is there, of this issuer and not older than `oldest`.
pub(super) fn read(place: &Path, issuer: &str, oldest: Timestamp) -> Option<Kept> {
    let mut bytes = Vec::new();
    File::open(place).ok()?.take(FILE_BYTES_MAX).read_to_end(&mut bytes).ok()?;
    let kept: Kept = serde_json::from_slice(&bytes).ok()?;
    (kept.issuer == issuer && kept.fetched_ms >= oldest.0).then_some(kept)
}

/// Writes beside and renames.
pub(super) fn write(place: &Path, kept: &Kept) -> io::Result<()> {
    let beside = place.with_extension("new");
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(&beside)?;
    file.write_all(&serde_json::to_vec(kept)?)?;
    file.sync_all()?;
    fs::rename(&beside, place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_whole_of_this_issuer_and_young_enough_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = place(folder.path(), "https://id.example");
        let kept =
            Kept { issuer: "https://id.example".into(), fetched_ms: 1_000, set: "{\"keys\": []}".into() };
        let read = |oldest| read(&place, "https://id.example", Timestamp(oldest));
        assert_eq!(read(0), None);
        write(&place, &kept).expect("written");
        write(&place, &kept).expect("written again");
        assert_eq!(read(1_000), Some(kept));
        assert_eq!(read(1_001), None);
        assert_eq!(super::read(&place, "https://other.example", Timestamp(0)), None);
        for damage in ["", "{}", "{\"issuer\":", "[]"] {
            fs::write(&place, damage).expect("written");
            assert_eq!(read(0), None, "{damage}");
        }
    }
}
