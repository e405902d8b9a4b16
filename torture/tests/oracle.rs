//! The oracle is silent where promises were kept, and objects to each kind of broken one.

use wardline_client::{ConversationId, DeviceId, MessageId};
use wardline_torture::event::{
    Answer, Control, ControlId, Event, Found, Index, Life, Noticed, Reading, Recipient, Told, User,
};
use wardline_torture::oracle::{Law, Oracle, judge};

const ANN: User = User("ann");
const BOB: User = User("bob");
const EVE: User = User("eve");
const ROOM: ConversationId = ConversationId([1; 16]);
const DEVICE: DeviceId = DeviceId([2; 16]);
/// Messages are kept so long.
const RETENTION_MS: u64 = 1_000_000;
/// Everything was published then.
const PUBLISHED_MS: u64 = 1_000;

fn id(number: u8) -> MessageId {
    MessageId([number; 16])
}

fn invoked_by(sender: User, life: u64, number: u8, expires_in_ms: Option<u64>) -> Event {
    Event::Invoked {
        id: id(number),
        room: ROOM,
        sender,
        life: Life(life),
        digest: number.into(),
        urgent: false,
        expires_in_ms,
        at_ms: PUBLISHED_MS,
    }
}

fn invoked(number: u8) -> Event {
    invoked_by(ANN, 1, number, None)
}

fn acked(number: u8, sequence: u64) -> Event {
    Event::Acked { id: id(number), sequence, time_ms: PUBLISHED_MS, urgent: false }
}

fn acked_urgent(number: u8, sequence: u64) -> Event {
    Event::Acked { id: id(number), sequence, time_ms: PUBLISHED_MS, urgent: true }
}

fn unknown(number: u8) -> Event {
    Event::Unknown { id: id(number) }
}

/// Message `number` at a place.
fn at(sequence: u64, number: u8) -> Found {
    Found {
        sequence,
        sender: ANN,
        id: id(number),
        digest: number.into(),
        urgent: false,
        time_ms: PUBLISHED_MS,
        expires_at_ms: PUBLISHED_MS + RETENTION_MS,
    }
}

/// A reading that begins when everything before it was heard, at a time.
fn read_at(ms: u64, head: u64, entries: &[Found]) -> Event {
    read_with(ms, head, entries, &[])
}

/// The same, with what stands between.
fn read_with(ms: u64, head: u64, entries: &[Found], notices: &[Noticed]) -> Event {
    let since = Index(u64::MAX);
    let (entries, notices) = (entries.to_vec(), notices.to_vec());
    Event::Read(Reading {
        reader: BOB,
        room: ROOM,
        since,
        began_ms: ms,
        ended_ms: ms,
        head,
        entries,
        notices,
    })
}

fn read(head: u64, entries: &[Found]) -> Event {
    read_at(PUBLISHED_MS, head, entries)
}

fn delivered(found: Found) -> Event {
    Event::Delivered { device: DEVICE, room: ROOM, at_ms: PUBLISHED_MS, found }
}

/// After these events on top of a conversation that was opened.
fn laws(events: &[Event]) -> Vec<Law> {
    let opened = Event::Opened { room: ROOM, members: vec![ANN, BOB], retention_ms: RETENTION_MS };
    let mut laws: Vec<_> =
        judge([&opened].into_iter().chain(events)).into_iter().map(|objection| objection.law).collect();
    laws.sort();
    laws.dedup();
    laws
}

fn good(events: &[Event]) {
    assert_eq!(laws(events), [], "{events:?}");
}

#[track_caller]
fn broken(law: Law, events: &[Event]) {
    assert!(laws(events).contains(&law), "{law:?}, not {:?}: {events:?}", laws(events));
}

/// One and two are acknowledged, three is unknown.
fn three() -> Vec<Event> {
    vec![invoked(1), invoked(2), invoked(3), acked(1, 1), acked(2, 2), unknown(3)]
}

fn with(events: impl IntoIterator<Item = Event>) -> Vec<Event> {
    three().into_iter().chain(events).collect()
}

