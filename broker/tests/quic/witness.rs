//! Bystanders: two people who talk while somebody else misbehaves, and whom that must not concern.

use wardline_client::{ConversationId, Outgoing};

use crate::site::{Person, Site, within};

/// Two people in a conversation of their own.
pub(crate) struct Witness {
    speaker: Person,
    listener: Person,
    group: ConversationId,
    said: u64,
}

impl Witness {
    /// Lets them talk a little.
    pub(crate) async fn start(site: &Site) -> Self {
        let (speaker, listener) = (site.person("speaker").await, site.person("listener").await);
        let group = speaker.group(&["listener"]).await;
        let mut witness = Self { speaker, listener, group, said: 0 };
        witness.talk().await;
        witness
    }

    /// Asserts that they can still talk, over the same connections, and that nothing of what they
    /// said is lost, doubled or out of order.
    pub(crate) async fn stays_unharmed(mut self) {
        self.talk().await;
        self.looks_back().await;
        for person in [&self.speaker, &self.listener] {
            assert_eq!(person.session().await.generation, 0, "they did not have to connect again");
        }
    }

    /// Asserts that everything that they said is there.
    pub(crate) async fn looks_back(&self) {
        let history = self.listener.history(self.group).await;
        assert!(history.iter().map(|entry| entry.sequence).eq(1..=self.said), "all of it, once, in order");
    }

    async fn talk(&mut self) {
        let mut pending = Vec::new();
        for _ in 0..20 {
            let message =
                Outgoing::text(self.group, format!("still here {}", self.said + pending.len() as u64));
            pending
                .push(within("a place in the window", self.speaker.client.enqueue(message)).await.unwrap());
        }
        for ack in pending {
            self.said += 1;
            assert_eq!(within("a bystander's ack", ack.wait()).await.unwrap().sequence, self.said);
            assert_eq!(self.listener.entry().await.sequence, self.said);
        }
    }
}
