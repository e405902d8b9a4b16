//! A line: who may do next what only a few can do at a time, such as reading the store.
//!
//! Fair by cost (start-time fair queueing): tenants have turns, and within a tenant its principals;
//! next is who has cost least so far. What a turn cost is known after it, and counts against whose
//! it was. So who does much waits behind themselves, and who does little waits for nobody but those
//! who have their turn. One principal has a few turns at a time; who has cost more than an
//! allowance rests until that is made good, so that even alone they leave the processor to others.
//!
//! Invariants: a turn is given back when it is dropped; who waits is next to somebody's end.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use wardline_storage::id::{ById, TenantId, UserId};

use super::allowance::Allowances;
use super::principal::Principal;

/// Principals that are looked through, at least, before those that are owed nothing are forgotten.
const SWEEP_FROM: usize = 1024;

/// What a line is bounded by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Most turns at a time.
    pub(crate) turns_max: usize,
    /// Most turns of one principal at a time.
    pub(crate) principal_turns_max: usize,
    /// What one principal's turns may cost at once, and again in each second.
    pub(crate) cost_per_second: u64,
}

/// Who may go next.
pub(crate) struct Line {
    bounds: Bounds,
    inside: Mutex<Inside>,
}

struct Inside {
    free: usize,
    tenants: ById<TenantId, Tenant>,
    next: BTreeSet<(u64, TenantId)>,
    /// What the tenant had cost whose turn was given last.
    now: u64,
    owed: Allowances,
}

#[derive(Default)]
struct Tenant {
    cost: u64,
    people: ById<UserId, Person>,
    /// How many of them wait or have turns.
    busy: usize,
    next: BTreeSet<(u64, UserId)>,
    /// What the person had cost whose turn was given last.
    now: u64,
    /// Where it stands in the line.
    stands: Option<u64>,
    sweep_at: usize,
}

#[derive(Default)]
struct Person {
    cost: u64,
    waiting: VecDeque<oneshot::Sender<Turn>>,
    /// Turns that they have, and rests.
    turns: usize,
    stands: Option<u64>,
}

/// Somebody's turn, until it is dropped.
pub(crate) struct Turn {
    line: Arc<Line>,
    whose: Principal,
    cost: u64,
}

impl Turn {
    /// Says what it cost.
    pub(crate) fn cost(&mut self, cost: u64) {
        self.cost = cost;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.line.leave(self.whose, self.cost);
    }
}

impl Line {
    /// Nobody waits.
    pub(crate) fn new(bounds: Bounds) -> Arc<Self> {
        let inside = Inside {
            free: bounds.turns_max,
            tenants: ById::default(),
            next: BTreeSet::new(),
            now: 0,
            owed: Allowances::new(bounds.cost_per_second, bounds.cost_per_second as f64),
        };
        Arc::new(Self { bounds, inside: Mutex::new(inside) })
    }

    /// Waits for a turn. `None`: there will be none, since the line is gone.
    ///
    /// # Cancellation
    /// Whoever waits behind moves up.
    pub(crate) async fn turn(self: &Arc<Self>, whose: Principal) -> Option<Turn> {
        self.ask(whose.sharing()).await.ok()
    }

    fn ask(self: &Arc<Self>, whose: Principal) -> oneshot::Receiver<Turn> {
        let (give, given) = oneshot::channel();
        let mut inside = self.inside.lock();
        inside.enter(whose, give);
        inside.stand(whose, self.bounds.principal_turns_max);
        let turns = self.give(&mut inside);
        drop(inside);
        hand_out(turns);
        given
    }

    /// How many turns are given.
    pub(crate) fn given(&self) -> usize {
        self.bounds.turns_max.saturating_sub(self.inside.lock().free)
    }

    fn leave(self: &Arc<Self>, whose: Principal, cost: u64) {
        let mut inside = self.inside.lock();
        inside.free += 1;
        let rest = inside.charge(whose, cost);
        match Handle::try_current() {
            Ok(runtime) if !rest.is_zero() => {
                let line = Arc::clone(self);
                runtime.spawn(async move {
                    tokio::time::sleep(rest).await;
                    line.rested(whose);
                });
            }
            _ => inside.end(whose, self.bounds.principal_turns_max),
        }
        let turns = self.give(&mut inside);
        drop(inside);
        hand_out(turns);
    }

    fn rested(self: &Arc<Self>, whose: Principal) {
        let mut inside = self.inside.lock();
        inside.end(whose, self.bounds.principal_turns_max);
        let turns = self.give(&mut inside);
        drop(inside);
        hand_out(turns);
    }

