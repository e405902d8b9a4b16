//! The offender as a process of its own: started, told to begin, and asked what it was told.
//!
//! This program itself, by its hidden command `offender`. It ends with this process at the latest,
//! since it goes on only as long as its stdin is open.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, bail, ensure};

use super::raw::Told;
use crate::dialler::Server;
use crate::run::usage::Process;

/// An offender that is set up.
pub(super) struct Apart {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Apart {
    /// Starts one; returns once it could begin.
    ///
    /// # Errors
    /// If it could not be tried; the text is on stderr already.
    pub(super) async fn start(server: &Server, run: u64) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("this program's own file is not known")?;
        let mut command = Command::new(program);
        command.arg("offender").args(server.arguments()).args(["--run", &run.to_string()]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("the offender cannot be started")?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take().context("stdout is a pipe")?);
        let mut apart = Self { child, stdin, stdout: BufReader::new(stdout) };
        let (apart, line) = tokio::task::spawn_blocking(move || {
            let line = apart.line();
            (apart, line)
        })
        .await?;
        ensure!(line? == "ready", "the offender could not be set up");
        Ok(apart)
    }

    /// Lets it begin.
    ///
    /// # Errors
    /// If it has ended.
    pub(super) fn begin(&mut self) -> anyhow::Result<()> {
        let stdin = self.stdin.as_mut().context("the offender has been stopped")?;
        stdin.write_all(b"begin\n").context("the offender has ended")
    }

    /// Its process.
    pub(super) fn process(&self) -> Process {
        Process::with_id(self.child.id())
    }

    /// Stops it; what it was told.
    ///
    /// # Errors
    /// If it does not say.
    pub(super) fn end(mut self) -> anyhow::Result<Told> {
        self.stdin = None;
        let told = self.line()?;
        serde_json::from_str(&told).context("the offender did not say what it was told")
    }

    fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        if self.stdout.read_line(&mut line).context("the offender cannot be heard")? == 0 {
            bail!("the offender has ended");
        }
        Ok(line.trim_end().to_owned())
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        self.stdin = None;
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
