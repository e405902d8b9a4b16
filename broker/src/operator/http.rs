//! HTTP for operators: `/metrics`, `/livez`, `/readyz`, `/version`.
//!
//! Reads nothing but the request line and headers, and answers with what is there already; only the
//! metrics are put together when asked, one page at a time, on a blocking thread, so that a scrape
//! holds up no session. On the loopback interface in the clear, elsewhere with TLS 1.3 and the
//! broker's certificate. Connections, their time and their bytes are bounded.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics::Gauge;
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{interval, timeout};
use tokio_rustls::TlsAcceptor;

use crate::metrics::buckets;
use crate::operator::readiness::Readiness;
use crate::settings::Tls;

/// Most connections; further ones are closed.
const CONNECTIONS_MAX: usize = 64;
/// Longest life of a connection: whoever scrapes connects again.
const LIFETIME: Duration = Duration::from_secs(600);
/// Longest time for a TLS handshake, and for a request's headers; also for the next request.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long nobody is let in after that failed: shorter than anybody waits for a page, and not a
/// flood of log lines.
const ACCEPT_PAUSE: Duration = Duration::from_secs(2);
/// Most bytes of a request's headers.
const HEADERS_BYTES_MAX: usize = 16 * 1024;
/// What a page of metrics costs.
const SCRAPE_SECONDS: &str = "wardline_scrape_duration_seconds";
/// How often what histograms were told is added up, whether somebody scrapes or not.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// The pages cannot be served. The operator must act.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum HttpError {
    /// The address is taken, or not ours.
    #[error("cannot serve http on {address} (TCP): {source}; choose another http.listen, or \"\" for none")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The certificate or its key cannot be used.
    #[error("the certificate or its key cannot be used for http: {0}")]
    Tls(#[from] rustls::Error),
    /// Metrics are recorded already.
    #[error("metrics cannot be recorded: {0}")]
    Recorder(#[from] BuildError),
}

/// What there is to see, and where; nobody is answered yet.
pub struct Http {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<watch::Receiver<Tls>>,
    recorded: PrometheusHandle,
}

/// The pages while they are served; ended when this is dropped.
pub struct Serving(JoinHandle<()>);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Http {
    /// Binds the address, and records metrics from now on: to be called before the broker starts,
    /// which resolves its handles then. With `tls`, each new connection gets the certificate of
    /// that moment.
    ///
    /// # Errors
    /// [`HttpError`] if the address cannot be had or the certificate not be used.
    ///
    /// # Cancellation
    /// Metrics may stay recorded.
    pub async fn bind(address: SocketAddr, tls: Option<watch::Receiver<Tls>>) -> Result<Self, HttpError> {
        if let Some(tls) = &tls {
            acceptor(&tls.borrow())?;
        }
        let listen = |source| HttpError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let mut builder = PrometheusBuilder::new();
        for (which, bounds) in buckets() {
            builder = builder.set_buckets_for_metric(which, &bounds)?;
        }
        Ok(Self { listener, address, tls, recorded: builder.install_recorder()? })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers, until what this returns is dropped.
    pub fn serve(self, readiness: Readiness) -> Serving {
        metrics::describe_gauge!(SCRAPE_SECONDS, "How long the last /metrics page took to make.");
        let pages = Arc::new(Pages {
            recorded: self.recorded.clone(),
            readiness,
            scrape_seconds: metrics::gauge!(SCRAPE_SECONDS),
            one_scrape: Semaphore::new(1),
        });
        Serving(tokio::spawn(async move {
            tokio::join!(keep_up(self.recorded.clone()), accept(self.listener, self.tls, pages));
        }))
    }
}

async fn keep_up(recorded: PrometheusHandle) {
    let mut ticks = interval(UPKEEP_EVERY);
    loop {
        ticks.tick().await;
        let recorded = recorded.clone();
        // It ends early only when the runtime does.
        let _ = tokio::task::spawn_blocking(move || recorded.run_upkeep()).await;
    }
}

async fn accept(listener: TcpListener, tls: Option<watch::Receiver<Tls>>, pages: Arc<Pages>) {
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
        let (pages, tls) = (Arc::clone(&pages), tls.clone());
        connections.spawn(timeout(LIFETIME, async move {
            match tls {
                None => talk(stream, pages).await,
                Some(tls) => {
                    let acceptor = acceptor(&tls.borrow());
                    let Ok(acceptor) = acceptor else { return };
                    // A client that does not get through its handshake is none of ours.
                    if let Ok(Ok(stream)) = timeout(PATIENCE, acceptor.accept(stream)).await {
                        talk(stream, pages).await;
                    }
                }
            }
        }));
    }
}

fn acceptor(tls: &Tls) -> Result<TlsAcceptor, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(tls.chain.clone(), tls.key.clone_key())?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn talk(stream: impl AsyncRead + AsyncWrite + Unpin, pages: Arc<Pages>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let pages = Arc::clone(&pages);
        async move { Ok::<_, Infallible>(pages.answer(request.method(), request.uri().path()).await) }
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

type Page = Response<Full<Bytes>>;

/// What can be asked for.
struct Pages {
    recorded: PrometheusHandle,
    readiness: Readiness,
    scrape_seconds: Gauge,
    /// Held while a page of metrics is made.
    one_scrape: Semaphore,
}

impl Pages {
    async fn answer(&self, method: &Method, path: &str) -> Page {
        if !matches!(*method, Method::GET | Method::HEAD) {
            let mut refused = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n".into());
            refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return refused;
        }
        match path {
            "/metrics" => self.metrics().await,
            // Who can answer this is alive; a store that failed ends the process.
            "/livez" => text(StatusCode::OK, "alive\n".into()),
            "/readyz" => self.ready(),
            "/version" => version(),
            _ => text(StatusCode::NOT_FOUND, "there are /metrics, /livez, /readyz and /version\n".into()),
        }
    }

    async fn metrics(&self) -> Page {
        let Ok(_one) = self.one_scrape.acquire().await else { return unavailable() };
        let (recorded, began) = (self.recorded.clone(), Instant::now());
        let Ok(page) = tokio::task::spawn_blocking(move || recorded.render()).await else {
            return unavailable();
        };
        self.scrape_seconds.set(began.elapsed().as_secs_f64());
        page_of(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", page)
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

fn version() -> Page {
    let version = serde_json::json!({
        "name": "wardline",
        "version": env!("CARGO_PKG_VERSION"),
        "protocol": String::from_utf8_lossy(crate::wire::ALPN),
        "store_format": wardline_storage::format::FORMAT,
    });
    page_of(StatusCode::OK, "application/json", format!("{version}\n"))
}

fn unavailable() -> Page {
    text(StatusCode::SERVICE_UNAVAILABLE, "the broker is ending\n".into())
}

fn text(status: StatusCode, body: String) -> Page {
    page_of(status, "text/plain; charset=utf-8", body)
}

fn page_of(status: StatusCode, kind: &'static str, body: String) -> Page {
    let mut page = Response::new(Full::new(Bytes::from(body)));
    *page.status_mut() = status;
    page.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    page.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    page
}
