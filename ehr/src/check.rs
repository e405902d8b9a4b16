//! `wardline-ehr check`: tries what `serve` needs, and says of each thing whether it is right.
//!
//! Nothing is changed anywhere, and no sender is answered: addresses are bound and given back, a
//! token is asked for, a session is opened and closed, and the broker is told that somebody is
//! themself, which it refuses. What is wrong is said with what to do; one wrong thing hides no
//! other.

use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use tokio::net::TcpListener;
use wardline_client::record::{Identifier, Merge, Naming, SourceEvent};
use wardline_client::{Code, ConnectError, DeviceId, RequestError, TokenSource as _, connect};

use crate::bridge;
use crate::certificates::{Files, WARNING, since_epoch};
use crate::config::Config;
use crate::token::Tokens;

/// As whom it is tried whether the broker takes what the bridge says.
const SOURCE: &str = "wardline-ehr check";

/// What came of trying something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is right.
    Good,
    /// It works, and somebody should look at it.
    Doubtful,
    /// It does not work.
    Bad,
}

/// What was tried, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What.
    pub what: String,
    /// How it is.
    pub verdict: Verdict,
    /// In words.
    pub text: String,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sign = match self.verdict {
            Verdict::Good => "ok  ",
            Verdict::Doubtful => "warn",
            Verdict::Bad => "FAIL",
        };
        write!(f, "{sign} {}: {}", self.what, self.text)
    }
}

fn finding(what: impl Into<String>, verdict: Verdict, text: impl Into<String>) -> Finding {
    Finding { what: what.into(), verdict, text: text.into() }
}

/// Tries everything.
pub async fn run(config: &Config) -> Vec<Finding> {
    let mut found = Vec::new();
    for (name, sender) in &config.senders {
        if let Some(at) = sender.listen {
            found.push(address(format!("[senders.{name}] listen"), at).await);
        }
        found.extend(bridge::files(name, sender).map(|files| certificate(&files)));
    }
    if let Some(at) = config.http_listen {
        found.push(address("[http] listen".into(), at).await);
    }
    found.extend(bridge::page_files(config).map(|files| certificate(&files)));
    match token(config).await {
        Ok((tokens, findings)) => {
            found.extend(findings);
            found.push(broker(config, tokens).await);
        }
        Err(finding) => found.push(finding),
    }
    found
}

async fn address(what: String, address: SocketAddr) -> Finding {
    match TcpListener::bind(address).await {
        Ok(_) => finding(what, Verdict::Good, format!("{address} can be had")),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => finding(
            what,
            Verdict::Doubtful,
            format!("{address} is in use: by a bridge that runs already, or by what must be stopped"),
        ),
        Err(error) => {
            finding(what, Verdict::Bad, format!("{address} cannot be had: {error}; choose another address"))
        }
    }
}

fn certificate(files: &Files) -> Finding {
    let what = format!("[{}] certificate", files.of);
    if let Err(error) = files.load() {
        return finding(what, Verdict::Bad, error.to_string());
    }
    let Some(until) = files.valid_until() else { return finding(what, Verdict::Good, "it has no end") };
    let now = since_epoch();
    let days = until.saturating_sub(now).as_secs() / 86_400;
    match until {
        until if until < now => finding(what, Verdict::Bad, "it has expired: renew it"),
        until if until < now + WARNING => {
            finding(what, Verdict::Doubtful, format!("it expires in {days} days: renew it"))
        }
        _ => finding(what, Verdict::Good, format!("it is good for {days} days")),
    }
}

/// What a token says of itself; who verifies it is the broker.
#[derive(Deserialize)]
struct Claims {
    exp: Option<f64>,
}

async fn token(config: &Config) -> Result<(Tokens, Vec<Finding>), Finding> {
    let bad = |text: String| finding("token", Verdict::Bad, text);
    let tokens = Tokens::of(config).map_err(|error| bad(error.to_string()))?;
    if let Tokens::Endpoint(endpoint) = &tokens {
        endpoint.ask().await.map_err(|error| bad(error.to_string()))?;
    }
    let token = tokens.token().map_err(bad)?;
    let claims = token.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
    let claims = claims.and_then(|claims| serde_json::from_slice::<Claims>(&claims).ok());
    let claims = claims.ok_or_else(|| bad("it is no JWT: the broker takes none else".into()))?;
    let found = match claims.exp.map(|exp| exp - since_epoch().as_secs_f64()) {
        None => {
            finding("token", Verdict::Doubtful, "it does not say when it ends: the broker will not take it")
        }
        Some(left) if left <= 0.0 => return Err(bad("it has ended: put a new one there".into())),
        Some(left) => {
            let left = humantime::format_duration(Duration::from_secs(left as u64));
            finding("token", Verdict::Good, format!("it is good for {left}"))
        }
    };
    Ok((tokens, vec![found]))
}

/// Opens a session as a device of its own, so that no bridge that runs is pushed out.
async fn broker(config: &Config, tokens: Tokens) -> Finding {
    let what = "broker";
    let mut options = match bridge::options(config, tokens) {
        Ok(options) => options,
        Err(error) => return finding(what, Verdict::Bad, error.to_string()),
    };
    options.device = DeviceId::random();
    let address = options.address.to_string();
    let (client, _inbox) = match connect(options).await {
        Ok(session) => session,
        Err(error) => return finding(what, Verdict::Bad, unreached(&error)),
    };
    let asked = client.merge_patients(&with_themself()).await;
    client.close(Duration::from_secs(2)).await;
    match asked {
        Err(RequestError::Refused(refusal)) if refusal.code == Code::Forbidden => finding(
            what,
            Verdict::Bad,
            format!(
                "{address} lets the bridge in, but not tell it anything: give its token the role registrar"
            ),
        ),
        Ok(_) => finding(what, Verdict::Good, format!("{address} takes what the bridge says")),
        Err(RequestError::Refused(refusal)) if refusal.code == Code::Conflict => {
            finding(what, Verdict::Good, format!("{address} takes what the bridge says"))
        }
        Err(error) => finding(what, Verdict::Bad, format!("{address} lets the bridge in, but: {error}")),
    }
}

/// That somebody is themself: whoever may say something is told that this is none, and whoever may
/// not is told that.
fn with_themself() -> Merge {
    let source = SourceEvent { source: SOURCE.into(), event_id: "check".into(), time_ms: 1 };
    let nobody = Naming { identifiers: vec![Identifier::new(SOURCE, "nobody")], label: None };
    Merge { source, survivor: nobody.clone(), retired: nobody }
}

fn unreached(error: &ConnectError) -> String {
    match error {
        ConnectError::Refused(refusal) => {
            format!("it refuses the bridge: {refusal}; check the token, its issuer and its audience")
        }
        error => {
            format!("{error}; check broker.address, broker.name and broker.ca, and that UDP gets through")
        }
    }
}
