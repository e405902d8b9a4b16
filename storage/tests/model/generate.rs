//! Draws submissions: few people, few conversations, short times, so that everything meets
//! everything.
//!
//! Half of what is drawn looks at the model, to hit heads, watermarks and the very milliseconds of
//! expiry; the rest is blind. The seed decides everything.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IteratorRandom;
use rand::{RngExt, SeedableRng};
use wardline_storage::command::{Acknowledge, Actor, Command, Create, Publish, Rights, Submission};
use wardline_storage::id::{ClientMessageId, ConversationId, DeviceId, Seq, TenantId, Timestamp, UserId};
use wardline_storage::model::{IdSecret, Kind, Person, Policy, Priority, Role, Text};
use wardline_storage::retention::{ByKind, Keeping, Retentions};

use super::read::edges;
use super::{Model, registrar};

/// The last one is of another tenant.
pub(crate) const USERS: [u8; 5] = [0, 1, 2, 3, 4];
/// The last three are care conversations.
pub(crate) const CONVERSATIONS: [u8; 6] = [0, 1, 2, 3, 4, 5];
pub(crate) const DEVICES: [u8; 3] = [0, 1, 2];
const RETENTIONS: [Option<u64>; 5] = [None, Some(60), Some(150), Some(400), Some(5_000)];

pub(crate) fn user(number: u8) -> UserId {
    UserId::new([0x10 + number; 16])
}

pub(crate) fn conversation(number: u8) -> ConversationId {
    match number {
        // The highest id there is, where a careless range ends too early.
        2 => ConversationId::new([0xff; 16]),
        3.. => ConversationId::new(*registrar::encounter(number - 3).as_bytes()),
        _ => ConversationId::new([0xc0 + number; 16]),
    }
}

pub(crate) fn device(number: u8) -> DeviceId {
    DeviceId::new([0xd0 + number; 16])
}

pub(crate) fn person(number: u8) -> Person {
    Person { user: user(number), name: Text::new(format!("person-{number}")) }
}

/// Where chance comes from.
pub(crate) struct Draw {
    /// What a fuzzer chose; drawn before anything else.
    chosen: VecDeque<u8>,
    chance: StdRng,
    /// What the clock shows.
    time: Timestamp,
    /// The latest that it showed: nobody reads the past.
    latest: Timestamp,
}

