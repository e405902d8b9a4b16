//! `serve`, `check` and `check-config`: from configuration to a running bridge, and from a signal
//! to its end.
//!
//! The lines on stdout come once senders can connect; programs wait for them.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use wardline_ehr::bridge::{self, Bridge};
use wardline_ehr::certificates::{self, Certificate};
use wardline_ehr::check::{self, Verdict};
use wardline_ehr::config::{Config, Setting};
use wardline_ehr::pages::{self, Pages, Readiness, Serving};
use wardline_ehr::text_log::{self, Format, Levels};
use wardline_ehr::token::Tokens;

use super::told::told;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    configuration: Configuration,
    /// How the log on stderr is written.
    #[arg(long, value_enum, default_value_t = LogFormat::Human)]
    log_format: LogFormat,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogFormat {
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

// Where the configuration comes from: file, then environment (`WARDLINE_EHR_<SECTION>_<KEY>`), then
// flags. No text of the help, which the command has.
#[derive(Clone, Debug, Args)]
pub(super) struct Configuration {
    /// The configuration file; `wardline-ehr.toml` in the sources has every key.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Sets any key, for example --set senders.his.listen=127.0.0.1:2575.
    #[arg(long, value_name = "SECTION.KEY=VALUE")]
    set: Vec<String>,
}

impl Configuration {
    fn load(&self) -> anyhow::Result<Config> {
        let flags: Vec<_> = self.set.iter().cloned().map(Setting).collect();
        let environment = std::env::vars_os()
            .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()));
        let config = Config::default().layered(self.config.as_deref(), environment, &flags)?;
        config.require_keys()?;
        Ok(config)
    }
}

/// Says whether the bridge could start: reads all that `serve` reads.
pub(super) fn check_config(configuration: &Configuration) -> anyhow::Result<bool> {
    let config = configuration.load()?;
    bridge::options(&config, Tokens::of(&config)?)?;
    for (name, sender) in &config.senders {
        if let Some(files) = bridge::files(name, sender) {
            files.load().with_context(|| format!("[senders.{name}]"))?;
        }
    }
    if let Some(files) = bridge::page_files(&config) {
        files.load().context("[http]")?;
    }
    announce("the configuration is right\n");
    Ok(true)
}

/// Tries all that `serve` needs.
pub(super) fn check(configuration: &Configuration) -> anyhow::Result<bool> {
    let config = configuration.load()?;
    let found = runtime()?.block_on(check::run(&config));
    let lines: String = found.iter().map(|finding| format!("{finding}\n")).collect();
    announce(&lines);
    Ok(found.iter().all(|finding| finding.verdict != Verdict::Bad))
}

/// Runs the bridge.
pub(super) fn serve(arguments: &Arguments) -> anyhow::Result<bool> {
    let config = arguments.configuration.load()?;
    // Before anybody resolves a handle.
    let recorded = config.http_listen.map(|_| pages::record()).transpose()?;
    let format = match arguments.log_format {
        LogFormat::Human => Format::Human,
        LogFormat::Json => Format::Json,
    };
    let (levels, _last_lines) = text_log::start(format, &filter(&config))?;
    let runtime = runtime()?;
    let is_done = runtime.block_on(run(&arguments.configuration, &config, recorded, Arc::new(levels)))?;
    // What is left by now has had its time.
    runtime.shutdown_timeout(std::time::Duration::from_millis(500));
    Ok(is_done)
}

async fn run(
    configuration: &Configuration,
    config: &Config,
    recorded: Option<PrometheusHandle>,
    levels: Arc<Levels>,
) -> anyhow::Result<bool> {
    // Before all else, so that a signal that comes meanwhile is not lost.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (pages, certificate) = match config.http_listen {
        Some(address) => bind_pages(config, address).await?,
        None => (None, None),
    };
    let bridge = Bridge::start(config).await?;
    let shown = pages.as_ref().map(|pages| format!("http on {}\n", pages.address())).unwrap_or_default();
    let _serving = serve_pages(pages, recorded, &bridge, Arc::clone(&levels));
    tokio::spawn(certificates::look_after(certificate.into_iter().collect(), bridge.stopping()));
    tokio::spawn(follow(configuration.clone(), levels));
    let senders: String = bridge
        .senders()
        .iter()
        .map(|(name, address)| format!("listening for {name} on {address}\n"))
        .collect();
    tracing::info!(code = "ready", version = env!("CARGO_PKG_VERSION"), "senders can connect");
    announce(&format!("{shown}{senders}"));
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!(code = "told-to-stop", "told to stop");
    let is_done = bridge.stop(config.stop_deadline).await;
    tracing::info!(code = "stopped", "stopped");
    Ok(is_done)
}

async fn bind_pages(
    config: &Config,
    address: SocketAddr,
) -> anyhow::Result<(Option<Pages>, Option<Certificate>)> {
    let certificate = bridge::page_files(config).map(Certificate::load).transpose().context("[http]")?;
    let pages = Pages::bind(address, certificate.as_ref().map(Certificate::watch)).await?;
    Ok((Some(pages), certificate))
}

fn serve_pages(
    pages: Option<Pages>,
    recorded: Option<PrometheusHandle>,
    bridge: &Bridge,
    levels: Arc<Levels>,
) -> Option<Serving> {
    let process = metrics_process::Collector::default();
    process.describe();
    let readiness = Readiness::new(bridge.wrong(), bridge.stopping());
    let stands = readiness.clone();
    Some(pages?.serve(recorded?, readiness, move || {
        process.collect();
        levels.tell();
        stands.tell();
    }))
}

/// On SIGHUP, reads the log's filter anew.
async fn follow(configuration: Configuration, levels: Arc<Levels>) {
    let Ok(mut hangup) = signal(SignalKind::hangup()) else { return };
    while hangup.recv().await.is_some() {
        let read = configuration.load().and_then(|config| Ok(levels.reload(&filter(&config))?));
        match read {
            Ok(()) => tracing::info!(code = "log-filter", "the log's filter is read"),
            Err(error) => {
                let error = told(&error);
                tracing::error!(code = "log-filter-bad", error, "the log's filter stays as it was");
            }
        }
    }
}

/// What is logged: as the variable says, or else the configuration.
fn filter(config: &Config) -> String {
    std::env::var(text_log::VARIABLE).unwrap_or_else(|_| config.log_filter.clone())
}

fn runtime() -> anyhow::Result<Runtime> {
    Ok(Builder::new_multi_thread().enable_all().build()?)
}

/// Tells on stdout. Whoever does not read it is no reason to end.
fn announce(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
