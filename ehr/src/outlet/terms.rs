//! What the site says of a sender's words: whose numbers they are, which wards they mean.

use std::collections::BTreeMap;

use crate::config;
use crate::record::{Authority, Location, Text};

/// Such terms.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// The operator's name for the sender: the source of its events.
    pub name: String,
    /// Who assigned what the sender says nobody of. Empty: such an identifier is refused.
    pub authority: String,
    /// What is said instead of what the sender says of who assigns.
    pub authorities: BTreeMap<String, String>,
    /// The same of wards; of a facility's as `FACILITY/WARD`.
    pub wards: BTreeMap<String, String>,
    /// Whether an A08 that has a place means that the patient is there now.
    pub update_moves: bool,
    /// Whether patients' names are told.
    pub labels: bool,
}

impl Terms {
    /// As configured.
    pub fn of(name: &str, sender: &config::Sender) -> Self {
        Self {
            name: name.to_owned(),
            authority: sender.authority.clone(),
            authorities: sender.authorities.clone(),
            wards: sender.wards.clone(),
            update_moves: sender.update_moves,
            labels: sender.labels,
        }
    }

    /// What an authority is called; `None`: nobody says who it is.
    pub(super) fn authority(&self, said: Option<&Authority>) -> Option<String> {
        let own = || (!self.authority.is_empty()).then(|| self.authority.clone());
        let Some(said) = said else { return own() };
        let universal = said.universal.as_ref().map(|(universal, _)| universal);
        let words = || [universal, said.namespace.as_ref()].into_iter().flatten().map(Text::as_str);
        let meant = words().find_map(|word| self.authorities.get(word).cloned());
        meant.or_else(|| words().next().map(str::to_owned)).or_else(own)
    }

    /// What a ward is called.
    pub(super) fn ward(&self, location: &Location) -> Option<String> {
        let ward = location.ward.as_ref()?.as_str();
        let of_facility = location.facility.as_ref().map(|facility| format!("{}/{ward}", facility.as_str()));
        let meant = of_facility.and_then(|word| self.wards.get(&word)).or_else(|| self.wards.get(ward));
        Some(meant.cloned().unwrap_or_else(|| ward.to_owned()))
    }
}
