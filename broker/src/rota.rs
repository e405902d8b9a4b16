//! The rota: whose turn it is to deliver routine news.
//!
//! One routine message to a large conversation is news for hundreds of sessions at once. Woken together they would all
//! stand in the runtime's queue, and an urgent message would wait for every one of them: before it is read, before it
//! is acknowledged, and before it is delivered. So sessions with routine news wait here, first come, first served, and
//! one task wakes a few at a time. Between that it yields: the runtime then does all else that is ready and looks at the
//! network before the next few have their turn. Urgent news wakes its session past the rota.
//!
//! Invariants: a session waits at most once, which its bell sees to, so the rota is bounded by the number of sessions.
//! Whoever waits is woken, or has taken its news before its turn came.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::yield_now;

use crate::bell::Bell;

/// Sessions woken at a time for each thread of the runtime: enough that looking at the network in between costs little,
/// few enough that their turns take a fraction of a millisecond.
const TURNS_PER_THREAD: usize = 4;

/// Sessions that wait for their turn.
#[derive(Debug, Default)]
pub(crate) struct Rota {
    waiting: Mutex<VecDeque<Arc<Bell>>>,
    entered: Notify,
}

impl Rota {
    /// Lets a session wait for its turn. To be called only for one that does not wait.
    pub(crate) fn enter(&self, bell: Arc<Bell>) {
        let mut waiting = self.waiting.lock();
        let is_first = waiting.is_empty();
        waiting.push_back(bell);
        drop(waiting);
        if is_first {
            self.entered.notify_one();
        }
    }

    /// Wakes whoever waits, a few at a time, for ever.
    ///
    /// # Cancellation
    /// Those who wait are woken by the next call.
    pub(crate) async fn run(&self) {
        let turns = TURNS_PER_THREAD * Handle::current().metrics().num_workers();
        loop {
            while self.wake(turns) > 0 {
                yield_now().await;
            }
            self.entered.notified().await;
        }
    }

    /// Wakes the next `turns` sessions that have not heard their news yet; how many there were.
    fn wake(&self, turns: usize) -> usize {
        let mut woken = 0;
        while woken < turns {
            let Some(bell) = self.waiting.lock().pop_front() else { break };
            woken += usize::from(bell.turn());
        }
        woken
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::future::Future;
    use std::pin::pin;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::task::{Context, Waker};
    use std::time::Duration;

    use proptest::prelude::*;
    use tokio::time::timeout;
    use wardline_storage::id::UserId;

    use super::*;
    use crate::bell::{News, Slot, Subscription};

    const SESSIONS: usize = 5;
    const CONVERSATIONS: u64 = 2;

    /// A session and its conversations.
    struct Listener {
        bell: Arc<Bell>,
        subscriptions: Vec<Arc<Subscription>>,
        /// What was rung for and not heard yet.
        unheard: BTreeMap<Slot, bool>,
    }

    impl Listener {
        fn new(rota: &Arc<Rota>) -> Self {
            let bell = Arc::new(Bell::new(1, Arc::clone(rota)));
            let subscribe = |slot| Subscription::new(UserId::new([0; 16]), Slot(slot), Arc::clone(&bell));
            let subscriptions = (0..CONVERSATIONS).map(|slot| Arc::new(subscribe(slot))).collect();
            Self { bell, subscriptions, unheard: BTreeMap::new() }
        }

        fn ring(&mut self, conversation: usize, is_urgent: bool) {
            self.subscriptions[conversation].ring(news(is_urgent));
            *self.unheard.entry(Slot(conversation as u64)).or_default() |= is_urgent;
        }

        /// Does as a session does; whether it was awake.
        fn look(&mut self) -> bool {
            let is_awake = pin!(self.bell.wait()).poll(&mut Context::from_waker(Waker::noop())).is_ready();
            if is_awake {
                let heard = self.bell.take().slots.into_iter().map(|slot| {
                    let news = self.subscriptions[slot.0 as usize].take();
                    (slot, news.has(News::URGENT))
                });
                assert_eq!(heard.collect::<BTreeMap<_, _>>(), self.unheard, "all that was rung for");
                self.unheard.clear();
            }
            is_awake
        }
    }

    fn news(is_urgent: bool) -> News {
        if is_urgent { News::ENTRIES.and(News::URGENT) } else { News::ENTRIES }
    }

    fn waits(rota: &Rota, bell: &Arc<Bell>) -> usize {
        rota.waiting.lock().iter().filter(|other| Arc::ptr_eq(other, bell)).count()
    }

    #[derive(Clone, Debug)]
    enum Step {
        Ring(usize, usize, bool),
        Look(usize),
        Wake(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0..SESSIONS, 0..CONVERSATIONS as usize, prop::bool::weighted(0.2))
                .prop_map(|(session, conversation, is_urgent)| Step::Ring(session, conversation, is_urgent)),
            2 => (0..SESSIONS).prop_map(Step::Look),
            1 => (1..4_usize).prop_map(Step::Wake),
        ]
    }

