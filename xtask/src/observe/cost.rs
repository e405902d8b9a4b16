//! `cargo xtask observe --cost`: what it costs to be watched. On a machine that does nothing else;
//! tells every figure that it took.
//!
//! A page of metrics: the broker's processor time with many pages asked for, less that without, in
//! alternation under the same steady load. Metrics as a whole: durable publishes a second with the
//! pages off (nothing is recorded then) and on, in alternation, with a page asked for every five
//! seconds as Prometheus does.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::Value;

use super::scene::{load, load_for, start_broker};
use crate::broker::{Broker, Settings};
use crate::cargo::Programs;
use crate::process::Children;
use crate::say;

/// Of each: as often without as with.
const ROUNDS: usize = 7;
/// Until everybody is connected.
const SETTLE: Duration = Duration::from_secs(30);
const WINDOW: Duration = Duration::from_secs(10);
/// Pages in a window.
const PAGES: u32 = 500;
/// How often Prometheus asks.
const ASKED_EVERY: Duration = Duration::from_secs(5);
/// Most of a core for the pages, and most of the throughput for all of it.
const SHARE_MAX: f64 = 0.01;
const LOSS_MAX: f64 = 0.02;
/// Steps of `/proc`'s processor times: `sysconf(_SC_CLK_TCK)` is 100 on every Linux that Rust runs
/// on.
const TICKS_PER_S: f64 = 100.0;
const DEADLINE: Duration = Duration::from_secs(120);

/// What a broker did while it was measured.
struct Publishing {
    /// Durable publishes.
    per_s: f64,
    /// The broker's processor time for each, in microseconds.
    each_us: f64,
    /// Cores that neither the broker nor the load generator used.
    others_cores: f64,
}

/// Measures; whether both are within their bounds.
///
/// # Errors
/// If it could not be measured.
pub(super) fn run(programs: &Programs, folder: &Path, children: &Children) -> anyhow::Result<bool> {
    let scrape = scrape(programs, folder, children)?;
    let share = scrape.max(0.0) / ASKED_EVERY.as_secs_f64();
    say(&format!(
        "a page of metrics takes {:.2} ms of processor time: {:.3} % of a core at one every {} s (at most {:.0} %)",
        scrape * 1e3,
        share * 100.0,
        ASKED_EVERY.as_secs(),
        SHARE_MAX * 100.0
    ));
    let (mut off, mut on) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        // Each goes first as often as it can, so that neither has the cooler machine.
        for is_on in [round % 2 == 1, round % 2 == 0] {
            let run = throughput(programs, folder, is_on, children)?;
            say(&format!(
                "metrics {:3}: {:.0} durable publishes/s, {:.2} µs of the broker's processor time each; others used {:.2} cores",
                if is_on { "on" } else { "off" },
                run.per_s,
                run.each_us,
                run.others_cores
            ));
            if is_on { &mut on } else { &mut off }.push(run);
        }
    }
    // Round by round: what changes on the machine meanwhile changes both of a round.
    let change = |of: fn(&Publishing) -> f64| -> Vec<f64> {
        off.iter().zip(&on).map(|(off, on)| of(on) / of(off) - 1.0).collect()
    };
    let (rates, times) = (change(|run| run.per_s), change(|run| run.each_us));
    let loss = -median(rates.clone());
    say(&format!(
        "with metrics, round by round: publishes/s {rates:+.3?}, processor time of each {times:+.3?}; \
         medians: {:.1} % of the throughput lost (at most {:.0} %), {:+.1} % processor time",
        loss * 100.0,
        LOSS_MAX * 100.0,
        median(times.clone()) * 100.0
    ));
    Ok(share <= SHARE_MAX && loss <= LOSS_MAX)
}

