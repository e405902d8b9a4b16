//! HTTP for operators: `/metrics`, `/livez`, `/readyz`, `/version`.
//!
//! Reads nothing but the request line and headers, and answers with what is there already; only the
//! metrics are put together when asked, one page at a time, on a blocking thread, so that a scrape
//! holds up no session.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::body::Incoming;
use hyper::header::{ALLOW, HeaderValue};
use hyper::{Method, Request, StatusCode};
use metrics::Gauge;
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::time::interval;

use crate::metrics::buckets;
use crate::operator::readiness::Readiness;
pub use crate::operator::serving::Serving;
use crate::operator::serving::{self, Answers, Page, page_of, text};
use crate::settings::Tls;

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
    /// The address for logout tokens is taken, or not ours.
    #[error(
        "cannot take logout tokens on {address} (TCP): {source}; choose another logout.listen, or \"\" for none"
    )]
    Logout {
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
            serving::acceptor(&tls.borrow())?;
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
        Serving::new(async move {
            tokio::join!(keep_up(self.recorded.clone()), serving::accept(self.listener, self.tls, pages));
        })
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

/// What can be asked for.
struct Pages {
    recorded: PrometheusHandle,
    readiness: Readiness,
    scrape_seconds: Gauge,
    /// Held while a page of metrics is made.
    one_scrape: Semaphore,
}

impl Answers for Pages {
    async fn answer(&self, request: Request<Incoming>) -> Page {
        let (head, _) = request.into_parts();
        if !matches!(head.method, Method::GET | Method::HEAD) {
            let mut refused = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n".into());
            refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return refused;
        }
        match head.uri.path() {
            "/metrics" => self.metrics().await,
            // Who can answer this is alive; a store that failed ends the process.
            "/livez" => text(StatusCode::OK, "alive\n".into()),
            "/readyz" => self.ready(),
            "/version" => version(),
            _ => text(StatusCode::NOT_FOUND, "there are /metrics, /livez, /readyz and /version\n".into()),
        }
    }
}

impl Pages {
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
