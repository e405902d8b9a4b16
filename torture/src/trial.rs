//! A trial: a broker, everybody who uses it, and the faults that a programme makes between.
//!
//! Owns the lives and deaths of one broker and the journal of it. A programme (`fault/`) decides
//! what happens, and when; each of its cycles ends with the broker running, everything read back,
//! and the oracle asked. Ends at the first objection.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::sleep;

use crate::broker::{Broker, Freeze, Keys, Site};
use crate::event::Event;
use crate::governor::FLOOR;
use crate::journal::Journal;
use crate::people::{Dial, GUEST, MEMBERS, OUTSIDER, Room};
use crate::programme::{Context, Outcome};
use crate::proxy::Proxy;
use crate::report::say;
use crate::volume::Volume;
use crate::ward::Ward;

/// Cycles until the conversations change; fewer in a brief trial, which reads less back.
const CYCLES_OF_A_CONVERSATION: u64 = 20;
const BRIEF_CYCLES_OF_A_CONVERSATION: u64 = 4;
/// How often somebody's application ends with the broker.
const ENDS_TOO: f64 = 0.3;
/// How often the guest's access changes in a cycle.
const ACCESS_CHANGES: f64 = 0.3;
/// Most starts that are struck before one is left alone.
const STARTS_STRUCK_MAX: u32 = 3;

/// Longest goodbye of a client.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);
/// Longest end of a trial: all clients' goodbyes, and the broker's stop.
const END_PATIENCE: Duration = Duration::from_secs(60);

/// What ends the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// `kill -9`.
    Kill,
    /// The power of the volume goes, then the broker.
    Power,
}

/// Where the broker's data lies.
pub enum Disk {
    /// In a folder of the disk.
    Folder,
    /// On a file system of its own, of so many bytes.
    Volume(u64),
}

/// See the module's documentation.
pub struct Trial {
    /// The programme's.
    pub name: &'static str,
    /// Draws what the programme does.
    pub random: StdRng,
    /// What everybody tells.
    pub journal: Arc<Journal>,
    /// How its broker is started.
    pub site: Site,
    pub(crate) ward: Ward,
    /// Before the volume: it must be gone when that is unmounted.
    pub broker: Broker,
    pub(crate) volume: Option<Volume>,
    /// Figures of the programme's own, by name.
    pub figures: Vec<(&'static str, u64)>,
    /// Whether the guest's access is taken back; `None`: nobody knows.
    is_guest_out: Option<bool>,
    cycles: u64,
    is_brief: bool,
    began: Instant,
    /// How long the last start took.
    pub start_took: Duration,
}

impl Trial {
    /// Makes the disk, starts the broker and lets everybody begin.
    pub async fn begin(
        context: &Context,
        name: &'static str,
        disk: Disk,
        settings: &[&str],
    ) -> anyhow::Result<Self> {
        let began = Instant::now();
        let (site, volume) = site(context, name, disk, settings).await?;
        Self::on(context, site, volume, name, began, None).await
    }

    /// As [`Self::begin`], with a network between that can be made bad.
    pub(crate) async fn begin_behind_proxy(
        context: &Context,
        name: &'static str,
        disk: Disk,
        settings: &[&str],
    ) -> anyhow::Result<(Self, Proxy)> {
        let began = Instant::now();
        let (mut site, volume) = site(context, name, disk, settings).await?;
        // It has the address that all later brokers will have.
        let mut first = site.start().await?;
        let proxy = Proxy::open(first.address, context.seed).await?;
        first.kill().await?;
        let trial = Self::on(context, site, volume, name, began, Some(&proxy)).await?;
        Ok((trial, proxy))
    }

    /// As [`Self::begin`], on a site that was prepared.
    pub(crate) async fn on(
        context: &Context,
        mut site: Site,
        volume: Option<Volume>,
        name: &'static str,
        began: Instant,
        proxy: Option<&Proxy>,
    ) -> anyhow::Result<Self> {
        let journal = Arc::new(Journal::create(&context.journals.join(format!("{name}.journal")))?);
        let broker = site.start().await?;
        if let Some(volume) = &volume {
            volume.sync()?;
        }
        let mut dial = dial_for(&site, &broker).await?;
        dial.address = proxy.map_or(dial.address, |proxy| proxy.address);
        let ward = Ward::open(dial, &journal, context.seed).await?;
        let start_took = broker.ready_after;
        Ok(Self {
            name,
            random: StdRng::seed_from_u64(context.seed),
            journal,
            site,
            ward,
            broker,
            volume,
            figures: Vec::new(),
            is_guest_out: Some(false),
            cycles: 0,
            is_brief: context.is_brief,
            began,
            start_took,
        })
    }

