//! `noisy`: everyday talk of many, without and with one user who does everything at once that
//! spoils the day of others, in turns.
//!
//! Others' publishing, urgent messages, deliveries and history are measured by the same generator
//! in both; the offender has a thread of its own. It passes if others' p99 stays near what it is
//! alone, the broker's memory within what is stated, and the offender is answered, not cut without
//! a word.

mod offender;
mod raw;
mod table;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, ensure};
use hdrhistogram::Histogram;
use serde::Serialize;
use tokio::task::LocalSet;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use wardline_client::{Client, ConversationId, DeviceId, Direction, NewConversation, Outgoing};

use self::offender::Offender;
use self::raw::Answers;
use self::table::{Figure, Row, Turn};
use crate::cli::target::Target;
use crate::dialler::{Dialler, Server};
use crate::progress::Progress;
use crate::run::Run;
use crate::workload::{Rate, Workload};

/// How often somebody else asks for their history.
const HISTORY_EVERY: Duration = Duration::from_millis(50);
/// Messages of it.
const HISTORY_MESSAGES: usize = 50;

/// What can be asked of it.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    target: Target,
    /// How often, each time without and with the offender.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    turns: u32,
    /// How long each is measured.
    #[arg(long, default_value = "20s", value_parser = humantime::parse_duration)]
    duration: Duration,
    /// How long before anything counts.
    #[arg(long, default_value = "5s", value_parser = humantime::parse_duration)]
    warmup: Duration,
    /// Routine messages a second, of all others together.
    #[arg(long, default_value_t = 200.0)]
    rate: f64,
    /// The broker's process, for its memory.
    #[arg(long, value_name = "PID")]
    broker_pid: Option<u32>,
    /// Most memory of the broker, in MiB: the sum that docs/operations.md states for its settings.
    #[arg(long, default_value_t = 1_024, value_name = "MIB")]
    memory_mib: u64,
    /// Draws everything that is drawn.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where the result goes, as JSON.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// What came of it.
#[derive(Debug, Serialize)]
struct Report {
    rows: Vec<Row>,
    offender: Told,
    memory_bytes_max: Option<u64>,
    memory_bytes_allowed: u64,
    passed: bool,
}

/// What the offender was told.
#[derive(Debug, Serialize)]
struct Told {
    done: u64,
    told_to_come_back: u64,
    refused_otherwise: u64,
    ended_with_a_code: u64,
    cut_without_a_word: u64,
}

/// Runs it, and tells what came of it.
///
/// # Errors
/// If it could not be tried.
pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let server = arguments.target.server()?;
    if let Some(out) = &arguments.out {
        // Tried before the run, so that no result is lost by it.
        std::fs::write(out, "").with_context(|| format!("cannot write {}", out.display()))?;
    }
    let progress = Progress::new(false);
    let answers = Arc::new(Answers::default());
    let (mut without, mut with, mut memory) = (Vec::new(), Vec::new(), None);
    for turn in 0..arguments.turns {
        for noisy in [false, true] {
            let offender = if noisy { Some(begin(&server, turn, &answers).await?) } else { None };
            let local = LocalSet::new();
            let measured = local.run_until(measure(&arguments, &server, turn, &progress)).await;
            if let Some((stop, thread)) = offender {
                stop.cancel();
                ensure!(thread.join().is_ok(), "the offender's thread has panicked");
            }
            let (figures, resident) = measured?;
            memory = memory.max(resident.filter(|_| noisy));
            if noisy { &mut with } else { &mut without }.push(figures);
        }
    }
    progress.end();
    let report = judge(&arguments, table::rows(&without, &with), &answers, memory);
    tell(&report)?;
    if let Some(out) = &arguments.out {
        let json = serde_json::to_vec_pretty(&report).context("the report is not JSON")?;
        std::fs::write(out, json).with_context(|| format!("cannot write {}", out.display()))?;
    }
    Ok(if report.passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

type Thread = (CancellationToken, std::thread::JoinHandle<()>);

/// Starts an offender on a thread of its own; returns once it is about to begin.
async fn begin(server: &Server, turn: u32, answers: &Arc<Answers>) -> anyhow::Result<Thread> {
    let stop = CancellationToken::new();
    let (ready, is_ready) = tokio::sync::oneshot::channel();
    let (server, answers, stopped) = (server.clone(), Arc::clone(answers), stop.clone());
    let run = rand::random::<u64>() ^ u64::from(turn);
    let work = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(error) => return drop(ready.send(Err(error.into()))),
        };
        runtime.block_on(async {
            match Offender::new(&server, run, answers).await {
                Ok(offender) => {
                    drop(ready.send(Ok(())));
                    offender.run(stopped).await;
                }
                Err(error) => drop(ready.send(Err(error))),
            }
        });
    };
    let thread = std::thread::Builder::new().name("offender".into()).spawn(work)?;
    is_ready.await.context("the offender's thread has ended")??;
    Ok((stop, thread))
}

