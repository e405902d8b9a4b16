//! A crowd: more devices of the members than a ward has, which all want something at once.
//!
//! Some publish long messages as fast as the broker takes them, once they may begin, and tell the
//! journal as everybody does. The others let what they are sent lie, so that it piles up wherever
//! it can. Owns their clients; nothing of it is judged here.

use std::time::Duration;

use crate::event::{Life, User};
use anyhow::Context as _;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use wardline_client::{Client, Inbox, Options};

use crate::people::{PATIENCE, Room, Who, World, dial, flood};

/// How many come, and what they do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// Devices that publish.
    pub(crate) publishers: usize,
    /// Devices that never read.
    pub(crate) idlers: usize,
    /// Messages of each publisher.
    pub(crate) messages: usize,
    /// How long they are kept, so that they need not all be read back at the end of a trial.
    pub(crate) retention: Duration,
}

/// See the module's documentation.
pub(crate) struct Crowd {
    room: Room,
    clients: Vec<Client>,
    /// Kept, and never read.
    inboxes: Vec<Inbox>,
    publishing: JoinSet<()>,
    /// They may begin.
    begins: CancellationToken,
}

impl Crowd {
    /// Nobody yet, who will publish into this conversation.
    pub(crate) fn new(room: Room) -> Self {
        Self {
            room,
            clients: Vec::new(),
            inboxes: Vec::new(),
            publishing: JoinSet::new(),
            begins: CancellationToken::new(),
        }
    }

    pub(crate) async fn add_idler(&mut self, mut options: Options) -> anyhow::Result<()> {
        options.inbox_max = 1;
        let (client, inbox) = dial(options).await?;
        self.clients.push(client);
        self.inboxes.push(inbox);
        Ok(())
    }

    pub(crate) async fn add_publisher(
        &mut self,
        world: &World,
        mut options: Options,
        user: User,
        life: Life,
        messages: usize,
        seed: u64,
    ) -> anyhow::Result<()> {
        options.publish_only = true;
        let device = options.device;
        let (client, _) = dial(options).await?;
        self.clients.push(client.clone());
        let who = Who { user, device, client, world: world.clone() };
        let (room, begins) = (self.room, self.begins.clone());
        self.publishing.spawn(async move {
            begins.cancelled().await;
            flood(who, life, room, messages, StdRng::seed_from_u64(seed)).await;
        });
        Ok(())
    }

    /// Lets everybody publish who is there.
    pub(crate) fn begin(&self) {
        self.begins.cancel();
    }

    /// Whether somebody still publishes.
    pub(crate) fn is_busy(&mut self) -> bool {
        while self.publishing.try_join_next().is_some() {}
        !self.publishing.is_empty()
    }

    /// Waits until all that was published has its answer, and sends everybody home; gives the
    /// conversation.
    pub(crate) async fn disperse(mut self) -> anyhow::Result<Room> {
        let answered = async {
            while let Some(done) = self.publishing.join_next().await {
                done.context("a publisher's task has panicked")?;
            }
            anyhow::Ok(())
        };
        timeout(PATIENCE, answered).await.context("the crowd is not answered in time")??;
        for client in &self.clients {
            client.close(Duration::ZERO).await;
        }
        Ok(self.room)
    }
}
