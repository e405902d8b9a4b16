//! Readiness: whether new clients should come here.
//!
//! Not while the broker stops, its store failed, or its disk is nearly full; and not when the last
//! look found that the log does not answer or that the disk takes no writes. That look is made
//! every few seconds, by a command that changes nothing and goes the way of every other, and by a
//! small file that is synced; so asking costs nothing, however often it is done.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use wardline_storage::command::Command;
use wardline_storage::id::ConversationId;

use crate::access::caller::nobody;
use crate::metrics::Metrics;
use crate::requests::intake::Intake;

/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Longest time until the log has answered and the disk has synced.
const PATIENCE: Duration = Duration::from_secs(5);
/// The file that is written and synced.
const PROBE: &str = ".ready";

/// What of one check is wrong; `None`: nothing.
pub type Wrong = Option<Cow<'static, str>>;

/// Tells whether new clients should come here.
#[derive(Clone)]
pub struct Readiness {
    looked: watch::Receiver<Looked>,
    failed: watch::Receiver<Option<String>>,
    intake: Arc<Intake>,
    draining: CancellationToken,
    stop: CancellationToken,
}

/// What the last look found.
#[derive(Clone, Debug)]
struct Looked {
    log: Wrong,
    disk: Wrong,
}

impl Readiness {
    /// Begins to look, until stopped.
    pub(crate) fn watch(
        intake: Arc<Intake>,
        metrics: Arc<Metrics>,
        failed: watch::Receiver<Option<String>>,
        [draining, stop]: [&CancellationToken; 2],
        data: Option<PathBuf>,
    ) -> Self {
        let (sender, looked) = watch::channel(Looked {
            log: Some("was not looked at yet".into()),
            disk: data.as_ref().map(|_| "was not looked at yet".into()),
        });
        let (draining, stop) = (draining.clone(), stop.clone());
        let readiness = Self { looked, failed, intake, draining, stop };
        tokio::spawn(readiness.clone().look(metrics, data, sender));
        readiness
    }

    /// Every check by its name, with what is wrong. Ready is when nothing is.
    pub fn checks(&self) -> [(&'static str, Wrong); 5] {
        let looked = self.looked.borrow().clone();
        let failed = self.failed.borrow().clone();
        let full = self.intake.admission().is_disk_full();
        [
            ("draining", self.draining.is_cancelled().then(|| "the broker is stopping".into())),
            ("store", failed.map(Cow::Owned)),
            ("log", looked.log),
            ("disk-write", looked.disk),
            ("disk-room", full.then(|| "the disk is nearly full: messages are refused".into())),
        ]
    }

    async fn look(self, metrics: Arc<Metrics>, data: Option<PathBuf>, sender: watch::Sender<Looked>) {
        let mut ticks = interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut disk = data.map(|folder| Disk { folder, writing: None });
        while self.stop.run_until_cancelled(ticks.tick()).await.is_some() {
            let write = async {
                match &mut disk {
                    Some(disk) => disk.write().await,
                    None => None,
                }
            };
            let (log, disk) = tokio::join!(ask_log(&self.intake), write);
            sender.send_replace(Looked { log, disk });
            let is_ready = self.checks().iter().all(|(_, wrong)| wrong.is_none());
            metrics.ready.set(if is_ready { 1.0 } else { 0.0 });
        }
        metrics.ready.set(0.0);
    }
}

/// Sends a command that changes nothing the way of every other.
async fn ask_log(intake: &Intake) -> Wrong {
    let (nobody, nothing) = (nobody(), Command::Reexpire { conversation: ConversationId::new([0; 16]) });
    match timeout(PATIENCE, intake.ask(&nobody, nothing)).await {
        Ok(Ok(_)) => None,
        Ok(Err(refusal)) => Some(refusal.text),
        Err(_) => Some(format!("did not answer within {} s", PATIENCE.as_secs()).into()),
    }
}

/// Tries whether the disk takes writes.
struct Disk {
    folder: PathBuf,
    /// A write that did not come back in time. Another one would only wait behind it.
    writing: Option<JoinHandle<io::Result<()>>>,
}

impl Disk {
    async fn write(&mut self) -> Wrong {
        let folder = self.folder.clone();
        let writing = self.writing.get_or_insert_with(|| spawn_blocking(move || write(&folder)));
        let Ok(written) = timeout(PATIENCE, writing).await else {
            return Some(format!("a small write was not synced within {} s", PATIENCE.as_secs()).into());
        };
        self.writing = None;
        match written {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(format!("a small write failed: {error}").into()),
            Err(_) => Some("a small write ended early".into()),
        }
    }
}

fn write(folder: &Path) -> io::Result<()> {
    let mut file = File::create(folder.join(PROBE))?;
    file.write_all(&[0; 512])?;
    file.sync_data()
}
