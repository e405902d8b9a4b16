//! Fuzzes the machine, the view and the record codec for a given time, on stable Rust.
//!
//! Sequences are those of the model test, of all lengths; each is given by its seed alone, which a violation prints
//! (`--case` runs it again). Between them, noise and damaged records go through the decoders. Exits with 1 on the
//! first violation.
#![expect(clippy::print_stdout, reason = "the report is the output")]

use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use model::check::{Tally, grouping, sequence};
use model::generate::Draw;
use records::{check_bytes, samples};
use wardline_storage::memory::MemoryEngine;

#[path = "../tests/model/mod.rs"]
mod model;
#[path = "../tests/records/mod.rs"]
mod records;

const PROGRESS_EVERY: Duration = Duration::from_secs(30);

/// Fuzzes the machine, the view and the record codec.
#[derive(Parser)]
struct Arguments {
    /// How long, in minutes; fractions are allowed.
    #[arg(long, default_value_t = 1.0)]
    minutes: f64,
    /// Where the case numbers start.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Runs this one case, as a violation has printed it, and stops.
    #[arg(long, conflicts_with_all = ["minutes", "seed"])]
    case: Option<u64>,
}

#[derive(Default)]
struct Totals {
    cases: u64,
    records_accepted: u64,
    records_refused: u64,
    tally: Tally,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut totals = Totals::default();
    if let Some(case) = arguments.case {
        return run(case, &mut totals);
    }
    let Ok(time) = Duration::try_from_secs_f64(arguments.minutes * 60.0) else {
        println!("--minutes wants a number from 0 up");
        return ExitCode::FAILURE;
    };
    let started = Instant::now();
    let mut told = started;
    for case in arguments.seed.. {
        if started.elapsed() >= time {
            break;
        }
        if run(case, &mut totals) == ExitCode::FAILURE {
            return ExitCode::FAILURE;
        }
        if told.elapsed() >= PROGRESS_EVERY {
            told = Instant::now();
            report(&totals, started.elapsed());
        }
    }
    report(&totals, started.elapsed());
    println!("what happened: {:?}", totals.tally.happened);
    ExitCode::SUCCESS
}

fn report(totals: &Totals, elapsed: Duration) {
    println!(
        "{} s: {} cases, {} commands, {} records accepted, {} refused, no violation",
        elapsed.as_secs(),
        totals.cases,
        totals.tally.commands,
        totals.records_accepted,
        totals.records_refused,
    );
}

fn run(case: u64, totals: &mut Totals) -> ExitCode {
    totals.cases += 1;
    let outcome = panic::catch_unwind(AssertUnwindSafe(|| one(case, totals)));
    let violation = match outcome {
        Ok(Ok(())) => return ExitCode::SUCCESS,
        Ok(Err(what)) => what,
        Err(_) => "it panicked".into(),
    };
    println!("violation: {violation}\nagain: --case {case}");
    ExitCode::FAILURE
}

/// One case: a sequence, most of them short; its groupings; and bytes.
fn one(case: u64, totals: &mut Totals) -> Result<(), String> {
    let commands_max = if case.is_multiple_of(50) { 1_500 } else { 60 };
    sequence(Arc::new(MemoryEngine::default()), case, commands_max, &mut totals.tally)?;
    if case.is_multiple_of(10) {
        grouping(case, commands_max)?;
    }
    let mut draw = Draw::new(!case);
    let samples = samples();
    for _ in 0..20 {
        let mut bytes = samples[draw.below(samples.len() as u64) as usize].to_vec();
        if draw.below(4) == 0 {
            bytes = (0..draw.below(300)).map(|_| draw.below(256) as u8).collect();
        }
        for _ in 0..draw.below(4) {
            damage(&mut bytes, &mut draw);
        }
        match check_bytes(&bytes)? {
            0 => totals.records_refused += 1,
            _ => totals.records_accepted += 1,
        }
    }
    Ok(())
}

fn damage(bytes: &mut Vec<u8>, draw: &mut Draw) {
    let place = draw.below(bytes.len() as u64 + 1) as usize;
    match draw.below(4) {
        0 => bytes.truncate(place),
        1 => bytes.insert(place, draw.below(256) as u8),
        _ if place == bytes.len() => bytes.push(0xff),
        2 => drop(bytes.remove(place)),
        _ => bytes[place] = draw.below(256) as u8,
    }
}
