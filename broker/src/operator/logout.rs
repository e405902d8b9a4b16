//! Where issuers bring logout tokens: `POST /logout` (OpenID Connect Back-Channel Logout 1.0,
//! section 2.5).
//!
//! An address of its own, since issuers are elsewhere and operators' pages need not be. 200 once
//! the sessions are ended and it is on record, 400 with the reason otherwise; nobody keeps an
//! answer. A form's bytes and time are bounded. What was begun is done, whether or not the issuer
//! waits.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, StatusCode};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::timeout;
use url::form_urlencoded;

use crate::limits::LOGOUT_FORM_BYTES_MAX;
use crate::operator::http::{HttpError, Serving};
use crate::operator::serving::{self, Answers, Page, page_of, text};
use crate::operator::sign_out::SignOuts;
use crate::settings::Tls;

/// Where it is.
const PATH: &str = "/logout";
/// Longest time for a form.
const FORM_TIMEOUT: Duration = Duration::from_secs(10);

/// Where issuers bring logout tokens; nobody is answered yet.
pub struct Door {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<watch::Receiver<Tls>>,
}

impl Door {
    /// Binds the address; with `tls` unless only this machine can reach it.
    ///
    /// # Errors
    /// [`HttpError`] if the address cannot be had or the certificate not be used.
    ///
    /// # Cancellation
    /// Nothing is bound.
    pub async fn bind(address: SocketAddr, tls: watch::Receiver<Tls>) -> Result<Self, HttpError> {
        serving::acceptor(&tls.borrow())?;
        let listen = |source: io::Error| HttpError::Logout { address, source };
        let listener = TcpListener::bind(address).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let tls = (!address.ip().to_canonical().is_loopback()).then_some(tls);
        Ok(Self { listener, address, tls })
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers, until what this returns is dropped.
    pub fn open(self, sign_outs: SignOuts) -> Serving {
        Serving::new(serving::accept(self.listener, self.tls, Arc::new(sign_outs)))
    }
}

impl Answers for SignOuts {
    async fn answer(&self, request: Request<Incoming>) -> Page {
        if request.uri().path() != PATH {
            return text(StatusCode::NOT_FOUND, "there is /logout\n".into());
        }
        if request.method() != Method::POST {
            let mut refused = text(StatusCode::METHOD_NOT_ALLOWED, "only POST\n".into());
            refused.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
            return refused;
        }
        let token = match token(request).await {
            Ok(token) => token,
            Err(why) => {
                self.malformed();
                tracing::warn!(code = "logout-malformed", why, "what came to /logout is no logout token");
                return refused(why);
            }
        };
        let sign_outs = self.clone();
        match tokio::spawn(async move { sign_outs.take(&token).await }).await {
            Ok(Ok(_)) => text(StatusCode::OK, String::new()),
            Ok(Err(error)) => refused(&error.to_string()),
            // A panic is logged by whoever panics.
            Err(_) => refused("the broker could not do this"),
        }
    }
}

/// Section 2.8.
fn refused(why: &str) -> Page {
    let body = json!({"error": "invalid_request", "error_description": why});
    page_of(StatusCode::BAD_REQUEST, "application/json", format!("{body}\n"))
}

/// The token in a form.
async fn token(request: Request<Incoming>) -> Result<String, &'static str> {
    let kind = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Err("it must be a form (application/x-www-form-urlencoded)");
    }
    let body = Limited::new(request.into_body(), LOGOUT_FORM_BYTES_MAX).collect();
    let body = timeout(FORM_TIMEOUT, body).await.map_err(|_| "the form did not come in time")?;
    one_token(&body.map_err(|_| "the form is too long, or broke off")?.to_bytes())
}

fn one_token(form: &Bytes) -> Result<String, &'static str> {
    let mut tokens = form_urlencoded::parse(form).filter(|(name, _)| name == "logout_token");
    match (tokens.next(), tokens.next()) {
        (Some((_, token)), None) => Ok(token.into_owned()),
        (None, _) => Err("the form has no logout_token"),
        (Some(_), Some(_)) => Err("the form has more than one logout_token"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_has_one_token_whatever_else_it_has() {
        let read = |form: &'static str| one_token(&Bytes::from_static(form.as_bytes()));
        assert_eq!(read("a=b&logout_token=x.y.z%2B&c"), Ok("x.y.z+".to_owned()));
        assert!(read("").is_err() && read("token=x").is_err() && read("Logout_Token=x").is_err());
        assert!(read("logout_token=x&logout_token=x").is_err());
    }
}
