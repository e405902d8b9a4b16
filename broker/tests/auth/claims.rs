//! What tokens say, as issuers make them.

use serde_json::{Value, json};
use wardline_broker::access::auth::{Expected, TokenError, Verifier};
use wardline_storage::id::Timestamp;

use crate::{LEEWAY, NOW, NOW_S, Signer, b64, claims, expected, refused, verifier, with};

#[test]
fn roles_are_optional_and_only_known_ones_count() {
    let signer = Signer::ed();
    let verifier = verifier(&[signer.jwk("k")]);
    let administrator = with("roles", json!(["administrator"]));
    assert!(verifier.verify(&signer.token(&administrator), NOW).unwrap().administrator);
    let registrar = verifier.verify(&signer.token(&with("roles", json!("registrar"))), NOW).unwrap();
    assert!(registrar.registrar && !registrar.broadcaster && !registrar.administrator);
    for roles in [json!([]), json!(["admin", "broadcasters", "registrars", "Registrar"])] {
        let identity = verifier.verify(&signer.token(&with("roles", roles)), NOW).unwrap();
        assert!(!identity.broadcaster && !identity.administrator && !identity.registrar);
    }
    let mut none = claims();
    none.as_object_mut().unwrap().remove("roles");
    assert!(!verifier.verify(&signer.token(&none), NOW).unwrap().broadcaster);
}

/// As issuers really write them: nothing, null, one text, a list with other things in it.
#[test]
fn roles_are_taken_for_what_they_mean_and_never_guessed() {
    let signer = Signer::ed();
    let verifier = verifier(&[signer.jwk("k")]);
    let is_broadcaster =
        |roles: Value| verifier.verify(&signer.token(&with("roles", roles)), NOW).unwrap().broadcaster;
    for roles in [json!("broadcaster"), json!(["broadcaster"]), json!([null, 7, {}, "broadcaster"])] {
        assert!(is_broadcaster(roles.clone()), "{roles}");
    }
    let none = [
        json!(null),
        json!(""),
        json!("nurse broadcaster"),
        json!(7),
        json!(true),
        json!({"broadcaster": true}),
        json!([["broadcaster"]]),
        json!("Broadcaster"),
        json!("broadcaster "),
    ];
    for roles in none {
        assert!(!is_broadcaster(roles.clone()), "{roles}");
    }
}

#[test]
fn claims_of_tenant_and_roles_have_the_names_that_are_configured() {
    let signer = Signer::ed();
    let named = |tenant: &str, roles: &str| {
        let expected = Expected { tenant_claim: tenant.into(), roles_claim: roles.into(), ..expected() };
        let set = json!({"keys": [signer.jwk("k")]}).to_string();
        Verifier::from_json(&set, "test", expected).unwrap()
    };
    let mut claims = claims();
    for claim in ["tenant", "roles"] {
        claims.as_object_mut().unwrap().remove(claim);
    }
    claims["realm_access"] = json!({"roles": ["broadcaster"], "tenant": "st-mary"});
    claims["https://hospital.example/tenant"] = json!("st-mary");
    claims["resource_access"] = json!({"ward.line": {"roles": ["broadcaster"]}});
    claims["scope"] = json!("openid broadcaster");
    claims["a.b"] = json!("of that very name");
    claims["a"] = json!({"b": "within"});
    let token = signer.token(&claims);
    let tenants = [
        ("realm_access.tenant", "st-mary"),
        ("https://hospital.example/tenant", "st-mary"),
        ("a.b", "of that very name"),
    ];
    for (claim, tenant) in tenants {
        for roles in ["realm_access.roles", "resource_access.ward.line.roles", "scope"] {
            let identity = named(claim, roles).verify(&token, NOW).unwrap();
            assert_eq!(identity.tenant, tenant);
            assert!(identity.broadcaster, "{roles}");
        }
    }
    // A way that leads nowhere, or to something that is no text.
    for claim in ["tenant", "realm_access", "realm_access.", ".tenant", "sub.tenant", "a.b.c"] {
        refused(&named(claim, "roles"), &token, "claim tenant");
    }
    for roles in ["roles", "realm_access", "nowhere.roles"] {
        assert!(!named("a.b", roles).verify(&token, NOW).unwrap().broadcaster, "{roles}");
    }
}

#[test]
fn claims_that_nobody_can_do_without_are_required() {
    let signer = Signer::ed();
    let verifier = verifier(&[signer.jwk("k")]);
    for claim in ["iss", "aud", "exp", "sub", "tenant"] {
        let mut without = claims();
        without.as_object_mut().unwrap().remove(claim);
        refused(&verifier, &signer.token(&without), claim);
        refused(&verifier, &signer.token(&with(claim, Value::Null)), claim);
        refused(&verifier, &signer.token(&with(claim, json!({}))), "");
    }
}

