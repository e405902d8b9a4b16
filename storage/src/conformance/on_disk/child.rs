//! A process of its own for the part of a rule that must be killed, or that meets a full disk.
//!
//! The child is the same test, run again with a task in its environment. It speaks to the rule in
//! lines on stdout, and is killed when the rule has heard enough. A shell starts it that lets
//! writes fail beyond the limit of a file's size, instead of ending the process.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;

use super::story::PATIENCE;
use super::subject::OnDisk;

/// The variables that tell a child what to do, and where.
pub(super) const TASK: &str = "CONFORMANCE_TASK";
pub(super) const FOLDER: &str = "CONFORMANCE_FOLDER";
/// What lines for the rule begin with: the test runner writes lines too.
const MARK: &str = "conformance: ";
/// Lines that wait for the rule; a child that says more waits too.
const LINES_MAX: usize = 1 << 16;

/// Tells the rule something.
pub(super) fn say(what: &str) {
    let mut out = std::io::stdout().lock();
    // The rule has ended if nobody hears it.
    let _ = writeln!(out, "{MARK}{what}").and_then(|()| out.flush());
}

/// A child, which ends with this.
pub(super) struct Child {
    process: std::process::Child,
    lines: Receiver<String>,
    said: Vec<String>,
}

impl Child {
    pub(super) fn start(on_disk: &OnDisk<'_>, task: &str, folder: &Path) -> Self {
        let program = std::env::current_exe().expect("the test knows its program");
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]).arg(program);
        command.args([on_disk.test, "--exact", "--nocapture", "--include-ignored", "--test-threads=1"]);
        command.env(TASK, task).env(FOLDER, folder).envs(on_disk.variables.iter().copied());
        let mut process =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("the test runs again");
        let out = BufReader::new(process.stdout.take().expect("it is piped"));
        let (sender, lines) = mpsc::sync_channel(LINES_MAX);
        thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                let Some((_, said)) = line.split_once(MARK) else { continue };
                if sender.send(said.to_owned()).is_err() {
                    return;
                }
            }
        });
        let mut child = Self { process, lines, said: Vec::new() };
        child.wait_for("began");
        child
    }

    /// Waits until it says this.
    pub(super) fn wait_for(&mut self, what: &str) {
        while self.said.last().is_none_or(|said| said != what) {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(said) => self.said.push(said),
                Err(why) => panic!(
                    "a child does not say {what:?} ({why}), but {:?}; is `test` the name of the test that calls this?",
                    self.said
                ),
            }
        }
    }

    /// Kills it; gives all that it said.
    pub(super) fn kill(mut self) -> Vec<String> {
        self.end();
        self.said.extend(self.lines.iter());
        std::mem::take(&mut self.said)
    }

    /// Waits until it ends by itself; gives all that it said.
    pub(super) fn finish(mut self) -> Vec<String> {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(said) => self.said.push(said),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("a child does not end, and said {:?}", self.said),
            }
        }
        let ended = self.process.wait().expect("it can be waited for");
        assert!(ended.success(), "a child failed, and said {:?}", self.said);
        std::mem::take(&mut self.said)
    }

    fn end(&mut self) {
        self.process.kill().expect("it can be killed");
        self.process.wait().expect("it can be waited for");
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.end();
    }
}
