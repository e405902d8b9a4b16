//! Tokens and the keys that they are checked with: any text as a token, any text as a JWK set.
//!
//! Nothing panics. Who is let in has a token that says so: signed with the key and the algorithm of
//! the broker, from the issuer, for the audience, within its time, for the names that it holds. A
//! signed token that was changed in any way is refused. No refusal quotes the token.

use std::sync::LazyLock;
use std::time::Duration;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use wardline_broker::access::auth::{Expected, Identity, Verifier};
use wardline_broker::limits::{NAME_BYTES_MAX, TOKEN_BYTES_MAX};
use wardline_storage::id::Timestamp;

use crate::wire::{Choices, damage};

const ISSUER: &str = "https://id.example";
const AUDIENCE: &str = "wardline";
const LEEWAY: Duration = Duration::from_secs(30);
const NOW_S: u64 = 1_800_000_000;
const NOW: Timestamp = Timestamp(NOW_S * 1000);

/// The one who may issue tokens.
struct Issuer {
    pair: Ed25519KeyPair,
    jwk: Value,
    verifier: Verifier,
}

static ISSUING: LazyLock<Issuer> = LazyLock::new(|| {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("any 32 bytes are a seed");
    let jwk = json!({"kty": "OKP", "crv": "Ed25519", "kid": "k", "x": b64(pair.public_key().as_ref())});
    let verifier = Verifier::from_json(&json!({"keys": [jwk]}).to_string(), "keys", expected());
    Issuer { pair, jwk, verifier: verifier.expect("a set of one good key") }
});

/// Reads a set of keys, or checks a token.
///
/// # Panics
/// If a property does not hold.
pub fn run(data: &[u8]) {
    let Some((&how, rest)) = data.split_first() else { return };
    match how % 5 {
        0 => keys(rest),
        1 => one_key(&mut Choices(rest)),
        2 => {
            let Ok(token) = str::from_utf8(rest) else { return };
            check(token);
        }
        3 => signed(rest),
        _ => changed(&mut Choices(rest)),
    }
}

/// Any text as a set of keys.
fn keys(json: &[u8]) {
    match Verifier::from_bytes(json, "the-origin", expected()) {
        Ok(verifier) => {
            assert!(verifier.keys() > 0);
            // Whoever these keys belong to, it is not the issuer unless its key is among them.
            if !json.contains(&b'x') {
                assert!(verifier.verify(&token(&claims()), NOW).is_err());
            }
        }
        Err(error) => assert!(error.to_string().contains("the-origin"), "{error}"),
    }
}

/// A good key whose members were replaced.
fn one_key(choices: &mut Choices<'_>) {
    const NAMES: [&str; 11] = ["kty", "crv", "kid", "x", "y", "n", "e", "alg", "use", "key_ops", "k"];
    const VALUES: [&str; 13] = [
        "OKP", "EC", "RSA", "oct", "Ed25519", "P-256", "EdDSA", "ES256", "RS256", "HS256", "none", "sig",
        "verify",
    ];
    let mut jwk = ISSUING.jwk.clone();
    for _ in 0..choices.below(6) {
        let name = NAMES[choices.below(NAMES.len())];
        let value = match choices.below(6) {
            0 => Value::Null,
            1 => json!([VALUES[choices.below(VALUES.len())]]),
            2 => json!(b64(&vec![
                choices.below(256) as u8;
                [0, 1, 3, 31, 32, 33, 256, 257, 1025][choices.below(9)]
            ])),
            3 => json!(choices.below(256)),
            _ => json!(VALUES[choices.below(VALUES.len())]),
        };
        jwk[name] = value;
    }
    let copies = vec![jwk; 1 + choices.below(2)];
    let json = json!({ "keys": copies }).to_string();
    if let Ok(verifier) = Verifier::from_json(&json, "the-origin", expected()) {
        assert!((1..=copies.len()).contains(&verifier.keys()));
        // Whether the issuer is let in depends on what was replaced; that it is asked without a
        // panic does not.
        let _ = verifier.verify(&token(&claims()), NOW);
    }
}

