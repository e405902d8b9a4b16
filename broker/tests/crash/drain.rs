//! SIGTERM at any moment: everybody comes back by themselves, nothing is lost, and the broker ends
//! in time with 0.
//!
//! The same people and the same oracle as for `kill -9`. `WARDLINE_SEED` and `WARDLINE_ROUNDS` are
//! honoured.

use std::time::{Duration, Instant};

use rand::RngExt as _;

use crate::server::Server;
use crate::{NAMES, Trial, variable};

const ROUNDS: u64 = 3;
/// Odd, so that everybody has their turn.
const READ_BACK_EVERY: u64 = 13;
/// Longest time from SIGTERM to the end of the process.
const ENDS_WITHIN: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_by_a_stop() {
    let seed = variable("WARDLINE_SEED").unwrap_or_else(rand::random);
    let rounds = variable("WARDLINE_ROUNDS").unwrap_or(ROUNDS);
    println!("WARDLINE_SEED={seed} WARDLINE_ROUNDS={rounds}");
    let mut trial = Trial::start(seed).await;
    let mut longest = Duration::ZERO;
    for round in 0..rounds {
        longest = longest.max(trial.drain(round).await);
    }
    let messages = trial.finish().await;
    println!(
        "{messages} messages, none lost; {rounds} stops, the longest took {:.2} s",
        longest.as_secs_f64()
    );
}

impl Trial {
    /// Stops the broker at a random moment, starts another one, and reads everything back; gives
    /// how long the stop took.
    async fn drain(&mut self, round: u64) -> Duration {
        let before = self.oracle.lock().acknowledged();
        self.until("everybody to talk again", |trial| trial.oracle.lock().acknowledged() > before + 50).await;
        tokio::time::sleep(Duration::from_micros(self.random.random_range(0..100_000))).await;
        let server = self.server.take().expect("a broker runs");
        let (address, began) = (server.address, Instant::now());
        let status = tokio::task::block_in_place(|| server.terminate());
        let took = began.elapsed();
        assert!(status.success(), "round {round}, WARDLINE_SEED={}: {status}", self.seed);
        assert!(took <= ENDS_WITHIN, "round {round}, WARDLINE_SEED={}: it took {took:?}", self.seed);
        let log = self.folder.path().join("log");
        self.server = Some(tokio::task::block_in_place(|| Server::start(&self.data(), address, log)));
        // All there is, so it takes ever longer; whoever is connected checks every delivery all the
        // time, and at the end everything is read by everybody.
        if round.is_multiple_of(READ_BACK_EVERY) {
            self.read_back(NAMES[round as usize % NAMES.len()]).await;
        }
        self.judge(&format!("round {round}"));
        took
    }
}
