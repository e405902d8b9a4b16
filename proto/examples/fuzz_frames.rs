//! Fuzzes the frame codec for a given time, on stable Rust, with the properties that the tests use.
//!
//! Each execution makes a stream of valid frames or of noise, damages it, and reads it in portions of chosen
//! sizes. It is given by its case number alone, so a violation can be run again with `--case`. Exits with 1 on the first one.
#![expect(clippy::print_stdout, reason = "the report is the output")]

use std::hash::{BuildHasher, RandomState};
use std::ops::ControlFlow;
use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use prost::Message;
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use wardline_proto::v1::{ClientFrame, PushFrame, ServerFrame};
use wire::{Choices, Reading, Schema, Spelling, damage, framed, has_field, read};

#[path = "../tests/wire/mod.rs"]
mod wire;

const PROGRESS_EVERY: Duration = Duration::from_secs(30);

/// Fuzzes the frame codec.
#[derive(Parser)]
struct Arguments {
    /// How long, in minutes; fractions are allowed.
    #[arg(long, default_value_t = 1.0)]
    minutes: f64,
    /// Where the case numbers start; drawn at random unless given.
    #[arg(long)]
    seed: Option<u64>,
    /// Runs this one case, as a violation has printed it, and stops.
    #[arg(long, conflicts_with_all = ["minutes", "seed"])]
    case: Option<u64>,
}

/// What the executions came to: without accepted and refused frames in plenty, the fuzzing was idle.
#[derive(Default)]
struct Tally {
    executions: u64,
    frames_accepted: u64,
    frames_refused: u64,
    streams_refused: u64,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let fuzz = Fuzz { schema: Schema::load() };
    if let Some(case) = arguments.case {
        return match fuzz.guarded(case, &mut Tally::default()) {
            ControlFlow::Continue(()) => ExitCode::SUCCESS,
            ControlFlow::Break(()) => ExitCode::FAILURE,
        };
    }
    let Ok(time) = Duration::try_from_secs_f64(arguments.minutes * 60.0) else {
        println!("--minutes wants a number from 0 up");
        return ExitCode::FAILURE;
    };
    let seed = arguments.seed.unwrap_or_else(|| RandomState::new().hash_one("a seed"));
    println!("seed {seed}, {:.1} minutes", arguments.minutes);
    let (start, mut reported, mut tally) = (Instant::now(), Instant::now(), Tally::default());
    // Seeds are spread so that neighbours do not run the same cases.
    let first = StdRng::seed_from_u64(seed).next_u64();
    while start.elapsed() < time {
        let case = first.wrapping_add(tally.executions);
        if fuzz.guarded(case, &mut tally).is_break() {
            println!("seed {seed}, execution {}: repeat it with --case {case}", tally.executions);
            return ExitCode::FAILURE;
        }
        if reported.elapsed() >= PROGRESS_EVERY {
            reported = Instant::now();
            tally.print(seed, start.elapsed());
        }
    }
    tally.print(seed, start.elapsed());
    println!("no violation");
    ExitCode::SUCCESS
}

impl Tally {
    fn print(&self, seed: u64, elapsed: Duration) {
        println!(
            "seed {seed}, {} s: {} executions; frames accepted {}, refused {}; streams refused {}",
            elapsed.as_secs(),
            self.executions,
            self.frames_accepted,
            self.frames_refused,
            self.streams_refused
        );
    }

    fn count(&mut self, reading: &Reading) {
        let accepted = reading.frames.iter().flatten().count();
        self.frames_accepted += accepted as u64;
        self.frames_refused += (reading.frames.len() - accepted) as u64;
        self.streams_refused += u64::from(reading.end.is_some());
    }
}

struct Fuzz {
    schema: Schema,
}

impl Fuzz {
    /// Runs a case; a panic is a violation.
    fn guarded(&self, case: u64, tally: &mut Tally) -> ControlFlow<()> {
        tally.executions += 1;
        match panic::catch_unwind(AssertUnwindSafe(|| self.run(case, tally))) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => {
                println!("case {case}: VIOLATION, said above");
                ControlFlow::Break(())
            }
        }
    }

    fn run(&self, case: u64, tally: &mut Tally) {
        let mut rng = StdRng::seed_from_u64(case);
        match rng.random_range(0..3) {
            0 => self.run_on::<ClientFrame>("ClientFrame", &mut rng, tally),
            1 => self.run_on::<ServerFrame>("ServerFrame", &mut rng, tally),
            _ => self.run_on::<PushFrame>("PushFrame", &mut rng, tally),
        }
    }

    fn run_on<M: Message + Default + PartialEq>(&self, frame: &str, rng: &mut StdRng, tally: &mut Tally) {
        let frame_bytes_max = [0, 20, 300, 70_000, usize::MAX][rng.random_range(0..5)];
        let mut stream = Vec::new();
        for _ in 0..rng.random_range(1..4) {
            let content =
                if rng.random_ratio(1, 8) { bytes(rng, 300) } else { self.content::<M>(frame, rng) };
            stream.extend(framed(&content));
        }
        for _ in 0..[0, 0, 1, 3][rng.random_range(0..4)] {
            damage(&mut stream, &mut Choices(&bytes(rng, 16)));
        }
        let reading = read::<M>(&stream, frame_bytes_max, Choices(&bytes(rng, 40)));
        let at_once = read::<M>(&stream, frame_bytes_max, Choices(&[6]));
        assert!(reading == at_once, "the portions in which bytes arrived changed the outcome");
        tally.count(&reading);
    }

    /// Makes a valid frame, which must be accepted, and damages it or not.
    fn content<M: Message + Default + PartialEq>(&self, frame: &str, rng: &mut StdRng) -> Vec<u8> {
        let arms = self.schema.arms(frame);
        let arm = arms[rng.random_range(0..arms.len())];
        let spelling = if rng.random_ratio(1, 4) { Spelling::Canonical } else { Spelling::Loose };
        let mut content = self.schema.frame(frame, arm, spelling, &mut Choices(&bytes(rng, 200)));
        let reading = read::<M>(&framed(&content), usize::MAX, Choices(&[6]));
        let [Some(received)] = &reading.frames[..] else {
            panic!("{frame}.{arm}: a valid frame was refused")
        };
        assert!(has_field(received, arm), "{frame}.{arm}: lost");
        assert!(
            spelling == Spelling::Loose || *received == content,
            "{frame}.{arm}: a field was lost or changed"
        );
        for _ in 0..[0, 1, 2, 8][rng.random_range(0..4)] {
            damage(&mut content, &mut Choices(&bytes(rng, 16)));
        }
        content
    }
}

fn bytes(rng: &mut StdRng, bytes_max: usize) -> Vec<u8> {
    let mut bytes = vec![0; rng.random_range(0..=bytes_max)];
    rng.fill_bytes(&mut bytes);
    bytes
}
