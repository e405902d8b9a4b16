//! Backups: what is in them, what is shared with the one before, and that nothing damaged is ever
//! restored.
#![allow(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use wardline_broker::operator::admin::{Admin, AdminError, Checkpoint, SOCKET};
use wardline_broker::operator::backup::{self, Made, RestoreError};
use wardline_rocksdb::RocksEngine;
use wardline_storage::engine::{Durability, Engine, Mutation, Table};
use wardline_storage::format;
use wardline_storage::id::Timestamp;
use wardline_storage::memory::MemoryEngine;

const MANIFEST: &str = "manifest.json";
/// 2026-11-23 08:22:14.120 UTC.
const NOON: Timestamp = Timestamp(1_795_422_134_120);
/// Longest that anything is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// A store with something in it, and a folder for backups.
struct Site {
    root: TempDir,
    engine: RocksEngine,
    made: u64,
}

impl Site {
    fn new() -> Self {
        let root = TempDir::new().unwrap();
        let engine =
            RocksEngine::open(root.path().join("data"), wardline_rocksdb::Options::default()).unwrap();
        format::check(&engine).unwrap();
        let site = Self { root, engine, made: 0 };
        site.put("first");
        site
    }

    fn put(&self, key: &'static str) {
        let put = Mutation::Put {
            table: Table::Message,
            key: Bytes::from_static(key.as_bytes()),
            value: Bytes::from_static(b"a payload"),
            expires: Timestamp(NOON.0 * 2),
        };
        self.engine.commit(&[put], Durability::Synced).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Backs up, a second later each time.
    fn back_up(&mut self) -> Made {
        let now = Timestamp(NOON.0 + 1_000 * self.made);
        self.made += 1;
        let checkpoint = Checkpoint::make(&self.engine, &self.path("data")).unwrap();
        let made = backup::make(checkpoint.source(), &self.path("backups"), now).unwrap();
        let copy = checkpoint.source().checkpoint.clone();
        drop(checkpoint);
        assert!(!copy.exists(), "a copy keeps alive what is to be forgotten");
        made
    }

    fn restore(&self, backup: &Path) -> Result<(), RestoreError> {
        backup::restore(backup, &self.path("restored"), opens).map(|_| ())
    }
}

fn opens(folder: &Path) -> Result<(), String> {
    let opened = RocksEngine::open(folder, wardline_rocksdb::Options::default());
    opened.map(|_| ()).map_err(|error| error.to_string())
}

fn has(folder: &Path, key: &str) -> bool {
    let engine = RocksEngine::open(folder, wardline_rocksdb::Options::default()).unwrap();
    engine.get(Table::Message, key.as_bytes(), NOON).unwrap().is_some()
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_backup_is_restored_as_it_was() {
    let mut site = Site::new();
    let made = site.back_up();
    assert_eq!(made.folder, site.path("backups/20261123T082214.120Z"));
    assert_eq!(made.files, made.files_written);
    site.put("later");
    assert_eq!(
        fs::metadata(site.path("backups")).unwrap().permissions().mode() & 0o077,
        0,
        "payloads lie in it"
    );
    let (manifest, damage) = backup::examine(&made.folder).unwrap();
    assert!(damage.is_empty(), "{damage:?}");
    assert_eq!((manifest.files.len(), manifest.bytes()), (made.files, made.bytes));
    assert_eq!((manifest.engine.as_str(), manifest.format), ("rocksdb", format::FORMAT));

    site.restore(&made.folder).unwrap();
    assert!(has(&site.path("restored"), "first") && !has(&site.path("restored"), "later"));
    // Nothing is ever written over.
    let refused = site.restore(&made.folder).unwrap_err();
    assert!(matches!(refused, RestoreError::NotEmpty { .. }), "{refused}");
    assert!(has(&site.path("restored"), "first"));
    // An empty folder, such as an installation makes, is taken.
    fs::remove_dir_all(site.path("restored")).unwrap();
    fs::create_dir(site.path("restored")).unwrap();
    site.restore(&made.folder).unwrap();
    assert!(has(&site.path("restored"), "first"));
}

#[test]
fn a_store_that_does_not_open_is_not_restored() {
    let mut site = Site::new();
    let made = site.back_up();
    let refused = backup::restore(&made.folder, &site.path("restored"), |_| Err("planted".into()));
    assert!(matches!(refused, Err(RestoreError::Opening { detail }) if detail == "planted"));
    assert_eq!(names(site.root.path()), ["backups", "data"], "nothing is left behind");
}

#[test]
fn every_damage_is_refused_and_named() {
    let seed = std::env::var("WARDLINE_SEED").map_or_else(|_| rand::random(), |seed| seed.parse().unwrap());
    println!("WARDLINE_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut site = Site::new();
    site.put("buffered");
    let backup = site.back_up().folder;
    let files = names(&backup);
    assert!(files.iter().any(|name| name.ends_with(".sst")) && files.iter().any(|name| name == MANIFEST));
    for name in &files {
        let path = backup.join(name);
        let good = fs::read(&path).unwrap();
        let mut damages = vec![("missing", None), ("longer", Some([&good[..], b"x"].concat()))];
        if !good.is_empty() {
            damages.push(("shorter", Some(good[..good.len() - 1].to_vec())));
            let mut flipped = good.clone();
            flipped[random.random_range(0..good.len())] ^= 1 << random.random_range(0..8);
            damages.push(("flipped", Some(flipped)));
        }
        for (how, bad) in damages {
            match bad {
                Some(bad) => fs::write(&path, bad).unwrap(),
                None => fs::remove_file(&path).unwrap(),
            }
            let refused = site.restore(&backup).expect_err(name).to_string();
            assert!(refused.contains(name.as_str()), "WARDLINE_SEED={seed}: {name} {how}: {refused}");
            assert_eq!(
                names(site.root.path()),
                ["backups", "data"],
                "nothing is restored, nothing left behind"
            );
            if name != MANIFEST {
                let (_, damage) = backup::examine(&backup).unwrap();
                assert_eq!(damage.len(), 1, "{name} {how}");
                assert!(damage[0].to_string().contains(name.as_str()), "{name} {how}: {}", damage[0]);
            }
            fs::write(&path, &good).unwrap();
        }
    }
    site.restore(&backup).unwrap();
}

#[test]
fn a_backup_of_a_newer_version_is_refused_as_such() {
    let mut site = Site::new();
    let backup = site.back_up().folder;
    let good = fs::read_to_string(backup.join(MANIFEST)).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&good).unwrap();
    let (seal, zeros) = (manifest["seal"].as_str().unwrap(), "0".repeat(64));
    for (key, newer) in [("manifest", 3), ("format", format::FORMAT + 1)] {
        let text = good.replace(&format!("\"{key}\": 2,"), &format!("\"{key}\": {newer},"));
        assert_ne!(text, good);
        let unsealed = text.replace(seal, &zeros);
        let sealed = text.replace(seal, &hex::encode(digest(&SHA256, unsealed.as_bytes())));
        fs::write(backup.join(MANIFEST), sealed).unwrap();
        let refused = site.restore(&backup).unwrap_err().to_string();
        assert!(refused.contains("newer version") && refused.contains(key), "{refused}");
    }
    assert!(!site.path("restored").exists());
}

#[test]
fn unchanged_files_are_shared_and_rot_is_not() {
    let mut site = Site::new();
    let first = site.back_up();
    site.put("second");
    let second = site.back_up();
    assert!(second.files_written < second.files, "{second:?}");
    let is_table = |name: &String| name.ends_with(".sst");
    let table = names(&first.folder).into_iter().find(is_table).unwrap();
    let inode = |made: &Made| fs::metadata(made.folder.join(&table)).unwrap().ino();
    assert_eq!(inode(&first), inode(&second), "not written again");

    // A bit rots in the backups. The store still has it, so the next backup is good.
    let mut rotten = fs::read(second.folder.join(&table)).unwrap();
    rotten[7] ^= 1;
    fs::write(second.folder.join(&table), rotten).unwrap();
    assert_eq!(backup::examine(&second.folder).unwrap().1.len(), 1);
    let third = site.back_up();
    assert!(backup::examine(&third.folder).unwrap().1.is_empty());

    // Old ones go, and take nothing with them that the newest needs.
    let removed = backup::prune(&site.path("backups"), Duration::from_millis(500), Timestamp(NOON.0 + 2_000));
    assert_eq!(removed.unwrap(), [first.folder, second.folder]);
    assert_eq!(backup::list(&site.path("backups")).unwrap(), std::slice::from_ref(&third.folder));
    site.restore(&third.folder).unwrap();
    assert!(has(&site.path("restored"), "second"));
    // The newest stays however old it is.
    let much_later = Timestamp(NOON.0 * 2);
    assert!(backup::prune(&site.path("backups"), Duration::ZERO, much_later).unwrap().is_empty());
}

#[test]
fn what_was_left_unfinished_is_no_backup() {
    let mut site = Site::new();
    let made = site.back_up();
    let unfinished = site.path("backups/20301123T082214.120Z.partial");
    fs::create_dir(&unfinished).unwrap();
    fs::write(unfinished.join("000001.sst"), "half").unwrap();
    assert_eq!(backup::list(&site.path("backups")).unwrap(), [made.folder]);
    let next = site.back_up();
    assert!(!unfinished.exists());
    assert_eq!(backup::list(&site.path("backups")).unwrap().pop(), Some(next.folder));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_running_broker_lends_a_copy_and_takes_it_back() {
    let Site { root, engine, .. } = Site::new();
    let (data, engine) = (root.path().join("data"), Arc::new(engine));
    assert!(Checkpoint::ask(&data).unwrap().is_none(), "nobody is there");
    // A crash left a copy, and a socket that nobody serves.
    fs::create_dir(data.join("checkpoint-left")).unwrap();
    fs::write(data.join(SOCKET), "").unwrap();
    let stop = CancellationToken::new();
    let admin = Admin::open(&data).unwrap();
    assert!(!data.join("checkpoint-left").exists());
    assert_eq!(fs::metadata(data.join(SOCKET)).unwrap().permissions().mode() & 0o777, 0o600);
    let door = tokio::spawn(admin.run(engine, stop.clone()));
    let ask = || {
        let data = data.clone();
        async { tokio::task::spawn_blocking(move || Checkpoint::ask(&data)).await.unwrap() }
    };

    let lent = ask().await.unwrap().expect("a broker is there");
    let copy = lent.source().checkpoint.clone();
    assert!(copy.join("CURRENT").exists());
    let refused = ask().await.expect_err("one at a time");
    assert!(matches!(&refused, AdminError::Refused(why) if why.contains("another backup")), "{refused}");
    drop(lent);
    gone(&copy).await;

    // What is lent when the broker stops is taken back too. The next one may come as soon as the
    // copy is gone, but for a moment.
    let deadline = Instant::now() + PATIENCE;
    let lent = loop {
        match ask().await {
            Err(AdminError::Refused(_)) if Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            answer => break answer.unwrap().expect("a broker is there"),
        }
    };
    stop.cancel();
    door.await.unwrap();
    assert!(!lent.source().checkpoint.exists() && !data.join(SOCKET).exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_memory_engine_says_that_it_cannot() {
    let root = TempDir::new().unwrap();
    let admin = Admin::open(root.path()).unwrap();
    let stop = CancellationToken::new();
    let door = tokio::spawn(admin.run(Arc::new(MemoryEngine::default()), stop.clone()));
    let data = root.path().to_owned();
    let refused = tokio::task::spawn_blocking(move || Checkpoint::ask(&data)).await.unwrap().unwrap_err();
    assert!(refused.to_string().contains("the memory engine cannot do this"), "{refused}");
    stop.cancel();
    door.await.unwrap();
}

async fn gone(path: &Path) {
    let deadline = Instant::now() + PATIENCE;
    while path.exists() {
        assert!(Instant::now() < deadline, "{} is still there", path.display());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
