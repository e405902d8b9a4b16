//! The limit of fan-out: bare quinn in a process of its own, its readers in another.
//!
//! Two processes, so that each can have a core to itself, as a broker and its load generator have.
//! The server says where it listens and where its authority's certificate lies on its output, and
//! ends with its input; so it never outlives whoever started it.

use std::io::{self, BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use wardline_benches::bare_quinn::Flood;
use wardline_benches::endpoint::{self, BARE_ALPN, Dialler};
use wardline_benches::message::{PAYLOAD_BYTES, entry_frame};
use wardline_benches::tally::Tally;

use super::options::Time;

const WARM_UP: Duration = Duration::from_secs(1);
/// Longest time for all readers to connect.
const CONNECTING_MAX: Duration = Duration::from_secs(120);
/// Longest time for the other process to end by itself.
const ENDING_MAX: Duration = Duration::from_secs(5);
const ENDING_POLL: Duration = Duration::from_millis(10);

/// Server and readers.
#[derive(Args)]
pub(crate) struct Both {
    #[command(flatten)]
    frames: Frames,
    #[command(flatten)]
    load: Load,
    /// The core that the server is pinned to (needs taskset of util-linux).
    #[arg(long)]
    server_core: Option<u16>,
    /// The core that the readers are pinned to.
    #[arg(long)]
    reader_core: Option<u16>,
}

/// The server alone.
#[derive(Args)]
pub(crate) struct Server {
    #[command(flatten)]
    frames: Frames,
}

/// The readers alone.
#[derive(Args)]
pub(crate) struct Reader {
    #[command(flatten)]
    load: Load,
    /// Where the server listens, as it said.
    #[arg(long)]
    address: SocketAddr,
    /// The certificate of its authority, as it said.
    #[arg(long, value_name = "FILE")]
    authority: PathBuf,
}

#[derive(Args, Clone, Copy)]
struct Frames {
    /// Bytes of a payload; the frame around it has about a hundred more.
    #[arg(long, default_value_t = PAYLOAD_BYTES as u64, value_parser = clap::value_parser!(u64).range(PAYLOAD_BYTES as u64..=65_536))]
    bytes: u64,
}

#[derive(Args, Clone, Copy)]
struct Load {
    /// Connections that are written to.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    readers: u64,
    #[command(flatten)]
    time: Time,
}

/// What a server says of itself.
#[derive(Serialize, Deserialize)]
struct Listening {
    address: SocketAddr,
    authority: PathBuf,
}

impl Both {
    pub(crate) fn run(&self) -> Result<Value> {
        let bytes = self.frames.bytes.to_string();
        let mut server = Process::start(self.server_core, &["quinn-server", "--bytes", &bytes])?;
        let listening: Listening = serde_json::from_str(&server.line()?)?;
        let (address, authority) = (listening.address.to_string(), listening.authority.display().to_string());
        let (readers, seconds) = (self.load.readers.to_string(), self.load.time.seconds.to_string());
        let arguments = [
            "quinn-reader",
            "--address",
            &address,
            "--authority",
            &authority,
            "--readers",
            &readers,
            "--seconds",
            &seconds,
        ];
        let mut report: Value = serde_json::from_str(&Process::start(self.reader_core, &arguments)?.line()?)?;
        report["payload_bytes"] = self.frames.bytes.into();
        Ok(report)
    }
}

impl Server {
    /// Serves until its input ends.
    pub(crate) fn run(self) -> Result<()> {
        let folder = TempDir::new()?;
        let dev = endpoint::keys(folder.path())?;
        let frame = entry_frame(self.frames.bytes as usize);
        runtime()?.block_on(async {
            let endpoint = endpoint::server(&dev)?;
            let listening = Listening { address: endpoint.local_addr()?, authority: dev.ca() };
            println!("{}", serde_json::to_string(&listening)?);
            let input = tokio::task::spawn_blocking(|| io::stdin().lock().read_to_end(&mut Vec::new()));
            let (_wanted, endless) = watch::channel(u64::MAX);
            tokio::select! {
                () = Flood::new(&frame, endless).run(endpoint) => {}
                ended = input => { ended??; }
            }
            Ok(())
        })
    }
}

impl Reader {
    /// Connects, warms up, counts.
    pub(crate) fn run(self) -> Result<Value> {
        let Load { readers, time } = self.load;
        runtime()?.block_on(async {
            let mut dialler = Dialler::new(self.address, &self.authority, BARE_ALPN)?;
            let tally = Arc::new(Tally::default());
            // Nothing is taken in before all are connected, or the first ones would be in the way
            // of the last.
            let connecting = async {
                let mut connections = Vec::new();
                for _ in 0..readers {
                    connections.push(dialler.connect().await?);
                }
                anyhow::Ok(connections)
            };
            let connections =
                timeout(CONNECTING_MAX, connecting).await.context("connecting took too long")??;
            let mut tasks = JoinSet::new();
            for connection in &connections {
                let (stream, tally) = (connection.accept_uni().await?, Arc::clone(&tally));
                tasks.spawn(async move { tally.count(stream, &[]).await });
            }
            tokio::time::sleep(WARM_UP).await;
            let (begun, before) = (Instant::now(), tally.frames());
            tokio::time::sleep(time.duration()).await;
            let (seconds, deliveries) = (begun.elapsed().as_secs_f64(), tally.frames() - before);
            ensure!(tasks.try_join_next().is_none(), "a connection ended before the measurement");
            Ok(json!({
                "limit": "quinn",
                "readers": readers,
                "seconds": seconds,
                "deliveries": deliveries,
                "deliveries_per_second": deliveries as f64 / seconds,
            }))
        })
    }
}

fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

/// This program again, with other arguments. Dropping it ends it.
struct Process {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
}

impl Process {
    fn start(core: Option<u16>, arguments: &[&str]) -> Result<Self> {
        let program = std::env::current_exe()?;
        let mut command = match core {
            None => Command::new(program),
            Some(core) => {
                let mut command = Command::new("taskset");
                command.args(["--cpu-list", &core.to_string()]).arg(program);
                command
            }
        };
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("cannot start the other process; is taskset installed?")?;
        let output = BufReader::new(child.stdout.take().context("its output was asked for")?);
        Ok(Self { child, output })
    }

    /// The next line that it says.
    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        ensure!(
            self.output.read_line(&mut line)? > 0,
            "the other process ended; the reason was printed above"
        );
        Ok(line)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A server ends with its input, and tidies up behind itself if it is given the time.
        drop(self.child.stdin.take());
        let deadline = Instant::now() + ENDING_MAX;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            thread::sleep(ENDING_POLL);
        }
        // It has ended by now, or hangs; if it has, there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
