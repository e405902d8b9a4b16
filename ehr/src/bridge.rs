//! The bridge as it runs: listeners for senders, one session at the broker, and what is read anew.
//!
//! Whatever can be wrong with the configuration is said before the first sender can connect. A
//! broker that is away is no reason not to start: senders are answered AE until it is there. When
//! the bridge is stopped nobody new is let in, what it took in is done and answered, and the broker
//! is left last.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{self, SHA256};
use jiff::tz::TimeZone;
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wardline_client::{DeviceId, Options, Trust};

use crate::certificates::{self, Certificate, Files};
use crate::config::{Config, Sender};
use crate::hl7::message::Bounds;
use crate::hl7::read::Rules;
use crate::listener::tls::TlsError;
use crate::listener::{ListenError, Listener, Settings};
use crate::outlet::{Link, Outlet, Terms};
use crate::pages::Wrong;
use crate::token::{EndpointError, Tokens};

/// Longest time in which the broker is left.
const LEAVE_MAX: Duration = Duration::from_secs(10);
/// Longest pause until the broker is tried again.
const RECONNECT_MAX: Duration = Duration::from_secs(2);
/// Who the bridge says that it is.
const CLIENT_NAME: &str = "wardline-ehr";

/// The bridge cannot start. The operator must act.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// Not an address, or somebody else's.
    #[error("[senders.{name}]: {source}")]
    Listen {
        /// Which sender.
        name: String,
        /// Why.
        source: ListenError,
    },
    /// A certificate cannot be used.
    #[error("[{of}]: {source}")]
    Tls {
        /// Whose.
        of: String,
        /// Why.
        source: TlsError,
    },
    /// There is nothing to get tokens by.
    #[error(transparent)]
    Token(#[from] EndpointError),
    /// Whoever certifies the broker cannot be read.
    #[error("cannot read broker.ca {path}: {source}; check the path and that the bridge's user may read it")]
    Ca {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// This host has no time zone.
    #[error("[senders.{name}]: this host has no time zone; set zone")]
    Zone {
        /// Which sender.
        name: String,
    },
    /// `require_keys` was not asked.
    #[error("{0} is not set")]
    NotSet(&'static str),
}

/// A bridge that runs.
pub struct Bridge {
    senders: Vec<(String, SocketAddr)>,
    wrong: watch::Receiver<Wrong>,
    /// No more senders, no more messages.
    stop: CancellationToken,
    /// No more session at the broker.
    leave: CancellationToken,
    listening: TaskTracker,
    others: TaskTracker,
}

impl Bridge {
    /// Starts it; metrics are recorded by now, if they are to be.
    ///
    /// # Errors
    /// [`StartError`] naming the first thing that cannot be had.
    pub async fn start(config: &Config) -> Result<Self, StartError> {
        let (stop, leave) = (CancellationToken::new(), CancellationToken::new());
        let (listening, others) = (TaskTracker::new(), TaskTracker::new());
        let tokens = Tokens::of(config)?;
        let options = options(config, tokens.clone())?;
        let mut loaded = Vec::new();
        let mut listeners = Vec::new();
        for (name, sender) in &config.senders {
            let files = files(name, sender);
            let certificate = match files {
                None => None,
                Some(files) => Some(load(files)?),
            };
            let tls = certificate.as_ref().map(Certificate::watch);
            loaded.extend(certificate);
            let settings = settings(name, sender, config, tls)?;
            let listener = Listener::bind(settings).await;
            let listener = listener.map_err(|source| StartError::Listen { name: name.clone(), source })?;
            listeners.push((name, sender, listener));
        }
        let (link, keeper) = Link::new(options, leave.clone());
        if let Tokens::Endpoint(endpoint) = tokens {
            others.spawn(endpoint.clone().keep(leave.clone()));
            let leave = leave.clone();
            others.spawn(async move {
                if leave.run_until_cancelled(endpoint.has_token()).await.is_some() {
                    keeper.run().await;
                }
            });
        } else {
            others.spawn(keeper.run());
        }
        others.spawn(certificates::look_after(loaded, leave.clone()));
        let mut senders = Vec::new();
        for (name, sender, listener) in listeners {
            senders.push((name.clone(), listener.address()));
            let outlet = Outlet::new(link.clone(), Terms::of(name, sender), sender.refuse_others);
            listening.spawn(listener.run(Arc::new(outlet), stop.clone()));
        }
        listening.close();
        others.close();
        Ok(Self { senders, wrong: link.wrong(), stop, leave, listening, others })
    }

    /// Where each sender sends to, by the operator's name for it.
    pub fn senders(&self) -> &[(String, SocketAddr)] {
        &self.senders
    }

    /// What is wrong with the session at the broker.
    pub fn wrong(&self) -> watch::Receiver<Wrong> {
        self.wrong.clone()
    }

    /// Ends when the bridge begins to stop.
    pub fn stopping(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Stops it: answers what it took in, within a time, then leaves the broker. True: all that was
    /// taken in was answered.
    pub async fn stop(self, deadline: Duration) -> bool {
        self.stop.cancel();
        let is_done = timeout(deadline, self.listening.wait()).await.is_ok();
        if !is_done {
            tracing::warn!(
                code = "stop-late",
                "not everything was answered in time: its senders send it again"
            );
        }
        self.leave.cancel();
        let _ = timeout(LEAVE_MAX, self.others.wait()).await;
        is_done
    }
}

/// The certificate's files of a sender, if it has any.
pub fn files(name: &str, sender: &Sender) -> Option<Files> {
    (!sender.certificate.as_os_str().is_empty()).then(|| Files {
        of: format!("senders.{name}"),
        certificate: sender.certificate.clone(),
        key: sender.key.clone(),
        ca: sender.ca.clone(),
    })
}

/// The certificate's files of the pages, if they have any.
pub fn page_files(config: &Config) -> Option<Files> {
    config.http_remote.then(|| Files {
        of: "http".into(),
        certificate: config.http_certificate.clone(),
        key: config.http_key.clone(),
        ca: PathBuf::new(),
    })
}

fn load(files: Files) -> Result<Certificate, StartError> {
    let of = files.of.clone();
    Certificate::load(files).map_err(|source| StartError::Tls { of, source })
}

fn settings(
    name: &str,
    sender: &Sender,
    config: &Config,
    tls: Option<watch::Receiver<Arc<rustls::ServerConfig>>>,
) -> Result<Settings, StartError> {
    let address = sender.listen.ok_or(StartError::NotSet("senders.NAME.listen"))?;
    let zone = match &sender.zone {
        Some(zone) => zone.clone(),
        None => TimeZone::try_system().map_err(|_| StartError::Zone { name: name.to_owned() })?,
    };
    let rules = Rules {
        bounds: Bounds { message_bytes_max: sender.message_bytes_max, ..Bounds::default() },
        unstated: sender.charset,
        zone,
        takes_tests: sender.tests,
        refuses_others: sender.refuse_others,
        ahead_max: sender.ahead,
        ..Rules::default()
    };
    let (name, answering) = (name.to_owned(), sender.acknowledge);
    Ok(Settings { name, address, tls, answering, rules, limits: config.limits })
}

/// How the broker is reached.
///
/// # Errors
/// [`StartError`] if whoever certifies it cannot be read.
pub fn options(config: &Config, tokens: Tokens) -> Result<Options, StartError> {
    let address = config.broker_address.clone().ok_or(StartError::NotSet("broker.address"))?;
    let name = match config.broker_name.as_str() {
        "" => address.server_name(),
        name => name.to_owned(),
    };
    let path = &config.broker_ca;
    let pem = std::fs::read(path).map_err(|source| StartError::Ca { path: path.clone(), source })?;
    let device = config.broker_device.unwrap_or_else(|| device(config));
    let mut options = Options::new(address, name, Trust::Pem(pem), tokens, device);
    options.client_name = CLIENT_NAME.into();
    options.publish_only = true;
    // Nobody else waits for the broker as senders do.
    options.backoff.max = RECONNECT_MAX;
    options.request_timeout = config.limits.apply;
    Ok(options)
}

/// The same after a restart, and another one for each bridge of a user: by the host, and by where
/// it listens.
fn device(config: &Config) -> DeviceId {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let addresses = config.senders.values().filter_map(|sender| sender.listen);
    let text =
        addresses.fold(format!("wardline-ehr {}", host.trim()), |text, address| format!("{text} {address}"));
    let hash = digest::digest(&SHA256, text.as_bytes());
    let mut id = [0; 16];
    id.copy_from_slice(&hash.as_ref()[..16]);
    DeviceId(id)
}
