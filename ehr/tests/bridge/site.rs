//! A broker in this process, and what its people and the bridge need to reach it.

use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tempfile::TempDir;
use wardline_broker::access::auth::{Expected, Verifier};
use wardline_broker::broker::{Broker, Ended};
use wardline_broker::dev::{Bearer, Dev, ISSUER};
use wardline_broker::edge::tls;
use wardline_broker::limits::Limits;
use wardline_broker::retention::Retention;
use wardline_broker::settings::Settings;
use wardline_client::record::{EncounterState, EncounterStatus, Identifier, Roster, SourceEvent, Which};
use wardline_client::{Client, Code, DeviceId, Inbox, Options, RequestError, Trust, connect};
use wardline_storage::engine::Engine;
use wardline_storage::format;
use wardline_storage::id::Timestamp;
use wardline_storage::local::Local;
use wardline_storage::memory::MemoryEngine;
use wardline_storage::model::Policy;

/// How long anything may take before a test gives up. Generous: the machine may be busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
const TENANT: &str = "st-mary";
const HOUR: Duration = Duration::from_secs(3600);

/// A broker, and a folder for what the bridge reads.
pub(crate) struct Site {
    broker: Option<Broker>,
    engine: Arc<dyn Engine>,
    settings: Settings,
    dev: Dev,
    pub(crate) folder: TempDir,
}

impl Site {
    /// One whose bridge has a token with the role that it needs.
    pub(crate) async fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let dev = Dev::of(folder.path());
        dev.prepare(now()).unwrap();
        let engine: Arc<dyn Engine> = Arc::new(MemoryEngine::default());
        format::check(&*engine).unwrap();
        let verifier = Verifier::from_file(&dev.jwks(), Expected::new(ISSUER, "wardline")).unwrap();
        let settings = Settings {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            tls: tls::load(&dev.certificate(), &dev.key()).unwrap(),
            verifier: Some(Arc::new(verifier)),
            providers: Vec::new(),
            limits: Limits::default(),
            policy: Policy {
                retention_max: 30 * 24 * HOUR,
                dedupe_window: 24 * HOUR,
                members_max: 1000,
                devices_max: 8,
            },
            retention: Retention::unbounded(),
            reclaim_every: HOUR,
            stop_deadline: Duration::from_secs(5),
            disk: None,
        };
        let broker = Broker::start(settings.clone(), Arc::clone(&engine), &Local).await.unwrap();
        let settings = Settings { listen: broker.address(), ..settings };
        let site = Self { broker: Some(broker), engine, settings, dev, folder };
        site.give_token(&["registrar"]);
        site
    }

    /// Gives the bridge a token with these roles.
    pub(crate) fn give_token(&self, roles: &[&str]) {
        std::fs::write(self.path("token"), self.token("bridge", roles)).unwrap();
    }

    fn token(&self, user: &str, roles: &[&str]) -> String {
        let roles = roles.iter().map(ToString::to_string).collect();
        let bearer = Bearer { user: user.into(), tenant: TENANT.into(), roles };
        self.dev.token(&bearer, "wardline", now(), HOUR).unwrap()
    }

    /// A file of the site.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Who certifies the broker.
    pub(crate) fn ca(&self) -> PathBuf {
        self.dev.ca()
    }

    /// Where the broker is, also while it is away.
    pub(crate) fn address(&self) -> SocketAddr {
        self.settings.listen
    }

    pub(crate) async fn stop_broker(&mut self) {
        let broker = self.broker.take().expect("it runs");
        assert_eq!(within("the broker's end", broker.stop()).await, Ended::Stopped);
    }

    /// Starts it where it was, with what it knew.
    pub(crate) async fn start_broker(&mut self) {
        let broker = until("the port to be free", async || {
            Broker::start(self.settings.clone(), Arc::clone(&self.engine), &Local).await.ok()
        })
        .await;
        self.broker = Some(broker);
    }

    /// Connects somebody with these roles.
    pub(crate) async fn person(&self, user: &str, roles: &[&str]) -> (Client, Inbox) {
        let trust = Trust::Pem(std::fs::read(self.ca()).unwrap());
        let token = self.token(user, roles);
        let options = Options::new(self.address(), "localhost", trust, token, DeviceId::random());
        within("a session", connect(options)).await.unwrap()
    }

    /// Whoever looks after the record beside the bridge.
    pub(crate) async fn registrar(&self) -> Registrar {
        let (client, inbox) = self.person("records", &["registrar"]).await;
        Registrar { client, _inbox: inbox }
    }
}

/// Looks into the record.
pub(crate) struct Registrar {
    pub(crate) client: Client,
    _inbox: Inbox,
}

impl Registrar {
    /// What is known of an encounter; `None`: nothing.
    pub(crate) async fn encounter(&self, number: &str) -> Option<EncounterState> {
        let which = Which::Number(Identifier::new("GH", number));
        match within("an encounter", self.client.show_encounter(&which)).await {
            Ok(state) => Some(state),
            Err(RequestError::Refused(refusal)) if refusal.code == Code::NotFound => None,
            Err(other) => panic!("{other}"),
        }
    }

    /// How an encounter stands, and on which ward.
    pub(crate) async fn stands(&self, number: &str) -> (EncounterStatus, String) {
        let context = self.encounter(number).await.expect("it is known").context;
        (context.status, context.ward)
    }

    /// Says who works on a ward.
    pub(crate) async fn roster(&self, ward: &str, users: &[&str]) {
        let source = SourceEvent { source: "rota".into(), event_id: format!("{ward} {users:?}"), time_ms: 1 };
        let users = users.iter().map(ToString::to_string).collect();
        let roster = Roster { source, ward: ward.into(), users };
        within("a roster", self.client.set_roster(&roster)).await.unwrap();
    }

    /// How many encounters stand on a ward.
    pub(crate) async fn count_on(&self, ward: &str) -> usize {
        let (mut count, mut after) = (0, None);
        loop {
            let page = within("a page", self.client.contexts(Some(ward), 100, after)).await.unwrap();
            count += page.items.len();
            after = page.next;
            if after.is_none() {
                return count;
            }
        }
    }
}

fn now() -> Timestamp {
    Timestamp(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64)
}

/// Waits for something, but not for ever.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(done) => done,
        Err(_) => panic!("waited {PATIENCE:?} for {what}"),
    }
}

/// Asks again and again until the answer is something.
pub(crate) async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    within(what, asking).await
}

/// As it stands in the configuration.
pub(crate) fn shown(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}
