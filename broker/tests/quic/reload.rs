//! Certificates and token keys are exchanged under people who talk: nobody is disconnected whose
//! key stays, and the new ones hold.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use wardline_client::{Code, ConnectError, DeviceId, Outgoing, connect};

use crate::raw::Raw;
use crate::site::{Authority, Person, Site, TokenIssuer, within};

const RELOADS: u64 = 50;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reloads_disconnect_nobody() {
    let reloads = std::env::var("WARDLINE_ROUNDS").map_or(RELOADS, |text| text.parse().unwrap());
    let authority = Authority::new();
    let mut site = Site::memory_with(|settings| settings.tls = authority.certify()).await;
    site.ca = authority.pem.clone();
    let (ann, mut bob) = (site.person("ann").await, site.person("bob").await);
    let group = ann.group(&["bob"]).await;
    let quiet = Arc::new(AtomicBool::new(false));
    let (client, told) = (ann.client.clone(), Arc::clone(&quiet));
    let talking = tokio::spawn(async move {
        let mut acked = 0;
        while !told.load(Ordering::Relaxed) {
            let sent = client.publish(Outgoing::text(group, "a message"));
            acked = within("an ack", sent).await.unwrap().sequence;
        }
        acked
    });

    let reloader = site.broker.reloader();
    let mut issuer = TokenIssuer::new();
    for reload in 0..reloads {
        let (tls, next) = (authority.certify(), TokenIssuer::new());
        reloader.replace_certificate(&tls).unwrap();
        // The key that let ann and bob in stays.
        reloader.replace_keys(TokenIssuer::verifier_of(&[&next, &site.issuer], Duration::ZERO));
        let raw = Raw::silent(&site).await;
        assert_eq!(raw.certificate(), tls.chain[0], "reload {reload}: the new certificate is shown");
        let new = Person::connect(site.options_with(next.token("cy"), DeviceId::random())).await;
        new.client.close(Duration::ZERO).await;
        let old = connect(site.options_with(issuer.token("cy"), DeviceId::random()));
        match within("the refusal", old).await.map(|_| ()) {
            Err(ConnectError::Refused(refusal)) => assert_eq!(refusal.code, Code::Unauthenticated),
            other => panic!("reload {reload}: a token of a removed key: {other:?}"),
        }
        issuer = next;
    }
    quiet.store(true, Ordering::Relaxed);
    let acked = within("the last ack", talking).await.unwrap();
    let arrived = bob.entries(acked as usize).await;
    assert!(arrived.iter().map(|entry| entry.sequence).eq(1..=acked), "each once, in order");
    for person in [&ann, &bob] {
        assert_eq!(person.session().await.generation, 0, "nobody was disconnected");
    }
    println!("{reloads} reloads, {acked} messages meanwhile, nobody disconnected");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_does_not_fit_its_key_is_refused() {
    let authority = Authority::new();
    let mut site = Site::memory_with(|settings| settings.tls = authority.certify()).await;
    site.ca = authority.pem.clone();
    let mut mixed = authority.certify();
    mixed.key = authority.certify().key;
    let refused = site.broker.reloader().replace_certificate(&mixed);
    assert!(refused.is_err());
    let raw = Raw::silent(&site).await;
    assert_eq!(raw.certificate(), site.settings.tls.chain[0], "the old one is in force");
    site.person("ann").await.leave().await;
}
