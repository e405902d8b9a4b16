//! The rules for an engine that keeps files: what becomes of them when it reclaims, is copied, is
//! killed, fails, or finds them damaged.
//!
//! Each rule works in folders of its own, which go with it, and ends within seconds. Some need a
//! process that is killed or that meets a full disk: for those, the test that calls
//! [`run_on_disk`] is run again, as a child that does what the rule wants and ends. Chance comes
//! from `WARDLINE_SEED`, and a failure names it.

mod child;
mod copy;
mod damage;
mod failed;
mod folder;
mod garbage;
mod kill;
mod refusal;
mod rot;
mod scans;
mod story;
mod subject;
mod tasks;

pub use subject::OnDisk;

/// A rule for engines that keep files.
#[derive(Clone, Copy)]
pub struct RuleOnDisk {
    /// What it says.
    pub name: &'static str,
    check: fn(&OnDisk<'_>),
}

/// All of them.
pub const RULES_ON_DISK: &[RuleOnDisk] = &[
    rule("a folder that cannot be used is refused", refusal::out_of_reach),
    rule("a folder is known as a store, or what is left of one", refusal::is_known),
    rule("a store in use is refused, and unharmed", refusal::in_use),
    rule("a newer store is refused", refusal::newer),
    rule("no file holds what was reclaimed", garbage::no_file_holds_it),
    rule("replaced and deleted bytes go from every table", garbage::from_every_table),
    rule("a scan sees what was there when it began", scans::sees_its_beginning),
    rule("a scan beside a reclaim is whole, and the reclaim honest", scans::beside_a_reclaim),
    rule("scans beside commits and reclaims see one state", scans::beside_everything),
    rule("a checkpoint is a store of its own", copy::is_a_store),
    rule("a checkpoint beside commits has whole batches", copy::beside_commits),
    rule("a kill takes nothing that was synced, and no part of a batch", kill::takes_the_end_at_most),
    rule("after a failed commit nothing is committed", failed::nothing_follows),
    rule("a reclaim or a checkpoint that fails does no harm", failed::others_do_no_harm),
    rule("damage is refused or reported, and nothing is lost by it", damage::is_never_silent),
    rule("what rots while a store is open is never served", rot::is_never_served),
];

const fn rule(name: &'static str, check: fn(&OnDisk<'_>)) -> RuleOnDisk {
    RuleOnDisk { name, check }
}

/// Checks every rule for engines that keep files.
///
/// # Panics
/// If the engine breaks one.
pub fn run_on_disk(on_disk: &OnDisk<'_>) {
    for rule in RULES_ON_DISK {
        rule.check(on_disk);
    }
}

impl RuleOnDisk {
    /// Checks this rule.
    ///
    /// # Panics
    /// If the engine breaks it.
    pub fn check(&self, on_disk: &OnDisk<'_>) {
        tasks::do_if_asked(on_disk);
        (self.check)(on_disk);
    }
}

impl std::fmt::Debug for RuleOnDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}
