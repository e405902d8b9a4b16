//! Draws what a registrar says: few patients, encounters and beds, and times around now, so that
//! what is late, ahead, repeated and disputed all happens.

use wardline_storage::command::Command;
use wardline_storage::encounter::{Bed, EncounterEvent, Location, Place, What};
use wardline_storage::id::{BedId, EncounterId, EventId, IdentifierId, Timestamp, WardId};
use wardline_storage::model::Text;
use wardline_storage::patient::{Identifier, Merge, Naming, PatientEvent};
use wardline_storage::said::SourceEvent;
use wardline_storage::staff::{StaffEvent, StaffOf};

use super::generate::{Draw, person};

pub(crate) const IDENTIFIERS: u8 = 6;
pub(crate) const ENCOUNTERS: u8 = 3;
pub(crate) const WARDS: u8 = 2;
pub(crate) const BEDS: u8 = 2;
const EVENTS: u64 = 60;

pub(crate) fn identifier(number: u8) -> IdentifierId {
    IdentifierId::new([if number == IDENTIFIERS - 1 { 0xff } else { 0x50 + number }; 16])
}

pub(crate) fn encounter(number: u8) -> EncounterId {
    EncounterId::new([0x60 + number; 16])
}

pub(crate) fn ward(number: u8) -> WardId {
    WardId::new([if number == WARDS - 1 { 0xff } else { 0x70 + number }; 16])
}

pub(crate) fn bed(ward: u8, number: u8) -> BedId {
    BedId::new([0x80 + ward * BEDS + number; 16])
}

/// Whose encounters are mostly whose: one identifier each.
pub(crate) fn command(draw: &mut Draw, now: Timestamp) -> Command {
    match draw.below(20) {
        0..2 => {
            Command::Patient(Box::new(PatientEvent { source: source(draw, now), patient: anybody(draw) }))
        }
        2..5 => Command::Staff(Box::new(StaffEvent {
            source: source(draw, now),
            of: staff_of(draw),
            people: (0..draw.below(4)).map(|_| person(draw.below(4) as u8)).collect(),
        })),
        5..8 => Command::Regroup { of: staff_of(draw) },
        8 => Command::Merge(Box::new(Merge {
            source: source(draw, now),
            survivor: anybody(draw),
            retired: anybody(draw),
        })),
        _ => Command::Encounter(Box::new(event(draw, now))),
    }
}

fn staff_of(draw: &mut Draw) -> StaffOf {
    match draw.below(4) {
        0 => StaffOf::Ward(ward(draw.below(WARDS.into()) as u8)),
        _ => StaffOf::Encounter(encounter(draw.below(ENCOUNTERS.into()) as u8)),
    }
}

fn event(draw: &mut Draw, now: Timestamp) -> EncounterEvent {
    let number = draw.below(ENCOUNTERS.into()) as u8;
    let mut patient = Naming { identifiers: vec![named(number)], label: label(draw) };
    if draw.below(10) == 0 {
        patient = anybody(draw);
    }
    let what = What::ALL[draw.below(12) as usize];
    let place = (what.wants_place() || draw.below(3) == 0).then(|| location(draw));
    EncounterEvent {
        source: source(draw, now),
        encounter: encounter(number),
        number: Identifier { authority: Text::new("VN"), value: Text::new(format!("{number}")) },
        what,
        place: place.filter(|_| draw.below(20) > 0),
        patient,
    }
}

fn source(draw: &mut Draw, now: Timestamp) -> SourceEvent {
    let id = EventId::new([draw.below(EVENTS) as u8; 16]);
    // Whole steps, so that many are of the same time; some are yet to come.
    let back = draw.below(12) * 10;
    let on = if draw.below(12) == 0 { 200 } else { 20 };
    SourceEvent { id, time: Timestamp((now.0 + on).saturating_sub(back)) }
}

fn location(draw: &mut Draw) -> Location {
    let number = draw.below(WARDS.into()) as u8;
    let which = draw.below(u64::from(BEDS) + 1) as u8;
    let name = Text::new(format!("{which}"));
    let bed = (which < BEDS).then(|| Bed { id: bed(number, which), name });
    let ward_name = Text::new(if draw.below(4) == 0 { "North" } else { "South" });
    Location { place: Place { ward: ward(number), bed }, ward_name }
}

fn named(number: u8) -> (IdentifierId, Identifier) {
    let (authority, value) = (Text::new("MRN"), Text::new(format!("{number}")));
    (identifier(number), Identifier { authority, value })
}

fn label(draw: &mut Draw) -> Option<Text> {
    [None, None, Some(""), Some("M. M."), Some("N. N.")][draw.below(5) as usize].map(Text::new)
}

fn anybody(draw: &mut Draw) -> Naming {
    let count = if draw.below(30) == 0 { 0 } else { 1 + draw.below(2) };
    let identifiers = (0..count).map(|_| named(draw.below(IDENTIFIERS.into()) as u8)).collect();
    Naming { identifiers, label: label(draw) }
}
