//! The machine and the view against the model: the same outcomes, the same events, the same reads.
//!
//! 100,000 generated sequences by default. `WARDLINE_SEED=N` starts elsewhere (the seed of a
//! failing sequence, with `WARDLINE_SEQUENCES=1`, replays it); `WARDLINE_SEQUENCES=N` runs more or
//! fewer.

mod model;
mod mutant;

use std::sync::Arc;

use model::check::{Tally, grouping, sequence};
use model::generate::Draw;
use mutant::Defect;
use wardline_storage::hooked::HookedEngine;
use wardline_storage::memory::MemoryEngine;

fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} wants a whole number, not {text}")))
}

fn seed() -> u64 {
    setting("WARDLINE_SEED").unwrap_or(1)
}

#[test]
fn machine_and_view_do_what_the_model_does() {
    let (first, count) = (seed(), setting("WARDLINE_SEQUENCES").unwrap_or(100_000));
    println!("seeds {first} to {}", first + count - 1);
    let mut tally = Tally::default();
    for seed in first..first + count {
        let engine = Arc::new(MemoryEngine::default());
        if let Err(what) = sequence(engine, Draw::new(&[], seed), 36, &mut tally) {
            panic!("seed {seed}: {what}\nreplay: WARDLINE_SEED={seed} WARDLINE_SEQUENCES=1");
        }
    }
    println!("{} commands: {:?}", tally.commands, tally.happened);
    if count >= 10_000 {
        for what in [
            "Created",
            "Changed(None",
            "Changed(Some",
            "Published",
            "Acknowledged",
            "DeviceRegistered",
            "Reexpired",
            "Noted",
            "NoPolicy",
            "NotFound",
            "Forbidden",
            "NotBroadcaster",
            "NotMember",
            "RetentionMin",
            "ExpiryMin",
            "MembersMax",
            "ReplyTarget",
            "ReceiptBeyondHead",
            "ReceiptBackwards",
            "NotUrgent",
            "Appended",
            "Erased",
            "Receipt",
            "Joined",
            "Left",
            "RetentionShortened",
            "FirstPublish",
            "Changed",
            "Unchanged",
            "Late",
            "Repeated",
            "Regrouped",
            "RegroupDue",
            "NotRegistrar",
            "NoIdentifier",
            "NoPlace",
            "OtherPatient",
            "MergeCircle",
        ] {
            assert!(
                tally.happened.get(what).is_some_and(|count| *count >= 100),
                "hardly ever happens: {what}"
            );
        }
    }
}

#[test]
fn grouping_changes_nothing() {
    let first = seed();
    println!("seeds {first} to {}", first + 1_999);
    for seed in first..first + 2_000 {
        if let Err(what) = grouping(Draw::new(&[], seed), 40) {
            panic!("seed {seed}: {what}");
        }
    }
}

/// Plants one defect after the other beneath the machine and the view; the comparison must find
/// each.
#[test]
fn the_comparison_finds_planted_defects() {
    for defect in Defect::ALL {
        let found = (1..=3_000).find_map(|seed| {
            let engine = Arc::new(HookedEngine::new(defect));
            sequence(engine, Draw::new(&[], seed), 36, &mut Tally::default()).err().map(|what| (seed, what))
        });
        let Some((seed, what)) = found else { panic!("{defect:?} was not found in 3,000 sequences") };
        println!("{defect:?}: found by seed {seed}: {}", what.lines().next().unwrap_or_default());
    }
}
