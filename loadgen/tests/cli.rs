//! The real binary: what it refuses before anything runs, and with which exit code.
#![allow(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// A folder that looks like that of `serve --dev`, for a broker that is not there.
fn dev() -> TempDir {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("ca.pem"), "").unwrap();
    std::fs::write(folder.path().join("token-key.pem"), "").unwrap();
    folder
}

/// Runs it; gives exit code and stderr.
fn run(folder: &Path, arguments: &[OsString]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wardline-loadgen"));
    let output = command.current_dir(folder).args(arguments).output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn words(text: &str) -> Vec<OsString> {
    text.split(' ').map(OsString::from).collect()
}

#[test]
fn where_nothing_can_be_written_nothing_is_run() {
    let folder = dev();
    std::fs::write(folder.path().join("file"), "").unwrap();
    std::fs::create_dir(folder.path().join("used")).unwrap();
    std::fs::write(folder.path().join("used/result.json"), "").unwrap();
    let target = "--target dev:.@127.0.0.1:1";
    let trace = "trace --server 127.0.0.1:1 --ca ca.pem --signing-key token-key.pem";
    for (command, says) in [
        (format!("run ward-chat {target} --out file"), "--out"),
        (format!("run ward-chat {target} --out file/below"), "--out"),
        (format!("run ward-chat {target} --out /proc/none"), "name another --out"),
        (format!("run ward-chat {target} --out used"), "is not empty"),
        (format!("{trace} --out file"), "name another --out"),
        ("report used --out file/below".to_owned(), "name another --out"),
    ] {
        let (code, error) = run(folder.path(), &words(&command));
        assert_eq!(code, Some(2), "{command}: {error}");
        assert!(error.contains(says), "{command}: {error}");
    }
}

#[test]
fn what_is_no_text_is_no_panic() {
    let folder = dev();
    let odd = || OsString::from_vec(b"odd-\xff".to_vec());
    let run_with = |last: &str| [words("run ward-chat --target dev:."), words(last), vec![odd()]].concat();
    // A folder may have such a name: what comes next is that there is no key.
    let (code, error) = run(folder.path(), &run_with("--out"));
    assert!(code == Some(2) && !error.contains("panicked") && !error.contains("--out"), "{error}");
    assert!(folder.path().join(odd()).is_dir());
    for arguments in [run_with("--rate"), run_with("--warmup"), vec![odd()], vec!["run".into(), odd()]] {
        let (code, error) = run(folder.path(), &arguments);
        assert!(code == Some(2) && !error.contains("panicked"), "{arguments:?}: {error}");
    }
}

#[test]
fn absurd_times_and_sizes_are_refused() {
    let folder = dev();
    let run_with = "run ward-chat --target dev:.";
    let trace = "trace --server 127.0.0.1:1 --ca ca.pem --signing-key token-key.pem";
    let idle = "idle --server 127.0.0.1:1 --ca ca.pem --signing-key token-key.pem --pid 1";
    for command in [
        format!("{run_with} --duration 18446744073709551615s"),
        format!("{run_with} --warmup 99999999999999999999y"),
        format!("{run_with} --duration=-5s"),
        format!("{run_with} --repeat 0"),
        format!("{trace} --minutes=-1"),
        format!("{trace} --minutes inf"),
        format!("{trace} --minutes 1e300"),
        format!("{trace} --grace-s 18446744073709551615"),
        format!("{idle} --connections 0"),
    ] {
        let (code, error) = run(folder.path(), &words(&command));
        assert_eq!(code, Some(2), "{command}: {error}");
        assert!(error.contains("error: ") && !error.contains("panicked"), "{command}: {error}");
    }
}

#[test]
fn a_name_that_leads_nowhere_is_told_instead_of_tried_for_ever() {
    let folder = dev();
    for (target, says) in [
        ("dev:.@no-such-host.invalid:4433", "no-such-host.invalid:4433 cannot be looked up"),
        ("dev:.@localhost", "has no port"),
        ("dev:.@::1:4433", "in brackets"),
    ] {
        let (code, error) = run(folder.path(), &words(&format!("run ward-chat --target {target}")));
        assert_eq!(code, Some(2), "{target}: {error}");
        assert!(error.contains(says), "{target}: {error}");
    }
}
