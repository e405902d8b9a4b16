//! Clinical content: results of orders, as FHIR.

use super::people::{Identifier, Patient};
use super::text::Text;
use super::when::Moment;

/// Results of one patient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Results {
    /// Whose they are.
    pub patient: Patient,
    /// In which encounter; `None`: the sender does not say.
    pub encounter: Option<Identifier>,
    /// One for each order.
    pub reports: Vec<Report>,
}

/// The result of one order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The order by its filler's number, else its placer's: later reports with the same replace it.
    pub order: Option<Text>,
    /// How far it is.
    pub state: ReportState,
    /// When it became so; the later of two with the same state counts.
    pub issued: Option<Moment>,
    /// Whether somebody has to look at once.
    pub is_critical: bool,
    /// A FHIR R4 DiagnosticReport with its Observations: `application/fhir+json`.
    pub fhir: Text,
}

/// How far a report is. In the order in which one replaces another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ReportState {
    /// The sender does not say.
    Unknown,
    /// Ordered, or the specimen is there.
    Registered,
    /// Some of it is there.
    Partial,
    /// Not yet checked.
    Preliminary,
    /// It is this.
    Final,
    /// It was another.
    Corrected,
    /// It will not come.
    Cancelled,
    /// It should not have been said; whoever read it must know.
    Withdrawn,
}

impl ReportState {
    /// FHIR's word for it.
    pub fn fhir(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Registered => "registered",
            Self::Partial => "partial",
            Self::Preliminary => "preliminary",
            Self::Final => "final",
            Self::Corrected => "corrected",
            Self::Cancelled => "cancelled",
            Self::Withdrawn => "entered-in-error",
        }
    }
}
