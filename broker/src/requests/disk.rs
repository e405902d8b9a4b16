//! The store's disk: how much room it has, what may still be written, and what is done about it.
//!
//! There is a reserve, below which people's messages are refused, and ballast
//! ([`wardline_storage::ballast`]), which what is taken in all the same may use: control commands
//! up to its last part, which is for a recovery alone; devices that are new up to a half of it, and
//! receipts up to a quarter, so that nobody can use up the room of control by opening sessions, nor
//! that of devices by receipts. What was given is taken back as soon as nothing is being written,
//! so that others on the disk do not get it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use wardline_storage::command::Command;
use wardline_storage::engine::Engine;
use wardline_storage::room::{self, Room};

use crate::settings::DiskWatch;

/// Where there is no ballast, so much of the reserve stands for it.
const OWN_BYTES_MAX: u64 = 256 << 20;
/// One part in so many is for receipts; and one is kept from devices that are new, and from control
/// commands.
const FOR_RECEIPTS: u64 = 4;
const KEPT_FROM_DEVICES: u64 = 2;
const KEPT_FROM_CONTROL: u64 = 8;
/// What could not be put away is not tried again before.
const AGAIN_AFTER: Duration = Duration::from_secs(5);
/// For so long nothing was committed before what was given is taken back.
const QUIET: Duration = Duration::from_millis(300);

/// What is taken in, the most first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Admits {
    /// Everything.
    All,
    /// Control commands, devices, and receipts: of what control commands tell of, too.
    Receipts,
    /// Control commands, and devices.
    Devices,
    /// Control commands.
    Control,
    /// Nothing.
    Nothing,
}

impl Admits {
    /// Whether this command is among it.
    pub(super) fn takes(self, command: &Command) -> bool {
        match self {
            Self::All => true,
            Self::Receipts => Self::Devices.takes(command) || command.is_receipt(),
            Self::Devices => command.is_control() || matches!(command, Command::RegisterDevice),
            Self::Control => command.is_control(),
            Self::Nothing => false,
        }
    }

    pub(super) fn from_byte(byte: u8) -> Self {
        let known = [Self::All, Self::Receipts, Self::Devices, Self::Control];
        known.into_iter().find(|one| *one as u8 == byte).unwrap_or(Self::Nothing)
    }
}

/// How the disk stood at a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) room: Room,
    /// What the ballast has, and what it should have; both 0: there is none.
    pub(super) kept: u64,
    pub(super) size: u64,
    pub(super) reserve: u64,
}

impl Standing {
    /// What was given and not taken back.
    fn missing(&self) -> u64 {
        self.size.saturating_sub(self.kept)
    }

    /// What may be written. The ballast has its room before messages have theirs.
    pub(super) fn admits(&self) -> Admits {
        if self.room.free_bytes >= self.reserve.saturating_add(self.missing()) {
            return Admits::All;
        }
        let own = if self.size > 0 { self.size } else { self.reserve.min(OWN_BYTES_MAX) };
        let left = self.room.free_bytes.saturating_add(self.kept);
        match left {
            left if left >= own - own / FOR_RECEIPTS => Admits::Receipts,
            left if left >= own / KEPT_FROM_DEVICES => Admits::Devices,
            left if left >= own / KEPT_FROM_CONTROL => Admits::Control,
            _ => Admits::Nothing,
        }
    }

    /// Whether the engine is to spare the disk, if it does already or not: from where the ballast
    /// may be needed to where everything is well, so that it does not change all the time.
    fn is_to_spare(&self, spares: bool) -> bool {
        let all = self.reserve.max(self.size).saturating_add(self.missing());
        self.room.free_bytes < if spares { all } else { self.size }
    }
}

/// Watches the disk. What it does may take long: not for the async threads.
pub(super) struct Disk {
    watch: DiskWatch,
    engine: Arc<dyn Engine>,
    /// Whether the engine spares the disk; `None`: it was not told yet.
    spares: Option<bool>,
    /// Not told again before.
    told_until: Instant,
    /// How far the log was, and since when.
    reached: (u64, Instant),
}

impl Disk {
    pub(super) fn new(watch: DiskWatch, engine: Arc<dyn Engine>) -> Self {
        let now = Instant::now();
        Self { watch, engine, spares: None, told_until: now, reached: (0, now) }
    }

    /// Looks, tells how it stands, and does what follows; `position` is how far the log is.
    pub(super) fn look(&mut self, position: u64, tell: impl Fn(&Standing)) {
        if self.reached.0 != position {
            self.reached = (position, Instant::now());
        }
        let Some(standing) = self.standing() else { return };
        tell(&standing);
        self.spare(&standing);
        if standing.missing() > 0 && self.is_quiet(&standing) {
            self.take_back();
            self.standing().iter().for_each(tell);
        }
    }

