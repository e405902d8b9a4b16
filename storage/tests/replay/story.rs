//! Commands of every kind, drawn by a seed: a hospital whose people write, read, join and leave,
//! whose messages expire within minutes, and whose operator changes the policy.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use wardline_storage::command::{Acknowledge, Actor, Command, Create, Outcome, Publish, Rights, Submission};
use wardline_storage::encounter::{Bed, EncounterEvent, Location, Place, What};
use wardline_storage::id::{
    BedId, ClientMessageId, ConversationId, DeviceId, EncounterId, EventId, IdentifierId, KeyId, Seq,
    TenantId, Timestamp, UserId, WardId,
};
use wardline_storage::model::{IdSecret, Kind, Person, Policy, Priority, Role, Subject, Text};
use wardline_storage::patient::{Identifier, Merge, Naming, PatientEvent};
use wardline_storage::retention::{ByKind, Keeping, Retentions};
use wardline_storage::said::SourceEvent;
use wardline_storage::staff::{StaffEvent, StaffOf};

const PEOPLE: u8 = 40;
const ROOMS: u8 = 30;
const DEVICES: u8 = 5;
const MINUTE: Duration = Duration::from_secs(60);

/// A number from the environment.
pub(crate) fn setting(name: &str, otherwise: u64) -> u64 {
    let text = std::env::var(name).ok();
    text.map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{name} wants a whole number")))
}

/// Draws what is submitted.
pub(crate) struct Story {
    pub(crate) chance: StdRng,
    /// How far each conversation has come, as its members heard.
    heads: HashMap<ConversationId, u64>,
    /// How often each kind was drawn.
    pub(crate) drawn: HashMap<&'static str, u64>,
}

fn person(number: u8) -> Person {
    Person { user: UserId::new([number + 1; 16]), name: Text::new(format!("person-{number}")) }
}

fn identifier(number: u8) -> Identifier {
    Identifier { authority: Text::new("MRN"), value: Text::new(format!("{number}")) }
}

fn identified(number: u8) -> (IdentifierId, Identifier) {
    (IdentifierId::new([number; 16]), identifier(number))
}

impl Story {
    pub(crate) fn new(seed: u64) -> Self {
        Self { chance: StdRng::seed_from_u64(seed), heads: HashMap::new(), drawn: HashMap::new() }
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.chance.random_range(0..bound)
    }

    /// What somebody submits next.
    pub(crate) fn submission(&mut self) -> Submission {
        let who = self.below(PEOPLE.into()) as u8;
        let Person { user, name } = person(who);
        let tenant = TenantId::new([if who % 10 == 9 { 2 } else { 1 }; 16]);
        let device = DeviceId::new([self.below(DEVICES.into()) as u8; 16]);
        let rights = Rights {
            broadcaster: self.below(2) == 0,
            administrator: self.below(8) == 0,
            registrar: self.below(4) > 0,
        };
        let command = self.command();
        Submission { actor: Arc::new(Actor { tenant, user, name, device, rights }), command }
    }

    /// What a store needs before anything else.
    pub(crate) fn beginning(&mut self) -> [Command; 2] {
        [Command::Found { secret: IdSecret::new(self.chance.random()) }, Command::SetPolicy(self.policy())]
    }

    /// Takes note of what came of a submission.
    pub(crate) fn hear(&mut self, submission: &Submission, outcome: Outcome) {
        let (Outcome::Published { seq, .. } | Outcome::Changed(Some(seq))) = outcome else { return };
        let Some(conversation) = submission.command.conversation() else { return };
        let head = self.heads.entry(conversation).or_default();
        *head = seq.0.max(*head);
    }

