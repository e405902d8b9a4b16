//! Every odd answer that was thought of, and what is said of it.

use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::json;
use wardline_broker::access::auth::tenants::Tenants;
use wardline_broker::access::provider::try_out;
use wardline_broker::https::Trust;

use super::provider::{DOCUMENT, Idp, KEYS, Odd};

/// What, where, and how; `thief` is another provider.
pub(super) fn answers(idp: &Idp, thief: &Idp) -> Vec<(&'static str, &'static str, Odd)> {
    let huge = || Bytes::from(vec![b' '; 10 << 20]);
    let document = |member, value| Odd::body(idp.document_with(member, value));
    let html = || Odd::body("<!doctype html><title>Sign in</title>");
    let busy = Odd::Says(429, vec![("retry-after", "1".into())], Bytes::new());
    let mut all = vec![
        ("another issuer", DOCUMENT, document("issuer", json!(thief.url))),
        ("an issuer with a slash", DOCUMENT, document("issuer", json!(format!("{}/", idp.url)))),
        ("no issuer", DOCUMENT, document("issuer", json!(null))),
        ("keys in the clear", DOCUMENT, document("jwks_uri", json!("http://localhost/keys"))),
        ("keys in a file", DOCUMENT, document("jwks_uri", json!("file:///etc/passwd"))),
        ("no keys' address", DOCUMENT, document("jwks_uri", json!(null))),
        // Another host's certificate is not of the authority that this issuer's is of.
        ("a thief's keys", DOCUMENT, document("jwks_uri", json!(format!("{}{KEYS}", thief.url)))),
        ("a set without keys", KEYS, Odd::body(r#"{"keys": []}"#)),
        ("a set of shared secrets", KEYS, Odd::body(r#"{"keys": [{"kty": "oct", "k": "AAAA"}]}"#)),
        ("no set", KEYS, Odd::body("[]")),
        ("busy", KEYS, busy),
    ];
    for path in [DOCUMENT, KEYS] {
        all.extend([
            ("a redirect elsewhere", path, Odd::redirect(&format!("{}{path}", thief.url))),
            ("a redirect into the clear", path, Odd::redirect(&idp.url.replace("https", "http"))),
            ("a redirect to itself", path, Odd::redirect(path)),
            ("a redirect to nowhere", path, Odd::Says(302, Vec::new(), Bytes::new())),
            ("a web page", path, html()),
            ("10 MB", path, Odd::body(huge())),
            ("nothing", path, Odd::body("")),
            ("half of it", path, Odd::body(r#"{"issuer": "#)),
            ("no answer", path, Odd::Hangs),
            ("letter by letter", path, Odd::Trickles),
            ("out of order", path, Odd::Says(503, Vec::new(), Bytes::from("{}"))),
            ("created", path, Odd::Says(201, Vec::new(), Bytes::from("{}"))),
            ("no such page", path, Odd::Says(404, Vec::new(), Bytes::new())),
        ]);
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_odd_answer_is_named_in_time() {
    let (idp, thief) = (Idp::start().await, Idp::start().await);
    let mut config = idp.config(Tenants::One("north".into()));
    config.pace.timeout = Duration::from_millis(700);
    try_out(&config).await.unwrap();
    for (what, path, odd) in answers(&idp, &thief) {
        let (label, says) = match what {
            "another issuer" | "an issuer with a slash" => ("other_issuer", "another issuer"),
            "keys in the clear" | "keys in a file" | "no keys' address" => ("no_address", "jwks_uri"),
            "a thief's keys" => ("tls", "certificate"),
            "a set without keys" | "a set of shared secrets" => ("no_key", "no key"),
            "no set" => ("not_json", "not a JWK set"),
            "a web page" if path == DOCUMENT => ("not_json", "web page"),
            "no issuer" | "a web page" | "nothing" | "half of it" => ("not_json", ""),
            "10 MB" => ("too_long", "longer than"),
            "no answer" | "letter by letter" => ("late", "in time"),
            "busy" => ("status", "429, to be asked again in 1 s"),
            "out of order" => ("status", "503"),
            "created" => ("status", "201"),
            "no such page" => ("status", "404"),
            _ => ("redirected", "redirects"),
        };
        idp.is_odd(path, Some(odd));
        let began = Instant::now();
        let error = try_out(&config).await.expect_err(what);
        assert_eq!(error.label(), label, "{what} at {path}: {error}");
        assert!(error.to_string().contains(says), "{what} at {path}: {error}");
        assert!(began.elapsed() < Duration::from_secs(5), "{what} at {path}: {:?}", began.elapsed());
        idp.is_odd(path, None);
    }
    // Nothing of what a stranger sends is quoted.
    idp.is_odd(KEYS, Some(Odd::body("PATIENT")));
    assert!(!try_out(&config).await.unwrap_err().to_string().contains("PATIENT"));
    // To the same origin a redirect is followed.
    idp.is_odd(KEYS, Some(Odd::redirect("/elsewhere")));
    let set = idp.set_with(json!({"kty": "new"}));
    idp.is_odd("/elsewhere", Some(Odd::body(set)));
    let fetched = try_out(&config).await.unwrap();
    assert_eq!((fetched.verifier.keys(), fetched.verifier.left_out().len()), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_not_there_or_not_certified_is_told_apart() {
    let (mut idp, thief) = (Idp::start().await, Idp::start().await);
    let config = idp.config(Tenants::One("north".into()));
    let distrusted = wardline_broker::access::provider::Config {
        trust: thief.config(Tenants::default()).trust,
        ..config.clone()
    };
    let error = try_out(&distrusted).await.unwrap_err();
    assert_eq!(error.label(), "tls", "{error}");
    idp.goes_down().await;
    let error = try_out(&config).await.unwrap_err();
    assert_eq!(error.label(), "unreachable", "{error}");
    let nowhere = Trust::load(Some("/nonexistent/ca.pem".as_ref())).unwrap_err();
    assert!(nowhere.to_string().contains("/nonexistent/ca.pem"), "{nowhere}");
}
