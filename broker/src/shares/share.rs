//! A share: how much of one scarce thing is held by whom, and how much may be.
//!
//! What is held is counted by principal, by tenant and in all, each with a bound. A portion is
//! given back when it is dropped. Who holds nothing is not remembered.
//!
//! Invariant: each sum is that of the portions that live.

use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;
use wardline_storage::id::{ById, TenantId, UserId};

use super::principal::Principal;
use super::tenants::Tenants;

/// What one scarce thing may be held of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// By one principal.
    pub(crate) principal_max: usize,
    /// By all together; a tenant has a part of it.
    pub(crate) all_max: usize,
}

/// Whose share is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UsedUp {
    /// The principal's own: nobody else has to do with it.
    Own,
    /// Their tenant's.
    Tenant,
    /// There is no more.
    All,
}

/// One scarce thing.
pub(crate) struct Share {
    bounds: Bounds,
    tenants: Arc<Tenants>,
    held: Mutex<Held>,
    /// For those who wait for others than themselves.
    given_back: Arc<Notify>,
}

#[derive(Default)]
struct Held {
    all: usize,
    tenants: ById<TenantId, usize>,
    users: ById<UserId, usize>,
    /// Of whom some wait for what they hold themselves, how many, and how they are woken.
    waiting: ById<UserId, (usize, Arc<Notify>)>,
}

/// Somebody waits, as long as it lives.
struct Waits<'a> {
    share: &'a Share,
    user: UserId,
}

/// What somebody holds of a share, until it is dropped.
pub(crate) struct Portion {
    share: Arc<Share>,
    whose: Principal,
    amount: usize,
}

impl Share {
    /// Nothing is held yet.
    pub(crate) fn new(bounds: Bounds, tenants: Arc<Tenants>) -> Arc<Self> {
        Arc::new(Self { bounds, tenants, held: Mutex::default(), given_back: Arc::default() })
    }

    /// Takes so much. Who holds nothing may take more than a principal's share at once: else it
    /// could never be had.
    ///
    /// # Errors
    /// Whose share is used up.
    pub(crate) fn take(self: &Arc<Self>, whose: Principal, amount: usize) -> Result<Portion, UsedUp> {
        let whose = whose.sharing();
        let mut held = self.held.lock();
        self.look(&held, whose, amount)?;
        held.add(whose, amount);
        drop(held);
        Ok(Portion { share: Arc::clone(self), whose, amount })
    }

    /// Waits until so much could be taken, or something was given back since the call: then it is
    /// somebody's turn to try, and the next one's when that is given back.
    ///
    /// # Cancellation
    /// Changes nothing.
    pub(crate) async fn room(&self, whose: Principal, amount: usize) {
        let whose = whose.sharing();
        let used_up = match self.look(&self.held.lock(), whose, amount) {
            Ok(()) => return,
            Err(used_up) => used_up,
        };
        let (woken, _waits) = match used_up {
            UsedUp::Own => {
                let (woken, waits) = self.wait(whose.user);
                (woken, Some(waits))
            }
            UsedUp::Tenant | UsedUp::All => (Arc::clone(&self.given_back), None),
        };
        let woken = woken.notified();
        tokio::pin!(woken);
        // Before it is looked again, so that nothing is missed.
        woken.as_mut().enable();
        if self.look(&self.held.lock(), whose, amount).is_err() {
            woken.await;
        }
    }

    fn wait(&self, user: UserId) -> (Arc<Notify>, Waits<'_>) {
        let mut held = self.held.lock();
        let (count, woken) = held.waiting.entry(user).or_default();
        *count += 1;
        (Arc::clone(woken), Waits { share: self, user })
    }

    /// How much is held.
    pub(crate) fn held(&self) -> usize {
        self.held.lock().all
    }

    fn look(&self, held: &Held, whose: Principal, amount: usize) -> Result<(), UsedUp> {
        let of = |sum: Option<&usize>| sum.copied().unwrap_or(0);
        let (own, tenants) = (of(held.users.get(&whose.user)), of(held.tenants.get(&whose.tenant)));
        let Bounds { principal_max, all_max } = self.bounds;
        if own > 0 && own + amount > principal_max {
            return Err(UsedUp::Own);
        }
        if tenants + amount > self.tenants.bound(whose.tenant, all_max) {
            return Err(UsedUp::Tenant);
        }
        if held.all + amount > all_max { Err(UsedUp::All) } else { Ok(()) }
    }

    fn give_back(&self, whose: Principal, amount: usize) {
        let mut held = self.held.lock();
        held.subtract(whose, amount);
        let own = held.waiting.get(&whose.user).map(|(_, woken)| Arc::clone(woken));
        drop(held);
        if let Some(woken) = own {
            woken.notify_one();
        }
        self.given_back.notify_one();
    }
}

