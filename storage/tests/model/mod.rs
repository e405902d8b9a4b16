//! Wardline's rules once more, as plainly as they can be said: the model that the machine and the
//! view are compared with.
//!
//! It keeps plain lists and maps, knows no keys, records, batches or indexes, and finds everything
//! by looking through all there is. [`generate`] draws submissions, [`check`] runs both and
//! compares outcomes, events and every read.

pub(crate) mod care;
pub(crate) mod check;
pub(crate) mod generate;
pub(crate) mod read;
mod receipt;
pub(crate) mod record;
pub(crate) mod registrar;
mod retention;
mod role;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use retention::keeping;
use role::{check_manager, check_publisher};
use wardline_storage::command::{Command, Create, Event, Outcome, Publish, Rejection, Submission, Verdict};
use wardline_storage::id::{
    ClientMessageId, ConversationId, DeviceId, EncounterId, Seq, TenantId, Timestamp, UserId,
};
use wardline_storage::model::{
    Body, Device, Entry, Kind, Message, Notice, Person, Policy, ReceiptKind, Role, Text,
};
use wardline_storage::retention::{Keeping, Retentions};

#[derive(Default)]
pub(crate) struct Model {
    pub(crate) rooms: BTreeMap<ConversationId, Room>,
    pub(crate) devices: BTreeMap<UserId, BTreeMap<DeviceId, Device>>,
    /// Since when those of a user's devices that gave way are owed messages.
    gave_way: BTreeMap<UserId, Timestamp>,
    pub(crate) policy: Option<Policy>,
    pub(crate) retentions: Option<Arc<Retentions>>,
    pub(crate) register: record::Register,
    pub(crate) marks: care::Marks,
    published: Vec<Published>,
}

/// A conversation.
pub(crate) struct Room {
    pub(crate) tenant: TenantId,
    pub(crate) kind: Kind,
    pub(crate) title: Text,
    pub(crate) retention: Option<Duration>,
    pub(crate) created: Timestamp,
    pub(crate) last_activity: Timestamp,
    pub(crate) people: BTreeMap<UserId, Participant>,
    pub(crate) entries: Vec<Entry>,
    pub(crate) reexpire_due: bool,
    /// The encounter whose staff are in it.
    pub(crate) care_of: Option<EncounterId>,
}

/// Somebody who is or was in a conversation, and all that is known of them there.
pub(crate) struct Participant {
    pub(crate) name: Text,
    pub(crate) role: Role,
    pub(crate) granted: bool,
    pub(crate) joined: Timestamp,
    pub(crate) active: bool,
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) has_published: bool,
    pub(crate) delivered: u64,
    pub(crate) read: u64,
    pub(crate) places: Vec<(DeviceId, Seq)>,
    pub(crate) receipts: Vec<Certificate>,
}

pub(crate) struct Certificate {
    pub(crate) kind: ReceiptKind,
    pub(crate) seq: u64,
    pub(crate) time: Timestamp,
    pub(crate) expires: Timestamp,
}

struct Published {
    what: (ConversationId, UserId, ClientMessageId),
    seq: Seq,
    time: Timestamp,
    forgotten: Timestamp,
}

impl Room {
    pub(crate) fn head(&self) -> u64 {
        self.entries.len() as u64
    }

    /// The entry at a place, if it is there and its time has not come.
    pub(crate) fn entry(&self, seq: u64, now: Timestamp) -> Option<&Entry> {
        let entry = self.entries.get(usize::try_from(seq.checked_sub(1)?).ok()?)?;
        (now < entry.expires).then_some(entry)
    }

    pub(crate) fn may_see(&self, user: UserId, seq: u64) -> bool {
        self.people.get(&user).is_some_and(|person| person.first <= seq && seq <= person.last)
    }

    fn active(&self) -> usize {
        self.people.values().filter(|person| person.active).count()
    }

    pub(crate) fn is_without_admin(&self) -> bool {
        self.kind != Kind::Direct && self.care_of.is_none() && self.active() > 0 && self.admins() == 0
    }

    fn admins(&self) -> usize {
        self.people.values().filter(|person| person.active && person.role == Role::Admin).count()
    }

    fn append(
        &mut self,
        now: Timestamp,
        expires: Timestamp,
        sender: &Person,
        body: Body,
    ) -> (Seq, Arc<Entry>) {
        let entry = Entry { sender: sender.user, time: now, expires, body };
        self.last_activity = now;
        self.entries.push(entry.clone());
        (Seq(self.head()), Arc::new(entry))
    }
}

const NO_POLICY: Policy =
    Policy { retention_max: Duration::ZERO, dedupe_window: Duration::ZERO, members_max: 0, devices_max: 0 };

