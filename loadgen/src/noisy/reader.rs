//! Somebody else who reads their history again and again, while it counts.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use hdrhistogram::Histogram;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};
use wardline_client::{Client, ConversationId, DeviceId, Direction, NewConversation, Outgoing};

use super::table::Figure;
use crate::dialler::Dialler;
use crate::run::moment::Moment;

/// How often they ask.
const HISTORY_EVERY: Duration = Duration::from_millis(20);
/// Messages of it.
const HISTORY_MESSAGES: usize = 50;

/// One who reads.
pub(super) struct Reader {
    client: Client,
    conversation: ConversationId,
}

impl Reader {
    /// Connects, and writes what is then read.
    ///
    /// # Errors
    /// If the broker does not let them.
    pub(super) async fn new(dialler: &Arc<Dialler>) -> anyhow::Result<Self> {
        let name = format!("reader-{:016x}", rand::random::<u64>());
        let (client, _inbox) = dialler.dial(&name, DeviceId::random()).await?;
        let new = NewConversation { title: "history".into(), members: Vec::new(), retention: None };
        let conversation = client.create_group(new).await?.id;
        for _ in 0..HISTORY_MESSAGES {
            client.publish(Outgoing::new(conversation, "", vec![0x68; 300])).await?;
        }
        Ok(Self { client, conversation })
    }

    /// Reads on time, however long it takes, from when it counts until it is over; times count from
    /// when each was due.
    ///
    /// # Errors
    /// If it is refused.
    pub(super) async fn run(self, mut moment: watch::Receiver<Moment>) -> anyhow::Result<Figure> {
        let mut times: Histogram<u64> = Histogram::new(3).context("three digits are allowed")?;
        moment.wait_for(|moment| *moment >= Moment::Measuring).await?;
        let mut due = interval(HISTORY_EVERY);
        due.set_missed_tick_behavior(MissedTickBehavior::Burst);
        while *moment.borrow() == Moment::Measuring {
            let due = due.tick().await;
            let page = self.client.history(self.conversation, 0, Direction::Forward, 0);
            page.await.context("somebody else's history was refused")?;
            let took = Instant::now().duration_since(due).as_micros();
            times.record(took as u64).context("more than a histogram holds")?;
        }
        let at = |quantile| times.value_at_quantile(quantile);
        Ok(Figure { count: times.len(), p50_us: at(0.5), p99_us: at(0.99) })
    }
}
