//! What an operator types: backups, checks, other keys, pages to read.

use std::fs;
use std::io::Write as _;

use tempfile::TempDir;

use crate::binary::{Serving, client, fails, run, with_keys};

#[test]
fn keys_are_read_anew_and_bad_ones_are_refused() {
    let folder = with_keys();
    let folder = folder.path();
    let memory = ["--config", "wardline.toml", "--set", "storage.engine=memory"];
    let broker = Serving::serve(folder, &memory);
    let send = ["send", "@bob", "hello", "--data", "keys"];
    client(folder, &broker, "alice", &["conversation", "create", "--direct", "bob", "--data", "keys"]);
    let until_logged = |what, count| broker.until_logged(folder, what, count);

    // Half of a renewal: the new certificate is there, its key is not.
    let other = with_keys();
    let renewed = |name: &str| {
        fs::copy(other.path().join("keys/dev").join(name), folder.join("keys/dev").join(name)).unwrap();
    };
    renewed("server.pem");
    broker.signal(rustix::process::Signal::HUP);
    until_logged("reload-refused", 1);
    until_logged("does not belong to the certificate", 1);
    client(folder, &broker, "alice", &send);

    // The other half, and nobody says anything: the files are looked at.
    renewed("server-key.pem");
    until_logged("\"reloaded\"", 1);
    let server = broker.address.to_string();
    let refused = run(folder, &[&send[..], &["--as", "alice", "--server", &server]].concat());
    assert!(!refused.status.success(), "the old authority did not certify this");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("not trusted"), "{refused:?}");
    renewed("ca.pem");
    client(folder, &broker, "alice", &send);
    assert_eq!(broker.stop(), Some(0));
}

#[test]
fn doctor_names_what_is_bad() {
    let folder = with_keys();
    let folder = folder.path();
    let mut config = fs::File::options().append(true).open(folder.join("wardline.toml")).unwrap();
    config.write_all(b"storage.ballast = \"32MiB\"\n").unwrap();
    let doctor = |expected: &[&str]| {
        let output = run(folder, &["doctor", "--config", "wardline.toml"]);
        let said = String::from_utf8(output.stdout).unwrap();
        for part in expected {
            assert!(said.lines().any(|line| line.starts_with(part)), "no line {part:?}: {said}");
        }
        // The host decides about the rest.
        assert_eq!(output.status.code(), Some(i32::from(said.contains("BAD "))), "{said}");
        assert!(
            fs::read_dir(folder)
                .unwrap()
                .flatten()
                .all(|left| { !left.file_name().to_string_lossy().contains("doctor") })
        );
    };
    let mode = |path: &str, mode: u32| {
        fs::set_permissions(folder.join(path), std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    };
    doctor(&[
        "ok    keys: ",
        "ok    key file",
        "ok    data folder: data is not there yet",
        "ok    store: there is none",
        "ok    ballast: 32 MiB, which the next start",
        "ok    limits: 50000 connections; in memory 128 MiB of answers",
        "ok    shares: a user: 64 sessions, 2048 reads in hand",
    ]);
    mode("keys/dev/server-key.pem", 0o644);
    doctor(&["BAD   key file: everybody may read"]);
    mode("keys/dev/server-key.pem", 0o600);

    let broker = Serving::serve(folder, &["--config", "wardline.toml"]);
    doctor(&["ok    key file", "ok    data folder: data, for its owner", "ok    store: a broker runs on it"]);
    doctor(&["ok    ballast: 32 MiB kept"]);
    assert_eq!(broker.stop(), Some(0));
    let ballast = fs::File::options().write(true).open(folder.join("data/ballast")).unwrap();
    ballast.set_len(16 << 20).unwrap();
    doctor(&["warn  ballast: 16 of 32 MiB kept"]);
    mode("data", 0o755);
    let opens = format!("ok    store: opens, format {}", wardline_storage::format::FORMAT);
    doctor(&["BAD   data folder: others may look into data", &opens]);
    mode("data", 0o700);
    fs::write(folder.join("data/CURRENT"), "MANIFEST-999999\n").unwrap();
    doctor(&["BAD   store: "]);
    fs::write(folder.join("keys/dev/jwks.json"), "{}").unwrap();
    doctor(&["BAD   keys: "]);
}

#[test]
fn backup_commands_name_what_is_missing() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    fails(folder, &["backup", "--to", "backups"], 1, &["there is no store in data", "--data"]);
    assert!(!folder.join("data").exists() && !folder.join("backups").exists(), "nothing is made");
    let memory = ["backup", "--to", "backups", "--set", "storage.engine=memory"];
    fails(folder, &memory, 1, &["memory engine"]);
    fails(folder, &["restore", "backups", "--to", "data"], 1, &["cannot read the backups in backups"]);
    fs::create_dir(folder.join("backups")).unwrap();
    fails(folder, &["verify", "backups"], 1, &["no complete backup in backups"]);

    // Without a broker the store is opened, and let go of again.
    assert_eq!(Serving::start(folder, &[]).stop(), Some(0));
    assert!(!folder.join("data/admin.sock").exists());
    for keep in ["7d", "31d"] {
        let output = run(folder, &["backup", "--to", "backups", "--keep", keep]);
        assert!(output.status.success(), "{output:?}");
        let warns = String::from_utf8(output.stdout).unwrap().contains("kept longer than messages");
        assert_eq!(warns, keep == "31d");
    }
    assert_eq!(Serving::start(folder, &[]).stop(), Some(0));
    fails(folder, &["restore", "backups", "--to", "data"], 1, &["data is there already"]);
}

