//! `serve` and `check-config`: from configuration to a running broker, and from a signal to its
//! end.
//!
//! Everything that can be wrong is said before the first client can connect. The line on stdout
//! comes once clients can; programs wait for it.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use rustix::process::{getpriority_process, setpriority_process};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use wardline_broker::access::auth::{LeftOut, Verifier};
use wardline_broker::access::provider;
use wardline_broker::broker::{Broker, Ended};
use wardline_broker::config::{Config, Setting};
use wardline_broker::dev::{self, Dev};
use wardline_broker::edge::tls::{self, Validity};
use wardline_broker::operator::admin::{self, Admin};
use wardline_broker::operator::http::{Http, HttpError};
use wardline_broker::operator::logout::Door;
use wardline_broker::operator::private::{self, Content};
use wardline_broker::operator::reload::{self, Fresh, Loaded, Reloader};
use wardline_broker::operator::text_log::{self, Format, Levels};
use wardline_broker::settings::Tls;
use wardline_storage::ballast::opening::Opened;
use wardline_storage::engine::Engine;
use wardline_storage::format;
use wardline_storage::id::Timestamp;
use wardline_storage::log::Starter;

use super::engines::{Chosen, Engines};
use super::failure::{self, Failure};
use super::issuers;
use super::open_files;
use super::report::{announce, report};

/// A certificate that ends sooner than this is worth a warning.
const CERTIFICATE_WARNING: Duration = Duration::from_secs(14 * 86_400);
/// Longest wait for the last ones who use the store, once the broker has stopped.
const CLOSE_PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    configuration: Configuration,
    /// How the log on stderr is written.
    #[arg(long, value_enum, default_value_t = LogFormat::Human)]
    log_format: LogFormat,
}

#[derive(Debug, Args)]
pub(super) struct CheckConfig {
    #[command(flatten)]
    configuration: Configuration,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogFormat {
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

impl From<LogFormat> for Format {
    fn from(format: LogFormat) -> Self {
        match format {
            LogFormat::Human => Self::Human,
            LogFormat::Json => Self::Json,
        }
    }
}

/// Where the configuration comes from: file, then environment (`WARDLINE_<SECTION>_<KEY>`), then
/// flags.
#[derive(Debug, Args)]
pub(super) struct Configuration {
    /// For trying out: makes a certificate and keys of its own in the data folder, listens on this
    /// machine only.
    #[arg(long)]
    dev: bool,
    /// With --dev: lets other machines reach a broker whose keys protect nothing.
    #[arg(long, requires = "dev")]
    dev_remote: bool,
    /// The configuration file; `wardline.toml` in the sources has every key.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Sets storage.path, the data folder.
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    /// Sets listen.address, the IP address and UDP port for clients.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Sets any key, for example --set limits.payload=32KiB.
    #[arg(long, value_name = "SECTION.KEY=VALUE")]
    set: Vec<String>,
}

impl Configuration {
    /// Whether it is for trying out.
    pub(super) fn dev(&self) -> bool {
        self.dev
    }

    /// Everything but the keys, which not every command needs.
    pub(super) fn layered(&self) -> anyhow::Result<Config> {
        let base = if self.dev { Config::dev() } else { Config::default() };
        let mut flags: Vec<_> = self.set.iter().cloned().map(Setting::Set).collect();
        let own = [("--data", "storage.path", &self.data), ("--listen", "listen.address", &self.listen)];
        for (flag, key, value) in own {
            flags.extend(value.clone().map(|value| Setting::Flag { flag, key, value }));
        }
        let environment = std::env::vars_os()
            .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()));
        Ok(base.layered(self.config.as_deref(), environment, &flags)?)
    }

    fn load(&self) -> anyhow::Result<Config> {
        let mut config = self.layered()?;
        if !self.dev {
            config.require_keys()?;
            return Ok(config);
        }
        config.refuse_keys()?;
        if !self.dev_remote {
            config.refuse_remote()?;
        }
        let keys = Dev::of(&config.storage_path);
        config.tls_certificate = keys.certificate();
        config.tls_key = keys.key();
        config.auth_jwks = keys.jwks();
        config.auth_issuer = dev::ISSUER.into();
        Ok(config)
    }
}

