//! Tokens: what is accepted, and that nothing else is.
//!
//! Here are the signers, and what forgers try; `claims` has what tokens say, `keys` the sets of
//! keys.
#![allow(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

mod claims;
mod keys;

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
    RsaPublicKeyComponents,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use std::time::Duration;
use wardline_broker::access::auth::{Expected, JwksError, TokenError, Verifier};
use wardline_broker::limits::TOKEN_BYTES_MAX;
use wardline_storage::id::Timestamp;

const NOW_S: u64 = 1_800_000_000;
const NOW: Timestamp = Timestamp(NOW_S * 1000);
const LEEWAY: Duration = Duration::from_secs(30);

enum Signer {
    Ed(Ed25519KeyPair),
    P256(EcdsaKeyPair),
    Rsa(RsaKeyPair),
}

impl Signer {
    fn ed() -> Self {
        Self::Ed(Ed25519KeyPair::generate().unwrap())
    }

    fn p256() -> Self {
        Self::P256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    fn rsa() -> Self {
        Self::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap())
    }

    fn algorithm(&self) -> &'static str {
        match self {
            Self::Ed(_) => "EdDSA",
            Self::P256(_) => "ES256",
            Self::Rsa(_) => "RS256",
        }
    }

    fn jwk(&self, kid: &str) -> Value {
        match self {
            Self::Ed(pair) => {
                json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": b64(pair.public_key().as_ref())})
            }
            Self::P256(pair) => {
                let point = pair.public_key().as_ref();
                json!({"kty": "EC", "crv": "P-256", "kid": kid, "x": b64(&point[1..33]), "y": b64(&point[33..])})
            }
            Self::Rsa(pair) => {
                let public = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public_key());
                json!({"kty": "RSA", "kid": kid, "n": b64(&public.n), "e": b64(&public.e)})
            }
        }
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Ed(pair) => pair.sign(message).as_ref().to_vec(),
            Self::P256(pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).unwrap();
                signature
            }
        }
    }

    fn token(&self, claims: &Value) -> String {
        self.token_with(&json!({"alg": self.algorithm(), "typ": "JWT", "kid": "k"}), claims)
    }

    fn token_with(&self, header: &Value, claims: &Value) -> String {
        let message = message(header, claims);
        let signature = self.sign(message.as_bytes());
        format!("{message}.{}", b64(&signature))
    }
}

fn b64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn message(header: &Value, claims: &Value) -> String {
    format!("{}.{}", b64(header.to_string().as_bytes()), b64(claims.to_string().as_bytes()))
}

fn claims() -> Value {
    json!({
        "iss": "https://id.example", "aud": "wardline", "exp": NOW_S + 600, "nbf": NOW_S - 10,
        "sub": "alice", "tenant": "st-mary", "roles": ["nurse", "broadcaster"],
    })
}

fn with(key: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[key] = value;
    claims
}

fn expected() -> Expected {
    Expected { leeway: LEEWAY, ..Expected::new("https://id.example", "wardline") }
}

fn verifier(keys: &[Value]) -> Verifier {
    Verifier::from_json(&json!({"keys": keys}).to_string(), "test", expected()).unwrap()
}

fn jwks_error(json: &str) -> JwksError {
    Verifier::from_json(json, "keys.json", expected()).unwrap_err()
}

fn refused(verifier: &Verifier, token: &str, why: &str) {
    match verifier.verify(token, NOW) {
        Err(error @ (TokenError::Invalid(_) | TokenError::UnknownKey)) => {
            let text = error.to_string();
            assert!(text.contains(why), "{text:?} does not say {why:?}");
        }
        other => panic!("{other:?} instead of {why:?}"),
    }
}

