//! The broker under trial: the real `wardline serve` as a child process, with its data where the
//! trial wants it.
//!
//! Its keys and its log never lie with the data, so that no fault of the data's disk takes them.
//! Owns the processes that it starts: they end when their handle is dropped. A broker is ready when
//! it prints `listening on ADDRESS`.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rustix::process::{Pid, Signal};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::{sleep, timeout};

/// Longest start; opening the store after a kill replays its log.
const READY_DEADLINE: Duration = Duration::from_secs(60);
/// Longest time until all threads have stopped, and how often they are looked at.
const FREEZE_DEADLINE: Duration = Duration::from_secs(10);
const FREEZE_POLL: Duration = Duration::from_micros(200);
/// Longest wait for a page.
const PAGE_DEADLINE: Duration = Duration::from_secs(30);
/// Longest graceful stop.
const STOP_DEADLINE: Duration = Duration::from_secs(30);

/// The tenant that `wardline token` writes into tokens.
const TENANT: &str = "dev";
/// How long tokens are good, and may be: longer than any clock is let jump.
const TOKENS_LAST: &str = "3660d";

/// How to start a broker.
#[derive(Clone)]
pub struct Site {
    /// The `wardline` program.
    pub program: PathBuf,
    /// Its data folder; made by the broker.
    pub data: PathBuf,
    /// Certificates and keys, as a development broker makes them.
    pub keys: Keys,
    /// Where its log goes, added to what is there.
    pub log: PathBuf,
    /// Port 0 until the first one has started; then all have the same.
    pub listen: SocketAddr,
    /// `section.key=value`, beside those that every trial has.
    pub settings: Vec<String>,
    /// Variables of its process.
    pub variables: Vec<(String, String)>,
}

/// Certificates and keys.
#[derive(Clone)]
pub struct Keys {
    /// A data folder of a development broker.
    folder: PathBuf,
}

/// A broker's process that may not be ready yet.
pub struct Starting {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    began: Instant,
    /// The log's length before it.
    log_from: u64,
}

/// A running broker.
pub struct Broker {
    child: Child,
    /// Kept, so that it can go on writing.
    _lines: Lines<BufReader<ChildStdout>>,
    /// Where clients connect.
    pub address: SocketAddr,
    /// Where it shows pages to operators, if it was set to.
    pages: Option<SocketAddr>,
    /// How long its start took.
    pub ready_after: Duration,
}

/// How a process is stopped in its tracks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freeze {
    /// At once: a thread may be within a write or a sync, and will not hear how that went.
    AtOnce,
    /// Between two calls of the kernel: nothing is under way.
    BetweenCalls,
}

impl Freeze {
    /// Whether a thread in this state does no more.
    fn is_reached(self, state: char) -> bool {
        match state {
            'T' | 't' | 'Z' | 'X' => true,
            // Waiting for a disk, and stopped before it gets to know.
            'D' => self == Self::AtOnce,
            _ => false,
        }
    }
}

/// A broker that ended instead of becoming ready.
#[derive(Debug)]
pub struct Ended {
    /// How.
    pub status: ExitStatus,
    /// What it said.
    pub log: String,
}

