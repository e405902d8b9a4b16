//! What a connected person does: takes what arrives, publishes what is due, waits for acks.
//!
//! Three tasks, because none may wait for another: an open loop's next message is sent whether or
//! not the last was acknowledged. Acks are awaited in the order of publishing, which is the
//! broker's order too; one that came out of order would count as late, never as early.

use std::rc::Rc;
use std::time::Duration;

use tokio::time::sleep;
use wardline_client::{
    Body, Client, Entry, Inbox, Incoming, Outgoing, Priority, Receipt, ReceiptKind, RequestError,
};

use super::stage::{Due, Flight, Stage, bump};
use crate::measure::ledger::Delivery;
use crate::measure::recorder::Name;
use crate::measure::stamp::Stamp;
use crate::plan::{Person, Room};
use crate::workload::{self, Reads};

const CONTENT_TYPE: &str = "application/octet-stream";

/// Takes what arrives, until the inbox ends. `back_ns`: when a device that was away was to come
/// back.
pub(crate) async fn receive(
    stage: Rc<Stage>,
    person: Person,
    client: Client,
    mut inbox: Inbox,
    back_ns: Option<u64>,
) {
    let mut receiver = Receiver { person, client, last_seat: 0, stage: &stage };
    while let Some(incoming) = inbox.next().await {
        match incoming {
            Incoming::Entry(entry) => {
                receiver.entry(&entry);
                if stage.is_slow[person.0 as usize] {
                    receiver.pause().await;
                }
            }
            Incoming::Receipt(receipt) => receiver.receipt(&receipt),
            Incoming::CaughtUp => {
                if let Some(back_ns) = back_ns {
                    receiver.time(Name::CatchUp, back_ns);
                }
            }
            Incoming::Joined(_) | Incoming::Left(_) | Incoming::NotFollowed(_) => {}
        }
    }
}

struct Receiver<'a> {
    stage: &'a Rc<Stage>,
    person: Person,
    client: Client,
    /// Where the last delivery's conversation stood among the person's seats.
    last_seat: usize,
}

impl Receiver<'_> {
    fn entry(&mut self, entry: &Entry) {
        // Notices tell of the conversation's making.
        let stage = self.stage;
        let Body::Message { payload, .. } = &entry.body else { return bump(&stage.totals.noticed) };
        let now_ns = stage.clock.now_ns();
        let stamp = Stamp::read(payload);
        let Some(seat) = stamp.and_then(|stamp| self.seat(Room(stamp.room))) else {
            return stage.ledger.borrow_mut().foreign();
        };
        let (room, member) = stage.seats[self.person.0 as usize][seat];
        let is_right_place = stage.conversations[room.0 as usize] == entry.conversation;
        let stamp = stamp.filter(|stamp| is_right_place && self.is_from_publisher(room, stamp, entry));
        let delivery = stage.ledger.borrow_mut().delivered(room, member, stamp.as_ref(), entry.sequence);
        let (Delivery::Good, Some(stamp)) = (delivery, stamp) else { return };
        bump(&stage.totals.received);
        stage.window.arrive(&stamp);
        self.record(&stamp, member, payload.len(), now_ns);
        match stage.workload.reads {
            Reads::Never => {}
            Reads::AtOnce if stamp.is_urgent() => self.client.read_only(entry.conversation, entry.sequence),
            Reads::AtOnce => self.client.read(entry.conversation, entry.sequence),
            Reads::Later { .. } => {
                stage.reading.borrow_mut().unread(self.person, seat, entry.sequence, now_ns);
            }
        }
    }

    fn record(&self, stamp: &Stamp, member: u32, payload_bytes: usize, now_ns: u64) {
        let mut recorder = self.stage.recorder.borrow_mut();
        let is_counted = recorder.counts_at(stamp.intended_ns);
        if member == stamp.publisher() {
            recorder.counts.echoed += u64::from(is_counted);
            return;
        }
        recorder.flows(now_ns, |flow| {
            flow.delivered += 1;
            flow.delivered_bytes += payload_bytes as u64;
        });
        if !is_counted {
            return;
        }
        recorder.counts.delivered += 1;
        if self.stage.is_slow[self.person.0 as usize] {
            return recorder.record(Name::DeliverSlow, stamp.intended_ns, now_ns);
        }
        recorder.record(Name::Deliver.urgent(stamp.is_urgent()), stamp.intended_ns, now_ns);
        recorder.record(Name::DeliverService.urgent(stamp.is_urgent()), stamp.sent_ns, now_ns);
        if self.stage.slow_ns.borrow().contains(&stamp.intended_ns) {
            recorder.record(Name::DeliverBesideSlow, stamp.intended_ns, now_ns);
        }
    }

    fn receipt(&self, receipt: &Receipt) {
        let stage = self.stage;
        let Some(room) = stage.rooms.get(&receipt.conversation).copied() else { return };
        let now_ns = stage.clock.now_ns();
        let seats = &stage.seats[self.person.0 as usize];
        let Ok(seat) = seats.binary_search_by_key(&room, |(room, _)| *room) else { return };
        let recent = stage.recent(room, seats[seat].1, receipt.sequence);
        let mut recorder = stage.recorder.borrow_mut();
        recorder.counts.receipts += u64::from(recorder.counts_at(now_ns));
        if let Some((intended_ns, is_urgent)) = recent
            && receipt.kind == ReceiptKind::Delivered
        {
            recorder.record(Name::Receipt.urgent(is_urgent), intended_ns, now_ns);
        }
    }

    /// Does not read for as long as the workload says.
    async fn pause(&self) {
        let now_ns = self.stage.clock.now_ns();
        let slow_ns = self.stage.slow_ns.borrow().clone();
        if slow_ns.contains(&now_ns) {
            sleep(Duration::from_nanos(slow_ns.end - now_ns)).await;
        }
    }

    fn time(&self, name: Name, from_ns: u64) {
        let now_ns = self.stage.clock.now_ns();
        self.stage.recorder.borrow_mut().record(name, from_ns, now_ns);
    }

    /// Finds the person's seat in a conversation; most often it is the last one's.
    fn seat(&mut self, room: Room) -> Option<usize> {
        let seats = &self.stage.seats[self.person.0 as usize];
        if seats.get(self.last_seat).is_none_or(|(last, _)| *last != room) {
            self.last_seat = seats.binary_search_by_key(&room, |(room, _)| *room).ok()?;
        }
        Some(self.last_seat)
    }

    fn is_from_publisher(&self, room: Room, stamp: &Stamp, entry: &Entry) -> bool {
        let publisher = self.stage.plan.room(room).members.get(stamp.publisher() as usize);
        publisher.is_some_and(|publisher| self.stage.users[publisher.0 as usize] == entry.sender)
    }
}

