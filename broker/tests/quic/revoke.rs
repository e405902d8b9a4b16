//! Access that is taken back: sessions end at once, nothing follows, and nobody comes in again who
//! may not.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use wardline_broker::operator::revoke::{Done, Order, Whose};
use wardline_client::{Code, Outgoing, Status, connect};
use wardline_proto::v1::client_frame::Request;

use crate::raw::{Raw, hello};
use crate::site::{Person, Site, TENANT, TokenIssuer, claims, device_of, kept_out, now_ms, until, within};

on_all_engines!(whose_access_is_taken_back_is_cut_off_and_stays_out, a_token_of_later_lets_in_again);

/// Longest time from an order, or a change of keys, to the end of the last session.
const END_MAX: Duration = Duration::from_secs(1);
/// One packet, give or take, that says why.
const FAREWELL_BYTES_MAX: u64 = 3_000;

fn user(name: &str) -> Whose {
    Whose::User { tenant: TENANT.into(), name: name.into() }
}

async fn revoke(site: &Site, whose: Whose, until_lifted: bool) -> usize {
    match within("the order", site.broker.revoker().carry_out(Order::Revoke { whose, until_lifted })).await {
        Ok(Done::Revoked { ended, not_on_record: None, .. }) => ended,
        other => panic!("{other:?}"),
    }
}

async fn lift(site: &Site, whose: Whose) {
    let done = within("the order", site.broker.revoker().carry_out(Order::Lift(whose))).await;
    assert_eq!(done, Ok(Done::Lifted { was_revoked: true }));
}

/// Somebody who reads nothing, so that more and more waits for them.
async fn who_reads_nothing(site: &Site, name: &str) -> Raw {
    let raw = Raw::session(site, name, 1).await;
    let ann = site.person("ann").await;
    let group = ann.group(&[name]).await;
    for _ in 0..60 {
        let message = Outgoing::new(group, "", vec![7; 60_000]);
        within("publishing", ann.client.publish(message)).await.unwrap();
    }
    let received = || raw.connection.stats().udp_rx.bytes;
    until("all that is sent unasked to be there", async || {
        let before = received();
        tokio::time::sleep(Duration::from_millis(200)).await;
        (before > 100_000 && received() == before).then_some(())
    })
    .await;
    ann.leave().await;
    raw
}

async fn whose_access_is_taken_back_is_cut_off_and_stays_out(site: Site) {
    let kid = Whose::Key("k".into());
    let device = Whose::Device(hex::encode(device_of("dan", 1).0));
    let tenant = Whose::Tenant(TENANT.into());
    for (name, whose) in [("bob", user("bob")), ("dan", device), ("eve", tenant), ("fay", kid)] {
        let raw = who_reads_nothing(&site, name).await;
        let before = raw.connection.stats().udp_rx.bytes;
        let asked = Instant::now();
        assert!(revoke(&site, whose.clone(), false).await >= 1, "{whose:?}");
        raw.closed(Code::Revoked).await;
        assert!(asked.elapsed() < END_MAX, "{whose:?}: {:?}", asked.elapsed());
        let after = raw.connection.stats().udp_rx.bytes - before;
        assert!(after < FAREWELL_BYTES_MAX, "{whose:?}: {after} bytes came after it");

        assert_eq!(kept_out(&site, site.issuer.token(name), device_of(name, 1)).await, Code::Revoked);
        lift(&site, whose).await;
        site.person(name).await.leave().await;
    }
}