#[test]
fn a_trial_in_which_all_is_well() {
    good(&with([read(2, &[at(1, 1), at(2, 2)])]));
    good(&with([read(3, &[at(1, 1), at(2, 2), at(3, 3)]), read(3, &[at(1, 1), at(2, 2), at(3, 3)])]));
    good(&with([delivered(at(1, 1)), delivered(at(2, 2)), delivered(at(3, 3))]));
    // Found before it is acknowledged, and by a reading that began before the acknowledgement was
    // heard.
    good(&[invoked(1), read(1, &[at(1, 1)]), acked(1, 1)]);
    let early = Reading {
        reader: BOB,
        room: ROOM,
        since: Index(1),
        began_ms: PUBLISHED_MS,
        ended_ms: PUBLISHED_MS,
        head: 0,
        entries: Vec::new(),
        notices: Vec::new(),
    };
    good(&[invoked(1), acked(1, 1), Event::Read(early)]);
}

#[test]
fn what_was_acknowledged_must_be_found() {
    broken(Law::Kept, &with([read(2, &[at(1, 1)])]));
    broken(Law::Kept, &with([read(1, &[at(1, 1)])]));
    broken(Law::Kept, &with([read(0, &[])]));
    broken(Law::Kept, &with([read(2, &[at(2, 2)])]));
    // Skipped by a delivery.
    broken(Law::Kept, &with([delivered(at(2, 2))]));
    // Not found, then acknowledged as having been there.
    broken(
        Law::Kept,
        &[invoked(1), invoked_by(BOB, 2, 2, Some(10)), acked(1, 2), read(2, &[at(2, 1)]), acked(2, 1)],
    );
}

#[test]
fn nothing_is_found_that_nobody_sent() {
    broken(Law::Genuine, &with([read(3, &[at(1, 1), at(2, 2), at(3, 9)])]));
    broken(Law::Genuine, &with([read(2, &[at(1, 1), Found { digest: 7, ..at(2, 2) }])]));
    broken(Law::Genuine, &with([read(2, &[at(1, 1), Found { sender: BOB, ..at(2, 2) }])]));
    broken(Law::Genuine, &with([read(2, &[at(1, 1), Found { time_ms: 7, ..at(2, 2) }])]));
    broken(Law::Genuine, &[acked(1, 1)]);
    let refused = Event::Refused { id: id(1) };
    broken(Law::Genuine, &[invoked(1), refused.clone(), read(1, &[at(1, 1)])]);
    good(&[invoked(1), refused, read(0, &[])]);
    broken(Law::Genuine, &[invoked_by(EVE, 3, 1, None), acked(1, 1)]);
    broken(Law::Genuine, &[Event::Leaked { to: EVE, room: ROOM }]);
}

#[test]
fn nothing_is_there_twice() {
    broken(Law::Once, &with([read(3, &[at(1, 1), at(2, 2), at(3, 2)])]));
    broken(Law::Once, &with([acked(3, 2)]));
    broken(Law::Once, &[invoked(1), read(1, &[at(1, 1)]), acked(1, 2)]);
    broken(Law::Once, &with([delivered(at(1, 1)), delivered(at(1, 1))]));
    broken(Law::Once, &with([delivered(at(1, 1)), delivered(at(2, 2)), delivered(at(1, 1))]));
}

#[test]
fn a_device_that_begins_anew_gets_again_what_it_had_and_misses_nothing() {
    let anew = || Event::Connected { device: DEVICE, at_ms: PUBLISHED_MS };
    let both = || [delivered(at(1, 1)), delivered(at(2, 2))];
    good(&with(both().into_iter().chain([anew(), delivered(at(2, 2)), delivered(at(3, 3))])));
    good(&with(both().into_iter().chain([anew(), delivered(at(3, 3))])));
    broken(Law::Kept, &with([anew(), delivered(at(1, 1)), anew(), delivered(at(3, 3))]));
}

