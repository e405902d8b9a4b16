//! The real binary: what it says, and with which exit code, when something is wrong.
#![allow(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

mod binary;
mod keys;
mod lines;
mod open_files;
mod operator;
mod private;
mod record;
mod streams;
mod terminal;
mod unread;

use std::fs;
use std::io::{BufRead, BufReader, Lines};
use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Child, ChildStdout, Stdio};

use tempfile::TempDir;
use wardline_rocksdb::RocksEngine;
use wardline_storage::engine::{Durability, Engine, Mutation, Table};
use wardline_storage::id::Timestamp;

use binary::{Serving, client, fails, run, wardline, with_keys};

#[test]
fn usage_errors_have_code_2() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    fails(folder, &["serve", "--frobnicate"], 2, &["--frobnicate"]);
    fails(folder, &["sevre"], 2, &["serve"]);
    fails(folder, &["send", "nobody", "hello", "--as", "alice"], 2, &["@user", "32 hexadecimal digits"]);
    fails(folder, &["send", "@bob", "hello"], 2, &["--token", "--as USER"]);
    fails(folder, &["token"], 2, &["--user"]);
    fails(folder, &["token", "--user", "alice", "--ttl", "soon"], 2, &["--ttl"]);
    fails(folder, &["conversation", "create", "--as", "alice"], 2, &["--direct"]);
    fails(folder, &["tail", "--as", "a", "--token", "b"], 2, &["--token"]);
}

#[test]
fn configuration_mistakes_name_source_and_nearest_key() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    fs::write(folder.join("typo.toml"), "[limits]\npaylod = \"64KiB\"\n").unwrap();
    fs::write(folder.join("half.toml"), "[listen]\naddress = \"0.0.0.0:44").unwrap();
    for command in ["serve", "check-config"] {
        let with = |rest: &[&'static str]| [&[command][..], rest].concat();
        fails(
            folder,
            &with(&["--config", "typo.toml"]),
            1,
            &["typo.toml:2", "limits.paylod", "limits.payload"],
        );
        fails(folder, &with(&["--config", "half.toml"]), 1, &["half.toml:2", "not valid TOML"]);
        fails(folder, &with(&["--config", "none.toml"]), 1, &["none.toml", "--config"]);
        fails(folder, &with(&["--dev", "--set", "limits.payload=1B"]), 1, &["--set", "4 KiB"]);
        fails(folder, &with(&["--dev", "--set", "stop.dedline=1s"]), 1, &["stop.deadline"]);
        let engine = "storage.engine = \"rockdb\": there is no such engine; this build has \"rocksdb\"";
        let rockdb = with(&["--dev", "--set", "storage.engine=rockdb"]);
        fails(folder, &rockdb, 1, &[engine, "; the nearest is \"rocksdb\""]);
        fails(folder, &with(&["--dev", "--listen", "here"]), 1, &["--listen", "127.0.0.1:4433"]);
        fails(folder, &with(&[]), 1, &["tls.certificate is not set", "--dev"]);
        fails(folder, &with(&["--dev", "--set", "tls.key=k.pem"]), 1, &["tls.key", "--dev"]);
        let remote = with(&["--dev", "--listen", "0.0.0.0:0"]);
        fails(folder, &remote, 1, &["0.0.0.0:0", "other machines", "--dev-remote"]);
        fails(folder, &with(&["--dev-remote"]), 2, &["--dev"]);
    }
    let output =
        wardline(folder).args(["check-config", "--dev"]).env("WARDLINE_LIMIT_LANES", "4").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("WARDLINE_LIMITS_LANES"));
}

#[test]
fn a_container_platform_may_set_variables_for_other_services() {
    let folder = TempDir::new().unwrap();
    let check = |name: &str, value: &str| {
        let mut command = wardline(folder.path());
        command.args(["check-config", "--dev"]).env("WARDLINE_METRICS_SERVICE_HOST", "10.96.0.8");
        command.env("WARDLINE_PORT_4433_UDP_ADDR", "10.96.0.7").env(name, value).output().unwrap()
    };
    assert!(check("WARDLINE_EHR_PORT", "tcp://10.96.0.9:2575").status.success());
    let refused = check("WARDLINE_EHR_PORT", "2575");
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8(refused.stderr).unwrap().contains("WARDLINE_EHR_PORT; the nearest"));
}