/// RFC 7519 calls it optional, and many issuers leave it out.
#[test]
fn nbf_and_iat_are_optional() {
    let signer = Signer::ed();
    let verifier = verifier(&[signer.jwk("k")]);
    let mut none = claims();
    none.as_object_mut().unwrap().remove("nbf");
    let identity = verifier.verify(&signer.token(&none), NOW).unwrap();
    assert_eq!((identity.not_before, identity.issued), (Timestamp::ZERO, None));
    let null = with("nbf", Value::Null);
    assert_eq!(verifier.verify(&signer.token(&null), NOW).unwrap().not_before, Timestamp::ZERO);
    none["iat"] = json!(NOW_S - 5);
    let issued = verifier.verify(&signer.token(&none), NOW).unwrap().issued;
    assert_eq!(issued, Some(Timestamp((NOW_S - 5) * 1000)));
    for (claim, wrong) in [("nbf", json!("1")), ("iat", json!([])), ("iat", json!(-1)), ("nbf", json!({}))] {
        refused(&verifier, &signer.token(&with(claim, wrong)), claim);
    }
    // Issued later than now: within the leeway, clocks are a little apart.
    verifier.verify(&signer.token(&with("iat", json!(NOW_S + LEEWAY.as_secs()))), NOW).unwrap();
    refused(&verifier, &signer.token(&with("iat", json!(NOW_S + LEEWAY.as_secs() + 1))), "iat");
}

#[test]
fn a_token_that_is_good_for_too_long_is_refused() {
    let signer = Signer::ed();
    let verifier = verifier(&[signer.jwk("k")]);
    let longest = expected().lifetime_max.as_secs();
    let token = |begin: Option<(&str, u64)>, exp: Value| {
        let mut claims = with("exp", exp);
        claims.as_object_mut().unwrap().remove("nbf");
        if let Some((claim, at)) = begin {
            claims[claim] = json!(at);
        }
        signer.token(&claims)
    };
    // As long as may be, told from the issue, from `nbf`, or from now; give or take a leeway.
    for begin in [None, Some(("iat", NOW_S)), Some(("nbf", NOW_S))] {
        verifier.verify(&token(begin, json!(NOW_S + longest)), NOW).unwrap();
        let over = token(begin, json!(NOW_S + longest + LEEWAY.as_secs() + 1));
        refused(&verifier, &over, "auth.lifetime");
    }
    // What it was good for counts, also when little of it is left; what it says of its issue does
    // not make it shorter.
    refused(&verifier, &token(Some(("iat", NOW_S - longest)), json!(NOW_S + 60)), "auth.lifetime");
    refused(&verifier, &token(Some(("iat", NOW_S + 20)), json!(NOW_S + 3_155_760_000_u64)), "auth.lifetime");
    for exp in [json!(NOW_S + 3_155_760_000_u64), json!(1e300), json!(u64::MAX)] {
        refused(&verifier, &token(Some(("iat", NOW_S)), exp), "auth.lifetime");
    }
}

#[test]
fn names_are_bounded() {
    let signer = Signer::ed();
    let verifier = verifier(&[signer.jwk("k")]);
    for claim in ["sub", "tenant"] {
        verifier.verify(&signer.token(&with(claim, json!("n".repeat(128)))), NOW).unwrap();
        for bad in [String::new(), "n".repeat(129), "a\nb".into(), "a\0".into(), "a\u{9b}b".into()] {
            refused(&verifier, &signer.token(&with(claim, json!(bad))), claim);
        }
    }
}

