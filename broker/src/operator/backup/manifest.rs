//! The manifest of a backup: of which store it is, its place in that store's order, when it was
//! made, and the SHA-256 of every file.
//!
//! Its own text is covered too: the seal is the SHA-256 of the text with zeros in the seal's place.
//! A manifest is believed only if its seal fits, its version and format are known here, and its
//! files have plain names, so that a restore can never write outside of its folder. It holds no
//! content.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use wardline_storage::format::FORMAT;
use wardline_storage::id::Timestamp;

use super::identity::StoreIdentity;
use super::source::Source;

/// Its file's name.
pub(super) const NAME: &str = "manifest.json";
/// The version that this code writes. Version 1 had a position for each of 64 partitions, version 2
/// neither store nor sequence.
const VERSION: u32 = 3;
/// What stands in the seal's place while it is computed.
const UNSEALED: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// A file of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listed {
    /// Its name in the backup's folder.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// Its SHA-256, in lower-case hexadecimal digits.
    pub sha256: String,
}

/// What a backup says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of this list.
    manifest: u32,
    /// Version of the broker that made it.
    pub wardline: String,
    /// Which engine's files they are.
    pub engine: String,
    /// Format of the store.
    pub format: u32,
    /// Of which store it is; `None`: an earlier version made it, or it was never served from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<StoreIdentity>,
    /// Its place among the backups of this store in its repository: later ones have higher ones,
    /// whatever clocks say.
    #[serde(default)]
    pub sequence: u64,
    /// When it was made, by the clock of then: milliseconds since the Unix epoch.
    pub made_at_ms: u64,
    /// How many submissions are in it, at least.
    #[serde(default)]
    pub position: u64,
    /// The log's time at that position: milliseconds since the Unix epoch; 0: it is not known.
    #[serde(default)]
    pub log_time_ms: u64,
    /// Of version 1.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    applied: Vec<u64>,
    /// Its files, by name.
    pub files: Vec<Listed>,
    seal: String,
}

/// There is no manifest that could be believed. Use another backup, or another version.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// There is none, or it cannot be read.
    #[error("{} cannot be read: {source}; this is no complete backup", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not as it was written.
    #[error("{} is damaged: {detail}; use another backup", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What does not fit.
        detail: &'static str,
    },
    /// A newer version wrote it.
    #[error(
        "{} was written by a newer version ({what} {found}, this one reads up to {known}): use that version of wardline",
        path.display()
    )]
    Newer {
        /// Which file.
        path: PathBuf,
        /// What is newer.
        what: &'static str,
        /// The version found.
        found: u32,
        /// The version known here.
        known: u32,
    },
}

/// What every version of a manifest has.
#[derive(Deserialize)]
struct Head {
    manifest: u32,
    format: u32,
    seal: String,
}

impl Manifest {
    /// A manifest of these files, by this version.
    pub(super) fn new(source: &Source, sequence: u64, made_at: Timestamp, files: Vec<Listed>) -> Self {
        Self {
            manifest: VERSION,
            wardline: env!("CARGO_PKG_VERSION").to_owned(),
            engine: source.engine.clone(),
            format: source.format,
            store: source.store.clone(),
            sequence,
            made_at_ms: made_at.0,
            position: source.applied.position,
            log_time_ms: source.applied.time.0,
            applied: Vec::new(),
            files,
            seal: UNSEALED.to_owned(),
        }
    }

