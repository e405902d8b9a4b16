//! A provider that others wrote (oidc-provider), and somebody who signs in and out there: its
//! document, its keys, its tokens and its logout tokens as they really are.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::watch;
use wardline_broker::access::auth::Expected;
use wardline_broker::access::auth::tenants::Tenants;
use wardline_broker::access::provider::{Config, Pace, try_out};
use wardline_broker::https::Trust;
use wardline_broker::operator::logout::Door;
use wardline_client::{Code, DeviceId};

use crate::raw::{Raw, hello};
use crate::site::{Authority, Person, Site, within};

/// Where the package is; `cargo xtask provider` puts it there.
const PEERS: &str = "WARDLINE_PEERS";

struct Real {
    child: Child,
    says: Lines<BufReader<ChildStdout>>,
    hears: ChildStdin,
    config: Config,
    _folder: TempDir,
}

impl Real {
    /// Starts one that brings logout tokens to an address.
    async fn start(peers: &Path, logout: &str) -> Self {
        let (authority, folder) = (Authority::new(), TempDir::new().unwrap());
        let (certificate, key) = authority.certify_pem();
        let file = |name: &str, content: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, content).unwrap();
            path
        };
        let (ca, certificate, key) = (
            file("ca.pem", &authority.pem),
            file("server.pem", certificate.as_bytes()),
            file("key.pem", key.as_bytes()),
        );
        let script = peers.join("wardline.mjs");
        std::fs::write(&script, include_str!("oidc-provider.mjs")).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
        let mut child = Command::new("node")
            .arg(&script)
            .env("NODE_EXTRA_CA_CERTS", &ca)
            .envs([("PORT", port.as_str()), ("LOGOUT", logout)])
            .envs([("CERTIFICATE", &certificate), ("KEY", &key)])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("missing: node");
        let url = format!("https://localhost:{port}");
        let tenants = Tenants::One("north".into());
        let config = Config {
            name: "real".into(),
            expected: Expected { tenants, client: "app".into(), ..Expected::new(url.as_str(), "wardline") },
            trust: Trust::load(Some(&ca)).unwrap(),
            introspection: None,
            pace: Pace::default(),
        };
        let (says, hears) =
            (BufReader::new(child.stdout.take().unwrap()).lines(), child.stdin.take().unwrap());
        let mut real = Self { child, says, hears, config, _folder: folder };
        real.until("ready").await;
        real
    }

    /// What it says under a name.
    async fn until(&mut self, name: &str) -> Value {
        loop {
            let line = within(name, self.says.next_line()).await.unwrap().expect("the provider ended");
            // It has notices for those who run it.
            let Ok(said) = serde_json::from_str::<Value>(&line) else { continue };
            assert!(said["error"].is_null(), "{said}");
            if !said[name].is_null() {
                return said[name].clone();
            }
        }
    }

    async fn hears(&mut self, word: &str) {
        self.hears.write_all(format!("{word}\n").as_bytes()).await.unwrap();
    }

    async fn sign_in(&mut self, user: &str) -> String {
        self.hears(&format!("sign-in {user}")).await;
        self.until("token").await.as_str().unwrap().to_owned()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_provider_is_followed_and_its_logout_tokens_end_what_they_name() {
    let peers = std::env::var_os(PEERS).map(PathBuf::from);
    let peers = peers.expect(
        "missing: WARDLINE_PEERS, a folder with node_modules/oidc-provider; run cargo xtask provider",
    );
    // The door first, since the provider is told where it is.
    let site = Site::memory().await;
    let (_, tls) = watch::channel(site.settings.tls.clone());
    let door = Door::bind("127.0.0.1:0".parse().unwrap(), tls).await.unwrap();
    let mut real = Real::start(&peers, &format!("http://{}/logout", door.address())).await;
    try_out(&real.config).await.unwrap();
    let mut site = site;
    site.settings.providers = vec![real.config.clone()];
    site = site.restart().await;
    let _open = door.open(site.broker.sign_outs());

    let token = real.sign_in("ann").await;
    let raw = Raw::silent(&site).await.says(hello(token.clone(), "ann", 1)).await;
    assert_eq!((raw.welcome.user.as_str(), raw.welcome.tenant.as_str()), ("ann", "north"));
    real.hears("sign-out").await;
    assert_eq!(real.until("logout").await, "accepted");
    raw.closed(Code::Revoked).await;
    assert_eq!(super::refused(&site, token).await, Code::Revoked);
    // Issue times are whole seconds.
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    let token = real.sign_in("ann").await;
    Person::connect(site.options_with(token, DeviceId::random())).await.leave().await;
    real.hears("end").await;
    within("the provider's end", real.child.wait()).await.unwrap();
}
