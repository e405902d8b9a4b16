//! `wardline-ehr` as a process.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;

use crate::site::{PATIENCE, Site, shown};

/// The bridge while it runs; killed when dropped.
pub(crate) struct Bridge {
    child: Child,
    senders: HashMap<String, SocketAddr>,
    http: SocketAddr,
}

/// What its configuration is to have, beside what every bridge of a site has.
fn command(site: &Site, verb: &str, set: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wardline-ehr"));
    command.arg(verb).stdin(Stdio::null());
    let common = [
        format!("broker.address={}", site.address()),
        "broker.name=localhost".to_owned(),
        format!("broker.ca={}", shown(&site.ca())),
        format!("token.file={}", shown(&site.path("token"))),
        "senders.his.listen=127.0.0.1:0".to_owned(),
        "senders.his.zone=UTC".to_owned(),
        "http.listen=127.0.0.1:0".to_owned(),
    ];
    for setting in common.iter().map(String::as_str).chain(set.iter().copied()) {
        command.arg("--set").arg(setting);
    }
    command
}

/// Runs it to its end.
pub(crate) fn run(site: &Site, verb: &str, set: &[&str]) -> Output {
    command(site, verb, set).output().unwrap()
}

impl Bridge {
    /// Starts one; senders can connect.
    pub(crate) fn start(site: &Site, set: &[&str]) -> Self {
        let mut child = command(site, "serve", set).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (tell, told) = mpsc::sync_channel(16);
        thread::spawn(move || lines.map_while(Result::ok).for_each(|line| tell.send(line).unwrap_or(())));
        let (mut senders, mut http) = (HashMap::new(), None);
        let wanted =
            1 + set.iter().filter(|one| one.contains(".listen=") && one.starts_with("senders.")).count();
        while senders.len() < wanted {
            let line = told.recv_timeout(PATIENCE).expect("it says where it listens");
            let (what, address) = line.rsplit_once(" on ").unwrap();
            match what.strip_prefix("listening for ") {
                Some(name) => drop(senders.insert(name.to_owned(), address.parse().unwrap())),
                None => http = Some(address.parse().unwrap()),
            }
        }
        Self { child, senders, http: http.expect("it has pages") }
    }

    /// Where its pages are.
    pub(crate) fn http(&self) -> SocketAddr {
        self.http
    }

    /// Where a sender sends to.
    pub(crate) fn sender(&self, name: &str) -> SocketAddr {
        self.senders[name]
    }

    /// Kills it, as nothing that it could hear of.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Tells it to stop.
    pub(crate) fn terminate(&self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    }

    /// Its exit code.
    pub(crate) fn ended(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    /// Status and content of a page.
    pub(crate) fn page(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.http).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let status = text.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("it is HTTP");
        (status, text.split_once("\r\n\r\n").unwrap_or_default().1.to_owned())
    }

    /// The value of a series; 0: it is not there.
    pub(crate) fn value(&self, series: &str) -> f64 {
        let page = self.page("/metrics").1;
        let value = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.map_or(0.0, |value| value.parse().unwrap())
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
