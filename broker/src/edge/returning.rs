//! Who was connected to the broker before, and has not come back: by address.
//!
//! While many shake hands, a stranger is asked by a Retry to prove its address first, which costs
//! both sides a second beginning. Who stands on the roll has proven it, and is not asked again
//! until all were told, for a minute at most: once for each connection that it had. So whoever
//! knows those addresses, and can send from them, gets that many handshakes begun and no more.
//!
//! Here it is also known who was told to come and is on the way, so that no more are told than can
//! be served, and who is back, and need not be told twice ([`resets`](super::resets)).

use std::collections::{HashMap, VecDeque};
use std::net::{SocketAddr, SocketAddrV6};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::roll::{self, Former};

/// For how long, at most, a client of the broker before is not asked for its address again.
const KNOWN_FOR: Duration = Duration::from_secs(60);
/// Who was told and has not come within this is on the way no more: the packet was lost, or it
/// found out before.
const ON_THE_WAY_FOR: Duration = Duration::from_secs(1);

/// The clients that may come back.
pub(super) struct Returning {
    since: Instant,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    awaited: HashMap<SocketAddrV6, Awaited>,
    /// When those were told who are on the way, the first in front.
    told: VecDeque<Instant>,
}

/// Connections that an address had.
#[derive(Default)]
struct Awaited {
    all: usize,
    told: usize,
}

impl Returning {
    /// All of these.
    pub(super) fn of(former: &[Former]) -> Self {
        let mut state = State::default();
        for former in former {
            state.awaited.entry(former.remote).or_default().all += 1;
        }
        Self { since: Instant::now(), state: Mutex::new(state) }
    }

    /// Takes note that a client was told.
    pub(super) fn told(&self, former: &Former) {
        let mut state = self.state.lock();
        // Who is back already is not on the way.
        if let Some(awaited) = state.awaited.get_mut(&former.remote) {
            awaited.told = (awaited.told + 1).min(awaited.all);
            state.told.push_back(Instant::now());
        }
    }

    /// Takes note that somebody connects; whether it is one of them.
    pub(super) fn comes(&self, remote: SocketAddr) -> bool {
        let mut state = self.state.lock();
        if state.awaited.is_empty() {
            return false;
        }
        let remote = roll::mapped(remote);
        let Some(awaited) = state.awaited.get_mut(&remote) else { return false };
        awaited.all -= 1;
        let was_told = awaited.told > 0;
        awaited.told = awaited.told.saturating_sub(1);
        if awaited.all == 0 {
            state.awaited.remove(&remote);
        }
        if was_told {
            state.told.pop_front();
        }
        self.since.elapsed() <= KNOWN_FOR
    }

    /// Whether a connection from the address of this client is still to come.
    pub(super) fn awaits(&self, former: &Former) -> bool {
        self.state.lock().awaited.contains_key(&former.remote)
    }

    /// All were told: nobody is waited for.
    pub(super) fn forget(&self) {
        *self.state.lock() = State::default();
    }

    /// How many were told and should be here any moment.
    pub(super) fn on_the_way(&self) -> usize {
        let mut state = self.state.lock();
        while state.told.front().is_some_and(|told| told.elapsed() > ON_THE_WAY_FOR) {
            state.told.pop_front();
        }
        state.told.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn former(remote: &str) -> Former {
        Former::at(roll::mapped(address(remote)), [0; 8])
    }

    fn address(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    fn ago(time: Duration) -> Instant {
        Instant::now().checked_sub(time).expect("the machine runs for longer")
    }

    #[test]
    fn who_was_connected_is_known_again_once_for_each_connection() {
        const ONE: &str = "192.0.2.1:1001";
        const TWO: &str = "[2001:db8::2]:1002";
        let returning = Returning::of(&[former(ONE), former(TWO), former(ONE)]);
        let comes = |remote| returning.comes(address(remote));
        assert!(!comes("192.0.2.1:1002") && !comes("192.0.2.2:1001"));
        assert_eq!([comes(ONE), comes(ONE), comes(ONE)], [true, true, false]);
        assert_eq!([comes(TWO), comes(TWO)], [true, false]);
        let late = Returning { since: ago(KNOWN_FOR * 2), ..Returning::of(&[former(ONE)]) };
        assert!(!late.comes(address(ONE)) && !late.awaits(&former(ONE)));
        let forgotten = Returning::of(&[former(ONE)]);
        assert!(forgotten.awaits(&former(ONE)));
        forgotten.forget();
        assert!(!forgotten.awaits(&former(ONE)) && !forgotten.comes(address(ONE)));
    }

    #[test]
    fn who_was_told_is_on_the_way_until_they_come_or_are_late() {
        let clients: Vec<Former> = (1..=4).map(|last| former(&format!("192.0.2.{last}:1001"))).collect();
        let returning = Returning::of(&clients);
        // One found out by itself, and is told all the same.
        assert!(returning.comes(address("192.0.2.1:1001")));
        clients.iter().for_each(|client| returning.told(client));
        assert_eq!(returning.on_the_way(), 3);
        assert!(returning.comes(address("192.0.2.3:1001")));
        assert_eq!(returning.on_the_way(), 2);
        returning.state.lock().told[0] = ago(ON_THE_WAY_FOR * 2);
        assert_eq!(returning.on_the_way(), 1);
    }
}
