//! Every read, by the model and by the view, side by side.

use std::collections::BTreeSet;

use wardline_storage::encounter::Encounter;
use wardline_storage::engine::{Direction, EngineError};
use wardline_storage::id::{ConversationId, DeviceId, PatientId, Seq, TenantId, Timestamp, UserId};
use wardline_storage::key::Stay;
use wardline_storage::model::{Body, Kind, Notice, ReceiptKind, Text};
use wardline_storage::staff::StaffOf;
use wardline_storage::view::{Access, Placed, View};

use super::generate::{CONVERSATIONS, DEVICES, Draw, USERS};
use super::{Model, Room, keeping, record, registrar};

/// Compares everything that can be read at `now`, for everybody.
///
/// # Errors
/// What differs.
pub(crate) fn compare(view: &View<'_>, model: &Model, now: Timestamp, draw: &mut Draw) -> Result<(), String> {
    Reading { view, model, now, draw }.all().map_err(|what| format!("at {}: {what}", now.0))
}

struct Reading<'a> {
    view: &'a View<'a>,
    model: &'a Model,
    now: Timestamp,
    draw: &'a mut Draw,
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, found: T, expected: T) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("{what}: found {found:?}, expected {expected:?}")) }
}

fn engine<T>(result: Result<T, EngineError>) -> Result<T, String> {
    result.map_err(|error| error.to_string())
}

/// Follows a listing from page to page.
fn pages<T, K: Copy>(
    mut page: impl FnMut(Option<K>) -> Result<wardline_storage::view::Page<T, K>, String>,
) -> Result<Vec<T>, String> {
    let (mut items, mut after) = (Vec::new(), None);
    loop {
        let next = page(after)?;
        items.extend(next.items);
        match next.next {
            Some(key) => after = Some(key),
            None => return Ok(items),
        }
    }
}

