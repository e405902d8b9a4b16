//! Opening, renewing, superseding and ending sessions.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;
use wardline_broker::broker::Ended;
use wardline_client::{Acknowledging, Code, ConnectError, Outgoing, Status, TokenSource};
use wardline_proto::v1::client_frame::Request;
use wardline_proto::v1::server_frame::Response;
use wardline_proto::v1::{Position, Renew, Resume};

use crate::raw::{Raw, hello};
use crate::site::{Person, Site, TENANT, TokenIssuer, claims, device_of, now_ms, start_again, until, within};

on_all_engines![
    welcome_tells_the_limits,
    a_session_is_renewed,
    a_token_that_runs_out_ends_the_session,
    a_newer_connection_supersedes,
    a_stop_says_goodbye_and_loses_nothing,
    resume_overrides_the_record,
    the_sdk_renews_by_itself,
    a_session_that_only_publishes_is_told_nothing,
];

async fn welcome_tells_the_limits(site: Site) {
    let before = now_ms();
    let raw = Raw::session(&site, "ann", 1).await;
    let welcome = &raw.welcome;
    let (limits, set) = (welcome.limits.unwrap(), &site.settings.limits);
    assert_eq!(limits.frame_bytes_max as usize, set.frame_bytes_max);
    assert_eq!(limits.payload_bytes_max as usize, set.payload_bytes_max);
    assert_eq!(limits.page_entries_max as usize, set.page_entries_max);
    assert_eq!(limits.lane_requests_max as usize, set.lane_requests_max);
    assert_eq!(limits.resume_positions_max as usize, set.resume_positions_max);
    assert_eq!((limits.lanes_max, limits.members_max), (set.lanes_max, site.settings.policy.members_max));
    assert_eq!(u128::from(limits.retention_max_ms), site.settings.policy.retention_max.as_millis());
    assert_eq!(u128::from(limits.dedupe_window_ms), site.settings.policy.dedupe_window.as_millis());
    assert_eq!((welcome.user.as_str(), welcome.tenant.as_str()), ("ann", TENANT));
    assert!((before..=now_ms()).contains(&welcome.server_time_ms));
    assert!(welcome.token_expires_at_ms > now_ms());
    assert_eq!(welcome.session_id.len(), 16);
    assert!(!welcome.broker_version.is_empty() && welcome.broker_version.len() <= 32);

    let ann = Person::connect(site.options("ann", 2)).await;
    let session = ann.session().await;
    assert_eq!(session.limits.payload_bytes_max, limits.payload_bytes_max);
    assert_eq!((session.generation, &session.broker_version), (0, &welcome.broker_version));
    assert_ne!(&session.id[..], &welcome.session_id[..]);
}

async fn a_session_is_renewed(site: Site) {
    let mut raw = Raw::session(&site, "ann", 1).await;
    let mut longer = claims(TENANT, "ann", json!([]));
    let expires_s = longer["exp"].as_u64().unwrap() + 3600;
    longer["exp"] = json!(expires_s);
    raw.control.send(2, Request::Renew(Renew { token: site.issuer.sign(&longer) })).await;
    let Response::Welcome(renewed) = raw.control.answer(2).await else { panic!("not renewed") };
    assert_eq!(renewed.token_expires_at_ms, expires_s * 1000);
    assert_eq!(renewed.session_id, raw.welcome.session_id);
    assert_eq!(renewed.user, "ann");

    // Nobody becomes somebody else, and a bad token changes nothing.
    for token in [
        site.issuer.token("bob"),
        site.issuer.sign(&claims("st-elsewhere", "ann", json!([]))),
        TokenIssuer::new().token("ann"),
    ] {
        raw.control.send(3, Request::Renew(Renew { token })).await;
        raw.control.refused(3, Code::Unauthenticated).await;
    }
    raw.control.send(4, Request::ListConversations(Default::default())).await;
    assert!(matches!(raw.control.answer(4).await, Response::ConversationPage(_)));
}

async fn a_token_that_runs_out_ends_the_session(site: Site) {
    let mut short = claims(TENANT, "ann", json!([]));
    short["exp"] = json!(now_ms() / 1000 + 2);
    let mut raw = Raw::silent(&site).await;
    raw.control.send(1, Request::Hello(hello(site.issuer.sign(&short), "ann", 1))).await;
    assert!(matches!(raw.control.answer(1).await, Response::Welcome(_)));
    let goodbye = raw.control.goodbye().await;
    assert_eq!(goodbye.code(), Code::TokenExpired);
    raw.closed(Code::TokenExpired).await;
    assert!(now_ms() / 1000 >= short["exp"].as_u64().unwrap());
}

async fn a_newer_connection_supersedes(site: Site) {
    let mut old = Raw::session(&site, "ann", 1).await;
    let _tablet = Raw::session(&site, "ann", 2).await;
    let mut new = site.person("ann").await;
    assert_eq!(old.control.goodbye().await.code(), Code::Superseded);
    old.closed(Code::Superseded).await;
    let group = new.group(&[]).await;
    let sent = new.client.publish(Outgoing::text(group, "only here"));
    assert_eq!(within("publishing", sent).await.unwrap().sequence, new.entry().await.sequence);

    // The SDK does not fight for the session.
    let newest = site.person("ann").await;
    let mut status = new.client.status();
    within("the end", status.wait_for(|status| matches!(status, Status::Closed { .. }))).await.unwrap();
    assert_eq!(newest.session().await.generation, 0);
}

