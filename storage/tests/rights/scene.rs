//! A conversation with somebody of every kind in it, and what each of them may ask there.
//!
//! Made anew for each cell, so that no answer depends on another. Everybody who is or was in it has
//! a message of their own there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use wardline_storage::applier::Applier;
use wardline_storage::command::{
    Acknowledge, Actor, Command, Create, Outcome, Publish, Rejection, Rights, Submission, Verdict,
};
use wardline_storage::engine::Direction;
use wardline_storage::id::{ClientMessageId, ConversationId, DeviceId, Seq, TenantId, Timestamp, UserId};
use wardline_storage::memory::MemoryEngine;
use wardline_storage::model::{Kind, Person, Policy, Priority, Role, Text};
use wardline_storage::retention::{ByKind, Keeping, Retentions};
use wardline_storage::view::View;

use crate::record;

pub(crate) const ROOM: ConversationId = ConversationId::new([0xc0; 16]);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
pub(crate) const NOW: Timestamp = Timestamp(1_700_000_000_000);
const WORKS: &str = "memory does not fail";

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Who {
    Stranger,
    StrangersAdministrator,
    Impostor,
    Nobody,
    Administrator,
    Former,
    FormerAdmin,
    Member,
    MemberAndAdministrator,
    Publisher,
    Admin,
    Maker,
    MakerWithoutToken,
}

/// What the conversation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Direct,
    Group,
    GroupWithoutAdmin,
    Broadcast,
    BroadcastWithoutAdmin,
    Care,
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Read,
    Publish,
    PublishForAMoment,
    Acknowledge,
    DeleteOwn,
    DeleteOthers,
    AddMember,
    AddAdmin,
    RemoveMember,
    Leave,
    NameAdmin,
    NameOneself,
    Rename,
    KeepLonger,
    KeepShorter,
    KeepBelowFloor,
    CreateAgain,
}

impl Who {
    pub(crate) const ALL: [Self; 13] = [
        Self::Stranger,
        Self::StrangersAdministrator,
        Self::Impostor,
        Self::Nobody,
        Self::Administrator,
        Self::Former,
        Self::FormerAdmin,
        Self::Member,
        Self::MemberAndAdministrator,
        Self::Publisher,
        Self::Admin,
        Self::Maker,
        Self::MakerWithoutToken,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Stranger => "somebody of another tenant",
            Self::StrangersAdministrator => "another tenant's administrator",
            Self::Impostor => "a member's id, in another tenant",
            Self::Nobody => "no member",
            Self::Administrator => "the tenant's administrator",
            Self::Former => "former member",
            Self::FormerAdmin => "former admin",
            Self::Member => "member",
            Self::MemberAndAdministrator => "the same, and a member",
            Self::Publisher => "publisher",
            Self::Admin => "admin, named by an admin",
            Self::Maker => "who made it, with the token for it",
            Self::MakerWithoutToken => "who made it, without the token now",
        }
    }

    fn user(self) -> UserId {
        UserId::new(match self {
            Self::Stranger | Self::StrangersAdministrator => [0x10; 16],
            Self::Nobody | Self::Administrator => [0x11; 16],
            Self::Former => [0x12; 16],
            Self::FormerAdmin => [0x13; 16],
            Self::Impostor | Self::Member | Self::MemberAndAdministrator => [0x14; 16],
            Self::Publisher => [0x15; 16],
            Self::Admin => [0x16; 16],
            Self::Maker | Self::MakerWithoutToken => [0x17; 16],
        })
    }

    fn submission(self, command: Command) -> Submission {
        let foreign = matches!(self, Self::Stranger | Self::StrangersAdministrator | Self::Impostor);
        let administrator =
            matches!(self, Self::StrangersAdministrator | Self::Administrator | Self::MemberAndAdministrator);
        let broadcaster = self == Self::Maker;
        let actor = Actor {
            tenant: TenantId::new([if foreign { 2 } else { 1 }; 16]),
            user: self.user(),
            name: Text::new(self.name()),
            device: DeviceId::new([1; 16]),
            rights: Rights { broadcaster, administrator, ..Rights::default() },
        };
        Submission { actor: Arc::new(actor), command }
    }

    fn person(self) -> Person {
        Person { user: self.user(), name: Text::new(self.name()) }
    }

    /// Whether there is such a person in such a conversation.
    pub(crate) fn is_in(self, state: State) -> bool {
        match self {
            Self::Former => state != State::Direct,
            Self::FormerAdmin | Self::Publisher => !matches!(state, State::Direct | State::Care),
            Self::Admin => matches!(state, State::Group | State::Broadcast),
            Self::Maker | Self::MakerWithoutToken => !state.is_without_admin() && state != State::Care,
            _ => true,
        }
    }
}

