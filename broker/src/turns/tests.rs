//! Turns against a clock of the test's own, and over two threads.

use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;
use tokio::time::timeout;

use super::*;

const DEADLINE: Duration = Duration::from_secs(20);
const TURN: Duration = Duration::from_micros(80);

/// Turns, and the time in which they are taken.
struct Room {
    turns: Arc<Turns>,
    now: Instant,
}

impl Room {
    fn new() -> Self {
        let turns = Turns::new(|| false);
        Self { now: turns.begun, turns }
    }

    /// Tasks that do nothing, of connections of their own.
    fn idle(&mut self, count: usize) -> Vec<Arc<Task>> {
        let task =
            |_| self.turns.spawn(Box::pin(std::future::pending()), Arc::new(Mutex::new(Used::NOTHING)));
        let tasks: Vec<_> = (0..count).map(task).collect();
        while let Some(task) = self.turns.next() {
            self.leave(&task, Duration::ZERO);
        }
        tasks
    }

    fn leave(&mut self, task: &Arc<Task>, took: Duration) {
        let begun = self.now;
        self.now += took;
        self.turns.leave(task, begun, self.now);
    }

    /// The next one has a turn.
    fn turn(&mut self, took: Duration) -> Arc<Task> {
        let task = self.turns.next().expect("somebody waits");
        self.leave(&task, took);
        task
    }

    /// The next one has a turn, and is woken meanwhile.
    fn turn_and_again(&mut self, took: Duration) -> Arc<Task> {
        let task = self.turns.next().expect("somebody waits");
        wake(&task);
        self.leave(&task, took);
        task
    }
}

fn wake(task: &Arc<Task>) {
    task.wake_by_ref();
}

#[test]
fn who_uses_little_does_not_stand_behind_those_who_use_much() {
    let mut room = Room::new();
    let tasks = room.idle(101);
    let (quiet, busy) = tasks.split_last().expect("a hundred and one");
    busy.iter().for_each(wake);
    for round in 0..1000 {
        room.turn_and_again(TURN);
        // At the begin nobody has used anything.
        if round >= 200 && round % 50 == 0 {
            wake(quiet);
            let next = room.turn(TURN / 10);
            assert_eq!(next.number, quiet.number, "in round {round}");
        }
    }
}

/// One that always has something to do, a hundred that have a little at a time, and one that has
/// less.
#[test]
fn who_uses_least_goes_first_beside_one_who_uses_all_that_is_left() {
    let mut room = Room::new();
    let tasks = room.idle(102);
    let (quiet, others) = tasks.split_last().expect("a hundred and two");
    let (greedy, light) = others.split_first().expect("a hundred and one");
    others.iter().for_each(wake);
    others.iter().for_each(|_| drop(room.turn(TURN)));
    wake(greedy);
    room.turn_and_again(TURN);
    for round in 0..100 {
        light.iter().for_each(wake);
        // It has a packet more to take in than the others each time, the moment before.
        for _ in 0..2 {
            wake(quiet);
            assert_eq!(room.turn(TURN / 10).number, quiet.number, "in round {round}");
        }
        for _ in light {
            assert_ne!(room.turn(TURN / 2).number, greedy.number, "in round {round}");
        }
        for _ in 0..10 {
            assert_eq!(room.turn_and_again(TURN).number, greedy.number, "in round {round}");
        }
    }
}

#[test]
fn nobody_waits_for_ever_and_time_is_shared_evenly() {
    let mut room = Room::new();
    let tasks = room.idle(3);
    tasks.iter().for_each(wake);
    let mut used = [Duration::ZERO; 3];
    for _ in 0..6000 {
        let task = room.turns.next().expect("three wait");
        let which = tasks.iter().position(|other| Arc::ptr_eq(other, &task)).expect("one of them");
        // One takes twice as long as the next.
        let took = TURN * (1 << which);
        used[which] += took;
        wake(&task);
        room.leave(&task, took);
    }
    let (least, most) = (used.iter().min(), used.iter().max());
    assert!(most.zip(least).is_some_and(|(most, least)| *most - *least <= *most / 50), "{used:?}");
}

#[test]
fn who_begins_to_use_much_goes_first_for_about_a_half_life() {
    let mut room = Room::new();
    let tasks = room.idle(2);
    wake(&tasks[0]);
    for _ in 0..1000 {
        room.turn_and_again(TURN);
    }
    wake(&tasks[1]);
    let begun = room.now;
    while room.turn_and_again(TURN).number == tasks[1].number && room.now - begun < HALF_LIFE * 10 {}
    let ahead = room.now - begun;
    assert!((HALF_LIFE / 2..HALF_LIFE * 2).contains(&ahead), "{ahead:?}");
    let firsts = (0..100).filter(|_| room.turn_and_again(TURN).number == tasks[0].number).count();
    assert!((45..=55).contains(&firsts), "then they take turns: {firsts} of 100");
}

