//! What registrars say: in which order it comes does not matter, and what is odd has its answer.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use wardline_storage::command::{Command, Outcome, Rejection, Verdict};
use wardline_storage::encounter::{Bed, Encounter, EncounterEvent, Heard, Location, Place, Status, What};
use wardline_storage::engine::{
    Direction, Durability, Engine, EngineError, KeyRange, Mutation, Table, Visit,
};
use wardline_storage::hooked::{HookedEngine, Hooks};
use wardline_storage::id::{
    BedId, EncounterId, EventId, IdentifierId, PatientId, TenantId, Timestamp, WardId,
};
use wardline_storage::key::Stay;
use wardline_storage::model::Text;
use wardline_storage::patient::{Identifier, Merge, Naming, Patient, PatientEvent};
use wardline_storage::said::{Effect, SourceEvent};
use wardline_storage::staff::{StaffEvent, StaffOf};

use crate::driver::{ALICE, Driver};

pub(crate) const TENANT: TenantId = TenantId::new([1; 16]);
pub(crate) const STAY: EncounterId = EncounterId::new([0xec; 16]);
pub(crate) const NORTH: WardId = WardId::new([0xda; 16]);
pub(crate) const SOUTH: WardId = WardId::new([0xdb; 16]);

fn identifier(number: u8) -> (IdentifierId, Identifier) {
    let identifier = Identifier { authority: Text::new("MRN"), value: Text::new(format!("{number}")) };
    (IdentifierId::new([number; 16]), identifier)
}

fn naming(numbers: impl IntoIterator<Item = u8>) -> Naming {
    Naming { identifiers: numbers.into_iter().map(identifier).collect(), label: None }
}

pub(crate) fn at(ward: WardId, bed: Option<u8>) -> Option<Location> {
    let name = if ward == NORTH { "North" } else { "South" };
    let bed = bed.map(|bed| Bed { id: BedId::new([bed; 16]), name: Text::new(format!("{bed}")) });
    Some(Location { place: Place { ward, bed }, ward_name: Text::new(name) })
}

pub(crate) fn event(id: u16, time: Timestamp, what: What, place: Option<Location>) -> EncounterEvent {
    let source = source(id, time);
    let number = Identifier { authority: Text::new("VN"), value: Text::new("1") };
    EncounterEvent { source, encounter: STAY, number, what, place, patient: naming([7]) }
}

pub(crate) fn source(id: u16, time: Timestamp) -> SourceEvent {
    SourceEvent { id: EventId::new(u128::from(id).to_be_bytes()), time }
}

pub(crate) fn say(driver: &mut Driver, command: Command) -> Verdict {
    let mut submission = driver.submission(ALICE, command);
    Arc::make_mut(&mut submission.actor).rights.registrar = true;
    driver.applier.apply_group(driver.now, &[submission]).expect("memory does not fail").verdicts.remove(0)
}

pub(crate) fn hear(driver: &mut Driver, command: Command) -> Heard {
    match say(driver, command) {
        Ok(Outcome::Heard(heard)) => heard,
        other => panic!("not heard: {other:?}"),
    }
}

pub(crate) fn happened(driver: &mut Driver, event: EncounterEvent) -> Heard {
    hear(driver, Command::Encounter(Box::new(event)))
}

fn merge(driver: &mut Driver, id: u16, survivor: Naming, retired: Naming) -> Verdict {
    let source = source(id, driver.now);
    say(driver, Command::Merge(Box::new(Merge { source, survivor, retired })))
}

fn encounter(driver: &Driver) -> Encounter {
    driver.view().encounter(TENANT, STAY).expect("readable").expect("it is known")
}

fn on(driver: &Driver, stay: Stay) -> Vec<EncounterId> {
    driver.view().stays(stay, None, 100).expect("readable").items
}

fn orders(of: usize) -> Vec<Vec<usize>> {
    if of == 0 {
        return vec![Vec::new()];
    }
    let insert = |order: &Vec<usize>, place| {
        let mut order = order.clone();
        order.insert(place, of - 1);
        order
    };
    orders(of - 1).iter().flat_map(|order| (0..of).map(move |place| insert(order, place))).collect()
}

