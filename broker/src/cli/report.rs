//! Where the operator's commands say what they found: stdout, and on without it.
//!
//! Whether a backup is good, or a broker serves, must not depend on who listens. A pipe that was
//! closed neither stops such a command nor changes its exit code; one that is full does not hold up
//! a broker. Last words on stderr are bounded in time.

use std::io::{self, Write};
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

/// Longest wait for somebody to take the last words.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Stdout, for as long as somebody reads it.
pub(super) struct Report(io::StdoutLock<'static>);

/// Takes stdout for a report.
pub(super) fn report() -> Report {
    Report(io::stdout().lock())
}

impl Write for Report {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        unless_closed(self.0.write(text), text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        unless_closed(self.0.flush(), ())
    }
}

fn unless_closed<T>(done: io::Result<T>, otherwise: T) -> io::Result<T> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(otherwise),
        done => done,
    }
}

/// Says on stdout where a broker is reached, on a thread of its own: the broker serves whether or
/// not anybody takes it.
pub(super) fn announce(lines: String) {
    let say = move || {
        if let Err(error) = io::stdout().write_all(lines.as_bytes()) {
            tracing::warn!(code = "stdout-closed", %error, "stdout cannot be written: nobody there hears where the broker listens");
        }
    };
    if let Err(error) = thread::Builder::new().name("stdout".to_owned()).spawn(say) {
        tracing::warn!(code = "stdout-closed", %error, "there is no thread to write to stdout");
    }
}

/// Says on stderr why a process ends. A pipe that nobody reads does not keep it.
pub(crate) fn say_last(words: String) {
    let (said, heard) = sync_channel(1);
    let say = move || {
        // Nobody is left to tell if this cannot be written.
        let _ = writeln!(io::stderr(), "{words}");
        let _ = said.send(());
    };
    if thread::Builder::new().spawn(say).is_ok() {
        let _ = heard.recv_timeout(LAST_WORDS);
    }
}
