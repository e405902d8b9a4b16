//! Who may do what, where: each operation, by everybody, in every state of a conversation, tried.
//!
//! The answers make up `docs/rights.md`. The test fails if the page differs from what the machine
//! answers, so that a check that is missing, or a new one, shows there and is looked at.
//! `UPDATE_RIGHTS=1` writes the page.

#[path = "../page/mod.rs"]
mod page;
mod record;
mod scene;

use std::fmt::Write as _;

use scene::{NOTHING, Operation, Scene, State, Who};
use wardline_storage::command::Rights;

const HEAD: &str = "# Rights

Who may do what, in every state of a conversation, and what the answer is.
This page is written by a test (`the_page_says_what_is_answered`), which tries every cell.
A right is looked up when it is used ([decision 61](decisions/061-roles.md)).

- **done**: it is done; **no change**: it was so already.
- **forbidden**: a member, but not allowed (`FORBIDDEN`).
- **not found**: there is no such conversation, or the caller may not see it: one answer for both.
- **no member**: the person to be named is not a member (`NOT_FOUND`).
- **too short**: below what the operator lets people choose (`INVALID_ARGUMENT`).
- **-**: there is nobody, or nothing, of the kind.

Here the operator has set a floor of 1 h, a default of 2 days and a ceiling of 10 days.
Who made a direct conversation has no role in it.
";

const CARE: &str = "
## In a care conversation

Its members are those whom the patients' record names, and nobody manages it
([decision 82](decisions/082-regrouping.md)).
A member who is the tenant's administrator may do what members may.

";

const RECORD: &str = "
## What the record says

";

fn cell(who: Who, operation: Operation, state: State) -> &'static str {
    if who.is_in(state) { Scene::new(state).answer(who, operation) } else { NOTHING }
}

fn row(page: &mut String, cells: &[&str]) {
    let _ = writeln!(page, "| {} |", cells.join(" | "));
}

fn page() -> String {
    let mut page = HEAD.to_owned();
    page += "\n## Create\n\n";
    row(&mut page, &["the token says", "direct", "group", "broadcast"]);
    page += "|---|---|---|---|\n";
    for (name, broadcaster, administrator) in
        [("nothing", false, false), ("broadcaster", true, false), ("administrator", false, true)]
    {
        let create =
            |state| Scene::empty(state).create(Rights { broadcaster, administrator, ..Rights::default() });
        row(&mut page, &[name, create(State::Direct), create(State::Group), create(State::Broadcast)]);
    }
    for operation in Operation::ALL {
        let _ = writeln!(page, "\n## {}\n", operation.name());
        row(&mut page, &["who", "direct", "group", "without admin", "broadcast", "without admin"]);
        page += "|---|---|---|---|---|---|\n";
        for who in Who::ALL {
            let answers = State::ALL.map(|state| cell(who, operation, state));
            row(&mut page, &[&[who.name()][..], &answers].concat());
        }
    }
    page += &care();
    page += &of_the_record();
    page
}

/// What holds in a care conversation: the same for everybody who is not in it.
fn care() -> String {
    let mut page = CARE.to_owned();
    let header = ["", "member", "former member", "administrator", "anybody else"];
    row(&mut page, &header);
    page += "|---|---|---|---|---|\n";
    for operation in Operation::ALL {
        let answer = |who| cell(who, operation, State::Care);
        let member = answer(Who::Member);
        let differs = [NOTHING, member];
        assert!(differs.contains(&answer(Who::MemberAndAdministrator)), "{operation:?}");
        let others = [Who::Nobody, Who::Stranger, Who::StrangersAdministrator, Who::Impostor].map(answer);
        let other = others.into_iter().find(|other| *other != NOTHING).unwrap_or(NOTHING);
        assert!(others.iter().all(|answer| [NOTHING, other].contains(answer)), "{operation:?}: {others:?}");
        let (former, administrator) = (answer(Who::Former), answer(Who::Administrator));
        row(&mut page, &[operation.name(), member, former, administrator, other]);
    }
    page
}

/// Who may say what the patients' record says.
fn of_the_record() -> String {
    let mut page = RECORD.to_owned();
    row(&mut page, &["the token says", "registrar", "broadcaster and administrator", "nothing"]);
    page += "|---|---|---|---|\n";
    let both = Rights { broadcaster: true, administrator: true, ..Rights::default() };
    let registrar = Rights { registrar: true, ..Rights::default() };
    for (name, command) in record::all() {
        let bring = |rights| Scene::empty(State::Care).bring_record(rights, command.clone());
        let answers = [registrar, both, Rights::default()].map(bring);
        row(&mut page, &[&[name][..], &answers].concat());
    }
    page
}

#[test]
fn the_page_says_what_is_answered() {
    page::is_committed("rights.md", &page(), "UPDATE_RIGHTS", "rights");
}
