//! Backups: what is in them, what is shared with the one before, and that nothing damaged is ever
//! restored.
#![allow(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use wardline_broker::operator::admin::{Admin, AdminError, Checkpoint, SOCKET};
use wardline_broker::operator::backup::{self, ChoiceError, Made, RestoreError, Source, StoreIdentity};
use wardline_rocksdb::{Rocks, RocksEngine};
use wardline_storage::engine::{Durability, Engine, Mutation, Table};
use wardline_storage::format;
use wardline_storage::id::Timestamp;
use wardline_storage::memory::MemoryEngine;
use wardline_storage::model::IdSecret;
use wardline_storage::open::{self, OpenError};

const MANIFEST: &str = "manifest.json";
/// 2026-11-23 08:22:14.120 UTC.
const NOON: Timestamp = Timestamp(1_795_422_134_120);
/// Longest that anything is waited for.
const PATIENCE: Duration = Duration::from_secs(30);
const DAY_MS: u64 = 86_400_000;

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
        self.back_up_at(now, 1)
    }

    /// Backs up by a clock of one's own, as if it was the store with this secret.
    fn back_up_at(&self, now: Timestamp, secret: u8) -> Made {
        let checkpoint = Checkpoint::make(&self.engine, &self.path("data")).unwrap();
        let source = Source { store: Some(store(secret)), ..checkpoint.source().clone() };
        let made = backup::make(&source, &self.path("backups"), now).unwrap();
        let copy = checkpoint.source().checkpoint.clone();
        drop(checkpoint);
        assert!(!copy.exists(), "a copy keeps alive what is to be forgotten");
        made
    }

    /// Removes what is older; gives what was removed.
    fn prune(&self, keep: Duration, now: Timestamp) -> Vec<PathBuf> {
        backup::prune(&self.path("backups"), &store(1), keep, now).unwrap().removed
    }

    fn restore(&self, backup: &Path) -> Result<(), RestoreError> {
        backup::restore(backup, &self.path("restored"), opens).map(|_| ())
    }
}

fn store(secret: u8) -> StoreIdentity {
    StoreIdentity::of(&IdSecret::new([secret; 32]))
}

/// This machine's time: that of the files that a test writes.
fn today() -> Timestamp {
    Timestamp(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64)
}

/// Writes another manifest over that of a backup, with the right seal.
fn reseal(backup: &Path, change: impl FnOnce(&str) -> String) {
    let good = fs::read_to_string(backup.join(MANIFEST)).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&good).unwrap();
    let (seal, zeros) = (manifest["seal"].as_str().unwrap(), "0".repeat(64));
    let unsealed = change(&good).replace(seal, &zeros);
    assert_ne!(unsealed, good.replace(seal, &zeros), "nothing was changed");
    let sealed = unsealed.replace(&zeros, &hex::encode(digest(&SHA256, unsealed.as_bytes())));
    fs::write(backup.join(MANIFEST), sealed).unwrap();
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
    let good = fs::read(backup.join(MANIFEST)).unwrap();
    for (key, known) in [("manifest", 3), ("format", format::FORMAT)] {
        reseal(&backup, |text| {
            text.replace(&format!("\"{key}\": {known},"), &format!("\"{key}\": {},", known + 1))
        });
        let refused = site.restore(&backup).unwrap_err().to_string();
        assert!(refused.contains("newer version") && refused.contains(key), "{refused}");
        fs::write(backup.join(MANIFEST), &good).unwrap();
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
    let removed = site.prune(Duration::from_millis(500), Timestamp(NOON.0 + 2_000));
    assert_eq!(removed, [first.folder, second.folder]);
    assert_eq!(backup::list(&site.path("backups")).unwrap(), std::slice::from_ref(&third.folder));
    site.restore(&third.folder).unwrap();
    assert!(has(&site.path("restored"), "second"));
    // The newest stays however old it is.
    let much_later = Timestamp(NOON.0 * 2);
    assert!(site.prune(Duration::ZERO, much_later).is_empty());
}

#[test]
fn what_was_left_unfinished_is_no_backup() {
    let mut site = Site::new();
    let made = site.back_up();
    let left = |store: &StoreIdentity| {
        let unfinished = site.path("backups").join(format!("20301123T082214.120Z.{store}.partial"));
        fs::create_dir(&unfinished).unwrap();
        fs::write(unfinished.join("000001.sst"), "half").unwrap();
        unfinished
    };
    let (own, another_s) = (left(&store(1)), left(&store(2)));
    assert_eq!(backup::list(&site.path("backups")).unwrap(), [made.folder]);
    let next = site.back_up();
    assert!(!own.exists() && another_s.exists(), "the other store removes its own");
    assert_eq!(backup::list(&site.path("backups")).unwrap().pop(), Some(next.folder));
}