#[test]
fn check_config_says_whether_the_broker_could_start() {
    let folder = with_keys();
    let folder = folder.path();
    let output = run(folder, &["check-config", "--config", "wardline.toml"]);
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8(output.stdout).unwrap().starts_with("the configuration is good (1 token key)"));
    assert!(run(folder, &["check-config", "--dev"]).status.success());
    assert!(!folder.join("data").exists());
}

#[test]
fn missing_and_wrong_key_files_are_named() {
    let folder = with_keys();
    let folder = folder.path();
    let other = with_keys();
    let other = other.path().join("keys/dev/server-key.pem");
    let cases = [
        ("tls.key=nowhere.pem", "cannot read tls.key nowhere.pem"),
        ("tls.certificate=nowhere.pem", "cannot read tls.certificate nowhere.pem"),
        ("auth.jwks=nowhere.json", "cannot read the token keys nowhere.json"),
        ("auth.jwks=keys/dev/ca.pem", "is not a JWK set"),
        ("tls.key=keys/dev/jwks.json", "no usable private key"),
        (&format!("tls.key={}", other.display()), "does not belong to the certificate"),
    ];
    for (set, says) in cases {
        for command in ["serve", "check-config"] {
            fails(folder, &[command, "--config", "wardline.toml", "--set", set], 1, &[says]);
        }
    }
    // Nothing was opened for that.
    assert!(!folder.join("data").exists());
}

#[test]
fn client_commands_need_the_development_keys_or_a_token() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    fails(folder, &["token", "--user", "alice"], 1, &["token-key.pem", "serve --dev", "--data"]);
    fails(folder, &["send", "@bob", "hello", "--as", "alice"], 1, &["token-key.pem", "serve --dev"]);
    fails(folder, &["send", "@bob", "hello", "--token", "a.b.c"], 1, &["not a JWT"]);
    assert!(!folder.join("data").exists());
}

#[test]
fn a_data_folder_of_a_newer_format_is_refused() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let data = folder.join("data");
    {
        let engine = RocksEngine::open(&data, wardline_rocksdb::Options::default()).unwrap();
        wardline_storage::format::check(&engine).unwrap();
        // One version up, under whatever name the format keeps it.
        let mut version = None;
        let range = wardline_storage::engine::KeyRange { from: &[0], to: &[0xff] };
        engine
            .scan(
                Table::Meta,
                range,
                wardline_storage::engine::Direction::Forward,
                Timestamp(0),
                &mut |row| {
                    let (key, value) = (row.key, row.value);
                    version = Some((key.to_vec(), value.to_vec()));
                    std::ops::ControlFlow::Continue(())
                },
            )
            .unwrap();
        let (key, mut value) = version.unwrap();
        *value.last_mut().unwrap() += 1;
        let put = Mutation::Put {
            table: Table::Meta,
            key: key.into(),
            value: value.into(),
            expires: Timestamp::NEVER,
        };
        engine.commit(&[put], Durability::Synced).unwrap();
    }
    let serve = ["serve", "--dev", "--listen", "127.0.0.1:0"];
    let newer = format!("format {}", wardline_storage::format::FORMAT + 1);
    fails(folder, &serve, 1, &["data", &newer, "newer version"]);
}

#[test]
fn a_folder_that_cannot_be_used_is_named() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    fs::write(folder.join("file"), "").unwrap();
    fails(folder, &["serve", "--dev", "--data", "file"], 1, &["file"]);
}

#[test]
fn a_data_folder_in_use_by_another_process_is_refused() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let first = Serving::start(folder, &[]);
    fails(folder, &["serve", "--dev", "--listen", "127.0.0.1:0"], 1, &["data", "in use"]);
    assert_eq!(first.stop(), Some(0));
    // And free again.
    assert_eq!(Serving::start(folder, &[]).stop(), Some(0));
}

#[test]
fn a_port_that_is_taken_is_named() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let memory = ["--set", "storage.engine=memory"];
    let serve = [&["serve", "--dev", "--listen", &address][..], &memory].concat();
    fails(folder, &serve, 1, &[&address, "UDP", "--listen"]);

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let set = format!("http.listen={}", taken.local_addr().unwrap());
    let serve = [&["serve", "--dev", "--listen", "127.0.0.1:0", "--set", &set][..], &memory].concat();
    fails(folder, &serve, 1, &["http", "TCP", "http.listen"]);
}