impl Keys {
    /// Lets a development broker (in memory) make them.
    pub async fn make(program: &Path, folder: &Path) -> anyhow::Result<Self> {
        let mut command = wardline(program);
        command.args([
            "serve",
            "--dev",
            "--listen",
            "127.0.0.1:0",
            "--set",
            "storage.engine=memory",
            "--data",
        ]);
        command.arg(folder).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().with_context(|| format!("cannot start {}", program.display()))?;
        let stdout = child.stdout.take().context("the broker has no stdout")?;
        let mut lines = BufReader::new(stdout).lines();
        let line = timeout(READY_DEADLINE, lines.next_line()).await.context("no keys in time")??;
        ensure!(line.is_some(), "{} made no keys", program.display());
        child.kill().await.context("cannot end the broker that made the keys")?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// The certificate authority, in PEM.
    pub fn authority(&self) -> anyhow::Result<Vec<u8>> {
        let path = self.folder.join("dev").join("ca.pem");
        std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
    }

    /// A token for somebody, signed at the time that the variables make the program believe.
    pub async fn token(
        &self,
        program: &Path,
        user: &str,
        variables: &[(String, String)],
    ) -> anyhow::Result<String> {
        let mut command = wardline(program);
        command.args(["token", "--user", user, "--ttl", TOKENS_LAST, "--data"]).arg(&self.folder);
        let output =
            command.envs(variables.iter().cloned()).output().await.context("cannot run wardline token")?;
        ensure!(output.status.success(), "no token: {}", String::from_utf8_lossy(&output.stderr).trim());
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    fn settings(&self) -> [String; 5] {
        let file = |key: &str, name: &str| format!("{key}={}", self.folder.join("dev").join(name).display());
        [
            file("tls.certificate", "server.pem"),
            file("tls.key", "server-key.pem"),
            file("auth.jwks", "jwks.json"),
            "auth.issuer=wardline-dev".to_owned(),
            format!("auth.lifetime={TOKENS_LAST}"),
        ]
    }
}

impl Site {
    /// Starts a broker's process and does not wait.
    pub fn spawn(&self) -> anyhow::Result<Starting> {
        let log = File::options().create(true).append(true).open(&self.log);
        let log = log.with_context(|| format!("cannot write {}", self.log.display()))?;
        let log_from = self.log_len();
        let mut command = wardline(&self.program);
        command.args(["serve", "--listen", &self.listen.to_string(), "--data"]).arg(&self.data);
        command.args(["--set", "http.listen="]);
        for setting in self.keys.settings().iter().chain(&self.settings) {
            command.args(["--set", setting]);
        }
        command.envs(self.variables.iter().cloned());
        command.stdout(Stdio::piped()).stderr(log);
        let mut child =
            command.spawn().with_context(|| format!("cannot start {}", self.program.display()))?;
        let lines = BufReader::new(child.stdout.take().context("the broker has no stdout")?).lines();
        Ok(Starting { child, lines, began: Instant::now(), log_from })
    }

    /// Starts a broker and waits until it is ready.
    pub async fn start(&mut self) -> anyhow::Result<Broker> {
        match self.try_start().await? {
            Ok(broker) => Ok(broker),
            Err(ended) => {
                bail!("the broker ended with {} instead of starting: {}", ended.status, ended.log.trim())
            }
        }
    }

    /// Starts a broker; it may refuse.
    pub async fn try_start(&mut self) -> anyhow::Result<Result<Broker, Ended>> {
        let mut starting = self.spawn()?;
        let mut pages = None;
        let line = loop {
            let line = timeout(READY_DEADLINE, starting.lines.next_line()).await;
            let Some(line) = line.context("the broker is not ready in time")?? else {
                let status =
                    timeout(STOP_DEADLINE, starting.child.wait()).await.context("it does not end")??;
                return Ok(Err(Ended { status, log: self.log_since(starting.log_from) }));
            };
            match line.trim().strip_prefix("http on ") {
                Some(address) => pages = Some(address.parse().context("not an address of pages")?),
                None => break line,
            }
        };
        let address = line.trim().strip_prefix("listening on ").and_then(|address| address.parse().ok());
        let address = address.with_context(|| format!("{line:?} instead of an address"))?;
        self.listen = address;
        let Starting { child, lines, began, .. } = starting;
        Ok(Ok(Broker { child, _lines: lines, address, pages, ready_after: began.elapsed() }))
    }

    /// Tells the broker to take somebody's access back, or to give it back; gives what was said if
    /// that failed.
    pub async fn revoke(&self, user: &str, lift: bool) -> anyhow::Result<Result<(), String>> {
        let mut command = wardline(&self.program);
        command.args(["revoke", "user", user, "--tenant", TENANT, "--data"]).arg(&self.data);
        command.arg(if lift { "--lift" } else { "--until-lifted" });
        let output = timeout(PAGE_DEADLINE, command.output()).await.context("no answer in time")??;
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Ok(if output.status.success() { Ok(()) } else { Err(said) })
    }

    /// How long the log is.
    pub fn log_len(&self) -> u64 {
        std::fs::metadata(&self.log).map_or(0, |metadata| metadata.len())
    }

    /// What was logged after its first so many bytes.
    pub fn log_since(&self, from: u64) -> String {
        let log = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(log.get(from as usize..).unwrap_or_default()).into_owned()
    }
}

impl Starting {
    /// Its process; an error once it has ended.
    pub fn process(&self) -> anyhow::Result<Pid> {
        process(&self.child)
    }

    /// Stops it in its tracks, if it has not ended by itself.
    pub async fn freeze(&self, how: Freeze) -> anyhow::Result<()> {
        freeze(&self.child, how).await
    }

    /// `kill -9`, and waits until it is gone. It may have ended by itself.
    pub async fn kill(mut self) -> anyhow::Result<()> {
        // Fails only if it has ended before.
        let _ = self.child.start_kill();
        self.child.wait().await.context("cannot wait for the broker")?;
        Ok(())
    }
}

impl Broker {
    /// Its process; an error once its end was waited for.
    pub fn process(&self) -> anyhow::Result<Pid> {
        process(&self.child)
    }

    /// `kill -9`, and waits until it is gone. It may have ended by itself.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        // Fails only if it has ended before.
        let _ = self.child.start_kill();
        self.child.wait().await.context("cannot wait for the broker")?;
        Ok(())
    }

    /// Asks for a page, which is not bound to the broker's handle; gives it with its headers.
    pub fn page(&self, path: &str) -> impl Future<Output = anyhow::Result<String>> + Send + use<> {
        let (pages, request) = (self.pages, format!("GET {path} HTTP/1.0\r\n\r\n"));
        let asked = async move {
            let mut stream = TcpStream::connect(pages.context("it shows no pages")?).await?;
            stream.write_all(request.as_bytes()).await?;
            let mut page = String::new();
            stream.read_to_string(&mut page).await?;
            Ok(page)
        };
        async { timeout(PAGE_DEADLINE, asked).await.context("no page in time")? }
    }

    /// Waits until it ends by itself.
    pub async fn ended(&mut self, deadline: Duration) -> anyhow::Result<ExitStatus> {
        timeout(deadline, self.child.wait())
            .await
            .context("the broker does not end")?
            .context("cannot wait for it")
    }

    /// Whether it runs.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Stops it in its tracks.
    pub async fn freeze(&self, how: Freeze) -> anyhow::Result<()> {
        freeze(&self.child, how).await
    }

    /// Lets it go on.
    pub fn thaw(&self) -> anyhow::Result<()> {
        signal(&self.child, Signal::CONT)
    }

    /// Asks it to stop (SIGTERM) and waits.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        signal(&self.child, Signal::TERM)?;
        let status = self.ended(STOP_DEADLINE).await?;
        ensure!(status.success(), "the broker was asked to stop and ended with {status}");
        Ok(())
    }
}

