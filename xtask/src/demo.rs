//! `cargo xtask demo`: a real messaging trace, a real kill, and an independent check.
//!
//! Starts the broker with a fresh data folder, lets the load generator replay the trace, kills the
//! broker with SIGKILL in the middle and starts it again on the same data. The load generator
//! checks what everybody has; this chore adds what only it can know (that the kill happened, how
//! long recovery took, on what machine), writes `target/demo/summary.json`, and fails if anything
//! is wrong. Logs and data stay there to be looked at.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use crate::broker::{Broker, Settings};
use crate::cargo::{Profile, Programs, Workspace};
use crate::engine::Engine;
use crate::process::Children;
use crate::{machine, say, table};

/// From the kill to the start of the next broker: what a supervisor takes.
const PAUSE: Duration = Duration::from_secs(1);
/// Messages of the whole trace.
const MESSAGES: u64 = 59_835;
/// Longest wait for the load generator to end after its last word.
const END_DEADLINE: Duration = Duration::from_secs(30);

/// What the summary takes over from the load generator's result.
const COUNTS: &[&str] = &[
    "people",
    "people_away",
    "conversations",
    "messages",
    "acked",
    "failed",
    "lost",
    "duplicated",
    "reordered",
    "foreign",
    "receipts_missing",
    "receipts_regressed",
    "receipts_pushed",
    "to_absent",
    "reconnects",
    "sessions_refused",
    "speed",
    "planned_s",
    "replay_s",
    "check_s",
    "histories_checked",
    "receipts_checked",
];
/// Of these, what must be zero.
const FAULTS: &[&str] = &[
    "failed",
    "lost",
    "duplicated",
    "reordered",
    "foreign",
    "receipts_missing",
    "receipts_regressed",
    "sessions_refused",
];

/// How to run the demo.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Draws absences, read delays, contents and the moment of the kill.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How long the publishing takes: half a year is compressed into this; 2, or 1 if the programs
    /// are there soon.
    #[arg(long)]
    minutes: Option<f64>,
    /// Only messages among the first so many people of the trace.
    #[arg(long)]
    people: Option<u32>,
    /// What the broker's store lies in.
    #[arg(long, value_enum, default_value_t)]
    engine: Engine,
    /// Has the programs built as they are shipped; those of redb otherwise are not, to be there
    /// soon.
    #[arg(long)]
    release: bool,
}

impl Options {
    /// What takes minutes to compile is compiled once, as it is shipped.
    fn profile(&self) -> Profile {
        if self.release || self.engine.is_cpp() { Profile::Release } else { Profile::Dev }
    }

    fn minutes(&self) -> f64 {
        self.minutes.unwrap_or(if self.profile() == Profile::Release { 2.0 } else { 1.0 })
    }
}

/// The kill, as seen from here.
struct Kill {
    acked: u64,
    /// From the kill until the next broker was ready, the pause included.
    to_ready: Duration,
    /// From the start of the next broker until it was ready.
    start_to_ready: Duration,
}

/// Runs the demo; whether everything was right.
///
/// # Errors
/// If it could not be run.
pub fn run(workspace: &Workspace, options: &Options, children: &Children) -> anyhow::Result<bool> {
    let programs = workspace.programs_in(options.profile(), options.engine)?;
    let folder = workspace.empty_folder("demo")?;
    let data = folder.join("data");
    fs::create_dir_all(&data).with_context(|| format!("cannot make {}", data.display()))?;
    let machine = machine::describe(&folder)?;
    let began = Instant::now();
    let (program, engine) = (programs.wardline.clone(), options.engine);
    let settings = Settings { program, engine, data, log: folder.join("broker.log") };
    let broker = Broker::start(settings, children)?;
    say(&format!("the broker is ready at {}, its data and log are in {}", broker.address, folder.display()));
    let (broker, kill) = replay(&programs, broker, options, &folder, children)?;
    let stopped = broker.stop();
    let replay =
        fs::read_to_string(folder.join("replay.json")).context("the load generator left no result")?;
    let replay: Value = serde_json::from_str(&replay).context("the load generator's result is not JSON")?;
    let mut summary = summarise(&replay, kill.as_ref(), options);
    summary["duration_s"] = json!(began.elapsed().as_secs_f64());
    summary["broker"] =
        json!({"engine": engine_in(&folder.join("broker.log"))?, "stopped_gracefully": stopped.is_ok()});
    summary["profile"] = json!(options.profile().name());
    summary["git"] = machine::revision(&workspace.root);
    summary["machine"] = machine;
    summary["command"] = json!(
        std::env::args_os()
            .skip(1)
            .fold("cargo xtask".to_owned(), |all, next| all + " " + &next.to_string_lossy())
    );
    let wrong = wrong(&summary, options, stopped.as_ref().err());
    summary["passed"] = json!(wrong.is_empty());
    summary["wrong"] = json!(wrong);
    let path = folder.join("summary.json");
    fs::write(&path, format!("{summary:#}\n")).with_context(|| format!("cannot write {}", path.display()))?;
    say(&table::demo(&summary));
    if options.profile() == Profile::Dev {
        say(
            "built to be there soon, not to be fast: the times above are no figures of the product (--release)",
        );
    }
    say(&format!("{} (all of it: {})", if wrong.is_empty() { "PASSED" } else { "FAILED" }, path.display()));
    Ok(wrong.is_empty())
}

