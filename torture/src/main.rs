//! `wardline-torture`: makes faults under a real broker that real clients use, and says whether its
//! promises held.
//!
//! A process of its own, with its journal on another file system than the broker's data. `cargo
//! xtask torture` builds it and the broker, and starts it. Exit code 0: every promise was kept (or,
//! with `--expect-objections`, one was seen to be broken); 1: not so; 2: wrong usage. However it
//! ends, brokers are killed and file systems unmounted.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::Parser;
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};

use wardline_torture::fault;
use wardline_torture::programme::{Context, Impossible, Outcome};
use wardline_torture::report::{self, say};
use wardline_torture::trial;

/// On the full disk, for each kill.
const CONTROL_COMMANDS: u64 = 50;

/// Makes faults under a broker, and says whether its promises held.
#[derive(Parser)]
struct Arguments {
    /// The `wardline` program.
    #[arg(long)]
    program: PathBuf,
    /// The engine that the broker is to use; by default its own.
    #[arg(long)]
    engine: Option<String>,
    /// The broker, built with the feature `fail-points`; for --points.
    #[arg(long)]
    fail_points_program: Option<PathBuf>,
    /// Where data and the report go.
    #[arg(long)]
    out: PathBuf,
    /// Draws the faults and what people say. The moments are the machine's own.
    #[arg(long)]
    seed: Option<u64>,
    /// Longest time for all programmes together.
    #[arg(long, value_parser = minutes)]
    minutes: Option<f64>,
    /// The run is good if the oracle objects: to show that it can.
    #[arg(long)]
    expect_objections: bool,
    #[command(flatten)]
    programmes: Programmes,
}

/// Longest time that may be asked for: thirty days.
const MINUTES_MAX: f64 = 43_200.0;

fn minutes(text: &str) -> Result<f64, String> {
    let minutes = text.parse().ok().filter(|minutes| *minutes > 0.0 && *minutes <= MINUTES_MAX);
    minutes.ok_or_else(|| format!("it must be a number of minutes, more than 0 and at most {MINUTES_MAX}"))
}

/// How many cycles of each.
#[derive(Clone, Debug, clap::Args)]
struct Programmes {
    /// A few cycles of everything that this machine can carry out; what it cannot is skipped.
    #[arg(long)]
    short: bool,
    /// Kill -9 at random moments, also while it starts and reclaims.
    #[arg(long, value_name = "CYCLES")]
    kill: Option<u64>,
    /// A crash at a drawn passage of a drawn step of the commit path.
    #[arg(long, value_name = "CYCLES")]
    points: Option<u64>,
    /// Loss of power. Needs root.
    #[arg(long, value_name = "CYCLES")]
    power: Option<u64>,
    /// One damaged file of a stopped store.
    #[arg(long, value_name = "CYCLES")]
    corrupt: Option<u64>,
    /// A disk that fills up, and then so many kills on the full disk, with fifty times as many
    /// control commands. Needs root.
    #[arg(long, value_name = "CYCLES")]
    disk_full: Option<u64>,
    /// A disk that fails. Needs root.
    #[arg(long, value_name = "CYCLES")]
    eio: Option<u64>,
    /// No file descriptor left.
    #[arg(long, value_name = "CYCLES")]
    descriptors: Option<u64>,
    /// Little memory, and a crowd that wants much.
    #[arg(long, value_name = "CYCLES")]
    memory: Option<u64>,
    /// A wall clock that jumps. Needs libfaketime.
    #[arg(long, value_name = "CYCLES")]
    clock: Option<u64>,
    /// Loss, delay, reordering, duplication, changes of port, partitions.
    #[arg(long, value_name = "MINUTES", value_parser = minutes)]
    network_minutes: Option<f64>,
}

