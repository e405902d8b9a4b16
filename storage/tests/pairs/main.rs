//! Every pair of events of an encounter, in both orders of arrival, each heard again.
//!
//! The answers make up `docs/record.md`. The test fails if the page differs from what the machine
//! answers, or if it matters which of the two came first. `UPDATE_RECORD=1` writes the page.

#[path = "../page/mod.rs"]
mod page;

use std::fmt::Write as _;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use wardline_storage::applier::Applier;
use wardline_storage::command::{Actor, Command, Outcome, Rights, Submission, Verdict};
use wardline_storage::encounter::{EncounterEvent, Location, Place, Status, What};
use wardline_storage::engine::{Direction, Engine, KeyRange, Table};
use wardline_storage::id::{
    DeviceId, EncounterId, EventId, IdentifierId, TenantId, Timestamp, UserId, WardId,
};
use wardline_storage::memory::MemoryEngine;
use wardline_storage::model::{Policy, Text};
use wardline_storage::patient::{Identifier, Naming};
use wardline_storage::said::{Effect, SourceEvent};
use wardline_storage::view::View;

const HEAD: &str = "# What the record says

What comes of each event of an encounter, and of every two of them.
This page is written by a test (`the_page_says_what_is_answered`), which tries every pair in both
orders of arrival, and each event again.
Why it is so stands in [decision 80](decisions/080-latest-words.md).

An encounter is a few latest words: whether it is planned, in progress, finished or cancelled, where
it stands, whether the patient is away.
An event says some of them at its source's time, and of each the latest holds.
So it never matters which of two events came first; the tables hold for both.
Of two events of the same time the one that came later counts as the later one.
A time that lies ahead of the log's counts as the log's.

- **changed**: something is otherwise now; **unchanged**: it was so already.
- **late**: a later word is known on all that it says, and holds.
- The same event again (by its source and id, within 30 days) is answered **repeated** and changes
  nothing; after that, or under another id, it changes nothing either.
- An event of an encounter that is not known makes it.
- A transfer, and the taking back of one, says where the patient is; here admission, plan, return
  and the taking back of a discharge do so, too.

Here the first event names ward A, the second ward B.
";

const TENANT: TenantId = TenantId::new([1; 16]);
const ENCOUNTER: EncounterId = EncounterId::new([0xec; 16]);
const NOW: Timestamp = Timestamp(1_700_000_000_000);
const POLICY: Policy = Policy {
    retention_max: Duration::from_secs(86_400),
    dedupe_window: Duration::from_secs(3_600),
    members_max: 100,
    devices_max: 4,
};
const WORKS: &str = "memory does not fail";

/// An event, and whether it is the earlier or the later one by its source's time.
#[derive(Clone, Copy)]
struct Told {
    what: What,
    is_second: bool,
}

impl Told {
    fn first(what: What) -> Self {
        Self { what, is_second: false }
    }

    fn second(what: What) -> Self {
        Self { what, is_second: true }
    }

    fn command(self, id: u8) -> Command {
        let has_place = matches!(
            self.what,
            What::Plan
                | What::Admit
                | What::Transfer
                | What::Return
                | What::CancelTransfer
                | What::CancelDischarge
        );
        let number = 1 + u8::from(self.is_second);
        let place = Place { ward: WardId::new([number; 16]), bed: None };
        let ward_name = Text::new(if self.is_second { "B" } else { "A" });
        let identifier =
            |authority, value| Identifier { authority: Text::new(authority), value: Text::new(value) };
        Command::Encounter(Box::new(EncounterEvent {
            source: SourceEvent {
                id: EventId::new([id; 16]),
                time: Timestamp(NOW.0 + 1_000 * u64::from(number)),
            },
            encounter: ENCOUNTER,
            number: identifier("VN", "1"),
            what: self.what,
            place: has_place.then_some(Location { place, ward_name }),
            patient: Naming {
                identifiers: vec![(IdentifierId::new([7; 16]), identifier("MRN", "4711"))],
                label: None,
            },
        }))
    }
}

struct Scene {
    engine: Arc<MemoryEngine>,
    applier: Applier,
    events: u8,
}

impl Scene {
    fn new() -> Self {
        let engine = Arc::new(MemoryEngine::default());
        let applier = Applier::new(engine.clone()).expect(WORKS);
        let mut scene = Self { engine, applier, events: 0 };
        scene.apply(Command::SetPolicy(POLICY)).expect("a policy is taken");
        scene
    }

    fn hear(&mut self, told: Told) -> Effect {
        self.events += 1;
        self.hear_as(told, self.events)
    }

    fn hear_as(&mut self, told: Told, id: u8) -> Effect {
        match self.apply(told.command(id)) {
            Ok(Outcome::Heard(heard)) => heard.effect,
            other => panic!("not heard: {other:?}"),
        }
    }

