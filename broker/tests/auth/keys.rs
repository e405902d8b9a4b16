//! Sets of keys as issuers publish them.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use wardline_broker::access::auth::{JwksError, Verifier};

use crate::{NOW, Signer, b64, claims, expected, jwks_error, message, refused, verifier};

#[test]
fn symmetric_keys_of_the_set_are_left_out() {
    let signer = Signer::ed();
    let oct =
        json!({"kty": "oct", "kid": "secret", "alg": "HS256", "k": b64(b"0123456789abcdef0123456789abcdef")});
    let verifier = verifier(&[oct.clone(), signer.jwk("k")]);
    assert_eq!(verifier.keys(), 1);
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"0123456789abcdef0123456789abcdef");
    for header in [json!({"alg": "HS256", "kid": "secret"}), json!({"alg": "HS256"})] {
        let message = message(&header, &claims());
        let tag = hmac::sign(&key, message.as_bytes());
        refused(&verifier, &format!("{message}.{}", b64(tag.as_ref())), "no key");
    }
    let only = jwks_error(&json!({"keys": [oct]}).to_string());
    assert!(only.to_string().contains("shared secret"), "{only}");
}

#[test]
fn key_sets_are_checked_when_read() {
    let signer = Signer::ed();
    let missing = Verifier::from_file("/nonexistent/jwks.json".as_ref(), expected()).unwrap_err();
    assert!(missing.to_string().contains("/nonexistent/jwks.json"), "{missing}");
    assert!(missing.to_string().contains("auth.jwks"), "{missing}");

    for json in ["", "{", "[]", r#"{"keys": 1}"#, r#"{"keys": null}"#, "{}"] {
        assert!(matches!(jwks_error(json), JwksError::Malformed { .. }), "{json}");
    }
    assert!(
        matches!(jwks_error(r#"{"keys": []}"#), JwksError::NoKey { left_out, .. } if left_out.is_empty())
    );
    let encrypts = |mut jwk: Value| {
        jwk["use"] = json!("enc");
        jwk
    };
    let other = |alg: &str, mut jwk: Value| {
        jwk["alg"] = json!(alg);
        jwk
    };
    let skipped = json!({"keys": [encrypts(signer.jwk("a")), other("ES384", Signer::p256().jwk("b")),
        other("PS256", Signer::rsa().jwk("c")), {"kty": "OKP", "crv": "X25519", "x": "AA"}, {"kty": "new"}]});
    let none = jwks_error(&skipped.to_string());
    let JwksError::NoKey { left_out, .. } = &none else { panic!("{none}") };
    assert_eq!(left_out.len(), 5);
    assert!(none.to_string().contains(r#"key 1 (kid "a") is not for signatures (use)"#), "{none}");
}

/// RFC 7517, section 5: what is not understood is ignored.
#[test]
fn an_odd_entry_leaves_the_good_ones_in_force_and_is_named() {
    let signer = Signer::ed();
    let weak = json!({"kty": "RSA", "n": b64(&[0xff; 255]), "e": "AQAB"});
    let short = json!({"kty": "OKP", "crv": "Ed25519", "x": b64(&[1; 31])});
    let off_curve = json!({"kty": "EC", "crv": "P-256", "x": b64(&[1; 32]), "y": b64(&[1; 32])});
    let no_y = json!({"kty": "EC", "crv": "P-256", "x": b64(&[1; 32])});
    let odd = [
        (weak, "weak"),
        (short, "Ed25519"),
        (off_curve, "P-256"),
        (no_y, "no y"),
        (json!(1), "no JSON object"),
        (json!(null), "no JSON object"),
        (json!([]), "no JSON object"),
        (json!({}), "no kty"),
        (json!({"kty": 1}), "kty"),
        (json!({"kty": "new"}), "another kind"),
        (json!({"kty": "oct", "k": "c2VjcmV0"}), "shared secret"),
        (json!({"kty": "RSA", "alg": "RSA-OAEP", "use": "enc"}), "another algorithm"),
        (json!({"kty": "RSA", "x5c": ["MIIB"]}), "no n"),
        (json!({"kty": "RSA", "key_ops": "verify"}), "key_ops"),
        (json!({"kty": "RSA", "kid": 7}), "kid"),
        (json!({"kty": "OKP", "crv": ["Ed25519"]}), "crv"),
    ];
    for (mut entry, why) in odd {
        if let Some(entry) = entry.as_object_mut() {
            entry.entry("kid").or_insert(json!("odd\n"));
        }
        let has_name = entry["kid"].is_string();
        for keys in [[&entry, &signer.jwk("k")], [&signer.jwk("k"), &entry]] {
            let keys = verifier(&keys.map(Clone::clone));
            keys.verify(&signer.token(&claims()), NOW).unwrap();
            let [left_out] = keys.left_out() else { panic!("{:?}", keys.left_out()) };
            assert!(left_out.to_string().contains(why), "{left_out}");
            assert_eq!(left_out.to_string().contains(r#"kid "odd\n""#), has_name, "{left_out}");
        }
        let alone = jwks_error(&json!({"keys": [entry]}).to_string());
        assert!(alone.to_string().contains(why), "{alone}");
    }
    // A number beyond all bounds stands where nobody looks.
    let huge = format!(r#"{{"keys": [{}, {{"kty": "RSA", "iat": 1e999}}]}}"#, signer.jwk("k"));
    let huge = Verifier::from_json(&huge, "test", expected()).unwrap();
    huge.verify(&signer.token(&claims()), NOW).unwrap();
    assert_eq!(huge.left_out().len(), 1);
}

#[test]
fn keys_are_taken_as_issuers_write_them() {
    let (ed, p256, rsa) = (Signer::ed(), Signer::p256(), Signer::rsa());
    let padded = |mut jwk: Value, member: &str| {
        let bytes = URL_SAFE_NO_PAD.decode(jwk[member].as_str().unwrap()).unwrap();
        jwk[member] = json!(URL_SAFE.encode(bytes));
        jwk
    };
    let mut signed_number = rsa.jwk("rsa");
    let n = URL_SAFE_NO_PAD.decode(signed_number["n"].as_str().unwrap()).unwrap();
    signed_number["n"] = json!(b64(&[&[0][..], &n].concat()));
    let plain = verifier(&[rsa.jwk("rsa")]);
    let odd = verifier(&[padded(ed.jwk("ed"), "x"), padded(p256.jwk("p"), "y"), signed_number]);
    assert_eq!((odd.keys(), odd.left_out()), (3, &[][..]));
    for (signer, kid) in [(&ed, "ed"), (&p256, "p"), (&rsa, "rsa")] {
        let header = json!({"alg": signer.algorithm(), "kid": kid});
        odd.verify(&signer.token_with(&header, &claims()), NOW).unwrap();
    }
    // However it is written, it is the same key.
    let thumbprint = |keys: &Verifier| keys.names().last().unwrap().id;
    assert_eq!(thumbprint(&plain), thumbprint(&odd));
    // Null is nothing.
    let mut nulls = ed.jwk("k");
    for member in ["alg", "use", "key_ops"] {
        nulls[member] = Value::Null;
    }
    verifier(&[nulls]).verify(&ed.token(&claims()), NOW).unwrap();
}

/// RFC 7638, section 3.1 has this key and this thumbprint.
#[test]
fn thumbprints_are_those_of_the_standard() {
    let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
    let jwk = json!({"kty": "RSA", "n": n, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"});
    let keys = verifier(&[jwk]);
    let name = keys.names().next().unwrap();
    assert_eq!(b64(name.id.as_bytes()), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    assert!(keys.has(name.id) && name.to_string().contains("2011-04-29"), "{name}");
}

/// RFC 7517, section 4.5: keys of other kinds may share a name. At a rotation, two of one kind do.
#[test]
fn keys_that_share_a_name_are_all_tried() {
    let signers = [Signer::ed(), Signer::p256(), Signer::ed()];
    let shared: Vec<_> = signers.iter().map(|signer| signer.jwk("k")).collect();
    let keys = verifier(&[&shared[..], &shared[..1]].concat());
    assert_eq!(keys.keys(), 3);
    assert!(keys.left_out()[0].to_string().contains("before"), "{:?}", keys.left_out());
    let ids: Vec<_> = keys.names().map(|name| name.id).collect();
    for (signer, id) in signers.iter().zip(ids) {
        assert_eq!(keys.verify(&signer.token(&claims()), NOW).unwrap().key.id, id);
    }
    refused(&keys, &Signer::ed().token(&claims()), "signature");
    // But not without end: each costs a signature.
    let many: Vec<_> = (0..9).map(|_| Signer::ed().jwk("k")).collect();
    let keys = verifier(&many);
    assert!(keys.keys() < 9 && keys.keys() + keys.left_out().len() == 9);
}

#[test]
fn byte_order_marks_are_accepted_or_named() {
    let signer = Signer::ed();
    let set = json!({"keys": [signer.jwk("k")]}).to_string();
    Verifier::from_json(&format!("\u{feff}{set}"), "test", expected()).unwrap();
    let utf16: Vec<u8> = "\u{feff}{}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (bytes, why) in [(utf16.as_slice(), "UTF-16"), (b"\xff\xff", "UTF-8"), (&[b' '; 2 << 20], "1 MiB")] {
        let error = Verifier::from_bytes(bytes, "keys.json", expected()).unwrap_err().to_string();
        assert!(error.starts_with("keys.json is not a JWK set") && error.contains(why), "{error}");
    }
}
