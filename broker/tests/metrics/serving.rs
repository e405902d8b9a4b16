//! The real binary with its pages, in a folder of its own, ended with the test.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Longest wait for something that the broker does every few seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// A broker with pages, ended with the test.
pub(crate) struct Serving {
    child: Child,
    /// Where it listens for clients.
    pub(crate) address: SocketAddr,
    pub(crate) http: SocketAddr,
    pub(crate) folder: TempDir,
}

impl Serving {
    pub(crate) fn start(flags: &[&str]) -> Self {
        let folder = TempDir::new().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_wardline"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("WARDLINE_") {
                command.env_remove(name);
            }
        }
        let mut child = command
            .current_dir(folder.path())
            .args(["serve", "--dev", "--listen", "127.0.0.1:0", "--set", "http.listen=127.0.0.1:0"])
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(folder.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        let (mut http, mut address) = (None, None);
        for line in BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok) {
            if let Some(address) = line.strip_prefix("http on ") {
                http = Some(address.parse().unwrap());
            }
            if let Some(listening) = line.strip_prefix("listening on ") {
                address = Some(listening.trim().parse().unwrap());
                break;
            }
        }
        let log = || fs::read_to_string(folder.path().join("log")).unwrap();
        let address = address.unwrap_or_else(|| panic!("it does not listen: {}", log()));
        Self { address, http: http.unwrap_or_else(|| panic!("no pages: {}", log())), child, folder }
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Stops it, and waits until it is gone; gives the folder that it ran in.
    pub(crate) fn stop(&mut self) -> &Path {
        self.signal(rustix::process::Signal::TERM);
        assert!(self.child.wait().unwrap().success(), "{}", self.log());
        self.folder.path()
    }

    /// Asks for a page; gives the status and the body.
    pub(crate) fn ask(&self, method: &str, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.http).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "{method} {path} HTTP/1.1\r\nHost: wardline\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    pub(crate) fn page(&self, path: &str) -> (u16, String) {
        self.ask("GET", path)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until something is as it should be.
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
