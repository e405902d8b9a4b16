//! How far an observation and a report are: HL7 tables 0085 and 0123 in FHIR's words.
//!
//! A report is what OBR-25 says, unless its observations say more: if all of them were taken back
//! it is withdrawn, and if one was corrected it is corrected.

use crate::record::ReportState;

/// OBX-11.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ObservationState {
    Registered,
    Preliminary,
    Final,
    Corrected,
    Amended,
    Cancelled,
    Withdrawn,
    Unknown,
}

impl ObservationState {
    /// Reads it.
    pub(super) fn read(code: &str) -> Self {
        match code {
            "I" | "O" | "N" => Self::Registered,
            "P" | "R" | "S" => Self::Preliminary,
            "F" | "U" | "V" => Self::Final,
            "C" => Self::Corrected,
            "A" | "B" => Self::Amended,
            "X" => Self::Cancelled,
            "D" | "W" => Self::Withdrawn,
            _ => Self::Unknown,
        }
    }

    /// FHIR's word for it.
    pub(super) fn fhir(self) -> &'static str {
        match self {
            Self::Registered => "registered",
            Self::Preliminary => "preliminary",
            Self::Final => "final",
            Self::Corrected => "corrected",
            Self::Amended => "amended",
            Self::Cancelled => "cancelled",
            Self::Withdrawn => "entered-in-error",
            Self::Unknown => "unknown",
        }
    }
}

/// The state of a report, of OBR-25 and of its observations.
pub(super) fn report(code: Option<&str>, observations: &[ObservationState]) -> ReportState {
    use ObservationState as Of;
    let is_any = |state: Of| observations.contains(&state);
    let are_all = |states: &[Of]| {
        !observations.is_empty() && observations.iter().all(|observation| states.contains(observation))
    };
    if are_all(&[Of::Withdrawn]) {
        return ReportState::Withdrawn;
    }
    let said = match code {
        Some("O" | "I" | "S") => ReportState::Registered,
        Some("A") => ReportState::Partial,
        Some("P" | "R") => ReportState::Preliminary,
        Some("F") => ReportState::Final,
        Some("C") => ReportState::Corrected,
        Some("X") => ReportState::Cancelled,
        _ if are_all(&[Of::Final, Of::Corrected, Of::Amended, Of::Withdrawn]) => ReportState::Final,
        _ if are_all(&[Of::Cancelled]) => ReportState::Cancelled,
        _ if is_any(Of::Preliminary) || is_any(Of::Final) => ReportState::Preliminary,
        _ if is_any(Of::Registered) => ReportState::Registered,
        _ => ReportState::Unknown,
    };
    let is_corrected = is_any(Of::Corrected) || is_any(Of::Amended) || is_any(Of::Withdrawn);
    if said == ReportState::Final && is_corrected { ReportState::Corrected } else { said }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_observations_say_counts_with_what_the_order_says() {
        use ObservationState as Of;
        let state = |code, of: &[Of]| report(code, of);
        assert_eq!(state(Some("F"), &[Of::Final]), ReportState::Final);
        assert_eq!(state(Some("F"), &[Of::Final, Of::Corrected]), ReportState::Corrected);
        assert_eq!(state(Some("F"), &[Of::Withdrawn, Of::Withdrawn]), ReportState::Withdrawn);
        assert_eq!(state(Some("F"), &[Of::Withdrawn, Of::Final]), ReportState::Corrected);
        assert_eq!(state(Some("P"), &[Of::Final]), ReportState::Preliminary);
        assert_eq!(state(None, &[Of::Final, Of::Preliminary]), ReportState::Preliminary);
        assert_eq!(state(None, &[]), ReportState::Unknown);
        assert_eq!(state(Some("?"), &[Of::Cancelled]), ReportState::Cancelled);
    }

    #[test]
    fn later_states_replace_earlier_ones() {
        let in_turn = [
            ReportState::Registered,
            ReportState::Partial,
            ReportState::Preliminary,
            ReportState::Final,
            ReportState::Corrected,
            ReportState::Withdrawn,
        ];
        assert!(in_turn.is_sorted());
    }
}