    fn command(&mut self) -> Command {
        let conversation = ConversationId::new([0xa0 + self.below(ROOMS.into()) as u8; 16]);
        let drawn = self.below(1000);
        let (kind, command) = match drawn {
            0..20 => ("create", self.create(conversation)),
            20..50 => ("add members", self.add_members(conversation)),
            50..55 => {
                let role = [Role::Member, Role::Publisher, Role::Admin][self.below(3) as usize];
                ("set role", Command::SetRole { conversation, user: self.anybody().user, role })
            }
            55..70 => ("remove member", Command::RemoveMember { conversation, user: self.anybody().user }),
            70..85 => {
                let title = Text::new(["Ward", "Round", "Night"][self.below(3) as usize]);
                ("rename", Command::Rename { conversation, title })
            }
            85..100 => ("set retention", self.set_retention(conversation)),
            100..600 => ("publish", self.publish(conversation)),
            600..850 => ("acknowledge", self.acknowledge(conversation)),
            850..890 => {
                ("delete message", Command::DeleteMessage { conversation, seq: self.seq(conversation) })
            }
            890..940 => ("register device", Command::RegisterDevice),
            940..980 => ("reexpire", Command::Reexpire { conversation }),
            980..985 => ("set policy", Command::SetPolicy(self.policy())),
            985..987 => ("set retentions", Command::SetRetentions(Arc::new(self.retentions()))),
            987..990 => ("found", Command::Found { secret: IdSecret::new(self.chance.random()) }),
            990..993 => ("revoke", self.revoke()),
            993..995 => ("lift", Command::Lift { subject: self.subject() }),
            _ => ("tick", Command::Tick),
        };
        let (kind, command) = match self.below(16) {
            0 => self.record(),
            _ => (kind, command),
        };
        *self.drawn.entry(kind).or_default() += 1;
        command
    }

    /// What the record says: of few patients, so that much of it meets.
    fn record(&mut self) -> (&'static str, Command) {
        let source = self.source();
        match self.below(12) {
            8 => {
                let people = (0..self.below(8)).map(|_| self.anybody()).collect();
                ("staff", Command::Staff(Box::new(StaffEvent { source, of: self.staff_of(), people })))
            }
            9..12 => ("regroup", Command::Regroup { of: self.staff_of() }),
            0 => ("patient", Command::Patient(Box::new(PatientEvent { source, patient: self.naming() }))),
            1 => {
                let (survivor, retired) = (self.naming(), self.naming());
                ("merge", Command::Merge(Box::new(Merge { source, survivor, retired })))
            }
            _ => {
                let number = self.below(40) as u8;
                let event = EncounterEvent {
                    source,
                    encounter: EncounterId::new([number; 16]),
                    number: identifier(number),
                    what: What::ALL[self.below(12) as usize],
                    place: Some(self.location()),
                    patient: Naming { identifiers: vec![identified(number)], ..self.naming() },
                };
                ("encounter", Command::Encounter(Box::new(event)))
            }
        }
    }

    fn staff_of(&mut self) -> StaffOf {
        match self.below(5) {
            0 => StaffOf::Ward(WardId::new([self.below(4) as u8; 16])),
            _ => StaffOf::Encounter(EncounterId::new([self.below(40) as u8; 16])),
        }
    }

    fn source(&mut self) -> SourceEvent {
        let id = EventId::new(u128::from(self.below(5_000)).to_be_bytes());
        SourceEvent { id, time: Timestamp(self.below(4_000_000_000_000)) }
    }

    fn naming(&mut self) -> Naming {
        let identifiers = (0..1 + self.below(3)).map(|_| identified(self.below(60) as u8)).collect();
        let label = [None, Some(Text::new("")), Some(Text::new("M. M."))][self.below(3) as usize].clone();
        Naming { identifiers, label }
    }

    fn location(&mut self) -> Location {
        let ward = self.below(4) as u8;
        let bed = Bed { id: BedId::new([16 * ward + self.below(6) as u8; 16]), name: Text::new("3-1") };
        let place = Place { ward: WardId::new([ward; 16]), bed: Some(bed).filter(|_| self.below(4) > 0) };
        Location { place, ward_name: Text::new("7B") }
    }

    fn revoke(&mut self) -> Command {
        let through = Timestamp(self.below(1_000));
        Command::Revoke { subject: self.subject(), name: Text::new("somebody"), through }
    }

