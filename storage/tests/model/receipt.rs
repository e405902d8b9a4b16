//! Receipts, as plainly as they can be said.

use wardline_storage::command::{Acknowledge, Event, Outcome, Rejection, Verdict};
use wardline_storage::id::{Seq, Timestamp};
use wardline_storage::model::{Body, Priority, ReceiptKind};

use super::{Case, Certificate, Room};

pub(super) fn acknowledge_in(case: &mut Case<'_>, room: &mut Room, asked: &Acknowledge) -> Verdict {
    let head = Seq(room.head());
    let beyond = |seq: Option<Seq>| seq.is_some_and(|seq| seq > head);
    if beyond(asked.delivered) || beyond(asked.read) {
        return Err(Rejection::ReceiptBeyondHead { head });
    }
    let device = case.submission.actor.device;
    let me = &room.people[&case.me.user];
    let place = me.places.iter().find(|(id, _)| *id == device).map(|(_, seq)| *seq);
    if asked.delivered.is_some_and(|delivered| place.is_some_and(|place| delivered < place)) {
        return Err(Rejection::ReceiptBackwards { current: place.expect("it lies behind one") });
    }
    if asked.read.is_some_and(|read| read.0 < me.read) {
        return Err(Rejection::ReceiptBackwards { current: Seq(me.read) });
    }
    let read = asked.read.map_or(0, |seq| seq.0);
    let delivered = asked.delivered.map_or(0, |seq| seq.0).max(read);

    // What is certified: (kind, sequence, when it is gone), in the order in which it is told.
    let late = case.now.after(case.policy.retention_max);
    let mut certified = Vec::new();
    if delivered > me.delivered {
        certified.push((ReceiptKind::Delivered, delivered, late));
    }
    if read > me.read {
        certified.push((ReceiptKind::Read, read, late));
    }
    let (delivered_to, read_to) = (me.delivered.max(delivered), me.read.max(read));
    for (kind, singles, covered) in [
        (ReceiptKind::DeliveredOnly, &asked.delivered_only, delivered_to),
        (ReceiptKind::ReadOnly, &asked.read_only, read_to),
    ] {
        let mut singles: Vec<u64> = singles.iter().map(|seq| seq.0).collect();
        singles.sort_unstable();
        singles.dedup();
        for seq in singles {
            if seq > head.0 {
                return Err(Rejection::ReceiptBeyondHead { head });
            }
            if !room.may_see(case.me.user, seq) {
                continue;
            }
            let Some(entry) = room.entry(seq, case.now) else { continue };
            match &entry.body {
                Body::Message(message) if message.priority == Priority::Urgent => {}
                Body::Tombstone { .. } => continue,
                _ => return Err(Rejection::NotUrgent),
            }
            let known = |receipt: &Certificate| {
                receipt.kind == kind && receipt.seq == seq && case.now < receipt.expires
            };
            if seq > covered && !me.receipts.iter().any(known) {
                certified.push((kind, seq, entry.expires));
            }
        }
    }

    let me = room.people.get_mut(&case.me.user).expect("the actor is a member");
    me.delivered = delivered_to;
    me.read = read_to;
    if delivered > place.map_or(0, |seq| seq.0) {
        me.places.retain(|(id, _)| *id != device);
        me.places.push((device, Seq(delivered)));
        while me.places.len() > case.policy.devices_max as usize {
            me.places.remove(0);
        }
    }
    certify(case, room, certified);
    Ok(Outcome::Acknowledged { delivered: Seq(delivered_to), read: Seq(read_to) })
}

/// Keeps what is certified and tells of it, in this order.
fn certify(case: &mut Case<'_>, room: &mut Room, certified: Vec<(ReceiptKind, u64, Timestamp)>) {
    let me = room.people.get_mut(&case.me.user).expect("the actor is a member");
    for (kind, seq, expires) in certified {
        me.receipts.push(Certificate { kind, seq, time: case.now, expires });
        let person = case.me.clone();
        let (conversation, time) = (case.id, case.now);
        case.events.push(Event::Receipt { conversation, person, kind, seq: Seq(seq), time });
    }
}
