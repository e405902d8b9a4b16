//! `doctor`: looks at a host and a data folder as an experienced operator would, and says what to
//! change.
//!
//! One line a check: ok, warn or bad, what was found, what to do. Changes nothing, but for a small
//! file that it writes, syncs and removes to time the disk, and for opening the store once if no
//! broker runs. Exit code 1 if anything is bad.

use std::fs::{self, File, Metadata};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::bail;
use clap::Args;
use rustix::process::geteuid;
use wardline_broker::access::provider::{Fetched, ProviderError};
use wardline_broker::config::Config;
use wardline_broker::edge::tls::{self, Validity};
use wardline_broker::limits::Limits;
use wardline_broker::operator::admin;
use wardline_storage::ballast::Ballast;
use wardline_storage::{format, room};

use super::engines::{Chosen, Engines};
use super::failure;
use super::issuers;
use super::open_files::{self, OPEN_FILES_MIN};
use super::report::report;
use super::serve::{self, Configuration};
use super::state_hash;

/// What the broker asks the kernel for.
const SOCKET_BUFFER_BYTES: u64 = 4 << 20;
/// Each commit waits for one sync.
const SYNC_WARN: Duration = Duration::from_millis(20);
const SYNC_BAD: Duration = Duration::from_millis(200);
/// No disk that keeps anything is so fast.
const SYNC_UNBELIEVABLE: Duration = Duration::from_micros(5);
const SYNCS: usize = 100;
/// A certificate that ends sooner is worth a warning.
const CERTIFICATE_WARNING: Duration = Duration::from_secs(14 * 86_400);

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    configuration: Configuration,
    /// Prints the hash of the state, table by table, and how far it has come; checks nothing else.
    /// The data folder may be a backup's. Stores that applied the same commands have the same.
    #[arg(long)]
    state_hash: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Grade {
    Ok,
    Warn,
    Bad,
}

use Grade::{Bad, Ok as Fine, Warn};

/// What one check found: how it is, what was seen, what to do.
type Finding = (Grade, String);

/// Goes through all checks.
pub(super) fn run(arguments: &Arguments, engines: Engines) -> anyhow::Result<()> {
    let config = arguments.configuration.layered()?;
    if arguments.state_hash {
        return state_hash::print(&config, engines);
    }
    let chosen = engines.choose(&config.storage_engine)?;
    let mut checks: Vec<(&str, Finding)> = vec![
        ("open files", open_files()),
        ("udp receive buffer", socket_buffer("rmem_max")),
        ("udp send buffer", socket_buffer("wmem_max")),
        ("clock", clock()),
        ("limits", (Fine, limits(&config.limits))),
        ("shares", (Fine, shares(&config.limits))),
    ];
    if !arguments.configuration.dev() {
        checks.push(("keys", keys(&config)));
        // One that is not set is named by the check of the keys.
        if !config.tls_key.as_os_str().is_empty() {
            checks.push(("key file", key_file(&config.tls_key)));
        }
        checks.extend(issuers(&config)?.into_iter().map(|finding| ("issuer", finding)));
    }
    if chosen.keeps_files() {
        let data = &config.storage_path;
        checks.push(("data folder", data_folder(data)));
        match nearest(data) {
            Ok(folder) => checks.extend([
                ("file system", file_system(&folder)),
                ("disk room", disk_room(&folder, config.storage_reserve_bytes)),
                ("ballast", ballast(&config)),
                ("disk sync", disk_sync(&folder)),
            ]),
            Err(error) => checks.push(("disk", cannot_be_read(data, &error))),
        }
        checks.push(("store", store(&config, chosen)));
    }
    let mut out = report();
    for (name, (verdict, text)) in &checks {
        let verdict = match verdict {
            Fine => "ok  ",
            Warn => "warn",
            Bad => "BAD ",
        };
        writeln!(out, "{verdict}  {name}: {text}")?;
    }
    match checks.iter().filter(|(_, (verdict, _))| *verdict == Bad).count() {
        0 => Ok(()),
        bad => bail!("{bad} of {} checks are bad; see above what to do", checks.len()),
    }
}

/// What cannot be read cannot be called good.
fn cannot_be_read(path: &Path, error: &io::Error) -> Finding {
    (Bad, format!("{} cannot be read: {error}; run this as the broker's user", path.display()))
}

/// What holds for all together, as far as it takes memory or time.
fn limits(limits: &Limits) -> String {
    let mib = |bytes: usize| bytes >> 20;
    format!(
        "{} connections; in memory {} MiB of answers, {} MiB of recent messages, {} MiB of commands ({}); \
         {} reads at a time for each purpose",
        limits.connections_max,
        mib(limits.pages_bytes_max),
        mib(limits.tails_bytes_max),
        mib(limits.waiting_bytes_max),
        limits.waiting_commands_max,
        limits.catch_up_reads_max,
    )
}

