//! Child processes that do not outlive the chore that started them.
//!
//! However a chore ends (done, failed, Ctrl-C, SIGTERM), its children are killed, by their id and
//! no other way. Only the handle that started a child, or the handler of those signals, ends it.

use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

/// How often a child is looked at while waiting for it.
const POLL: Duration = Duration::from_millis(10);
/// What a shell reports for a program ended by Ctrl-C.
const INTERRUPTED: i32 = 130;

type Shared = Arc<Mutex<Child>>;

/// The children of this process.
#[derive(Clone, Default)]
pub struct Children {
    started: Arc<Mutex<Vec<Shared>>>,
}

/// A child that is killed when this is dropped.
pub struct Running {
    child: Shared,
}

impl Children {
    /// Makes Ctrl-C, SIGTERM and SIGHUP end the children, then this process.
    ///
    /// # Errors
    /// If the signals cannot be handled.
    pub fn end_on_signals(&self) -> anyhow::Result<()> {
        let children = self.clone();
        ctrlc::set_handler(move || {
            for child in lock(&children.started).iter() {
                end(child);
            }
            crate::say("interrupted");
            std::process::exit(INTERRUPTED);
        })
        .context("cannot handle signals")
    }

    /// Starts a child.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn spawn(&self, command: &mut Command) -> anyhow::Result<Running> {
        // Held over the start: a signal in between must not miss the child.
        let mut started = lock(&self.started);
        let program = command.get_program().to_string_lossy().into_owned();
        let child = command.spawn().with_context(|| format!("cannot start {program}"))?;
        let child = Arc::new(Mutex::new(child));
        started.push(child.clone());
        Ok(Running { child })
    }
}

impl Running {
    /// Its process id.
    pub fn id(&self) -> u32 {
        lock(&self.child).id()
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&self) -> bool {
        lock(&self.child).try_wait().is_ok_and(|status| status.is_some())
    }

    /// Takes the pipe to its stdin.
    pub fn stdin(&self) -> Option<ChildStdin> {
        lock(&self.child).stdin.take()
    }

    /// Takes the pipe from its stdout.
    pub fn stdout(&self) -> Option<ChildStdout> {
        lock(&self.child).stdout.take()
    }

    /// Kills it (SIGKILL) and waits until it is gone.
    pub fn kill(&self) {
        end(&self.child);
    }

    /// Asks it to stop (SIGTERM) and waits; kills it when the time is over.
    ///
    /// # Errors
    /// If it does not stop in time.
    pub fn stop(&self, deadline: Duration) -> anyhow::Result<ExitStatus> {
        let id = self.id().to_string();
        Command::new("kill").args(["-TERM", &id]).status().context("cannot run kill")?;
        self.wait(deadline)
    }

    /// Waits until it ends; kills it when the time is over.
    ///
    /// # Errors
    /// If it does not end in time.
    pub fn wait(&self, deadline: Duration) -> anyhow::Result<ExitStatus> {
        let began = Instant::now();
        while began.elapsed() < deadline {
            if let Some(status) = lock(&self.child).try_wait().context("cannot wait for a child")? {
                return Ok(status);
            }
            sleep(POLL);
        }
        self.kill();
        bail!("it did not end within {} s", deadline.as_secs())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

fn end(child: &Shared) {
    let mut child = lock(child);
    // Both fail only if it has ended before.
    let _ = child.kill();
    let _ = child.wait();
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