async fn a_stop_says_goodbye_and_loses_nothing(site: Site) {
    let (ann, mut bob) = (site.person("ann").await, site.person("bob").await);
    let mut raw = Raw::session(&site, "raw", 1).await;
    let group = ann.group(&["bob"]).await;
    let mut pending = Vec::new();
    for number in 0..200 {
        let message = Outgoing::text(group, number.to_string());
        pending.push(within("a place in the window", ann.client.enqueue(message)).await.unwrap());
    }
    let Site { broker, engine, mut settings, ca, issuer, folder } = site;
    settings.listen = broker.address();
    assert_eq!(within("stopping", broker.stop()).await, Ended::Stopped);
    let goodbye = raw.control.goodbye().await;
    assert_eq!(goodbye.code(), Code::ShuttingDown);
    raw.closed(Code::ShuttingDown).await;

    // Another one takes over; the clients find it, and go on.
    let broker = start_again(&settings, Arc::clone(&engine)).await;
    let _site = Site { broker, engine, settings, ca, issuer, folder };
    for (index, ack) in pending.into_iter().enumerate() {
        assert_eq!(within("the ack", ack.wait()).await.unwrap().sequence, index as u64 + 1);
    }
    let arrived = bob.entries(200).await;
    assert!(arrived.iter().map(|entry| entry.sequence).eq(1..=200), "in order, once");
}

async fn resume_overrides_the_record(site: Site) {
    let mut ann = site.person("ann").await;
    let (group, other) = (ann.group(&["bob"]).await, ann.group(&["bob"]).await);
    let mut options = site.options("bob", 1);
    options.acknowledging = Acknowledging::Manual;
    let bob = Person::connect(options.clone()).await;
    for number in 0..5 {
        for conversation in [group, other] {
            let sent = ann.client.publish(Outgoing::text(conversation, number.to_string()));
            within("publishing", sent).await.unwrap();
        }
    }
    ann.entries(10).await;
    within("a receipt", bob.client.acknowledge(group, Some(4), None)).await.unwrap();
    within("a receipt", bob.client.acknowledge(other, Some(4), None)).await.unwrap();
    bob.leave().await;

    options.resume = vec![(group, 2)];
    let mut bob = Person::connect(options).await;
    let backlog = bob.backlog().await;
    let of = |id| backlog.iter().filter(|e| e.conversation == id).map(|e| e.sequence).collect::<Vec<_>>();
    assert_eq!((of(group), of(other)), (vec![3, 4, 5], vec![5]));

    // A conversation stands there once, and there are not too many.
    let position = Position { conversation_id: group.0.to_vec().into(), after_sequence: 1 };
    let many = (0..site.settings.limits.resume_positions_max as u128 + 1)
        .map(|n| Position { conversation_id: n.to_be_bytes().to_vec().into(), after_sequence: 1 })
        .collect();
    for positions in [vec![position.clone(), position], many] {
        let mut raw = Raw::silent(&site).await;
        let mut hello = hello(site.issuer.token("cy"), "cy", 1);
        hello.resume = Some(Resume { positions });
        raw.control.send(1, Request::Hello(hello)).await;
        raw.closed(Code::InvalidArgument).await;
    }
}

async fn a_session_that_only_publishes_is_told_nothing(site: Site) {
    let (mut bob, ann) = (site.person("bob").await, site.person("ann").await);
    let group = ann.group(&["bob", "feed"]).await;
    let mut options = site.options("feed", 1);
    options.publish_only = true;
    let mut feed = Person::connect(options).await;
    for payload in ["one", "two"] {
        within("an ack", feed.client.publish(Outgoing::new(group, "", payload))).await.unwrap();
        bob.entry().await;
    }
    let other = ann.group(&["bob", "feed"]).await;
    // Bob's receipts, the new group and the messages have all been told to whoever is told
    // anything.
    let mut options = site.options("feed", 2);
    options.resume = vec![(group, 0)];
    let mut second = Person::connect(options).await;
    assert_eq!(second.backlog().await.len(), 2);
    assert_eq!(feed.history(group).await.len(), 2, "what it asks for it gets");
    feed.listed(other).await;
    feed.client.close(Duration::from_secs(5)).await;
    assert!(within("the end", feed.inbox.next()).await.is_none());
}

/// Tokens that last for three seconds.
struct ShortTokens {
    issuer: TokenIssuer,
    given: Arc<AtomicU64>,
}

impl TokenSource for ShortTokens {
    fn token(&self) -> Result<String, String> {
        self.given.fetch_add(1, Ordering::Relaxed);
        let mut short = claims(TENANT, "ann", json!([]));
        short["exp"] = json!(now_ms() as f64 / 1000.0 + 3.0);
        Ok(self.issuer.sign(&short))
    }
}

async fn the_sdk_renews_by_itself(mut site: Site) {
    let given = Arc::new(AtomicU64::new(0));
    let mut options = site.options_with(String::new(), device_of("ann", 1));
    let issuer = std::mem::replace(&mut site.issuer, TokenIssuer::new());
    options.tokens = Arc::new(ShortTokens { issuer, given: Arc::clone(&given) });
    let ann = Person::connect(options).await;
    let first = ann.session().await;
    let renewed = until("a renewed session", async || {
        let session = ann.session().await;
        (session.token_expires_at_ms > first.token_expires_at_ms + 2000).then_some(session)
    })
    .await;
    assert_eq!((renewed.id, renewed.generation), (first.id, 0), "the same session");
    assert!(given.load(Ordering::Relaxed) >= 2);
    within("a group", ann.client.direct("bob")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_of_another_authority_is_not_believed() {
    let (site, other) = (Site::memory().await, Site::memory().await);
    let mut options = site.options("ann", 1);
    options.trust = other.options("ann", 1).trust;
    options.connect_timeout = Duration::from_secs(2);
    let error = within("the refusal", wardline_client::connect(options)).await.unwrap_err();
    assert!(matches!(error, ConnectError::Unreachable { .. }), "{error}");
}