#[test]
fn urgent_ones_come_ahead_once() {
    let urgent = |number: u8| Event::Invoked {
        id: id(number),
        room: ROOM,
        sender: ANN,
        life: Life(1),
        digest: number.into(),
        urgent: true,
        expires_in_ms: None,
        at_ms: PUBLISHED_MS,
    };
    let ahead = || Found { urgent: true, ..at(3, 3) };
    let answers = [acked(1, 1), acked(2, 2), acked_urgent(3, 3)];
    let sent: Vec<_> = [invoked(1), invoked(2), urgent(3), invoked(4)].into_iter().chain(answers).collect();
    let with = |events: Vec<Event>| sent.iter().cloned().chain(events).collect::<Vec<_>>();
    let in_turn = [delivered(at(1, 1)), delivered(at(2, 2)), delivered(at(4, 4))];
    let all: Vec<_> = [delivered(ahead())].into_iter().chain(in_turn.clone()).collect();
    good(&with(all.clone()));
    let mut oracle = Oracle::default();
    let up_to: Vec<_> = with(all)
        .iter()
        .map(|event| {
            oracle.hear(event);
            oracle.delivered_up_to(DEVICE, ROOM)
        })
        .collect();
    assert_eq!(up_to[sent.len()..], [0, 1, 3, 4], "what came ahead need not come again");
    broken(Law::Kept, &with(in_turn.to_vec()));
    broken(Law::Once, &with(vec![delivered(ahead()), delivered(ahead())]));
    let again = [delivered(at(1, 1)), delivered(ahead()), delivered(at(2, 2)), delivered(ahead())];
    broken(Law::Once, &with(again.to_vec()));
}

#[test]
fn there_is_one_order_without_holes() {
    broken(Law::Ordered, &with([read(2, &[at(2, 2), at(1, 1)])]));
    broken(Law::Ordered, &[invoked(1), invoked(2), acked(1, 2), acked(2, 1)]);
    broken(Law::Ordered, &[invoked(1), acked(1, 2), read(2, &[at(2, 1)])]);
    broken(Law::Ordered, &[invoked(1), acked(1, 1), read(2, &[at(1, 1)])]);
    // Urgent ones overtake.
    let urgent = |event: Event| match event {
        Event::Invoked { id, room, sender, life, digest, expires_in_ms, at_ms, .. } => {
            Event::Invoked { id, room, sender, life, digest, urgent: true, expires_in_ms, at_ms }
        }
        other => other,
    };
    good(&[invoked(1), urgent(invoked(2)), acked(1, 2), acked_urgent(2, 1)]);
    let both = || [urgent(invoked(1)), urgent(invoked(2))];
    let swapped = [acked_urgent(1, 2), acked_urgent(2, 1)];
    broken(Law::Ordered, &both().into_iter().chain(swapped).collect::<Vec<_>>());
    // What was taken as routine goes later than it was sent.
    good(&both().into_iter().chain([acked(1, 2), acked_urgent(2, 1)]).collect::<Vec<_>>());
    // Of two clients, or of somebody who began again, no order is promised.
    good(&[invoked(1), invoked_by(BOB, 2, 2, None), acked(1, 2), acked(2, 1)]);
    good(&[invoked(1), invoked_by(ANN, 2, 2, None), acked(1, 2), acked(2, 1)]);
}

#[test]
fn a_message_of_unknown_fate_is_there_or_not_for_good() {
    let all = || [at(1, 1), at(2, 2), at(3, 3)];
    broken(Law::Settled, &with([read(3, &all()), read(2, &[at(1, 1), at(2, 2)])]));
    broken(Law::Settled, &with([Event::Killed, read(2, &[at(1, 1), at(2, 2)]), read(3, &all())]));
    // As long as the broker that was asked lives, it may still do it.
    good(&with([read(2, &[at(1, 1), at(2, 2)]), read(3, &all())]));
    // As long as its publisher lives, it may be sent again.
    good(&[invoked(1), Event::Killed, read(0, &[]), acked(1, 1), read(1, &[at(1, 1)])]);
}

