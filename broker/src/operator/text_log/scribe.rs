//! The scribe: a thread of its own writes the text log's lines, so that nobody who serves waits for
//! whoever reads them.
//!
//! What waits to be written is bounded, in lines and in bytes. A line beyond that is dropped, and
//! so is one that cannot be written. What is dropped is counted, and told once lines go through
//! again. At the end the last lines are waited for, but not for long: a pipe that nobody reads must
//! not keep a process that was told to stop.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use metrics::Counter;

/// Most lines that wait to be written.
const LINES_MAX: usize = 512;
/// Most bytes of lines that wait to be written, the one that is being written included.
const BYTES_MAX: usize = 128 * 1024;
/// Longest wait for the last lines.
const END_PATIENCE: Duration = Duration::from_millis(500);
/// How often the end looks whether all is written.
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// How long until a descriptor that somebody else made non-blocking is tried again.
const FULL_PAUSE: Duration = Duration::from_millis(5);

/// Where lines are left for the scribe; never waits.
#[derive(Clone)]
pub(super) struct Desk {
    lines: SyncSender<Vec<u8>>,
    tally: Arc<Tally>,
}

/// What waits, and what was dropped.
#[derive(Default)]
pub(super) struct Tally {
    waiting_bytes: AtomicUsize,
    dropped: AtomicU64,
    recorded: OnceLock<Counter>,
}

/// Waits for the last lines, within bounds, when it is dropped.
#[must_use = "the last lines are written while this lives"]
pub struct LastLines(Arc<Tally>);

impl Drop for LastLines {
    fn drop(&mut self) {
        let deadline = Instant::now() + END_PATIENCE;
        while self.0.waiting_bytes.load(Ordering::Acquire) > 0 && Instant::now() < deadline {
            thread::sleep(LOOK_EVERY);
        }
    }
}

impl Desk {
    /// Starts a scribe that writes to `out`. `tell` is called with how many lines were dropped, on
    /// the scribe's thread, once lines go through again.
    pub(super) fn open(
        out: impl Write + Send + 'static,
        tell: impl Fn(u64) + Send + 'static,
    ) -> io::Result<(Self, LastLines)> {
        let (lines, left) = sync_channel(LINES_MAX);
        let tally = Arc::new(Tally::default());
        let scribe = Scribe { left, tally: Arc::clone(&tally), paper: Paper { out, is_within_line: false } };
        thread::Builder::new().name("text-log".to_owned()).spawn(move || scribe.run(tell))?;
        Ok((Self { lines, tally: Arc::clone(&tally) }, LastLines(tally)))
    }

    pub(super) fn tally(&self) -> Arc<Tally> {
        Arc::clone(&self.tally)
    }

    fn leave(&self, line: &[u8]) {
        let before = self.tally.waiting_bytes.fetch_add(line.len(), Ordering::AcqRel);
        let is_left = before + line.len() <= BYTES_MAX && self.lines.try_send(line.to_vec()).is_ok();
        if !is_left {
            self.tally.done_with(line);
            self.tally.count_dropped();
        }
    }
}