    proptest! {
        #[test]
        fn whoever_has_news_is_awake_or_waits_once(steps in prop::collection::vec(step(), 0..80)) {
            let rota = Arc::new(Rota::default());
            let mut listeners: Vec<_> = (0..SESSIONS).map(|_| Listener::new(&rota)).collect();
            for step in steps {
                match step {
                    Step::Ring(session, conversation, is_urgent) => {
                        listeners[session].ring(conversation, is_urgent);
                    }
                    Step::Look(session) => {
                        let listener = &mut listeners[session];
                        if !listener.look() {
                            prop_assert!(!listener.unheard.values().any(|is_urgent| *is_urgent), "urgent news waits");
                            prop_assert!(listener.unheard.is_empty() || waits(&rota, &listener.bell) == 1);
                        }
                    }
                    Step::Wake(turns) => prop_assert!(rota.wake(turns) <= turns),
                }
                for listener in &listeners {
                    prop_assert!(waits(&rota, &listener.bell) <= 1);
                }
            }
            while rota.wake(2) > 0 {}
            for listener in &mut listeners {
                listener.look();
                prop_assert!(listener.unheard.is_empty());
            }
        }
    }

    #[test]
    fn turns_go_round_in_order_and_urgent_news_does_not_wait() {
        let rota = Arc::new(Rota::default());
        let mut listeners: Vec<_> = (0..SESSIONS).map(|_| Listener::new(&rota)).collect();
        for listener in &mut listeners {
            listener.ring(0, false);
        }
        listeners[2].ring(0, true);
        assert!(listeners[2].look(), "urgent news wakes past the rota");
        assert!(!listeners[0].look(), "routine news waits for its turn");
        assert_eq!(rota.wake(2), 2);
        let awake: Vec<_> = listeners.iter_mut().map(Listener::look).collect();
        assert_eq!(awake, [true, true, false, false, false]);
        listeners[0].ring(0, false);
        assert_eq!(rota.wake(2), 2, "whoever has heard already takes no turn");
        let awake: Vec<_> = listeners.iter_mut().map(Listener::look).collect();
        assert_eq!(awake, [false, false, false, true, true]);
        assert_eq!(rota.wake(2), 1);
        assert!(listeners[0].look(), "whoever comes again goes to the end");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn nobody_stays_asleep_while_another_thread_rings() {
        const RINGS: u64 = 20_000;
        let rota = Arc::new(Rota::default());
        let running = Arc::clone(&rota);
        let running = tokio::spawn(async move { running.run().await });
        let told = Arc::new(AtomicU64::new(0));
        let listeners: Vec<_> = (0..SESSIONS).map(|_| Listener::new(&rota)).collect();
        let subscriptions: Vec<_> = listeners.iter().map(|one| Arc::clone(&one.subscriptions[0])).collect();
        let hearing: Vec<_> = (listeners.into_iter())
            .map(|listener| {
                let told = Arc::clone(&told);
                tokio::spawn(async move {
                    while told.load(Ordering::Acquire) < RINGS {
                        listener.bell.wait().await;
                        listener.bell.take();
                        listener.subscriptions[0].take();
                    }
                })
            })
            .collect();
        let ringing = std::thread::spawn(move || {
            for ring in 1..=RINGS {
                told.store(ring, Ordering::Release);
                for subscription in &subscriptions {
                    subscription.ring(news(false));
                }
            }
        });
        for one in hearing {
            timeout(Duration::from_secs(60), one).await.expect("a wake-up was lost").expect("no panic");
        }
        ringing.join().expect("no panic");
        running.abort();
    }
}
