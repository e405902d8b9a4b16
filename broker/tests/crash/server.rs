//! The real `wardline serve`, as a child that can be killed.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

/// A running broker. Killed when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts it on a data folder, and waits until clients can connect.
    pub(crate) fn start(data: &Path, listen: SocketAddr, log: PathBuf) -> Self {
        Self::launch(Command::new(env!("CARGO_BIN_EXE_wardline")), data, listen, log)
    }

    /// The same, but no file of it can become longer than so many blocks of 512 or 1,024 bytes:
    /// writing more fails.
    pub(crate) fn start_limited(data: &Path, listen: SocketAddr, log: PathBuf, blocks_max: u32) -> Self {
        let mut command = Command::new("sh");
        // The signal that would kill it is ignored, so that the write itself fails.
        command.args(["-c", r#"trap '' XFSZ; ulimit -f "$0"; exec "$@""#, &blocks_max.to_string()]);
        command.arg(env!("CARGO_BIN_EXE_wardline"));
        Self::launch(command, data, listen, log)
    }

    fn launch(mut command: Command, data: &Path, listen: SocketAddr, log: PathBuf) -> Self {
        let log =
            std::fs::File::options().create(true).append(true).open(log).expect("the log can be written");
        command.args(["serve", "--dev", "--listen", &listen.to_string(), "--data"]).arg(data);
        // What is set for this test is not configuration of the broker.
        for (name, _) in
            std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("WARDLINE_"))
        {
            command.env_remove(name);
        }
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().expect("wardline starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("stdout is a pipe");
        BufReader::new(stdout).read_line(&mut line).expect("stdout can be read");
        let address = line.trim().strip_prefix("listening on ").and_then(|address| address.parse().ok());
        Self { child, address: address.unwrap_or_else(|| panic!("{line:?} instead of an address")) }
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it was started here");
    }

    /// SIGTERM, and its exit status.
    pub(crate) fn terminate(self) -> ExitStatus {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it runs");
        self.wait()
    }

    /// Waits until it ends by itself.
    pub(crate) fn wait(mut self) -> ExitStatus {
        self.child.wait().expect("it was started here")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Gone already unless a test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