#[test]
fn times_are_checked_to_the_millisecond_with_leeway() {
    let signer = Signer::ed();
    let verifier = verifier(&[signer.jwk("k")]);
    let leeway_ms = LEEWAY.as_millis() as u64;
    let mut claims = with("exp", json!(NOW_S + 100));
    claims["nbf"] = json!(NOW_S);
    let token = signer.token(&claims);
    let at = |ms: u64| verifier.verify(&token, Timestamp(ms)).map(|_| ());
    let (nbf, exp) = (NOW_S * 1000, (NOW_S + 100) * 1000);
    assert_eq!(at(nbf - leeway_ms - 1), Err(TokenError::Invalid("it is not valid yet")));
    assert_eq!(at(nbf - leeway_ms), Ok(()));
    assert_eq!(at(exp + leeway_ms - 1), Ok(()));
    assert_eq!(at(exp + leeway_ms), Err(TokenError::Expired));
    assert_eq!(at(u64::MAX), Err(TokenError::Expired));
    // NumericDate may have a fraction or an exponent; before the epoch is no time.
    let fraction = signer.token(&with("exp", json!(NOW_S as f64 - 30.5)));
    assert_eq!(verifier.verify(&fraction, NOW).map(|_| ()), Err(TokenError::Expired));
    let exponent = {
        let claims = claims.to_string().replace(&(NOW_S + 100).to_string(), "18000001e2");
        assert!(claims.contains("18000001e2"), "{claims}");
        let message = format!("{}.{}", b64(br#"{"alg":"EdDSA","kid":"k"}"#), b64(claims.as_bytes()));
        format!("{message}.{}", b64(&signer.sign(message.as_bytes())))
    };
    assert_eq!(verifier.verify(&exponent, NOW).unwrap().expires, Timestamp(1_800_000_100_000));
    refused(&verifier, &signer.token(&with("exp", json!(-1))), "exp");
    refused(&verifier, &signer.token(&with("exp", json!(NOW_S.to_string()))), "wrong type");
}

/// Access tokens in the shape of issuers that hospitals have, with what they leave out and add.
#[test]
fn tokens_of_known_issuers_are_taken() {
    let (keycloak_roles, namespaced) = ("realm_access.roles", "https://ward.example/tenant");
    let issuers = [
        // Keycloak 26: no `nbf`; roles of the realm within a claim.
        (
            ("tenant", keycloak_roles),
            json!({
                "exp": NOW_S + 300, "iat": NOW_S, "auth_time": NOW_S - 60, "jti": "onrtac:1f3e",
                "aud": ["wardline", "account"], "sub": "5f1c", "typ": "Bearer", "azp": "ward-app",
                "sid": "d2a4", "acr": "1", "allowed-origins": ["/*"],
                "realm_access": {"roles": ["offline_access", "broadcaster"]},
                "resource_access": {"account": {"roles": ["view-profile"]}},
                "scope": "openid profile", "email_verified": false, "tenant": "st-mary",
            }),
        ),
        // Entra ID, version 2: `nbf`; the tenant is `tid`; no roles for most people.
        (
            ("tid", "roles"),
            json!({
                "aud": "wardline", "iat": NOW_S - 5, "nbf": NOW_S - 5, "exp": NOW_S + 4_000,
                "aio": "AWQA", "azp": "6f1e", "azpacr": "1", "oid": "0c61", "sub": "AXcw", "ver": "2.0",
                "tid": "st-mary", "scp": "Ward.Read", "uti": "x", "roles": ["broadcaster"],
            }),
        ),
        // oidc-provider 8 (Node.js): the least that there is.
        (
            ("tenant", "roles"),
            json!({
                "jti": "Zx", "sub": "carol", "iat": NOW_S, "exp": NOW_S + 600, "scope": "ward",
                "client_id": "app", "aud": "wardline", "tenant": "st-mary", "roles": "broadcaster",
            }),
        ),
        // Auth0: claims of one's own have an address before them; roles are in `scope`.
        (
            (namespaced, "scope"),
            json!({
                "https://ward.example/tenant": "st-mary", "sub": "auth0|61", "iat": NOW_S,
                "aud": ["wardline", "https://a.example/userinfo"], "exp": NOW_S + 86_400, "azp": "Hq",
                "scope": "openid broadcaster", "permissions": null,
            }),
        ),
        // Numbers with a fraction, as PHP's and Python's clocks give them.
        (
            ("tenant", "roles"),
            json!({
                "aud": "wardline", "sub": "dan", "tenant": "st-mary", "roles": ["broadcaster"],
                "iat": NOW_S as f64 - 0.25, "nbf": NOW_S as f64 - 0.25, "exp": NOW_S as f64 + 59.75,
            }),
        ),
    ];
    let signer = Signer::rsa();
    for ((tenant_claim, roles_claim), mut claims) in issuers {
        claims["iss"] = json!("https://id.example");
        let (tenant_claim, roles_claim) = (tenant_claim.to_owned(), roles_claim.to_owned());
        let expected = Expected { tenant_claim, roles_claim, ..expected() };
        let set = json!({"keys": [signer.jwk("k")]}).to_string();
        let verifier = Verifier::from_json(&set, "test", expected).unwrap();
        let header = json!({"alg": "RS256", "typ": "at+jwt", "kid": "k", "x5t": "1LTM", "nonce": 7});
        let identity = verifier.verify(&signer.token_with(&header, &claims), NOW).unwrap();
        assert_eq!((identity.tenant.as_str(), identity.broadcaster), ("st-mary", true), "{claims}");
    }
}
