//! Keys over HTTPS: read, rotated, taken out, kept through an outage, and no further.

use std::time::{Duration, Instant};

use serde_json::json;
use wardline_broker::access::auth::tenants::Tenants;
use wardline_broker::access::auth::{Expected, Verifier};
use wardline_broker::access::provider::Pace;
use wardline_client::{Code, DeviceId, connect};

use super::provider::{Idp, KEYS};
use super::refused;
use crate::raw::{Raw, hello};
use crate::site::{ISSUER, Person, Site, claims, until};

/// Longest time from a reading of keys to the end of the last session.
const END_MAX: Duration = Duration::from_secs(3);

fn north() -> Tenants {
    Tenants::One("north".into())
}

async fn comes(site: &Site, token: String) -> Person {
    Person::connect(site.options_with(token, DeviceId::random())).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_issuer_speaks_for_its_own_tenants_and_for_no_other() {
    let (one, among) = (Idp::start().await, Idp::start().await);
    let among_two = Tenants::Among(["south", "east"].map(str::to_owned).into());
    let site = Site::memory_with(|settings| {
        settings.providers = vec![one.config(north()), among.config(among_two.clone())];
    })
    .await;
    // The one whose keys are in a file speaks for whom nobody else does.
    let others = ["north", "south", "east"].map(str::to_owned).into();
    let expected = Expected { tenants: Tenants::AllBut(others), ..Expected::new(ISSUER, "wardline") };
    site.broker.reloader().replace_keys(Verifier::from_bytes(&site.issuer.set(), "test", expected).unwrap());

    let says = |idp: &Idp, tenant: &str| {
        let mut claims = idp.claims("ann", -5);
        claims["tenant"] = json!(tenant);
        idp.signs("JWT", None, &claims)
    };
    let file = |tenant: &str| site.issuer.sign(&claims(tenant, "ann", json!([])));
    let good = [
        (one.token("ann", None), "north"),
        (says(&one, "north"), "north"),
        (says(&among, "south"), "south"),
        (says(&among, "east"), "east"),
        (file("west"), "west"),
    ];
    for (token, tenant) in good {
        let raw = Raw::silent(&site).await.says(hello(token, "ann", 1)).await;
        assert_eq!(raw.welcome.tenant, tenant);
    }
    let mut of_one = among.claims("ann", -5);
    of_one["iss"] = json!(one.url);
    let stranger = Idp::start().await;
    let bad = [
        ("a tenant of another issuer", says(&one, "south")),
        ("a tenant of nobody's", says(&among, "west")),
        ("the tenant that is another's alone", says(&among, "north")),
        ("no tenant", among.token("ann", None)),
        ("a named tenant, by the file's issuer", file("north")),
        ("another issuer's name under one's own key", among.signs("JWT", Some("first"), &of_one)),
        ("an issuer that nobody named", stranger.token("ann", None)),
        ("no issuer", one.signs("JWT", None, &json!({"sub": "ann"}))),
    ];
    for (what, token) in bad {
        assert_eq!(refused(&site, token).await, Code::Unauthenticated, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_key_is_found_by_one_early_reading_and_no_flood_makes_more() {
    let idp = Idp::start().await;
    idp.says_max_age(3600);
    let mut config = idp.config(north());
    // Not due before this test is over, but for those that want it early.
    (config.pace.fetch_min, config.pace.fetch_max) = (Duration::from_secs(600), Duration::from_secs(600));
    let site = Site::memory_with(|settings| settings.providers = vec![config]).await;
    let ann = comes(&site, idp.token("ann", None)).await;
    let before = idp.asked(KEYS);
    idp.rotate(&["first", "second"]);
    comes(&site, idp.token("bob", None)).await.leave().await;
    assert_eq!(idp.asked(KEYS), before + 1, "one reading found it");

    let unknown = Idp::start().await;
    unknown.rotate(&["nobody's"]);
    let mut claims = unknown.claims("eve", -5);
    claims["iss"] = json!(idp.url);
    let (forged, began) = (unknown.signs("JWT", None, &claims), Instant::now());
    for _ in 0..40 {
        assert_eq!(refused(&site, forged.clone()).await, Code::Unauthenticated);
    }
    let readings = idp.asked(KEYS) - before - 1;
    let allowed = 1 + usize::try_from(began.elapsed().as_secs() / 10).unwrap();
    assert!(readings <= allowed, "{readings} readings for 40 tokens in {:?}", began.elapsed());
    ann.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_its_issuer_takes_out_ends_its_sessions_and_those_of_no_other() {
    let (idp, other) = (Idp::start().await, Idp::start().await);
    idp.rotate(&["first", "second"]);
    let south = Tenants::One("south".into());
    let site =
        Site::memory_with(|settings| settings.providers = vec![idp.config(north()), other.config(south)])
            .await;
    let first = idp.signs("JWT", Some("first"), &idp.claims("bob", -5));
    let raw = Raw::silent(&site).await.says(hello(first.clone(), "bob", 1)).await;
    let (ann, cy) = (comes(&site, idp.token("ann", None)).await, comes(&site, other.token("cy", None)).await);
    idp.says_max_age(0);
    let before = idp.asked(KEYS);
    idp.rotate(&["second"]);
    until("keys to be read", async || (idp.asked(KEYS) > before).then_some(())).await;
    let asked = Instant::now();
    raw.closed(Code::Revoked).await;
    assert!(asked.elapsed() < END_MAX, "{:?}", asked.elapsed());
    assert_eq!(refused(&site, first).await, Code::Unauthenticated);
    ann.leave().await;
    cy.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_known_outlasts_an_outage_and_a_restart_but_not_the_bound() {
    let mut idp = Idp::start().await;
    let mut config = idp.config(north());
    let (kept, bounded) = (config.clone(), Duration::from_secs(8));
    config.pace.keys_kept = bounded;
    let mut site = Site::rocksdb_with(|settings| settings.providers = vec![kept]).await;
    let token = idp.token("ann", None);
    comes(&site, token.clone()).await.leave().await;
    until("a copy of the keys", async || {
        let files = std::fs::read_dir(site.folder.as_ref().unwrap().path().join("store")).unwrap();
        let is_copy = |name: &str| name.starts_with("issuer-") && name.ends_with(".json");
        files.flatten().any(|file| is_copy(&file.file_name().to_string_lossy())).then_some(())
    })
    .await;
    idp.goes_down().await;
    comes(&site, token.clone()).await.leave().await;
    // It starts while the issuer is silent, and knows its keys.
    site = site.restart().await;
    comes(&site, token.clone()).await.leave().await;

    // The same with a bound that ends while somebody is there.
    idp.comes_up().await;
    site.settings.providers = vec![config];
    site = site.restart().await;
    let before = idp.asked(KEYS);
    until("keys to be read", async || (idp.asked(KEYS) > before).then_some(())).await;
    idp.goes_down().await;
    let down = Instant::now();
    let raw = Raw::silent(&site).await.says(hello(token.clone(), "ann", 1)).await;
    raw.closed(Code::Revoked).await;
    let lasted = down.elapsed();
    assert!(lasted + Duration::from_secs(2) > bounded && lasted < bounded * 2, "{lasted:?}");
    assert_eq!(refused(&site, token.clone()).await, Code::Unavailable);
    // The copy is too old, too.
    site = site.restart().await;
    assert_eq!(refused(&site, token.clone()).await, Code::Unavailable);
    idp.comes_up().await;
    until("the issuer to be asked again", async || {
        connect(site.options_with(token.clone(), DeviceId::random())).await.ok()
    })
    .await;
}

/// Whatever it says, what was known stays in force, nobody else comes in, and it is asked again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_odd_answer_changes_nothing() {
    let (idp, thief) = (Idp::start().await, Idp::start().await);
    thief.rotate(&["thief's"]);
    let site = Site::memory_with(|settings| {
        let mut config = idp.config(north());
        config.pace = Pace { timeout: Duration::from_millis(500), ..config.pace };
        settings.providers = vec![config];
    })
    .await;
    idp.says_max_age(0);
    let ann = comes(&site, idp.token("ann", None)).await;
    let mut claims = thief.claims("ann", -5);
    claims["iss"] = json!(idp.url);
    let forged = thief.signs("JWT", None, &claims);
    for (what, path, odd) in super::odd::answers(&idp, &thief) {
        idp.is_odd(path, Some(odd));
        let before = idp.asked(path);
        until("it to be asked again", async || (idp.asked(path) >= before + 2).then_some(())).await;
        comes(&site, idp.token("bob", None)).await.leave().await;
        assert_eq!(refused(&site, forged.clone()).await, Code::Unauthenticated, "{what}");
        idp.is_odd(path, None);
    }
    ann.leave().await;
}
