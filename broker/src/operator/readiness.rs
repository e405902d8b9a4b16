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

use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use wardline_storage::command::{Command, Submission};
use wardline_storage::id::ConversationId;
use wardline_storage::log::Reply;

use crate::requests::admission::Admission;
use crate::requests::service::Service;
use crate::retention::nobody;

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
    admission: Arc<Admission>,
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
        service: Arc<Service>,
        failed: watch::Receiver<Option<String>>,
        [draining, stop]: [&CancellationToken; 2],
        data: Option<PathBuf>,
    ) -> Self {
        let admission = Arc::clone(&service.admission);
        let (sender, looked) = watch::channel(Looked {
            log: Some("was not looked at yet".into()),
            disk: data.as_ref().map(|_| "was not looked at yet".into()),
        });
        let (draining, stop) = (draining.clone(), stop.clone());
        let readiness = Self { looked, failed, admission, draining, stop };
        tokio::spawn(readiness.clone().look(service, data, sender));
        readiness
    }

    /// Every check by its name, with what is wrong. Ready is when nothing is.
    pub fn checks(&self) -> [(&'static str, Wrong); 5] {
        let looked = self.looked.borrow().clone();
        let failed = self.failed.borrow().clone();
        let full = self.admission.is_disk_full();
        [
            ("draining", self.draining.is_cancelled().then(|| "the broker is stopping".into())),
            ("store", failed.map(Cow::Owned)),
            ("log", looked.log),
            ("disk-write", looked.disk),
            ("disk-room", full.then(|| "the disk is nearly full: writes are refused".into())),
        ]
    }

    async fn look(self, service: Arc<Service>, data: Option<PathBuf>, sender: watch::Sender<Looked>) {
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
            let (log, disk) = tokio::join!(ask_log(&service), write);
            sender.send_replace(Looked { log, disk });
            let is_ready = self.checks().iter().all(|(_, wrong)| wrong.is_none());
            service.metrics.ready.set(if is_ready { 1.0 } else { 0.0 });
        }
        service.metrics.ready.set(0.0);
    }
}

/// Sends a command that changes nothing the way of every other.
async fn ask_log(service: &Service) -> Wrong {
    let (places, mut completions) = mpsc::channel(1);
    let Ok(place) = places.try_reserve_owned() else { return Some("has no place for an answer".into()) };
    let submission = Submission {
        time: service.clock.now(),
        actor: nobody(),
        policy: service.policy,
        command: Command::Reexpire { conversation: ConversationId::new([0; 16]) },
    };
    if let Err(refusal) = service.admission.submit(submission, Reply { ticket: 0, place }) {
        return Some(refusal.text);
    }
    match timeout(PATIENCE, completions.recv()).await {
        Ok(Some(completion)) if completion.verdict.is_ok() => None,
        Ok(_) => Some("commits nothing any more".into()),
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
