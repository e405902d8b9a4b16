//! Every line that can be typed: each verb with each way of naming oneself, texts that begin with a
//! dash, times that nobody means, bytes that are no text.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

use tempfile::TempDir;
use wardline_storage::id::Timestamp;

use crate::binary::{Serving, client, fails, run, wardline};

/// A broker in memory, and the id of a group of alice's with bob in it.
fn with_group(folder: &TempDir) -> (Serving, String) {
    let broker = Serving::start(folder.path(), &["--set", "storage.engine=memory"]);
    let create = ["conversation", "create", "--group", "Ward 5", "--member", "bob"];
    let id = client(folder.path(), &broker, "alice", &create).trim().to_owned();
    (broker, id)
}

#[test]
fn every_verb_takes_every_way_of_naming_oneself() {
    let folder = TempDir::new().unwrap();
    let (broker, id) = with_group(&folder);
    let folder = folder.path();
    let server = broker.address.to_string();
    let token = |user: &str| {
        let output = run(folder, &["token", "--user", user]);
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let (alice, mallory) = (token("alice"), token("mallory"));
    let sent = client(folder, &broker, "alice", &["send", &id, "hello"]);
    let number = sent.trim_start_matches('#').split(' ').next().unwrap();
    let verbs: [&[&str]; 15] = [
        &["conversation", "create", "--direct", "bob"],
        &["conversation", "create", "--group", "Ward 6", "--member", "carol", "--retention", "1d"],
        &["conversation", "list"],
        &["conversation", "members", &id],
        &["conversation", "add", &id, "carol", "dave", "--admin", "--share-history"],
        &["conversation", "remove", &id, "carol"],
        &["conversation", "role", &id, "bob", "publisher"],
        &["conversation", "rename", &id, "Ward 7"],
        &["conversation", "retention", &id, "1d"],
        &["send", &id, "hello", "--urgent", "--expires", "1h"],
        &["history", &id, "--limit", "5"],
        &["receipts", &id, number],
        &["delete", &id, number],
        &["tail", &id, "--for", "100ms"],
        &["tail", "--for", "100ms", "--read"],
    ];
    // The way, what the environment holds, and whether it must do.
    let ways: [(&[&str], Option<&str>, bool); 7] = [
        (&["--as", "alice"], None, true),
        (&["--as", "alice", "--tenant", "dev", "--role", "broadcaster"], None, true),
        (&["--token", &alice], None, true),
        (&[], Some(&alice), true),
        // What is typed counts.
        (&["--as", "alice"], Some(&mallory), true),
        (&["--token", &alice], Some(&mallory), true),
        (&[], Some(""), false),
    ];
    for verb in verbs {
        for (way, environment, does) in ways {
            for arguments in [[verb, way].concat(), split(verb, way)] {
                if verb[1] == "remove" {
                    client(folder, &broker, "alice", &["conversation", "add", &id, "carol"]);
                }
                let mut command = wardline(folder);
                command.args(&arguments).args(["--server", &server]);
                command.envs(environment.map(|token| ("WARDLINE_TOKEN", token)));
                let output = command.output().unwrap();
                let said = String::from_utf8_lossy(&output.stderr);
                let code = if does { 0 } else { 2 };
                assert_eq!(output.status.code(), Some(code), "{arguments:?}, {environment:?}: {said}");
            }
        }
    }
    // Whoever is removed is who was named.
    let members = client(folder, &broker, "alice", &["conversation", "members", &id]);
    assert!(members.contains("alice") && members.contains("bob"), "{members}");
    client(folder, &broker, "alice", &["conversation", "leave", &id]);
    assert_eq!(broker.stop(), Some(0));
}

#[test]
fn who_names_themselves_twice_or_badly_is_told() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    // The keys are there, and no broker is needed for that.
    wardline_broker::dev::Dev::of(&folder.join("data")).prepare(now()).unwrap();
    let token = String::from_utf8(run(folder, &["token", "--user", "alice"]).stdout).unwrap();
    let token = token.trim();
    fails(folder, &["conversation", "list", "--as", "alice", "--token", token], 2, &["--token"]);
    // What goes with --as is not passed over beside a token.
    fails(folder, &["conversation", "list", "--token", token, "--role", "x"], 2, &["--role"]);
    fails(folder, &["conversation", "list", "--token", token, "--tenant", "x"], 2, &["--tenant"]);
    fails(folder, &["conversation", "list", "--role", "x"], 2, &["--as"]);
    fails(folder, &["conversation", "list", "--token", &token[..20]], 1, &["not a JWT"]);
    let output = wardline(folder)
        .args(["conversation", "list"])
        .env("WARDLINE_TOKEN", OsString::from_vec(b"\xff".to_vec()))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("WARDLINE_TOKEN holds no text"), "{output:?}");
}