#[test]
fn dev_warns_that_its_keys_are_not_for_production() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let broker = Serving::start(folder, &["--set", "storage.engine=memory", "--log-format", "json"]);
    assert!(broker.address.ip().is_loopback());
    assert_eq!(broker.stop(), Some(0));
    let log = fs::read_to_string(folder.join("log")).unwrap();
    assert!(log.contains("never use --dev in production"), "{log}");
    for line in log.lines() {
        let record: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(record["timestamp"].as_str().unwrap().ends_with('Z'), "{line}");
    }
}

/// `tail` in the background; its lines come one by one. Ended with the test.
struct Tail {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Tail {
    fn start(folder: &Path, broker: &Serving, arguments: &[&str]) -> Self {
        let server = broker.address.to_string();
        let mut child = wardline(folder)
            .args(["tail", "--for", "30s", "--server", &server])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut connected = String::new();
        BufReader::new(child.stderr.take().unwrap()).read_line(&mut connected).unwrap();
        let tail = Self { child, lines };
        assert!(connected.starts_with("connected as"), "{connected}");
        tail
    }

    /// The next line for which this holds.
    fn until(&mut self, holds: impl Fn(&str) -> bool) -> String {
        self.lines.by_ref().map(Result::unwrap).find(|line| holds(line)).expect("the line comes within 30 s")
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn two_people_chat_and_the_ticks_turn_to_read() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let broker = Serving::start(folder, &[]);
    let id = client(folder, &broker, "alice", &["conversation", "create", "--direct", "bob"]);
    assert_eq!(id, client(folder, &broker, "bob", &["conversation", "create", "--direct", "alice"]));
    let mut alice = Tail::start(folder, &broker, &["@bob", "--as", "alice"]);
    let sent = client(folder, &broker, "alice", &["send", "@bob", "Potassium is 6.1"]);
    assert!(sent.starts_with("#1 "), "{sent}");
    let none = client(folder, &broker, "alice", &["receipts", "@bob", "1"]);
    assert!(none.contains("received -") && none.contains("read -"), "{none}");

    // Bob comes later, looks without marking as read, then reads.
    let mut bob = Tail::start(folder, &broker, &["--as", "bob"]);
    let line = bob.until(|_| true);
    assert!(line.contains("@alice") && line.ends_with("Potassium is 6.1"), "{line}");
    let line = alice.until(|line| line.contains('✓'));
    assert!(line.contains("✓ ") && line.contains("#1 ") && line.ends_with("received by bob"), "{line}");
    let unread = client(folder, &broker, "bob", &["conversation", "list"]);
    assert!(unread.contains("1 unread"), "{unread}");

    client(folder, &broker, "alice", &["send", "@bob", "Call me", "--urgent", "--reply-to", "1"]);
    let mut reading = Tail::start(folder, &broker, &["@alice", "--read", "--as", "bob"]);
    client(folder, &broker, "alice", &["send", id.trim(), "Please"]);
    reading.until(|line| line.ends_with("Please"));
    let line = alice.until(|line| line.contains("✓✓"));
    assert!(line.ends_with("read by bob"), "{line}");

    let receipts = client(folder, &broker, "alice", &["receipts", "@bob", "1"]);
    assert!(receipts.starts_with("✓✓ bob"), "{receipts}");
    let history = client(folder, &broker, "bob", &["history", "@alice"]);
    let lines: Vec<_> = history.lines().collect();
    assert_eq!(lines.len(), 3, "{history}");
    assert!(lines[1].ends_with("URGENT (re #1) ▌ Call me"), "{history}");

    // Not another's, and one's own once.
    let server = broker.address.to_string();
    fails(folder, &["delete", "@alice", "1", "--as", "bob", "--server", &server], 1, &["may not"]);
    fails(folder, &["delete", "@bob", "99", "--as", "alice", "--server", &server], 1, &["not"]);
    assert_eq!(client(folder, &broker, "alice", &["delete", "@bob", "1"]), "#1 deleted\n");
    assert_eq!(client(folder, &broker, "alice", &["delete", "@bob", "1"]), "#1 deleted before\n");
    reading.until(|line| line.ends_with("(deleted #1)"));
    let history = client(folder, &broker, "bob", &["history", "@alice"]);
    assert!(history.contains("(deleted by alice)") && !history.contains("Potassium"), "{history}");
    assert_eq!(broker.stop(), Some(0));
}

#[test]
fn members_come_and_go() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let broker = Serving::start(folder, &["--set", "storage.engine=memory"]);
    let id = client(folder, &broker, "alice", &["conversation", "create", "--group", "Ward 5"]);
    let id = id.trim();
    client(folder, &broker, "alice", &["conversation", "add", id, "bob", "carol"]);
    client(folder, &broker, "alice", &["conversation", "remove", id, "bob"]);
    let members = client(folder, &broker, "alice", &["conversation", "members", id]);
    let names: Vec<_> = members.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(names.len(), 2, "{members}");
    assert!(names.contains(&"alice") && names.contains(&"carol"), "{members}");
    assert_eq!(broker.stop(), Some(0));
}

/// Also by somebody who is no member, if their token says so.
#[test]
fn the_tenants_administrator_names_an_admin() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let broker = Serving::start(folder, &["--set", "storage.engine=memory"]);
    let create = ["conversation", "create", "--group", "Ward", "--member", "bob"];
    let id = client(folder, &broker, "alice", &create);
    let id = id.trim();
    client(folder, &broker, "alice", &["conversation", "leave", id]);
    let listed = client(folder, &broker, "bob", &["conversation", "list"]);
    assert!(listed.contains("nobody is admin"), "{listed}");
    let name = ["conversation", "role", id, "bob", "admin", "--as", "chief"];
    let server = ["--server", &broker.address.to_string()];
    fails(folder, &[&name[..], &server].concat(), 1, &["no such conversation"]);
    client(folder, &broker, "chief", &[&name[..5], &["--role", "administrator"]].concat());
    let listed = client(folder, &broker, "bob", &["conversation", "list"]);
    assert!(!listed.contains("nobody is admin"), "{listed}");
    let history = client(folder, &broker, "bob", &["history", id]);
    assert!(history.contains("bob is admin now") && history.contains("nobody is admin"), "{history}");
    assert_eq!(broker.stop(), Some(0));
}