/// One more member, whom others change.
const OTHER: UserId = UserId::new([0x18; 16]);
const NEW: UserId = UserId::new([0x19; 16]);

impl State {
    /// Those that people make.
    pub(crate) const ALL: [Self; 5] =
        [Self::Direct, Self::Group, Self::GroupWithoutAdmin, Self::Broadcast, Self::BroadcastWithoutAdmin];

    fn kind(self) -> Kind {
        match self {
            Self::Direct => Kind::Direct,
            Self::Group | Self::GroupWithoutAdmin | Self::Care => Kind::Group,
            Self::Broadcast | Self::BroadcastWithoutAdmin => Kind::Broadcast,
        }
    }

    fn is_without_admin(self) -> bool {
        matches!(self, Self::GroupWithoutAdmin | Self::BroadcastWithoutAdmin)
    }
}

impl Operation {
    pub(crate) const ALL: [Self; 17] = [
        Self::Read,
        Self::Publish,
        Self::PublishForAMoment,
        Self::Acknowledge,
        Self::DeleteOwn,
        Self::DeleteOthers,
        Self::AddMember,
        Self::AddAdmin,
        Self::RemoveMember,
        Self::Leave,
        Self::NameAdmin,
        Self::NameOneself,
        Self::Rename,
        Self::KeepLonger,
        Self::KeepShorter,
        Self::KeepBelowFloor,
        Self::CreateAgain,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Read => "Read the history, members and receipts",
            Self::Publish => "Publish",
            Self::PublishForAMoment => "Publish a message that expires in a millisecond",
            Self::Acknowledge => "Say that something was received and read",
            Self::DeleteOwn => "Delete one's own message",
            Self::DeleteOthers => "Delete somebody else's message",
            Self::AddMember => "Add a member",
            Self::AddAdmin => "Add an admin",
            Self::RemoveMember => "Remove somebody else",
            Self::Leave => "Leave",
            Self::NameAdmin => "Name another member admin",
            Self::NameOneself => "Name oneself admin",
            Self::Rename => "Change the title",
            Self::KeepLonger => "Keep messages for longer than the default",
            Self::KeepShorter => "Keep messages for less than the default",
            Self::KeepBelowFloor => "Keep messages for less than the floor",
            Self::CreateAgain => "Create it again",
        }
    }

    /// What somebody submits; `None`: they have nothing to do it with.
    fn command(self, who: Who, scene: &Scene) -> Option<Command> {
        let conversation = ROOM;
        let retention = |retention| Command::SetRetention { conversation, retention: Some(retention) };
        let add = |role| {
            let people = vec![Person { user: NEW, name: Text::new("new") }];
            Command::AddMembers { conversation, people, role, share_history: true }
        };
        let delete = |seq: Option<&Seq>| seq.map(|seq| Command::DeleteMessage { conversation, seq: *seq });
        Some(match self {
            Self::Read => return None,
            Self::Publish => message(99, None),
            Self::PublishForAMoment => message(99, Some(Duration::from_millis(1))),
            Self::Acknowledge => Command::Acknowledge(Acknowledge {
                conversation,
                delivered: Some(Seq(1)),
                read: Some(Seq(1)),
                ..Acknowledge::default()
            }),
            Self::DeleteOwn => return delete(scene.messages.get(&who.user())),
            Self::DeleteOthers => {
                return delete(
                    scene.messages.iter().find(|(user, _)| **user != who.user()).map(|(_, seq)| seq),
                );
            }
            Self::AddMember => add(Role::Member),
            Self::AddAdmin => add(Role::Admin),
            Self::RemoveMember => Command::RemoveMember { conversation, user: scene.other(who) },
            Self::Leave => Command::RemoveMember { conversation, user: who.user() },
            Self::NameAdmin => Command::SetRole { conversation, user: scene.other(who), role: Role::Admin },
            Self::NameOneself => Command::SetRole { conversation, user: who.user(), role: Role::Admin },
            Self::Rename => Command::Rename { conversation, title: Text::new("Another") },
            Self::KeepLonger => retention(5 * DAY),
            Self::KeepShorter => retention(DAY),
            Self::KeepBelowFloor => retention(Duration::from_secs(1)),
            Self::CreateAgain => create(scene.state),
        })
    }
}

