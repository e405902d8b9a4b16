//! A lane of the queue: what waits of one priority, and whose turn is next.
//!
//! As long as all that waits fits into one group, and nobody has more records to be looked up than
//! a principal's share, a lane is one line: first come, first served. Turns would give all of it
//! out, too, and the order within a group is nobody's gain. Otherwise it is sorted by principal and
//! given out in turns (deficit round robin): tenants have turns, and within a tenant its
//! principals, each for about as much work as the others and up to their share of the group. So
//! whoever submits much waits behind themselves. What all of them leave of the group is for those
//! who have more, in turns again: a share keeps nobody from room that nobody else wants. Only the
//! records of a principal stay within it, since to look them up is what others wait for.
//!
//! Invariants: what one principal submitted is given out in the order in which they did; a pile
//! has a number while there is something in it.

use std::collections::VecDeque;
use std::time::Instant;

use super::waiting::{Group, Waiting};
use crate::id::{ById, TenantId, UserId};
use crate::log::Share;

/// How much work a principal may do in a turn, as [`Waiting::cost`] counts it.
const TURN_COST: usize = 32;

/// What waits of one priority.
#[derive(Debug, Default)]
pub(super) struct Lane {
    /// Not sorted yet: first come, first served.
    line: VecDeque<Waiting>,
    /// By their numbers. What is nobody's is used again.
    piles: Vec<Pile>,
    numbers: ById<UserId, u32>,
    spare: Vec<u32>,
    /// Tenants whose principals have something that is sorted.
    turns: VecDeque<Turn>,
    /// Somebody has more records to be looked up than their share of a group.
    is_crowded: bool,
    /// Groups that were given out in turns.
    groups: u64,
    waiting: Load,
}

/// How much it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Load {
    pub(super) commands: usize,
    pub(super) bytes: usize,
    /// Beyond those that every command touches.
    pub(super) records: usize,
    /// Commands that are no receipts.
    pub(super) pressing: usize,
}

/// What one principal has in a lane.
#[derive(Debug)]
struct Pile {
    user: UserId,
    tenant: TenantId,
    sorted: VecDeque<Waiting>,
    waiting: Load,
    /// In the group of this number.
    given: (u64, Load),
    /// What is left of turns that they had.
    credit: usize,
    /// Their turn ended because the group was full: it goes on.
    was_cut_off: bool,
}

/// A tenant's turn.
#[derive(Debug)]
struct Turn {
    tenant: TenantId,
    /// Whose principals have theirs in this order.
    piles: VecDeque<u32>,
}

/// What came of a turn.
enum Served {
    /// There is nothing left.
    All,
    /// It is over.
    Turn,
    /// The principal has its share of the group.
    Rests,
    /// The next one does not fit into the group.
    Full,
}

impl Load {
    fn add(&mut self, one: &Waiting) {
        self.commands += 1;
        self.bytes += one.weight;
        self.records += one.records;
        self.pressing += usize::from(one.is_pressing);
    }

    fn subtract(&mut self, one: &Waiting) {
        self.commands -= 1;
        self.bytes -= one.weight;
        self.records -= one.records;
        self.pressing -= usize::from(one.is_pressing);
    }

    /// Both.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            commands: self.commands + other.commands,
            bytes: self.bytes + other.bytes,
            records: self.records + other.records,
            pressing: self.pressing + other.pressing,
        }
    }

    /// Whether it is within bounds.
    pub(super) fn fits(&self, commands_max: usize, bytes_max: usize, records_max: usize) -> bool {
        self.commands <= commands_max && self.bytes <= bytes_max && self.records <= records_max
    }

    /// Whether this and one more is. One fits in any case, whatever it is.
    fn takes(&self, one: &Waiting, commands_max: usize, bytes_max: usize, records_max: usize) -> bool {
        let mut with = *self;
        with.add(one);
        self.commands == 0 || with.fits(commands_max, bytes_max, records_max)
    }
}

/// How much of a group is left, and how much of it is whose.
pub(super) struct Room {
    pub(super) commands_max: usize,
    pub(super) bytes_max: usize,
    pub(super) records_max: usize,
    pub(super) taken: Load,
}

impl Room {
    /// Whether there is room for all of that.
    pub(super) fn holds(&self, all: Load) -> bool {
        all.fits(self.commands_max, self.bytes_max, self.records_max)
    }

    fn takes(&self, one: &Waiting) -> bool {
        self.taken.takes(one, self.commands_max, self.bytes_max, self.records_max)
    }
}

impl Lane {
    /// How much waits.
    pub(super) fn waiting(&self) -> Load {
        self.waiting
    }

    /// How much of somebody's waits, and under which number it stands: one look-up.
    pub(super) fn pile(&mut self, tenant: TenantId, user: UserId) -> (u32, Load) {
        let (piles, spare) = (&mut self.piles, &mut self.spare);
        let number = *self.numbers.entry(user).or_insert_with(|| {
            let fresh = Pile::new(tenant, user);
            match spare.pop() {
                Some(number) => {
                    piles[number as usize] = fresh;
                    number
                }
                None => {
                    piles.push(fresh);
                    u32::try_from(piles.len() - 1).expect("fewer wait than commands may")
                }
            }
        });
        (number, self.piles[number as usize].waiting)
    }

    /// Lets nobody have a number who has nothing.
    pub(super) fn forget_if_idle(&mut self, number: u32) {
        let pile = &self.piles[number as usize];
        if pile.waiting.commands == 0 {
            self.numbers.remove(&pile.user);
            self.spare.push(number);
        }
    }

