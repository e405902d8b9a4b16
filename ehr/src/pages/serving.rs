//! Answers HTTP/1.1, a page at a time.
//!
//! Whoever asks for something else than a page is told which there are. No page is kept by those
//! who ask.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::readiness::Readiness;

/// Most connections; further ones are closed.
const CONNECTIONS_MAX: usize = 64;
/// Longest life of a connection: whoever asks connects again.
const LIFETIME: Duration = Duration::from_secs(600);
/// Longest time for a TLS handshake, and for a request's headers; also for the next request.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long nobody is let in after that failed.
const ACCEPT_PAUSE: Duration = Duration::from_secs(2);
/// Most bytes of a request's headers.
const HEADERS_BYTES_MAX: usize = 16 * 1024;

/// TLS of the pages, of each moment.
pub type Tls = watch::Receiver<Arc<rustls::ServerConfig>>;

/// An answer, whole.
type Page = Response<Full<Bytes>>;

/// Somebody who answers; no more when this is dropped.
pub struct Serving(JoinHandle<()>);

impl Serving {
    pub(super) fn new(answering: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(answering))
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What can be asked for.
pub(super) struct Answers {
    recorded: PrometheusHandle,
    readiness: Readiness,
    stands: Box<dyn Fn() + Send + Sync>,
    /// Held while a page of metrics is made.
    one_scrape: Semaphore,
}

impl Answers {
    pub(super) fn new(
        recorded: PrometheusHandle,
        readiness: Readiness,
        stands: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        Self { recorded, readiness, stands: Box::new(stands), one_scrape: Semaphore::new(1) }
    }

    async fn answer(&self, method: &Method, path: &str) -> Page {
        if !matches!(*method, Method::GET | Method::HEAD) {
            let mut refused = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n".into());
            refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return refused;
        }
        match path {
            "/metrics" => self.metrics().await,
            // Who can answer this is alive.
            "/livez" => text(StatusCode::OK, "alive\n".into()),
            "/readyz" => self.ready(),
            "/version" => version(),
            _ => text(StatusCode::NOT_FOUND, "there are /metrics, /livez, /readyz and /version\n".into()),
        }
    }

    async fn metrics(&self) -> Page {
        (self.stands)();
        let Ok(_one) = self.one_scrape.acquire().await else { return unavailable() };
        let recorded = self.recorded.clone();
        match tokio::task::spawn_blocking(move || recorded.render()).await {
            Ok(page) => page_of(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", page),
            Err(_) => unavailable(),
        }
    }

    fn ready(&self) -> Page {
        let checks = self.readiness.checks();
        let is_ready = checks.iter().all(|(_, wrong)| wrong.is_none());
        let lines = checks.iter().map(|(name, wrong)| match wrong {
            None => format!("ok   {name}\n"),
            Some(wrong) => format!("FAIL {name}: {wrong}\n"),
        });
        let (status, last) = match is_ready {
            true => (StatusCode::OK, "ready\n"),
            false => (StatusCode::SERVICE_UNAVAILABLE, "not ready\n"),
        };
        text(status, lines.chain([last.to_owned()]).collect())
    }
}

/// Takes connections and has each answered, until it is dropped. With `tls`, each new one gets the
/// certificate of that moment.
pub(super) async fn accept(listener: TcpListener, tls: Option<Tls>, answers: Arc<Answers>) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        let stream = match accepted {
            Ok((stream, _)) if connections.len() < CONNECTIONS_MAX => stream,
            Ok(_) => continue,
            Err(error) => {
                tracing::warn!(code = "http-accept", %error, "an http connection could not be taken");
                // Such as too many open files: it does not pass at once.
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let answers = Arc::clone(&answers);
        let acceptor = tls.as_ref().map(|tls| TlsAcceptor::from(Arc::clone(&tls.borrow())));
        connections.spawn(timeout(LIFETIME, async move {
            match acceptor {
                None => talk(stream, answers).await,
                // A client that does not get through its handshake is none of ours.
                Some(acceptor) => {
                    if let Ok(Ok(stream)) = timeout(PATIENCE, acceptor.accept(stream)).await {
                        talk(stream, answers).await;
                    }
                }
            }
        }));
    }
}

async fn talk(stream: impl AsyncRead + AsyncWrite + Unpin, answers: Arc<Answers>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let answers = Arc::clone(&answers);
        async move {
            let (head, _) = request.into_parts();
            Ok::<_, Infallible>(answers.answer(&head.method, head.uri.path()).await)
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(HEADERS_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(code = "http-broken", %error, "an http connection broke");
    }
}

fn version() -> Page {
    let version = serde_json::json!({ "name": "wardline-ehr", "version": env!("CARGO_PKG_VERSION") });
    page_of(StatusCode::OK, "application/json", format!("{version}\n"))
}

fn unavailable() -> Page {
    text(StatusCode::SERVICE_UNAVAILABLE, "the bridge is ending\n".into())
}

fn text(status: StatusCode, body: String) -> Page {
    page_of(status, "text/plain; charset=utf-8", body)
}

/// A page that nobody keeps.
fn page_of(status: StatusCode, kind: &'static str, body: String) -> Page {
    let mut page = Response::new(Full::new(Bytes::from(body)));
    *page.status_mut() = status;
    page.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    page.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    page
}