#[test]
fn the_newest_is_the_last_that_was_made_whatever_clocks_say() {
    let site = Site::new();
    let ahead = site.back_up_at(Timestamp(today().0 + 400 * DAY_MS), 1);
    site.put("second");
    let newest = site.back_up_at(today(), 1);
    assert_eq!((ahead.sequence, newest.sequence), (1, 2));
    assert!(newest.folder < ahead.folder, "its name says otherwise");
    let chosen = backup::choose(&site.path("backups")).unwrap();
    assert_eq!(chosen, newest.folder);
    site.restore(&chosen).unwrap();
    assert!(has(&site.path("restored"), "second"));
    // A clock that is behind makes no difference either.
    let behind = site.back_up_at(Timestamp(DAY_MS), 1);
    assert_eq!(backup::choose(&site.path("backups")).unwrap(), behind.folder);
}

#[test]
fn a_clock_that_was_ahead_keeps_nothing_alive() {
    let site = Site::new();
    let ahead = site.back_up_at(Timestamp(today().0 + 400 * DAY_MS), 1);
    let newest = site.back_up_at(today(), 1);
    let keep = Duration::from_secs(3600);
    assert!(site.prune(keep, today()).is_empty(), "neither is so old");
    let later = Timestamp(today().0 + 2 * 3_600_000);
    assert_eq!(site.prune(keep, later), [ahead.folder]);
    assert_eq!(backup::list(&site.path("backups")).unwrap(), [newest.folder], "the newest stays");
}

#[test]
fn stores_that_share_a_repository_leave_each_other_alone() {
    let site = Site::new();
    let other = site.back_up_at(Timestamp(today().0 - 9 * DAY_MS), 2);
    let own = [8, 7].map(|days| site.back_up_at(Timestamp(today().0 - days * DAY_MS), 1).folder);
    let numbers = (other.sequence, site.back_up_at(today(), 2).sequence);
    assert_eq!(numbers, (1, 2), "each store has an order of its own");
    let refused = backup::choose(&site.path("backups")).unwrap_err();
    assert!(matches!(&refused, ChoiceError::SeveralStores { newest, .. } if newest.len() == 2), "{refused}");
    assert_eq!(site.prune(Duration::ZERO, today()), [own[0].clone()]);
    assert!(other.folder.exists() && own[1].exists());
    // In the same millisecond, under another name.
    let now = Timestamp(today().0 + 5_000);
    assert_ne!(site.back_up_at(now, 1).folder, site.back_up_at(now, 2).folder);
}

#[test]
fn what_is_no_backup_of_this_store_stays() {
    let site = Site::new();
    let foreign = ["20200101T000000.000Z", "20200101T000000.000Z.partial", "holiday.partial"];
    for name in foreign {
        fs::create_dir_all(site.path("backups").join(name)).unwrap();
        fs::write(site.path("backups").join(name).join("letter"), "dear").unwrap();
    }
    fs::write(site.path("backups/film.partial"), "film").unwrap();
    let long_ago = |days: u64| Timestamp(today().0 - days * DAY_MS);
    let (damaged, earlier) =
        (site.back_up_at(long_ago(90), 1).folder, site.back_up_at(long_ago(80), 1).folder);
    let good = fs::read(damaged.join(MANIFEST)).unwrap();
    fs::write(damaged.join(MANIFEST), &good[1..]).unwrap();
    reseal(&earlier, |text| {
        let lines = text.lines().filter(|line| !line.contains("\"store\"") && !line.contains("\"sequence\""));
        let text = lines.map(|line| format!("{line}\n")).collect::<String>();
        text.replace("\"manifest\": 3", "\"manifest\": 2")
    });
    site.back_up_at(today(), 1);
    let pruned = backup::prune(&site.path("backups"), &store(1), Duration::ZERO, today()).unwrap();
    assert!(pruned.removed.is_empty(), "{pruned:?}");
    let left: Vec<_> = pruned.left.into_iter().map(|(folder, _)| folder).collect();
    assert_eq!(left, [damaged, earlier], "it is told what could not be told apart");
    for name in foreign {
        assert!(site.path("backups").join(name).join("letter").exists(), "{name}");
    }
    assert!(site.path("backups/film.partial").exists());
}