impl Held {
    fn add(&mut self, whose: Principal, amount: usize) {
        self.all += amount;
        *self.tenants.entry(whose.tenant).or_default() += amount;
        *self.users.entry(whose.user).or_default() += amount;
    }

    fn subtract(&mut self, whose: Principal, amount: usize) {
        self.all -= amount;
        less(&mut self.tenants, whose.tenant, amount);
        less(&mut self.users, whose.user, amount);
    }
}

fn less<K: Eq + Hash>(sums: &mut ById<K, usize>, whose: K, amount: usize) {
    let Some(sum) = sums.get_mut(&whose) else { return };
    *sum -= amount;
    if *sum == 0 {
        sums.remove(&whose);
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        let mut held = self.share.held.lock();
        let Some((count, _)) = held.waiting.get_mut(&self.user) else { return };
        *count -= 1;
        if *count == 0 {
            held.waiting.remove(&self.user);
        }
    }
}

impl Portion {
    /// Gives back all but so much.
    pub(crate) fn shrink(&mut self, amount: usize) {
        if let Some(less) = self.amount.checked_sub(amount).filter(|less| *less > 0) {
            self.amount = amount;
            self.share.give_back(self.whose, less);
        }
    }
}

impl Drop for Portion {
    fn drop(&mut self) {
        self.share.give_back(self.whose, self.amount);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whose(tenant: u8, user: u8) -> Principal {
        Principal { tenant: TenantId::new([tenant; 16]), user: UserId::new([user; 16]) }
    }

    fn share(principal_max: usize, all_max: usize, percent: u32) -> Arc<Share> {
        Share::new(Bounds { principal_max, all_max }, Arc::new(Tenants::new(percent)))
    }

    #[test]
    fn own_share_then_the_tenants_then_all_is_used_up() {
        let share = share(4, 10, 60);
        let mine = share.take(whose(1, 1), 3).unwrap();
        assert_eq!(share.take(whose(1, 1), 2).err(), Some(UsedUp::Own));
        let other = share.take(whose(1, 2), 3).unwrap();
        assert_eq!(share.take(whose(1, 3), 1).err(), Some(UsedUp::Tenant));
        let stranger = share.take(whose(2, 4), 4).unwrap();
        assert_eq!(share.take(whose(3, 5), 1).err(), Some(UsedUp::All));
        drop(stranger);
        share.take(whose(3, 5), 1).unwrap();
        drop(mine);
        let again = share.take(whose(1, 1), 3).unwrap();
        drop((again, other));
        let held = share.held.lock();
        assert_eq!((held.all, held.users.len(), held.tenants.len()), (0, 0, 0));
    }

    #[test]
    fn who_holds_nothing_may_take_one_thing_however_large() {
        let share = share(4, 100, 100);
        let mut large = share.take(whose(1, 1), 50).unwrap();
        assert_eq!(share.take(whose(1, 1), 1).err(), Some(UsedUp::Own));
        large.shrink(3);
        share.take(whose(1, 1), 1).unwrap();
        large.shrink(7);
        assert_eq!(share.held(), 3, "what was given back is not taken again");
    }

    #[tokio::test]
    async fn who_waits_hears_of_what_is_given_back() {
        let share = share(4, 100, 100);
        let held = share.take(whose(1, 1), 4).unwrap();
        share.room(whose(1, 2), 4).await;
        let waiting = share.room(whose(1, 1), 1);
        let mut waiting = Box::pin(waiting);
        assert!(at_once(waiting.as_mut()).is_none(), "there is no room");
        drop(held);
        waiting.await;
        share.take(whose(1, 1), 1).unwrap();
        assert!(share.held.lock().waiting.is_empty(), "nobody waits any more");
    }

    #[tokio::test]
    async fn all_who_wait_have_their_turn_one_after_the_other() {
        let share = share(1, 100, 100);
        let held = share.take(whose(1, 1), 1).unwrap();
        let mut waiting = tokio::task::JoinSet::new();
        for _ in 0..50 {
            let share = Arc::clone(&share);
            waiting.spawn(async move {
                loop {
                    share.room(whose(1, 1), 1).await;
                    if let Ok(portion) = share.take(whose(1, 1), 1) {
                        tokio::task::yield_now().await;
                        return drop(portion);
                    }
                }
            });
        }
        tokio::task::yield_now().await;
        drop(held);
        while let Some(done) = waiting.join_next().await {
            done.unwrap();
        }
        assert_eq!(share.held(), 0);
    }

    /// What a future gives at once.
    fn at_once<T>(future: std::pin::Pin<&mut impl Future<Output = T>>) -> Option<T> {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match future.poll(&mut context) {
            std::task::Poll::Ready(value) => Some(value),
            std::task::Poll::Pending => None,
        }
    }
}