/// Runs the load generator to its end, with a kill of the broker in the middle.
fn replay(
    programs: &Programs,
    broker: Broker,
    options: &Options,
    folder: &Path,
    children: &Children,
) -> anyhow::Result<(Broker, Option<Kill>)> {
    let mut command = Command::new(&programs.loadgen);
    command.arg("trace").args(broker.client_arguments()).arg("--control").arg("--out").arg(folder);
    command.args(["--seed", &options.seed.to_string(), "--minutes", &options.minutes().to_string()]);
    if let Some(people) = options.people {
        command.args(["--people", &people.to_string()]);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let loadgen = children.spawn(&mut command)?;
    let mut control = loadgen.stdin().context("the load generator has no stdin")?;
    let events = BufReader::new(loadgen.stdout().context("the load generator has no stdout")?);
    let (mut broker, mut kill, mut kill_at) = (broker, None, None);
    for line in events.lines() {
        let event: Value = serde_json::from_str(&line?).context("the load generator writes no JSON")?;
        if event["event"] == "phase" {
            let is_replay = event["phase"] == "replaying";
            kill_at =
                is_replay.then(|| kill_point(options.seed, event["steps"].as_u64().unwrap_or_default()));
        }
        let acked = event["done"].as_u64().unwrap_or_default();
        if kill.is_none() && kill_at.is_some_and(|kill_at| acked >= kill_at) {
            let began = Instant::now();
            broker.kill();
            writeln!(control, "killed").context("the load generator is gone")?;
            thread::sleep(PAUSE);
            writeln!(control, "restarted").context("the load generator is gone")?;
            broker = broker.start_again(children)?;
            kill = Some(Kill { acked, to_ready: began.elapsed(), start_to_ready: broker.ready_after });
        }
    }
    let status = loadgen.wait(END_DEADLINE).context("waiting for the load generator")?;
    // 1 says that something is wrong, and the result says what; beyond that there is no result.
    ensure!(matches!(status.code(), Some(0 | 1)), "the load generator ended with {status}");
    Ok((broker, kill))
}

/// After how many acks to kill: somewhere in the middle third, drawn from the seed.
fn kill_point(seed: u64, messages: u64) -> u64 {
    let percent = 35 + seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) % 31;
    messages * percent / 100
}

/// Puts what the clients saw and what was seen from here into one object.
fn summarise(replay: &Value, kill: Option<&Kill>, options: &Options) -> Value {
    let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
    let mut summary = json!({"seed": options.seed});
    for key in COUNTS {
        summary[key] = replay[key].clone();
    }
    summary["publish_ack"] = replay["latency"]["publish_ack"].clone();
    summary["publish_to_deliver"] = replay["latency"]["publish_to_deliver"].clone();
    summary["publish_ack_service"] = replay["latency"]["publish_ack_service"].clone();
    summary["publish_to_deliver_service"] = replay["latency"]["publish_to_deliver_service"].clone();
    summary["kills"] = json!(u32::from(kill.is_some()));
    summary["time_to_recover_ms"] = replay["outage"]["first_ack_ms"].clone();
    summary["recovery"] = json!({
        "killed_after_acks": kill.map(|kill| kill.acked),
        "in_flight_at_kill": replay["outage"]["in_flight"],
        "pause_before_start_ms": ms(PAUSE),
        "start_to_ready_ms": kill.map(|kill| ms(kill.start_to_ready)),
        "kill_to_ready_ms": kill.map(|kill| ms(kill.to_ready)),
        "kill_to_first_ack_ms": replay["outage"]["first_ack_ms"],
        "kill_to_last_reconnect_ms": replay["outage"]["last_reconnect_ms"],
    });
    summary
}

/// What is wrong, in words.
fn wrong(summary: &Value, options: &Options, stop: Option<&anyhow::Error>) -> Vec<String> {
    let mut wrong = Vec::new();
    for key in FAULTS {
        // A count that is not there is not zero.
        match summary[key].as_u64() {
            Some(0) => {}
            count => wrong
                .push(format!("{key}: {}", count.map_or("not counted".into(), |count| count.to_string()))),
        }
    }
    let (messages, acked) = (summary["messages"].as_u64(), summary["acked"].as_u64());
    if acked.is_none() || acked != messages {
        wrong.push(format!("acked {acked:?} of {messages:?} messages"));
    }
    if options.people.is_none() && messages != Some(MESSAGES) {
        wrong.push(format!("{messages:?} messages, not {MESSAGES}"));
    }
    if summary["kills"] != 1 {
        wrong.push("the broker was not killed".into());
    }
    if !summary["time_to_recover_ms"].is_number() {
        wrong.push("nothing was acknowledged after the kill".into());
    }
    if summary["broker"]["engine"] != options.engine.name() {
        wrong.push(format!(
            "the broker ran on {}, not on {}",
            summary["broker"]["engine"],
            options.engine.name()
        ));
    }
    wrong.extend(stop.map(|error| format!("{error:#}")));
    wrong
}

/// The engine that the broker said it runs on, each time that it was ready.
fn engine_in(log: &Path) -> anyhow::Result<Option<String>> {
    let text = fs::read_to_string(log).with_context(|| format!("cannot read {}", log.display()))?;
    let name = |line: &str| Some(line.split_once("engine=\"")?.1.split_once('"')?.0.to_owned());
    let mut said = text.lines().filter(|line| line.contains("code=\"ready\"")).filter_map(name);
    let first = said.next();
    Ok(first.filter(|first| said.all(|later| later == *first)))
}