/// The time by this machine's clock.
fn now() -> Timestamp {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Timestamp(now.as_millis() as u64)
}

/// The way of naming oneself before what else a verb takes.
fn split<'a>(verb: &[&'a str], way: &[&'a str]) -> Vec<&'a str> {
    let name = if verb[0] == "conversation" { 2 } else { 1 };
    [&verb[..name], way, &verb[name..]].concat()
}

#[test]
fn what_begins_with_a_dash_can_be_said() {
    let folder = TempDir::new().unwrap();
    let (broker, id) = with_group(&folder);
    let folder = folder.path();
    let texts = [
        "-5 mmol/l",
        "--- urgent ---",
        "-x",
        "--no such option",
        "-",
        "--urgent",
        "-h",
        "--as",
        "--server=x",
    ];
    for (number, text) in texts.into_iter().enumerate() {
        // One that is an option, or stdin, is a text behind the dashes that end the options.
        let server = broker.address.to_string();
        let is_taken = ["-", "--urgent", "-h", "--as", "--server=x"].contains(&text);
        let mut arguments = vec!["send", "--as", "alice", "--server", &server, id.as_str()];
        arguments.extend(is_taken.then_some("--"));
        arguments.push(text);
        let output = run(folder, &arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        if text == "-" {
            // Nothing stands on stdin.
            assert!(said.contains("there is no text to send"), "{said}");
            continue;
        }
        assert!(output.status.success(), "{text}: {said}");
        let history = client(folder, &broker, "bob", &["history", &id, "--limit", "1"]);
        assert!(history.trim_end().ends_with(&format!(" {text}")), "{number}: {history}");
    }
    // Options are still options before the text, and wrong ones are told behind it.
    let urgent = client(folder, &broker, "alice", &["send", &id, "--urgent", "-5 mmol/l"]);
    assert!(urgent.starts_with('#'), "{urgent}");
    let history = client(folder, &broker, "bob", &["history", &id, "--limit", "1"]);
    assert!(history.contains("URGENT") && history.trim_end().ends_with(" -5 mmol/l"), "{history}");
    fails(folder, &["send", &id, "text", "--urgnt", "--as", "alice"], 2, &["--urgnt"]);
    client(folder, &broker, "alice", &["conversation", "rename", &id, "-5-"]);
    let create = client(folder, &broker, "alice", &["conversation", "create", "--group=--Ward--"]);
    assert_eq!(create.trim().len(), 32);
    let list = client(folder, &broker, "alice", &["conversation", "list"]);
    assert!(list.contains("\"-5-\"") && list.contains("\"--Ward--\""), "{list}");
    assert_eq!(broker.stop(), Some(0));
}

#[test]
fn absurd_times_are_refused() {
    let folder = TempDir::new().unwrap();
    let id = "00112233445566778899aabbccddeeff";
    let verbs: [&[&str]; 6] = [
        &["tail", "--as", "a", "--for"],
        &["send", id, "text", "--as", "a", "--expires"],
        &["conversation", "retention", id, "--as", "a"],
        &["conversation", "create", "--group", "x", "--as", "a", "--retention"],
        &["token", "--user", "a", "--ttl"],
        &["backup", "--to", "backups", "--keep"],
    ];
    for verb in verbs {
        for time in ["18446744073709551615s", "584554530000y", "99999999999999999999h", "101y"] {
            fails(folder.path(), &[verb, &[time]].concat(), 2, &["100 years or less"]);
        }
        for time in ["soon", "", "5"] {
            fails(folder.path(), &[verb, &[time]].concat(), 2, &["write it like"]);
        }
        if verb[0] != "backup" {
            // None at all would be taken for "as long as you like".
            fails(folder.path(), &[verb, &["0s"]].concat(), 2, &["1ms or more"]);
            fails(folder.path(), &[verb, &["10us"]].concat(), 2, &["1ms or more"]);
        }
    }
}

#[test]
fn what_is_no_text_is_no_panic() {
    let folder = TempDir::new().unwrap();
    let odd = OsString::from_vec(b"odd-\xff\xfe".to_vec());
    let verbs: [&[&str]; 26] = [
        &[],
        &["send", "@bob"],
        &["send"],
        &["send", "@bob", "text", "--as"],
        &["send", "@bob", "text", "--server"],
        &["send", "@bob", "text", "--token"],
        &["send", "@bob", "text", "--as", "a", "--data"],
        &["send", "@bob", "text", "--as", "a", "--ca"],
        &["conversation", "create", "--as", "a", "--group"],
        &["conversation", "rename", "@bob"],
        &["tail", "--for"],
        &["tail"],
        &["history", "@bob", "--limit"],
        &["token", "--user"],
        &["token", "--user", "a", "--data"],
        &["serve", "--dev", "--set"],
        &["serve", "--dev", "--data"],
        &["serve", "--dev", "--listen"],
        &["serve", "--config"],
        &["check-config", "--config"],
        &["backup", "--to", "backups", "--config"],
        &["backup", "--to"],
        &["verify"],
        &["restore", "--to", "data"],
        &["doctor", "--config"],
        &["doctor", "--state-hash", "--data"],
    ];
    for verb in verbs {
        let output = wardline(folder.path()).args(verb).arg(&odd).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(matches!(output.status.code(), Some(1 | 2)), "{verb:?}: {said}");
        assert!(!said.contains("panicked") && !said.is_empty(), "{verb:?}: {said}");
    }
}

#[test]
fn an_error_says_its_cause_once() {
    let folder = TempDir::new().unwrap();
    let cause = "No such file or directory";
    for arguments in [
        &["serve", "--config", "none.toml"][..],
        &["conversation", "list", "--as", "a", "--data", "none"],
        &["token", "--user", "a", "--data", "none"],
        &["verify", "none"],
        &["restore", "none", "--to", "data"],
        &["check-config", "--set", "tls.key=k", "--set", "tls.certificate=c", "--set", "auth.jwks=j"],
        &["doctor", "--config", "none.toml"],
    ] {
        let output = run(folder.path(), arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        assert!(said.matches(cause).count() <= 1, "{arguments:?}: {said}");
    }
}

#[test]
fn a_broker_is_found_by_its_name() {
    let folder = TempDir::new().unwrap();
    let broker = Serving::start(folder.path(), &["--set", "storage.engine=memory"]);
    let named = format!("localhost:{}", broker.address.port());
    let list = ["conversation", "list", "--as", "alice", "--server", &named];
    let output = run(folder.path(), &list);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(broker.stop(), Some(0));
    let with = |server| ["conversation", "list", "--as", "alice", "--server", server];
    fails(
        folder.path(),
        &with("no-such-host.invalid:4433"),
        1,
        &["no-such-host.invalid:4433", "check the name"],
    );
    fails(folder.path(), &with("localhost"), 2, &["--server", "HOST:PORT"]);
    fails(folder.path(), &with("::1:4433"), 2, &["--server", "[2001:db8::7]:4433"]);
}