    /// Reads the manifest of a backup.
    ///
    /// # Errors
    /// [`ManifestError`] if it is missing, damaged or newer.
    pub fn read(backup: &Path) -> Result<Self, ManifestError> {
        let path = backup.join(NAME);
        let damaged = |detail| ManifestError::Damaged { path: path.clone(), detail };
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return Err(damaged("it is not text"));
            }
            Err(source) => return Err(ManifestError::Read { path, source }),
        };
        let head: Head = serde_json::from_str(&text).map_err(|_| damaged("it is not a manifest"))?;
        // One that a newer version made is told from a damaged one by its seal.
        if head.seal.len() != UNSEALED.len() || seal(&text.replacen(&head.seal, UNSEALED, 1)) != head.seal {
            return Err(damaged("its seal does not fit"));
        }
        for (what, found, known) in [("manifest", head.manifest, VERSION), ("format", head.format, FORMAT)] {
            if found > known {
                return Err(ManifestError::Newer { path, what, found, known });
            }
        }
        let mut manifest: Self =
            serde_json::from_str(&text).map_err(|_| damaged("a part of it is missing"))?;
        if manifest.manifest == 1 {
            manifest.position = manifest.applied.iter().fold(0, |sum, part| sum.saturating_add(*part));
        }
        let names: BTreeSet<&str> = manifest.files.iter().map(|file| file.name.as_str()).collect();
        if names.len() != manifest.files.len() || !names.into_iter().all(is_plain) {
            return Err(damaged("it names a file twice, or outside of its folder"));
        }
        Ok(manifest)
    }

    /// The text of its file.
    pub(super) fn sealed(&self) -> String {
        let text = serde_json::to_string_pretty(self).expect("it has only texts and numbers") + "\n";
        // The last one: a file of zeros would be a strange coincidence, and harmless so.
        match text.rfind(UNSEALED) {
            Some(at) => [&text[..at], &seal(&text), &text[at + UNSEALED.len()..]].concat(),
            None => text,
        }
    }

    /// The length of all files together.
    pub fn bytes(&self) -> u64 {
        self.files.iter().fold(0, |sum, file| sum.saturating_add(file.bytes))
    }
}

fn seal(text: &str) -> String {
    hex::encode(digest(&SHA256, text.as_bytes()))
}

fn is_plain(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    !name.is_empty() && !name.starts_with('.') && name != NAME && name.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use wardline_storage::model::{Applied, IdSecret};

    use super::*;

    fn written(change: impl FnOnce(&mut Manifest)) -> Result<Manifest, ManifestError> {
        let folder = tempfile::tempdir().expect("a folder");
        let entry = Listed { name: "000007.sst".into(), bytes: 5, sha256: seal("table") };
        let source = Source {
            checkpoint: PathBuf::new(),
            engine: "rocksdb".into(),
            format: FORMAT,
            applied: Applied { position: 7, time: Timestamp(9) },
            store: Some(StoreIdentity::of(&IdSecret::new([7; 32]))),
        };
        let mut manifest = Manifest::new(&source, 3, Timestamp(1), vec![entry]);
        change(&mut manifest);
        super::super::file::write(&folder.path().join(NAME), manifest.sealed().as_bytes()).expect("writes");
        Manifest::read(folder.path())
    }

    #[test]
    fn a_seal_covers_every_byte() {
        let good = written(|_| ()).expect("it is good");
        let text = Manifest { seal: UNSEALED.into(), ..good }.sealed();
        let folder = tempfile::tempdir().expect("a folder");
        for at in 0..text.len() {
            for flip in [1, 0x20] {
                let mut bytes = text.clone().into_bytes();
                bytes[at] ^= flip;
                std::fs::write(folder.path().join(NAME), bytes).expect("writes");
                let refused = Manifest::read(folder.path()).expect_err("a byte was changed");
                assert!(matches!(refused, ManifestError::Damaged { .. }), "byte {at}: {refused}");
            }
        }
    }

    #[test]
    fn what_is_newer_is_told_from_what_is_damaged() {
        let refused = written(|manifest| manifest.manifest = VERSION + 1).expect_err("newer");
        assert!(matches!(refused, ManifestError::Newer { what: "manifest", .. }), "{refused}");
        let refused = written(|manifest| manifest.format = FORMAT + 1).expect_err("newer");
        assert!(matches!(refused, ManifestError::Newer { what: "format", .. }), "{refused}");
    }

    #[test]
    fn one_of_version_1_tells_its_position_by_partitions() {
        let manifest = written(|manifest| {
            (manifest.manifest, manifest.format, manifest.position) = (1, 1, 0);
            (manifest.store, manifest.sequence) = (None, 0);
            manifest.applied = vec![3, 4];
        });
        assert_eq!(manifest.expect("it is good").position, 7);
    }

    #[test]
    fn names_stay_within_the_folder() {
        for name in ["../CURRENT", "a/b", "", ".", "..", ".lock", NAME, "/etc/passwd"] {
            let refused = written(|manifest| manifest.files[0].name = name.into()).expect_err("not plain");
            assert!(matches!(refused, ManifestError::Damaged { .. }), "{name}: {refused}");
        }
        let twice = written(|manifest| manifest.files.push(manifest.files[0].clone()));
        assert!(twice.is_err(), "a name twice");
    }
}