/// Everything in the tables of the record.
fn contents(driver: &Driver) -> Vec<(Table, Vec<u8>, Vec<u8>)> {
    let mut rows = Vec::new();
    for table in [Table::Patient, Table::Identifier, Table::Encounter, Table::Stay, Table::Ward] {
        let mut visit = |row: wardline_storage::engine::Row<'_>| {
            rows.push((table, row.key.to_vec(), row.value.to_vec()));
            ControlFlow::Continue(())
        };
        driver
            .engine
            .scan(table, KeyRange::ALL, Direction::Forward, driver.now, &mut visit)
            .expect("memory does not fail");
    }
    rows
}

/// Five events of any kind and of different times, in all 120 orders.
#[test]
fn the_order_of_arrival_does_not_matter() {
    let first: u64 = std::env::var("WARDLINE_SEED").map_or(1, |seed| seed.parse().expect("a number"));
    for seed in first..first + 60 {
        let mut chance = StdRng::seed_from_u64(seed);
        let events: Vec<EncounterEvent> = (0..5)
            .map(|number| {
                let what = What::ALL[chance.random_range(0..What::ALL.len())];
                let ward = [NORTH, SOUTH][chance.random_range(0..2)];
                let place = at(ward, Some(chance.random_range(1..3)));
                let place = place.filter(|_| what.wants_place() || chance.random_range(0..2) == 0);
                let mut event = event(number, Timestamp(1_000 * u64::from(number)), what, place);
                event.patient.label =
                    [None, Some("M. M."), Some("")][chance.random_range(0..3)].map(Text::new);
                event
            })
            .collect();
        let mut expected = None;
        for order in orders(events.len()) {
            let mut driver = Driver::new();
            for place in &order {
                happened(&mut driver, events[*place].clone());
            }
            let found = contents(&driver);
            let expected = expected.get_or_insert_with(|| found.clone());
            assert_eq!(*expected, found, "seed {seed}, order {order:?} of {events:?}");
        }
    }
}

#[test]
fn only_registrars_say_what_the_record_says() {
    let mut driver = Driver::new();
    let now = driver.now;
    for command in [
        Command::Encounter(Box::new(event(1, now, What::Admit, at(NORTH, None)))),
        Command::Patient(Box::new(PatientEvent { source: source(1, now), patient: naming([1]) })),
        Command::Merge(Box::new(Merge {
            source: source(1, now),
            survivor: naming([1]),
            retired: naming([2]),
        })),
        Command::Staff(Box::new(StaffEvent {
            source: source(1, now),
            of: StaffOf::Ward(NORTH),
            people: Vec::new(),
        })),
    ] {
        assert_eq!(driver.apply(ALICE, command), Err(Rejection::NotRegistrar));
    }
    assert!(contents(&driver).is_empty());
}

#[test]
fn an_event_of_the_future_counts_as_now() {
    let mut driver = Driver::new();
    let year_2099 = Timestamp(4_070_908_800_000);
    let heard = happened(&mut driver, event(1, year_2099, What::Discharge, None));
    assert!(heard.ahead && heard.made);
    assert_eq!(encounter(&driver).life.said.expect("said").time, driver.now);
    driver.now = driver.now.after(Duration::from_secs(1));
    let now = driver.now;
    let heard = happened(&mut driver, event(2, now, What::CancelDischarge, None));
    assert_eq!((heard.effect, heard.ahead), (Effect::Changed, false), "what follows is heard");
    assert_eq!(encounter(&driver).status(), Status::InProgress);
}

