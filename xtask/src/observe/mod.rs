//! `cargo xtask observe`: watches a broker under load with a real Prometheus, and checks what an
//! operator would see.
//!
//! Starts the broker, Prometheus with the repository's rules, and the load generator with
//! `ward-chat` beside a few urgent calls. Then every query of every panel must return data and
//! every alert's rule must be evaluated; with `--faults`, three faults are made for real, and the
//! right alert must fire. Bounded in time; everything that is started ends with it.

mod cost;
mod draw;
mod faults;
mod prometheus;
pub mod rules;
mod scene;

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::cargo::Workspace;
use crate::dashboards::{self, Query};
use crate::engine::Engine;
use crate::process::{Children, Running};
use crate::{prerequisites, say};

use prometheus::Prometheus;
use scene::{load, start_broker};

/// Longest wait until every query has data: some figures come only every half minute.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_secs(3);
/// For pictures: so much is deleted meanwhile that it shows.
const SHOWING: [&str; 4] = ["--set", "retention.max=30s", "--set", "retention.reclaim_every=20s"];
/// Users for `--series`; ten in each conversation.
const USERS: &str = "100000";
/// What takes the place of Grafana's variables.
const VARIABLES: [(&str, &str); 4] =
    [("$__rate_interval", "15s"), ("$__interval", "5s"), ("$instance", ".*"), ("${datasource}", "")];

/// How to watch.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Then make three faults for real: a broker killed, readers that stall, a disk that is nearly
    /// full.
    #[arg(long)]
    faults: bool,
    /// Also take a picture of each dashboard, with Chromium, into docs/dashboards.
    #[arg(long)]
    pictures: bool,
    /// Only count the series with 10 users, and with 100,000 in 10,000 conversations.
    #[arg(long, conflicts_with_all = ["faults", "pictures"])]
    series: bool,
    /// Only measure what it costs to be watched. Eight minutes, on a machine that does nothing
    /// else.
    #[arg(long, conflicts_with_all = ["faults", "pictures", "series"])]
    cost: bool,
    /// What the broker's store lies in.
    #[arg(long, value_enum, default_value_t)]
    engine: Engine,
}

/// A dashboard as it lies in the repository.
struct Page {
    name: String,
    title: String,
    json: Value,
    queries: Vec<Query>,
}

/// Watches; whether everything was seen that should be.
///
/// # Errors
/// If it could not be tried.
pub fn run(workspace: &Workspace, options: &Options, children: &Children) -> anyhow::Result<bool> {
    if options.series {
        return series(workspace, options.engine);
    }
    let programs = workspace.programs(options.engine)?;
    prerequisites::ensure_prometheus()?;
    let mut is_right = rules::check(&workspace.root)?;
    let folder = workspace.empty_folder("observe")?;
    if options.cost {
        return cost::run(&programs, &folder, children);
    }
    let pages = pages(&workspace.root.join("grafana/dashboards"), options.engine)?;
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let flags: &[&str] = if options.pictures { &SHOWING } else { &[] };
    let (began, broker) = (Instant::now(), start_broker(&programs, &folder, any, flags, children)?);
    let http = broker.http.context("the broker serves no pages")?;
    let generator = prometheus::free_port()?;
    let watched = Prometheus::start(&workspace.root, &folder, http, generator, children)?;
    let ward =
        load(&programs, &broker, &folder, "ward-chat", &["--metrics", &generator.to_string()], children)?;
    let calls = load(&programs, &broker, &folder, "code-blue", &["--rate", "20"], children)?;
    is_right &= wait_for_data(&watched, &pages, &[&ward, &calls])?;
    is_right &= rules::tell_alerts(&watched)?;
    if options.pictures {
        sleep(prometheus::SHOWN.saturating_sub(began.elapsed()));
    }
    let pictures = options.pictures.then(|| workspace.root.join("docs/dashboards"));
    draw(&watched, &pages, &folder, pictures.as_deref())?;
    drop((ward, calls));
    if options.faults {
        is_right &= faults::run(&programs, broker, &watched, &folder, children)?;
    } else {
        broker.stop()?;
    }
    say(if is_right { "PASSED" } else { "FAILED" });
    Ok(is_right)
}

/// Has a test of the broker count the series, with many more users than in the suite; whether they
/// are the same.
fn series(workspace: &Workspace, engine: Engine) -> anyhow::Result<bool> {
    workspace.prepare(engine)?;
    let test = ["test", "--release", "--locked", "--package=wardline-broker", "--test", "metrics"];
    let build = engine.build_arguments(&[]);
    let build: Vec<&str> = build.iter().map(String::as_str).collect();
    let which = ["--", "--exact", "series::more_users_and_conversations_make_no_more_series", "--nocapture"];
    let output = workspace.output(&[&test[..], &build, &which].concat(), &[("WARDLINE_USERS", USERS)])?;
    let said = String::from_utf8_lossy(&output.stdout);
    // A test that was not found would pass as well.
    let counted = said.lines().find(|line| line.starts_with("series: "));
    if let (true, Some(counted)) = (output.status.success(), counted) {
        say(counted);
        return Ok(true);
    }
    say(&format!("{said}\n{}", String::from_utf8_lossy(&output.stderr)));
    say("FAILED");
    Ok(false)
}