#[test]
fn one_that_cannot_be_read_may_be_the_newest() {
    let mut site = Site::new();
    let (first, second, third) = (site.back_up(), site.back_up(), site.back_up());
    let spoil = |made: &Made| fs::write(made.folder.join(MANIFEST), "{").unwrap();
    spoil(&first);
    assert_eq!(backup::choose(&site.path("backups")).unwrap(), third.folder, "an old one does no harm");
    spoil(&third);
    let refused = backup::choose(&site.path("backups")).unwrap_err();
    assert!(
        matches!(&refused, ChoiceError::Unreadable { newest, .. } if *newest == second.folder),
        "{refused}"
    );
    let text = refused.to_string();
    assert!(text.contains(&third.folder.display().to_string()), "{text}");
    assert_eq!(backup::choose(&second.folder).unwrap(), second.folder);
    // It is no longer told apart from a folder of somebody else's.
    fs::remove_file(third.folder.join(MANIFEST)).unwrap();
    assert_eq!(backup::choose(&site.path("backups")).unwrap(), second.folder);
}

#[test]
fn a_backup_is_not_made_within_a_backup() {
    let mut site = Site::new();
    let made = site.back_up();
    let before = names(&made.folder);
    let checkpoint = Checkpoint::make(&site.engine, &site.path("data")).unwrap();
    let refused = backup::make(checkpoint.source(), &made.folder, NOON).unwrap_err().to_string();
    assert!(refused.contains("is itself a backup"), "{refused}");
    assert_eq!(names(&made.folder), before);
}

#[test]
fn a_target_is_tried_before_anything_is_copied() {
    let mut site = Site::new();
    let backup = site.back_up().folder;
    let (link, real) = (site.path("link"), site.path("real"));
    symlink(&real, &link).unwrap();
    let restore = |to: &Path| backup::restore(&backup, to, opens).map(|_| ());
    let refused = restore(&link).unwrap_err();
    assert!(matches!(refused, RestoreError::Nowhere { .. }), "{refused}");
    fs::create_dir(&real).unwrap();
    restore(&link).unwrap();
    assert!(has(&real, "first") && link.is_symlink());
    assert!(matches!(restore(&link).unwrap_err(), RestoreError::NotEmpty { .. }));
    // Where it cannot be renamed to, it is filled from within; such as the root of a file system.
    let mount = site.path("mount");
    fs::create_dir_all(mount.join("lost+found")).unwrap();
    fs::set_permissions(&mount, fs::Permissions::from_mode(0o755)).unwrap();
    let failed = backup::restore(&backup, &mount, |_| Err("planted".into())).unwrap_err();
    assert!(matches!(failed, RestoreError::Opening { .. }), "{failed}");
    assert_eq!(names(&mount), ["lost+found"], "as it was");
    // One that was cut short does no harm.
    fs::create_dir(mount.join(open::RESTORING)).unwrap();
    restore(&mount).unwrap();
    assert!(has(&mount, "first") && !mount.join(open::RESTORING).exists());
    assert_eq!(fs::metadata(&mount).unwrap().permissions().mode() & 0o777, 0o700, "payloads lie in it");

    reseal(&backup, |text| text.replacen("\"bytes\": ", "\"bytes\": 1000000000000", 1));
    let refused = restore(&site.path("restored")).unwrap_err();
    assert!(matches!(refused, RestoreError::Room { .. }), "{refused}");
    assert!(!names(site.root.path()).iter().any(|name| name.contains("restor")), "nothing is left behind");
}

#[test]
fn a_folder_that_was_restored_in_part_is_no_store() {
    let mut site = Site::new();
    let backup = site.back_up().folder;
    site.restore(&backup).unwrap();
    fs::create_dir(site.path("restored").join(open::RESTORING)).unwrap();
    let options = open::Options::with_memory(64 << 20);
    let refused = open::open(&[&Rocks], &Rocks, &site.path("restored"), options).map(|_| ()).unwrap_err();
    assert!(matches!(refused, OpenError::HalfRestored { .. }), "{refused}");
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
    let admin = Admin::open(&data).unwrap().with_turn_patience(Duration::from_secs(2));
    assert!(!data.join("checkpoint-left").exists());
    assert_eq!(fs::metadata(data.join(SOCKET)).unwrap().permissions().mode() & 0o777, 0o600);
    let door = tokio::spawn(admin.run(engine, None, stop.clone()));
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

    // The next one waits until the one before is gone, and is never refused for it.
    for _ in 0..20 {
        ask().await.unwrap().expect("a broker is there");
    }
    // What is lent when the broker stops is taken back too.
    let lent = ask().await.unwrap().expect("a broker is there");
    stop.cancel();
    door.await.unwrap();
    assert!(!lent.source().checkpoint.exists() && !data.join(SOCKET).exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_memory_engine_says_that_it_cannot() {
    let root = TempDir::new().unwrap();
    let admin = Admin::open(root.path()).unwrap();
    let stop = CancellationToken::new();
    let door = tokio::spawn(admin.run(Arc::new(MemoryEngine::default()), None, stop.clone()));
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