#[test]
fn an_event_is_remembered_for_thirty_days_and_harmless_after() {
    let mut driver = Driver::new();
    let began = driver.now;
    let discharge = event(2, began, What::Discharge, None);
    happened(&mut driver, event(1, began, What::Admit, at(NORTH, None)));
    assert_eq!(happened(&mut driver, discharge.clone()).effect, Effect::Changed);
    // In the same second; only the id tells that the discharge is not a new one.
    assert_eq!(happened(&mut driver, event(3, began, What::CancelDischarge, None)).effect, Effect::Changed);
    let day = Duration::from_secs(86_400);
    driver.now = Timestamp(began.after(day * 30).0 - 1);
    let again = happened(&mut driver, discharge.clone());
    assert_eq!((again.effect, again.encounter, again.made), (Effect::Repeated, Some(STAY), false));
    assert_eq!(encounter(&driver).status(), Status::InProgress);
    let now = driver.now;
    happened(&mut driver, event(4, now, What::Update, None));
    happened(&mut driver, event(5, now, What::CancelDischarge, None));
    driver.now = began.after(day * 30);
    assert_eq!(happened(&mut driver, discharge).effect, Effect::Late, "forgotten, and late");
}

#[test]
fn what_an_unknown_encounter_hears_makes_it_and_its_admission_comes_late() {
    let mut driver = Driver::new();
    let time = |seconds: u64| Timestamp(900_000 + seconds);
    let heard = happened(&mut driver, event(1, time(2), What::Transfer, at(SOUTH, Some(1))));
    assert!(heard.made);
    assert_eq!(encounter(&driver).status(), Status::InProgress);
    assert_eq!(on(&driver, Stay::On(SOUTH)), [STAY]);
    let heard = happened(&mut driver, event(2, time(1), What::Admit, at(NORTH, Some(2))));
    assert_eq!((heard.effect, heard.made), (Effect::Unchanged, false), "it began, as everybody knew");
    assert_eq!((on(&driver, Stay::On(NORTH)), on(&driver, Stay::On(SOUTH))), (vec![], vec![STAY]));
}

#[test]
fn a_bed_that_two_encounters_hold_is_told() {
    let mut driver = Driver::new();
    let now = driver.now;
    assert_eq!(happened(&mut driver, event(1, now, What::Admit, at(NORTH, Some(1)))).bed, None);
    let other = EncounterId::new([0x11; 16]);
    let second = |id, what, place| EncounterEvent { encounter: other, ..event(id, now, what, place) };
    assert_eq!(happened(&mut driver, second(2, What::Admit, at(NORTH, Some(1)))).bed, Some(STAY));
    assert_eq!(on(&driver, Stay::In(BedId::new([1; 16]))), [other, STAY], "nobody is moved");
    assert_eq!(happened(&mut driver, event(3, now, What::Update, None)).bed, Some(other));
    assert_eq!(happened(&mut driver, event(4, now, What::Leave, None)).bed, Some(other), "the bed is kept");
    assert_eq!(happened(&mut driver, event(5, now, What::Discharge, None)).bed, None);
    assert_eq!(happened(&mut driver, second(6, What::Update, None)).bed, None);
    assert_eq!(on(&driver, Stay::On(NORTH)), [other]);
}

#[test]
fn an_encounter_stays_that_of_its_patient() {
    let mut driver = Driver::new();
    let now = driver.now;
    happened(&mut driver, event(1, now, What::Admit, at(NORTH, None)));
    let of = |id, numbers: [u8; 1]| EncounterEvent {
        patient: naming(numbers),
        ..event(id, now, What::Discharge, None)
    };
    let stray = say(&mut driver, Command::Encounter(Box::new(of(2, [8]))));
    assert_eq!(stray, Err(Rejection::OtherPatient));
    assert_eq!(encounter(&driver).status(), Status::InProgress);
    merge(&mut driver, 3, naming([8]), naming([7])).expect("two patients become one");
    assert_eq!(happened(&mut driver, of(4, [8])).effect, Effect::Changed);
    assert_eq!(
        happened(&mut driver, of(5, [7])).patient.expect("named"),
        PatientId::new([8; 16]),
        "the retired number leads on"
    );
}