/// Says whether the broker could start: reads all that `serve` reads, but for the data.
pub(super) fn check_config(arguments: &CheckConfig, engines: Engines) -> anyhow::Result<()> {
    let config = arguments.configuration.load()?;
    engines.choose(&config.storage_engine)?;
    let mut out = report();
    if arguments.configuration.dev {
        // Its files are made by `serve`.
        writeln!(out, "the configuration is good (development keys)")?;
        return Ok(());
    }
    let (tls, verifier) = credentials(&config)?;
    let tried = issuers::try_all(&config)?;
    let fetched = tried.iter().filter_map(|(_, tried)| tried.as_ref().ok()).map(|fetched| &fetched.verifier);
    let count: usize = verifier.iter().chain(fetched).map(Verifier::keys).sum();
    writeln!(out, "the configuration is good ({count} token key{})", if count == 1 { "" } else { "s" })?;
    if let Some(verifier) = &verifier {
        tell_keys(&mut out, verifier, "auth.jwks")?;
    }
    for (name, tried) in &tried {
        match tried {
            Ok(fetched) => tell_keys(&mut out, &fetched.verifier, &format!("the key set of issuer {name}"))?,
            Err(error) => writeln!(out, "but issuer {name} cannot be used now: {error}")?,
        }
    }
    match tls::validity(&tls.chain, since_epoch() + CERTIFICATE_WARNING) {
        Validity::Valid => Ok(()),
        _ => {
            let path = config.tls_certificate.display();
            Ok(writeln!(
                out,
                "but the certificate {path} is not valid, or not for another 14 days: renew it"
            )?)
        }
    }
}

fn tell_keys(out: &mut impl std::io::Write, verifier: &Verifier, of: &str) -> anyhow::Result<()> {
    for name in verifier.names() {
        writeln!(out, "token key: {name}")?;
    }
    for left_out in verifier.left_out() {
        writeln!(out, "but an entry of {of} is left out: {left_out}")?;
    }
    Ok(())
}

/// Runs the broker until it is told to stop, or its store fails.
pub(super) fn serve(arguments: Arguments, engines: Engines, log: &'static dyn Starter) -> anyhow::Result<()> {
    let config = arguments.configuration.load()?;
    let chosen = engines.choose(&config.storage_engine)?;
    let (levels, _last_lines) = text_log::start(arguments.log_format.into(), &filter(&config))?;
    open_files::allow()?;
    keep_private(&config, arguments.configuration.dev, chosen, engines)?;
    let (opened, loaded) = if arguments.configuration.dev {
        // The engine's lock keeps a second broker from touching the keys of the first.
        let opened = open(&config, chosen)?;
        Dev::of(&config.storage_path).prepare(now())?;
        tracing::warn!(
            code = "development-keys",
            "DEVELOPMENT KEYS: whoever can read the data folder can be anybody; never use --dev in production"
        );
        (opened, files(&config).load()?)
    } else {
        // What is wrong is said before the store is opened, which may take long; what is changed
        // meanwhile, such as a key that is taken out of the set, is seen before anybody comes.
        let loaded = files(&config).load()?;
        let opened = open(&config, chosen)?;
        (opened, loaded.again(&files(&config)))
    };
    warn_about(&loaded.tls);
    reload::tell_left_out(&[], loaded.verifier.as_ref().map_or(&[], Verifier::left_out));
    let providers = issuers::of(&config)?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().on_thread_start(give_way()).build()?;
    let store = Arc::clone(&opened.engine);
    let ended =
        runtime.block_on(run(arguments.configuration, config, (loaded, providers), (opened, log), levels));
    // What is left by now has had its time.
    runtime.shutdown_timeout(Duration::from_millis(500));
    close(store);
    match ended? {
        Ended::Stopped => Ok(()),
        Ended::StorageFailed(why) => Err(Failure::Storage(why).into()),
    }
}

/// Sees to it that nobody else can look into the data folder, before anything is put there.
fn keep_private(config: &Config, is_dev: bool, chosen: Chosen, engines: Engines) -> anyhow::Result<()> {
    let data = &config.storage_path;
    if is_dev {
        private::make(data).context("the data folder cannot be used")?;
    } else if !chosen.keeps_files() {
        return Ok(());
    }
    let is_ours = engines.find_store(data) || (is_dev && Dev::of(data).is_there());
    let content = if is_ours { Content::Ours } else { Content::Unknown };
    Ok(private::narrow(data, content)?)
}