fn message(number: u8, expires_in: Option<Duration>) -> Command {
    Command::Publish(Publish {
        conversation: ROOM,
        client_id: ClientMessageId::new([number; 16]),
        content_type: Text::new("text/plain"),
        payload: b"hello".as_slice().into(),
        priority: Priority::Routine,
        reply_to: None,
        expires_in,
    })
}

fn create(state: State) -> Command {
    let others = vec![Who::Member.person()];
    let (kind, title) = (state.kind(), Text::new("Ward"));
    Command::Create(Create { conversation: ROOM, kind, others, title, retention: None })
}

/// A floor of an hour, a default of two days, a ceiling of ten.
fn founding() -> [Command; 2] {
    let policy = Policy { retention_max: 30 * DAY, dedupe_window: DAY, members_max: 100, devices_max: 4 };
    let keeping = Keeping { min: HOUR, default: 2 * DAY, max: 10 * DAY, message_min: HOUR };
    let retentions = Retentions { everybody: ByKind::all(keeping), tenants: Vec::new() };
    [Command::SetPolicy(policy), Command::SetRetentions(Arc::new(retentions))]
}

/// See the module's documentation.
pub(crate) struct Scene {
    state: State,
    engine: Arc<MemoryEngine>,
    applier: Applier,
    /// Each person's own.
    messages: BTreeMap<UserId, Seq>,
}

impl Scene {
    /// A store with the operator's bounds and nothing else.
    pub(crate) fn empty(state: State) -> Self {
        let engine = Arc::new(MemoryEngine::default());
        let applier = Applier::new(engine.clone()).expect(WORKS);
        let mut scene = Self { state, engine, applier, messages: BTreeMap::new() };
        for command in founding() {
            scene.must(Who::Nobody, command);
        }
        scene
    }

    /// A conversation in a state.
    pub(crate) fn new(state: State) -> Self {
        let mut scene = Self::empty(state);
        if state == State::Care {
            scene.admit();
            return scene;
        }
        scene.must(Who::Maker, create(state));
        scene.speak(Who::Maker);
        if state == State::Direct {
            scene.speak(Who::Member);
            return scene;
        }
        for (who, role) in [
            (Who::Former, Role::Member),
            (Who::FormerAdmin, Role::Admin),
            (Who::Publisher, Role::Publisher),
            (Who::Member, Role::Member),
        ] {
            scene.bring(who, role);
        }
        for who in [Who::Former, Who::FormerAdmin] {
            scene.must(Who::Maker, Command::RemoveMember { conversation: ROOM, user: who.user() });
        }
        let people = vec![Person { user: OTHER, name: Text::new("other") }];
        let (role, share_history) = (Role::Member, true);
        scene.must(Who::Maker, Command::AddMembers { conversation: ROOM, people, role, share_history });
        if state.is_without_admin() {
            scene.must(Who::Maker, Command::RemoveMember { conversation: ROOM, user: Who::Maker.user() });
        } else {
            scene.bring(Who::Admin, Role::Admin);
        }
        scene
    }

    /// A patient in care, whose care team somebody has left.
    fn admit(&mut self) {
        let other = Person { user: OTHER, name: Text::new("other") };
        let team = vec![Who::Former.person(), Who::Member.person(), other];
        for command in [record::admission(1), record::team(2, team.clone())] {
            self.registrar(command);
        }
        self.regroup();
        self.speak(Who::Former);
        self.speak(Who::Member);
        self.registrar(record::team(3, team[1..].to_vec()));
        self.regroup();
    }

    fn registrar(&mut self, command: Command) {
        let mut submission = Who::Nobody.submission(command);
        Arc::make_mut(&mut submission.actor).rights.registrar = true;
        let verdict = self.applier.apply_group(NOW, &[submission]).expect(WORKS).verdicts.remove(0);
        assert!(matches!(verdict, Ok(Outcome::Heard(_))), "{verdict:?}");
    }