#[test]
fn expired_is_gone_and_unexpired_is_there() {
    let brief = || vec![invoked(1), invoked_by(ANN, 1, 2, Some(100)), acked(1, 1), acked(2, 2)];
    let found = || Found { expires_at_ms: PUBLISHED_MS + 100, ..at(2, 2) };
    let with = |event: Event| brief().into_iter().chain([event]).collect::<Vec<_>>();
    good(&with(read_at(PUBLISHED_MS + 99, 2, &[at(1, 1), found()])));
    good(&with(read_at(PUBLISHED_MS + 100, 2, &[at(1, 1)])));
    broken(Law::Expiry, &with(read_at(PUBLISHED_MS + 100, 2, &[at(1, 1), found()])));
    broken(Law::Expiry, &with(read_at(PUBLISHED_MS + 99, 2, &[at(1, 1)])));
    broken(Law::Expiry, &with(read_at(PUBLISHED_MS, 2, &[at(1, 1), at(2, 2)])));
    // A message without an expiry of its own goes with its conversation's.
    good(&with(read_at(PUBLISHED_MS + RETENTION_MS, 2, &[])));
    broken(Law::Expiry, &with(read_at(PUBLISHED_MS + RETENTION_MS, 2, &[at(1, 1)])));
    let late = Event::Connected { device: DEVICE, at_ms: PUBLISHED_MS + 100 };
    let mut events = brief();
    events.extend([late, delivered(at(1, 1)), delivered(found())]);
    broken(Law::Expiry, &events);
}

#[test]
fn an_empty_place_may_be_that_of_a_message_that_expired_unseen_but_of_no_more_than_there_are() {
    let sent = [invoked(1), invoked_by(BOB, 2, 2, Some(100)), acked(1, 2)];
    let with = |event: Event| sent.iter().cloned().chain([event]).collect::<Vec<_>>();
    good(&with(read_at(PUBLISHED_MS + 100, 2, &[at(2, 1)])));
    broken(Law::Ordered, &with(read_at(PUBLISHED_MS + 99, 2, &[at(2, 1)])));
    broken(Law::Ordered, &with(read_at(PUBLISHED_MS + 100, 3, &[at(2, 1)])));
}

#[test]
fn receipts_stay() {
    let asked = |read| Event::MarkAsked { user: BOB, room: ROOM, read };
    let answer = |asked, read| Event::MarkAcked {
        user: BOB,
        room: ROOM,
        since: Index(0),
        asked,
        delivered: asked,
        read,
    };
    let listed = |read| Event::MarksRead { user: BOB, room: ROOM, since: Index(99), delivered: 2, read };
    good(&with([asked(2), answer(2, 2), listed(2)]));
    broken(Law::ReceiptsStay, &with([asked(2), answer(2, 2), listed(1)]));
    broken(Law::ReceiptsStay, &with([asked(2), answer(2, 1)]));
    broken(Law::Genuine, &with([asked(1), answer(1, 1), listed(2)]));
    // Listed by somebody who asked before the receipt was given.
    let early = Event::MarksRead { user: BOB, room: ROOM, since: Index(0), delivered: 0, read: 0 };
    good(&with([asked(2), answer(2, 2), early]));

    let told_since = |since, delivered_at_ms, read_at_ms| Event::RecipientsRead {
        room: ROOM,
        sequence: 2,
        since: Index(since),
        recipients: vec![Recipient { user: BOB, delivered_at_ms, read_at_ms }],
    };
    let told = |delivered_at_ms, read_at_ms| told_since(99, delivered_at_ms, read_at_ms);
    good(&with([told(None, None), told(Some(5), None), told(Some(5), Some(6))]));
    broken(Law::ReceiptsStay, &with([told(Some(5), None), told(Some(6), None)]));
    broken(Law::ReceiptsStay, &with([told(Some(5), Some(6)), told(Some(5), None)]));
    broken(Law::ReceiptsStay, &with([asked(2), answer(2, 2), told(Some(5), None)]));
    // Asked for before somebody else was told of the reading, and answered after that.
    good(&with([told(Some(5), Some(6)), told_since(0, Some(5), None)]));
    broken(Law::ReceiptsStay, &with([told(Some(5), Some(6)), told_since(0, Some(5), Some(7))]));
}

