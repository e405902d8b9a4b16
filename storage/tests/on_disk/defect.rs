//! What can be wrong with an engine, and which rule says so.

/// A defect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Defect {
    /// It is sound.
    None,
    /// Opening makes the folders above, too.
    MakesParents,
    /// Everybody may look into a folder that it made.
    OpenToAll,
    /// A folder with its note, but without its log, is not known as its own.
    KnowsNoRemains,
    /// Two can open a store.
    TakesNoLock,
    /// That a store is newer is called damage.
    CallsNewerDamaged,
    /// What a reclaim replaces stays beside it.
    KeepsTheOldLog,
    /// Freed bytes come back when it is closed.
    WritesAnOldBuffer,
    /// A reclaim does nothing unless something expired.
    ForgetsReplaced,
    /// Each row of a scan is looked for anew.
    ScansRowByRow,
    /// A reclaim takes rows away from a scan that is under way.
    ReclaimsUnderScans,
    /// A batch is shown in two halves.
    ShowsHalves,
    /// The last batch is not in a copy.
    CopiesWithoutTheLast,
    /// A copy is made over another.
    CopiesOverAnother,
    /// Commits go on while tables are copied, one after the other.
    CopiesTableByTable,
    /// Synced batches are written when there are some.
    AcknowledgesEarly,
    /// Buffered batches are written when it is closed, synced ones at once.
    LosesTheMiddle,
    /// Half of a batch that was not written whole counts.
    KeepsHalves,
    /// A commit that fails is followed by others.
    TriesAgain,
    /// Errors of writing are passed over.
    HearsNoErrors,
    /// A reclaim empties the log, and then writes it anew.
    ReclaimsInPlace,
    /// A reclaim that could not write says that it is done.
    SaysItReclaimed,
    /// No checksum is looked at.
    TrustsBytes,
    /// The log ends where it cannot be read, and nobody asks whether more was synced.
    EndsQuietly,
    /// What cannot be read is removed, before it is refused.
    RemovesDamage,
    /// A store without its log is a new one.
    OpensEmpty,
    /// Scans read the log again, and look at no checksum.
    ServesRot,
    /// What cannot be read makes it panic.
    Panics,
}

/// Each defect with the rule that catches it.
pub(crate) const ALL: &[(Defect, &str)] = &[
    (Defect::MakesParents, "a folder that cannot be used is refused"),
    (Defect::OpenToAll, "a folder that cannot be used is refused"),
    (Defect::KnowsNoRemains, "a folder is known as a store, or what is left of one"),
    (Defect::TakesNoLock, "a store in use is refused, and unharmed"),
    (Defect::CallsNewerDamaged, "a newer store is refused"),
    (Defect::KeepsTheOldLog, "no file holds what was reclaimed"),
    (Defect::WritesAnOldBuffer, "no file holds what was reclaimed"),
    (Defect::ForgetsReplaced, "replaced and deleted bytes go from every table"),
    (Defect::ScansRowByRow, "a scan sees what was there when it began"),
    (Defect::ReclaimsUnderScans, "a scan beside a reclaim is whole, and the reclaim honest"),
    (Defect::ShowsHalves, "scans beside commits and reclaims see one state"),
    (Defect::CopiesWithoutTheLast, "a checkpoint is a store of its own"),
    (Defect::CopiesOverAnother, "a checkpoint is a store of its own"),
    (Defect::CopiesTableByTable, "a checkpoint beside commits has whole batches"),
    (Defect::AcknowledgesEarly, "a kill takes nothing that was synced, and no part of a batch"),
    (Defect::LosesTheMiddle, "a kill takes nothing that was synced, and no part of a batch"),
    (Defect::KeepsHalves, "a kill takes nothing that was synced, and no part of a batch"),
    (Defect::TriesAgain, "after a failed commit nothing is committed"),
    (Defect::HearsNoErrors, "after a failed commit nothing is committed"),
    (Defect::ReclaimsInPlace, "a reclaim or a checkpoint that fails does no harm"),
    (Defect::SaysItReclaimed, "a reclaim or a checkpoint that fails does no harm"),
    (Defect::TrustsBytes, "damage is refused or reported, and nothing is lost by it"),
    (Defect::EndsQuietly, "damage is refused or reported, and nothing is lost by it"),
    (Defect::RemovesDamage, "damage is refused or reported, and nothing is lost by it"),
    (Defect::OpensEmpty, "damage is refused or reported, and nothing is lost by it"),
    (Defect::ServesRot, "what rots while a store is open is never served"),
    (Defect::Panics, "damage is refused or reported, and nothing is lost by it"),
];
