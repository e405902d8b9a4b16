//! The session at the broker: opened, kept, and opened anew whatever ended it.
//!
//! The SDK connects again by itself once there was a session; that there is a first one, and
//! another after one that was refused for good (a token without its role, a device that somebody
//! else uses), is seen to here. While there is none, whoever asks waits for one.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use wardline_client::{Client, Options, Status, connect};

use super::metrics;
use crate::pages::Wrong;

/// Pauses between first sessions that could not be had: doubled each time, up to the longest.
const PAUSE: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// Longest time for a goodbye.
const GOODBYE: Duration = Duration::from_secs(2);

/// The session, for all senders.
#[derive(Clone)]
pub struct Link {
    client: watch::Receiver<Option<Client>>,
    wrong: watch::Receiver<Wrong>,
}

/// Keeps it; to be run until it ends.
pub struct Keeper {
    options: Options,
    client: watch::Sender<Option<Client>>,
    wrong: watch::Sender<Wrong>,
    stop: CancellationToken,
}

impl Link {
    /// A session by these options, until stopped.
    pub fn new(options: Options, stop: CancellationToken) -> (Self, Keeper) {
        let (client, told) = watch::channel(None);
        let (wrong, shown) = watch::channel(Some("was not connected yet".to_owned()));
        (Self { client: told, wrong: shown }, Keeper { options, client, wrong, stop })
    }

    /// The session's handle; waits until there is one. `None`: there will be none.
    pub(super) async fn client(&self) -> Option<Client> {
        let mut client = self.client.clone();
        let there = client.wait_for(Option::is_some).await.ok()?;
        there.clone()
    }

    /// What is wrong with the session; `None`: nothing.
    pub fn wrong(&self) -> watch::Receiver<Wrong> {
        self.wrong.clone()
    }
}

impl Keeper {
    /// Keeps the session until stopped, then says goodbye.
    pub async fn run(self) {
        let gauge = metrics::connected();
        gauge.set(0.0);
        let mut pause = PAUSE;
        loop {
            let Some(connected) = self.stop.run_until_cancelled(connect(self.options.clone())).await else {
                return;
            };
            match connected {
                Ok((client, inbox)) => {
                    pause = PAUSE;
                    self.client.send_replace(Some(client.clone()));
                    let stopped = self.follow(&client, &gauge).await;
                    drop(inbox);
                    gauge.set(0.0);
                    if stopped {
                        return client.close(GOODBYE).await;
                    }
                    self.client.send_replace(None);
                }
                Err(error) => self.tell(error.to_string()),
            }
            if self.stop.run_until_cancelled(sleep(pause)).await.is_none() {
                return;
            }
            pause = (2 * pause).min(PAUSE_MAX);
        }
    }

    /// Says how the session stands, until it is closed; true: since we stop.
    async fn follow(&self, client: &Client, gauge: &::metrics::Gauge) -> bool {
        let mut status = client.status();
        loop {
            let now = status.borrow_and_update().clone();
            match now {
                Status::Connected(_) => {
                    gauge.set(1.0);
                    if self.wrong.send_replace(None).is_some() {
                        tracing::info!(code = "broker-connected", "there is a session at the broker");
                    }
                }
                Status::Reconnecting { why, .. } => {
                    gauge.set(0.0);
                    self.tell(why);
                }
                Status::Closed { why } => {
                    self.tell(why);
                    return false;
                }
            }
            match self.stop.run_until_cancelled(status.changed()).await {
                None => return true,
                Some(Ok(())) => {}
                Some(Err(_)) => return false,
            }
        }
    }

    /// Logged when it changes, not at every attempt.
    fn tell(&self, why: String) {
        let before = self.wrong.send_replace(Some(why.clone()));
        if before.as_ref() != Some(&why) {
            tracing::warn!(
                code = "broker-away",
                why,
                "there is no session at the broker: senders are answered AE"
            );
        }
    }
}
