//! A token by client credentials (RFC 6749, section 4.4) of an OpenID token endpoint.
//!
//! Asked over HTTPS alone, with a deadline for all of it and a bound for the answer; a redirect is
//! followed nowhere, since the secret would be sent along. The secret is read anew each time.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use metrics::{counter, describe_counter, describe_gauge, gauge};
use rustls::crypto::aws_lc_rs as provider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Deserialize;
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};
use url::form_urlencoded::byte_serialize;

use super::form::is_token;
use crate::certificates::since_epoch;

/// Longest answer, in bytes.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;
/// Longest secret, in bytes.
const SECRET_BYTES_MAX: usize = 4096;
/// Pauses after the endpoint did not answer: doubled each time, up to the longest.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// Soonest and latest that a token is asked for anew.
const RENEW_MIN: Duration = Duration::from_secs(5);
const RENEW_MAX: Duration = Duration::from_secs(12 * 3600);
/// How long a token counts as good that does not say so.
const UNSAID: Duration = Duration::from_secs(300);

const FETCHES: &str = "wardline_ehr_token_fetches_total";
const EXPIRES: &str = "wardline_ehr_token_expires_timestamp_seconds";

/// As whom to ask, and whom.
#[derive(Clone, Debug)]
pub struct Account {
    /// The endpoint.
    pub url: String,
    /// What the bridge is called there.
    pub client: String,
    /// The file with the secret.
    pub secret: PathBuf,
    /// Who certifies the endpoint; empty: whom the host trusts.
    pub ca: PathBuf,
    /// What to ask for; empty: nothing in particular.
    pub scope: String,
    /// For whom; empty: that is not said.
    pub audience: String,
    /// Longest time for an answer.
    pub timeout: Duration,
}

/// There is no token.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// The address is none that can be asked.
    #[error("token.endpoint is not an https:// URL; correct it")]
    Address,
    /// A file is not there, or is not what it should be.
    #[error("{key} {path} {detail}")]
    File {
        /// Which key of the configuration names it.
        key: &'static str,
        /// Which file.
        path: PathBuf,
        /// What is wrong, and what to do.
        detail: String,
    },
    /// The host trusts nobody.
    #[error("this host trusts no certificate authority; install ca-certificates, or set token.ca")]
    Host,
    /// No answer that could be used.
    #[error("the token endpoint {0}")]
    Answer(String),
}

/// Gives tokens of an endpoint.
#[derive(Clone)]
pub struct Endpoint {
    account: Arc<Account>,
    agent: ureq::Agent,
    current: watch::Sender<Result<Arc<str>, String>>,
}

/// What it answers.
#[derive(Deserialize)]
struct Granted {
    access_token: String,
    expires_in: Option<u64>,
}

/// A token, and how long it is good.
pub(super) struct Fetched {
    token: String,
    lives: Duration,
}

impl Endpoint {
    /// Prepares to ask; nobody is asked yet.
    ///
    /// # Errors
    /// [`EndpointError`] if the address is none, or who certifies it cannot be read.
    pub fn new(account: Account) -> Result<Self, EndpointError> {
        let is_https = url::Url::parse(&account.url).is_ok_and(|url| url.scheme() == "https");
        if !is_https {
            return Err(EndpointError::Address);
        }
        let tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .unversioned_rustls_crypto_provider(Arc::new(provider::default_provider()))
            .root_certs(roots(&account.ca)?)
            .build();
        let config = ureq::Agent::config_builder()
            .https_only(true)
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .timeout_global(Some(account.timeout))
            .user_agent(concat!("wardline-ehr/", env!("CARGO_PKG_VERSION")))
            .tls_config(tls)
            .build();
        let (current, _) = watch::channel(Err("the token endpoint was not asked yet".into()));
        Ok(Self { account: Arc::new(account), agent: config.new_agent(), current })
    }

    /// The token that is there.
    pub(super) fn token(&self) -> Result<String, String> {
        self.current.borrow().as_ref().map(|token| token.to_string()).map_err(Clone::clone)
    }

    /// Waits until there is a token.
    pub async fn has_token(&self) {
        // The sender is ours.
        let _ = self.current.subscribe().wait_for(Result::is_ok).await;
    }

    /// Keeps a token at hand until stopped.
    pub async fn keep(self, stop: CancellationToken) {
        describe();
        let (mut pause, mut good_until) = (PAUSE, Instant::now());
        loop {
            let wait = match self.fetch().await {
                Ok(Fetched { token, lives }) => {
                    counter!(FETCHES, "result" => "ok").increment(1);
                    gauge!(EXPIRES).set(since_epoch().saturating_add(lives).as_secs_f64());
                    self.put(Ok(token.into()));
                    (pause, good_until) = (PAUSE, Instant::now() + lives);
                    (lives / 2).clamp(RENEW_MIN, RENEW_MAX)
                }
                Err(error) => {
                    counter!(FETCHES, "result" => "failed").increment(1);
                    tracing::warn!(code = "token-failed", %error, "no new token: asked again soon");
                    if Instant::now() >= good_until {
                        self.put(Err(error.to_string()));
                    }
                    pause = (2 * pause).min(PAUSE_MAX);
                    pause / 2
                }
            };
            if stop.run_until_cancelled(sleep(wait)).await.is_none() {
                return;
            }
        }
    }

