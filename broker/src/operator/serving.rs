//! Answers HTTP/1.1, whoever has the answers: operators' pages, logout tokens.
//!
//! On the loopback interface in the clear, elsewhere with TLS 1.3 and the broker's certificate.
//! Connections, their time and the bytes of their headers are bounded; a body is bounded by whoever
//! reads it.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::settings::Tls;

/// Most connections; further ones are closed.
const CONNECTIONS_MAX: usize = 64;
/// Longest life of a connection: whoever asks connects again.
const LIFETIME: Duration = Duration::from_secs(600);
/// Longest time for a TLS handshake, and for a request's headers; also for the next request.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long nobody is let in after that failed: shorter than anybody waits for a page, and not a
/// flood of log lines.
const ACCEPT_PAUSE: Duration = Duration::from_secs(2);
/// Most bytes of a request's headers.
const HEADERS_BYTES_MAX: usize = 16 * 1024;

/// An answer, whole.
pub(super) type Page = Response<Full<Bytes>>;

/// Who has the answers.
pub(super) trait Answers: Send + Sync + 'static {
    /// Answers a request.
    fn answer(&self, request: Request<Incoming>) -> impl Future<Output = Page> + Send;
}

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

/// Takes connections and has each answered, until it is dropped. With `tls`, each new one gets the
/// certificate of that moment.
pub(super) async fn accept<A: Answers>(
    listener: TcpListener,
    tls: Option<watch::Receiver<Tls>>,
    pages: Arc<A>,
) {
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

/// What shakes hands with this certificate.
pub(super) fn acceptor(tls: &Tls) -> Result<TlsAcceptor, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(tls.chain.clone(), tls.key.clone_key())?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn talk(stream: impl AsyncRead + AsyncWrite + Unpin, pages: Arc<impl Answers>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let pages = Arc::clone(&pages);
        async move { Ok::<_, Infallible>(pages.answer(request).await) }
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

/// A page of text.
pub(super) fn text(status: StatusCode, body: String) -> Page {
    page_of(status, "text/plain; charset=utf-8", body)
}

/// A page that nobody keeps.
pub(super) fn page_of(status: StatusCode, kind: &'static str, body: String) -> Page {
    let mut page = Response::new(Full::new(Bytes::from(body)));
    *page.status_mut() = status;
    page.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    page.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    page
}
