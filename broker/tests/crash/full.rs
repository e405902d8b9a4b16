//! The disk is full to the last byte: what protects or takes away goes through all the same, and
//! the broker starts after every kill, lets read, and takes messages again when there is room.
//!
//! Needs a file system of its own, and so root; without, it says so and tries nothing.

use tempfile::TempDir;
use wardline_torture::fault;
use wardline_torture::programme::{Context, Impossible};

use crate::{context, variable};

const KILLS: u64 = 50;
const COMMANDS: u64 = 1000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_takes_control_commands_and_lets_start_and_read() {
    println!("{}", tried_with(None).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_under_the_second_engine() {
    println!("{}", tried_with(Some("redb")).await);
}

/// Gives what was tried, for people.
async fn tried_with(engine: Option<&str>) -> String {
    let kills = variable("WARDLINE_CYCLES").unwrap_or(KILLS);
    let folder = TempDir::new().unwrap();
    let context = Context { engine: engine.map(str::to_owned), ..context(folder.path(), 0) };
    let outcome = match fault::full::run(&context, kills, COMMANDS).await {
        Err(error) if error.is::<Impossible>() => return format!("not tried: {error}"),
        outcome => outcome.unwrap(),
    };
    assert!(outcome.troubles.is_empty(), "{}", outcome.troubles.join("\n"));
    assert_eq!(outcome.cycles, kills);
    let commands = outcome.figures.iter().find(|(name, _)| name.contains("control")).unwrap().1;
    assert_eq!(commands, COMMANDS + kills + 1, "all of them, one after each start, and one with room");
    format!("{commands} control commands, {kills} kills, {:.1} s", outcome.took.as_secs_f64())
}