/// What one user, and one tenant, may have of it.
fn shares(limits: &Limits) -> String {
    let own: Vec<String> =
        limits.tenant_percents.iter().map(|(name, percent)| format!("{name} {percent}%")).collect();
    format!(
        "a user: {} sessions, {} reads in hand that cost {} a second, {} KiB of answers, {} commands waiting \
         ({} KiB), requests that cost {} a second, {} people brought in and {} an hour; a tenant: {}% of all{}{}",
        limits.principal_sessions_max,
        limits.principal_reads_max,
        limits.principal_read_cost,
        limits.principal_pages_bytes_max >> 10,
        limits.principal_commands_max,
        limits.principal_bytes_max >> 10,
        limits.principal_work,
        limits.principal_people_max,
        limits.principal_people_per_hour,
        limits.tenant_percent,
        if own.is_empty() { "" } else { ", but " },
        own.join(", "),
    )
}

fn open_files() -> Finding {
    match open_files::allowed() {
        Some(limit) if limit < OPEN_FILES_MIN => (
            Bad,
            format!(
                "{limit} allowed in this shell; at least {OPEN_FILES_MIN}: ulimit -Hn, LimitNOFILE= in a unit"
            ),
        ),
        limit => (Fine, limit.map_or("not limited".into(), |limit| format!("{limit} allowed in this shell"))),
    }
}

fn socket_buffer(name: &str) -> Finding {
    let path = format!("/proc/sys/net/core/{name}");
    let Some(bytes) = fs::read_to_string(&path).ok().and_then(|text| text.trim().parse::<u64>().ok()) else {
        return (Warn, format!("{path} cannot be read; set net.core.{name} = {SOCKET_BUFFER_BYTES}"));
    };
    if bytes >= SOCKET_BUFFER_BYTES {
        return (Fine, format!("net.core.{name} = {bytes}"));
    }
    let text = format!(
        "net.core.{name} = {bytes}: packets are lost under bursts; sysctl -w net.core.{name}={SOCKET_BUFFER_BYTES}, \
         and a line in /etc/sysctl.d/ for the next start"
    );
    (Warn, text)
}

/// The kernel knows whether a daemon keeps its clock; systemd tells.
fn clock() -> Finding {
    if Path::new("/run/systemd/timesync/synchronized").exists() {
        return (Fine, "kept by systemd-timesyncd".into());
    }
    let asked = Command::new("timedatectl").args(["show", "--property=NTPSynchronized", "--value"]).output();
    let said = asked.ok().filter(|output| output.status.success());
    match said.as_ref().map(|output| output.stdout.trim_ascii()) {
        Some(b"yes") => (Fine, "synchronised".into()),
        Some(b"no") => {
            (Bad, "not synchronised: tokens and retention go by it; start chrony or systemd-timesyncd".into())
        }
        _ => {
            (Warn, "cannot be told here; make sure that chrony or systemd-timesyncd runs on this host".into())
        }
    }
}

fn keys(config: &Config) -> Finding {
    if let Err(error) = config.require_keys() {
        return (Bad, error.to_string());
    }
    let (tls, verifier) = match serve::credentials(config) {
        Ok(credentials) => credentials,
        Err(error) => return (Bad, failure::told(&error)),
    };
    let now = serve::since_epoch();
    match (tls::validity(&tls.chain, now), tls::validity(&tls.chain, now + CERTIFICATE_WARNING)) {
        (Validity::Expired, _) => {
            (Bad, "the certificate has expired: renew it; a running broker takes it by itself".into())
        }
        (Validity::NotYet, _) => (Bad, "the certificate is not valid yet: check it, and this clock".into()),
        (_, Validity::Valid) => {
            let keys = verifier.map_or("no token keys in a file".into(), |verifier| {
                format!("{} token keys", verifier.keys())
            });
            (Fine, format!("certificate good for 14 days and more, {keys}"))
        }
        _ => (
            Warn,
            "the certificate ends within 14 days: renew it; a running broker takes it by itself".into(),
        ),
    }
}

fn issuers(config: &Config) -> anyhow::Result<Vec<Finding>> {
    let tried = issuers::try_all(config)?;
    let finding = |(name, tried): (String, Result<Fetched, ProviderError>)| match tried {
        Ok(fetched) => (Fine, format!("{name} answers, {} token keys", fetched.verifier.keys())),
        Err(error) => (Bad, format!("{name}: {error}")),
    };
    Ok(tried.into_iter().map(finding).collect())
}

