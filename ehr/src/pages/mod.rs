//! HTTP for operators: `/metrics`, `/livez`, `/readyz`, `/version`.
//!
//! Reads nothing but the request line and headers, and answers with what is there already; only the
//! metrics are put together when asked, one page at a time, on a blocking thread. On the loopback
//! interface in the clear, elsewhere with TLS. Connections, their time and the bytes of their
//! headers are bounded.

mod readiness;
mod serving;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::time::interval;

pub use readiness::{Readiness, Wrong};
pub use serving::{Serving, Tls};

/// How often what histograms were told is added up, whether somebody scrapes or not.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// The pages cannot be served. The operator must act.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PagesError {
    /// The address is taken, or not ours.
    #[error("cannot serve http on {address} (TCP): {source}; choose another http.listen, or \"\" for none")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// Metrics are recorded already.
    #[error("metrics cannot be recorded: {0}")]
    Recorder(#[from] BuildError),
}

/// Begins to record metrics: before anybody resolves a handle.
///
/// # Errors
/// [`PagesError::Recorder`] if somebody does already.
pub fn record() -> Result<PrometheusHandle, PagesError> {
    // 50 µs to 26 s.
    let seconds: Vec<f64> = (0..20).map(|n| 50e-6 * 2f64.powi(n)).collect();
    let builder =
        PrometheusBuilder::new().set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &seconds)?;
    Ok(builder.install_recorder()?)
}

/// An address for the pages; nobody is answered yet.
pub struct Pages {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<Tls>,
}

impl Pages {
    /// Binds it.
    ///
    /// # Errors
    /// [`PagesError::Listen`] if it cannot be had.
    pub async fn bind(address: SocketAddr, tls: Option<Tls>) -> Result<Self, PagesError> {
        let listen = |source| PagesError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        Ok(Self { listener, address, tls })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers, until what this returns is dropped. `stands` is called before each page of metrics,
    /// to tell what merely stands.
    pub fn serve(
        self,
        recorded: PrometheusHandle,
        readiness: Readiness,
        stands: impl Fn() + Send + Sync + 'static,
    ) -> Serving {
        let answers = serving::Answers::new(recorded.clone(), readiness, stands);
        Serving::new(async move {
            tokio::join!(keep_up(recorded), serving::accept(self.listener, self.tls, Arc::new(answers)));
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
