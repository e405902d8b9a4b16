//! Everybody in a trial: four members who live through it, an outsider, a guest whose access comes
//! and goes, an auditor for each member, a governor, and the conversations, which change from time
//! to time so that reading them back stays short.
//!
//! Owns who lives and who is away. Nothing here judges: people and auditors tell the journal.

use std::sync::Arc;
use std::time::Duration;

use crate::event::{Event, Life, User};
use anyhow::Context;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use wardline_client::{DeviceId, NewConversation, connect};

use crate::audit::{self, Auditor, Unreadable};
use crate::crowd::{self, Crowd};
use crate::governor::{FLOOR, govern};
use crate::journal::Journal;
use crate::people::{Dial, GUEST, Kind, MEMBERS, OUTSIDER, Person, Room, World, dial, intrude, until};

/// See the module's documentation.
pub(crate) struct Ward {
    dial: Dial,
    world: World,
    random: StdRng,
    people: Vec<Person>,
    /// Who was ended and not begun again.
    away: Vec<(User, DeviceId)>,
    auditors: Vec<Auditor>,
    outsiders: JoinSet<()>,
    rooms: watch::Sender<Vec<Room>>,
    /// Nobody publishes into them any more.
    old: Vec<Room>,
    lives: u64,
}

impl Ward {
    /// Connects everybody and lets them begin.
    pub(crate) async fn open(to: Dial, journal: &Arc<Journal>, seed: u64) -> anyhow::Result<Self> {
        let auditors = audit::auditors(&to, journal).await?;
        let (rooms, watched) = watch::channel(Vec::new());
        let world = World { journal: Arc::clone(journal), rooms: watched, quiet: CancellationToken::new() };
        let mut ward = Self {
            dial: to,
            world,
            random: StdRng::seed_from_u64(seed),
            people: Vec::new(),
            away: Vec::new(),
            auditors,
            outsiders: JoinSet::new(),
            rooms,
            old: Vec::new(),
            lives: 0,
        };
        ward.rotate().await?;
        for user in MEMBERS {
            ward.begin(user, DeviceId::random()).await?;
        }
        let (client, _) = dial(ward.dial.options(OUTSIDER, DeviceId::random())?).await?;
        let (life, random) = (ward.next_life(), StdRng::seed_from_u64(ward.random.random()));
        ward.outsiders.spawn(intrude(ward.world.clone(), client, life, random));
        let mut options = ward.dial.options(MEMBERS[0], DeviceId::random())?;
        options.publish_only = true;
        let (client, _) = dial(options).await?;
        let random = StdRng::seed_from_u64(ward.random.random());
        ward.outsiders.spawn(govern(ward.world.clone(), client, random));
        Ok(ward)
    }

    /// Lets the guest try to come in, once.
    pub(crate) async fn let_guest_try(&self) -> anyhow::Result<()> {
        let since = self.world.journal.heard();
        let options = self.dial.options(GUEST, DeviceId::random())?;
        if let Ok((client, _inbox)) = connect(options).await {
            self.world.journal.note(Event::LetIn { user: GUEST, since });
            client.close(Duration::ZERO).await;
        }
        Ok(())
    }

    /// Makes new conversations, into which everything goes from now on.
    pub(crate) async fn rotate(&mut self) -> anyhow::Result<()> {
        let mut rooms = Vec::new();
        for kind in Kind::ALL {
            rooms.push(self.make(kind, None).await?);
        }
        let before = self.rooms.send_replace(rooms);
        self.old.extend(before);
        Ok(())
    }

    /// Makes a conversation of all members.
    async fn make(&self, kind: Kind, retention: Option<Duration>) -> anyhow::Result<Room> {
        let owner = self.auditors.first().context("there are auditors")?.client();
        let members = MEMBERS[1..].iter().map(|user| user.0.to_owned()).collect();
        let new = NewConversation { title: "Ward".into(), members, retention };
        let made = owner.create_group(new).await.context("a conversation cannot be made")?;
        let (room, retention_ms) = (made.id, made.retention.as_millis() as u64);
        self.world.journal.note(Event::Opened { room, members: MEMBERS.into(), retention_ms });
        if kind == Kind::Governed {
            self.world.journal.note(Event::Governed { room, floor_ms: FLOOR.as_millis() as u64 });
        }
        Ok(Room { id: room, kind })
    }