    /// Gives all turns that are free to those who are next.
    fn give(self: &Arc<Self>, inside: &mut Inside) -> Vec<(oneshot::Sender<Turn>, Turn)> {
        let mut given = Vec::new();
        while inside.free > 0 {
            let Some((whose, to)) = inside.take_next(self.bounds.principal_turns_max) else { break };
            inside.free -= 1;
            given.push((to, Turn { line: Arc::clone(self), whose, cost: 0 }));
        }
        given
    }
}

/// Tells whose turn it is, once the line is not locked: who does not want it any more gives it
/// back.
fn hand_out(turns: Vec<(oneshot::Sender<Turn>, Turn)>) {
    for (to, turn) in turns {
        drop(to.send(turn));
    }
}

impl Person {
    fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.turns == 0
    }
}

impl Inside {
    fn enter(&mut self, whose: Principal, give: oneshot::Sender<Turn>) {
        let now = self.now;
        let tenant = self.tenants.entry(whose.tenant).or_default();
        if tenant.next.is_empty() {
            // What was not used while nobody asked for it is not saved up.
            tenant.cost = tenant.cost.max(now);
        }
        let person = tenant.people.entry(whose.user).or_default();
        if person.is_idle() {
            person.cost = person.cost.max(tenant.now);
            tenant.busy += 1;
        }
        person.waiting.push_back(give);
    }

    /// Lets somebody stand where they should, if they should.
    fn stand(&mut self, whose: Principal, turns_max: usize) {
        let Some(tenant) = self.tenants.get_mut(&whose.tenant) else { return };
        if let Some(person) = tenant.people.get_mut(&whose.user) {
            if let Some(cost) = person.stands.take() {
                tenant.next.remove(&(cost, whose.user));
            }
            if !person.waiting.is_empty() && person.turns < turns_max {
                person.stands = Some(person.cost);
                tenant.next.insert((person.cost, whose.user));
            }
        }
        if let Some(cost) = tenant.stands.take() {
            self.next.remove(&(cost, whose.tenant));
        }
        if !tenant.next.is_empty() {
            tenant.stands = Some(tenant.cost);
            self.next.insert((tenant.cost, whose.tenant));
        }
    }

    fn take_next(&mut self, turns_max: usize) -> Option<(Principal, oneshot::Sender<Turn>)> {
        loop {
            let (cost, id) = *self.next.first()?;
            let tenant = self.tenants.get_mut(&id)?;
            let (own_cost, user) = *tenant.next.first()?;
            let whose = Principal { tenant: id, user };
            let person = tenant.people.get_mut(&user)?;
            // Who gave up waiting is passed over.
            let mut give = person.waiting.pop_front();
            while give.as_ref().is_some_and(oneshot::Sender::is_closed) {
                give = person.waiting.pop_front();
            }
            if give.is_some() {
                person.turns += 1;
                (self.now, tenant.now) = (self.now.max(cost), tenant.now.max(own_cost));
            }
            tenant.busy -= usize::from(person.is_idle());
            self.stand(whose, turns_max);
            if let Some(give) = give {
                return Some((whose, give));
            }
            self.forget(whose);
        }
    }

    /// Counts what a turn cost; gives how long its principal must rest.
    fn charge(&mut self, whose: Principal, cost: u64) -> Duration {
        if let Some(tenant) = self.tenants.get_mut(&whose.tenant) {
            tenant.cost += cost;
            if let Some(person) = tenant.people.get_mut(&whose.user) {
                person.cost += cost;
            }
        }
        self.owed.charge(whose.user, cost, Instant::now())
    }

    /// A turn is over, and the rest after it.
    fn end(&mut self, whose: Principal, turns_max: usize) {
        if let Some(tenant) = self.tenants.get_mut(&whose.tenant)
            && let Some(person) = tenant.people.get_mut(&whose.user)
        {
            person.turns -= 1;
            tenant.busy -= usize::from(person.is_idle());
        }
        self.stand(whose, turns_max);
        self.forget(whose);
    }

