//! Development keys and certificate files: what is made works, and what is wrong is told.
#![allow(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;
use wardline_broker::access::auth::{Expected, TokenError, Verifier};
use wardline_broker::dev::{Bearer, Dev, DevError, ISSUER};
use wardline_broker::edge::tls::{self, TlsError, Validity};
use wardline_storage::id::Timestamp;

const NOW: Timestamp = Timestamp(1_800_000_000_000);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

fn made() -> (TempDir, Dev) {
    let data = TempDir::new().unwrap();
    let dev = Dev::of(data.path());
    dev.prepare(NOW).unwrap();
    (data, dev)
}

fn files(data: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(data.join("dev")).unwrap().map(Result::unwrap);
    entries.map(|e| (e.file_name().into_string().unwrap(), fs::read(e.path()).unwrap())).collect()
}

fn alice() -> Bearer {
    Bearer { user: "alice".into(), tenant: "ward".into(), roles: vec!["broadcaster".into()] }
}

fn verifier(dev: &Dev) -> Verifier {
    let expected = Expected { leeway: Duration::from_secs(30), ..Expected::new(ISSUER, "wardline") };
    Verifier::from_file(&dev.jwks(), expected).unwrap()
}

#[test]
fn keys_are_made_once_and_private_to_their_owner() {
    let (data, dev) = made();
    let first = files(data.path());
    let names: Vec<_> = first.keys().map(String::as_str).collect();
    assert_eq!(names, ["ca-key.pem", "ca.pem", "jwks.json", "server-key.pem", "server.pem", "token-key.pem"]);
    for name in names.iter().filter(|name| name.contains("key")) {
        let mode = fs::metadata(data.path().join("dev").join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    dev.prepare(Timestamp(NOW.0 + 1000)).unwrap();
    assert_eq!(files(data.path()), first);
}

#[test]
fn tokens_verify() {
    let (_data, dev) = made();
    let token = dev.token(&alice(), "wardline", NOW, HOUR).unwrap();
    let identity = verifier(&dev).verify(&token, NOW).unwrap();
    assert_eq!((identity.user.as_str(), identity.tenant.as_str()), ("alice", "ward"));
    assert!(identity.broadcaster);
    assert_eq!(identity.expires, NOW.after(HOUR));
    assert_eq!(verifier(&dev).verify(&token, NOW.after(HOUR * 2)).unwrap_err(), TokenError::Expired);
}

#[test]
fn tokens_of_another_folder_do_not_verify() {
    let ((_a, one), (_b, other)) = (made(), made());
    let token = one.token(&alice(), "wardline", NOW, HOUR).unwrap();
    assert!(matches!(verifier(&other).verify(&token, NOW), Err(TokenError::Invalid(_))));
}

#[test]
fn the_server_certificate_is_renewed_near_its_end_and_nothing_else_is() {
    let (data, dev) = made();
    let before = files(data.path());
    dev.prepare(NOW.after(DAY * 59)).unwrap();
    assert_eq!(files(data.path()), before);
    let later = NOW.after(DAY * 61);
    dev.prepare(later).unwrap();
    let after = files(data.path());
    let changed: Vec<_> =
        before.keys().filter(|name| before[*name] != after[*name]).map(String::as_str).collect();
    assert_eq!(changed, ["server-key.pem", "server.pem"]);
    let renewed = tls::load(&dev.certificate(), &dev.key()).unwrap();
    let at = |time: Timestamp| tls::validity(&renewed.chain, Duration::from_millis(time.0));
    assert_eq!(at(later.after(DAY * 89)), Validity::Valid);
    assert_eq!(at(later.after(DAY * 91)), Validity::Expired);
    assert_eq!(at(Timestamp(later.0 - 2 * 3_600_000)), Validity::NotYet);
}

#[test]
fn what_is_missing_is_made_again() {
    let (data, dev) = made();
    let folder = data.path().join("dev");
    fs::remove_file(folder.join("ca-key.pem")).unwrap();
    fs::remove_file(folder.join("jwks.json")).unwrap();
    dev.prepare(NOW).unwrap();
    tls::load(&dev.certificate(), &dev.key()).unwrap();
    let token = dev.token(&alice(), "wardline", NOW, HOUR).unwrap();
    verifier(&dev).verify(&token, NOW).unwrap();
}

#[test]
fn no_keys_and_damaged_keys_are_told() {
    let empty = TempDir::new().unwrap();
    let error = Dev::of(empty.path()).token(&alice(), "wardline", NOW, HOUR).unwrap_err();
    assert!(matches!(error, DevError::Absent { .. }));
    assert!(error.to_string().contains("serve --dev"), "{error}");
    assert!(!empty.path().join("dev").exists());

    let (data, dev) = made();
    fs::write(data.path().join("dev/token-key.pem"), "-----BEGIN PRIVATE KEY-----\n").unwrap();
    let error = dev.token(&alice(), "wardline", NOW, HOUR).unwrap_err();
    assert!(error.to_string().contains("token-key.pem is damaged"), "{error}");

    let file = empty.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(matches!(Dev::of(&file).prepare(NOW), Err(DevError::Private(_))));
}

#[test]
fn certificate_files_are_checked_when_read() {
    let ((data, dev), (_other, stranger)) = (made(), made());
    let (chain, key) = (dev.certificate(), dev.key());
    assert_eq!(tls::load(&chain, &key).unwrap().chain.len(), 1);

    let nowhere = data.path().join("nowhere.pem");
    let error = tls::load(&nowhere, &key).map(|_| ()).unwrap_err();
    assert!(error.to_string().starts_with("cannot read tls.certificate"), "{error}");
    assert!(error.to_string().contains("nowhere.pem"), "{error}");
    let error = tls::load(&chain, &nowhere).map(|_| ()).unwrap_err();
    assert!(error.to_string().starts_with("cannot read tls.key"), "{error}");

    // Swapped, empty, half written.
    let half = data.path().join("half.pem");
    fs::write(&half, &fs::read(&key).unwrap()[..60]).unwrap();
    let empty = data.path().join("empty.pem");
    fs::write(&empty, "").unwrap();
    for bad in [&key, &empty, &half] {
        let error = tls::load(bad, &key).map(|_| ()).unwrap_err();
        assert!(matches!(error, TlsError::Content { key: "tls.certificate", .. }), "{error}");
    }
    for bad in [&chain, &empty, &half] {
        let error = tls::load(&chain, bad).map(|_| ()).unwrap_err();
        assert!(matches!(error, TlsError::Content { key: "tls.key", .. }), "{error}");
    }
    let error = tls::load(&chain, &stranger.key()).map(|_| ()).unwrap_err();
    assert!(matches!(error, TlsError::Mismatch { .. }), "{error}");
}
