//! Whether a token is active still, by its issuer's word: at the beginning, again and again, and
//! while the issuer is silent.

use std::time::{Duration, Instant};

use wardline_broker::access::auth::tenants::Tenants;
use wardline_broker::access::provider::{Config, try_out};
use wardline_client::{Code, DeviceId, connect};

use super::provider::{DOCUMENT, INTROSPECTION, Idp, Odd};
use super::refused;
use crate::raw::{Raw, hello};
use crate::site::{Person, Site, until};

fn asked(idp: &Idp) -> Config {
    idp.introspecting(Tenants::One("north".into()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_is_taken_back_lets_nobody_in_nor_stay() {
    let idp = Idp::start().await;
    let site = Site::memory_with(|settings| settings.providers = vec![asked(&idp)]).await;
    let (ann, bob) = (idp.token("ann", None), idp.token("bob", None));
    let raw = Raw::silent(&site).await.says(hello(ann.clone(), "ann", 1)).await;
    let stays = Person::connect(site.options_with(bob, DeviceId::random())).await;
    idp.takes_back(&ann);
    let asked = Instant::now();
    raw.closed(Code::Revoked).await;
    assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
    assert_eq!(refused(&site, ann).await, Code::Revoked);
    stays.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_asked_about_once_in_an_interval_however_often_it_comes() {
    let idp = Idp::start().await;
    let mut config = asked(&idp);
    config.pace.introspect_every = Duration::from_secs(600);
    let site = Site::memory_with(|settings| settings.providers = vec![config]).await;
    let token = idp.token("ann", None);
    for _ in 0..5 {
        Person::connect(site.options_with(token.clone(), DeviceId::random())).await.leave().await;
    }
    // A round may have come in between.
    assert!(idp.asked(INTROSPECTION) <= 2, "{} times", idp.asked(INTROSPECTION));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_is_taken_for_a_yes_for_a_while_and_then_for_a_no() {
    let idp = Idp::start().await;
    let grace = Duration::from_secs(4);
    let mut config = asked(&idp);
    (config.pace.introspect_grace, config.pace.timeout) = (grace, Duration::from_millis(400));
    let site = Site::memory_with(|settings| settings.providers = vec![config]).await;
    Person::connect(site.options_with(idp.token("ann", None), DeviceId::random())).await.leave().await;
    for odd in [Odd::Hangs, Odd::body("<html>"), Odd::Says(401, Vec::new(), "{}".into()), Odd::body("{}")] {
        idp.is_odd(INTROSPECTION, Some(odd));
        // Also those who were never asked about.
        let token = idp.token("new", None);
        let raw = Raw::silent(&site).await.says(hello(token.clone(), "new", 1)).await;
        let silent = Instant::now();
        raw.closed(Code::Unavailable).await;
        let lasted = silent.elapsed();
        assert!(lasted + Duration::from_secs(2) > grace && lasted < grace * 3, "{lasted:?}");
        assert_eq!(refused(&site, token.clone()).await, Code::Unavailable);
        idp.is_odd(INTROSPECTION, None);
        until("it to answer again", async || {
            connect(site.options_with(token.clone(), DeviceId::random())).await.ok()
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_issuer_that_cannot_be_asked_about_tokens_is_named() {
    let idp = Idp::start().await;
    try_out(&asked(&idp)).await.unwrap();
    idp.is_odd(
        DOCUMENT,
        Some(Odd::body(idp.document_with("introspection_endpoint", serde_json::json!(null)))),
    );
    let error = try_out(&asked(&idp)).await.unwrap_err();
    assert!(error.to_string().contains("introspection_endpoint"), "{error}");
    let mut config = asked(&idp);
    config.introspection.as_mut().unwrap().secret = "/nonexistent/secret".into();
    idp.is_odd(DOCUMENT, None);
    let error = try_out(&config).await.unwrap_err();
    assert!(error.to_string().contains("client_secret"), "{error}");
}
