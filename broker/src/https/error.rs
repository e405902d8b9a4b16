//! Why there is no answer, split by what is to be looked at.
//!
//! Texts hold nothing of what was asked or answered.

use std::error::Error;
use std::io;
use std::time::Duration;

use thiserror::Error as ThisError;

/// There is no answer that could be used.
#[derive(Clone, Debug, PartialEq, Eq, ThisError)]
#[non_exhaustive]
pub enum HttpsError {
    /// The address is none that can be asked.
    #[error("its address is not an https:// URL that can be asked; correct it")]
    Address,
    /// Nobody is there.
    #[error("it cannot be reached ({0}); check its name, that it runs, and that this host may connect to it")]
    Unreachable(String),
    /// Whoever is there is not certified, or speaks another TLS.
    #[error(
        "its certificate or its TLS is refused ({0}); name the certificate authority that certifies it (ca), or have \
         it renew its certificate"
    )]
    Tls(String),
    /// It took too long.
    #[error("it did not answer in time (auth.fetch_timeout); see what holds it up")]
    Late,
    /// It sent elsewhere.
    #[error("it redirects, {why}; name the address that answers by itself")]
    Redirected {
        /// What is wrong with that.
        why: &'static str,
    },
    /// It refused.
    #[error("it answers with status {status}{}; see its own log", wait(.retry_after))]
    Status {
        /// Which.
        status: u16,
        /// When it may be asked again, if it says so.
        retry_after: Option<Duration>,
    },
    /// It says too much.
    #[error("its answer is longer than {max} bytes; is it the right address?")]
    TooLong {
        /// How much is read.
        max: usize,
    },
    /// It broke off, or is not HTTP.
    #[error("its answer broke off, or is not HTTP; is it the right address?")]
    Broken,
}

fn wait(retry_after: &Option<Duration>) -> String {
    retry_after.map(|wait| format!(", to be asked again in {} s", wait.as_secs())).unwrap_or_default()
}

impl HttpsError {
    /// Of what the library says.
    pub(super) fn of(error: hyper_util::client::legacy::Error) -> Self {
        let is_connect = error.is_connect();
        let mut cause: Option<&(dyn Error + 'static)> = Some(&error);
        while let Some(now) = cause {
            if let Some(tls) = tls(now) {
                return Self::Tls(tls.to_string());
            }
            if let (true, Some(io)) = (is_connect, now.downcast_ref::<io::Error>()) {
                return Self::Unreachable(io.to_string());
            }
            cause = now.source();
        }
        if is_connect { Self::Unreachable("no connection".into()) } else { Self::Broken }
    }

    /// For metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Address | Self::Unreachable(_) => "unreachable",
            Self::Tls(_) => "tls",
            Self::Late => "late",
            Self::Redirected { .. } => "redirected",
            Self::Status { .. } => "status",
            Self::TooLong { .. } => "too_long",
            Self::Broken => "broken",
        }
    }

    /// When to ask again, if whoever was asked says so.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// What TLS says within an error, however often it is wrapped.
fn tls<'e>(mut error: &'e (dyn Error + 'static)) -> Option<&'e rustls::Error> {
    loop {
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return Some(tls);
        }
        error = error.downcast_ref::<io::Error>()?.get_ref()?;
    }
}