/// The dashboards, but for those about another engine's own figures, and about a bridge.
fn pages(folder: &Path, engine: Engine) -> anyhow::Result<Vec<Page>> {
    let mut pages = Vec::new();
    for file in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = file?.path();
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let json: Value =
            serde_json::from_str(&text).with_context(|| format!("{}: not JSON", path.display()))?;
        let title = json["title"].as_str().unwrap_or_default().to_owned();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if name.strip_prefix(dashboards::engines::PREFIX).is_some_and(|of| of != engine.name()) {
            continue;
        }
        if name == dashboards::bridge::NAME {
            continue;
        }
        pages.push(Page { name, title, queries: dashboards::queries(&json), json });
    }
    ensure!(!pages.is_empty(), "{} has no dashboards", folder.display());
    pages.sort_by(|a, b| a.title.cmp(&b.title));
    Ok(pages)
}

/// Asks every query until all have data, or the time is over; tells what each dashboard has.
fn wait_for_data(prometheus: &Prometheus, pages: &[Page], loads: &[&Running]) -> anyhow::Result<bool> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        ensure!(
            !loads.iter().any(|load| load.has_ended()),
            "a load generator ended; its log lies beside the broker's data"
        );
        let mut empty = Vec::new();
        for page in pages {
            let mut missing = Vec::new();
            for query in &page.queries {
                if !prometheus.has_data(&substitute(&query.expression))? {
                    missing.push(query);
                }
            }
            empty.push(missing);
        }
        let is_complete = empty.iter().all(Vec::is_empty);
        if is_complete || Instant::now() > deadline {
            for (page, missing) in pages.iter().zip(&empty) {
                let (all, without) = (page.queries.len(), missing.len());
                say(&format!(
                    "{:<36} {all:>3} queries, {:>3} with data, {without:>3} empty",
                    page.title,
                    all - without
                ));
                for query in missing {
                    say(&format!("  empty: {}: {}", query.panel, query.expression));
                }
            }
            return Ok(is_complete);
        }
        sleep(LOOK_EVERY);
    }
}

/// Draws every dashboard as a page of its own, and takes a picture of it.
fn draw(
    prometheus: &Prometheus,
    pages: &[Page],
    folder: &Path,
    pictures: Option<&Path>,
) -> anyhow::Result<()> {
    // All panels over the same time, so that they can be compared.
    let (start, end) = Prometheus::shown();
    for page in pages {
        let drawing = draw::page(&page.json, (start as f64, end as f64), |target| {
            let expression = substitute(target["expr"].as_str().unwrap_or_default());
            let legend = target["legendFormat"].as_str().unwrap_or_default();
            prometheus.range(&expression, legend, (start, end))
        })?;
        let path = folder.join(format!("{}.html", page.name));
        fs::write(&path, &drawing.html).with_context(|| format!("cannot write {}", path.display()))?;
        if let Some(pictures) = pictures {
            photograph(&path, &drawing, &pictures.join(format!("{}.png", page.name)))?;
        }
    }
    say(&format!("drawn: {}", folder.join("*.html").display()));
    Ok(())
}

/// Takes a picture of a page with Chromium.
fn photograph(page: &Path, drawing: &draw::Drawing, picture: &Path) -> anyhow::Result<()> {
    let mut command = Command::new("chromium");
    // Its sandbox does not run as root, and the page is our own.
    command.args(["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]);
    command.arg(format!("--window-size={},{}", drawing.width, drawing.height));
    command.arg(format!("--screenshot={}", picture.display()));
    let output = command.arg(format!("file://{}", page.display())).output();
    let output = output.context("cannot run chromium (Debian: apt-get install chromium)")?;
    ensure!(
        output.status.success() && picture.is_file(),
        "chromium took no picture of {}: {}",
        page.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    // 256 colours: a third of the bytes.
    let status = Command::new("pngquant").args(["--force", "--ext", ".png"]).arg(picture).status();
    let status = status.context("cannot run pngquant (Debian: apt-get install pngquant)")?;
    ensure!(status.success(), "pngquant cannot make {} smaller", picture.display());
    Ok(())
}

/// An expression as Grafana would send it.
fn substitute(expression: &str) -> String {
    VARIABLES.iter().fold(expression.to_owned(), |text, (variable, value)| text.replace(variable, value))
}