    fn regroup(&mut self) {
        while self.must(Who::Stranger, record::regroup()) == (Outcome::Regrouped { more: true }) {}
    }

    /// What somebody who brings something of the record is answered.
    pub(crate) fn bring_record(&mut self, rights: Rights, command: Command) -> &'static str {
        let mut submission = Who::Nobody.submission(command);
        Arc::make_mut(&mut submission.actor).rights = rights;
        word(self.applier.apply_group(NOW, &[submission]).expect(WORKS).verdicts.remove(0))
    }

    /// Adds somebody, lets them say something, and gives them their role.
    fn bring(&mut self, who: Who, role: Role) {
        let (conversation, people) = (ROOM, vec![who.person()]);
        let add = Command::AddMembers { conversation, people, role: Role::Publisher, share_history: true };
        self.must(Who::Maker, add);
        let user = who.user();
        self.must(Who::Maker, Command::SetRole { conversation, user, role: Role::Publisher });
        self.speak(who);
        self.must(Who::Maker, Command::SetRole { conversation, user, role });
    }

    fn speak(&mut self, who: Who) {
        let number = who.user().as_bytes()[0];
        let Outcome::Published { seq, .. } = self.must(who, message(number, None)) else {
            panic!("a message is published");
        };
        self.messages.insert(who.user(), seq);
    }

    /// Somebody beside who asks.
    fn other(&self, who: Who) -> UserId {
        match (self.state, who.user() == Who::Maker.user()) {
            (State::Direct, true) => Who::Member.user(),
            (State::Direct, false) => Who::Maker.user(),
            _ => OTHER,
        }
    }

    fn must(&mut self, who: Who, command: Command) -> Outcome {
        self.apply(who, command).unwrap_or_else(|rejection| panic!("{who:?}: {rejection}"))
    }

    fn apply(&mut self, who: Who, command: Command) -> Verdict {
        let submission = who.submission(command);
        self.applier.apply_group(NOW, &[submission]).expect(WORKS).verdicts.remove(0)
    }

    /// What an operation is answered, in a word.
    pub(crate) fn answer(&mut self, who: Who, operation: Operation) -> &'static str {
        if operation == Operation::Read {
            return self.read(who);
        }
        let Some(command) = operation.command(who, self) else { return NOTHING };
        let before = self.applier.applied();
        let verdict = self.apply(who, command);
        let same = self.applier.applied() == before;
        assert!(same || verdict.is_ok(), "{who:?}, {operation:?}: a refusal changed something");
        word(verdict)
    }

    fn read(&self, who: Who) -> &'static str {
        // A view takes a user, and ids of different tenants never collide.
        if who == Who::Impostor {
            return NOTHING;
        }
        let user = who.submission(Command::Tick).actor.user;
        let view = View::new(&*self.engine, NOW);
        let Some(access) = view.access(user, ROOM).expect(WORKS) else {
            return word(Err(Rejection::NotFound));
        };
        let chunk = view.entries(&access, Seq::ZERO, Direction::Forward, 100, 1 << 20).expect(WORKS);
        assert!(!chunk.entries.is_empty());
        "done"
    }

    /// What making a conversation is answered.
    pub(crate) fn create(&mut self, rights: Rights) -> &'static str {
        let mut submission = Who::Nobody.submission(create(self.state));
        Arc::make_mut(&mut submission.actor).rights = rights;
        word(self.applier.apply_group(NOW, &[submission]).expect(WORKS).verdicts.remove(0))
    }
}

/// There is nobody, or nothing, of the kind.
pub(crate) const NOTHING: &str = "-";

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Ok(Outcome::Changed(None)) => "no change",
        Ok(_) => "done",
        Err(Rejection::NotFound) => "not found",
        Err(Rejection::Forbidden | Rejection::NotBroadcaster | Rejection::NotRegistrar) => "forbidden",
        Err(Rejection::NotMember) => "no member",
        Err(Rejection::RetentionMin { .. } | Rejection::ExpiryMin { .. }) => "too short",
        Err(other) => panic!("not an answer of this table: {other}"),
    }
}