#[test]
fn each_algorithm_is_accepted() {
    let signers = [Signer::ed(), Signer::p256(), Signer::rsa()];
    for signer in &signers {
        let identity = verifier(&[signer.jwk("k")]).verify(&signer.token(&claims()), NOW).unwrap();
        assert_eq!((identity.user.as_str(), identity.tenant.as_str()), ("alice", "st-mary"));
        assert!(identity.broadcaster && !identity.administrator);
        assert_eq!(identity.expires, Timestamp((NOW_S + 600) * 1000));
    }
    // All three in one set, without kid in the token: the one key of that algorithm is meant.
    let all: Vec<_> = signers.iter().map(|signer| signer.jwk(signer.algorithm())).collect();
    let all = verifier(&all);
    assert_eq!(all.keys(), 3);
    for signer in &signers {
        all.verify(&signer.token_with(&json!({"alg": signer.algorithm()}), &claims()), NOW).unwrap();
    }
}

#[test]
fn forged_tokens_are_refused() {
    for signer in [Signer::ed(), Signer::p256(), Signer::rsa()] {
        let verifier = verifier(&[signer.jwk("k")]);
        let good = signer.token(&claims());
        let (message, signature) = good.rsplit_once('.').unwrap();
        // Signed by somebody else's key of the same kind.
        let stranger = match &signer {
            Signer::Ed(_) => Signer::ed(),
            Signer::P256(_) => Signer::p256(),
            Signer::Rsa(_) => Signer::rsa(),
        };
        refused(&verifier, &stranger.token(&claims()), "signature");
        // Other claims under a good signature, and a signature with one bit flipped.
        let header = message.split_once('.').unwrap().0;
        let other = b64(with("sub", json!("mallory")).to_string().as_bytes());
        refused(&verifier, &format!("{header}.{other}.{signature}"), "signature");
        let mut bits = URL_SAFE_NO_PAD.decode(signature).unwrap();
        bits[5] ^= 1;
        refused(&verifier, &format!("{message}.{}", b64(&bits)), "signature");
        refused(&verifier, &format!("{message}."), "signature");
        verifier.verify(&good, NOW).unwrap();
    }
}

#[test]
fn the_key_decides_the_algorithm() {
    let (ed, rsa) = (Signer::ed(), Signer::rsa());
    let verifier = verifier(&[ed.jwk("ed"), rsa.jwk("rsa")]);
    let swapped = json!({"alg": "EdDSA", "kid": "rsa"});
    refused(&verifier, &ed.token_with(&swapped, &claims()), "algorithm");
    refused(&verifier, &rsa.token_with(&swapped, &claims()), "algorithm");
    // The same key would verify RS384 and PS256 too; it is for RS256.
    for alg in ["RS384", "RS512", "PS256"] {
        let header = json!({"alg": alg, "kid": "rsa"});
        refused(&verifier, &rsa.token_with(&header, &claims()), "algorithm");
    }
}

#[test]
fn none_is_refused() {
    let signer = Signer::ed();
    let verifier = verifier(&[signer.jwk("k")]);
    for alg in ["none", "None", "NONE", ""] {
        for header in [json!({"alg": alg}), json!({"alg": alg, "kid": "k"})] {
            refused(&verifier, &format!("{}.", message(&header, &claims())), "algorithm");
            refused(&verifier, &signer.token_with(&header, &claims()), "algorithm");
        }
    }
}

#[test]
fn mac_over_the_public_key_is_refused() {
    for signer in [Signer::ed(), Signer::p256(), Signer::rsa()] {
        let jwk = signer.jwk("k");
        let verifier = verifier(std::slice::from_ref(&jwk));
        let public =
            URL_SAFE_NO_PAD.decode(jwk.get("x").or(jwk.get("n")).unwrap().as_str().unwrap()).unwrap();
        for secret in [public.as_slice(), jwk.to_string().as_bytes(), b""] {
            let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
            let with_kid = json!({"alg": "HS256", "kid": "k"});
            for (header, why) in [(with_kid, "algorithm"), (json!({"alg": "HS256"}), "no key")] {
                let message = message(&header, &claims());
                let tag = hmac::sign(&key, message.as_bytes());
                refused(&verifier, &format!("{message}.{}", b64(tag.as_ref())), why);
            }
        }
    }
}