#[test]
fn backups_in_a_row_do_not_fail() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let broker = Serving::start(folder, &[]);
    for number in 1..=10 {
        let output = run(folder, &["backup", "--to", "backups"]);
        assert!(output.status.success(), "{number}: {output:?}");
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.contains(&format!("number {number} of store ")), "{said}");
    }
    assert_eq!(broker.stop(), Some(0));
    // The same store without a broker, and restored: each goes on where it was.
    assert!(run(folder, &["restore", "backups", "--to", "restored"]).status.success());
    for (number, data) in [(11, "data"), (12, "restored")] {
        let said = run(folder, &["backup", "--to", "backups", "--data", data]);
        let said = String::from_utf8(said.stdout).unwrap();
        assert!(said.contains(&format!("number {number} of store ")), "{said}");
    }
}

#[test]
fn a_folder_belongs_to_the_engine_that_made_it() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let redb = ["--set", "storage.engine=redb"];
    assert_eq!(Serving::start(folder, &redb).stop(), Some(0));
    // Without a name, the first one is meant.
    let refusal =
        "data holds a store of the engine \"redb\", not \"rocksdb\": set storage.engine to \"redb\"";
    fails(folder, &["serve", "--dev", "--listen", "127.0.0.1:0"], 1, &[refusal]);
    fails(folder, &["backup", "--to", "backups"], 1, &[refusal]);
    let said = String::from_utf8(run(folder, &["doctor", "--dev"]).stdout).unwrap();
    assert!(said.contains(&format!("BAD   store: the data folder {refusal}")), "{said}");

    let backup = run(folder, &[&["backup", "--to", "backups"][..], &redb].concat());
    assert!(backup.status.success(), "{backup:?}");
    // A backup knows its engine, whatever is configured.
    let restored = run(folder, &["restore", "backups", "--to", "other"]);
    assert!(restored.status.success(), "{restored:?}");
    assert_eq!(Serving::start(folder, &[&redb[..], &["--data", "other"]].concat()).stop(), Some(0));
}

#[test]
fn man_pages_and_completions_are_generated() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    assert!(run(folder, &["generate", "--to", "made"]).status.success());
    let read = |name: &str| fs::read_to_string(folder.join("made").join(name)).unwrap();
    assert!(read("man/wardline.1").contains("backup") && read("man/wardline-restore.1").contains("\\-\\-to"));
    for name in ["wardline.bash", "wardline.fish", "_wardline"] {
        let completions = read(&format!("completions/{name}"));
        assert!(completions.contains("doctor") && completions.contains("check-config"), "{name}");
    }
    let help = String::from_utf8(run(folder, &["--help"]).stdout).unwrap();
    assert!(help.contains("backup") && !help.contains("generate"), "{help}");
}
