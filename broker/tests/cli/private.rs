//! What others on the host can read of a broker: nothing. And who a development broker is for.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::geteuid;
use tempfile::TempDir;

use crate::binary::{Serving, client, fails, in_folder, run, wardline, with_keys};

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[track_caller]
fn assert_private(folder: &Path, when: &str) {
    let open = open_to_others(folder);
    assert!(open.is_empty(), "{when}: {open:?}");
}

/// Everything below a folder, itself too, that others may do something with.
fn open_to_others(folder: &Path) -> Vec<(PathBuf, u32)> {
    let mut found = Vec::new();
    let mut rest = vec![folder.to_owned()];
    while let Some(path) = rest.pop() {
        let metadata = path.symlink_metadata().unwrap();
        if metadata.is_dir() {
            rest.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        if metadata.permissions().mode() & 0o077 != 0 {
            found.push((path, metadata.permissions().mode()));
        }
    }
    found
}

#[test]
fn nobody_else_on_the_host_can_read() {
    for engine in ["rocksdb", "redb", "memory"] {
        let folder = TempDir::new().unwrap();
        let folder = folder.path();
        let data = folder.join("data");
        // As somebody else's script may have made it.
        fs::create_dir(&data).unwrap();
        mode(&data, 0o755);
        let engine = format!("storage.engine={engine}");
        let mut command = wardline(folder);
        // The test's own umask lets everybody read.
        command.args(["serve", "--dev", "--listen", "127.0.0.1:0", "--set", &engine]);
        let broker = Serving::begin(folder, command);
        client(folder, &broker, "alice", &["conversation", "create", "--direct", "bob"]);
        client(folder, &broker, "alice", &["send", "@bob", "hello"]);
        assert_private(&data, &format!("while it runs, {engine}"));
        assert!(fs::read_to_string(folder.join("log")).unwrap().contains("folder-narrowed"));
        if engine != "storage.engine=memory" {
            let backup = run(folder, &["backup", "--to", "backups", "--set", &engine]);
            assert!(backup.status.success(), "{backup:?}");
            assert_private(&folder.join("backups"), &format!("backups, {engine}"));
        }
        assert_eq!(broker.stop(), Some(0));

        // What an earlier version left is narrowed, the keys too.
        for path in ["data", "data/dev"].map(|name| folder.join(name)) {
            mode(&path, 0o755);
            for entry in fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()) {
                if entry.is_file() {
                    mode(&entry, 0o644);
                }
            }
        }
        assert_eq!(Serving::start(folder, &["--set", &engine]).stop(), Some(0));
        assert_private(&data, &format!("afterwards, {engine}"));
    }
}

#[test]
fn a_wide_folder_with_other_things_in_it_is_refused() {
    let folder = with_keys();
    let folder = folder.path();
    fs::create_dir(folder.join("data")).unwrap();
    fs::write(folder.join("data/letter"), "dear").unwrap();
    mode(&folder.join("data"), 0o755);
    let says = ["others may look into data (mode 755)", "other things", "chmod 700"];
    fails(folder, &["serve", "--dev", "--listen", "127.0.0.1:0"], 1, &says);
    fails(folder, &["serve", "--config", "wardline.toml"], 1, &says);
    assert_eq!(fs::read_dir(folder.join("data")).unwrap().count(), 1, "nothing is put there");
    mode(&folder.join("data"), 0o700);
    assert_eq!(Serving::serve(folder, &["--config", "wardline.toml"]).stop(), Some(0));
}

#[test]
fn a_restored_folder_is_for_its_owner_alone() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    assert_eq!(Serving::start(folder, &[]).stop(), Some(0));
    assert!(run(folder, &["backup", "--to", "backups"]).status.success());
    fs::create_dir_all(folder.join("mount/lost+found")).unwrap();
    mode(&folder.join("mount"), 0o777);
    for to in ["restored", "mount"] {
        let restored = run(folder, &["restore", "backups", "--to", to]);
        assert!(restored.status.success(), "{restored:?}");
        fs::remove_dir(folder.join(to).join("lost+found")).ok();
        assert_private(&folder.join(to), to);
    }
}

#[test]
fn doctor_says_of_what_it_cannot_read_that_it_cannot_be_read() {
    let folder = with_keys();
    let folder = folder.path();
    assert_eq!(Serving::serve(folder, &["--config", "wardline.toml"]).stop(), Some(0));
    // Where it was built, only its owner may be able to look.
    let program = folder.join("wardline");
    std::fs::copy(env!("CARGO_BIN_EXE_wardline"), &program).unwrap();
    let mut doctor = in_folder(folder, Command::new(program));
    doctor.args(["doctor", "--config", "wardline.toml"]);
    if geteuid().is_root() {
        // Root reads everything; somebody else comes as far as these folders let them.
        for path in [folder, &folder.join("keys"), &folder.join("keys/dev")] {
            mode(path, 0o755);
        }
        doctor.uid(65_534).gid(65_534);
    } else {
        for path in ["data", "keys/dev/server-key.pem", "keys/dev/jwks.json"].map(|name| folder.join(name)) {
            mode(&path, 0o000);
        }
    }
    let output = doctor.output().unwrap();
    mode(&folder.join("data"), 0o700);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    for check in ["keys", "key file", "data folder", "store"] {
        let line = said.lines().find(|line| line.contains(&format!("  {check}: ")));
        let line = line.unwrap_or_else(|| panic!("no {check}: {said}"));
        assert!(line.starts_with("BAD ") && !line.contains("ok  "), "{line}");
        assert!(check == "keys" || line.contains("cannot be read"), "{line}");
    }
}

#[test]
fn a_development_broker_is_watched_on_loopback() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let brokers = ["one", "two"].map(|data| Serving::start(folder, &["--data", data]));
    let pages = brokers.each_ref().map(|broker| broker.http.expect("it has pages"));
    assert_ne!(pages[0], pages[1]);
    for address in pages {
        assert!(address.ip().is_loopback());
        let answer = crate::streams::page(address, "/metrics");
        assert!(answer.contains("\nwardline_ready "), "{answer}");
    }
    assert!(brokers.into_iter().all(|broker| broker.stop() == Some(0)));
    // A word that one must type.
    let remote =
        ["serve", "--dev", "--dev-remote", "--listen", "0.0.0.0:0", "--set", "storage.engine=memory"];
    let mut command = wardline(folder);
    command.args(remote);
    assert_eq!(Serving::begin(folder, command).stop(), Some(0));
}
