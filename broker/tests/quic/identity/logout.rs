//! Logout tokens over real HTTP: whose sessions end, who stays out, and what is answered to
//! everything else.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use wardline_broker::access::auth::tenants::Tenants;
use wardline_broker::limits::SIGN_OUTS_MAX;
use wardline_broker::operator::http::Serving;
use wardline_broker::operator::logout::Door;
use wardline_client::{Code, DeviceId};
use wardline_storage::engine::{Durability, Engine as _, Mutation, Table};
use wardline_storage::id::{SignInId, Timestamp};
use wardline_storage::memory::MemoryEngine;
use wardline_storage::model::{Revocation, Subject, Text};
use wardline_storage::record::Record as _;
use wardline_storage::{format, key};

use super::provider::{CLIENT, Idp};
use super::refused;
use crate::raw::{Raw, hello};
use crate::site::{Person, Site, now_ms, within};

const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// Longest time from a logout token to the end of the last session.
const END_MAX: Duration = Duration::from_secs(1);

fn settings(idp: &Idp) -> Vec<wardline_broker::access::provider::Config> {
    vec![idp.config(Tenants::One("north".into()))]
}

async fn door(site: &Site) -> (SocketAddr, Serving) {
    let (_, tls) = watch::channel(site.settings.tls.clone());
    let door = Door::bind(SocketAddr::from(([127, 0, 0, 1], 0)), tls).await.unwrap();
    (door.address(), door.open(site.broker.sign_outs()))
}

/// Status, headers and body of the answer.
async fn says(address: SocketAddr, request: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    within("an answer", stream.read_to_string(&mut answer)).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_ascii_lowercase(), body.to_owned())
}

async fn posts(address: SocketAddr, form: &str) -> (u16, String, String) {
    let request = format!(
        "POST /logout HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\n\r\n{form}",
        form.len()
    );
    says(address, &request).await
}

async fn logs_out(address: SocketAddr, token: &str) -> (u16, String, String) {
    posts(address, &format!("logout_token={token}&more=1")).await
}

