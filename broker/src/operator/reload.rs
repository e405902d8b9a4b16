//! Reloading: another certificate, other token keys, and no connection notices but those that a key
//! let in which is not good any more.
//!
//! New handshakes get the new certificate, tokens are checked by the new keys from then on.
//! Certificate and token keys are two things: each is put in force by itself, so that what is wrong
//! with the one does not keep the other. Files are looked at every few seconds, and at once on
//! SIGHUP; a look reads them whole, since a file can be replaced by one of its size and time. What
//! cannot be used is refused with the reason, and what was in force stays so. A change is taken
//! when two looks agree, since a certificate and its key are two files.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use thiserror::Error;
use tokio::signal::unix::Signal;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use wardline_storage::model::Subject;

use crate::access::auth::{Expected, JwksError, LeftOut, Verifier};
use crate::access::caller::Callers;
use crate::access::revocations;
use crate::edge::certificate::Certificates;
use crate::edge::tls::{self, TlsError};
use crate::operator::revoke::Revoker;
use crate::presence::registry::Registry;
use crate::requests::intake::Intake;
use crate::settings::Tls;

/// How often the files are looked at.
pub const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Of each file, so much is looked at.
const LOOKED_AT_BYTES_MAX: u64 = 4 << 20;

/// Replaces certificate and token keys of a running broker.
#[derive(Clone)]
pub struct Reloader(Arc<Inner>);

struct Inner {
    certificates: Certificates,
    callers: Arc<Callers>,
    registry: Arc<Registry>,
    stop: CancellationToken,
}

impl Reloader {
    /// Of the broker with these parts.
    pub(crate) fn new(
        certificates: Certificates,
        callers: Arc<Callers>,
        registry: Arc<Registry>,
        stop: CancellationToken,
    ) -> Self {
        Self(Arc::new(Inner { certificates, callers, registry, stop }))
    }

    /// Takes access back, in the same broker; what it orders goes in by `intake`.
    pub(crate) fn revoker(&self, intake: &Arc<Intake>) -> Revoker {
        let Inner { callers, registry, .. } = &*self.0;
        Revoker::new(Arc::clone(callers), Arc::clone(registry), Arc::clone(intake))
    }

    /// Puts another certificate in force, for handshakes that come from now on.
    ///
    /// # Errors
    /// [`rustls::Error`] if key and certificate do not go together; then nothing changes.
    pub fn replace_certificate(&self, tls: &Tls) -> Result<(), rustls::Error> {
        let Inner { certificates, stop, .. } = &*self.0;
        let usable = certificates.check(tls)?;
        // A broker that stops takes nobody in any more.
        if !stop.is_cancelled() {
            certificates.replace(usable);
        }
        Ok(())
    }

    /// Puts other token keys in force, and cuts off the sessions that a key let in which is not
    /// among them.
    pub fn replace_keys(&self, verifier: Verifier) {
        let Inner { callers, registry, .. } = &*self.0;
        let issuer = Arc::clone(verifier.issuer());
        for gone in callers.replace(verifier) {
            // Another issuer may have the same key, and be right.
            let ended = registry.cut(&revocations::refusal(&Subject::Key(gone.id)), |present| {
                let credential = present.credential.lock();
                credential.key.id == gone.id && credential.issuer == issuer
            });
            tracing::warn!(code = "token-key-gone", key = %gone, ended, "a token key is not good any more: its sessions are ended");
        }
    }
}

/// Where certificate and token keys lie.
#[derive(Clone, Debug)]
pub struct Files {
    /// The certificate chain.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The token keys; `None`: they are not in a file.
    pub jwks: Option<PathBuf>,
    /// What tokens must say.
    pub expected: Expected,
}

/// The files cannot be used. The operator must act.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReloadError {
    /// The certificate or its key.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The token keys.
    #[error(transparent)]
    Jwks(#[from] JwksError),
    /// The TLS library takes them not.
    #[error("the certificate or its key cannot be used: {0}")]
    Unusable(#[from] rustls::Error),
}

/// What tells one state of files from another: a hash of all that stands in them, or that they
/// cannot be read.
type Print = Option<[u8; 32]>;

/// What was read from the files, and in which state they were.
pub struct Loaded {
    /// Certificate and key.
    pub tls: Tls,
    /// The token keys, if they are in a file.
    pub verifier: Option<Verifier>,
    seen: Seen,
}

/// In which state the files are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    tls: Print,
    jwks: Print,
}

/// One of the two things that are read anew.
pub enum Fresh {
    /// Certificate and key.
    Certificate(Tls),
    /// The token keys.
    Keys(Verifier),
}

impl Files {
    /// Reads them.
    ///
    /// # Errors
    /// [`ReloadError`] if they cannot be read or do not fit.
    pub fn load(&self) -> Result<Loaded, ReloadError> {
        // Looked at first: what is changed while it is read is read again.
        let seen = self.look();
        let tls = tls::load(&self.certificate, &self.key)?;
        Ok(Loaded { tls, verifier: self.load_keys()?, seen })
    }

    fn load_keys(&self) -> Result<Option<Verifier>, JwksError> {
        let load = |path: &PathBuf| Verifier::from_file(path, self.expected.clone());
        self.jwks.as_ref().map(load).transpose()
    }

    fn look(&self) -> Seen {
        let jwks: Vec<&Path> = self.jwks.iter().map(PathBuf::as_path).collect();
        Seen { tls: print(&[&self.certificate, &self.key]), jwks: print(&jwks) }
    }