fn key_file(path: &Path) -> Finding {
    let found = File::open(path).and_then(|file| file.metadata());
    match found {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => cannot_be_read(path, &error),
        Err(error) => (Bad, format!("{}: {error}; set tls.key to where it is", path.display())),
        Ok(key) if key.mode() & 0o007 != 0 => {
            let text =
                format!("everybody may read {}: chmod 600 {0}, and get another certificate", path.display());
            (Bad, text)
        }
        Ok(key) if key.mode() & 0o070 != 0 => {
            (Warn, format!("its group may read {}: chmod 600 {0} unless that is meant", path.display()))
        }
        Ok(_) => (Fine, "for its owner alone".into()),
    }
}

fn data_folder(path: &Path) -> Finding {
    let shown = path.display();
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => match path.parent() {
            Some(parent) if parent.as_os_str().is_empty() || parent.is_dir() => {
                (Fine, format!("{shown} is not there yet; the broker makes it"))
            }
            _ => (
                Bad,
                format!(
                    "neither {shown} nor the folder around it is there: make that, for the broker's user"
                ),
            ),
        },
        Err(error) => cannot_be_read(path, &error),
        Ok(folder) if !folder.is_dir() => {
            (Bad, format!("{shown} is not a folder: choose another storage.path"))
        }
        Ok(folder) if folder.mode() & 0o077 != 0 => (
            Bad,
            format!("others may look into {shown} (mode {:o}): chmod 700 {shown}", folder.mode() & 0o777),
        ),
        Ok(folder) => match fs::read_dir(path) {
            Err(error) => cannot_be_read(path, &error),
            Ok(_) if !is_mine(&folder) => {
                (Warn, format!("{shown} belongs to user {}; run this as that user to see all", folder.uid()))
            }
            Ok(_) => (Fine, format!("{shown}, for its owner alone")),
        },
    }
}

fn is_mine(folder: &Metadata) -> bool {
    folder.uid() == geteuid().as_raw()
}

/// The folder itself, or the one that it would be made in.
fn nearest(path: &Path) -> io::Result<PathBuf> {
    use io::ErrorKind::{NotADirectory, NotFound};
    let absolute = std::path::absolute(path)?;
    for folder in absolute.ancestors() {
        match fs::metadata(folder) {
            Ok(found) if found.is_dir() => return Ok(folder.to_owned()),
            Err(error) if !matches!(error.kind(), NotFound | NotADirectory) => return Err(error),
            _ => {}
        }
    }
    Err(io::ErrorKind::NotFound.into())
}

fn file_system(folder: &Path) -> Finding {
    /// Numbers of `linux/magic.h` and of the file systems' own headers.
    const KNOWN: &[(u64, &str, Grade)] = &[
        (0xef53, "ext4", Fine),
        (0x5846_5342, "xfs", Fine),
        (0x9123_683e, "btrfs", Fine),
        (0x2fc1_2fc1, "zfs", Fine),
        (0x0102_1994, "tmpfs, which keeps nothing when the machine ends", Bad),
        (0x8584_58f6, "ramfs, which keeps nothing when the machine ends", Bad),
        (0x6969, "nfs, whose locks and syncs cannot be relied on", Bad),
        (0xff53_4d42, "cifs, whose locks and syncs cannot be relied on", Bad),
        (0xfe53_4d42, "smb, whose locks and syncs cannot be relied on", Bad),
        (0x6573_5546, "fuse, whose syncs are as good as what lies under it", Warn),
        (0x794c_7630, "overlayfs, whose syncs are as good as what lies under it", Warn),
    ];
    let kind = match rustix::fs::statfs(folder) {
        Ok(status) => status.f_type as u64 & 0xffff_ffff,
        Err(error) => return (Warn, format!("cannot be told: {error}")),
    };
    match KNOWN.iter().find(|(number, ..)| *number == kind) {
        Some((_, name, Fine)) => (Fine, (*name).into()),
        Some((_, name, verdict)) => (*verdict, format!("{name}: put storage.path on a local ext4 or xfs")),
        None => (Warn, format!("of a kind that was never tried ({kind:#x}): prefer a local ext4 or xfs")),
    }
}

fn disk_room(folder: &Path, reserve: u64) -> Finding {
    let free = match rustix::fs::statvfs(folder) {
        Ok(status) => status.f_bavail.saturating_mul(status.f_frsize),
        Err(error) => return (Warn, format!("cannot be told: {error}")),
    };
    let text = format!("{} MiB free, {} MiB in reserve", free >> 20, reserve >> 20);
    if free < reserve {
        (Bad, format!("{text}: messages are refused; make room"))
    } else if free / 4 < reserve {
        (Warn, format!("{text}: messages will be refused below the reserve; make room"))
    } else {
        (Fine, text)
    }
}