#[test]
fn issuer_and_audience_are_required_and_checked() {
    let signer = Signer::ed();
    let verifier = verifier(&[signer.jwk("k")]);
    refused(&verifier, &signer.token(&with("iss", json!("https://id.example/"))), "issuer");
    refused(&verifier, &signer.token(&with("iss", json!(["https://id.example"]))), "wrong type");
    refused(&verifier, &signer.token(&with("aud", json!("wardline2"))), "audience");
    refused(&verifier, &signer.token(&with("aud", json!(["a", "b"]))), "audience");
    refused(&verifier, &signer.token(&with("aud", json!([]))), "audience");
    verifier.verify(&signer.token(&with("aud", json!(["ehr", "wardline"]))), NOW).unwrap();
    // An expired token of another issuer is not "expired": it never was good here.
    let mut foreign = with("iss", json!("https://elsewhere.example"));
    foreign["exp"] = json!(NOW_S - 3600);
    refused(&verifier, &signer.token(&foreign), "issuer");
}

#[test]
fn expired_is_said_only_of_tokens_that_were_good() {
    let (signer, stranger) = (Signer::ed(), Signer::ed());
    let verifier = verifier(&[signer.jwk("k")]);
    let old = with("exp", json!(NOW_S - 3600));
    assert_eq!(verifier.verify(&signer.token(&old), NOW).unwrap_err(), TokenError::Expired);
    refused(&verifier, &stranger.token(&old), "signature");
}

#[test]
fn malformed_tokens_are_refused_without_quoting_them() {
    let signer = Signer::ed();
    let verifier = verifier(&[signer.jwk("k")]);
    let good = signer.token(&claims());
    let huge = format!("{good}{}", "A".repeat(TOKEN_BYTES_MAX));
    refused(&verifier, &huge, "too long");
    let deep = format!("{}.{}.", b64(format!("{}1", "[".repeat(4000)).as_bytes()), b64(b"{}"));
    let twice = {
        let claims = claims().to_string().replacen('{', r#"{"sub":"root","#, 1);
        let message = format!("{}.{}", b64(br#"{"alg":"EdDSA","kid":"k"}"#), b64(claims.as_bytes()));
        format!("{message}.{}", b64(&signer.sign(message.as_bytes())))
    };
    let padded = format!("{good}==");
    for token in ["", ".", "..", "...", "a.b.c", "é.ü.ß", &good[..good.len() / 2], &deep, &twice, &padded]
    {
        let error = verifier.verify(token, NOW).unwrap_err();
        assert!(matches!(error, TokenError::Invalid(_)), "{error:?}");
        if token.len() > 10 {
            assert!(!format!("{error} {error:?}").contains(&token[..10]));
        }
    }
    let critical = json!({"alg": "EdDSA", "kid": "k", "crit": ["b64"], "b64": false});
    refused(&verifier, &signer.token_with(&critical, &claims()), "critical");
}

#[test]
fn kid_selects() {
    let (one, two) = (Signer::ed(), Signer::ed());
    let both = verifier(&[one.jwk("1"), two.jwk("2")]);
    let header = |kid: &str| json!({"alg": "EdDSA", "kid": kid});
    both.verify(&one.token_with(&header("1"), &claims()), NOW).unwrap();
    both.verify(&two.token_with(&header("2"), &claims()), NOW).unwrap();
    refused(&both, &one.token_with(&header("2"), &claims()), "signature");
    refused(&both, &one.token_with(&header("3"), &claims()), "no key");
    refused(&both, &one.token_with(&json!({"alg": "EdDSA"}), &claims()), "several");
    // A key without kid is meant by no kid.
    let mut nameless = one.jwk("");
    nameless.as_object_mut().unwrap().remove("kid");
    let nameless = verifier(&[nameless]);
    refused(&nameless, &one.token_with(&header("1"), &claims()), "no key");
    nameless.verify(&one.token_with(&json!({"alg": "EdDSA"}), &claims()), NOW).unwrap();
}