    /// How many cycles there were.
    pub fn cycles(&self) -> u64 {
        self.cycles
    }

    /// Whether nothing was wrong so far.
    pub fn is_clean(&self) -> bool {
        self.journal.is_clean()
    }

    /// Lets everybody live for a while.
    pub async fn live(&mut self, at_most: Duration) {
        let micros = self.random.random_range(0..at_most.as_micros() as u64);
        sleep(Duration::from_micros(micros)).await;
    }

    /// Now and then ends somebody's application.
    pub async fn maybe_end_somebody(&mut self) -> anyhow::Result<()> {
        if self.random.random_bool(ENDS_TOO) {
            self.ward.end_somebody().await?;
        }
        Ok(())
    }

    /// Puts a broker that was just started in the place of the one that is gone.
    pub async fn start_again(&mut self) -> anyhow::Result<()> {
        self.broker = self.site.start().await?;
        self.start_took = self.broker.ready_after;
        Ok(())
    }

    /// Strikes while the broker runs.
    pub async fn strike(&mut self, fault: Fault) -> anyhow::Result<()> {
        if fault == Fault::Power {
            // With the power goes the processor: nobody hears of what the disk did after that.
            // Without this the broker may, since a sync that is under way does not always hear that
            // its file system was shut down.
            self.broker.freeze(Freeze::AtOnce).await?;
            self.volume()?.shut_down()?;
        }
        self.broker.kill().await?;
        self.after_end(fault)
    }

    /// Now and then starts brokers and strikes each while it starts.
    pub async fn strike_starts(&mut self, fault: Fault) -> anyhow::Result<()> {
        if self.random.random_ratio(2, 3) {
            return Ok(());
        }
        for _ in 0..self.random.random_range(1..=STARTS_STRUCK_MAX) {
            let starting = self.site.spawn()?;
            self.live(self.start_took.mul_f64(1.2)).await;
            if fault == Fault::Power {
                starting.freeze(Freeze::AtOnce).await?;
                self.volume()?.shut_down()?;
            }
            starting.kill().await?;
            self.after_end(fault)?;
        }
        Ok(())
    }

    /// From now on everything that the broker does to its disk fails.
    pub async fn fail_disk(&mut self) -> anyhow::Result<()> {
        // A sync that is under way may not hear of it, which is not what a disk that fails does.
        self.broker.freeze(Freeze::BetweenCalls).await?;
        self.volume()?.shut_down()?;
        self.broker.thaw()
    }

    /// After the broker's end: the power is back, the disk is good.
    pub fn after_end(&mut self, fault: Fault) -> anyhow::Result<()> {
        self.journal.note(Event::Killed);
        match (fault, &mut self.volume) {
            (Fault::Power, Some(volume)) => volume.power_up(),
            _ => Ok(()),
        }
    }

    fn volume(&self) -> anyhow::Result<&Volume> {
        self.volume.as_ref().context("the trial has no volume")
    }

    /// Ends a cycle: everything is read back, and the oracle asked. Gives whether the trial should
    /// go on.
    pub async fn check(&mut self) -> anyhow::Result<bool> {
        self.ward.begin_again().await?;
        self.guest().await?;
        let conversation_cycles = match self.is_brief {
            true => {
                self.ward.audit_as_one(self.cycles).await?;
                BRIEF_CYCLES_OF_A_CONVERSATION
            }
            false => {
                self.ward.audit().await?;
                CYCLES_OF_A_CONVERSATION
            }
        };
        self.cycles += 1;
        if self.cycles.is_multiple_of(conversation_cycles) {
            self.ward.rotate().await?;
        }
        if self.cycles.is_multiple_of(50) {
            let acked = self.journal.oracle(|oracle| oracle.tally().acked);
            say(&format!("{}: {} cycles, {acked} messages acknowledged", self.name, self.cycles));
        }
        Ok(self.is_clean())
    }

    /// Now and then takes the guest's access back, or gives it back; then the guest tries to come
    /// in.
    async fn guest(&mut self) -> anyhow::Result<()> {
        if self.random.random_bool(ACCESS_CHANGES) {
            let lift = self.is_guest_out == Some(true);
            // Until there is an answer, either may be.
            self.journal.note(Event::Revoked { user: GUEST, is_revoked: None });
            self.is_guest_out = match self.site.revoke(GUEST.0, lift).await? {
                Ok(()) => Some(!lift),
                Err(why) => {
                    if why.contains("not on record") {
                        self.journal.trouble(format!("access was not taken back for good: {why}"));
                    }
                    None
                }
            };
            self.journal.note(Event::Revoked { user: GUEST, is_revoked: self.is_guest_out });
        }
        self.ward.let_guest_try().await
    }