    fn apply(&mut self, command: Command) -> Verdict {
        let rights = Rights { registrar: true, ..Rights::default() };
        let (user, device, name) = (UserId::new([9; 16]), DeviceId::new([9; 16]), Text::new("bridge"));
        let actor = Arc::new(Actor { tenant: TENANT, user, name, device, rights });
        let submission = Submission { actor, command };
        let later = Timestamp(NOW.0 + 10_000);
        self.applier.apply_group(later, &[submission]).expect(WORKS).verdicts.remove(0)
    }

    /// How it stands.
    fn stands(&self) -> String {
        let view = View::new(&*self.engine, NOW);
        let encounter = view.encounter(TENANT, ENCOUNTER).expect(WORKS).expect("an event makes it");
        let ward = encounter
            .place
            .value
            .as_ref()
            .map(|place| view.ward(TENANT, place.ward).expect(WORKS).expect("it was named").name.value);
        let status = match encounter.status() {
            Status::Planned => "planned",
            Status::InProgress => "in-progress",
            Status::OnLeave => "on-leave",
            Status::Finished => "finished",
            Status::Cancelled => "cancelled",
        };
        format!("{status} | {}", ward.as_ref().map_or("-", Text::as_str))
    }

    /// What is found where, beside which event said it.
    fn stays(&self) -> Vec<Vec<u8>> {
        let mut keys = Vec::new();
        let mut visit = |row: wardline_storage::engine::Row<'_>| {
            keys.push(row.key.to_vec());
            ControlFlow::Continue(())
        };
        self.engine.scan(Table::Stay, KeyRange::ALL, Direction::Forward, NOW, &mut visit).expect(WORKS);
        keys
    }
}

fn word(effect: Effect) -> &'static str {
    match effect {
        Effect::Changed => "changed",
        Effect::Unchanged => "unchanged",
        Effect::Late => "late",
        Effect::Repeated => "repeated",
    }
}

fn name(what: What) -> &'static str {
    match what {
        What::Plan => "plan (A05)",
        What::Admit => "admit (A01, A04)",
        What::Update => "update (A08)",
        What::Transfer => "transfer (A02)",
        What::Leave => "leave (A21)",
        What::Return => "return (A22)",
        What::Discharge => "discharge (A03)",
        What::CancelAdmit => "cancel admit (A11)",
        What::CancelTransfer => "cancel transfer (A12)",
        What::CancelLeave => "cancel leave (A52)",
        What::CancelReturn => "cancel return (A53)",
        What::CancelDischarge => "cancel discharge (A13)",
    }
}

/// One pair: how it stands then, and what the later one was answered, in its turn and late.
fn pair(first: What, second: What) -> (String, Effect, Effect) {
    let (first, second) = (Told::first(first), Told::second(second));
    let mut in_turn = Scene::new();
    in_turn.hear(first);
    let answer = in_turn.hear(second);
    let mut late = Scene::new();
    late.hear(second);
    let late_answer = late.hear(first);

    let (stands, stays) = (in_turn.stands(), in_turn.stays());
    let what = format!("{}, {}", name(first.what), name(second.what));
    assert_eq!(late.stands(), stands, "{what}: the order of arrival matters");
    assert_eq!(late.stays(), stays, "{what}: the order of arrival matters");
    for (again, id) in [(first, 1), (second, 2)] {
        assert_eq!(in_turn.hear_as(again, id), Effect::Repeated, "{what}");
        assert_ne!(in_turn.hear(again), Effect::Changed, "{what}: under another id");
        assert_eq!((in_turn.stands(), in_turn.stays()), (stands.clone(), stays.clone()), "{what}: again");
    }
    (stands, answer, late_answer)
}

fn page() -> String {
    let mut page = HEAD.to_owned();
    page += "\n## One event, of an encounter that is not known\n\n";
    page += "| event | status | ward |\n|---|---|---|\n";
    for what in What::ALL {
        let mut scene = Scene::new();
        assert_eq!(scene.hear(Told::first(what)), Effect::Changed);
        let _ = writeln!(page, "| {} | {} |", name(what), scene.stands());
    }
    for first in What::ALL {
        let _ = writeln!(page, "\n## First {}\n", name(first));
        page += "| then | status | ward | answer | the first, if it comes after |\n|---|---|---|---|---|\n";
        for second in What::ALL {
            let (stands, answer, late) = pair(first, second);
            let _ = writeln!(page, "| {} | {stands} | {} | {} |", name(second), word(answer), word(late));
        }
    }
    page
}

#[test]
fn the_page_says_what_is_answered() {
    page::is_committed("record.md", &page(), "UPDATE_RECORD", "pairs");
}