/// With the bounds that a broker has by itself.
#[test]
fn nobody_empties_what_others_wrote() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let broker = Serving::start(folder, &["--set", "storage.engine=memory"]);
    let direct = client(folder, &broker, "alice", &["conversation", "create", "--direct", "bob"]);
    let create = ["conversation", "create", "--group", "Ward", "--member", "bob"];
    let group = client(folder, &broker, "alice", &create);
    let server = ["--server", &broker.address.to_string(), "--as", "alice"];
    for (id, time) in [(&direct, "1s"), (&direct, "29d"), (&group, "1s"), (&group, "59m")] {
        let shorten = ["conversation", "retention", id.trim(), time];
        fails(folder, &[&shorten[..], &server].concat(), 1, &["at least"]);
    }
    let moment = ["send", group.trim(), "hello", "--expires", "1ms"];
    fails(folder, &[&moment[..], &server].concat(), 1, &["at least"]);
    client(folder, &broker, "alice", &["conversation", "retention", group.trim(), "1h"]);
    assert_eq!(broker.stop(), Some(0));
}

#[test]
fn refusals_of_the_broker_are_told_plainly() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let broker = Serving::start(folder, &["--set", "storage.engine=memory"]);
    let server = broker.address.to_string();
    let unknown = "00112233445566778899aabbccddeeff";
    let with = |rest: &[&'static str]| [rest, &["--as", "alice"]].concat();
    let send = with(&["send", unknown, "hello"]);
    fails(folder, &[&send[..], &["--server", &server]].concat(), 1, &["no such conversation"]);
    let broadcast = with(&["conversation", "create", "--broadcast", "News"]);
    fails(folder, &[&broadcast[..], &["--server", &server]].concat(), 1, &["broadcaster"]);
    let allowed = client(
        folder,
        &broker,
        "alice",
        &["conversation", "create", "--broadcast", "News", "--role", "broadcaster"],
    );
    assert_eq!(allowed.trim().len(), 32);
    // A token of another broker.
    let other = with_keys();
    let foreign = run(other.path(), &["token", "--user", "alice", "--data", "keys"]);
    let foreign = String::from_utf8(foreign.stdout).unwrap();
    let list = ["conversation", "list", "--token", foreign.trim(), "--server", &server];
    fails(folder, &list, 1, &["not acceptable", "signature"]);
}

/// Only a broker of `cargo xtask torture` can be told to crash.
#[test]
fn the_program_has_no_fail_points() {
    let program = fs::read(env!("CARGO_BIN_EXE_wardline")).unwrap();
    let has = |text: &str| program.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(has("unknown key"), "what is looked for would be found");
    for text in ["FAIL_POINT", "not a step and a passage"] {
        assert!(!has(text), "{text:?} stands in the program: it was built with the feature fail-points");
    }
}