#[test]
fn no_urgent_message_becomes_routine_silently() {
    let urgent = || match invoked(1) {
        Event::Invoked { id, room, sender, life, digest, expires_in_ms, at_ms, .. } => {
            Event::Invoked { id, room, sender, life, digest, urgent: true, expires_in_ms, at_ms }
        }
        other => other,
    };
    let as_urgent = || Found { urgent: true, ..at(1, 1) };
    good(&[urgent(), acked_urgent(1, 1), read(1, &[as_urgent()])]);
    // Who sent more than they may is told.
    good(&[urgent(), acked(1, 1), read(1, &[at(1, 1)])]);
    good(&[urgent(), read(1, &[at(1, 1)]), acked(1, 1)]);
    good(&[urgent(), unknown(1), read(1, &[at(1, 1)])]);
    broken(Law::Urgent, &[urgent(), acked_urgent(1, 1), read(1, &[at(1, 1)])]);
    broken(Law::Urgent, &[urgent(), read(1, &[at(1, 1)]), acked_urgent(1, 1)]);
    broken(Law::Urgent, &[urgent(), acked_urgent(1, 1), delivered(at(1, 1))]);
    broken(Law::Urgent, &[invoked(1), acked_urgent(1, 1)]);
    broken(Law::Genuine, &[invoked(1), acked(1, 1), read(1, &[as_urgent()])]);
}

const FLOOR_MS: u64 = 500;

/// One to three are acknowledged where people take from each other; then this happens.
fn governed(events: impl IntoIterator<Item = Event>) -> Vec<Event> {
    let opened = Event::Governed { room: ROOM, floor_ms: FLOOR_MS };
    let three = [invoked(1), invoked(2), invoked(3), acked(1, 1), acked(2, 2), acked(3, 3)];
    [opened].into_iter().chain(three).chain(events).collect()
}

fn asked(number: u64, control: Control) -> Event {
    Event::ControlAsked { id: ControlId(number), room: ROOM, control }
}

fn answered(number: u64, answer: Answer) -> Event {
    Event::ControlAnswered { id: ControlId(number), answer }
}

fn done(number: u64, control: Control) -> [Event; 2] {
    [asked(number, control), answered(number, Answer::Done)]
}

fn noticed(sequence: u64, told: Told) -> Noticed {
    Noticed { sequence, told, expires_at_ms: PUBLISHED_MS + RETENTION_MS }
}

/// A message that is kept for so long.
fn kept_for(found: Found, kept_ms: u64) -> Found {
    Found { expires_at_ms: found.time_ms + kept_ms, ..found }
}

#[test]
fn nothing_is_taken_below_the_floor() {
    let keep = |kept_ms| done(1, Control::Keep(kept_ms));
    let listed = |kept_ms| Event::KeptRead { room: ROOM, since: Index(99), kept_ms };
    let told = noticed(4, Told::Kept(FLOOR_MS));
    let short = [1, 2, 3].map(|number| kept_for(at(number, number as u8), FLOOR_MS));
    let all = || read_with(PUBLISHED_MS, 4, &short, &[told]);
    good(&governed(keep(FLOOR_MS).into_iter().chain([all(), listed(FLOOR_MS)])));
    let gone = |ms| read_with(ms, 4, &[], &[told]);
    good(&governed(keep(FLOOR_MS).into_iter().chain([gone(PUBLISHED_MS + FLOOR_MS)])));
    broken(Law::Kept, &governed(keep(FLOOR_MS).into_iter().chain([gone(PUBLISHED_MS + FLOOR_MS - 1)])));
    let refused = [asked(1, Control::Keep(FLOOR_MS - 1)), answered(1, Answer::Forbidden)];
    good(&governed(refused.into_iter().chain([listed(RETENTION_MS)])));
    broken(Law::Governed, &governed(keep(FLOOR_MS - 1)));
    broken(Law::Governed, &governed([listed(FLOOR_MS - 1)]));
    let shorter = [1, 2, 3].map(|number| kept_for(at(number, number as u8), FLOOR_MS - 1));
    broken(Law::Governed, &governed([read(3, &shorter)]));
    broken(Law::Genuine, &governed([all()]));
}