/// Stops a process and waits until no thread of it runs.
async fn freeze(child: &Child, how: Freeze) -> anyhow::Result<()> {
    signal(child, Signal::STOP)?;
    let id = child.id().context("the broker has ended already")?;
    let deadline = Instant::now() + FREEZE_DEADLINE;
    while !threads(id)?.iter().all(|state| how.is_reached(*state)) {
        ensure!(Instant::now() < deadline, "the broker cannot be stopped in its tracks");
        sleep(FREEZE_POLL).await;
    }
    Ok(())
}

/// The state of each thread of a process, as `/proc` has it (proc_pid_stat(5)).
fn threads(id: u32) -> anyhow::Result<Vec<char>> {
    let mut states = Vec::new();
    for thread in std::fs::read_dir(format!("/proc/{id}/task")).context("the broker is gone")? {
        // A thread that ended meanwhile does not run.
        let Ok(stat) = std::fs::read_to_string(thread?.path().join("stat")) else { continue };
        // The name, in brackets, may hold anything.
        states.extend(stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next()));
    }
    Ok(states)
}

fn process(child: &Child) -> anyhow::Result<Pid> {
    let id = child.id().context("the broker has ended already")?;
    Pid::from_raw(id.try_into()?).context("not a process id")
}

fn signal(child: &Child, signal: Signal) -> anyhow::Result<()> {
    rustix::process::kill_process(process(child)?, signal).context("the broker cannot be sent a signal")
}

/// The program, without what is set in our own environment for it.
fn wardline(program: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("WARDLINE_")) {
        command.env_remove(name);
    }
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}
