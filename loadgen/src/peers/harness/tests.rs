//! The harness with a server of its own that does wrong what it is told to: every fault must be
//! counted, and no other.

use std::cell::{Cell, RefCell};

use tokio::sync::mpsc;
use tokio::task::LocalSet;

use super::*;

/// Most deliveries that wait for a reader.
const WAITING_MAX: usize = 100_000;

/// What the server does to the message of a number on its way to reader 0.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    Lose,
    Repeat,
    Change,
    /// Sends it after the next one.
    Delay,
}

struct Fake {
    fault: Fault,
    planted: Rc<Cell<u64>>,
}

struct FakePublisher {
    fault: Fault,
    planted: Rc<Cell<u64>>,
    count: u64,
    late: RefCell<Option<Bytes>>,
    readers: Vec<mpsc::Sender<Bytes>>,
}

struct FakeReader {
    deliveries: mpsc::Receiver<Bytes>,
}

impl Peer for Fake {
    type Publisher = FakePublisher;
    type Reader = FakeReader;

    async fn start(_: Contestant, _: Site, _: usize) -> anyhow::Result<Self> {
        bail!("it is always there")
    }

    async fn open(&self, _: usize, readers: usize) -> anyhow::Result<(Vec<FakePublisher>, Vec<FakeReader>)> {
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..readers).map(|_| mpsc::channel(WAITING_MAX)).unzip();
        let publisher = FakePublisher {
            fault: self.fault,
            planted: self.planted.clone(),
            count: 0,
            late: RefCell::new(None),
            readers: senders,
        };
        let readers = receivers.into_iter().map(|deliveries| FakeReader { deliveries });
        Ok((vec![publisher], readers.collect()))
    }

    fn usage(&self) -> anyhow::Result<Usage> {
        Ok(Usage::default())
    }
}

impl FakePublisher {
    /// Every tenth message meets its fate, once it is certain that another follows.
    fn deliver_faultily(&mut self, payload: Bytes) -> Vec<Bytes> {
        let mut deliveries = vec![payload.clone()];
        deliveries.extend(self.late.take());
        if self.fault != Fault::None && self.count % 10 == 3 {
            self.planted.set(self.planted.get() + 1);
            match self.fault {
                Fault::None => {}
                Fault::Lose => deliveries.clear(),
                Fault::Repeat => deliveries.push(payload),
                Fault::Change => {
                    let mut changed = payload.to_vec();
                    *changed.last_mut().expect("a payload is not empty") ^= 1;
                    deliveries.push(changed.into());
                }
                Fault::Delay => self.late = RefCell::new(deliveries.pop()),
            }
        }
        deliveries
    }
}

impl Publisher for FakePublisher {
    async fn publish(&mut self, payload: Bytes) -> anyhow::Result<Ack> {
        for reader in &self.readers[1..] {
            reader.try_send(payload.clone())?;
        }
        for delivery in self.deliver_faultily(payload) {
            self.readers[0].try_send(delivery)?;
        }
        self.count += 1;
        Ok(async { Ok(()) }.boxed_local())
    }
}

impl Drop for FakePublisher {
    fn drop(&mut self) {
        // Delayed is not lost.
        if let Some(late) = self.late.take() {
            self.readers[0].try_send(late).expect("there is room");
        }
        // The readers go on waiting, as those of a real server do.
        std::mem::take(&mut self.readers).into_iter().for_each(std::mem::forget);
    }
}

impl Reader for FakeReader {
    async fn next(&mut self) -> anyhow::Result<Bytes> {
        self.deliveries.recv().await.context("the server has ended")
    }
}

/// Measures for a moment; gives what was seen and how many faults there were.
fn measured(fault: Fault, pace: Pace) -> (Seen, u64) {
    let fake = Fake { fault, planted: Rc::default() };
    let task = Task {
        pace,
        publishers: 1,
        readers: 3,
        warmup: Duration::from_millis(20),
        duration: Duration::from_millis(150),
        drain: Duration::from_millis(300),
        payload_bytes: 64,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let seen = LocalSet::new().block_on(&runtime, measure(&fake, &task)).expect("it does not fail");
    (seen, fake.planted.get())
}

#[test]
fn a_right_server_has_a_clean_record() {
    for pace in [Pace::InFlight(10), Pace::Rate(1_000.0)] {
        let (seen, _) = measured(Fault::None, pace);
        assert_eq!(seen.integrity, Integrity::default());
        assert!(seen.count > 0);
        assert_eq!(seen.latency_us.len(), seen.count);
    }
}

#[test]
fn every_fault_is_counted() {
    let clean = Integrity::default();
    for (fault, expected) in [
        (
            Fault::Lose,
            (|planted| Integrity { lost: planted, ..Integrity::default() }) as fn(u64) -> Integrity,
        ),
        (Fault::Repeat, |planted| Integrity { duplicated: planted, ..Integrity::default() }),
        (Fault::Change, |planted| Integrity { foreign: planted, ..Integrity::default() }),
        (Fault::Delay, |planted| Integrity { reordered: planted, ..Integrity::default() }),
    ] {
        let (seen, planted) = measured(fault, Pace::Rate(1_000.0));
        assert!(planted > 0, "nothing was planted");
        assert_ne!(seen.integrity, clean);
        assert_eq!(seen.integrity, expected(planted));
    }
}
