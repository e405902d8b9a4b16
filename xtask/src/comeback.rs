//! `cargo xtask comeback`: how long clients take until they are back and have caught up after a
//! `kill -9` of their broker.
//!
//! Starts a broker as the demo does, lets the load generator connect idle clients and busy ones
//! with the SDK's defaults, and kills the broker again and again. The next one starts after the
//! pause of the packaged systemd unit. Prints a table and the timeline of the slowest kill, writes
//! `target/comeback/summary.json`, and fails if somebody did not come back, or not in time.

use std::fs;
use std::io::{BufRead, BufReader, Lines, Write};
use std::path::Path;
use std::process::{ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use crate::broker::{Broker, Settings};
use crate::cargo::Workspace;
use crate::engine::Engine;
use crate::process::{Children, Running};
use crate::table::row;
use crate::{machine, say};

/// The packaged unit.
const UNIT: &str = "packaging/wardline.service";
/// Longest wait for the load generator to end after the last kill.
const END_DEADLINE: Duration = Duration::from_secs(60);

/// How to measure.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Clients who say nothing.
    #[arg(long, default_value_t = 2_000)]
    idle: u32,
    /// Clients who talk.
    #[arg(long, default_value_t = 500)]
    busy: u32,
    /// How often the broker is killed.
    #[arg(long, default_value_t = 10)]
    kills: u32,
    /// By when the last client must have caught up, in seconds; 0: whenever.
    #[arg(long, default_value_t = 3.0)]
    last_s: f64,
    /// By when half of them must have, in seconds; 0: whenever.
    #[arg(long, default_value_t = 1.5)]
    half_s: f64,
    /// What the broker's store lies in.
    #[arg(long, value_enum, default_value_t)]
    engine: Engine,
}

/// Measures; whether everybody was back in time.
///
/// # Errors
/// If it could not be run.
pub fn run(workspace: &Workspace, options: &Options, children: &Children) -> anyhow::Result<bool> {
    let pause = pause(&workspace.root)?;
    let programs = workspace.programs(options.engine)?;
    let folder = workspace.empty_folder("comeback")?;
    let data = folder.join("data");
    fs::create_dir_all(&data).with_context(|| format!("cannot make {}", data.display()))?;
    let machine = machine::describe(&folder)?;
    let settings =
        Settings { program: programs.wardline, engine: options.engine, data, log: folder.join("broker.log") };
    let mut broker = Broker::start(settings, children)?;
    let (loadgen, mut control, mut events) = connect(&programs.loadgen, &broker, options, children)?;
    let mut rounds = Vec::new();
    for _ in 0..options.kills {
        expect(&mut events, "settled")?;
        let killed = Instant::now();
        writeln!(control, "killed {}", unix_ns()).context("the load generator is gone")?;
        broker.kill();
        thread::sleep(pause);
        broker = broker.start_again(children)?;
        let ready = killed.elapsed();
        let mut round = expect(&mut events, "round")?;
        round["ready_ms"] = json!(ready.as_secs_f64() * 1e3);
        say(&line(&round));
        rounds.push(round);
    }
    let status = loadgen.wait(END_DEADLINE).context("waiting for the load generator")?;
    ensure!(matches!(status.code(), Some(0 | 1)), "the load generator ended with {status}");
    broker.stop()?;
    let wrong = wrong(&rounds, options);
    let summary = json!({
        "pause_ms": pause.as_secs_f64() * 1e3,
        "rounds": rounds,
        "git": machine::revision(&workspace.root),
        "machine": machine,
        "command": std::env::args().skip(1).fold("cargo xtask".to_owned(), |all, next| all + " " + &next),
        "passed": wrong.is_empty(),
        "wrong": wrong,
    });
    let path = folder.join("summary.json");
    fs::write(&path, format!("{summary:#}\n")).with_context(|| format!("cannot write {}", path.display()))?;
    say(&table(&summary));
    say(&format!("{} (all of it: {})", if wrong.is_empty() { "PASSED" } else { "FAILED" }, path.display()));
    wrong.iter().for_each(|wrong| say(wrong));
    Ok(wrong.is_empty())
}

