//! The rules for engines that keep files hold for a sound engine, and each catches an engine that
//! breaks it.
//!
//! The engine is a simple one, written for this: a log of batches and a note. Its defects are those
//! of real engines: see `defect`.

mod defect;
mod files;
mod frame;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use defect::Defect;
use files::Files;
use wardline_storage::conformance::{OnDisk, RULES_ON_DISK, RuleOnDisk, run_on_disk};

/// Tells a child which defect its engine has.
const DEFECT: &str = "CONFORMANCE_DEFECT";

/// Tries a rule on an engine with this defect.
fn check(test: &str, defect: Defect, check: impl Fn(&OnDisk<'_>)) {
    let engine = Files { defect };
    let name = format!("{defect:?}");
    let variables = [(DEFECT, name.as_str())];
    let make_newer = &|folder: &Path| files::make_newer(folder);
    check(&OnDisk { engine: &engine, test, variables: &variables, make_newer });
}

#[test]
fn a_sound_engine_conforms() {
    check("a_sound_engine_conforms", Defect::None, run_on_disk);
}

#[test]
fn each_rule_catches_an_engine_that_breaks_it() {
    const TEST: &str = "each_rule_catches_an_engine_that_breaks_it";
    if let Ok(given) = std::env::var(DEFECT) {
        let (defect, _) = defect::ALL.iter().find(|(defect, _)| format!("{defect:?}") == given).expect("one");
        return check(TEST, *defect, run_on_disk);
    }
    for (defect, broken) in defect::ALL {
        let rule = rule(broken);
        let passes = catch_unwind(AssertUnwindSafe(|| check(TEST, *defect, |on_disk| rule.check(on_disk))));
        assert!(passes.is_err(), "{defect:?} passes the rule {broken:?}");
    }
    for rule in RULES_ON_DISK {
        assert!(
            defect::ALL.iter().any(|(_, broken)| *broken == rule.name),
            "no defect shows that the rule {:?} can fail",
            rule.name
        );
    }
}

fn rule(name: &str) -> &'static RuleOnDisk {
    RULES_ON_DISK.iter().find(|rule| rule.name == name).expect("a rule of that name")
}
