//! The broker as a chore runs it: `wardline serve --dev` on the engine that was asked for, on
//! loopback, with a data folder of its own.
//!
//! It is ready when it prints `listening on ADDRESS`. What it logs goes to a file beside the data.
//! It can be killed and started again on the same address and data.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

use crate::engine::Engine;
use crate::process::{Children, Running};

/// Longest start; opening the store after a kill replays its log.
const READY_DEADLINE: Duration = Duration::from_secs(60);
/// Longest graceful stop.
const STOP_DEADLINE: Duration = Duration::from_secs(30);

/// How to run a broker.
#[derive(Clone)]
pub struct Settings {
    /// The `wardline` program.
    pub program: PathBuf,
    /// What its store lies in.
    pub engine: Engine,
    /// Its data folder.
    pub data: PathBuf,
    /// Where its log goes, added to what is there.
    pub log: PathBuf,
}

/// A running broker.
pub struct Broker {
    settings: Settings,
    flags: Vec<String>,
    process: Running,
    /// Where it listens.
    pub address: SocketAddr,
    /// Where it serves its pages, if it does.
    pub http: Option<SocketAddr>,
    /// From the start of its process until it was ready.
    pub ready_after: Duration,
}

impl Broker {
    /// Starts one and waits until it is ready.
    ///
    /// # Errors
    /// If it does not become ready; the log says why.
    pub fn start(settings: Settings, children: &Children) -> anyhow::Result<Self> {
        Self::start_with(settings, Vec::new(), children)
    }

    /// The same, with more flags for `wardline serve`.
    ///
    /// # Errors
    /// If it does not become ready; the log says why.
    pub fn start_with(settings: Settings, flags: Vec<String>, children: &Children) -> anyhow::Result<Self> {
        Self::start_at(settings, flags, SocketAddr::from(([127, 0, 0, 1], 0)), children)
    }

    /// Kills it (SIGKILL) and waits until it is gone.
    pub fn kill(&self) {
        self.process.kill();
    }

    /// Starts it again on the same address and data, after it was killed.
    ///
    /// # Errors
    /// If it does not become ready again.
    pub fn start_again(self, children: &Children) -> anyhow::Result<Self> {
        Self::start_at(self.settings.clone(), self.flags.clone(), self.address, children)
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Stops it (SIGTERM).
    ///
    /// # Errors
    /// If it does not stop in time, or with a failure.
    pub fn stop(self) -> anyhow::Result<()> {
        let status = self.process.stop(STOP_DEADLINE).context("the broker was asked to stop")?;
        ensure!(status.success(), "the broker was asked to stop and ended with {status}");
        Ok(())
    }

    /// Its name for `wardline-loadgen run --target`.
    pub fn target(&self) -> String {
        format!("dev:{}@{}", self.settings.data.display(), self.address)
    }

    /// The arguments for a load generator that talks to it.
    pub fn client_arguments(&self) -> Vec<String> {
        let dev = self.settings.data.join("dev");
        let file = |name: &str| dev.join(name).to_string_lossy().into_owned();
        let server = self.address.to_string();
        ["--server", &server, "--ca", &file("ca.pem"), "--signing-key", &file("token-key.pem")]
            .map(str::to_owned)
            .into()
    }

    fn start_at(
        settings: Settings,
        flags: Vec<String>,
        listen: SocketAddr,
        children: &Children,
    ) -> anyhow::Result<Self> {
        let log = File::options().create(true).append(true).open(&settings.log);
        let log = log.with_context(|| format!("cannot write {}", settings.log.display()))?;
        let mut command = Command::new(&settings.program);
        command.args(["serve", "--dev", "--listen", &listen.to_string(), "--data"]).arg(&settings.data);
        command.args(["--set", &settings.engine.setting()]).args(&flags);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        let began = Instant::now();
        let process = children.spawn(&mut command)?;
        let stdout = process.stdout().context("the broker has no stdout")?;
        let (address, http) = wait_ready(stdout).with_context(|| failure(&settings.log))?;
        Ok(Self { settings, flags, process, address, http, ready_after: began.elapsed() })
    }
}

/// Waits for the line that says where it listens; goes on reading after it, so that the pipe never
/// fills.
fn wait_ready(stdout: ChildStdout) -> anyhow::Result<(SocketAddr, Option<SocketAddr>)> {
    let (found, ready) = mpsc::sync_channel(1);
    thread::spawn(move || {
        let mut http = None;
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if let Some(address) = line.strip_prefix("http on ") {
                http = address.trim().parse::<SocketAddr>().ok();
            }
            if let Some(address) = line.strip_prefix("listening on ") {
                // Only the first one is waited for.
                let _ = found.try_send(address.trim().parse::<SocketAddr>().map(|address| (address, http)));
            }
        }
    });
    match ready.recv_timeout(READY_DEADLINE) {
        Ok(addresses) => addresses.context("the broker says that it listens, but not where"),
        Err(mpsc::RecvTimeoutError::Timeout) => bail!("not ready within {} s", READY_DEADLINE.as_secs()),
        Err(mpsc::RecvTimeoutError::Disconnected) => bail!("it ended before it was ready"),
    }
}

/// What went wrong, with the end of the log.
fn failure(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let end = &lines[lines.len().saturating_sub(5)..];
    format!("the broker did not start; {} ends with\n  {}", log.display(), end.join("\n  "))
}