/// How long the packaged unit waits before it starts the broker again.
fn pause(root: &Path) -> anyhow::Result<Duration> {
    let path = root.join(UNIT);
    let unit = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let value = setting(&unit, "RestartSec").with_context(|| format!("{UNIT} has no RestartSec"))?;
    let (number, unit_ms) = match value.strip_suffix("ms") {
        Some(number) => (number, 1.0),
        None => (value.trim_end_matches('s'), 1e3),
    };
    let number: f64 =
        number.parse().with_context(|| format!("{UNIT}: RestartSec={value} is no time in ms or s"))?;
    Ok(Duration::from_secs_f64(number * unit_ms / 1e3))
}

fn setting<'a>(unit: &'a str, key: &str) -> Option<&'a str> {
    unit.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).map(str::trim)
}

type Events = Lines<BufReader<ChildStdout>>;

fn connect(
    program: &Path,
    broker: &Broker,
    options: &Options,
    children: &Children,
) -> anyhow::Result<(Running, std::process::ChildStdin, Events)> {
    let mut command = Command::new(program);
    command.arg("comeback").args(broker.client_arguments());
    let counts = [("--idle", options.idle), ("--busy", options.busy), ("--kills", options.kills)];
    for (flag, count) in counts {
        command.args([flag, &count.to_string()]);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let loadgen = children.spawn(&mut command)?;
    let control = loadgen.stdin().context("the load generator has no stdin")?;
    let events = BufReader::new(loadgen.stdout().context("the load generator has no stdout")?).lines();
    Ok((loadgen, control, events))
}

/// The next event, which must be this one.
fn expect(events: &mut Events, wanted: &str) -> anyhow::Result<Value> {
    let line = events.next().context("the load generator has ended")??;
    let event: Value = serde_json::from_str(&line).context("the load generator writes no JSON")?;
    ensure!(event["event"] == wanted, "the load generator says {line} instead of {wanted}");
    Ok(event)
}

fn unix_ns() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos()
}

/// What is wrong, in words.
fn wrong(rounds: &[Value], options: &Options) -> Vec<String> {
    let mut wrong = Vec::new();
    for round in rounds {
        let (number, all) = (&round["round"], &round["caught_up"]);
        if all["missing"] != 0 {
            wrong.push(format!("kill {number}: {} clients did not catch up", all["missing"]));
        }
        for (key, most_s) in [("last_ms", options.last_s), ("p50_ms", options.half_s)] {
            let took = all[key].as_f64();
            if most_s > 0.0 && took.is_none_or(|took| took > most_s * 1e3) {
                wrong.push(format!("kill {number}: caught up, {key}: {took:?}, more than {most_s} s"));
            }
        }
    }
    if rounds.len() != options.kills as usize || rounds.is_empty() {
        wrong.push(format!("{} kills instead of {}", rounds.len(), options.kills));
    }
    wrong
}

/// One kill, while it runs.
fn line(round: &Value) -> String {
    let all = &round["caught_up"];
    let ms = |value: &Value| value.as_f64().map_or("-".into(), |ms| format!("{ms:.0}"));
    let mut line = format!(
        "kill {}: ready after {} ms, half caught up after {}, the last after {}",
        round["round"],
        ms(&round["ready_ms"]),
        ms(&all["p50_ms"]),
        ms(&all["last_ms"])
    );
    for (why, count) in round["again"].as_object().into_iter().flatten() {
        line += &format!("; attempts that failed: {count}, {why}");
    }
    line
}