    /// Puts one at the end, of the pile that it names.
    pub(super) fn push(&mut self, one: Waiting, share: &Share) {
        let pile = &mut self.piles[one.pile as usize];
        pile.waiting.add(&one);
        self.waiting.add(&one);
        self.is_crowded |= pile.waiting.records > share.group_records_max;
        self.line.push_back(one);
    }

    /// Whether it can be given out as it stands.
    pub(super) fn is_plain(&self) -> bool {
        self.turns.is_empty() && !self.is_crowded
    }

    /// Gives all out. To be asked only of what is plain.
    pub(super) fn give_all(&mut self, group: &mut Group) {
        group.append(&mut self.line);
        self.forget();
    }

    /// Gives out in turns as much as there is room for, and as shares allow.
    pub(super) fn give(&mut self, group: &mut Group, room: &mut Room, share: &Share) {
        self.sort();
        self.groups += 1;
        self.take_turns(group, room, share);
    }

    /// Gives out what more there is room for in that group, beyond shares but of records: to be
    /// asked once all lanes have given what shares allow.
    pub(super) fn give_rest(&mut self, group: &mut Group, room: &mut Room, share: &Share) {
        let (group_commands_max, group_bytes_max) = (room.commands_max, room.bytes_max);
        self.take_turns(group, room, &Share { group_commands_max, group_bytes_max, ..*share });
    }

    fn take_turns(&mut self, group: &mut Group, room: &mut Room, share: &Share) {
        let mut resting = Vec::new();
        while let Some(mut turn) = self.turns.pop_front() {
            let Some(number) = turn.piles.pop_front() else { continue };
            match self.serve(number, group, room, share) {
                Served::All => self.forget_if_idle(number),
                Served::Turn => turn.piles.push_back(number),
                Served::Rests => resting.push(number),
                Served::Full => {
                    turn.piles.push_front(number);
                    self.turns.push_front(turn);
                    break;
                }
            }
            if !turn.piles.is_empty() {
                self.turns.push_back(turn);
            }
        }
        resting.into_iter().for_each(|number| self.enter(number));
        if self.waiting.commands == 0 {
            self.forget();
        }
    }

    /// The replies of all that waits, which is dropped.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Waiting> {
        self.sort();
        self.turns.clear();
        let sorted: Vec<_> = self.piles.iter_mut().flat_map(|pile| pile.sorted.drain(..)).collect();
        self.forget();
        sorted.into_iter()
    }

    /// Since when the one that was taken in first has been waiting.
    pub(super) fn oldest(&self) -> Option<Instant> {
        let sorted = self.turns.iter().flat_map(|turn| &turn.piles);
        let sorted = sorted.filter_map(|number| self.piles[*number as usize].sorted.front());
        self.line.front().into_iter().chain(sorted).map(|one| one.since).min()
    }

    /// Nothing waits any more.
    fn forget(&mut self) {
        self.piles.clear();
        self.numbers.clear();
        self.spare.clear();
        (self.waiting, self.is_crowded) = (Load::default(), false);
    }

    /// Sorts what stands in the line by principal.
    fn sort(&mut self) {
        let mut line = std::mem::take(&mut self.line);
        for one in line.drain(..) {
            let number = one.pile;
            let sorted = &mut self.piles[number as usize].sorted;
            sorted.push_back(one);
            if sorted.len() == 1 {
                self.enter(number);
            }
        }
        // Its memory is used again.
        self.line = line;
    }

    /// Lets a pile have turns.
    fn enter(&mut self, number: u32) {
        let tenant = self.piles[number as usize].tenant;
        match self.turns.iter_mut().find(|turn| turn.tenant == tenant) {
            Some(turn) => turn.piles.push_back(number),
            None => self.turns.push_back(Turn { tenant, piles: VecDeque::from([number]) }),
        }
    }

    fn serve(&mut self, number: u32, group: &mut Group, room: &mut Room, share: &Share) -> Served {
        let pile = &mut self.piles[number as usize];
        if pile.given.0 != self.groups {
            pile.given = (self.groups, Load::default());
        }
        if !std::mem::take(&mut pile.was_cut_off) {
            pile.credit += TURN_COST;
        }
        while let Some(one) = pile.sorted.front() {
            // First, since who has all of a group is cut off, and does not rest.
            if !room.takes(one) {
                pile.was_cut_off = true;
                return Served::Full;
            }
            let (commands, bytes) = (share.group_commands_max, share.group_bytes_max);
            if !pile.given.1.takes(one, commands, bytes, share.group_records_max) {
                pile.credit = 0;
                return Served::Rests;
            }
            let Some(credit) = pile.credit.checked_sub(one.cost()) else { return Served::Turn };
            pile.credit = credit;
            for load in [&mut pile.given.1, &mut room.taken] {
                load.add(one);
            }
            for load in [&mut pile.waiting, &mut self.waiting] {
                load.subtract(one);
            }
            group.extend(pile.sorted.pop_front());
        }
        pile.credit = 0;
        Served::All
    }
}

impl Pile {
    fn new(tenant: TenantId, user: UserId) -> Self {
        let (sorted, waiting, given) = (VecDeque::new(), Load::default(), (0, Load::default()));
        Self { user, tenant, sorted, waiting, given, credit: 0, was_cut_off: false }
    }
}
