//! HTTPS: how the broker asks others (issuers, and whoever is an authority) over the network.
//!
//! Every question has a deadline for all of it, a bound for the answer's bytes, and a bound for how
//! many are under way at once. Nothing but `https` is spoken, and the server must be certified by
//! an authority that the operator trusts. A redirect is followed to the same origin only, a few
//! times, and never with a form. What is sent and what comes back is neither logged nor part of an
//! error. Knows nothing of what is asked: an answer is a status, a few headers and bytes.

mod answer;
mod error;
mod trust;

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue, LOCATION, USER_AGENT};
use hyper::{Method, Request, Response, StatusCode};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use url::Url;

pub use answer::Answer;
pub use error::HttpsError;
pub use trust::{Trust, TrustError};

/// Most redirects that are followed for one question.
const REDIRECTS_MAX: usize = 3;
/// Connections that are kept open to one host when nobody asks.
const IDLE_CONNECTIONS_MAX: usize = 4;
/// And for how long.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Bounds of every question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// From the question to the last byte of the answer, redirects and waiting included.
    pub deadline: Duration,
    /// Most bytes of an answer.
    pub answer_bytes_max: usize,
    /// Most questions at once; more wait, within their deadline.
    pub questions_max: usize,
}

/// A name and a secret by which the broker is known to whom it asks (RFC 7617). `Debug` shows
/// neither.
#[derive(Clone)]
pub struct Login(HeaderValue);

impl Login {
    /// By header; `None`: it cannot stand in one.
    pub fn new(header: &str) -> Option<Self> {
        let mut value = HeaderValue::from_str(header).ok()?;
        value.set_sensitive(true);
        Some(Self(value))
    }
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Login")
    }
}

/// Asks over HTTPS.
pub struct Https {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    bounds: Bounds,
    under_way: Semaphore,
}

/// One question; a redirect makes another one of it.
struct Question {
    method: Method,
    url: Url,
    login: Option<Login>,
    form: Option<String>,
}

impl Https {
    /// Whoever is certified as `trust` says can answer.
    pub fn new(trust: &Trust, bounds: Bounds) -> Self {
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_connect_timeout(Some(bounds.deadline));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(rustls::ClientConfig::clone(trust.config()))
            .https_only()
            .enable_http1()
            .wrap_connector(http);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .build(connector);
        Self { client, bounds, under_way: Semaphore::new(bounds.questions_max) }
    }

    /// Reads what is at an address.
    ///
    /// # Errors
    /// [`HttpsError`] if there is no answer in time and in bounds, or its status is not 200.
    ///
    /// # Cancellation
    /// The question is given up.
    pub async fn get(&self, url: &Url) -> Result<Answer, HttpsError> {
        let question = Question { method: Method::GET, url: url.clone(), login: None, form: None };
        self.within_bounds(question).await
    }

    /// Sends a form, as whoever the login says.
    ///
    /// # Errors
    /// As [`Https::get`].
    ///
    /// # Cancellation
    /// The question is given up; it may have arrived.
    pub async fn post(&self, url: &Url, login: Option<&Login>, form: String) -> Result<Answer, HttpsError> {
        let (login, form) = (login.cloned(), Some(form));
        let question = Question { method: Method::POST, url: url.clone(), login, form };
        self.within_bounds(question).await
    }

    async fn within_bounds(&self, question: Question) -> Result<Answer, HttpsError> {
        let asked = async {
            // It is never closed.
            let _under_way = self.under_way.acquire().await.map_err(|_| HttpsError::Late)?;
            self.ask(question).await
        };
        timeout(self.bounds.deadline, asked).await.unwrap_or(Err(HttpsError::Late))
    }

    async fn ask(&self, mut question: Question) -> Result<Answer, HttpsError> {
        for _ in 0..=REDIRECTS_MAX {
            let response = self.client.request(question.request()?).await.map_err(HttpsError::of)?;
            if !response.status().is_redirection() {
                return self.answer(response).await;
            }
            question.url = question.elsewhere(&response)?;
        }
        Err(HttpsError::Redirected { why: "too often" })
    }

    async fn answer(&self, response: Response<Incoming>) -> Result<Answer, HttpsError> {
        let (head, body) = response.into_parts();
        if head.status != StatusCode::OK {
            let retry_after = answer::retry_after(&head.headers);
            return Err(HttpsError::Status { status: head.status.as_u16(), retry_after });
        }
        let max = self.bounds.answer_bytes_max;
        let body = Limited::new(body, max).collect().await.map_err(|error| {
            if error.is::<LengthLimitError>() { HttpsError::TooLong { max } } else { HttpsError::Broken }
        })?;
        Ok(Answer::new(&head.headers, body.to_bytes()))
    }
}

impl Question {
    fn request(&self) -> Result<Request<Full<Bytes>>, HttpsError> {
        let mut request = Request::builder()
            .method(self.method.clone())
            .uri(self.url.as_str())
            .header(USER_AGENT, concat!("wardline/", env!("CARGO_PKG_VERSION")))
            .header(ACCEPT, "application/json");
        if let Some(Login(header)) = &self.login {
            request = request.header(AUTHORIZATION, header.clone());
        }
        if self.form.is_some() {
            request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        }
        let body = Bytes::from(self.form.clone().unwrap_or_default());
        request.body(Full::new(body)).map_err(|_| HttpsError::Address)
    }

    /// Where a redirect leads, if it may be followed.
    fn elsewhere(&self, response: &Response<Incoming>) -> Result<Url, HttpsError> {
        let refused = |why| HttpsError::Redirected { why };
        if self.method != Method::GET {
            return Err(refused("and a form is sent nowhere else"));
        }
        let to = response.headers().get(LOCATION).and_then(|to| to.to_str().ok());
        let to = to.and_then(|to| self.url.join(to).ok()).ok_or(refused("without saying where to"))?;
        if to.origin() == self.url.origin() { Ok(to) } else { Err(refused("to another origin")) }
    }
}