#[test]
fn a_newcomer_goes_before_those_who_use_much_and_after_those_who_use_little() {
    let mut room = Room::new();
    let tasks = room.idle(2);
    for _ in 0..100 {
        wake(&tasks[0]);
        room.turn(TURN);
    }
    wake(&tasks[1]);
    room.turn(TURN / 8);
    let newcomer = room.turns.spawn(Box::pin(std::future::pending()), room.turns.newcomer(room.now));
    tasks.iter().for_each(wake);
    let order = [(); 3].map(|()| room.turn(TURN).number);
    assert_eq!(order, [tasks[1].number, newcomer.number, tasks[0].number]);
}

#[test]
fn years_of_service_change_no_order() {
    for years in [0_u64, 1, 30] {
        let at = Duration::from_secs(years * 365 * 24 * 3600);
        let [one, two] = [TURN, TURN + TURN / 100].map(|took| Used::NOTHING.and(took, at));
        assert!(one < two && one.and(TURN / 100, at) > one, "after {years} years");
        assert!(two < one.and(TURN, at + HALF_LIFE) && two > one.and(TURN / 1000, at), "after {years} years");
    }
}

#[test]
fn two_tasks_of_a_connection_share_its_time() {
    let mut room = Room::new();
    let tasks = room.idle(2);
    let (beside, _end) = tasks[0].beside(std::future::pending());
    [&tasks[0], &tasks[1], &beside].into_iter().for_each(wake);
    let mut used = [0_u32; 2];
    for _ in 0..300 {
        let task = room.turn_and_again(TURN);
        used[usize::from(Arc::ptr_eq(&task, &tasks[1]))] += 1;
    }
    assert!(used[0].abs_diff(used[1]) <= 4, "{used:?}");
}

#[derive(Clone, Debug)]
enum Step {
    Wake(usize),
    Hurry(usize),
    Begin,
    End(usize, u64),
}

const TASKS: usize = 5;

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..TASKS).prop_map(Step::Wake),
        1 => (0..TASKS).prop_map(Step::Hurry),
        3 => Just(Step::Begin),
        3 => (0..TASKS, 0..1000_u64).prop_map(|(which, took)| Step::End(which, took)),
    ]
}

/// What a task is known to want.
#[derive(Clone, Copy, Default)]
struct Wish {
    woken: bool,
    runs: bool,
    is_hurried: bool,
}

proptest! {
    #[test]
    fn whoever_was_woken_waits_once_or_has_another_turn(steps in prop::collection::vec(step(), 0..120)) {
        let mut room = Room::new();
        let tasks = room.idle(TASKS);
        let mut wishes = [Wish::default(); TASKS];
        for step in steps {
            match step {
                Step::Wake(which) => {
                    wake(&tasks[which]);
                    wishes[which].woken = true;
                }
                Step::Hurry(which) => {
                    tasks[which].hurry();
                    wishes[which].is_hurried = true;
                }
                Step::Begin => {
                    let Some(task) = room.turns.next() else {
                        prop_assert!(wishes.iter().all(|wish| wish.runs || !wish.woken));
                        continue;
                    };
                    let which = tasks.iter().position(|other| Arc::ptr_eq(other, &task)).expect("one of them");
                    let hurries = |wish: &Wish| wish.woken && !wish.runs && wish.is_hurried;
                    prop_assert!(wishes[which].woken && !wishes[which].runs, "had a turn for nothing, or two at once");
                    prop_assert!(hurries(&wishes[which]) || !wishes.iter().any(hurries), "somebody was in a hurry");
                    wishes[which] = Wish { runs: true, ..Wish::default() };
                }
                Step::End(which, took) => {
                    if wishes[which].runs {
                        room.leave(&tasks[which], Duration::from_micros(took));
                        wishes[which].runs = false;
                    }
                }
            }
            let waiting = room.turns.queue.lock().waiting.len();
            let want = wishes.iter().filter(|wish| wish.woken && !wish.runs).count();
            prop_assert_eq!(waiting, want);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_ends_its_own_task_alone() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let turns = Turns::new(move || count.fetch_add(1, Ordering::Relaxed).is_multiple_of(2));
    let giving: Vec<_> = (0..2)
        .map(|_| {
            let turns = Arc::clone(&turns);
            tokio::spawn(async move { turns.run().await })
        })
        .collect();
    let first = turns.spawn(Box::pin(async {}), turns.newcomer(turns.begun));
    let (_, panicked) = first.beside(async { panic!("planted") });
    let count = Arc::new(AtomicUsize::new(0));
    let ends: Vec<_> = (0..50)
        .map(|_| {
            let count = Arc::clone(&count);
            let work = async move {
                for _ in 0..20 {
                    yield_now().await;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
                count.fetch_add(1, Ordering::Relaxed);
            };
            first.beside(work).1
        })
        .collect();
    timeout(DEADLINE, panicked).await.expect("it ended").expect_err("by a panic");
    for end in ends {
        timeout(DEADLINE, end).await.expect("has its turns").expect("to its end");
    }
    assert_eq!(count.load(Ordering::Relaxed), 50);
    assert!(asked.load(Ordering::Relaxed) > 0, "between rounds");
    for task in giving {
        task.abort();
    }
}
