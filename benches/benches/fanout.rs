//! What delivering costs: the broker's path from a publish to every reader, over real QUIC, against
//! bare quinn writing frames of the same size to as many connections.
//!
//! Deliveries per second, on the memory engine, without receipts: tail, bells, sessions, lanes and
//! quinn, and the commit path beside them. Server and readers have a thread each. Where cores are
//! few, the readers bound both sides; so the note says what processor time the two servers used for
//! a delivery.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use wardline_benches::fanout::Side;
use wardline_benches::side_by_side::{self, Case};

fn main() {
    side_by_side::run(|bench| {
        for readers in [100, 1_000] {
            let case = Case {
                group: "fanout",
                name: readers.to_string(),
                limit: "bare quinn",
                units: readers,
                unit: "deliveries",
                time: Duration::from_secs(20),
            };
            let (ours_used, bare_used) = (Rc::default(), Rc::default());
            let measured = bench.measure(&case, || {
                let connected = "everything is on this machine";
                let ours = Side::broker(readers).expect(connected);
                let bare = Side::bare(readers).expect(connected);
                (deliver(ours, readers, Rc::clone(&ours_used)), deliver(bare, readers, Rc::clone(&bare_used)))
            });
            if measured {
                let (ours, bare) = (ours_used.get().each(), bare_used.get().each());
                let part = bare / ours;
                bench.note(format!(
                    "the server's processor time, each delivery: {ours:.2} µs of the broker, {bare:.2} µs of bare quinn ({part:.2})"
                ));
            }
        }
    });
}

/// Processor time of a server.
#[derive(Clone, Copy, Default)]
struct Used {
    time: Duration,
    deliveries: u64,
}

impl Used {
    /// Microseconds for each delivery.
    fn each(self) -> f64 {
        self.time.as_secs_f64() * 1e6 / self.deliveries as f64
    }
}

fn deliver(side: Side, readers: u64, used: Rc<Cell<Used>>) -> impl FnMut(u64) -> Duration {
    move |messages| {
        let told = "the kernel tells processor times";
        let before = side.server_cpu().expect(told);
        let took = side.deliver(messages).expect("every reader gets every message");
        let (time, sum) = (side.server_cpu().expect(told) - before, used.get());
        used.set(Used { time: sum.time + time, deliveries: sum.deliveries + messages * readers });
        took
    }
}