/// Any header and any claims, under the issuer's own signature.
fn signed(data: &[u8]) {
    let Some((&split, rest)) = data.split_first() else { return };
    let (header, claims) = rest.split_at((usize::from(split) * rest.len()) / 256);
    let header = if header.is_empty() { br#"{"alg":"EdDSA","kid":"k"}"# } else { header };
    let token = sign(header, claims);
    if let Some(identity) = check(&token) {
        let header: Value = serde_json::from_slice(header).expect("an accepted header is JSON");
        let claims: Value = serde_json::from_slice(claims).expect("accepted claims are JSON");
        assert_eq!(header["alg"], "EdDSA", "another algorithm than the key's");
        assert!(header.get("crit").is_none_or(Value::is_null), "an extension that nobody understands");
        deserved(&identity, &claims);
    }
    // The same with what a real token says, of which the input replaces some.
    let (Ok(given), mut claims) = (serde_json::from_slice::<Value>(claims), self::claims()) else { return };
    let Value::Object(given) = given else { return };
    for (name, value) in given {
        claims[name] = value;
    }
    let token = self::token(&claims);
    if let Some(identity) = check(&token) {
        deserved(&identity, &claims);
    }
    if ISSUING.verifier.verify_logout(&token, NOW).is_ok() {
        assert!(claims["events"].is_object() && claims.get("nonce").is_none(), "no logout token");
        assert!(check(&token).is_none(), "a logout token lets somebody in");
    }
}

/// Whether these claims let in the one whom they let in.
fn deserved(identity: &Identity, claims: &Value) {
    let has = |claim: &Value, wanted: &str| {
        claim == wanted || claim.as_array().is_some_and(|all| all.iter().any(|one| one == wanted))
    };
    assert!(has(&claims["iss"], ISSUER) && has(&claims["aud"], AUDIENCE), "of another, or for another");
    for (name, claim) in [(&identity.user, "sub"), (&identity.tenant, "tenant")] {
        assert_eq!(claims[claim], name.as_str(), "{claim}");
        assert!((1..=NAME_BYTES_MAX).contains(&name.len()) && !name.chars().any(char::is_control));
    }
    // What is optional may be missing, or null.
    let seconds = |claim: &str| match &claims[claim] {
        Value::Null => 0.0,
        number => number.as_f64().expect("a time is a number"),
    };
    let (leeway_s, now_s) = (LEEWAY.as_secs_f64(), NOW_S as f64);
    // A millisecond for what is lost to rounding.
    for begin in ["nbf", "iat"] {
        assert!(seconds(begin) <= now_s + leeway_s + 0.001, "before {begin}");
    }
    let (ends, longest_s) = (seconds("exp"), expected().lifetime_max.as_secs_f64());
    assert!(now_s < ends + leeway_s && ends - now_s <= longest_s + leeway_s + 0.001, "not at this time");
    assert_eq!(identity.broadcaster, has(&claims["roles"], "broadcaster"));
    assert_eq!(identity.administrator, has(&claims["roles"], "administrator"));
}

/// A good token that was changed.
fn changed(choices: &mut Choices<'_>) {
    let good = token(&claims());
    assert!(check(&good).is_some(), "a good token was refused");
    let mut bytes = good.clone().into_bytes();
    for _ in 0..=choices.below(3) {
        damage(&mut bytes, choices);
    }
    let Ok(bad) = String::from_utf8(bytes) else { return };
    assert!(bad == good || check(&bad).is_none(), "a changed token was accepted: {bad}");
}

/// Checks a token; a refusal must not quote it.
fn check(token: &str) -> Option<Identity> {
    match ISSUING.verifier.verify(token, NOW) {
        Ok(identity) => {
            assert!(token.len() <= TOKEN_BYTES_MAX, "too long a token");
            Some(identity)
        }
        Err(error) => {
            let text = error.to_string();
            assert!(token.len() < 30 || !text.contains(token), "a refusal quotes the token");
            None
        }
    }
}

fn expected() -> Expected {
    Expected { leeway: LEEWAY, ..Expected::new(ISSUER, AUDIENCE) }
}

fn claims() -> Value {
    json!({
        "iss": ISSUER, "aud": AUDIENCE, "exp": NOW_S + 600, "nbf": NOW_S - 10,
        "sub": "alice", "tenant": "st-mary", "roles": ["nurse", "broadcaster"],
    })
}

fn token(claims: &Value) -> String {
    sign(br#"{"alg":"EdDSA","kid":"k"}"#, claims.to_string().as_bytes())
}

fn sign(header: &[u8], claims: &[u8]) -> String {
    let message = format!("{}.{}", b64(header), b64(claims));
    let signature = ISSUING.pair.sign(message.as_bytes());
    format!("{message}.{}", b64(signature.as_ref()))
}

fn b64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
