//! How many files a broker may open: too few are refused, and none left is got over.

use std::fs;

use rustix::process::{Resource, Rlimit, Signal, getrlimit, prlimit};
use tempfile::TempDir;

use crate::binary::{Serving, wardline_limited, with_keys};

#[test]
fn too_few_open_files_are_refused() {
    let folder = TempDir::new().unwrap();
    let output = wardline_limited(folder.path(), "-n 1000").args(["serve", "--dev"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("1000 open files") && said.contains("LimitNOFILE="), "{said}");
    assert!(!folder.path().join("data").exists(), "nothing was begun");
}

#[test]
fn a_low_usual_limit_is_raised() {
    let folder = TempDir::new().unwrap();
    let mut command = wardline_limited(folder.path(), "-S -n 64");
    command.args(["serve", "--dev", "--listen", "127.0.0.1:0"]);
    let broker = Serving::begin(folder.path(), command);
    let limits = format!("/proc/{}/limits", broker.process().as_raw_nonzero());
    let limits = fs::read_to_string(limits).unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    let figures: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(figures[0], figures[1], "{line}");
    assert_eq!(broker.stop(), Some(0));
}

#[test]
fn files_that_could_not_be_opened_are_read_when_they_can_be() {
    let folder = with_keys();
    let folder = folder.path();
    let memory = ["--config", "wardline.toml", "--set", "storage.engine=memory"];
    let broker = Serving::serve(folder, &memory);
    let limit = |current| {
        let ours = getrlimit(Resource::Nofile);
        prlimit(Some(broker.process()), Resource::Nofile, Rlimit { current, ..ours }).unwrap().current
    };
    let usual = limit(Some(0));
    let other = with_keys();
    for name in ["server.pem", "server-key.pem", "ca.pem"] {
        fs::copy(other.path().join("keys/dev").join(name), folder.join("keys/dev").join(name)).unwrap();
    }
    broker.signal(Signal::HUP);
    broker.until_logged(folder, "reload-refused", 1);
    broker.until_logged(folder, "Too many open files", 1);
    limit(usual);
    // Nobody says anything, and the files are as they were.
    broker.until_logged(folder, "\"reloaded\"", 1);
    assert_eq!(broker.stop(), Some(0));
}
