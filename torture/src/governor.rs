//! The governor: an admin who takes from others all the time what the operator lets them, and tries
//! what the operator does not.
//!
//! They delete messages, and change how long messages are kept, in the conversation that is there
//! for it. Each is a control command, which nothing may refuse for want of room. Never judges: the
//! journal hears what was asked and what came of it.

use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;
use tokio::time::timeout;
use wardline_client::{Client, Code, ConversationId, RequestError};

use crate::event::{Answer, Control, ControlId, Event};
use crate::journal::Journal;
use crate::people::{Kind, PATIENCE, World, unhurried};

/// The operator's floor of retention, where the governor is tried.
pub(crate) const FLOOR: Duration = Duration::from_secs(20);
/// Messages are kept so long when they are not kept for the least.
const LONG: Duration = Duration::from_secs(3600);
const GOVERN_EVERY: Duration = Duration::from_millis(70);
/// So many of ten are deletions.
const DELETIONS_OF_TEN: u32 = 7;

/// Takes away, until told to be quiet.
pub(crate) async fn govern(world: World, client: Client, mut random: StdRng) {
    let mut ticks = unhurried(GOVERN_EVERY);
    let mut count = 0;
    while world.quiet.run_until_cancelled(ticks.tick()).await.is_some() {
        let room = world.rooms.borrow().iter().find(|room| room.kind == Kind::Governed).map(|room| room.id);
        let Some(room) = room else { continue };
        let Some(control) = draw(&world.journal, room, &mut random) else { continue };
        count += 1;
        let id = ControlId(count);
        world.journal.note(Event::ControlAsked { id, room, control });
        let answer = match timeout(PATIENCE, carry_out(&client, room, control)).await {
            Ok(done) => answer_of(&done),
            Err(_) => Answer::Unknown,
        };
        world.journal.note(Event::ControlAnswered { id, answer });
    }
}

fn draw(journal: &Journal, room: ConversationId, random: &mut StdRng) -> Option<Control> {
    if random.random_ratio(DELETIONS_OF_TEN, 10) {
        return journal.oracle(|oracle| {
            let up_to = random.random_range(0..=oracle.last_place(room));
            oracle.to_delete(room, up_to).map(Control::Delete)
        });
    }
    // The least, more, and less than is allowed.
    let kept = [FLOOR, LONG, FLOOR / 2][random.random_range(0..3)];
    Some(Control::Keep(kept.as_millis() as u64))
}

async fn carry_out(client: &Client, room: ConversationId, control: Control) -> Result<(), RequestError> {
    match control {
        Control::Delete(sequence) => client.delete(room, sequence).await?,
        Control::Keep(kept_ms) => client.set_retention(room, Some(Duration::from_millis(kept_ms))).await?,
    };
    Ok(())
}

fn answer_of(done: &Result<(), RequestError>) -> Answer {
    match done {
        Ok(()) => Answer::Done,
        Err(RequestError::Refused(refusal)) => match refusal.code {
            Code::Retry | Code::ResourceExhausted | Code::StorageFull => Answer::Crowded,
            // The broker stopped, or its store failed: it may be done or not.
            Code::Unavailable | Code::ShuttingDown | Code::Internal => Answer::Unknown,
            _ => Answer::Forbidden,
        },
        Err(_) => Answer::Unknown,
    }
}