/// Measures others; gives their figures, and the most memory that the broker had.
async fn measure(
    arguments: &Arguments,
    server: &Server,
    turn: u32,
    progress: &Progress,
) -> anyhow::Result<(Turn, Option<u64>)> {
    let dialler = Arc::new(Dialler::new(server)?);
    let workload = Workload::find("noisy")?;
    let run = Run {
        workload,
        rate: Rate::PerSecond(arguments.rate),
        warmup: arguments.warmup,
        duration: arguments.duration,
        repeats: 1,
        seed: arguments.seed + u64::from(turn),
        broker_pid: arguments.broker_pid,
    };
    let stop = CancellationToken::new();
    let reader = Reader::new(&dialler).await?;
    let (found, history) = tokio::join!(
        async {
            let found = run.run(&dialler, progress, &stop).await;
            stop.cancel();
            found
        },
        reader.run(&stop),
    );
    let found = found?;
    ensure!(found.verdict.passed, "the broker did something wrong: {}", found.verdict.reasons.join("; "));
    let repeat = found.repeats.first().context("nothing was measured")?;
    let mut figures: Turn = table::ROWS
        .iter()
        .filter_map(|(name, _)| {
            let latency = repeat.latencies.get(*name)?;
            let (count, p50_us, p99_us) = (latency.count, latency.p50_us, latency.p99_us);
            Some((*name, Figure { count, p50_us, p99_us }))
        })
        .collect();
    figures.insert("history", history?);
    Ok((figures, repeat.broker.as_ref().map(|broker| broker.resident_bytes_max)))
}

/// Somebody else who reads their history again and again.
struct Reader {
    client: Client,
    conversation: ConversationId,
}

impl Reader {
    async fn new(dialler: &Arc<Dialler>) -> anyhow::Result<Self> {
        let name = format!("reader-{:016x}", rand::random::<u64>());
        let (client, _inbox) = dialler.dial(&name, DeviceId::random()).await?;
        let new = NewConversation { title: "history".into(), members: Vec::new(), retention: None };
        let conversation = client.create_group(new).await?.id;
        for _ in 0..HISTORY_MESSAGES {
            client.publish(Outgoing::new(conversation, "", vec![0x68; 300])).await?;
        }
        Ok(Self { client, conversation })
    }

    /// Reads on time, however long it takes; times count from when each was due.
    async fn run(self, stop: &CancellationToken) -> anyhow::Result<Figure> {
        let mut times: Histogram<u64> = Histogram::new(3).context("three digits are allowed")?;
        let mut due = interval(HISTORY_EVERY);
        due.set_missed_tick_behavior(MissedTickBehavior::Burst);
        while let Some(due) = stop.run_until_cancelled(due.tick()).await {
            let page = self.client.history(self.conversation, 0, Direction::Forward, 0);
            let Some(page) = stop.run_until_cancelled(page).await else { break };
            page.context("somebody else's history was refused")?;
            let took = Instant::now().duration_since(due).as_micros();
            times.record(took as u64).context("more than a histogram holds")?;
        }
        let at = |quantile| times.value_at_quantile(quantile);
        Ok(Figure { count: times.len(), p50_us: at(0.5), p99_us: at(0.99) })
    }
}

fn judge(arguments: &Arguments, rows: Vec<Row>, answers: &Answers, memory: Option<u64>) -> Report {
    let [done, told, refused, ended, cut] =
        [&answers.done, &answers.told, &answers.refused, &answers.ended, &answers.cut]
            .map(|count| count.load(Ordering::Relaxed));
    let offender = Told {
        done,
        told_to_come_back: told,
        refused_otherwise: refused,
        ended_with_a_code: ended,
        cut_without_a_word: cut,
    };
    let allowed = arguments.memory_mib << 20;
    let is_answered = done > 0 && told > 0 && cut == 0;
    let passed = rows.iter().all(Row::holds) && memory.is_none_or(|most| most <= allowed) && is_answered;
    Report { rows, offender, memory_bytes_max: memory, memory_bytes_allowed: allowed, passed }
}

fn tell(report: &Report) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    write!(out, "{}", table::show(&report.rows))?;
    let Told { done, told_to_come_back, refused_otherwise, ended_with_a_code, cut_without_a_word } =
        &report.offender;
    writeln!(
        out,
        "the offender: {done} done, {told_to_come_back} told to come back, {refused_otherwise} refused otherwise; \
         {ended_with_a_code} connections ended with a code, {cut_without_a_word} without a word"
    )?;
    if let Some(most) = report.memory_bytes_max {
        writeln!(
            out,
            "the broker's memory: at most {} MiB of {}",
            most >> 20,
            report.memory_bytes_allowed >> 20
        )?;
    }
    writeln!(out, "passed: {}", report.passed)?;
    Ok(())
}
