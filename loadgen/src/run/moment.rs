//! The moments of a repetition, for whatever else is done beside it.
//!
//! Told by the run through a watch, in this order; a search for a rate goes through them for each
//! of its trials.

/// How far a repetition is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Moment {
    /// Everybody connects, and conversations are made.
    #[default]
    SettingUp,
    /// Load is offered, and nothing counts.
    WarmingUp,
    /// It counts.
    Measuring,
    /// Nothing counts any more.
    Over,
}