/// Publishes what is due, for ever.
pub(crate) async fn publish(stage: Rc<Stage>, person: Person, client: Client) {
    let desk = stage.desk(person);
    loop {
        let due = desk.due.borrow_mut().pop_front();
        let Some(due) = due else {
            desk.due_bell.notified().await;
            continue;
        };
        let sent_ns = stage.clock.now_ns();
        let stamp = stage.ledger.borrow_mut().publish(due.target, due.intended_ns, sent_ns);
        stage.window.launch(&stamp, stage.plan.room(due.target.room).members.len() as u32);
        record_send(&stage, &due, sent_ns);
        desk.is_waiting.set(true);
        let enqueued = client.enqueue(outgoing(&stage, &due, &stamp)).await;
        desk.is_waiting.set(false);
        match enqueued {
            Ok(pending) => {
                desk.flights.borrow_mut().push_back(Flight { pending, stamp });
                desk.flight_bell.notify_one();
            }
            Err(error) => stage.failed(&stamp, error.to_string()),
        }
    }
}

fn record_send(stage: &Stage, due: &Due, sent_ns: u64) {
    let mut recorder = stage.recorder.borrow_mut();
    if recorder.counts_at(due.intended_ns) {
        recorder.counts.published += 1;
        if due.is_free {
            recorder.record(Name::LateSend, due.intended_ns, sent_ns);
        }
    }
}

fn outgoing(stage: &Stage, due: &Due, stamp: &Stamp) -> Outgoing {
    let room = stage.conversations[due.target.room.0 as usize];
    let mut outgoing = Outgoing::new(room, CONTENT_TYPE, stamp.payload(due.payload_bytes));
    outgoing.priority = match due.target.priority {
        workload::Priority::Routine => Priority::Routine,
        workload::Priority::Urgent => Priority::Urgent,
    };
    outgoing
}

/// Waits for acks, for ever.
pub(crate) async fn confirm(stage: Rc<Stage>, person: Person) {
    let desk = stage.desk(person);
    loop {
        let flight = desk.flights.borrow_mut().pop_front();
        let Some(flight) = flight else {
            desk.flight_bell.notified().await;
            continue;
        };
        match flight.pending.wait().await {
            Ok(ack) => stage.acked(&flight.stamp, ack.sequence),
            // The client ended, which is told elsewhere: the message stays unanswered.
            Err(RequestError::Closed(why)) => stage.trouble(why),
            Err(error) => stage.failed(&flight.stamp, error.to_string()),
        }
    }
}
