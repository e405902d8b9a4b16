//! The real binary in a folder of its own, and a broker that ends with its test.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use wardline_storage::id::Timestamp;

/// The binary, in a folder of its own, without the variables of whoever runs the tests.
pub(crate) fn wardline(folder: &Path) -> Command {
    in_folder(folder, Command::new(env!("CARGO_BIN_EXE_wardline")))
}

/// The same, under what `ulimit` is told before.
pub(crate) fn wardline_limited(folder: &Path, limit: &str) -> Command {
    let mut shell = Command::new("sh");
    let script = format!("ulimit {limit} && exec \"$0\" \"$@\"");
    shell.args(["-c", &script, env!("CARGO_BIN_EXE_wardline")]);
    in_folder(folder, shell)
}

/// Another program, as if nobody had set anything.
pub(crate) fn in_folder(folder: &Path, mut command: Command) -> Command {
    command.current_dir(folder).env("XDG_STATE_HOME", folder.join("state")).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("WARDLINE_") {
            command.env_remove(name);
        }
    }
    command
}

pub(crate) fn run(folder: &Path, arguments: &[&str]) -> Output {
    wardline(folder).args(arguments).output().unwrap()
}

/// Runs to the end; gives the exit code and stderr.
#[track_caller]
pub(crate) fn fails(folder: &Path, arguments: &[&str], code: i32, says: &[&str]) {
    let output = run(folder, arguments);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
    for part in says {
        assert!(text.contains(part), "{arguments:?} does not say {part:?}: {text}");
    }
    assert!(!text.contains("panicked"), "{text}");
}

/// A broker that is stopped when the test ends.
pub(crate) struct Serving {
    child: Child,
    pub(crate) address: SocketAddr,
    /// Where its pages are, if it has any.
    pub(crate) http: Option<SocketAddr>,
}

impl Serving {
    pub(crate) fn start(folder: &Path, arguments: &[&str]) -> Self {
        Self::serve(folder, &[&["--dev", "--listen", "127.0.0.1:0"], arguments].concat())
    }

    pub(crate) fn serve(folder: &Path, arguments: &[&str]) -> Self {
        let mut command = wardline(folder);
        command.arg("serve").args(arguments);
        Self::begin(folder, command)
    }

    /// Runs a command that serves.
    pub(crate) fn begin(folder: &Path, command: Command) -> Self {
        let log = fs::File::create(folder.join("log")).unwrap();
        Self::logging_to(folder, command, log.into())
    }

    /// The same, with a stderr of one's own.
    pub(crate) fn logging_to(folder: &Path, mut command: Command, stderr: Stdio) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(stderr).spawn().unwrap();
        let (mut http, mut address) = (None, None);
        for line in BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok) {
            if let Some(pages) = line.strip_prefix("http on ") {
                http = Some(pages.parse().unwrap());
            }
            address = line.strip_prefix("listening on ").map(|address| address.parse().unwrap());
            if address.is_some() {
                break;
            }
        }
        let log = || fs::read_to_string(folder.join("log")).unwrap_or_default();
        Self { address: address.unwrap_or_else(|| panic!("it does not listen: {}", log())), http, child }
    }

    /// One whose stdout is not ours to read: where it listens must be known.
    pub(crate) fn silent(child: Child, address: SocketAddr) -> Self {
        Self { child, address, http: None }
    }

    pub(crate) fn process(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_child(&self.child)
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(self.process(), signal).unwrap();
    }

    /// Waits until its log has a text so often.
    #[track_caller]
    pub(crate) fn until_logged(&self, folder: &Path, what: &str, count: usize) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while fs::read_to_string(folder.join("log")).unwrap().matches(what).count() < count {
            assert!(Instant::now() < deadline, "{what} is not logged");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Sends SIGTERM and waits for the exit code.
    pub(crate) fn stop(mut self) -> Option<i32> {
        self.signal(rustix::process::Signal::TERM);
        let deadline = Instant::now() + Duration::from_secs(20);
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("the broker does not stop");
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A folder with a data folder made by `serve --dev` and a configuration that uses its keys as
/// production keys.
pub(crate) fn with_keys() -> TempDir {
    let folder = TempDir::new().unwrap();
    let dev = wardline_broker::dev::Dev::of(&folder.path().join("keys"));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    dev.prepare(Timestamp(now.as_millis() as u64)).unwrap();
    let config = r#"
        tls = { certificate = "keys/dev/server.pem", key = "keys/dev/server-key.pem" }
        auth = { jwks = "keys/dev/jwks.json", issuer = "wardline-dev" }
        listen.address = "127.0.0.1:0"
        http.listen = ""
    "#;
    fs::write(folder.path().join("wardline.toml"), config).unwrap();
    folder
}

/// Runs a client command to its success; gives stdout.
#[track_caller]
pub(crate) fn client(folder: &Path, broker: &Serving, user: &str, arguments: &[&str]) -> String {
    let server = broker.address.to_string();
    let output = run(folder, &[arguments, &["--as", user, "--server", &server]].concat());
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
