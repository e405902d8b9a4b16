//! Turns against a clock of the test's own, and over two threads.

use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;
use tokio::time::timeout;

use super::*;

const DEADLINE: Duration = Duration::from_secs(20);
const TURN: Duration = Duration::from_micros(80);

/// Tasks that do nothing, of connections of their own.
fn idle(turns: &Turns, count: usize) -> Vec<Arc<Task>> {
    let tasks = (0..count).map(|_| turns.spawn(Box::pin(std::future::pending()), Arc::default()));
    let tasks: Vec<_> = tasks.collect();
    while let Some(task) = turns.next() {
        turns.leave(&task, Duration::ZERO);
    }
    tasks
}

fn wake(task: &Arc<Task>) {
    task.wake_by_ref();
}

#[test]
fn who_uses_little_does_not_stand_behind_those_who_use_much() {
    let turns = Turns::new();
    let tasks = idle(&turns, 101);
    let (quiet, busy) = tasks.split_last().expect("a hundred and one");
    busy.iter().for_each(wake);
    for round in 0..1000 {
        let task = turns.next().expect("a hundred wait");
        wake(&task);
        turns.leave(&task, TURN);
        // At the begin nobody has used anything.
        if round >= 200 && round % 50 == 0 {
            wake(quiet);
            let next = turns.next().expect("a hundred and one wait");
            assert_eq!(next.number, quiet.number, "in round {round}");
            turns.leave(&next, TURN / 10);
        }
    }
}

#[test]
fn nobody_waits_for_ever_and_time_is_shared_evenly() {
    let turns = Turns::new();
    let tasks = idle(&turns, 3);
    tasks.iter().for_each(wake);
    let mut used = [Duration::ZERO; 3];
    for _ in 0..6000 {
        let task = turns.next().expect("three wait");
        let which = tasks.iter().position(|other| Arc::ptr_eq(other, &task)).expect("one of them");
        // One takes twice as long as the next.
        let took = TURN * (1 << which);
        used[which] += took;
        wake(&task);
        turns.leave(&task, took);
    }
    let (least, most) = (used.iter().min(), used.iter().max());
    assert!(most.zip(least).is_some_and(|(most, least)| *most - *least <= TURN * 8), "{used:?}");
}

#[test]
fn a_connection_that_was_idle_has_saved_little() {
    let turns = Turns::new();
    let tasks = idle(&turns, 2);
    wake(&tasks[0]);
    for _ in 0..1000 {
        let task = turns.next().expect("it waits");
        wake(&task);
        turns.leave(&task, TURN);
    }
    wake(&tasks[1]);
    let ahead = (CREDIT.as_nanos() / TURN.as_nanos()) as usize + 1;
    let had: Vec<_> = (0..ahead + 10)
        .map(|_| {
            let task = turns.next().expect("both wait");
            wake(&task);
            turns.leave(&task, TURN);
            task.number
        })
        .collect();
    let of_the_first = had.iter().filter(|number| **number == tasks[0].number).count();
    assert!((4..=6).contains(&of_the_first), "{had:?}");
    assert!(had[..ahead - 1].iter().all(|number| *number == tasks[1].number), "{had:?}");
}

#[test]
fn two_tasks_of_a_connection_share_its_time() {
    let turns = Turns::new();
    let tasks = idle(&turns, 2);
    let (beside, _end) = tasks[0].beside(std::future::pending());
    let all = [&tasks[0], &tasks[1], &beside];
    all.iter().for_each(|task| wake(task));
    let mut used = [0_u32; 2];
    for _ in 0..300 {
        let task = turns.next().expect("three wait");
        used[usize::from(Arc::ptr_eq(&task, &tasks[1]))] += 1;
        wake(&task);
        turns.leave(&task, TURN);
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
        let turns = Turns::new();
        let tasks = idle(&turns, TASKS);
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
                    let Some(task) = turns.next() else {
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
                        turns.leave(&tasks[which], Duration::from_micros(took));
                        wishes[which].runs = false;
                    }
                }
            }
            let waiting = turns.queue.lock().waiting.len();
            let want = wishes.iter().filter(|wish| wish.woken && !wish.runs).count();
            prop_assert_eq!(waiting, want);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_ends_its_own_task_alone() {
    let turns = Turns::new();
    let giving: Vec<_> = (0..2)
        .map(|_| {
            let turns = Arc::clone(&turns);
            tokio::spawn(async move { turns.run().await })
        })
        .collect();
    let first = turns.spawn(Box::pin(async {}), Arc::default());
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
    for task in giving {
        task.abort();
    }
}