async fn a_token_of_later_lets_in_again(mut site: Site) {
    let bob = site.person("bob").await;
    let issued = |name: &str| {
        let mut later = claims(TENANT, name, json!([]));
        later["iat"] = json!(now_ms() as f64 / 1000.0);
        later
    };
    revoke(&site, user("bob"), false).await;
    // It has the same token still.
    let mut status = bob.client.status();
    within("the end", status.wait_for(|status| matches!(status, Status::Closed { .. }))).await.unwrap();

    // What is on record outlives the broker.
    site = site.restart().await;
    let device = device_of("bob", 1);
    assert_eq!(kept_out(&site, site.issuer.token("bob"), device).await, Code::Revoked);
    tokio::time::sleep(Duration::from_millis(10)).await;
    let later = site.issuer.sign(&issued("bob"));
    Person::connect(site.options_with(later.clone(), device)).await.leave().await;

    // Until it is lifted, no token does.
    revoke(&site, user("bob"), true).await;
    site = site.restart().await;
    assert_eq!(kept_out(&site, later.clone(), device).await, Code::Revoked);
    assert_eq!(kept_out(&site, site.issuer.sign(&issued("bob")), device).await, Code::Revoked);
    site.person("ann").await.leave().await;
    lift(&site, user("bob")).await;
    site = site.restart().await;
    Person::connect(site.options_with(later, device)).await.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_taken_out_of_the_set_ends_its_sessions() {
    let other = TokenIssuer::new();
    let site = Site::memory().await;
    let both = TokenIssuer::verifier_of(&[&site.issuer, &other], Duration::ZERO);
    let reloader = site.broker.reloader();
    reloader.replace_keys(both);
    let stays = site.person("ann").await;
    let goes = Raw::silent(&site).await.says(hello(other.token("bob"), "bob", 1)).await;
    // A renewed token's key counts, not that of the first.
    let mut renews = Raw::silent(&site).await.says(hello(other.token("cy"), "cy", 1)).await;
    renews.ask(Request::Renew(wardline_proto::v1::Renew { token: site.issuer.token("cy") })).await;
    let asked = Instant::now();
    reloader.replace_keys(site.issuer.verifier());
    goes.closed(Code::Revoked).await;
    assert!(asked.elapsed() < END_MAX, "{:?}", asked.elapsed());
    renews.direct("ann").await;
    stays.leave().await;
    assert_eq!(kept_out(&site, other.token("bob"), device_of("bob", 1)).await, Code::Unauthenticated);
}

/// Whoever comes while keys are replaced is not missed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_slips_in_beside_a_revocation() {
    let (site, other) = (Arc::new(Site::memory().await), TokenIssuer::new());
    for round in 0..20 {
        let reloader = site.broker.reloader();
        reloader.replace_keys(TokenIssuer::verifier_of(&[&site.issuer, &other], Duration::ZERO));
        let coming: Vec<_> = (0..8)
            .map(|device| {
                let options = site.options_with(other.token("bob"), device_of("bob", device));
                tokio::spawn(connect(options))
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(round)).await;
        reloader.replace_keys(site.issuer.verifier());
        for coming in coming {
            let Ok((client, _inbox)) = within("an answer", coming).await.unwrap() else { continue };
            let mut status = client.status();
            let gone = status.wait_for(|status| !matches!(status, Status::Connected(_)));
            assert!(tokio::time::timeout(END_MAX, gone).await.is_ok(), "round {round}: a session is left");
        }
    }
}

/// A session lasts as long as its token would open another one; after that, nobody is let in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_within_its_leeway_does_not_make_a_loop() {
    let leeway = Duration::from_secs(3);
    let mut issuer = TokenIssuer::new();
    let verifier = TokenIssuer::verifier_of(&[&issuer], leeway);
    let mut site = Site::memory_with(|settings| settings.verifier = Some(Arc::new(verifier))).await;
    std::mem::swap(&mut site.issuer, &mut issuer);
    let mut over = claims(TENANT, "bob", json!([]));
    let ended = now_ms() - 1_000;
    over["exp"] = json!(ended as f64 / 1000.0);
    let bob = Person::connect(site.options_with(site.issuer.sign(&over), device_of("bob", 1))).await;
    let mut status = bob.client.status();
    let mut sessions = 1;
    let closed = async {
        loop {
            status.changed().await.unwrap();
            match &*status.borrow_and_update() {
                Status::Connected(_) => sessions += 1,
                Status::Closed { .. } => return,
                _ => {}
            }
        }
    };
    within("the end", closed).await;
    assert_eq!(sessions, 1, "it came back with the same token");
    assert!(now_ms() >= ended + leeway.as_millis() as u64, "it was ended while its token was good");
}
