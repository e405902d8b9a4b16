//! A folder that cannot be opened is refused with the error that says why, and left alone.
//!
//! And whether a folder is a store is known without opening it, also of what is left of one: else
//! another engine, or a new store, would take its place.

use std::fs;
use std::path::Path;
use std::thread;

use super::super::rows::EARLY;
use super::child::{Child, say};
use super::folder::{Folder, copy, files, kind};
use super::kill::commit_through;
use super::story::Model;
use super::subject::OnDisk;
use crate::open::OpenError;

const BATCHES: u32 = 30;

pub(super) fn out_of_reach(on_disk: &OnDisk<'_>) {
    let root = Folder::new();
    let nowhere = root.join("missing").join("store");
    let refused = on_disk.try_open(&nowhere).map(drop).expect_err("its parent is missing");
    assert!(matches!(&refused, OpenError::Folder { path, .. } if *path == nowhere), "{refused:?}");
    assert!(!root.join("missing").exists(), "parents are not made");
    let file = root.join("file");
    fs::write(&file, b"not a folder").expect("writes");
    let refused = on_disk.try_open(&file).map(drop).expect_err("it is a file");
    assert!(matches!(&refused, OpenError::Folder { .. }), "{refused:?}");
    assert_eq!(fs::read(&file).expect("reads"), b"not a folder");
    is_its_owners_alone(on_disk, &root);
}

/// What people write lies in it.
fn is_its_owners_alone(on_disk: &OnDisk<'_>, root: &Folder) {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = root.join("store");
    drop(on_disk.open(&folder));
    let mode = fs::metadata(&folder).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o077, 0, "a folder that is made is its owner's alone: {mode:o}");
}

pub(super) fn is_known(on_disk: &OnDisk<'_>) {
    let root = Folder::new();
    let [folder, empty] = ["store", "empty"].map(|name| root.join(name));
    let is_store = |folder: &Path| on_disk.engine.is_store(folder).expect("looks");
    assert!(on_disk.engine.keeps_files());
    assert!(!is_store(&folder) && !folder.exists(), "a folder that is not there holds no store");
    fs::create_dir(&empty).expect("makes a folder");
    assert!(!is_store(&empty), "an empty folder is none");
    fs::write(empty.join("letter.txt"), b"of somebody else").expect("writes");
    assert!(!is_store(&empty), "a folder of other files is none");
    {
        let engine = on_disk.open(&folder);
        assert_eq!(engine.folder(), Some(&*folder), "an engine says where its files lie");
        assert_eq!(engine.name(), on_disk.engine.name(), "it has one name");
        commit_through(engine.as_ref(), BATCHES);
        assert!(is_store(&folder), "a store in use is one");
    }
    assert!(is_store(&folder), "a store that is closed is one");
    for file in files(&folder) {
        let rest = root.join("rest");
        copy(&folder, &rest);
        fs::remove_file(rest.join(file.strip_prefix(&folder).expect("of it"))).expect("removes");
        assert!(is_store(&rest), "what is left without {} is still known", kind(&file));
        fs::remove_dir_all(&rest).expect("removes");
    }
}

pub(super) fn in_use(on_disk: &OnDisk<'_>) {
    let root = Folder::new();
    let folder = root.join("store");
    let first = on_disk.open(&folder);
    commit_through(first.as_ref(), BATCHES);
    is_refused(on_disk, &folder);
    commit_through(first.as_ref(), BATCHES + 10);
    first.reclaim(EARLY).expect("the first one is unharmed");
    assert_eq!(Model::through(BATCHES + 10).is_in(first.as_ref()), Ok(()));
    drop(first);

    let mut other = Child::start(on_disk, "hold", &folder);
    other.wait_for("open");
    is_refused(on_disk, &folder);
    other.kill();
    let again = on_disk.open(&folder);
    assert_eq!(Model::through(BATCHES + 10).is_in(again.as_ref()), Ok(()), "it is free after a kill");
}

#[track_caller]
fn is_refused(on_disk: &OnDisk<'_>, folder: &Path) {
    let refused = on_disk.try_open(folder).map(drop).expect_err("it is in use");
    assert!(matches!(&refused, OpenError::InUse { path } if path == folder), "{refused:?}");
}

/// The child's part.
pub(super) fn hold(on_disk: &OnDisk<'_>, folder: &Path) {
    let _engine = on_disk.open(folder);
    say("open");
    loop {
        thread::park();
    }
}

pub(super) fn newer(on_disk: &OnDisk<'_>) {
    let root = Folder::new();
    let [folder, before] = ["store", "before"].map(|name| root.join(name));
    commit_through(on_disk.open(&folder).as_ref(), BATCHES);
    copy(&folder, &before);
    (on_disk.make_newer)(&folder);
    let refused = on_disk.try_open(&folder).map(drop).expect_err("it is newer");
    assert!(matches!(&refused, OpenError::Newer { path, .. } if *path == folder), "{refused:?}");
    let engine = on_disk.open(&before);
    assert_eq!(Model::through(BATCHES).is_in(engine.as_ref()), Ok(()), "without that it opens");
}