#[test]
fn what_was_taken_can_be_seen() {
    let delete = || done(1, Control::Delete(2));
    let (stone, told) = (noticed(2, Told::Tombstone), noticed(4, Told::Deleted(2)));
    let left = || [at(1, 1), at(3, 3)];
    let with = |event: Event| governed(delete().into_iter().chain([event]));
    let all = || read_with(PUBLISHED_MS, 4, &left(), &[stone, told]);
    good(&with(all()));
    let heard = |noticed| Event::Heard { device: DEVICE, room: ROOM, at_ms: PUBLISHED_MS, noticed };
    let in_turn = [delivered(at(1, 1)), heard(stone), delivered(at(3, 3)), heard(told)];
    good(&governed(delete().into_iter().chain(in_turn.clone())));
    broken(Law::Once, &governed(delete().into_iter().chain(in_turn).chain([heard(told)])));
    // It goes before what it tells of, or by a retention that was shortened after it.
    let brief = Noticed { expires_at_ms: PUBLISHED_MS + FLOOR_MS, ..told };
    broken(Law::Governed, &with(read_with(PUBLISHED_MS, 4, &left(), &[stone, brief])));
    let again = |event: Event| governed(delete().into_iter().chain([all(), event]));
    broken(Law::Governed, &again(read_with(PUBLISHED_MS, 4, &left(), &[stone])));
    broken(Law::Governed, &again(read_with(PUBLISHED_MS, 4, &left(), &[stone, brief])));
    let passed_over =
        [delivered(at(1, 1)), heard(stone), delivered(at(3, 3)), heard(noticed(5, Told::Other))];
    broken(Law::Governed, &governed(delete().into_iter().chain([all()]).chain(passed_over)));
    // Nobody deleted it.
    broken(Law::Genuine, &governed([all()]));
    let after = noticed(4, Told::Other);
    broken(Law::Kept, &governed([read(4, &[at(1, 1), at(2, 2), at(3, 3)]), heard(after)]));
}

#[test]
fn control_is_not_refused_for_want_of_room_and_is_true() {
    let crowded = |control| governed([asked(1, control), answered(1, Answer::Crowded)]);
    broken(Law::Control, &crowded(Control::Delete(2)));
    broken(Law::Control, &crowded(Control::Keep(FLOOR_MS)));
    broken(Law::Control, &governed([asked(1, Control::Keep(FLOOR_MS)), answered(1, Answer::Forbidden)]));
    let all = [at(1, 1), at(2, 2), at(3, 3)];
    broken(Law::Control, &governed(done(1, Control::Delete(2)).into_iter().chain([read(3, &all)])));
    // Nobody knows, and either is well; what was there before it was answered may be read.
    let delete = || asked(1, Control::Delete(2));
    good(&governed([delete(), answered(1, Answer::Unknown), read(3, &all)]));
    good(&governed([delete(), read(3, &all)]));

    let keep = |number, kept_ms| done(number, Control::Keep(kept_ms));
    let listed = |since, kept_ms| Event::KeptRead { room: ROOM, since: Index(since), kept_ms };
    let twice = || keep(1, FLOOR_MS).into_iter().chain(keep(2, 2 * FLOOR_MS));
    good(&governed(twice().chain([listed(99, 2 * FLOOR_MS)])));
    broken(Law::Control, &governed(twice().chain([listed(99, FLOOR_MS)])));
    good(&governed(twice().chain([listed(0, FLOOR_MS)])));
    let third = asked(3, Control::Keep(FLOOR_MS));
    good(&governed(twice().chain([third, listed(99, FLOOR_MS)])));
}

#[test]
fn nobody_comes_in_whose_access_was_taken_back() {
    let revoked = |is_revoked| Event::Revoked { user: EVE, is_revoked };
    let let_in = |since| Event::LetIn { user: EVE, since: Index(since) };
    good(&[let_in(0), revoked(None), let_in(9), revoked(Some(false)), let_in(9)]);
    good(&[revoked(Some(true)), Event::LetIn { user: BOB, since: Index(9) }, let_in(0)]);
    broken(Law::Revoked, &[revoked(Some(true)), let_in(9)]);
    broken(Law::Revoked, &[revoked(Some(true)), Event::Killed, let_in(9)]);
    good(&[revoked(Some(true)), revoked(Some(false)), let_in(9)]);
}

#[test]
fn it_counts_what_it_hears() {
    let mut oracle = Oracle::default();
    for event in &with([Event::Killed, read(3, &[at(1, 1), at(2, 2), at(3, 3)])]) {
        oracle.hear(event);
    }
    let tally = oracle.tally();
    assert_eq!((tally.invoked, tally.acked, tally.unknown, tally.unknown_found), (3, 2, 1, 1));
    assert_eq!((tally.kills, tally.readings, tally.entries_read, oracle.open()), (1, 1, 3, 0));
}
