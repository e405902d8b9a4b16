//! One engine's turn: a process that measures and is killed, and one that opens what it left.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::options::Sizes;

/// How long the process goes on after it told: there is something to be replayed.
const GOES_ON: Duration = Duration::from_millis(500);

/// What a turn told.
pub(crate) struct Turn {
    pub(crate) engine: String,
    pub(crate) figures: Value,
}

/// Takes it, in a folder of its own that is removed.
pub(crate) fn take(engine: &str, round: u32, folder: &Path, sizes: &Sizes) -> Result<Turn> {
    let store = folder.join(format!("{engine}-{round}"));
    let mut child = part("measure", engine, &store, sizes)?.stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    let told = child.stdout.take().context("it has no output")?;
    let read = BufReader::new(told).read_line(&mut line);
    if read.as_ref().is_ok_and(|bytes| *bytes > 0) {
        thread::sleep(GOES_ON);
    }
    // Fails only if it has ended, which is looked at next.
    let _ = child.kill();
    let status = child.wait()?;
    read.with_context(|| format!("{engine} told nothing"))?;
    let mut figures: Value =
        serde_json::from_str(&line).with_context(|| format!("{engine} ended with {status}"))?;
    let reopened = part("reopen", engine, &store, sizes)?.output()?;
    ensure!(
        reopened.status.success(),
        "{engine} does not open again: {}",
        String::from_utf8_lossy(&reopened.stderr)
    );
    figures["reopen"] = serde_json::from_slice(&reopened.stdout).context("how it opened is not JSON")?;
    std::fs::remove_dir_all(&store).with_context(|| format!("cannot remove {}", store.display()))?;
    Ok(Turn { engine: engine.to_owned(), figures })
}

fn part(name: &str, engine: &str, store: &Path, sizes: &Sizes) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe().context("this program is not found")?);
    command.args(sizes.arguments()).args([name, engine]).arg(store).stdin(Stdio::null());
    Ok(command)
}