    /// Remembers nobody who owes nothing to those who were served since.
    fn forget(&mut self, whose: Principal) {
        let Some(tenant) = self.tenants.get_mut(&whose.tenant) else { return };
        let now = tenant.now;
        if tenant.people.get(&whose.user).is_some_and(|person| person.is_idle() && person.cost <= now) {
            tenant.people.remove(&whose.user);
        } else if tenant.people.len() > tenant.sweep_at.max(SWEEP_FROM) {
            tenant.people.retain(|_, person| !person.is_idle() || person.cost > now);
            tenant.sweep_at = tenant.people.len() * 2;
        }
        if tenant.busy == 0 {
            // Nobody of theirs is left to be compared with: all begin anew, but for the tenant.
            tenant.people.clear();
            if tenant.cost <= self.now || self.next.is_empty() {
                self.tenants.remove(&whose.tenant);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FREE: Bounds = Bounds { turns_max: 1, principal_turns_max: 1, cost_per_second: u64::MAX };

    fn whose(tenant: u8, user: u8) -> Principal {
        Principal { tenant: TenantId::new([tenant; 16]), user: UserId::new([user; 16]) }
    }

    /// Counts anew who waits or has turns.
    fn is_counted(line: &Line) -> bool {
        let busy = |tenant: &Tenant| tenant.people.values().filter(|person| !person.is_idle()).count();
        line.inside.lock().tenants.values().all(|tenant| tenant.busy == busy(tenant))
    }

    /// Lets them all wait for the one turn, and gives the order in which they have it.
    async fn order(bounds: Bounds, asked: &[(Principal, u64)]) -> Vec<u8> {
        let line = Line::new(bounds);
        let first = line.turn(whose(0, 0)).await.expect("it is free");
        let (told, mut heard) = tokio::sync::mpsc::channel(asked.len());
        for (principal, cost) in asked.iter().copied() {
            let (line, told) = (Arc::clone(&line), told.clone());
            tokio::spawn(async move {
                let mut turn = line.turn(principal).await.expect("the line is there");
                turn.cost(cost);
                told.try_send(principal.user.as_bytes()[0]).expect("it is heard");
            });
            tokio::task::yield_now().await;
        }
        drop((first, told));
        let mut order = Vec::new();
        while let Some(user) = heard.recv().await {
            order.push(user);
            assert!(is_counted(&line));
        }
        assert_eq!(line.given(), 0);
        assert!(line.inside.lock().tenants.len() <= 1, "who is not there is forgotten");
        order
    }

    #[tokio::test]
    async fn who_reads_much_waits_behind_themselves() {
        let heavy = (whose(1, 1), 1_000);
        let light = (whose(1, 2), 10);
        let order = order(FREE, &[heavy, heavy, heavy, light, light, light]).await;
        assert_eq!(order, [1, 2, 2, 2, 1, 1]);
    }

    #[tokio::test]
    async fn tenants_come_before_their_people() {
        let of_many = |user| (whose(1, user), 100);
        let of_one = (whose(2, 9), 100);
        let order = order(FREE, &[of_many(1), of_many(2), of_many(3), of_one, of_one, of_one]).await;
        let theirs = order[..4].iter().filter(|user| **user == 9).count();
        assert_eq!(theirs, 2, "every other turn: {order:?}");
    }

    #[tokio::test]
    async fn who_gives_up_waiting_is_passed_over() {
        let line = Line::new(FREE);
        let first = line.turn(whose(1, 1)).await;
        for _ in 0..1_000 {
            let given_up = tokio::time::timeout(Duration::ZERO, line.turn(whose(1, 1))).await;
            assert!(given_up.is_err());
        }
        assert!(is_counted(&line));
        let waiting = tokio::spawn({
            let line = Arc::clone(&line);
            async move { line.turn(whose(1, 2)).await.is_some() }
        });
        tokio::task::yield_now().await;
        drop(first);
        assert!(waiting.await.expect("no panic"));
        assert_eq!(line.given(), 0);
        assert!(is_counted(&line));
    }

    #[tokio::test]
    async fn one_principal_has_no_more_turns_than_theirs() {
        let line = Line::new(Bounds { turns_max: 4, ..FREE });
        let mine = line.turn(whose(1, 1)).await;
        assert!(tokio::time::timeout(Duration::from_millis(20), line.turn(whose(1, 1))).await.is_err());
        drop(line.turn(whose(1, 2)).await.expect("others have theirs"));
        drop(mine);
        drop(line.turn(whose(1, 1)).await.expect("it is free again"));
    }

    #[tokio::test]
    async fn who_cost_more_than_a_second_brings_rests_even_alone() {
        let line = Line::new(Bounds { cost_per_second: 100, ..FREE });
        let mut turn = line.turn(whose(1, 1)).await.expect("it is free");
        turn.cost(130);
        drop(turn);
        let begun = Instant::now();
        drop(line.turn(whose(1, 2)).await.expect("nobody else rests"));
        assert!(begun.elapsed() < Duration::from_millis(200));
        drop(line.turn(whose(1, 1)).await.expect("it is given"));
        assert!(begun.elapsed() > Duration::from_millis(250), "{:?}", begun.elapsed());
    }
}
