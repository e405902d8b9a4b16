//! The two sides of the fan-out bench: the broker, and bare quinn, each with the same readers.
//!
//! Either side has two threads with a single-threaded runtime each, one for the server and one for
//! all readers. A job is a number of messages; it is done when every reader has all of them.

use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bytes::{Bytes, BytesMut};
use tempfile::TempDir;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use wardline_proto::v1::server_frame::Response;
use wardline_proto::{frame, v1};
use wardline_storage::memory::MemoryEngine;

use crate::bare_quinn::Flood;
use crate::cpu;
use crate::endpoint::{self, BARE_ALPN, Dialler};
use crate::message::{PAYLOAD_BYTES, entry_frame, publish_into};
use crate::site::{self, RequestLane, Session, Site};
use crate::tally::Tally;

/// Messages published ahead of what all readers have: well below what a tail holds, as the readers
/// are to be served from there.
const WINDOW: u64 = 500;
/// Messages in one write of the publisher.
const BURST: u64 = 50;
/// Longest time for one job: a reader that lost its session must not hold the bench for ever.
const PATIENCE: Duration = Duration::from_secs(60);

/// Longest time for all readers to connect.
const CONNECTING_MAX: Duration = Duration::from_secs(120);

/// What the threads of a bare server are called.
const BARE_THREADS: &str = "bare-server";

/// A number of messages to bring to every reader, and where to say how long it took.
type Job = (u64, SyncSender<Duration>);

/// One side: a server, and its readers.
pub struct Side {
    jobs: Option<mpsc::Sender<Job>>,
    readers: Option<JoinHandle<()>>,
    /// Dropped last: the readers' server.
    server: Server,
}

enum Server {
    Broker { _site: Site },
    Bare { stop: Option<oneshot::Sender<()>>, thread: Option<JoinHandle<()>>, _keys: TempDir },
}

impl Side {
    /// The broker on the memory engine, with so many sessions in one conversation; one of them
    /// publishes.
    ///
    /// # Errors
    /// If something cannot be started or connected.
    pub fn broker(readers: u64) -> Result<Self> {
        let site = Site::start(Arc::new(MemoryEngine::default()))?;
        let names: Vec<String> = (0..readers).map(|number| format!("reader-{number:04}")).collect();
        let tokens = names.iter().map(|name| site.token(name)).collect::<Result<Vec<_>>>()?;
        let (founder, dialler) = (site.token("founder")?, site.dialler()?);
        let (jobs, readers) = client(move |jobs| follow(dialler, founder, names, tokens, jobs))?;
        Ok(Self { jobs: Some(jobs), readers: Some(readers), server: Server::Broker { _site: site } })
    }

    /// Bare quinn with so many connections.
    ///
    /// # Errors
    /// If something cannot be started or connected.
    pub fn bare(readers: u64) -> Result<Self> {
        let folder = TempDir::new()?;
        let dev = endpoint::keys(folder.path())?;
        let (wanted, asked) = watch::channel(0);
        let flood = Flood::new(&entry_frame(PAYLOAD_BYTES), asked);
        let (stop, stopped) = oneshot::channel::<()>();
        let (started, starts) = sync_channel(1);
        let keys = dev.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = thread::Builder::new().name(BARE_THREADS.to_owned()).spawn(move || {
            runtime.block_on(async move {
                let endpoint = endpoint::server(&keys).expect("the keys were just made");
                started.send(endpoint.local_addr()).expect("the address is waited for");
                tokio::select! {
                    () = flood.run(endpoint) => {}
                    _ = stopped => {}
                }
            });
        })?;
        let dialler = Dialler::new(starts.recv()??, &dev.ca(), BARE_ALPN)?;
        let (jobs, handle) = client(move |jobs| listen(dialler, readers, wanted, jobs))?;
        let server = Server::Bare { stop: Some(stop), thread: Some(thread), _keys: folder };
        Ok(Self { jobs: Some(jobs), readers: Some(handle), server })
    }

    /// Processor time that the server has used until now.
    ///
    /// # Errors
    /// If the kernel does not tell.
    pub fn server_cpu(&self) -> std::io::Result<Duration> {
        match self.server {
            // One of its threads is the log's own.
            Server::Broker { .. } => Ok(cpu::of_threads(site::THREADS)? + cpu::of_threads("committer")?),
            Server::Bare { .. } => cpu::of_threads(BARE_THREADS),
        }
    }