    /// Lets everybody finish, reads everything back and stops the broker. `cycles` is how the
    /// faults went.
    pub async fn finish(mut self, cycles: anyhow::Result<()>) -> Outcome {
        if let Err(error) = cycles {
            self.journal.trouble(format!("cycle {}: {error:#}", self.cycles + 1));
        }
        if self.is_clean()
            && let Err(error) = self.settle().await
        {
            self.journal.trouble(format!("at the end: {error:#}"));
        }
        let (tally, objections, troubles) = self.journal.verdict();
        let mut outcome = Outcome {
            name: self.name.into(),
            cycles: self.cycles,
            took: self.began.elapsed(),
            tally,
            objections,
            troubles,
            figures: std::mem::take(&mut self.figures),
        };
        let (ward, mut broker, site) = (self.ward, self.broker, self.site);
        let patience = if outcome.is_good() { CLOSE_PATIENCE } else { Duration::ZERO };
        let end = async {
            ward.close(patience).await?;
            broker.stop().await
        };
        // Whoever looks for a broker that is no more would look for ever.
        let ended = tokio::time::timeout(END_PATIENCE, end).await;
        if let Err(error) = ended.map_err(anyhow::Error::from).flatten()
            && outcome.is_good()
        {
            outcome.troubles.push(format!("at the end: {error:#}"));
        }
        // The volume, if there is one, goes after the broker. Data is kept only where it shows
        // something.
        match self.volume {
            Some(volume) if !outcome.is_good() => volume.keep(),
            volume => drop(volume),
        }
        if outcome.is_good() {
            let _ = std::fs::remove_dir_all(&site.data);
        }
        outcome
    }

    /// Lets everybody finish, kills the broker, and leaves its store as that left it.
    pub async fn leave(mut self) -> anyhow::Result<(Site, Arc<Journal>, Vec<Room>, StdRng)> {
        self.settle().await?;
        anyhow::ensure!(self.is_clean(), "promises were broken before anything was damaged");
        let rooms = self.ward.rooms();
        self.ward.close(CLOSE_PATIENCE).await?;
        self.broker.kill().await?;
        self.journal.note(Event::Killed);
        Ok((self.site, self.journal, rooms, self.random))
    }

    async fn settle(&mut self) -> anyhow::Result<()> {
        self.ward.settle().await?;
        self.ward.audit_all().await?;
        Ok(())
    }
}

/// Prepares a disk for a broker's data, and keys for it.
pub(crate) async fn site(
    context: &Context,
    name: &str,
    disk: Disk,
    settings: &[&str],
) -> anyhow::Result<(Site, Option<Volume>)> {
    let volume = match disk {
        Disk::Folder => None,
        Disk::Volume(bytes) => Some(Volume::make(&context.folder, name, bytes)?),
    };
    let parent = volume.as_ref().map_or(context.folder.as_path(), Volume::folder);
    Ok((site_in(context, parent, name, settings).await?, volume))
}

/// Prepares a folder for a broker's data in an other one, and keys for it.
pub async fn site_in(
    context: &Context,
    parent: &Path,
    name: &str,
    settings: &[&str],
) -> anyhow::Result<Site> {
    let data = parent.join(format!("{name}-data"));
    empty(&data)?;
    let keys = Keys::make(&context.program, &context.journals.join(format!("{name}-keys"))).await?;
    // Small bounds, so that there is something to reclaim and to replay; room on small volumes;
    // long pages.
    let floor = format!("retention.group_min={}s", FLOOR.as_secs());
    let own = [
        "retention.reclaim_every=1s",
        // What expires within moments is part of the trial.
        "retention.message_min=0s",
        &floor,
        "storage.reserve=1MiB",
        "limits.page_entries=1000",
    ];
    let engine = context.engine.as_ref().map(|engine| format!("storage.engine={engine}"));
    let own = own.iter().chain(settings).map(|setting| (*setting).to_owned());
    Ok(Site {
        program: context.program.clone(),
        data,
        keys,
        log: context.journals.join(format!("{name}.log")),
        listen: ([127, 0, 0, 1], 0).into(),
        settings: own.chain(engine).collect(),
        variables: Vec::new(),
    })
}

/// How to reach a broker, as everybody.
pub async fn dial_for(site: &Site, broker: &Broker) -> anyhow::Result<Dial> {
    let mut tokens = std::collections::HashMap::new();
    for user in MEMBERS.into_iter().chain([OUTSIDER, GUEST]) {
        tokens.insert(user, site.keys.token(&site.program, user.0, &site.variables).await?);
    }
    Ok(Dial { address: broker.address, authority: site.keys.authority()?, tokens })
}

/// Removes a folder with everything in it.
pub fn empty(folder: &Path) -> anyhow::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot empty {}", folder.display()))
        }
        _ => Ok(()),
    }
}