/// All kills, and the timeline of the slowest.
fn table(summary: &Value) -> String {
    let mut table = String::new();
    let words = |words: &[&str]| words.iter().map(|word| json!(word)).collect::<Vec<_>>();
    let mut add = |name: &str, values: &[Value]| row(&mut table, name, &values.iter().collect::<Vec<_>>());
    let rounds = summary["rounds"].as_array().map_or(&[][..], Vec::as_slice);
    add(
        "ms after the kill",
        &words(&["ready", "told p50", "back p50", "caught up", "back last", "caught up"]),
    );
    add("", &words(&["", "", "", "p50", "", "last"]));
    for round in rounds {
        let (told, back, caught_up) = (&round["told"], &round["back"], &round["caught_up"]);
        let values = [
            &round["ready_ms"],
            &told["p50_ms"],
            &back["p50_ms"],
            &caught_up["p50_ms"],
            &back["last_ms"],
            &caught_up["last_ms"],
        ];
        add(&format!("kill {}", round["round"]), &values.map(Value::clone));
    }
    add("ms from publish to delivery meanwhile", &words(&["urgent p50", "p99", "routine p50", "p99"]));
    for round in rounds {
        let (urgent, routine) = (&round["urgent"], &round["routine"]);
        let values = [&urgent["p50_ms"], &urgent["p99_ms"], &routine["p50_ms"], &routine["p99_ms"]];
        add(&format!("kill {}", round["round"]), &values.map(Value::clone));
    }
    let last = |round: &&Value| round["caught_up"]["last_ms"].as_f64().unwrap_or(f64::INFINITY);
    if let Some(slowest) = rounds.iter().max_by(|a, b| last(a).total_cmp(&last(b))) {
        add(&format!("kill {}, by then, ms", slowest["round"]), &words(&["told", "back", "caught up"]));
        for step in slowest["timeline"].as_array().map_or(&[][..], Vec::as_slice) {
            let counts = [&step["told"], &step["back"], &step["caught_up"]];
            add(&step["ms"].to_string(), &counts.map(Value::clone));
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit() -> String {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(UNIT);
        fs::read_to_string(path).expect("the unit is there")
    }

    #[test]
    fn the_packaged_unit_starts_it_again_without_a_pause() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let pause = pause(&root).expect("a pause");
        assert!(pause <= Duration::from_millis(250), "{pause:?}");
        let unit = unit();
        assert_eq!(setting(&unit, "Restart"), Some("on-failure"));
        // With a short pause the default limit of five starts is reached by a crash that repeats.
        assert_eq!(setting(&unit, "StartLimitIntervalSec"), Some("0"));
        // systemd does not forget restarts, so the pause would grow for ever.
        assert_eq!(setting(&unit, "RestartSteps"), None);
    }

    #[test]
    fn attempts_that_failed_are_told_and_why() {
        let mut round = json!({"round": 3, "ready_ms": 310.4, "caught_up": {"p50_ms": 900.0}, "again": {}});
        let all = "kill 3: ready after 310 ms, half caught up after 900, the last after -";
        assert_eq!(line(&round), all);
        round["again"] = json!({"no answer": 2});
        assert_eq!(line(&round), format!("{all}; attempts that failed: 2, no answer"));
    }

    #[test]
    fn who_is_late_or_missing_is_told() {
        let options =
            Options { idle: 1, busy: 2, kills: 2, last_s: 3.0, half_s: 1.5, engine: Engine::default() };
        let round = |last: f64, missing: u64| json!({"round": 1, "caught_up": {"p50_ms": 900.0, "last_ms": last, "missing": missing}});
        assert!(wrong(&[round(2_999.0, 0), round(2_000.0, 0)], &options).is_empty());
        assert_eq!(wrong(&[round(3_001.0, 0), round(2_000.0, 0)], &options).len(), 1);
        assert_eq!(wrong(&[round(2_000.0, 1), round(2_000.0, 0)], &options).len(), 1);
        assert_eq!(wrong(&[round(2_000.0, 0)], &options).len(), 1);
        assert_eq!(wrong(&[json!({}), json!({})], &options).len(), 6);
    }
}
