//! The roll: which connections are open, beside the store.
//!
//! A client hears of a crash when it next sends something, and an idle one does that after 20 s. A
//! broker that starts after a crash finds here who was connected, and tells them
//! ([`resets`](super::resets)).
//!
//! Invariants: an entry for each connection from its acceptance to its end, never more than
//! `limits.connections` of them; one that is over, or was told, is blanked; nothing waits for the
//! disk, since a thread of its own writes, and nothing is synced. What cannot be noted is counted,
//! and its client finds out by itself. A graceful stop leaves nothing: clients were told.

mod entry;
mod file;

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::secrets::Secrets;
use crate::metrics::Metrics;
use entry::{BLANK, Entry, Seal};
use file::{Left, Locals, RollFile, Slot, Unwritten};

/// Longest wait for the roll to be emptied; a disk may hang.
const EMPTY_TIMEOUT: Duration = Duration::from_secs(1);

/// Who is connected.
pub(crate) struct Roll {
    state: Mutex<State>,
    changed: Condvar,
    seal: Seal,
    metrics: Arc<Metrics>,
}

struct State {
    /// Slots that stand for nobody; the lowest is the last.
    free: Vec<Slot>,
    locals: Locals,
    unwritten: Unwritten,
    end: Option<End>,
}

/// How the roll ends.
#[derive(Clone, Copy)]
enum End {
    /// With nothing in it: all clients were told.
    Emptied,
    /// As it is.
    Left,
}

/// A connection on the roll, for as long as this lives.
pub(crate) struct Noted {
    roll: Arc<Roll>,
    remote: SocketAddr,
    id: quinn::ConnectionId,
    /// `None`: there was no room.
    slot: Option<Slot>,
}

/// A connection of the broker before, whose client is to be told.
#[derive(Clone, Copy)]
pub(super) struct Former {
    pub(super) remote: SocketAddrV6,
    /// At which address it reached that broker.
    pub(super) local: Option<IpAddr>,
    pub(super) id: [u8; 8],
    slot: Slot,
}

/// The thread that writes the roll; it ends with this.
pub(super) struct Keeper {
    roll: Arc<Roll>,
    ended: oneshot::Receiver<()>,
}

impl Roll {
    /// Opens the roll in the data folder; gives those who were connected to the broker before.
    ///
    /// # Errors
    /// [`io::Error`] if the file cannot be used, or no thread be started.
    pub(super) fn open(
        folder: &Path,
        connections_max: usize,
        secrets: &Secrets,
        metrics: Arc<Metrics>,
    ) -> io::Result<(Keeper, Vec<Former>)> {
        let (file, left) = RollFile::open(folder, connections_max)?;
        let seal = Seal::new(&secrets.derive(b"wardline roll"));
        let (mut unwritten, former) = sort(&left, &seal);
        let taken: HashSet<Slot> = former.iter().map(|former| former.slot).collect();
        let free = (0..).take(connections_max).filter(|slot| !taken.contains(slot)).collect::<Vec<_>>();
        // Nobody's addresses are of use to nobody.
        let locals = if former.is_empty() { Locals::default() } else { left.locals };
        unwritten.locals = Some(locals.clone());
        let state = State { free: free.into_iter().rev().collect(), locals, unwritten, end: None };
        let roll = Arc::new(Self { state: Mutex::new(state), changed: Condvar::new(), seal, metrics });
        let (writer, (done, ended)) = (Arc::clone(&roll), oneshot::channel());
        thread::Builder::new().name("roll".into()).spawn(move || writer.write(&file, done))?;
        Ok((Keeper { roll, ended }, former))
    }

    /// Notes a connection that reached the broker at `local`.
    pub(super) fn note(
        self: &Arc<Self>,
        id: quinn::ConnectionId,
        remote: SocketAddr,
        local: Option<IpAddr>,
    ) -> Noted {
        let mut noted = Noted { roll: Arc::clone(self), remote, id, slot: None };
        noted.put(local);
        if noted.slot.is_none() {
            self.metrics.roll_failures.increment(1);
        }
        noted
    }

    /// Strikes out a client that was told.
    pub(super) fn told(&self, former: &Former) {
        self.strike(former.slot);
    }

    fn strike(&self, slot: Slot) {
        let mut state = self.state.lock();
        state.unwritten.slots.insert(slot, BLANK);
        state.free.push(slot);
        drop(state);
        self.changed.notify_one();
    }