#[test]
fn a_merge_in_a_circle_is_refused() {
    let mut driver = Driver::new();
    for number in 1..=3 {
        let patient = PatientEvent { source: source(number, driver.now), patient: naming([number as u8]) };
        hear(&mut driver, Command::Patient(Box::new(patient)));
    }
    assert_eq!(merge(&mut driver, 10, naming([1]), naming([1])), Err(Rejection::MergeCircle));
    merge(&mut driver, 11, naming([2]), naming([1])).expect("1 is 2");
    assert_eq!(merge(&mut driver, 12, naming([1]), naming([2])), Err(Rejection::MergeCircle));
    merge(&mut driver, 13, naming([3]), naming([2])).expect("2 is 3");
    assert_eq!(merge(&mut driver, 14, naming([1]), naming([3])), Err(Rejection::MergeCircle));
    let before = contents(&driver);
    let Ok(Outcome::Heard(heard)) = merge(&mut driver, 15, naming([3]), naming([1])) else {
        panic!("it is so already");
    };
    assert_eq!((heard.effect, heard.patient), (Effect::Unchanged, Some(PatientId::new([3; 16]))));
    assert_eq!(contents(&driver), before);
    for number in 1..=3 {
        let (id, patient) =
            driver.view().identified(TENANT, identifier(number).0).expect("readable").expect("known");
        assert_eq!((id, patient.merged_into), (PatientId::new([3; 16]), None));
    }
}

#[test]
fn a_merge_with_somebody_unknown_names_them() {
    let mut driver = Driver::new();
    let Ok(Outcome::Heard(heard)) = merge(&mut driver, 1, naming([1]), naming([2])) else {
        panic!("both are made known")
    };
    assert!(heard.made);
    happened(
        &mut driver,
        EncounterEvent { patient: naming([2]), ..event(2, Timestamp(1), What::Admit, None) },
    );
    assert_eq!(on(&driver, Stay::Of(PatientId::new([1; 16]))), [STAY]);
}

#[test]
fn identifiers_of_two_patients_are_disputed_and_stay_where_they_are() {
    let mut driver = Driver::new();
    let now = driver.now;
    let mut patient = |id, numbers: &[u8]| {
        let patient = PatientEvent { source: source(id, now), patient: naming(numbers.iter().copied()) };
        hear(&mut driver, Command::Patient(Box::new(patient)))
    };
    patient(1, &[1]);
    patient(2, &[2]);
    let heard = patient(3, &[9, 2, 1]);
    assert_eq!(
        (heard.patient, heard.disputed),
        (Some(PatientId::new([2; 16])), true),
        "the first that is known"
    );
    let owner = |number| driver.view().identified(TENANT, identifier(number).0).expect("readable");
    let owners = [1, 2, 9].map(|number| owner(number).expect("known").0);
    assert_eq!(owners, [1, 2, 2].map(|number| PatientId::new([number; 16])));
}

#[test]
fn a_patient_has_an_identifier_and_not_too_many() {
    let mut driver = Driver::new();
    let now = driver.now;
    let mut patient = |id, numbers: std::ops::Range<u8>| {
        let patient = PatientEvent { source: source(id, now), patient: naming(numbers) };
        say(&mut driver, Command::Patient(Box::new(patient)))
    };
    assert_eq!(patient(1, 0..0), Err(Rejection::NoIdentifier));
    assert_eq!(patient(2, 1..10), Err(Rejection::IdentifiersMax { max: Naming::IDENTIFIERS_MAX }));
    patient(3, 1..9).expect("eight");
    patient(4, 8..15).expect("six more");
    patient(5, 14..17).expect("two more");
    assert_eq!(patient(6, 16..18), Err(Rejection::IdentifiersMax { max: Patient::IDENTIFIERS_MAX }));
    patient(6, 16..17).expect("a refusal is not remembered");
}

#[test]
fn a_transfer_says_where_to() {
    let mut driver = Driver::new();
    let now = driver.now;
    for what in [What::Transfer, What::CancelTransfer] {
        let nowhere = Command::Encounter(Box::new(event(1, now, what, None)));
        assert_eq!(say(&mut driver, nowhere), Err(Rejection::NoPlace));
    }
}