impl Draw {
    /// Draws by a seed, once what was chosen is used up.
    pub(crate) fn new(chosen: &[u8], seed: u64) -> Self {
        let time = Timestamp(1_000_000);
        let (chosen, chance) = (chosen.to_vec().into(), StdRng::seed_from_u64(seed));
        Self { chosen, chance, time, latest: time }
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        match self.chosen.pop_front() {
            // Wide bounds are for times, whose edges are drawn apart: 256 of them are enough.
            Some(byte) => u64::from(byte) % bound,
            None => self.chance.random_range(0..bound),
        }
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    fn of<T: Copy, const N: usize>(&mut self, all: [T; N]) -> T {
        all[self.below(N as u64) as usize]
    }

    fn edge(&mut self, model: &Model, from: Timestamp) -> Option<Timestamp> {
        edges(model).range(from..).copied().choose(&mut self.chance)
    }

    /// A time to read at: an edge, now, or a little later.
    pub(crate) fn reading_time(&mut self, model: &Model) -> Timestamp {
        match self.below(4) {
            0 => self.latest,
            1 => Timestamp(self.latest.0 + self.below(300)),
            _ => self.edge(model, self.latest).unwrap_or(self.latest),
        }
    }

    pub(crate) fn submission(&mut self, model: &Model) -> Submission {
        // The first conversations have to come from somewhere.
        let fresh = model.rooms.len() < 2 && self.one_in(2);
        let own = conversation(if self.one_in(4) { self.below(3) as u8 } else { 0 });
        // A care conversation is made by the record alone.
        let care = conversation(3 + self.below(3) as u8);
        let id = if self.one_in(4) && model.rooms.contains_key(&care) { care } else { own };
        let number = self.actor(model, id);
        let command = match self.below(100) {
            _ if model.policy.is_none() && !self.one_in(8) => Command::SetPolicy(self.policy()),
            _ if fresh => self.create(own),
            _ if self.one_in(5) => {
                let now = self.latest;
                registrar::command(self, now)
            }
            0..3 => self.create(own),
            3..10 => self.add_members(id),
            10..16 => Command::RemoveMember { conversation: id, user: user(self.below(5) as u8) },
            16..19 => {
                let title = Text::new(self.of(["Ward", "Round"]));
                Command::Rename { conversation: id, title }
            }
            19..25 => {
                let retention = self.of(RETENTIONS).map(Duration::from_millis);
                Command::SetRetention { conversation: id, retention }
            }
            25..58 => self.publish(model, id),
            58..78 => self.acknowledge(model, id),
            78..83 => Command::DeleteMessage { conversation: id, seq: self.seq(model, id) },
            83..87 => self.set_role(id),
            87..90 => Command::RegisterDevice,
            90..93 => Command::SetPolicy(self.policy()),
            93 => Command::Found { secret: IdSecret::new([self.below(256) as u8; 32]) },
            94 => Command::Tick,
            95 => Command::SetRetentions(Arc::new(self.retentions())),
            _ => Command::Reexpire { conversation: id },
        };
        let tenant = TenantId::new([if number == 4 { 2 } else { 1 }; 16]);
        let Person { user, name } = person(number);
        let device = device(self.below(3) as u8);
        let rights =
            Rights { broadcaster: self.one_in(2), administrator: self.one_in(6), registrar: !self.one_in(5) };
        Submission { actor: Arc::new(Actor { tenant, user, name, device, rights }), command }
    }

    /// Mostly somebody who is in the conversation.
    fn actor(&mut self, model: &Model, id: ConversationId) -> u8 {
        if self.one_in(40) {
            return 4;
        }
        let number = self.below(4) as u8;
        let (true, Some(room)) = (self.below(8) > 0, model.rooms.get(&id)) else { return number };
        let active = |number: &u8| room.people.get(&user(*number)).is_some_and(|person| person.active);
        USERS.into_iter().filter(active).choose(&mut self.chance).unwrap_or(number)
    }

    /// What the clock shows when the next group is taken: on, or back.
    pub(crate) fn pass_time(&mut self, model: &Model) -> Timestamp {
        let on = |draw: &Self, by: u64| Timestamp(draw.time.0 + by);
        self.time = match self.below(100) {
            0..20 => self.time,
            20..75 => {
                let by = self.below(20);
                on(self, by)
            }
            75..85 => {
                // A clock that was set back.
                let by = self.below(40);
                Timestamp(self.time.0 - by)
            }
            85..98 => {
                let edge = self.edge(model, self.time);
                edge.filter(|edge| edge.0 < self.time.0 + 700).unwrap_or(self.time)
            }
            98 => on(self, 400),
            _ => {
                let by = self.of([59_999, 60_000]);
                on(self, by)
            }
        };
        self.latest = self.latest.max(self.time);
        self.time
    }

    fn policy(&mut self) -> Policy {
        // Operators change their minds, too.
        let retention_max = Duration::from_millis(if self.one_in(4) { 250 } else { 600 });
        let members_max = if self.one_in(4) { 2 } else { 4 };
        Policy { retention_max, dedupe_window: Duration::from_millis(120), members_max, devices_max: 2 }
    }

    fn retentions(&mut self) -> Retentions {
        let everybody = self.by_kind();
        let tenants = [1, 2].map(|tenant| TenantId::new([tenant; 16]));
        let named = tenants.into_iter().filter(|_| self.one_in(3)).collect::<Vec<_>>();
        let tenants = named.into_iter().map(|tenant| (tenant, self.by_kind())).collect();
        Retentions { everybody, tenants }
    }

    fn by_kind(&mut self) -> ByKind {
        let mut keeping = || Keeping {
            min: Duration::from_millis(self.of([0, 60, 100, 400])),
            default: Duration::from_millis(self.of([80, 150, 600])),
            max: Duration::from_millis(self.of([300, 700])),
            message_min: Duration::from_millis(self.of([0, 0, 20, 80])),
        };
        ByKind { direct: keeping(), group: keeping(), broadcast: keeping() }
    }

    fn set_role(&mut self, conversation: ConversationId) -> Command {
        let role = self.of([Role::Member, Role::Publisher, Role::Admin]);
        Command::SetRole { conversation, user: user(self.below(5) as u8), role }
    }

    fn create(&mut self, conversation: ConversationId) -> Command {
        let kind = self.of([Kind::Direct, Kind::Group, Kind::Group, Kind::Broadcast]);
        let count = if kind == Kind::Direct && !self.one_in(8) { 1 } else { self.below(4) };
        let others = (0..count).map(|_| person(self.below(4) as u8)).collect();
        let retention = self.of(RETENTIONS).map(Duration::from_millis);
        Command::Create(Create { conversation, kind, others, title: Text::new("Ward"), retention })
    }

    fn add_members(&mut self, conversation: ConversationId) -> Command {
        let people = (0..self.below(3) + 1).map(|_| person(self.below(4) as u8)).collect();
        let role = self.of([Role::Member, Role::Member, Role::Publisher, Role::Admin]);
        Command::AddMembers { conversation, people, role, share_history: self.one_in(3) }
    }

    fn publish(&mut self, model: &Model, conversation: ConversationId) -> Command {
        // Few ids, so that they come again, within the window and after it.
        let client_id = ClientMessageId::new([self.below(12) as u8; 16]);
        let payload: Vec<u8> = (0..self.below(40)).map(|_| self.below(256) as u8).collect();
        Command::Publish(Publish {
            conversation,
            client_id,
            content_type: Text::new(self.of(["", "text/plain"])),
            payload: payload.into(),
            priority: self.of([Priority::Routine, Priority::Urgent]),
            reply_to: if self.one_in(4) { Some(self.seq(model, conversation)) } else { None },
            expires_in: self
                .of([None, None, Some(1), Some(30), Some(90), Some(9_000)])
                .map(Duration::from_millis),
        })
    }

    fn acknowledge(&mut self, model: &Model, conversation: ConversationId) -> Command {
        let delivered = if self.one_in(3) { None } else { Some(self.seq(model, conversation)) };
        let read = if self.one_in(2) { None } else { Some(self.seq(model, conversation)) };
        let singles = |draw: &mut Self| {
            let count = if draw.one_in(3) { draw.below(3) + 1 } else { 0 };
            (0..count).map(|_| draw.seq(model, conversation)).collect()
        };
        let (delivered_only, read_only) = (singles(self), singles(self));
        Command::Acknowledge(Acknowledge { conversation, delivered, read, delivered_only, read_only })
    }

    /// A place in a conversation: mostly one that is there, often the last.
    fn seq(&mut self, model: &Model, conversation: ConversationId) -> Seq {
        let head = model.rooms.get(&conversation).map_or(0, super::Room::head);
        Seq(match self.below(24) {
            0..7 => head,
            7 => head + 1,
            8 => 0,
            _ => self.below(head + 1).max(head.min(1)),
        })
    }
}