/// Processor time for a page of metrics while a ward chats, in seconds.
fn scrape(programs: &Programs, folder: &Path, children: &Children) -> anyhow::Result<f64> {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let broker = start_broker(programs, folder, any, &[], children)?;
    let http = broker.http.context("the broker serves no pages")?;
    let _ward = load(programs, &broker, folder, "ward-chat", &[], children)?;
    sleep(SETTLE);
    let (mut quiet, mut asked) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        quiet.push(spent(&broker, |_| Ok(()))?);
        asked.push(spent(&broker, |_| ask(http))?);
    }
    say(&format!(
        "broker, cores without pages: {quiet:.3?}; with {PAGES} in {} s: {asked:.3?}",
        WINDOW.as_secs()
    ));
    Ok((median(asked) - median(quiet)) * WINDOW.as_secs_f64() / f64::from(PAGES))
}

/// The cores that a broker uses while something is done evenly over a window.
fn spent(broker: &Broker, mut each: impl FnMut(u32) -> anyhow::Result<()>) -> anyhow::Result<f64> {
    let (began, before) = (Instant::now(), processor_s(broker.id())?);
    for number in 0..PAGES {
        sleep((WINDOW / PAGES * number).saturating_sub(began.elapsed()));
        each(number)?;
    }
    sleep(WINDOW.saturating_sub(began.elapsed()));
    Ok((processor_s(broker.id())? - before) / began.elapsed().as_secs_f64())
}

fn ask(http: SocketAddr) -> anyhow::Result<()> {
    let page = ureq::get(format!("http://{http}/metrics")).call()?.body_mut().read_to_string()?;
    ensure!(page.contains("wardline_build_info"), "that is no page of metrics");
    Ok(())
}

/// As many durable publishes as a fresh broker takes.
fn throughput(
    programs: &Programs,
    folder: &Path,
    is_on: bool,
    children: &Children,
) -> anyhow::Result<Publishing> {
    let folder = folder.join("throughput");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    let (data, out) = (folder.join("data"), folder.join("result"));
    fs::create_dir_all(&data).with_context(|| format!("cannot make {}", data.display()))?;
    let broker = if is_on {
        start_broker(programs, &folder, SocketAddr::from(([127, 0, 0, 1], 0)), &[], children)?
    } else {
        let (program, engine) = (programs.wardline.clone(), programs.engine);
        let settings = Settings { program, engine, data, log: folder.join("broker.log") };
        Broker::start(settings, children)?
    };
    ensure!(broker.http.is_some() == is_on, "the broker's pages are not as asked for");
    let out_text = out.to_string_lossy().into_owned();
    let arguments = ["--warmup", "3s", "--duration", "15s", "--repeat", "1", "--out", &out_text];
    let generator = load_for(programs, &broker, &folder, "max-publish", &arguments, children)?;
    let (began, mut asked) = (Instant::now(), 0);
    while !generator.has_ended() {
        ensure!(began.elapsed() < DEADLINE, "the load generator does not end");
        if let Some(http) = broker.http.filter(|_| began.elapsed() >= ASKED_EVERY * asked) {
            ask(http)?;
            asked += 1;
        }
        sleep(Duration::from_millis(100));
    }
    let path = out.join("result.json");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let result: Value =
        serde_json::from_str(&text).with_context(|| format!("{}: not JSON", path.display()))?;
    ensure!(result["verdict"]["passed"] == true, "the load generator says: {}", result["verdict"]);
    broker.stop()?;
    let repeat = &result["repeats"][0];
    let figure =
        |path: &str| repeat.pointer(path).and_then(Value::as_f64).with_context(|| format!("no {path}"));
    Ok(Publishing {
        per_s: figure("/rates/acked_per_s")?,
        each_us: figure("/broker/cpu_s")? / figure("/counts/acked")? * 1e6,
        others_cores: figure("/others_cores")?,
    })
}

/// Processor time of a process and its threads so far, in seconds.
fn processor_s(process: u32) -> anyhow::Result<f64> {
    let path = format!("/proc/{process}/stat");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    // The program's name may have spaces; behind it the 12th and 13th are user and system time
    // (proc(5)).
    let fields: Vec<&str> = text.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks = |field: usize| fields.get(field).and_then(|text| text.parse::<f64>().ok());
    let (user, system) = ticks(11).zip(ticks(12)).with_context(|| format!("{path} is not as expected"))?;
    Ok((user + system) / TICKS_PER_S)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