    fn subject(&mut self) -> Subject {
        match self.below(3) {
            0 => Subject::User(self.anybody().user),
            1 => Subject::Device(DeviceId::new([self.below(4) as u8; 16])),
            _ => Subject::Key(KeyId::new([self.below(4) as u8; 32])),
        }
    }

    fn anybody(&mut self) -> Person {
        person(self.below(PEOPLE.into()) as u8)
    }

    fn policy(&mut self) -> Policy {
        Policy {
            retention_max: MINUTE * (5 + self.below(10) as u32),
            dedupe_window: MINUTE * (1 + self.below(3) as u32),
            members_max: 10 + self.below(20) as u32,
            devices_max: 2 + self.below(3) as u32,
        }
    }

    fn retentions(&mut self) -> Retentions {
        let keeping = |story: &mut Self| Keeping {
            min: MINUTE * story.below(3) as u32,
            default: MINUTE * (1 + story.below(9) as u32),
            max: MINUTE * (2 + story.below(12) as u32),
            message_min: MINUTE / 4 * story.below(3) as u32,
        };
        let by_kind = |story: &mut Self| ByKind {
            direct: keeping(story),
            group: keeping(story),
            broadcast: keeping(story),
        };
        Retentions { everybody: by_kind(self), tenants: vec![(TenantId::new([2; 16]), by_kind(self))] }
    }

    fn create(&mut self, conversation: ConversationId) -> Command {
        let kind = [Kind::Direct, Kind::Group, Kind::Group, Kind::Broadcast][self.below(4) as usize];
        let count = if kind == Kind::Direct { 1 } else { self.below(12) };
        let others = (0..count).map(|_| self.anybody()).collect();
        let retention = self.retention();
        Command::Create(Create { conversation, kind, others, title: Text::new("Ward"), retention })
    }

    fn retention(&mut self) -> Option<Duration> {
        [None, Some(MINUTE), Some(3 * MINUTE), Some(30 * MINUTE)][self.below(4) as usize]
    }

    fn set_retention(&mut self, conversation: ConversationId) -> Command {
        Command::SetRetention { conversation, retention: self.retention() }
    }

    fn add_members(&mut self, conversation: ConversationId) -> Command {
        let people = (0..self.below(4)).map(|_| self.anybody()).collect();
        let role = if self.below(4) == 0 { Role::Admin } else { Role::Member };
        Command::AddMembers { conversation, people, role, share_history: self.below(2) == 0 }
    }

    fn publish(&mut self, conversation: ConversationId) -> Command {
        // Some come again, within the window and after it.
        let id = if self.below(8) == 0 { u128::from(self.below(64)) } else { self.chance.random() };
        let length = self.below(120) as usize;
        let mut payload = vec![0; length];
        self.chance.fill(&mut payload[..]);
        Command::Publish(Publish {
            conversation,
            client_id: ClientMessageId::new(id.to_be_bytes()),
            content_type: Text::new("text/plain"),
            payload: Bytes::from(payload),
            priority: if self.below(5) == 0 { Priority::Urgent } else { Priority::Routine },
            reply_to: if self.below(10) == 0 { Some(self.seq(conversation)) } else { None },
            expires_in: if self.below(10) == 0 { Some(Duration::from_secs(self.below(90))) } else { None },
        })
    }

    fn acknowledge(&mut self, conversation: ConversationId) -> Command {
        let one = |story: &mut Self| Some(story.seq(conversation)).filter(|_| story.below(3) > 0);
        let (delivered, read) = (one(self), one(self));
        let singles = |story: &mut Self| {
            let count = if story.below(4) == 0 { 1 + story.below(2) } else { 0 };
            (0..count).map(|_| story.seq(conversation)).collect()
        };
        let (delivered_only, read_only) = (singles(self), singles(self));
        Command::Acknowledge(Acknowledge { conversation, delivered, read, delivered_only, read_only })
    }

    /// A place in a conversation: mostly one near its end.
    fn seq(&mut self, conversation: ConversationId) -> Seq {
        let head = self.heads.get(&conversation).copied().unwrap_or_default();
        let back = if self.below(4) == 0 { 60 } else { 6 };
        Seq((head + 1).saturating_sub(self.below(back)))
    }
}