/// What a command is about: who, where, when, under which bounds.
struct Case<'a> {
    id: ConversationId,
    me: Person,
    now: Timestamp,
    policy: Policy,
    retentions: Option<Arc<Retentions>>,
    submission: &'a Submission,
    events: Vec<Event>,
}

impl Case<'_> {
    fn keeping(&self, kind: Kind) -> Keeping {
        keeping(self.policy, self.retentions.as_deref(), self.submission.actor.tenant, kind)
    }

    /// How long what a room says is kept comes to.
    fn comes_to(&self, kind: Kind, said: Option<Duration>) -> Duration {
        let Keeping { min, default, max, .. } = self.keeping(kind);
        let said = said.unwrap_or(default);
        if said > max { max } else { said.max(min).min(max) }
    }

    fn kept(&self, room: &Room) -> Timestamp {
        self.now.after(self.comes_to(room.kind, room.retention))
    }

    fn append(&mut self, room: &mut Room, expires: Timestamp, body: Body) -> Seq {
        let (seq, entry) = room.append(self.now, expires, &self.me, body);
        let sender = self.me.name.clone();
        self.events.push(Event::Appended { conversation: self.id, seq, entry, sender });
        seq
    }

    fn notify(&mut self, room: &mut Room, notice: Notice) -> Verdict {
        let told_of = match notice {
            Notice::Deleted(seq) => room.entries[seq.0 as usize - 1].expires,
            _ => Timestamp::ZERO,
        };
        let expires = self.now.after(self.keeping(room.kind).max).max(told_of);
        Ok(Outcome::Changed(Some(self.append(room, expires, Body::Notice(notice)))))
    }
}

impl Model {
    /// Does what a submission asks, at a time.
    pub(crate) fn apply(&mut self, now: Timestamp, submission: &Submission) -> (Verdict, Vec<Event>) {
        if let Some(done) = self.apply_for_the_record(now, submission) {
            return done;
        }
        let actor = &submission.actor;
        let me = Person { user: actor.user, name: actor.name.clone() };
        let Some(id) = submission.command.conversation() else {
            return (self.apply_beside_rooms(now, submission), Vec::new());
        };
        // Before there is a policy there is no conversation.
        let policy = self.policy.unwrap_or(NO_POLICY);
        let retentions = self.retentions.clone();
        let mut case = Case { id, me, now, policy, retentions, submission, events: Vec::new() };
        let verdict = self.apply_in_room(&mut case);
        let events = if verdict.is_ok() { case.events } else { Vec::new() };
        (verdict, events)
    }

    fn apply_beside_rooms(&mut self, now: Timestamp, submission: &Submission) -> Verdict {
        match &submission.command {
            Command::RegisterDevice => {
                let policy = self.policy.ok_or(Rejection::NoPolicy)?;
                return Ok(self.register(now, submission, policy));
            }
            Command::SetPolicy(policy) => self.policy = Some(*policy),
            Command::SetRetentions(retentions) => self.retentions = Some(retentions.clone()),
            // At what these leave behind, tests of their own look.
            _ => {}
        }
        Ok(Outcome::Noted)
    }

    fn apply_in_room(&mut self, case: &mut Case<'_>) -> Verdict {
        let id = case.id;
        match (&case.submission.command, self.rooms.get_mut(&id)) {
            (Command::Create(create), None) => return self.create(case, create),
            (Command::Reexpire { .. }, room) => {
                // The model shortens at once, so nothing is left to do but to say so.
                if let Some(room) = room {
                    room.reexpire_due = false;
                }
                return Ok(Outcome::Reexpired { more: false });
            }
            (Command::SetRole { user, role, .. }, Some(room)) => return role::set(case, room, *user, *role),
            _ => {}
        }
        let mine = |room: &&mut Room| {
            room.tenant == case.submission.actor.tenant
                && room.people.get(&case.me.user).is_some_and(|person| person.active)
        };
        if let Command::Publish(publish) = &case.submission.command
            && let Some(published) = published_before(case, &self.published, publish)
        {
            return Ok(published);
        }
        let Some(room) = self.rooms.get_mut(&id).filter(mine) else { return Err(Rejection::NotFound) };
        match &case.submission.command {
            Command::Create(_) => Ok(Outcome::Created { conversation: id, existed: true }),
            Command::AddMembers { people, role, share_history, .. } => {
                add(case, room, people, *role, *share_history)
            }
            Command::RemoveMember { user, .. } => remove(case, room, *user),
            Command::Rename { title, .. } => rename(case, room, title),
            Command::SetRetention { retention, .. } => set_retention(case, room, *retention),
            Command::Publish(publish) => publish_once(case, room, &mut self.published, publish),
            Command::Acknowledge(acknowledge) => receipt::acknowledge_in(case, room, acknowledge),
            Command::DeleteMessage { seq, .. } => delete(case, room, seq.0),
            _ => unreachable!("handled before"),
        }
    }

