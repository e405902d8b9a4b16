//! The way out: events become commands, and the broker is told them, through the SDK.
//!
//! A sender is answered AA only when the broker has said of every command of its message that it is
//! durable. What comes twice is told twice, under the same id, and the broker does it once.

pub mod commands;
mod link;
mod metrics;
mod reply;
mod terms;

use std::sync::atomic::{AtomicBool, Ordering};

use wardline_client::record::Recorded;
use wardline_client::{Client, RequestError};

pub use link::{Keeper, Link};
pub use terms::Terms;

use crate::hl7::ack::{Objection, Reply};
use crate::hl7::flaw::Code;
use crate::listener::Sink;
use crate::record::{Event, What};
use commands::{Command, commands};
use metrics::Metrics;

/// Tells the broker what one sender says.
pub struct Outlet {
    link: Link,
    terms: Terms,
    /// Results are refused, not passed over.
    refuses_results: bool,
    metrics: Metrics,
    /// The broker said that the bridge may not, and nothing else since.
    is_forbidden: AtomicBool,
}

impl Outlet {
    /// For one sender.
    pub fn new(link: Link, terms: Terms, refuses_results: bool) -> Self {
        let metrics = Metrics::new(&terms.name);
        Self { link, terms, refuses_results, metrics, is_forbidden: AtomicBool::new(false) }
    }

    fn results(&self) -> Reply {
        if self.refuses_results {
            let text = "results are not taken here".to_owned();
            return Reply::Refused(Objection { code: Code::EventCode, at: None, text });
        }
        self.metrics.results.increment(1);
        Reply::Applied
    }

    async fn tell(&self, client: &Client, command: &Command) -> Result<(), Reply> {
        match told(client, command).await {
            Ok(recorded) => {
                self.is_forbidden.store(false, Ordering::Relaxed);
                self.metrics.recorded(&recorded);
                Ok(())
            }
            Err(error) => {
                let (reply, word) = reply::reply(&error);
                self.metrics.told(word);
                if word == "forbidden" && !self.is_forbidden.swap(true, Ordering::Relaxed) {
                    tracing::error!(
                        code = "broker-forbids", %error,
                        "the broker does not let the bridge do this: give its token the role registrar"
                    );
                }
                Err(reply)
            }
        }
    }
}

impl Sink for Outlet {
    async fn apply(&self, event: Event) -> Reply {
        if matches!(event.what, What::Results(_)) {
            return self.results();
        }
        let commands = match commands(&event, &self.terms) {
            Ok(commands) => commands,
            Err(objection) => return Reply::Refused(objection),
        };
        self.metrics.left_out(commands.left_out);
        let Some(client) = self.link.client().await else {
            return Reply::retry("the bridge is stopping: send it again");
        };
        for command in &commands.all {
            if let Err(reply) = self.tell(&client, command).await {
                return reply;
            }
        }
        Reply::Applied
    }
}

async fn told(client: &Client, command: &Command) -> Result<Recorded, RequestError> {
    match command {
        Command::Encounter(event) => client.record_encounter(event).await,
        Command::Patient(event) => client.record_patient(event).await,
        Command::Merge(merge) => client.merge_patients(merge).await,
    }
}
