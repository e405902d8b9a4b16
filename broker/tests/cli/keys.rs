//! What operators do with token keys and with access, beside a broker that runs: sets as issuers
//! publish them, rotation, revocation.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode};
use serde_json::{Value, json};

use crate::binary::{Serving, client, fails, run, with_keys};

const SERVE: [&str; 2] = ["--config", "wardline.toml"];
const SEND: [&str; 5] = ["send", "@bob", "hello", "--data", "keys"];

fn jwks(folder: &Path) -> Value {
    serde_json::from_slice(&fs::read(folder.join("keys/dev/jwks.json")).unwrap()).unwrap()
}

fn write(folder: &Path, set: &Value) {
    fs::write(folder.join("keys/dev/jwks.json"), set.to_string()).unwrap();
}

fn said(folder: &Path, arguments: &[&str]) -> String {
    let output = run(folder, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn talk(folder: &Path, broker: &Serving) {
    client(folder, broker, "alice", &["conversation", "create", "--direct", "bob", "--data", "keys"]);
    client(folder, broker, "alice", &SEND);
}

fn is_refused(folder: &Path, broker: &Serving, why: &str) {
    let server = broker.address.to_string();
    fails(folder, &[&SEND[..], &["--as", "alice", "--server", &server]].concat(), 1, &[why]);
}

#[test]
fn an_odd_entry_of_a_key_set_is_told_once_and_takes_nothing_with_it() {
    let folder = with_keys();
    let folder = folder.path();
    let mut set = jwks(folder);
    let odd = json!({"kty": "RSA", "kid": "of-2019", "n": "AQAB", "e": "AQAB"});
    set["keys"].as_array_mut().unwrap().insert(0, odd);
    fs::write(folder.join("keys/dev/jwks.json"), format!("\u{feff}{set}")).unwrap();
    let checked = said(folder, &["check-config", "--config", "wardline.toml"]);
    let told = "left out: key 1 (kid \"of-2019\") is a weak RSA key";
    assert!(checked.starts_with("the configuration is good (1 token key)"), "{checked}");
    assert_eq!(checked.matches(told).count(), 1, "{checked}");

    let broker = Serving::serve(folder, &[&SERVE[..], &["--set", "storage.engine=memory"]].concat());
    talk(folder, &broker);
    // A rotation with another odd entry: the first is not told of again.
    let other = json!({"kty": "EC", "kid": "of-2020", "crv": "P-521"});
    set["keys"].as_array_mut().unwrap().push(other);
    write(folder, &set);
    broker.until_logged(folder, "of-2020", 1);
    broker.until_logged(folder, "\"reloaded\"", 1);
    client(folder, &broker, "alice", &SEND);
    // Nothing usable: refused, and the keys stay.
    write(folder, &json!({"keys": []}));
    broker.until_logged(folder, "reload-refused", 1);
    client(folder, &broker, "alice", &SEND);
    assert_eq!(broker.stop(), Some(0));
    let log = fs::read_to_string(folder.join("log")).unwrap();
    assert_eq!(log.matches("of-2019").count(), 1, "{log}");
}

/// The keys go by themselves: what is wrong with the certificate does not keep a key in force that
/// was taken out of the set. Nor does a file that was replaced in place, with its size and time.
#[test]
fn a_key_that_is_taken_out_goes_though_the_certificate_cannot_be_read() {
    let folder = with_keys();
    let folder = folder.path();
    let (file, mut set) = (folder.join("keys/dev/jwks.json"), jwks(folder));
    let broker = Serving::serve(folder, &[&SERVE[..], &["--set", "storage.engine=memory"]].concat());
    talk(folder, &broker);

    fs::write(folder.join("keys/dev/server.pem"), "half of it").unwrap();
    let before = fs::metadata(&file).unwrap();
    let length = before.len() as usize;
    set["keys"][0]["x"] = json!("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
    let other = format!("{set}");
    fs::write(&file, format!("{other:length$}")).unwrap();
    let now = fs::File::options().write(true).open(&file).unwrap();
    now.set_modified(before.modified().unwrap()).unwrap();
    drop(now);
    let after = fs::metadata(&file).unwrap();
    assert_eq!((after.len(), after.modified().unwrap()), (before.len(), before.modified().unwrap()));
    broker.until_logged(folder, "token-key-gone", 1);
    broker.until_logged(folder, "reload-refused", 1);
    is_refused(folder, &broker, "signature");
    assert_eq!(broker.stop(), Some(0));
}

/// Puts a pipe in a file's place. Whoever reads it first waits until this is done `meanwhile`; then
/// the file is there again.
fn read_slowly(path: PathBuf, meanwhile: impl FnOnce() + Send + 'static) {
    let (content, beside) = (fs::read(&path).unwrap(), path.with_extension("beside"));
    fs::rename(&path, &beside).unwrap();
    rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    std::thread::spawn(move || {
        // Until somebody wants to read.
        let mut pipe = fs::File::options().write(true).open(&path).unwrap();
        meanwhile();
        fs::rename(&beside, &path).unwrap();
        pipe.write_all(&content).unwrap();
    });
}

/// To open a store may take long: what was read of the keys before that is read again after it.
#[test]
fn a_key_that_goes_while_the_store_is_opened_lets_nobody_in() {
    let folder = with_keys();
    let folder = folder.path();
    let broker = Serving::serve(folder, &SERVE);
    talk(folder, &broker);
    assert_eq!(broker.stop(), Some(0));

    let (mut set, keys) = (jwks(folder), folder.to_owned());
    read_slowly(folder.join("data/CURRENT"), move || {
        set["keys"][0]["x"] = json!("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
        write(&keys, &set);
    });
    let broker = Serving::serve(folder, &SERVE);
    is_refused(folder, &broker, "signature");
    assert_eq!(broker.stop(), Some(0));
    let log = fs::read_to_string(folder.join("log")).unwrap();
    assert!(!log.contains("reloaded"), "not by a later look at the files: {log}");
}

#[test]
fn access_is_taken_back_and_given_back() {
    let folder = with_keys();
    let folder = folder.path();
    let revoke = |rest: &[&str]| said(folder, &[&["revoke", "--config", "wardline.toml"], rest].concat());
    let alice = ["user", "alice", "--tenant", "dev"];
    fails(folder, &[&["revoke"], &alice[..]].concat(), 1, &["no broker answers at data/admin.sock"]);
    fails(folder, &["revoke", "user", "alice"], 2, &["--tenant"]);
    fails(folder, &["revoke"], 2, &["WHOSE"]);

    let broker = Serving::serve(folder, &SERVE);
    talk(folder, &broker);
    assert!(revoke(&alice).contains("for tokens issued up to"), "a token of later is taken");
    let until_lifted = revoke(&[&alice[..], &["--until-lifted"]].concat());
    assert_eq!(until_lifted, "revoked until it is lifted; 0 sessions ended\n");
    is_refused(folder, &broker, "took back the access of this user");
    client(folder, &broker, "bob", &["send", "@alice", "hello", "--data", "keys"]);
    assert_eq!(broker.stop(), Some(0));

    let broker = Serving::serve(folder, &SERVE);
    is_refused(folder, &broker, "took back the access of this user");
    let listed = revoke(&["--list"]);
    assert!(listed.contains("user \"alice of dev\": until it is lifted"), "{listed}");
    assert_eq!(revoke(&[&alice[..], &["--lift"]].concat()), "lifted\n");
    assert_eq!(revoke(&["--list"]), "");
    client(folder, &broker, "alice", &SEND);

    // The key, by its name and by its thumbprint.
    let checked = said(folder, &["check-config", "--config", "wardline.toml"]);
    let thumbprint = checked.split("thumbprint ").nth(1).unwrap().lines().next().unwrap();
    for name in ["dev", thumbprint] {
        assert!(revoke(&["key", name]).contains("until it is lifted"));
        is_refused(folder, &broker, "key that the token is signed with");
        revoke(&["key", name, "--lift"]);
        client(folder, &broker, "alice", &SEND);
    }
    let config = ["--config", "wardline.toml"];
    for (order, why) in [
        (&["key", "nobody's"][..], "check-config"),
        (&["device", "7"], "32 hexadecimal digits"),
        (&["tenant", "dev", "--lift"], "nothing was revoked"),
    ] {
        fails(folder, &[&["revoke"], &config[..], order].concat(), 1, &[why]);
    }
    assert_eq!(broker.stop(), Some(0));
    let log = fs::read_to_string(folder.join("log")).unwrap();
    assert!(!log.contains("alice"), "no name stands in the text log: {log}");
}

#[test]
fn a_token_that_is_good_for_too_long_is_refused_plainly() {
    let folder = with_keys();
    let folder = folder.path();
    let memory = ["--set", "storage.engine=memory", "--set", "auth.lifetime=1h"];
    let broker = Serving::serve(folder, &[&SERVE[..], &memory].concat());
    let server = broker.address.to_string();
    for (ttl, is_refused) in [("1h", false), ("2h", true), ("36500d", true)] {
        let token = said(folder, &["token", "--user", "alice", "--data", "keys", "--ttl", ttl]);
        let list = ["conversation", "list", "--token", token.trim(), "--server", &server, "--data", "keys"];
        if is_refused {
            fails(folder, &list, 1, &["auth.lifetime"]);
        } else {
            said(folder, &list);
        }
    }
    assert_eq!(broker.stop(), Some(0));
}

/// The broker starts without its issuers, and says of each what is wrong.
#[test]
fn an_issuer_that_does_not_answer_is_named_and_keeps_no_broker_from_starting() {
    let folder = with_keys();
    let folder = folder.path();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let issuer = format!("issuers.north.issuer=https://{nobody}");
    let with = ["--set", &issuer, "--set", "issuers.north.tenant=north", "--set"];
    let ca = "issuers.north.ca=keys/dev/ca.pem";
    let checked = said(folder, &[&["check-config", "--config", "wardline.toml"][..], &with, &[ca]].concat());
    let wrong = "but issuer north cannot be used now: the discovery document: it cannot be reached";
    assert!(checked.contains("is good (1 token key)") && checked.contains(wrong), "{checked}");

    let doctor = run(folder, &[&["doctor", "--config", "wardline.toml"][..], &with, &[ca]].concat());
    let told = String::from_utf8(doctor.stdout).unwrap();
    assert_eq!(doctor.status.code(), Some(1), "{told}");
    assert!(told.contains("BAD   issuer: north: the discovery document: it cannot be reached"), "{told}");

    for (ca, why) in
        [("issuers.north.ca=none.pem", "none.pem"), ("issuers.north.ca=wardline.toml", "no certificate")]
    {
        let command = [&["check-config", "--config", "wardline.toml"][..], &with, &[ca]].concat();
        fails(folder, &command, 1, &["[issuers.\"north\"]", "(ca)", why]);
    }
    let serve =
        [&SERVE[..], &with, &[ca, "--set", "storage.engine=memory", "--set", "logout.listen=127.0.0.1:0"]]
            .concat();
    let broker = Serving::serve(folder, &serve);
    talk(folder, &broker);
    broker.until_logged(folder, "issuer-refused", 1);
    assert_eq!(broker.stop(), Some(0));
}