    /// Lets a crowd come: further devices of the members, some of which publish long messages into
    /// a conversation of their own as fast as they may, while the others never read what they are
    /// sent.
    pub(crate) async fn crowd(&mut self, size: crowd::Size) -> anyhow::Result<Crowd> {
        let room = self.make(Kind::Bulky, Some(size.retention)).await?;
        self.old.push(room);
        let mut crowd = Crowd::new(room);
        for (turn, user) in (0..size.publishers + size.idlers).zip(MEMBERS.into_iter().cycle()) {
            let options = self.dial.options(user, DeviceId::random())?;
            if turn >= size.publishers {
                crowd.add_idler(options).await?;
                continue;
            }
            let (life, seed) = (self.next_life(), self.random.random());
            crowd.add_publisher(&self.world, options, user, life, size.messages, seed).await?;
        }
        Ok(crowd)
    }

    /// Reads one conversation back, as everybody.
    pub(crate) async fn audit_room(&self, room: Room) -> Result<(), Unreadable> {
        audit::audit(&self.auditors, &[room]).await
    }

    /// Ends somebody in the middle of what they do.
    pub(crate) async fn end_somebody(&mut self) -> anyhow::Result<()> {
        let who = self.random.random_range(0..self.people.len());
        let person = self.people.swap_remove(who);
        self.away.push((person.user, person.device));
        person.end().await
    }

    /// Lets those who were ended begin again, with the same device.
    pub(crate) async fn begin_again(&mut self) -> anyhow::Result<()> {
        for (user, device) in std::mem::take(&mut self.away) {
            self.begin(user, device).await?;
        }
        Ok(())
    }

    /// Reads the present conversations and one older one back, as everybody.
    pub(crate) async fn audit(&mut self) -> Result<(), Unreadable> {
        let rooms = self.some_rooms();
        audit::audit(&self.auditors, &rooms).await
    }

    /// The same, as one of them.
    pub(crate) async fn audit_as_one(&mut self, turn: u64) -> Result<(), Unreadable> {
        let rooms = self.some_rooms();
        let one = turn as usize % self.auditors.len();
        audit::audit(&self.auditors[one..=one], &rooms).await
    }

    fn some_rooms(&mut self) -> Vec<Room> {
        let mut rooms = self.rooms.borrow().clone();
        if !self.old.is_empty() {
            rooms.push(self.old[self.random.random_range(0..self.old.len())]);
        }
        rooms
    }

    /// Reads everything back, as everybody.
    pub(crate) async fn audit_all(&self) -> Result<(), Unreadable> {
        audit::audit(&self.auditors, &self.rooms()).await
    }

    /// All conversations that there ever were.
    pub(crate) fn rooms(&self) -> Vec<Room> {
        self.old.iter().chain(&*self.rooms.borrow()).copied().collect()
    }

    /// Lets everybody finish what they began; then nothing is open, and everybody has everything.
    pub(crate) async fn settle(&self) -> anyhow::Result<()> {
        let journal = &self.world.journal;
        self.world.quiet.cancel();
        until("every message to be answered", || journal.oracle(|oracle| oracle.open() == 0)).await?;
        // What stays in its conversation; of the rest some has expired before they had it.
        let mut rooms = self.rooms();
        rooms.retain(|room| room.kind.stays());
        let has = |person: &Person, room: &Room| {
            journal
                .oracle(|oracle| oracle.delivered_up_to(person.device, room.id) >= oracle.last_place(room.id))
        };
        let has_all = |person: &Person| rooms.iter().all(|room| has(person, room));
        until("everybody to have everything", || self.people.iter().all(has_all)).await
    }

    /// Sends everybody home; waits so long for each one's last receipts.
    pub(crate) async fn close(mut self, patience: Duration) -> anyhow::Result<()> {
        self.world.quiet.cancel();
        for person in std::mem::take(&mut self.people) {
            person.client.close(patience).await;
            person.end().await?;
        }
        for auditor in &self.auditors {
            auditor.client().close(patience).await;
        }
        while let Some(ended) = self.outsiders.join_next().await {
            ended.context("the outsider's task has panicked")?;
        }
        Ok(())
    }

    async fn begin(&mut self, user: User, device: DeviceId) -> anyhow::Result<()> {
        let (life, seed) = (self.next_life(), self.random.random());
        let options = self.dial.options(user, device)?;
        self.people.push(Person::begin(&self.world, options, user, life, seed).await?);
        Ok(())
    }

    fn next_life(&mut self) -> Life {
        self.lives += 1;
        Life(self.lives)
    }
}
