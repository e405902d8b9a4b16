//! Reads what people have received, when they would.

use std::rc::Rc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::stage::Stage;

/// How exactly; reading takes minutes.
const TICK: Duration = Duration::from_millis(20);

/// Reads for everybody, for ever.
pub(crate) async fn read(stage: Rc<Stage>) {
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let now_ns = stage.clock.now_ns();
        loop {
            let next = stage.reading.borrow_mut().next(now_ns);
            let Some((person, seat, up_to)) = next else { break };
            let (room, _) = stage.seats[person.0 as usize][seat];
            if let Some(client) = stage.client(person) {
                client.read(stage.conversations[room.0 as usize], up_to);
            }
        }
    }
}