    /// Puts an entry into its slot, or one that is free; which one.
    fn put(&self, slot: Option<Slot>, remote: SocketAddr, local: Option<IpAddr>, id: &[u8]) -> Option<Slot> {
        let mut state = self.state.lock();
        let (number, is_new) = local.map_or((0, false), |local| state.locals.number(local));
        let entry = Entry::new(remote, number, id)?;
        let slot = slot.or_else(|| state.free.pop())?;
        if is_new {
            state.unwritten.locals = Some(state.locals.clone());
        }
        state.unwritten.slots.insert(slot, self.seal.seal(entry));
        drop(state);
        self.changed.notify_one();
        Some(slot)
    }

    /// Writes what is not written, until the end.
    fn write(&self, file: &RollFile, done: oneshot::Sender<()>) {
        let mut is_failing = false;
        let end = loop {
            match self.next() {
                Ok(unwritten) => {
                    let written = file.write(&unwritten);
                    self.judge(&written, &mut is_failing);
                }
                Err(end) => break end,
            }
        };
        if let End::Emptied = end {
            self.judge(&file.empty(), &mut is_failing);
        }
        // Whoever waited may have given up.
        let _ = done.send(());
    }

    /// Waits for something to write, or the end.
    fn next(&self) -> Result<Unwritten, End> {
        let mut state = self.state.lock();
        loop {
            if let Some(end) = state.end {
                return Err(end);
            }
            if !state.unwritten.slots.is_empty() || state.unwritten.locals.is_some() {
                return Ok(std::mem::take(&mut state.unwritten));
            }
            self.changed.wait(&mut state);
        }
    }

    fn judge(&self, written: &io::Result<()>, is_failing: &mut bool) {
        let Err(error) = written else { return *is_failing = false };
        self.metrics.roll_failures.increment(1);
        if !std::mem::replace(is_failing, true) {
            tracing::warn!(
                code = "roll-unwritable", %error,
                "the file roll in the data folder cannot be written: after a crash, clients find out by themselves; \
                 see that there is room on the disk"
            );
        }
    }

    fn end(&self, end: End) {
        self.state.lock().end.get_or_insert(end);
        self.changed.notify_one();
    }
}

#[cfg(test)]
impl Former {
    pub(super) fn at(remote: SocketAddrV6, id: [u8; 8]) -> Self {
        Self { remote, local: None, id, slot: 0 }
    }
}

/// The address of a client, as a roll has it.
pub(super) fn mapped(remote: SocketAddr) -> SocketAddrV6 {
    SocketAddrV6::new(entry::mapped(remote.ip()), remote.port(), 0, 0)
}

/// Tells entries that this node sealed from slots to be blanked.
fn sort(left: &Left, seal: &Seal) -> (Unwritten, Vec<Former>) {
    let (mut unwritten, mut former) = (Unwritten::default(), Vec::new());
    for (slot, sealed) in &left.slots {
        match seal.open(sealed) {
            Some(Entry { remote, local, id }) => {
                let local = left.locals.get(local).map(IpAddr::V6);
                former.push(Former { remote, local, id, slot: *slot });
            }
            None => drop(unwritten.slots.insert(*slot, BLANK)),
        }
    }
    (unwritten, former)
}

impl Noted {
    /// Notes where the client is now, if that is elsewhere, or there was no room before.
    pub(crate) fn look(&mut self, remote: SocketAddr, local: Option<IpAddr>) {
        if self.slot.is_none() || self.remote != remote {
            self.remote = remote;
            self.put(local);
        }
    }

    fn put(&mut self, local: Option<IpAddr>) {
        let was_noted = self.slot.is_some();
        self.slot = self.roll.put(self.slot, self.remote, local, &self.id);
        if self.slot.is_some() && !was_noted {
            self.roll.metrics.roll_entries.increment(1.0);
        }
    }
}

impl Drop for Noted {
    fn drop(&mut self) {
        if let Some(slot) = self.slot {
            self.roll.strike(slot);
            self.roll.metrics.roll_entries.decrement(1.0);
        }
    }
}

impl Keeper {
    /// The roll that is kept.
    pub(super) fn roll(&self) -> &Arc<Roll> {
        &self.roll
    }