fn logout(idp: &Idp, user: Option<&str>, session: Option<&str>) -> Value {
    let now = now_ms() / 1000;
    let mut claims = json!({
        "iss": idp.url, "aud": CLIENT, "iat": now, "exp": now + 120, "events": {EVENT: {}},
        "jti": hex::encode(DeviceId::random().0),
    });
    if let Some(user) = user {
        claims["sub"] = json!(user);
    }
    if let Some(session) = session {
        claims["sid"] = json!(session);
    }
    claims
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_was_named_ends_at_once_and_stays_out_and_nothing_else() {
    let idp = Idp::start().await;
    let site = Site::memory_with(|site| site.providers = settings(&idp)).await;
    let (address, _open) = door(&site).await;
    // By user; by session; by both; by a session that was never here.
    let named = [
        (Some("ann"), None, vec![0, 1, 2]),
        (None, Some("s-ann-1"), vec![0]),
        (Some("ann"), Some("s-ann-2"), vec![1, 2]),
        (None, Some("s-other"), vec![]),
    ];
    for (round, (user, session, ends)) in named.into_iter().enumerate() {
        // Other people in each round, since who is out stays out.
        let own = |name: &str| name.replace("ann", &format!("ann{round}"));
        let (ann, bob) = (own("ann"), format!("bob{round}"));
        let tokens = [
            idp.token(&ann, Some(&own("s-ann-1"))),
            idp.token(&ann, Some(&own("s-ann-2"))),
            idp.token(&ann, None),
            idp.token(&bob, Some(&format!("s-bob-{round}"))),
        ];
        let mut sessions = Vec::new();
        for (number, token) in (1..).zip(&tokens) {
            sessions.push(Raw::silent(&site).await.says(hello(token.clone(), &ann, number)).await);
        }
        let claims = logout(&idp, user.map(own).as_deref(), session.map(own).as_deref());
        let asked = Instant::now();
        let (status, head, _) = logs_out(address, &idp.signs("logout+jwt", None, &claims)).await;
        assert_eq!(status, 200, "round {round}");
        assert!(head.contains("cache-control: no-store"), "{head}");
        for (number, (raw, token)) in sessions.iter_mut().zip(&tokens).enumerate() {
            if ends.contains(&number) {
                raw.closed(Code::Revoked).await;
                assert!(asked.elapsed() < END_MAX, "{:?}", asked.elapsed());
                assert_eq!(refused(&site, token.clone()).await, Code::Revoked, "round {round}, {number}");
            } else {
                raw.direct("cy").await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_signs_in_again_comes_in_and_a_late_or_replayed_logout_does_not_touch_them() {
    let idp = Idp::start().await;
    let mut site = Site::rocksdb_with(|site| site.providers = settings(&idp)).await;
    let (address, open) = door(&site).await;
    let before = idp.token("ann", Some("s1"));
    let later = idp.signs("at+jwt", None, &idp.claims("ann", 3));
    let token = idp.signs("logout+jwt", None, &logout(&idp, Some("ann"), None));
    assert_eq!(logs_out(address, &token).await.0, 200);
    let ann = Person::connect(site.options_with(later.clone(), DeviceId::random())).await;
    let (status, head, body) = logs_out(address, &token).await;
    assert!(status == 400 && head.contains("cache-control: no-store") && body.contains("jti"), "{body}");
    // Another one of the same moment.
    let again = idp.signs("logout+jwt", None, &logout(&idp, Some("ann"), None));
    assert_eq!(logs_out(address, &again).await.0, 200);
    assert_eq!(refused(&site, before.clone()).await, Code::Revoked);
    ann.leave().await;

    // It is on record. After a restart a token may be used again, and finds nothing more to end.
    drop(open);
    site = site.restart().await;
    assert_eq!(refused(&site, before.clone()).await, Code::Revoked);
    let ann = Person::connect(site.options_with(later, DeviceId::random())).await;
    let (address, _open) = door(&site).await;
    assert_eq!(logs_out(address, &token).await.0, 200);
    assert_eq!(logs_out(address, &token).await.0, 400);
    ann.leave().await;
    site.person("bob").await.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ended_sign_ins_of_which_no_token_is_good_any_more_make_room() {
    let idp = Idp::start().await;
    let engine = Arc::new(MemoryEngine::default());
    let long_ago = Revocation { made: Timestamp(1), through: Timestamp(1), name: Text::new("") }.encode();
    let put = |number: usize| {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&number.to_be_bytes());
        let key = key::revoked(&Subject::SignIn(SignInId::new(id)));
        let (key, value) = (key.into(), long_ago.clone());
        Mutation::Put { table: Table::Meta, key, value, expires: Timestamp::NEVER }
    };
    let all: Vec<_> = (0..SIGN_OUTS_MAX).map(put).collect();
    format::check(&*engine).unwrap();
    engine.commit(&all, Durability::Synced).unwrap();
    let site = Site::start(engine, None, |site| site.providers = settings(&idp)).await;
    let (address, _open) = door(&site).await;
    let token = idp.token("ann", Some("s1"));
    let raw = Raw::silent(&site).await.says(hello(token.clone(), "ann", 1)).await;
    let logout = idp.signs("logout+jwt", None, &logout(&idp, Some("ann"), Some("s1")));
    assert_eq!(logs_out(address, &logout).await.0, 200);
    raw.closed(Code::Revoked).await;
    assert_eq!(refused(&site, token).await, Code::Revoked);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_but_a_good_logout_token_ends_anything() {
    let (idp, thief) = (Idp::start().await, Idp::start().await);
    let site = Site::memory_with(|site| site.providers = settings(&idp)).await;
    let (address, _open) = door(&site).await;
    let token = idp.token("ann", Some("s1"));
    let ann = Person::connect(site.options_with(token.clone(), DeviceId::random())).await;
    let good = logout(&idp, Some("ann"), None);
    let with = |member: &str, value: Value| {
        let mut claims = good.clone();
        claims[member] = value;
        idp.signs("logout+jwt", None, &claims)
    };
    let without = |member: &str| {
        let mut claims = good.clone();
        claims.as_object_mut().unwrap().remove(member);
        idp.signs("logout+jwt", None, &claims)
    };
    let now = now_ms() / 1000;
    let forged = thief.signs("logout+jwt", None, &good);
    let bad = [
        with("aud", json!("another")),
        with("iss", json!(thief.url)),
        with("nonce", json!("n")),
        with("nonce", json!(null)),
        with("events", json!({})),
        with("events", json!({EVENT: "yes"})),
        with("events", json!([EVENT])),
        with("iat", json!(now + 600)),
        with("iat", json!(now - 3600)),
        with("exp", json!(now - 60)),
        with("sub", json!(7)),
        with("sub", json!("")),
        with("sid", json!({})),
        with("jti", json!("")),
        with("jti", json!(7)),
        without("sub"),
        without("iss"),
        without("aud"),
        without("iat"),
        without("exp"),
        without("jti"),
        without("events"),
        idp.signs("at+jwt", None, &good),
        token,
        forged,
        "a.b.c".into(),
        String::new(),
    ];
    for token in bad {
        let (status, head, body) = logs_out(address, &token).await;
        assert!(status == 400 && head.contains("no-store") && body.contains("error"), "{status} {body}");
    }
    // A logout token lets nobody in, though it is signed and of the right audience.
    let mut both = good.clone();
    both["aud"] = json!(["wardline", CLIENT]);
    assert_eq!(refused(&site, idp.signs("JWT", None, &both)).await, Code::Unauthenticated);
    ann.client.direct("bob").await.unwrap();
    ann.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_form_with_one_token_is_refused() {
    let idp = Idp::start().await;
    let site = Site::memory_with(|site| site.providers = settings(&idp)).await;
    let (address, _open) = door(&site).await;
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let requests = [
        (404, "POST /elsewhere HTTP/1.1\r\n".to_owned(), ""),
        (405, "GET /logout?logout_token=x HTTP/1.1\r\n".to_owned(), ""),
        (400, format!("POST /logout HTTP/1.1\r\n{form}"), "logout_token=a&logout_token=b"),
        (400, format!("POST /logout HTTP/1.1\r\n{form}"), "token=x"),
        (400, "POST /logout HTTP/1.1\r\nContent-Type: application/json\r\n".to_owned(), "{}"),
    ];
    for (wanted, head, body) in requests {
        let rest = format!("Host: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        let (status, answered, _) = says(address, &format!("{head}{rest}")).await;
        assert!(status == wanted && answered.contains("cache-control: no-store"), "{head}: {status}");
    }
    let long = posts(address, &format!("logout_token={}", "x".repeat(100_000))).await;
    assert_eq!(long.0, 400);
}