impl Programmes {
    /// What was asked for; of what was not, a few if the run is to be short.
    fn chosen(&self) -> Self {
        let few = |asked: Option<u64>, few: u64| asked.or(self.short.then_some(few));
        Self {
            short: self.short,
            kill: few(self.kill, 30),
            points: few(self.points, 16),
            power: few(self.power, 15),
            corrupt: few(self.corrupt, 30),
            disk_full: few(self.disk_full, 2),
            eio: few(self.eio, 6),
            descriptors: few(self.descriptors, 4),
            memory: few(self.memory, 3),
            clock: few(self.clock, 4),
            network_minutes: self.network_minutes.or(self.short.then_some(0.25)),
        }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failure(&error.into()),
    };
    let done = runtime.block_on(async {
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        // Whoever is dropped here ends its broker and unmounts its volume.
        tokio::select! {
            good = run(&arguments) => good,
            _ = interrupt.recv() => anyhow::bail!("interrupted"),
            _ = terminate.recv() => anyhow::bail!("asked to stop"),
        }
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => failure(&error),
    }
}

fn failure(error: &anyhow::Error) -> ExitCode {
    say(&format!("wardline-torture: {error:#}"));
    ExitCode::FAILURE
}

async fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let seed = arguments.seed.unwrap_or_else(rand::random);
    std::fs::create_dir_all(&arguments.out)
        .with_context(|| format!("cannot make {}", arguments.out.display()))?;
    let folder = arguments.out.canonicalize().context("the folder cannot be found again")?;
    let journals = journals(&folder)?;
    let journals_on = journals.path().display().to_string();
    say(&format!("seed {seed}; journals, keys and logs in {journals_on}"));
    let context = Context {
        program: arguments.program.clone(),
        engine: arguments.engine.clone(),
        fail_points_program: arguments.fail_points_program.clone(),
        folder: folder.clone(),
        journals: journals.path().to_owned(),
        seed,
        is_brief: false,
        deadline: arguments.minutes.map(|minutes| Instant::now() + Duration::from_secs_f64(minutes * 60.0)),
    };
    let outcomes = programmes(&context, &arguments.programmes).await;
    ensure!(!outcomes.is_empty(), "nothing to do: name a programme, for example --kill 100");
    let path = folder.join("report.json");
    report::write(&path, seed, &journals_on, &outcomes)?;
    say(&report::table(&outcomes));
    let good = match arguments.expect_objections {
        false => outcomes.iter().all(Outcome::is_good),
        true => outcomes.iter().any(|outcome| !outcome.objections.is_empty()),
    };
    let evidence = match outcomes.iter().all(Outcome::is_good) {
        true => String::new(),
        // What it takes to look into it; /dev/shm is not for keeping.
        false => format!("; journals and logs: {}", keep(&journals, &folder)?.display()),
    };
    say(&format!("{} ({}{evidence})", if good { "PASSED" } else { "FAILED" }, path.display()));
    Ok(good)
}

/// Carries out all programmes that were asked for, one after the other.
async fn programmes(context: &Context, asked: &Programmes) -> Vec<Outcome> {
    let asked = asked.chosen();
    let mut done = Done { outcomes: Vec::new(), skips: asked.short };
    if let Some(cycles) = asked.kill {
        done.add("kill", fault::kill::run(context, cycles)).await;
    }
    if let Some(cycles) = asked.points {
        done.add("points", fault::points::run(context, cycles)).await;
    }
    if let Some(cycles) = asked.power {
        done.add("power", fault::power::run(context, cycles)).await;
    }
    if let Some(cycles) = asked.corrupt {
        done.add("corrupt", fault::corrupt::run(context, cycles)).await;
    }
    if let Some(cycles) = asked.disk_full {
        done.add("disk-full", fault::disk_full::run(context, cycles)).await;
        done.add("full", fault::full::run(context, cycles, cycles * CONTROL_COMMANDS)).await;
    }
    if let Some(cycles) = asked.eio {
        done.add("eio", fault::eio::run(context, cycles)).await;
    }
    if let Some(cycles) = asked.descriptors {
        done.add("descriptors", fault::descriptors::run(context, cycles)).await;
    }
    if let Some(cycles) = asked.memory {
        done.add("memory", fault::memory::run(context, cycles)).await;
    }
    if let Some(cycles) = asked.clock {
        done.add("clock", fault::clock::run(context, cycles)).await;
    }
    if let Some(minutes) = asked.network_minutes {
        done.add("network", fault::network::run(context, minutes)).await;
    }
    done.outcomes
}

/// What came of the programmes so far.
struct Done {
    outcomes: Vec<Outcome>,
    /// What this machine cannot carry out is no failure.
    skips: bool,
}

impl Done {
    async fn add(&mut self, name: &str, programme: impl Future<Output = anyhow::Result<Outcome>>) {
        let began = Instant::now();
        let outcome = match programme.await {
            Ok(outcome) => outcome,
            Err(error) if self.skips && error.is::<Impossible>() => {
                return say(&format!("{name}: skipped: {error:#}"));
            }
            Err(error) => Outcome::failed(name, began.elapsed(), &error),
        };
        say(&format!("{name}: {}", if outcome.is_good() { "good" } else { "NOT GOOD" }));
        self.outcomes.push(outcome);
    }
}

/// A folder for the journals, on another file system than the data if there is one.
fn journals(data: &Path) -> anyhow::Result<TempDir> {
    let device = |path: &Path| std::fs::metadata(path).map(|metadata| metadata.dev()).ok();
    let temporary = std::env::temp_dir();
    let places = [Path::new("/dev/shm"), &temporary];
    let other = places.into_iter().find(|place| device(place).is_some_and(|of| Some(of) != device(data)));
    let place = other.unwrap_or_else(|| {
        say("there is no other file system than the data's: the journals lie beside the data");
        data
    });
    tempfile::Builder::new()
        .prefix("wardline-torture-")
        .tempdir_in(place)
        .context("no folder for the journals")
}

/// Copies journals and logs to where they stay.
fn keep(journals: &TempDir, folder: &Path) -> anyhow::Result<PathBuf> {
    let kept = folder.join("evidence");
    trial::empty(&kept)?;
    std::fs::create_dir_all(&kept)?;
    for file in std::fs::read_dir(journals.path())? {
        let file = file?;
        if file.file_type()?.is_file() {
            std::fs::copy(file.path(), kept.join(file.file_name()))?;
        }
    }
    Ok(kept)
}