    /// Asks once, and keeps what comes.
    ///
    /// # Errors
    /// [`EndpointError`] if there is no token.
    pub async fn ask(&self) -> Result<(), EndpointError> {
        let fetched = self.fetch().await?;
        self.put(Ok(fetched.token.into()));
        Ok(())
    }

    fn put(&self, token: Result<Arc<str>, String>) {
        // What was there before is no answer to anybody.
        let _ = self.current.send_replace(token);
    }

    async fn fetch(&self) -> Result<Fetched, EndpointError> {
        let this = self.clone();
        let fetched = tokio::task::spawn_blocking(move || this.fetch_blocking()).await;
        fetched.unwrap_or_else(|_| Err(EndpointError::Answer("was not asked: the bridge is ending".into())))
    }

    fn fetch_blocking(&self) -> Result<Fetched, EndpointError> {
        let account = &self.account;
        let secret = secret(&account.secret)?;
        let coded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
        let login = STANDARD.encode(format!("{}:{}", coded(&account.client), coded(&secret)));
        let mut form = vec![("grant_type", "client_credentials")];
        let more = [("scope", &account.scope), ("audience", &account.audience)];
        form.extend(
            more.into_iter().filter(|(_, text)| !text.is_empty()).map(|(key, text)| (key, text.as_str())),
        );
        let asked = self
            .agent
            .post(&account.url)
            .header("authorization", format!("Basic {login}"))
            .header("accept", "application/json")
            .send_form(form);
        let mut answer = asked.map_err(|error| EndpointError::Answer(unreachable(&error)))?;
        let status = answer.status().as_u16();
        if status != 200 {
            let why = match status {
                300..=399 => "redirects: name the address that answers by itself".to_owned(),
                400 | 401 => {
                    format!("refuses (status {status}): check token.client, token.secret and token.scope")
                }
                _ => format!("answers with status {status}: see its own log"),
            };
            return Err(EndpointError::Answer(why));
        }
        let body = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
        let body =
            body.map_err(|_| EndpointError::Answer("sent no whole answer, or one that is too long".into()))?;
        let granted: Granted = serde_json::from_slice(&body).map_err(|_| {
            EndpointError::Answer("does not answer with a token: is it the right address?".into())
        })?;
        if !is_token(&granted.access_token) {
            return Err(EndpointError::Answer(
                "gives a token that is no JWT: the broker takes none else".into(),
            ));
        }
        let lives = granted.expires_in.map_or(UNSAID, Duration::from_secs);
        Ok(Fetched { token: granted.access_token, lives: lives.min(2 * RENEW_MAX) })
    }
}

/// Describes what is told as metrics.
fn describe() {
    describe_counter!(FETCHES, "Times that the token endpoint was asked, by what came of it.");
    describe_gauge!(EXPIRES, "When the token that the endpoint gave ends, in seconds since 1970.");
}

/// Why nobody answered, without what was asked.
fn unreachable(error: &ureq::Error) -> String {
    let detail = match error {
        ureq::Error::HostNotFound => "its name is not known",
        ureq::Error::Timeout(_) => return "did not answer in time (token.timeout)".into(),
        ureq::Error::Rustls(error) => {
            return format!("has a certificate or a TLS that is refused ({error}); see token.ca");
        }
        ureq::Error::Tls(detail) => {
            return format!("has a certificate or a TLS that is refused ({detail}); see token.ca");
        }
        ureq::Error::Io(error) => {
            let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
            return match tls {
                Some(tls) => format!("has a certificate or a TLS that is refused ({tls}); see token.ca"),
                None => format!("cannot be reached ({error})"),
            };
        }
        ureq::Error::ConnectionFailed => "no connection",
        _ => "its answer is not HTTP",
    };
    format!("cannot be reached ({detail})")
}

fn secret(path: &Path) -> Result<String, EndpointError> {
    let wrong = |detail: String| EndpointError::File { key: "token.secret", path: path.into(), detail };
    let text = std::fs::read_to_string(path).map_err(|error| {
        wrong(format!("cannot be read: {error}; check that the bridge's user may read it"))
    })?;
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(wrong("is empty: put the secret there".into())),
        secret if secret.len() <= SECRET_BYTES_MAX => Ok(secret.to_owned()),
        _ => Err(wrong(format!("is longer than {SECRET_BYTES_MAX} bytes: is it the right file?"))),
    }
}

fn roots(ca: &Path) -> Result<RootCerts, EndpointError> {
    let own = |der: CertificateDer<'_>| Certificate::from_der(&der).to_owned();
    if ca.as_os_str().is_empty() {
        let found = rustls_native_certs::load_native_certs().certs;
        return match found.is_empty() {
            true => Err(EndpointError::Host),
            false => Ok(RootCerts::from(found.into_iter().map(own))),
        };
    }
    let wrong = |detail: String| EndpointError::File { key: "token.ca", path: ca.into(), detail };
    let pem = std::fs::read(ca).map_err(|error| wrong(format!("cannot be read: {error}")))?;
    let all: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|_| wrong("is damaged: it should have certificates in PEM".into()))?;
    match all.is_empty() {
        true => Err(wrong("has no certificate in PEM".into())),
        false => Ok(RootCerts::from(all.into_iter().map(own))),
    }
}