impl Reading<'_> {
    fn all(&mut self) -> Result<(), String> {
        for user in USERS.map(super::generate::user) {
            let expected: Vec<ConversationId> = self
                .model
                .rooms
                .iter()
                .filter(|(_, room)| room.people.get(&user).is_some_and(|person| person.active))
                .map(|(id, _)| *id)
                .collect();
            let limit = self.draw.below(3) as usize + 1;
            let found = pages(|after| engine(self.view.memberships(user, after, limit)))?;
            same("memberships", found, expected)?;
            for id in CONVERSATIONS.map(super::generate::conversation) {
                self.conversation(user, id)?;
            }
        }
        self.register()?;
        let due = self.model.rooms.iter().filter(|(_, room)| room.reexpire_due).map(|(id, _)| *id).collect();
        same("reexpiring", pages(|after| engine(self.view.reexpiring(after, 1)))?, due)
    }

    /// What the record says, for both tenants.
    fn register(&mut self) -> Result<(), String> {
        let (model, view) = (&self.model.register, self.view);
        let tenants = [1, 2].map(|tenant| TenantId::new([tenant; 16]));
        for tenant in tenants {
            for number in 0..registrar::ENCOUNTERS {
                let id = registrar::encounter(number);
                let stood = model.encounters.get(&id).filter(|stood| stood.stands().tenant == tenant);
                let found = engine(view.encounter(tenant, id))?;
                let status = found.as_ref().map(Encounter::status);
                same("status", status, stood.map(|stood| stood.status()))?;
                same("encounter", found, stood.map(|stood| stood.stands()))?;
            }
            for number in 0..registrar::WARDS {
                let id = registrar::ward(number);
                let said = model.wards.get(&id).filter(|(whose, _)| *whose == tenant);
                let name = said.map(|(_, said)| record::ward_name(said));
                same("ward", engine(view.ward(tenant, id))?.map(|ward| ward.name), name)?;
            }
            for number in 0..registrar::IDENTIFIERS {
                let found = engine(view.identified(tenant, registrar::identifier(number)))?;
                let owner = model.owner(registrar::identifier(number));
                let owner = owner.filter(|owner| model.tenant(*owner) == tenant);
                same("owner", found.as_ref().map(|(id, _)| *id), owner)?;
                let Some((id, mut patient)) = found else { continue };
                let absorbed: BTreeSet<PatientId> = patient.absorbed.drain(..).collect();
                same("patient", (patient, absorbed), model.record(id))?;
            }
        }
        for tenant in tenants {
            for of in model.staff.keys() {
                let (whose, said) = &model.staff[of];
                let people = (*whose == tenant && !said.is_empty()).then(|| model.staff(*of));
                let found = engine(view.staff(tenant, *of))?.map(|staff| staff.people.value);
                same("staff", found, people)?;
            }
        }
        let due: Vec<StaffOf> = self.model.marks.keys().copied().collect();
        same("regrouping", pages(|after| engine(view.regrouping(after, 1)))?, due)?;
        let mut stays: Vec<Stay> = model.patients.keys().map(|patient| Stay::Of(*patient)).collect();
        for ward in 0..registrar::WARDS {
            stays.push(Stay::On(registrar::ward(ward)));
            stays.extend((0..registrar::BEDS).map(|bed| Stay::In(registrar::bed(ward, bed))));
        }
        for stay in stays {
            let limit = self.draw.below(3) as usize + 1;
            let found = pages(|after| engine(view.stays(stay, after, limit)))?;
            same(&format!("{stay:?}"), found, model.stays(stay))?;
        }
        Ok(())
    }

    fn conversation(&mut self, user: UserId, id: ConversationId) -> Result<(), String> {
        let access = engine(self.view.access(user, id))?;
        let room = self.model.rooms.get(&id);
        let room = room.filter(|room| room.people.get(&user).is_some_and(|person| person.active));
        let (Some(access), Some(room)) = (&access, room) else {
            return same("access", access.is_some(), room.is_some());
        };
        self.summary(access, room)?;
        self.history(access, room)?;
        for device in DEVICES.map(super::generate::device) {
            let found = engine(self.view.device_position(access, device))?;
            let expected = self.position(user, device, room);
            // Where nothing is visible in between, one place is as good as the other.
            let visible = |seq: &u64| room.may_see(user, *seq) && room.entry(*seq, self.now).is_some();
            let owed = |position: Seq| (position.0 + 1..=room.head()).filter(visible).collect::<Vec<_>>();
            let what = format!("owed to a device after {found}, the model says {expected}");
            same(&what, owed(found), owed(expected))?;
        }
        let expected: Vec<_> = room
            .people
            .iter()
            .filter(|(_, person)| person.active)
            .map(|(user, person)| (*user, person.name.clone(), person.role, person.joined))
            .collect();
        let limit = self.draw.below(4) as usize + 1;
        let members = pages(|after| engine(self.view.members(id, after, limit)))?;
        let members: Vec<_> = members.into_iter().map(|m| (m.user, m.name, m.role, m.joined)).collect();
        same("members", members, expected)?;
        // For every place by one reader in two: the recipients do not depend on who asks.
        if self.draw.below(2) == 0 {
            for seq in 0..=room.head() + 1 {
                self.recipients(access, room, seq)?;
            }
        }
        Ok(())
    }

    fn summary(&mut self, access: &Access, room: &Room) -> Result<(), String> {
        let me = &room.people[&access.user];
        let rules = engine(self.view.rules())?;
        let summary = engine(self.view.summary(access.clone(), &rules))?;
        let found = &summary.access.conversation;
        same("kind", found.kind, room.kind)?;
        same("title", &found.title, &room.title)?;
        same("retention", found.retention, room.retention)?;
        same("head", found.head.0, room.head())?;
        same("created", found.created, room.created)?;
        same("last activity", found.last_activity, room.last_activity)?;
        same("context", (found.context, found.is_care), (room.care_of, room.care_of.is_some()))?;
        same("role", summary.access.member.role, me.role)?;
        same("granted", summary.access.member.granted, me.granted)?;
        same("without admin", found.is_without_admin(), room.is_without_admin())?;
        let policy = self.model.policy.ok_or("a conversation without a policy")?;
        let said = keeping(policy, self.model.retentions.as_deref(), room.tenant, room.kind);
        let kept = room.retention.unwrap_or(said.default).max(said.min).min(said.max);
        same("kept", summary.kept, kept)?;
        same("has published", summary.access.member.has_published, me.has_published)?;
        same("delivered", summary.cursor.delivered.0, me.delivered)?;
        same("read", summary.cursor.read.0, me.read)?;
        same("devices", &summary.cursor.devices, &me.places)?;
        let unread = (me.read + 1..=room.head())
            .filter(|seq| room.may_see(access.user, *seq))
            .filter_map(|seq| room.entry(seq, self.now))
            .filter(|entry| matches!(entry.body, Body::Message(_)) && entry.sender != access.user)
            .count();
        same("unread", summary.unread as usize, unread)?;
        let peer = room.people.iter().find(|(user, _)| **user != access.user);
        let peer = peer.filter(|_| room.kind == Kind::Direct).map(|(_, person)| person.name.clone());
        same("peer", summary.peer, peer)
    }

    fn history(&mut self, access: &Access, room: &Room) -> Result<(), String> {
        let (start, now) = (self.draw.below(room.head() + 2), self.now);
        let visible = |seq: &u64| room.may_see(access.user, *seq) && room.entry(*seq, now).is_some();
        for direction in [Direction::Forward, Direction::Backward] {
            let (from, mut expected): (Seq, Vec<u64>) = match direction {
                Direction::Forward => (Seq(start), (start + 1..=room.head()).filter(visible).collect()),
                Direction::Backward if start == 0 => (Seq::MAX, (1..=room.head()).filter(visible).collect()),
                Direction::Backward => (Seq(start), (1..start).filter(visible).collect()),
            };
            if direction == Direction::Backward {
                expected.reverse();
            }
            let what = format!("history {direction:?} from {from}");
            let found = self.follow(access, from, direction)?;
            same(&what, found.iter().map(|placed| placed.seq.0).collect(), expected)?;
            for placed in found {
                let entry = &room.entries[placed.seq.0 as usize - 1];
                same("entry", &placed.entry, entry)?;
                same("payload", content(&placed.entry.body), content(&entry.body))?;
                let name = |user: &UserId| room.people[user].name.clone();
                same("sender", placed.sender, name(&entry.sender))?;
                let mentioned: Vec<Text> = match &entry.body {
                    Body::Tombstone { by, .. } => vec![name(by)],
                    Body::Notice(Notice::Added(users, _) | Notice::Left(users)) => {
                        users.iter().map(name).collect()
                    }
                    Body::Notice(Notice::Removed(user) | Notice::Role(user, _)) => vec![name(user)],
                    _ => vec![],
                };
                same("mentioned", placed.mentioned, mentioned)?;
            }
        }
        Ok(())
    }

    /// Reads on from chunk to chunk, and checks the promises of each.
    fn follow(&mut self, access: &Access, from: Seq, direction: Direction) -> Result<Vec<Placed>, String> {
        let (limit, bytes_max) = (self.draw.below(6) as usize + 1, self.draw.below(60) as usize);
        let (mut all, mut at) = (Vec::new(), from);
        loop {
            let chunk = engine(self.view.entries(access, at, direction, limit, bytes_max))?;
            let payloads: usize = chunk.entries.iter().map(|placed| content(&placed.entry.body).len()).sum();
            let fits = chunk.entries.len() <= limit && (payloads <= bytes_max || chunk.entries.len() == 1);
            same("chunk within its bounds", fits, true)?;
            let last = chunk.entries.last().map_or(at, |placed| placed.seq);
            let onward = match direction {
                Direction::Forward => last <= chunk.through || access.conversation.head < at,
                Direction::Backward => chunk.through <= last,
            };
            same("chunk goes on", onward && (!chunk.more || chunk.through != at), true)?;
            at = chunk.through;
            all.extend(chunk.entries);
            if !chunk.more {
                return Ok(all);
            }
        }
    }

    fn position(&self, user: UserId, device: DeviceId, room: &Room) -> Seq {
        let me = &room.people[&user];
        let own = me.places.iter().find(|(id, _)| *id == device).map(|(_, seq)| seq.0);
        let registered = self.model.devices.get(&user).and_then(|devices| devices.get(&device));
        let owed = (me.first..=me.delivered).find(|seq| {
            let entry = room.entry(*seq, self.now);
            registered.is_some_and(|d| entry.is_some_and(|entry| entry.time >= d.registered))
        });
        let position = own.unwrap_or(owed.map_or(me.delivered, |seq| seq - 1));
        Seq(position.max(me.first - 1))
    }

    fn recipients(&mut self, access: &Access, room: &Room, seq: u64) -> Result<(), String> {
        let limit = self.draw.below(4) as usize + 1;
        let first = engine(self.view.recipients(access, Seq(seq), None, limit))?;
        let entry = room.entry(seq, self.now).filter(|_| room.may_see(access.user, seq));
        let (Some(_), Some(entry)) = (first, entry) else {
            let found = engine(self.view.recipients(access, Seq(seq), None, limit))?.is_some();
            return same(&format!("recipients of {seq}"), found, entry.is_some());
        };
        let found = pages(|after| {
            let page = engine(self.view.recipients(access, Seq(seq), after, limit))?;
            page.ok_or_else(|| "recipients: gone between two pages".into())
        })?;
        let found: Vec<_> = found.into_iter().map(|r| (r.user, r.name, r.delivered, r.read)).collect();
        let mut expected = Vec::new();
        for (user, person) in &room.people {
            if *user == entry.sender || !room.may_see(*user, seq) {
                continue;
            }
            let live = || person.receipts.iter().filter(|receipt| self.now < receipt.expires);
            let first = |kind, covers: fn(u64, u64) -> bool| {
                live()
                    .find(|receipt| receipt.kind == kind && covers(receipt.seq, seq))
                    .map(|receipt| receipt.time)
            };
            let up_to = |kind| first(kind, |receipt, seq| receipt >= seq);
            let just = |kind| first(kind, |receipt, seq| receipt == seq);
            let read = up_to(ReceiptKind::Read).into_iter().chain(just(ReceiptKind::ReadOnly)).min();
            let times = [up_to(ReceiptKind::Delivered), just(ReceiptKind::DeliveredOnly), read];
            expected.push((*user, person.name.clone(), times.into_iter().flatten().min(), read));
        }
        same(&format!("recipients of {seq}"), found, expected)
    }
}

fn content(body: &Body) -> &[u8] {
    match body {
        Body::Message(message) => &message.payload,
        _ => &[],
    }
}

/// Times at which something in the model is about to go, goes, or has gone.
pub(crate) fn edges(model: &Model) -> BTreeSet<Timestamp> {
    let entries = model.rooms.values().flat_map(|room| room.entries.iter().map(|entry| entry.expires));
    let receipts = model.rooms.values().flat_map(|room| room.people.values());
    let receipts = receipts.flat_map(|person| person.receipts.iter().map(|receipt| receipt.expires));
    let dedupes = model.published.iter().map(|published| published.forgotten);
    let all = entries.chain(receipts).chain(dedupes);
    all.flat_map(|edge| [Timestamp(edge.0.saturating_sub(1)), edge]).collect()
}