    /// Leaves nothing on the roll, and ends.
    ///
    /// # Cancellation
    /// It is emptied all the same.
    pub(super) async fn empty(mut self) {
        self.roll.end(End::Emptied);
        if timeout(EMPTY_TIMEOUT, &mut self.ended).await.is_err() {
            tracing::warn!(
                code = "roll-unwritable",
                "the file roll in the data folder could not be emptied in time"
            );
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.roll.end(End::Left);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Instant;

    use wardline_storage::model::IdSecret;

    use super::*;

    const ONE: &str = "192.0.2.1:1001";
    const TWO: &str = "[2001:db8::2]:1002";

    /// A roll as a node with this salt keeps it.
    pub(in crate::edge) fn open(folder: &Path, salt: u8) -> (Keeper, Vec<Former>) {
        let secrets = Secrets::new(&IdSecret::new([7; 32]), &[salt; 32]);
        Roll::open(folder, 3, &secrets, Arc::new(Metrics::new())).expect("a usable folder")
    }

    fn note(keeper: &Keeper, remote: &str, id: u8) -> Noted {
        let local = Some([10, 0, 0, 1].into());
        keeper.roll().note(quinn::ConnectionId::new(&[id; 8]), address(remote), local)
    }

    fn address(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    /// Waits until the file has all there is.
    fn written(keeper: &Keeper, folder: &Path) -> Vec<u8> {
        let begun = Instant::now();
        loop {
            let bytes = std::fs::read(folder.join("roll")).expect("it is there");
            let all = keeper.roll.state.lock().unwritten.slots.is_empty();
            if all && std::fs::read(folder.join("roll")).expect("it is there") == bytes {
                return bytes;
            }
            assert!(begun.elapsed() < Duration::from_secs(10), "it is not written");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends as a process that is killed: nothing is struck off.
    fn kill(keeper: Keeper, folder: &Path) {
        written(&keeper, folder);
        thread::sleep(Duration::from_millis(50));
        drop(keeper);
    }

    fn of(former: &[Former]) -> Vec<(SocketAddr, [u8; 8])> {
        let canonical =
            |it: &Former| SocketAddr::new(IpAddr::V6(*it.remote.ip()).to_canonical(), it.remote.port());
        let mut all: Vec<_> = former.iter().map(|former| (canonical(former), former.id)).collect();
        all.sort();
        all
    }

    #[test]
    fn who_is_connected_is_known_to_the_next_one_until_they_are_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let (keeper, former) = open(folder.path(), 1);
        assert!(former.is_empty());
        let mut noted = [note(&keeper, ONE, 1), note(&keeper, TWO, 2)];
        drop(note(&keeper, "192.0.2.3:1003", 3));
        // Its network gave the client another address.
        noted[0].look(address("192.0.2.9:1009"), None);
        kill(keeper, folder.path());
        drop(noted);

        let (keeper, former) = open(folder.path(), 1);
        assert_eq!(of(&former), [(address("192.0.2.9:1009"), [1; 8]), (address(TWO), [2; 8])]);
        let local = |former: &Former| former.local.map(|ip| ip.to_canonical());
        assert!(former.iter().any(|former| local(former) == Some([10, 0, 0, 1].into())));
        keeper.roll().told(&former[0]);
        let told = former[0].id;
        kill(keeper, folder.path());

        let (keeper, former) = open(folder.path(), 1);
        assert!(former.len() == 1 && former[0].id != told);
        kill(keeper, folder.path());
        let (keeper, former) = open(folder.path(), 2);
        assert!(former.is_empty(), "another node's");
        let bytes = written(&keeper, folder.path());
        assert!(bytes[256..].iter().all(|byte| *byte == 0), "what nobody can open is blanked");
    }

    #[test]
    fn it_has_room_for_so_many_and_for_others_once_they_are_gone() {
        let folder = tempfile::tempdir().expect("a folder");
        let (keeper, _) = open(folder.path(), 1);
        let mut noted: Vec<_> = (0..4).map(|id| note(&keeper, ONE, id)).collect();
        assert!(noted[3].slot.is_none());
        noted[3].look(address(ONE), None);
        assert!(noted[3].slot.is_none());
        noted.remove(0);
        noted[2].look(address(ONE), None);
        assert!(noted[2].slot.is_some());
        assert_eq!(written(&keeper, folder.path()).len(), 256 + 3 * 32);
    }

    #[tokio::test]
    async fn a_graceful_stop_leaves_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let (keeper, _) = open(folder.path(), 1);
        let noted = note(&keeper, ONE, 1);
        written(&keeper, folder.path());
        keeper.empty().await;
        drop(noted);
        assert_eq!(std::fs::read(folder.path().join("roll")).expect("it is there"), b"");
    }
}