    fn register(&mut self, now: Timestamp, submission: &Submission, policy: Policy) -> Outcome {
        let devices_max = policy.devices_max as usize;
        let devices = self.devices.entry(submission.actor.user).or_default();
        if let Some(device) = devices.get_mut(&submission.actor.device) {
            if now.0 >= device.last_seen.0 + 60_000 {
                device.last_seen = now;
            }
            return Outcome::DeviceRegistered { since: device.registered, gave_way: false };
        }
        let gone = self.gave_way.get(&submission.actor.user).copied();
        while devices.len() >= devices_max {
            let oldest = devices.iter().min_by_key(|(id, device)| (device.last_seen, **id));
            let oldest = *oldest.expect("there are some, since there are too many").0;
            let forgotten = devices.remove(&oldest).expect("it was there").registered;
            let since = self.gave_way.entry(submission.actor.user).or_insert(forgotten);
            *since = forgotten.min(*since);
        }
        let since = gone.unwrap_or(now);
        devices.insert(submission.actor.device, Device { registered: since, last_seen: now });
        Outcome::DeviceRegistered { since, gave_way: gone.is_some() }
    }

    fn create(&mut self, case: &mut Case<'_>, create: &Create) -> Verdict {
        if self.policy.is_none() {
            return Err(Rejection::NoPolicy);
        }
        if create.kind == Kind::Broadcast && !case.submission.actor.rights.broadcaster {
            return Err(Rejection::NotBroadcaster);
        }
        let mut people = vec![case.me.clone()];
        for person in &create.others {
            if people.iter().all(|known| known.user != person.user) {
                people.push(person.clone());
            }
        }
        let direct = create.kind == Kind::Direct;
        if direct && people.len() != 2 {
            return Err(Rejection::Forbidden);
        }
        let max = case.policy.members_max;
        if people.len() > max as usize {
            return Err(Rejection::MembersMax { max });
        }
        let min = case.keeping(create.kind).min;
        if create.retention.is_some_and(|retention| retention < min) {
            return Err(Rejection::RetentionMin { min });
        }
        let mut room = Room {
            tenant: case.submission.actor.tenant,
            kind: create.kind,
            title: if direct { Text::new("") } else { create.title.clone() },
            retention: create.retention,
            created: case.now,
            last_activity: case.now,
            people: BTreeMap::new(),
            entries: Vec::new(),
            reexpire_due: false,
            care_of: None,
        };
        for person in people {
            let admin = !direct && person.user == case.me.user;
            let role = if admin { Role::Admin } else { Role::Member };
            join(case, &mut room, &person, role, false, 1);
        }
        self.rooms.insert(case.id, room);
        Ok(Outcome::Created { conversation: case.id, existed: false })
    }
}

fn join(case: &mut Case<'_>, room: &mut Room, person: &Person, role: Role, granted: bool, first: u64) {
    let participant = room.people.entry(person.user).or_insert_with(|| Participant {
        name: person.name.clone(),
        role,
        granted,
        joined: case.now,
        active: true,
        first,
        last: u64::MAX,
        has_published: false,
        delivered: 0,
        read: 0,
        places: Vec::new(),
        receipts: Vec::new(),
    });
    participant.name = person.name.clone();
    (participant.role, participant.granted) = (role, granted);
    participant.joined = case.now;
    participant.active = true;
    participant.first = first;
    participant.last = u64::MAX;
    case.events.push(Event::Joined { conversation: case.id, user: person.user });
}

fn add(case: &mut Case<'_>, room: &mut Room, people: &[Person], role: Role, share_history: bool) -> Verdict {
    check_manager(case, room)?;
    let mut fresh: Vec<&Person> = Vec::new();
    for person in people {
        let active = room.people.get(&person.user).is_some_and(|person| person.active);
        if !active && fresh.iter().all(|known| known.user != person.user) {
            fresh.push(person);
        }
    }
    if fresh.is_empty() {
        return Ok(Outcome::Changed(None));
    }
    let max = case.policy.members_max;
    if room.active() + fresh.len() > max as usize {
        return Err(Rejection::MembersMax { max });
    }
    let first = if share_history { 1 } else { room.head() + 1 };
    for person in &fresh {
        join(case, room, person, role, true, first);
    }
    case.notify(room, Notice::Added(fresh.iter().map(|person| person.user).collect(), role))
}