/// The room that is kept for control commands, and for a start, on a full disk.
fn ballast(config: &Config) -> Finding {
    /// With one part in so many left, nothing is taken in any more.
    const LAST: u64 = 8;
    let data = &config.storage_path;
    let (room, kept) = match (room::of_nearest(data), Ballast::seen(data)) {
        (Ok(room), Ok(kept)) => (room, kept),
        (Err(error), _) => return (Warn, format!("cannot be told: {error}")),
        (_, Err(error)) => return cannot_be_read(data, &error),
    };
    let size = config.ballast_bytes(room.size_bytes);
    let (kept_mib, size_mib) = (kept.unwrap_or(0) >> 20, size >> 20);
    match kept {
        _ if size == 0 => (
            Warn,
            "none: on a full disk nobody may be removed, and the broker may not start; see storage.ballast"
                .into(),
        ),
        None if room.free_bytes < size => {
            (Bad, format!("{size_mib} MiB do not fit: make room, or lower storage.ballast"))
        }
        None => (Fine, format!("{size_mib} MiB, which the next start sets aside")),
        Some(kept) if kept >= size => (Fine, format!("{size_mib} MiB kept for control commands and a start")),
        Some(kept) if kept < size / LAST => {
            (Bad, format!("{kept_mib} of {size_mib} MiB left, for a start alone: make room on the disk now"))
        }
        Some(_) => {
            (Warn, format!("{kept_mib} of {size_mib} MiB kept, the rest is in use: make room on the disk"))
        }
    }
}

fn disk_sync(folder: &Path) -> Finding {
    let times = match time_syncs(folder) {
        Ok(times) => times,
        Err(error) => {
            return (
                Warn,
                format!("cannot be timed in {}: {error}; run this as the broker's user", folder.display()),
            );
        }
    };
    let (typical, slow) = (times[SYNCS / 2], times[SYNCS * 99 / 100]);
    let text = format!("fdatasync takes {typical:.1?} typically, {slow:.1?} at the 99th percentile");
    if typical < SYNC_UNBELIEVABLE {
        (
            Warn,
            format!(
                "{text}: so fast that nothing may be kept; is the cache of the disk lost with its power?"
            ),
        )
    } else if slow > SYNC_BAD {
        (Bad, format!("{text}: every message waits for one; use a disk with power-loss protection"))
    } else if slow > SYNC_WARN {
        (Warn, format!("{text}: every message waits for one; see what else uses the disk"))
    } else {
        (Fine, text)
    }
}

/// Writes and syncs as the log does: small pieces, one after the other. Gives the times, shortest
/// first.
fn time_syncs(folder: &Path) -> io::Result<Vec<Duration>> {
    let path = folder.join(format!(".wardline-doctor-{}", std::process::id()));
    let file = File::create_new(&path)?;
    let timed = || {
        let mut times = Vec::with_capacity(SYNCS);
        for piece in 0..SYNCS {
            let began = Instant::now();
            file.write_all_at(&[0; 4096], piece as u64 * 4096)?;
            file.sync_data()?;
            times.push(began.elapsed());
        }
        times.sort();
        Ok(times)
    };
    let times = timed();
    fs::remove_file(&path)?;
    times
}

fn store(config: &Config, chosen: Chosen) -> Finding {
    let data = &config.storage_path;
    match UnixStream::connect(data.join(admin::SOCKET)) {
        Ok(_) => return (Fine, "a broker runs on it".into()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return cannot_be_read(data, &error),
        Err(_) => {}
    }
    match chosen.is_store(data) {
        Ok(true) => {}
        Ok(false) => return (Fine, "there is none yet, and no broker runs on it".into()),
        Err(error) => return (Bad, failure::told(&error.into())),
    }
    if !fs::metadata(data).is_ok_and(|folder| is_mine(&folder)) {
        return (
            Warn,
            "not opened, since its files would then be of another user; run this as the broker's user".into(),
        );
    }
    let opened = chosen.open(data, config).and_then(|engine| Ok(format::found(engine.as_ref())?));
    match opened {
        Ok(None | Some(format::FORMAT)) => {
            (Fine, format!("opens, format {}; no broker runs on it", format::FORMAT))
        }
        Ok(Some(older)) => (
            Fine,
            format!(
                "opens, format {older}, which the next start makes {}; no broker runs on it",
                format::FORMAT
            ),
        ),
        Err(error) => (Bad, failure::told(&error)),
    }
}
