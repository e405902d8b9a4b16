//! A server process under measurement: pinned to its cores, in a temporary folder, gone with its
//! handle.
//!
//! Each process has a process group of its own, so that what it starts can be measured and ended
//! with it. It ends when the handle is dropped, and when this process dies, however that happens.
//! Nothing else is ever signalled.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use super::usage::Usage;

/// Longest start.
const READY_DEADLINE: Duration = Duration::from_secs(60);
/// How often is looked whether a server is ready.
const POLL: Duration = Duration::from_millis(50);

/// Where a server runs.
pub(crate) struct Site {
    /// Its program.
    pub(crate) program: PathBuf,
    /// As `taskset -c` takes them; `None`: not pinned.
    pub(crate) cores: Option<String>,
    /// Holds its data, configuration and log; removed afterwards.
    pub(crate) folder: TempDir,
}

/// A running server.
pub(crate) struct Server {
    processes: Vec<Process>,
    site: Site,
}

struct Process {
    child: Child,
}

impl Site {
    /// A path within its folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file into its folder.
    pub(crate) fn write(&self, name: &str, text: &str) -> anyhow::Result<PathBuf> {
        let path = self.path(name);
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }

    fn log(&self) -> PathBuf {
        self.path("server.log")
    }

    fn log_end(&self) -> String {
        let text = std::fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(8)..].join("\n  ")
    }
}

impl Server {
    /// Starts the site's program; `adjust` adds arguments and environment.
    ///
    /// # Errors
    /// If it cannot be started.
    pub(crate) fn start(site: Site, adjust: impl FnOnce(&mut Command)) -> anyhow::Result<Self> {
        let mut server = Self { processes: Vec::new(), site };
        let program = server.site.program.clone();
        server.add(&program, adjust)?;
        Ok(server)
    }

    /// Starts another process that belongs to this server.
    ///
    /// # Errors
    /// If it cannot be started.
    pub(crate) fn add(&mut self, program: &Path, adjust: impl FnOnce(&mut Command)) -> anyhow::Result<()> {
        let log = File::options().create(true).append(true).open(self.site.log());
        let log = log.with_context(|| format!("cannot write {}", self.site.log().display()))?;
        // Ends with us even if we are killed.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]);
        if let Some(cores) = &self.site.cores {
            command.args(["taskset", "-c", cores]);
        }
        command.arg(program);
        adjust(&mut command);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).process_group(0);
        let child = command.spawn().context("cannot run setpriv (package util-linux)")?;
        self.processes.push(Process { child });
        Ok(())
    }

    /// Waits until it listens on TCP.
    ///
    /// # Errors
    /// If it ends before, or does not in time; its log says why.
    pub(crate) async fn listening(&mut self, address: SocketAddr) -> anyhow::Result<()> {
        let deadline = Instant::now() + READY_DEADLINE;
        while TcpStream::connect(address).await.is_err() {
            self.still_starting(deadline)?;
            sleep(POLL).await;
        }
        Ok(())
    }

    /// Waits for a line of its output that begins so, and gives the rest of it.
    ///
    /// # Errors
    /// As [`Server::listening`].
    pub(crate) async fn says(&mut self, beginning: &str) -> anyhow::Result<String> {
        let deadline = Instant::now() + READY_DEADLINE;
        loop {
            let text = std::fs::read_to_string(self.site.log()).unwrap_or_default();
            if let Some(rest) = text.lines().find_map(|line| line.strip_prefix(beginning)) {
                return Ok(rest.trim().to_owned());
            }
            self.still_starting(deadline)?;
            sleep(POLL).await;
        }
    }

    /// What its processes have used so far, and hold now.
    ///
    /// # Errors
    /// If the process table cannot be read.
    pub(crate) fn usage(&self) -> anyhow::Result<Usage> {
        let groups: Vec<u32> = self.processes.iter().map(|process| process.child.id()).collect();
        Usage::of_groups(&groups)
    }

    /// Where it runs.
    pub(crate) fn site(&self) -> &Site {
        &self.site
    }

    fn still_starting(&mut self, deadline: Instant) -> anyhow::Result<()> {
        for process in &mut self.processes {
            if let Some(status) = process.child.try_wait().context("cannot wait for a server")? {
                bail!("it ended with {status} before it was ready:\n  {}", self.site.log_end());
            }
        }
        if Instant::now() > deadline {
            bail!("it was not ready within {} s:\n  {}", READY_DEADLINE.as_secs(), self.site.log_end());
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only if it has ended before.
        let _ = rustix::process::kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        let _ = self.child.wait();
    }
}

/// Finds a TCP port of the loopback interface that nobody uses.
///
/// # Errors
/// If there is none.
pub(crate) fn free_address() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot find a free port")?;
    Ok(listener.local_addr()?)
}