fn remove(case: &mut Case<'_>, room: &mut Room, user: UserId) -> Verdict {
    if room.kind == Kind::Direct || room.care_of.is_some() {
        return Err(Rejection::Forbidden);
    }
    if user != case.me.user {
        check_manager(case, room)?;
    }
    let head = room.head();
    let Some(leaver) = room.people.get_mut(&user).filter(|person| person.active) else {
        return Ok(Outcome::Changed(None));
    };
    leaver.active = false;
    leaver.last = head;
    let was_admin = leaver.role == Role::Admin;
    case.events.push(Event::Left { conversation: case.id, user });
    let told = case.notify(room, Notice::Removed(user));
    if was_admin && room.is_without_admin() {
        let _ = case.notify(room, Notice::NoAdmin);
    }
    told
}

fn rename(case: &mut Case<'_>, room: &mut Room, title: &Text) -> Verdict {
    check_manager(case, room)?;
    if room.title == *title {
        return Ok(Outcome::Changed(None));
    }
    room.title = title.clone();
    case.notify(room, Notice::Renamed(title.clone()))
}

fn set_retention(case: &mut Case<'_>, room: &mut Room, retention: Option<Duration>) -> Verdict {
    if room.kind != Kind::Direct {
        check_manager(case, room)?;
    }
    if room.retention == retention {
        return Ok(Outcome::Changed(None));
    }
    let min = case.keeping(room.kind).min;
    if retention.is_some_and(|retention| retention < min) {
        return Err(Rejection::RetentionMin { min });
    }
    let before = case.comes_to(room.kind, room.retention);
    let kept = case.comes_to(room.kind, retention);
    room.retention = retention;
    if kept < before && !room.entries.is_empty() {
        for entry in room.entries.iter_mut().filter(|entry| !matches!(entry.body, Body::Notice(_))) {
            entry.expires = entry.expires.min(entry.time.after(kept));
        }
        room.reexpire_due = true;
        case.events.push(Event::RetentionShortened { conversation: case.id });
    }
    case.notify(room, Notice::Retention(kept))
}

/// Whoever has left since gets the same acknowledgement again, too.
fn published_before(case: &Case<'_>, published: &[Published], publish: &Publish) -> Option<Outcome> {
    let what = (case.id, case.me.user, publish.client_id);
    let known = published.iter().rev().find(|known| known.what == what)?;
    (case.now < known.forgotten).then_some(Outcome::Published { seq: known.seq, time: known.time })
}

fn publish_once(
    case: &mut Case<'_>,
    room: &mut Room,
    published: &mut Vec<Published>,
    publish: &Publish,
) -> Verdict {
    let what = (case.id, case.me.user, publish.client_id);
    check_publisher(case, room)?;
    if let Some(Seq(target)) = publish.reply_to {
        if target == 0 || target > room.head() {
            return Err(Rejection::ReplyTarget);
        }
        if !room.may_see(case.me.user, target) || room.entry(target, case.now).is_none() {
            return Err(Rejection::NotFound);
        }
    }
    let min = case.keeping(room.kind).message_min;
    if publish.expires_in.is_some_and(|expires_in| expires_in < min) {
        return Err(Rejection::ExpiryMin { min });
    }
    let own = publish.expires_in.map_or(Timestamp::NEVER, |expires_in| case.now.after(expires_in));
    let expires = case.kept(room).min(own);
    let message = Message {
        client_id: publish.client_id,
        content_type: publish.content_type.clone(),
        payload: publish.payload.clone(),
        priority: publish.priority,
        reply_to: publish.reply_to,
    };
    let seq = case.append(room, expires, Body::Message(message));
    let forgotten = case.now.after(case.policy.dedupe_window);
    published.push(Published { what, seq, time: case.now, forgotten });
    let me = room.people.get_mut(&case.me.user).expect("the actor is a member");
    if !me.has_published {
        me.has_published = true;
        case.events.push(Event::FirstPublish { conversation: case.id, user: case.me.user });
    }
    Ok(Outcome::Published { seq, time: case.now })
}

fn delete(case: &mut Case<'_>, room: &mut Room, seq: u64) -> Verdict {
    if !room.may_see(case.me.user, seq) || room.entry(seq, case.now).is_none() {
        return Err(Rejection::NotFound);
    }
    let entry = &room.entries[seq as usize - 1];
    if matches!(entry.body, Body::Notice(_)) {
        return Err(Rejection::Forbidden);
    }
    if entry.sender != case.me.user {
        check_manager(case, room)?;
    }
    let entry = &mut room.entries[seq as usize - 1];
    if matches!(entry.body, Body::Tombstone { .. }) {
        return Ok(Outcome::Changed(None));
    }
    entry.body = Body::Tombstone { by: case.me.user, at: case.now };
    case.events.push(Event::Erased { conversation: case.id, seq: Seq(seq) });
    case.notify(room, Notice::Deleted(Seq(seq)))
}