/// One line a call: the formatter writes each event at once.
impl Write for Desk {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.leave(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Tally {
    /// Tells of dropped lines by this counter from now on; a second one is not taken.
    pub(super) fn record(&self, counter: Counter) {
        let _ = self.recorded.set(counter);
        self.tell();
    }

    fn count_dropped(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
        self.tell();
    }

    fn tell(&self) {
        if let Some(counter) = self.recorded.get() {
            counter.absolute(self.dropped.load(Ordering::Relaxed));
        }
    }

    fn done_with(&self, line: &[u8]) {
        self.waiting_bytes.fetch_sub(line.len(), Ordering::AcqRel);
    }
}

struct Scribe<W> {
    left: Receiver<Vec<u8>>,
    tally: Arc<Tally>,
    paper: Paper<W>,
}

impl<W: Write> Scribe<W> {
    fn run(mut self, tell: impl Fn(u64)) {
        let (mut told, mut goes_through) = (0, true);
        loop {
            let line = match self.left.try_recv() {
                Ok(line) => line,
                Err(TryRecvError::Disconnected) => return,
                Err(TryRecvError::Empty) => {
                    // Not before: what is told is a line, too, and wants room.
                    let dropped = self.tally.dropped.load(Ordering::Relaxed);
                    if goes_through && dropped > told {
                        tell(dropped - told);
                        told = dropped;
                    }
                    let Ok(line) = self.left.recv() else { return };
                    line
                }
            };
            goes_through = self.paper.put_line(&line).is_ok();
            if !goes_through {
                self.tally.count_dropped();
            }
            self.tally.done_with(&line);
        }
    }
}

/// What is written on.
struct Paper<W> {
    out: W,
    /// A line was cut short, as by a full disk.
    is_within_line: bool,
}

impl<W: Write> Paper<W> {
    fn put_line(&mut self, line: &[u8]) -> io::Result<()> {
        if self.is_within_line {
            self.put(b"\n")?;
        }
        self.put(line)
    }

    fn put(&mut self, mut rest: &[u8]) -> io::Result<()> {
        while !rest.is_empty() {
            match self.out.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    self.is_within_line = rest[written - 1] != b'\n';
                    rest = &rest[written..];
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(FULL_PAUSE),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};

    use parking_lot::Mutex;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    /// What a reader does with each write: nothing until it is told, then as told.
    struct Reader {
        answers: Receiver<io::Result<usize>>,
        read: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Reader {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // Once nobody answers any more, all is taken.
            let taken = self.answers.recv().unwrap_or(Ok(bytes.len()))?.min(bytes.len());
            self.read.lock().extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Bench {
        desk: Desk,
        last: LastLines,
        answers: Sender<io::Result<usize>>,
        read: Arc<Mutex<Vec<u8>>>,
        told: Receiver<u64>,
    }

    fn bench() -> Bench {
        let ((answers, answered), (tell, told)) = (channel(), channel());
        let read = Arc::new(Mutex::new(Vec::new()));
        let reader = Reader { answers: answered, read: Arc::clone(&read) };
        let tell = move |lines| _ = tell.send(lines);
        let (desk, last) = Desk::open(reader, tell).expect("a thread");
        Bench { desk, last, answers, read, told }
    }

    impl Bench {
        fn log(&self, line: &str) {
            self.desk.leave(format!("{line}\n").as_bytes());
        }

        fn dropped(&self) -> u64 {
            self.desk.tally.dropped.load(Ordering::Relaxed)
        }
    }

    fn until(what: &str, is_so: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so() {
            assert!(Instant::now() < deadline, "{what}");
            thread::sleep(LOOK_EVERY);
        }
    }

    #[test]
    fn a_reader_that_reads_nothing_costs_lines_and_no_time() {
        let bench = bench();
        let began = Instant::now();
        (0..10 * LINES_MAX).for_each(|number| bench.log(&format!("line {number}")));
        let dropped = bench.dropped();
        // One may be in the scribe's hand.
        assert!((9 * LINES_MAX as u64 - 1..=9 * LINES_MAX as u64).contains(&dropped), "{dropped}");
        drop(bench.last);
        assert!(began.elapsed() < PATIENCE / 2, "an end does not wait for a reader");

        drop(bench.answers);
        assert_eq!(bench.told.recv_timeout(PATIENCE), Ok(dropped), "told once all else went through");
        let read = bench.read.lock();
        let lines: Vec<&[u8]> = read.split_inclusive(|byte| *byte == b'\n').collect();
        assert_eq!(lines.len() as u64, 10 * LINES_MAX as u64 - dropped, "what was not dropped is whole");
        assert_eq!(lines[0], b"line 0\n");
        assert!(bench.told.try_recv().is_err(), "once");
    }

    #[test]
    fn bytes_are_bounded_whatever_the_lines_are() {
        let bench = bench();
        for _ in 0..3 {
            bench.desk.leave(&vec![b'x'; BYTES_MAX / 2]);
        }
        bench.desk.leave(&vec![b'x'; BYTES_MAX + 1]);
        assert_eq!(bench.dropped(), 2);
        assert_eq!(bench.desk.tally.waiting_bytes.load(Ordering::Relaxed), BYTES_MAX);
    }

    #[test]
    fn what_cannot_be_written_is_dropped_and_told_when_it_can_be_again() {
        let bench = bench();
        let fails = |why: io::ErrorKind| Err(why.into());
        // A part of the first line goes through, nothing of the second.
        for answer in [Ok(3), fails(io::ErrorKind::StorageFull), fails(io::ErrorKind::StorageFull)] {
            bench.answers.send(answer).expect("it is read");
        }
        bench.log("first");
        bench.log("second");
        until("both are dropped", || bench.dropped() == 2);
        assert!(bench.told.try_recv().is_err(), "nobody could read it");
        for why in [io::ErrorKind::WouldBlock, io::ErrorKind::Interrupted] {
            bench.answers.send(fails(why)).expect("it is read");
        }
        bench.log("third");
        drop(bench.answers);
        assert_eq!(bench.told.recv_timeout(PATIENCE), Ok(2));
        drop(bench.last);
        assert_eq!(String::from_utf8_lossy(&bench.read.lock()), "fir\nthird\n");
    }

    #[test]
    fn the_last_lines_are_waited_for() {
        let bench = bench();
        bench.log("the last one");
        let late = thread::spawn(move || {
            thread::sleep(END_PATIENCE / 10);
            drop(bench.answers);
        });
        drop(bench.last);
        assert_eq!(String::from_utf8_lossy(&bench.read.lock()), "the last one\n");
        late.join().expect("it ends");
    }
}