    fn standing(&self) -> Option<Standing> {
        let room = match room::of(&self.watch.path) {
            Ok(room) => room,
            Err(error) => {
                let path = self.watch.path.display();
                tracing::warn!(code = "disk-unseen", %path, %error, "cannot see how much room the disk has");
                return None;
            }
        };
        let (kept, size) = self.watch.ballast.as_deref().map_or((0, 0), |held| (held.kept(), held.size()));
        Some(Standing { room, kept, size, reserve: self.watch.reserve_bytes })
    }

    /// With room for everything there is nothing to wait for.
    fn is_quiet(&self, standing: &Standing) -> bool {
        standing.admits() == Admits::All || self.reached.1.elapsed() >= QUIET
    }

    fn take_back(&self) {
        let Some(ballast) = &self.watch.ballast else { return };
        if let Err(error) = ballast.take_back(self.engine.room_wanted()) {
            tracing::error!(code = "ballast-stuck", %error, "the ballast cannot grow: see to the file ballast in the data folder");
        }
    }

    /// As long as it spares the disk the engine is told again: what was written meanwhile is put
    /// away.
    fn spare(&mut self, standing: &Standing) {
        let spares = standing.is_to_spare(self.spares.unwrap_or_default());
        let is_new = self.spares.replace(spares) != Some(spares);
        if is_new {
            tracing::debug!(code = "disk-spared", spares, "whether the engine leaves what can wait");
        }
        if !is_new && (!spares || Instant::now() < self.told_until) {
            return;
        }
        if let Err(error) = self.engine.spare_disk(spares) {
            // If there is still no room; and if there is, it is no loss.
            self.told_until = Instant::now() + AGAIN_AFTER;
            tracing::warn!(code = "disk-not-spared", %error, "the engine could not put away what it holds; will be tried again");
        }
    }
}

#[cfg(test)]
mod tests {
    use wardline_storage::id::ConversationId;

    use super::*;

    const MIB: u64 = 1 << 20;

    fn standing(free: u64, kept: u64) -> Standing {
        let room = Room { free_bytes: free * MIB, size_bytes: 1 << 40 };
        Standing { room, kept: kept * MIB, size: 256 * MIB, reserve: 512 * MIB }
    }

    #[test]
    fn the_ballast_has_its_room_before_messages_have_theirs() {
        assert_eq!(standing(512, 256).admits(), Admits::All);
        assert_eq!(standing(511, 256).admits(), Admits::Receipts);
        assert_eq!(standing(600, 0).admits(), Admits::Receipts);
        assert_eq!(standing(768, 0).admits(), Admits::All);
    }

    #[test]
    fn what_is_left_is_kept_from_receipts_first_and_at_last_from_control() {
        assert_eq!(standing(0, 192).admits(), Admits::Receipts);
        assert_eq!(standing(0, 191).admits(), Admits::Devices);
        assert_eq!(standing(0, 128).admits(), Admits::Devices);
        assert_eq!(standing(100, 28).admits(), Admits::Devices, "what is free counts like what is kept");
        assert_eq!(standing(0, 127).admits(), Admits::Control);
        assert_eq!(standing(0, 32).admits(), Admits::Control);
        assert_eq!(standing(0, 31).admits(), Admits::Nothing);
    }

    #[test]
    fn without_ballast_the_reserve_stands_for_it() {
        let without =
            |free: u64, reserve: u64| Standing { size: 0, kept: 0, reserve, ..standing(free, 0) }.admits();
        assert_eq!(without(600, 512 * MIB), Admits::All);
        assert_eq!(without(128, 512 * MIB), Admits::Devices);
        assert_eq!(without(40_000, u64::MAX), Admits::Receipts, "as trials do that want a full disk");
        assert_eq!(without(32, 512 * MIB), Admits::Control);
        assert_eq!(without(31, 512 * MIB), Admits::Nothing);
    }

    #[test]
    fn control_is_taken_where_messages_are_not() {
        let deletion = Command::DeleteMessage {
            conversation: ConversationId::default(),
            seq: wardline_storage::id::Seq(1),
        };
        let receipt = Command::Acknowledge(wardline_storage::command::Acknowledge::default());
        let takes =
            |admits: Admits| [&deletion, &Command::RegisterDevice, &receipt].map(|it| admits.takes(it));
        assert_eq!(takes(Admits::All), [true, true, true]);
        assert_eq!(takes(Admits::Receipts), [true, true, true]);
        assert_eq!(takes(Admits::Devices), [true, true, false]);
        assert_eq!(takes(Admits::Control), [true, false, false]);
        assert_eq!(takes(Admits::Nothing), [false, false, false]);
        for admits in [Admits::All, Admits::Receipts, Admits::Devices, Admits::Control, Admits::Nothing] {
            assert_eq!(Admits::from_byte(admits as u8), admits);
        }
    }

    #[test]
    fn the_engine_does_not_change_its_mind_at_every_look() {
        assert!(!standing(256, 256).is_to_spare(false), "what is wanted at once is free");
        assert!(standing(255, 256).is_to_spare(false));
        assert!(standing(511, 256).is_to_spare(true), "until everything is well");
        assert!(!standing(512, 256).is_to_spare(true));
        assert!(standing(600, 100).is_to_spare(true), "and the ballast whole");
    }
}