    /// Reads a part; `None`: there are no token keys in a file.
    fn load_part(&self, part: Part) -> Result<Option<Fresh>, ReloadError> {
        Ok(match part {
            Part::Certificate => Some(Fresh::Certificate(tls::load(&self.certificate, &self.key)?)),
            Part::Keys => self.load_keys()?.map(Fresh::Keys),
        })
    }
}

impl Loaded {
    /// In which state the files were.
    pub fn seen(&self) -> Seen {
        self.seen
    }

    /// Reads again what changed since, such as while the store was opened. What cannot be used is
    /// told, and what was read before stays.
    #[must_use]
    pub fn again(mut self, files: &Files) -> Self {
        let now = files.look();
        for part in Part::ALL {
            if part.of(&now) == part.of(&self.seen) {
                continue;
            }
            match files.load_part(part) {
                Ok(Some(Fresh::Certificate(tls))) => (self.tls, self.seen.tls) = (tls, now.tls),
                Ok(Some(Fresh::Keys(verifier))) => {
                    (self.verifier, self.seen.jwks) = (Some(verifier), now.jwks);
                }
                Ok(None) => {}
                Err(error) => refused(part, &error),
            }
        }
        self
    }
}

/// Follows symbolic links, which is how containers exchange a folder of secrets.
fn print(paths: &[&Path]) -> Print {
    let mut hash = Context::new(&SHA256);
    for path in paths {
        let mut bytes = Vec::new();
        File::open(path).ok()?.take(LOOKED_AT_BYTES_MAX).read_to_end(&mut bytes).ok()?;
        hash.update(&(bytes.len() as u64).to_be_bytes());
        hash.update(&bytes);
    }
    hash.finish().as_ref().try_into().ok()
}

/// What is read anew by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Certificate,
    Keys,
}

impl Part {
    const ALL: [Self; 2] = [Self::Certificate, Self::Keys];

    fn of(self, seen: &Seen) -> Print {
        match self {
            Self::Certificate => seen.tls,
            Self::Keys => seen.jwks,
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Certificate => "certificate",
            Self::Keys => "token keys",
        })
    }
}

/// What is known of a part that is followed.
struct Followed {
    part: Part,
    in_force: Print,
    before: Print,
    /// Why it was refused when it was last tried.
    refused: Option<String>,
}

impl Followed {
    fn new(part: Part, in_force: &Seen) -> Self {
        let in_force = part.of(in_force);
        Self { part, in_force, before: in_force, refused: None }
    }

    /// Whether it is to be read anew, as the files are now.
    fn is_due(&mut self, now: Print, told: bool) -> bool {
        let agrees = now == std::mem::replace(&mut self.before, now);
        // What was refused is tried again at every look, since what was wrong may have been with
        // the process or the folder, which the files do not show.
        let has_changed = now != self.in_force && (agrees || told);
        has_changed || self.refused.is_some()
    }

    /// Notes what came of it; a refusal is complained of once.
    fn note(&mut self, now: Print, told: bool, put: Result<(), ReloadError>) {
        match put {
            Ok(()) => {
                (self.in_force, self.refused) = (now, None);
                tracing::info!(code = "reloaded", part = %self.part, "read anew and in force");
            }
            Err(error) => {
                let why = Some(error.to_string());
                if told || self.refused != why {
                    refused(self.part, &error);
                }
                self.refused = why;
            }
        }
    }
}

fn refused(part: Part, error: &ReloadError) {
    tracing::error!(code = "reload-refused", %part, %error, "it stays as it was");
}

/// Reloads on each `hangup` and whenever the files changed from what is `in_force`, until the
/// broker stops. `put` puts what was read in force; looks at the files every `every`.
///
/// # Cancellation
/// Loses nothing.
pub async fn watch(
    files: Files,
    in_force: Seen,
    mut hangup: Signal,
    every: Duration,
    stop: CancellationToken,
    mut put: impl FnMut(Fresh) -> Result<(), rustls::Error>,
) {
    let files = Arc::new(files);
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut followed = Part::ALL.map(|part| Followed::new(part, &in_force));
    loop {
        let told = tokio::select! {
            told = hangup.recv() => told.is_some(),
            _ = ticks.tick() => false,
            () = stop.cancelled() => return,
        };
        let looking = Arc::clone(&files);
        // A folder on another machine may keep a reader waiting. A panic there is logged.
        let Ok(now) = tokio::task::spawn_blocking(move || looking.look()).await else { continue };
        let mut is_any_due = false;
        for followed in &mut followed {
            let (part, print) = (followed.part, followed.part.of(&now));
            if followed.is_due(print, told) {
                is_any_due = true;
                let read = files.load_part(part);
                let put = |fresh: Option<Fresh>| fresh.map_or(Ok(()), &mut put).map_err(ReloadError::from);
                followed.note(print, told, read.and_then(put));
            }
        }
        if told && !is_any_due {
            tracing::info!(
                code = "reload-unchanged",
                "certificate and token keys are in force as they lie there"
            );
        }
    }
}

/// Tells once of what stands in a set and is no key: what was told of it `before` is not repeated.
pub fn tell_left_out(before: &[LeftOut], now: &[LeftOut]) {
    for left_out in now {
        let known = |other: &LeftOut| other.kid == left_out.kid && other.reason == left_out.reason;
        if !before.iter().any(known) {
            tracing::warn!(code = "token-key-left-out", %left_out, "an entry of auth.jwks is left out");
        }
    }
}