/// Closes the store in this thread. The last to let go of it closes it, and must not do so beside
/// the end of `main`, which takes away what the engine stands on.
fn close(store: Arc<dyn Engine>) {
    let deadline = Instant::now() + CLOSE_PATIENCE;
    while Arc::strong_count(&store) > 1 {
        if Instant::now() >= deadline {
            tracing::warn!(code = "store-in-use", "the store is still in use and ends without being closed");
            return std::mem::forget(store);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Lets the committer go first where they share a core with it, the threads of sessions and those
/// that flush and compact: everybody waits for it, and it waits for the disk, after which it would
/// otherwise stand behind those that have more to do. Flushes must not stand behind sessions
/// either, or commits would wait for them.
///
/// The priority is told, not lowered: a thread begins with that of the one that started it, which
/// has given way already.
fn give_way() -> impl Fn() + Send + Sync + 'static {
    const NICER_BY: i32 = 5;
    let own = getpriority_process(None);
    move || {
        if let Err(error) = own.and_then(|own| setpriority_process(None, own + NICER_BY)) {
            tracing::debug!(code = "same-priority", %error, "other threads keep the committer's priority");
        }
    }
}

async fn run(
    configuration: Configuration,
    config: Config,
    (loaded, providers): (Loaded, Vec<provider::Config>),
    (Opened { engine, ballast }, log): (Opened, &'static dyn Starter),
    levels: Levels,
) -> anyhow::Result<Ended> {
    // Before the broker, so that a signal that comes while it starts is not lost.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let seen = loaded.seen();
    let Loaded { tls, verifier, .. } = loaded;
    let (certificate, shown) = watch::channel(tls.clone());
    let pages = bind_pages(&config, configuration.dev, shown.clone(), &levels).await?;
    let logout = match config.logout_listen {
        Some(address) => Some(Door::bind(address, shown).await?),
        None => None,
    };
    tokio::spawn(follow_filter(configuration, levels));
    let (name, data) = (engine.name(), engine.folder().map(Path::to_owned));
    let hangup = signal(SignalKind::hangup())?;
    let (files, notice) = (files(&config), config.stop_notice);
    let (door, closing) = (data.as_deref().and_then(open_door), CancellationToken::new());
    let lent = Arc::clone(&engine);
    let left_out = verifier.as_ref().map_or(&[][..], Verifier::left_out).to_vec();
    let settings = config.into_settings(tls, verifier.map(Arc::new), providers, data.as_deref(), ballast);
    let broker = Broker::start(settings, engine, log).await.context(
        "the broker cannot start; if the address is in use, stop the other process or choose another with --listen",
    )?;
    // Before, the store may not have an identity yet: who knocked meanwhile was let wait.
    let door = door.map(|door| tokio::spawn(door.run(lent, Some(broker.revoker()), closing.clone())));
    let address = broker.address();
    let put = put(broker.reloader(), certificate, left_out);
    tokio::spawn(reload::watch(files, seen, hangup, reload::LOOK_EVERY, closing.clone(), put));
    let readiness = broker.readiness(data);
    // Served to the end, so that whoever asks hears that the broker is stopping.
    let shown = pages.as_ref().map(|pages| format!("http on {}\n", pages.address())).unwrap_or_default();
    let logout_on = logout.as_ref().map(|door| format!("logout tokens on {}\n", door.address()));
    let shown = shown + &logout_on.unwrap_or_default();
    let _door = logout.map(|door| door.open(broker.sign_outs()));
    let _serving = pages.map(|pages| pages.serve(readiness));
    tracing::info!(code = "ready", %address, engine = name, version = env!("CARGO_PKG_VERSION"), "ready");
    announce(format!("{shown}listening on {address}\n"));
    let why = tokio::select! {
        why = broker.failed() => Some(why),
        _ = terminate.recv() => None,
        _ = interrupt.recv() => None,
    };
    if why.is_none() {
        tracing::info!(code = "told-to-stop", "told to stop");
        broker.drain(notice).await;
    }
    let ended = broker.stop().await;
    closing.cancel();
    if let Some(door) = door {
        // A panic there is logged by whoever panics; the broker has stopped all the same.
        let _ = door.await;
    }
    Ok(why.map_or(ended, Ended::StorageFailed))
}

/// Puts in force what was read anew; `left_out` was told of before.
fn put(
    reloader: Reloader,
    certificate: watch::Sender<Tls>,
    mut left_out: Vec<LeftOut>,
) -> impl FnMut(Fresh) -> Result<(), rustls::Error> {
    move |fresh| {
        match fresh {
            Fresh::Certificate(tls) => {
                warn_about(&tls);
                reloader.replace_certificate(&tls)?;
                certificate.send_replace(tls);
            }
            Fresh::Keys(verifier) => {
                reload::tell_left_out(&left_out, verifier.left_out());
                left_out = verifier.left_out().to_vec();
                reloader.replace_keys(verifier);
            }
        }
        Ok(())
    }
}

/// Opens the operator's door in the data folder. Without it the broker serves all the same.
fn open_door(data: &Path) -> Option<Admin> {
    Admin::open(data)
        .inspect_err(|error| {
            let path = data.join(admin::SOCKET);
            tracing::error!(
                code = "admin-closed", path = %path.display(), %error,
                "the operator's socket cannot be opened: no backup can be made while the broker runs"
            );
        })
        .ok()
}

fn open(config: &Config, chosen: Chosen) -> anyhow::Result<Opened> {
    // The engine's own threads begin with the priority of the one that opens it.
    let give_way = give_way();
    let opened = std::thread::scope(|scope| {
        let opening = std::thread::Builder::new().name("engine".to_owned()).spawn_scoped(scope, || {
            give_way();
            chosen.open_to_serve(config)
        });
        opening.map(|opening| opening.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    });
    let opened = opened.context("cannot start a thread")??;
    let engine = &opened.engine;
    format::check(engine.as_ref()).with_context(|| match engine.folder() {
        Some(folder) => format!("the data folder {} cannot be used", folder.display()),
        None => format!("the {} engine cannot be used", engine.name()),
    })?;
    Ok(opened)
}

pub(super) fn credentials(config: &Config) -> anyhow::Result<(Tls, Option<Verifier>)> {
    let Loaded { tls, verifier, .. } = files(config).load()?;
    Ok((tls, verifier))
}

fn files(config: &Config) -> reload::Files {
    reload::Files {
        certificate: config.tls_certificate.clone(),
        key: config.tls_key.clone(),
        jwks: config.jwks(),
        expected: config.expected(),
    }
}

fn warn_about(tls: &Tls) {
    match tls::validity(&tls.chain, since_epoch()) {
        Validity::Expired => {
            tracing::warn!(
                code = "certificate-expired",
                "the server's certificate has expired: clients will refuse it; renew it"
            )
        }
        Validity::NotYet => {
            tracing::warn!(
                code = "certificate-early",
                "the server's certificate is not valid yet: check it, and this clock"
            )
        }
        Validity::Valid => {
            if tls::validity(&tls.chain, since_epoch() + CERTIFICATE_WARNING) == Validity::Expired {
                tracing::warn!(
                    code = "certificate-expires",
                    "the server's certificate expires within 14 days: renew it"
                );
            }
        }
    }
}

/// Binds the pages for operators, if they are on, and begins to record metrics.
async fn bind_pages(
    config: &Config,
    is_dev: bool,
    tls: watch::Receiver<Tls>,
    levels: &Levels,
) -> anyhow::Result<Option<Http>> {
    let Some(address) = config.http_listen else { return Ok(None) };
    let tls = config.http_remote.then_some(tls);
    let pages = match Http::bind(address, tls.clone()).await {
        // Of several that are tried out beside each other, one gets the usual address.
        Err(HttpError::Listen { source, .. })
            if is_dev && config.http_listen == Config::dev().http_listen =>
        {
            tracing::info!(code = "http-elsewhere", %address, error = %source, "http is served on a free port instead");
            Http::bind(SocketAddr::new(address.ip(), 0), tls).await?
        }
        pages => pages?,
    };
    levels.record();
    Ok(Some(pages))
}

/// On SIGHUP, reads the log's filter anew.
async fn follow_filter(configuration: Configuration, levels: Levels) -> anyhow::Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    while hangup.recv().await.is_some() {
        let read = configuration.load().and_then(|config| {
            let filter = filter(&config);
            levels.reload(&filter)?;
            Ok(filter)
        });
        match read {
            Ok(filter) => tracing::info!(code = "log-filter", filter, "the log's filter is read"),
            Err(error) => {
                let error = failure::told(&error);
                tracing::error!(code = "log-filter-bad", error, "the log's filter stays as it was");
            }
        }
    }
    Ok(())
}

/// What is logged: as the variable says, or else the configuration.
fn filter(config: &Config) -> String {
    std::env::var(text_log::VARIABLE).unwrap_or_else(|_| config.log_filter.clone())
}

pub(super) fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// The time by this machine's clock.
pub(super) fn now() -> Timestamp {
    Timestamp(u64::try_from(since_epoch().as_millis()).unwrap_or(u64::MAX))
}