/// Counts the records that are read, visited and written.
#[derive(Default)]
pub(crate) struct Counted(pub(crate) AtomicUsize);

impl Counted {
    fn add(&self, count: usize) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }
}

impl Hooks for Counted {
    fn get(
        &self,
        below: &dyn Engine,
        table: Table,
        key: &[u8],
        now: Timestamp,
    ) -> Result<Option<Bytes>, EngineError> {
        self.add(1);
        below.get(table, key, now)
    }

    fn scan(
        &self,
        below: &dyn Engine,
        table: Table,
        range: KeyRange<'_>,
        direction: Direction,
        now: Timestamp,
        visit: Visit<'_>,
    ) -> Result<(), EngineError> {
        below.scan(table, range, direction, now, &mut |row| {
            self.add(1);
            visit(row)
        })
    }

    fn commit(
        &self,
        below: &dyn Engine,
        batch: &[Mutation],
        durability: Durability,
    ) -> Result<(), EngineError> {
        self.add(batch.len());
        below.commit(batch, durability)
    }
}

/// What every command of a registrar touches beside what it says of itself.
pub(crate) const FEW: usize = 28;

/// The worst that each can meet: everything full, everything changes.
#[test]
fn a_command_touches_as_many_records_as_it_says() {
    let engine = Arc::new(HookedEngine::new(Counted::default()));
    let mut driver = Driver::on(Arc::clone(&engine) as _);
    let touched = |driver: &mut Driver, command: Command| {
        let stated = command.records();
        engine.hooks.0.store(0, Ordering::Relaxed);
        hear(driver, command);
        let count = engine.hooks.0.load(Ordering::Relaxed);
        assert!(count <= stated + FEW, "{count} records, {stated} and {FEW} are stated");
    };
    let now = driver.now;
    for number in 0..40 {
        // A bed that many share, and an encounter that moves about.
        let encounter = EncounterId::new([number; 16]);
        let admit =
            EncounterEvent { encounter, ..event(number.into(), now, What::Admit, at(NORTH, Some(1))) };
        touched(&mut driver, Command::Encounter(Box::new(admit)));
    }
    for (id, ward) in [(100, SOUTH), (101, NORTH), (102, SOUTH)] {
        let identifiers = naming([7].into_iter().chain(100..107)).identifiers;
        let mut moved = event(id, now, What::Transfer, at(ward, Some(1)));
        moved.patient = Naming { identifiers, label: Some(Text::new("M. M.")) };
        touched(&mut driver, Command::Encounter(Box::new(moved)));
    }
    // Two patients, one of whom absorbed as many as may be.
    let mut id = 200;
    let mut next = || {
        id += 1;
        source(id, now)
    };
    for number in 150..165 {
        let absorbed = Merge { source: next(), survivor: naming([120]), retired: naming([number]) };
        hear(
            &mut driver,
            Command::Patient(Box::new(PatientEvent { source: next(), patient: naming([number]) })),
        );
        touched(&mut driver, Command::Merge(Box::new(absorbed)));
    }
    let survivor = naming([130].into_iter().chain(170..177));
    let retired = naming([120].into_iter().chain(180..187));
    touched(&mut driver, Command::Merge(Box::new(Merge { source: next(), survivor, retired })));
    let (id, patient) =
        driver.view().identified(TENANT, identifier(150).0).expect("readable").expect("it is known");
    assert_eq!((id, patient.absorbed.len()), (PatientId::new([130; 16]), Patient::ABSORBED_MAX));
    assert_eq!(patient.absorbed.iter().collect::<BTreeSet<_>>().len(), Patient::ABSORBED_MAX);
    hear(&mut driver, Command::Patient(Box::new(PatientEvent { source: next(), patient: naming([190]) })));
    let one_more = Merge { source: next(), survivor: naming([130]), retired: naming([190]) };
    let refused = say(&mut driver, Command::Merge(Box::new(one_more)));
    assert_eq!(refused, Err(Rejection::MergesMax { max: Patient::ABSORBED_MAX }));
}
