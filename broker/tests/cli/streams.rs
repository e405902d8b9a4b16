//! Stdout and stderr as they may be: read by nobody, full, or closed. No broker minds.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use tempfile::TempDir;

use crate::binary::{Serving, client, run, wardline};

const PATIENCE: Duration = Duration::from_secs(60);
const DROPPED: &str = "\nwardline_log_lines_dropped_total ";

/// A pipe that has no room left, and that nobody reads.
pub(crate) fn stuck() -> (io::PipeReader, io::PipeWriter) {
    let (reader, writer) = io::pipe().unwrap();
    fill(&writer);
    (reader, writer)
}

/// Leaves no room in a pipe.
pub(crate) fn fill(mut writer: &io::PipeWriter) {
    let flags = fcntl_getfl(writer).unwrap();
    fcntl_setfl(writer, flags | OFlags::NONBLOCK).unwrap();
    while writer.write(&[b'\n'; 4096]).is_ok() {}
    while writer.write(b"\n").is_ok() {}
    // Whoever gets it next waits, as for any pipe.
    fcntl_setfl(writer, flags).unwrap();
}

/// A pipe that nobody can read any more.
fn closed() -> Stdio {
    io::pipe().unwrap().1.into()
}

fn full() -> Stdio {
    File::options().write(true).open("/dev/full").unwrap().into()
}

#[track_caller]
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Waits for the end; gives the exit code.
fn end(mut child: Child) -> Option<i32> {
    let mut status = None;
    until("it ends", || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    status.and_then(|status| status.code())
}

pub(crate) fn page(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

pub(crate) fn dropped(address: SocketAddr) -> u64 {
    let page = page(address, "/metrics");
    let line = page.split_once(DROPPED).unwrap_or_else(|| panic!("no {DROPPED} in {page}")).1;
    line.lines().next().unwrap().parse().unwrap()
}

/// A broker that logs much, on a pipe without room.
fn chatty(folder: &Path, stderr: io::PipeWriter) -> Serving {
    let mut command = wardline(folder);
    command.args(["serve", "--dev", "--listen", "127.0.0.1:0", "--set", "http.listen=127.0.0.1:0"]);
    command.args(["--set", "storage.engine=memory", "--set", "log.filter=trace"]);
    let broker = Serving::logging_to(folder, command, stderr.into());
    client(folder, &broker, "alice", &["conversation", "create", "--direct", "bob"]);
    broker
}

#[test]
fn a_log_that_nobody_reads_holds_up_nobody() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let (_reader, stderr) = stuck();
    let broker = chatty(folder, stderr);
    let http = broker.http.unwrap();
    until("lines are dropped, and counted", || {
        client(folder, &broker, "alice", &["send", "@bob", "hello"]);
        dropped(http) > 0
    });
    assert!(page(http, "/livez").ends_with("alive\n"));
    assert_eq!(broker.stop(), Some(0), "SIGTERM ends it");
}

#[test]
fn what_was_dropped_is_told_once_somebody_reads_again() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let (mut reader, stderr) = stuck();
    let broker = chatty(folder, stderr);
    let http = broker.http.unwrap();
    until("lines are dropped", || {
        client(folder, &broker, "alice", &["send", "@bob", "hello"]);
        dropped(http) > 0
    });
    let reading = std::thread::spawn(move || {
        let mut log = Vec::new();
        reader.read_to_end(&mut log).map(|_| String::from_utf8_lossy(&log).into_owned()).unwrap()
    });
    // What is logged now goes through, at some time while it is read.
    until("no more are dropped", || {
        let before = dropped(http);
        std::thread::sleep(Duration::from_millis(300));
        dropped(http) == before
    });
    assert_eq!(broker.stop(), Some(0));
    let log = reading.join().unwrap();
    assert!(log.contains("log-lines-dropped"), "{}", &log[log.len().saturating_sub(2_000)..]);
}

#[test]
fn a_broker_that_cannot_start_ends_though_nobody_reads_why() {
    let folder = TempDir::new().unwrap();
    for arguments in [&["--set", "storage.engine=none"][..], &["--data", "/dev/null"]] {
        let (_reader, stderr) = stuck();
        let mut command = wardline(folder.path());
        command.args(["serve", "--dev", "--listen", "127.0.0.1:0"]).args(arguments);
        let child = command.stdout(Stdio::null()).stderr(stderr).spawn().unwrap();
        assert_eq!(end(child), Some(1), "{arguments:?}");
    }
}

#[test]
fn a_stderr_that_takes_nothing_stops_no_broker() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    for stderr in [closed(), full()] {
        let mut command = wardline(folder);
        command.args(["serve", "--dev", "--listen", "127.0.0.1:0", "--set", "storage.engine=memory"]);
        command.args(["--set", "http.listen=127.0.0.1:0"]);
        let broker = Serving::logging_to(folder, command, stderr);
        client(folder, &broker, "alice", &["conversation", "create", "--direct", "bob"]);
        client(folder, &broker, "alice", &["send", "@bob", "hello"]);
        assert!(dropped(broker.http.unwrap()) > 0);
        assert_eq!(broker.stop(), Some(0));
    }
}

#[test]
fn a_stdout_that_takes_nothing_stops_no_broker() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let (_reader, unread) = stuck();
    for (number, stdout) in [closed(), full(), unread.into(), Stdio::null()].into_iter().enumerate() {
        let address = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let log = File::create(folder.join("log")).unwrap();
        let mut command = wardline(folder);
        command.args(["serve", "--dev", "--listen", &address.to_string()]);
        command.args(["--set", "http.listen=", "--set", "storage.engine=memory"]);
        let broker = Serving::silent(command.stdout(stdout).stderr(log).spawn().unwrap(), address);
        broker.until_logged(folder, "ready", 1);
        client(folder, &broker, "alice", &["conversation", "create", "--direct", "bob"]);
        if number < 2 {
            broker.until_logged(folder, "stdout-closed", 1);
        }
        assert_eq!(broker.stop(), Some(0), "case {number}");
    }
}

/// Also whether a backup is good.
#[test]
fn an_operator_s_command_does_its_work_without_a_listener() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    assert_eq!(Serving::start(folder, &[]).stop(), Some(0));
    let without_listener = |arguments: &[&str]| {
        let mut command = wardline(folder);
        end(command.args(arguments).stdout(closed()).stderr(Stdio::null()).spawn().unwrap())
    };
    for count in 1..=2 {
        let keep = ["backup", "--to", "backups", "--keep", "0s"];
        assert_eq!(without_listener(&keep), Some(0));
        let kept = wardline_broker::operator::backup::list(&folder.join("backups")).unwrap();
        assert_eq!(kept.len(), 1, "after {count} backups, the older is removed");
    }
    assert_eq!(without_listener(&["verify", "backups"]), Some(0));
    let backup = wardline_broker::operator::backup::list(&folder.join("backups")).unwrap().remove(0);
    fs::write(backup.join("CURRENT"), "damaged").unwrap();
    assert_eq!(without_listener(&["verify", "backups"]), Some(1));
    assert!(!run(folder, &["verify", "backups"]).status.success());
}