    /// Brings so many messages to every reader; how long it took.
    ///
    /// # Errors
    /// If the readers are gone.
    pub fn deliver(&self, messages: u64) -> Result<Duration> {
        let (done, finished) = sync_channel(1);
        let jobs = self.jobs.as_ref().context("the side was taken down")?;
        jobs.blocking_send((messages, done)).ok().context("the readers are gone")?;
        finished.recv().context("the readers did not get everything; the reason was printed above")
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(readers) = self.readers.take() {
            // Its panic was printed; there is nothing to add while things are taken down.
            let _ = readers.join();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Self::Bare { stop, thread, .. } = self {
            drop(stop.take());
            if let Some(thread) = thread.take() {
                let _ = thread.join();
            }
        }
    }
}

/// A thread for readers; returns when they are all there.
fn client<F>(work: impl FnOnce(Jobs) -> F + Send + 'static) -> Result<(mpsc::Sender<Job>, JoinHandle<()>)>
where
    F: Future<Output = Result<()>>,
{
    let (jobs, queue) = mpsc::channel(1);
    let (ready, readies) = sync_channel(1);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let thread = thread::Builder::new().name("readers".to_owned()).spawn(move || {
        let worked = runtime.block_on(work(Jobs { queue, ready }));
        worked.expect("readers stay connected");
    })?;
    readies
        .recv_timeout(CONNECTING_MAX)
        .context("the readers could not be connected; the reason was printed above")?;
    Ok((jobs, thread))
}

/// What a readers' thread has to do.
struct Jobs {
    queue: mpsc::Receiver<Job>,
    ready: SyncSender<()>,
}

impl Jobs {
    /// Says that all readers are there, then works until there is nothing more.
    async fn work(mut self, mut deliver: impl AsyncFnMut(u64) -> Result<()>) -> Result<()> {
        self.ready.send(()).context("nobody waits any more")?;
        while let Some((messages, done)) = self.queue.recv().await {
            let begun = Instant::now();
            tokio::time::timeout(PATIENCE, deliver(messages)).await.context("a job took too long")??;
            // Whoever asked may have given up.
            let _ = done.send(begun.elapsed());
        }
        Ok(())
    }
}

/// Readers of bare quinn.
async fn listen(mut dialler: Dialler, readers: u64, wanted: watch::Sender<u64>, jobs: Jobs) -> Result<()> {
    let tally = Arc::new(Tally::default());
    let mut tasks = JoinSet::new();
    let mut connections = Vec::new();
    // A stream is first seen with its first frame.
    wanted.send_replace(1);
    for _ in 0..readers {
        let connection = dialler.connect().await?;
        let (stream, tally) = (connection.accept_uni().await?, Arc::clone(&tally));
        tasks.spawn(async move { tally.count(stream, &[]).await });
        connections.push(connection);
    }
    tally.reach(readers).await;
    jobs.work(async |messages| {
        wanted.send_modify(|wanted| *wanted += messages);
        tally.reach(*wanted.borrow() * readers).await;
        Ok(())
    })
    .await
}

/// Readers of the broker. The first one publishes.
async fn follow(
    mut dialler: Dialler,
    founder: String,
    names: Vec<String>,
    tokens: Vec<String>,
    jobs: Jobs,
) -> Result<()> {
    let readers = names.len() as u64;
    let mut founding = Session::open(dialler.connect().await?, founder, u64::MAX).await?;
    let group = founding.found_group(names).await?;
    drop(founding);
    let tally = Arc::new(Tally::default());
    let mut tasks = JoinSet::new();
    let mut sessions = Vec::new();
    for (device, token) in (0..).zip(tokens) {
        let session = Session::open(dialler.connect().await?, token, device).await?;
        let ((lane, before), tally) = (session.caught_up().await?, Arc::clone(&tally));
        tasks.spawn(async move { tally.count(lane, &before).await });
        sessions.push(session);
    }
    let publisher = sessions.first().context("a conversation needs a reader")?;
    let (mut up, down) = RequestLane::open(&publisher.connection).await?.split();
    tasks.spawn(watch_answers(down));
    let mut published = 0;
    jobs.work(async |messages| {
        let end = published + messages;
        while published < end {
            tally.reach((published + BURST).saturating_sub(WINDOW) * readers).await;
            let burst = BURST.min(end - published);
            up.write_all(&requests(&group, published..published + burst)).await?;
            published += burst;
        }
        tally.reach(published * readers).await;
        Ok(())
    })
    .await
}

fn requests(group: &Bytes, numbers: std::ops::Range<u64>) -> BytesMut {
    let mut out = BytesMut::new();
    numbers.for_each(|number| frame::encode(&publish_into(group.clone(), number), &mut out));
    out
}

/// Every publish must be acknowledged: what is refused is never delivered, and the job would wait
/// in vain.
async fn watch_answers(mut down: quinn::RecvStream) {
    let mut buffer = BytesMut::new();
    while let Ok(answer) = site::read::<v1::ServerFrame>(&mut down, &mut buffer).await {
        assert!(
            matches!(answer.response, Some(Response::PublishAck(_))),
            "a publish was refused: {answer:?}"
        );
    }
}
