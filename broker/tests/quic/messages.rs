//! Publishing, delivery, history, deletion.

use std::time::Duration;

use bytes::Bytes;
use wardline_client::{Body, Code, ConversationId, Direction, Entry, Notice, Outgoing, Priority};

use crate::site::{Person, Site, now_ms, refused, until, within};

on_all_engines![
    what_is_published_arrives_as_it_was,
    publishing_again_gives_the_same_ack,
    publishing_again_after_a_restart_gives_the_same_ack,
    pipelined_messages_keep_their_order,
    urgent_overtakes_and_comes_once,
    replies_name_what_is_there,
    a_message_expires_at_its_instant,
    a_device_that_was_away_gets_what_it_missed,
    a_second_device_gets_everything,
    history_reads_both_ways,
    a_read_sees_what_it_must_or_says_how_far_it_could,
    deleting_leaves_a_tombstone_for_all,
];

fn text(entry: &Entry) -> &str {
    match &entry.body {
        Body::Message { payload, .. } => std::str::from_utf8(payload).unwrap(),
        other => panic!("no message: {}", matches!(other, Body::Tombstone { .. })),
    }
}

async fn say(person: &Person, conversation: ConversationId, text: impl Into<String>) -> u64 {
    let sent = person.client.publish(Outgoing::text(conversation, text));
    within("publishing", sent).await.unwrap().sequence
}

async fn what_is_published_arrives_as_it_was(site: Site) {
    let (ann, mut bob) = (site.person("ann").await, site.person("bob").await);
    let group = ann.group(&["bob"]).await;
    let max = ann.session().await.limits.payload_bytes_max as usize;
    let payloads = [Bytes::new(), Bytes::from(vec![0xa5; max]), Bytes::from_static(&[0, 255, 10, 0])];
    for (index, payload) in payloads.into_iter().enumerate() {
        let message = Outgoing::new(group, "application/fhir+json", payload.clone());
        let before = now_ms();
        let ack = within("publishing", ann.client.publish(message.clone())).await.unwrap();
        assert_eq!(ack.sequence, index as u64 + 1);
        assert!((before..=now_ms()).contains(&ack.time_ms));
        let history = ann.history(group).await;
        for entry in [bob.entry().await, history[index].clone()] {
            assert_eq!(
                (entry.conversation, entry.sequence, entry.time_ms),
                (group, ack.sequence, ack.time_ms)
            );
            assert_eq!(entry.sender, "ann");
            assert!(entry.expires_at_ms > ack.time_ms);
            let Body::Message { id, content_type, payload: arrived, priority, reply_to } = entry.body else {
                panic!("no message");
            };
            assert_eq!((id, content_type.as_str()), (message.id, "application/fhir+json"));
            assert_eq!((priority, reply_to), (Priority::Routine, None));
            assert!(arrived == payload, "content");
        }
    }
    // Nothing said about the type: it is bytes.
    within("publishing", ann.client.publish(Outgoing::new(group, "", "x"))).await.unwrap();
    let entry = bob.entry().await;
    assert!(
        matches!(entry.body, Body::Message { content_type, .. } if content_type == "application/octet-stream")
    );
}

async fn publishing_again_gives_the_same_ack(site: Site) {
    let (ann, mut bob) = (site.person("ann").await, site.person("bob").await);
    let group = ann.group(&["bob"]).await;
    let message = Outgoing::text(group, "once");
    let first = within("publishing", ann.client.publish(message.clone())).await.unwrap();
    say(&ann, group, "between").await;
    let again = within("publishing", ann.client.publish(message.clone())).await.unwrap();
    assert_eq!(first, again);
    // From another device, over another connection, and with other content: the id decides.
    let other = Person::connect(site.options("ann", 2)).await;
    let mut changed = message.clone();
    changed.payload = Bytes::from_static(b"twice");
    assert_eq!(within("publishing", other.client.publish(changed)).await.unwrap(), first);
    // Somebody else's id is another message.
    let bobs = within("publishing", bob.client.publish(message)).await.unwrap();
    assert_eq!(bobs.sequence, 3);
    let arrived = bob.entries(3).await;
    assert_eq!(arrived.iter().map(text).collect::<Vec<_>>(), ["once", "between", "once"]);
    assert_eq!(ann.history(group).await.len(), 3);
}

async fn publishing_again_after_a_restart_gives_the_same_ack(site: Site) {
    let mut ann = site.person("ann").await;
    let group = ann.group(&["bob"]).await;
    let message = Outgoing::text(group, "once");
    let first = within("publishing", ann.client.publish(message.clone())).await.unwrap();
    let site = site.restart().await;
    // The same client, which connects again by itself.
    assert_eq!(within("publishing", ann.client.publish(message.clone())).await.unwrap(), first);
    assert!(ann.session().await.generation >= 1);
    ann.entry().await;
    ann.leave().await;
    let ann = site.person("ann").await;
    assert_eq!(within("publishing", ann.client.publish(message)).await.unwrap(), first);
    assert_eq!(ann.history(group).await.len(), 1);
}

async fn pipelined_messages_keep_their_order(site: Site) {
    let (ann, mut bob) = (site.person("ann").await, site.person("bob").await);
    let group = ann.group(&["bob"]).await;
    let mut pending = Vec::new();
    for number in 0..1000 {
        let message = Outgoing::text(group, number.to_string());
        pending.push(within("a place in the window", ann.client.enqueue(message)).await.unwrap());
    }
    for (index, ack) in pending.into_iter().enumerate() {
        assert_eq!(within("the ack", ack.wait()).await.unwrap().sequence, index as u64 + 1);
    }
    for (index, entry) in bob.entries(1000).await.iter().enumerate() {
        assert_eq!((entry.sequence, text(entry)), (index as u64 + 1, index.to_string().as_str()));
    }
}

async fn urgent_overtakes_and_comes_once(site: Site) {
    const ROUTINE: u64 = 200;
    let ann = site.person("ann").await;
    let mut options = site.options("bob", 1);
    options.inbox_max = 8;
    let mut bob = Person::connect(options).await;
    let group = ann.group(&["bob"]).await;
    // Bob takes nothing, so this is more than all windows between them hold.
    let mut acks = Vec::new();
    for _ in 0..ROUTINE {
        let message = Outgoing::new(group, "", vec![0; 16 * 1024]);
        acks.push(within("a place in the window", ann.client.enqueue(message)).await.unwrap());
    }
    for ack in acks {
        within("the ack", ack.wait()).await.unwrap();
    }
    let mut urgent = Outgoing::text(group, "resuscitation team to bed 7");
    urgent.priority = Priority::Urgent;
    let urgent = within("publishing", ann.client.publish(urgent)).await.unwrap().sequence;

    let mut arrived = Vec::new();
    while arrived.len() <= ROUTINE as usize {
        arrived.push(bob.entry().await.sequence);
    }
    let place = arrived.iter().position(|sequence| *sequence == urgent).expect("it arrived");
    let overtaken = arrived[place..].iter().filter(|sequence| **sequence < urgent).count();
    assert!(overtaken > 20, "it came as number {place} of {}, ahead of {overtaken}", arrived.len());
    let mut in_order: Vec<_> = arrived.iter().copied().filter(|sequence| *sequence != urgent).collect();
    assert!(in_order.is_sorted(), "the rest keeps its order");
    in_order.push(urgent);
    in_order.sort_unstable();
    assert_eq!(in_order, (1..=ROUTINE + 1).collect::<Vec<_>>(), "everything once");
    // It does not come again in its turn.
    let last = say(&ann, group, "end").await;
    assert_eq!(bob.entry().await.sequence, last);
}

async fn replies_name_what_is_there(site: Site) {
    let (ann, mut bob) = (site.person("ann").await, site.person("bob").await);
    let group = ann.group(&["bob"]).await;
    let first = say(&ann, group, "question").await;
    let mut reply = Outgoing::text(group, "answer");
    reply.reply_to = Some(first);
    within("publishing", bob.client.publish(reply.clone())).await.unwrap();
    let entry = &bob.entries(2).await[1];
    assert!(matches!(entry.body, Body::Message { reply_to: Some(1), .. }), "{entry:?}");
    let mut beyond = Outgoing::text(group, "to what?");
    beyond.reply_to = Some(99);
    refused(Code::InvalidArgument, bob.client.publish(beyond)).await;
}

async fn a_message_expires_at_its_instant(site: Site) {
    let (ann, mut bob) = (site.person("ann").await, site.person("bob").await);
    let group = ann.group(&["bob"]).await;
    let kept = say(&ann, group, "kept").await;
    let mut short = Outgoing::text(group, "gone soon");
    short.expires_in = Some(Duration::from_millis(1500));
    let short = within("publishing", ann.client.publish(short)).await.unwrap();
    let arrived = &bob.entries(2).await[1];
    assert_eq!(arrived.expires_at_ms, short.time_ms + 1500);
    until("the message to expire", async || {
        let asked = now_ms();
        let there = bob.history(group).await.len() == 2;
        assert!(there || now_ms() >= arrived.expires_at_ms, "gone too early");
        assert!(!there || asked < arrived.expires_at_ms, "still there");
        (!there).then_some(())
    })
    .await;
    assert_eq!(bob.listed(group).await.unread, 1, "what is gone is not unread");
    refused(Code::NotFound, ann.client.receipts(group, short.sequence, 0, None)).await;
    refused(Code::NotFound, ann.client.delete(group, short.sequence)).await;
    let fresh = site.person("ann").await;
    assert_eq!(fresh.history(group).await.iter().map(|entry| entry.sequence).collect::<Vec<_>>(), [kept]);
}

async fn a_device_that_was_away_gets_what_it_missed(site: Site) {
    let (ann, mut bob) = (site.person("ann").await, site.person("bob").await);
    let group = ann.group(&["bob"]).await;
    let direct = within("direct", ann.client.direct("bob")).await.unwrap().id;
    say(&ann, group, "while he is there").await;
    assert_eq!(text(&bob.entry().await), "while he is there");
    bob.leave().await;
    for number in 0..300 {
        say(&ann, if number % 3 == 0 { direct } else { group }, number.to_string()).await;
    }
    let mut bob = site.person("bob").await;
    let missed = bob.backlog().await;
    assert_eq!(missed.len(), 300, "nothing lost, nothing twice");
    for (conversation, modulus) in [(direct, true), (group, false)] {
        let arrived = missed.iter().filter(|entry| entry.conversation == conversation).map(text);
        let expected = (0..300).filter(|number| (number % 3 == 0) == modulus).map(|n: u32| n.to_string());
        assert!(arrived.eq(expected), "in order");
    }
    say(&ann, group, "live again").await;
    assert_eq!(text(&bob.entry().await), "live again");
    // Connected once more, nothing waits.
    bob.leave().await;
    assert!(site.person("bob").await.backlog().await.is_empty());
}

async fn a_second_device_gets_everything(site: Site) {
    let (ann, mut phone) = (site.person("ann").await, site.person("bob").await);
    let mut tablet = Person::connect(site.options("bob", 2)).await;
    let group = ann.group(&["bob"]).await;
    say(&ann, group, "both").await;
    assert_eq!(text(&phone.entry().await), "both");
    assert_eq!(text(&tablet.entry().await), "both");
    tablet.leave().await;
    say(&ann, group, "phone first").await;
    assert_eq!(text(&phone.entry().await), "phone first");
    within("receipts", phone.client.flush()).await.unwrap();
    // That the phone has it does not mean that the tablet has it.
    let mut tablet = Person::connect(site.options("bob", 2)).await;
    assert_eq!(tablet.backlog().await.iter().map(text).collect::<Vec<_>>(), ["phone first"]);
    // What one sends from one device arrives on the other.
    say(&phone, group, "from the phone").await;
    assert_eq!(text(&tablet.entry().await), "from the phone");
}

async fn history_reads_both_ways(site: Site) {
    let ann = site.person("ann").await;
    let group = ann.group(&[]).await;
    for number in 1..=10 {
        say(&ann, group, number.to_string()).await;
    }
    let read = async |from, direction, size| {
        let page = ann.client.history(group, from, direction, size);
        let page = within("history", page).await.unwrap();
        (page.entries.iter().map(|entry| entry.sequence).collect::<Vec<_>>(), page.next_from)
    };
    let (first, next) = read(0, Direction::Forward, 4).await;
    assert_eq!(first, [1, 2, 3, 4]);
    let (second, next) = read(next.unwrap(), Direction::Forward, 4).await;
    assert_eq!(second, [5, 6, 7, 8]);
    assert_eq!(read(next.unwrap(), Direction::Forward, 4).await, (vec![9, 10], None));

    let (first, next) = read(0, Direction::Backward, 4).await;
    assert_eq!(first, [10, 9, 8, 7]);
    let (second, next) = read(next.unwrap(), Direction::Backward, 4).await;
    assert_eq!(second, [6, 5, 4, 3]);
    assert_eq!(read(next.unwrap(), Direction::Backward, 4).await, (vec![2, 1], None));
    assert_eq!(read(4, Direction::Forward, 2).await.0, [5, 6]);
    assert_eq!(read(4, Direction::Backward, 2).await.0, [3, 2]);
    assert_eq!(read(10, Direction::Forward, 2).await, (vec![], None));
    assert_eq!(read(1, Direction::Backward, 2).await, (vec![], None));
}

async fn a_read_sees_what_it_must_or_says_how_far_it_could(site: Site) {
    let (ann, bob) = (site.person("ann").await, site.person("bob").await);
    let group = ann.group(&["bob"]).await;
    say(&ann, group, "one").await;
    let written = ann.client.position();
    assert!(written > 0, "an ack says where it stands");
    let seeing = bob.client.at_least(written);
    let read = within("history", seeing.history(group, 0, Direction::Forward, 0)).await.unwrap();
    assert_eq!(read.entries.len(), 1);
    assert!(bob.client.position() >= written, "an answer says how far it saw");
    // What never comes is waited for, but not for long.
    let early = bob.client.at_least(written + 1_000_000);
    let begun = std::time::Instant::now();
    refused(Code::Unavailable, early.history(group, 0, Direction::Forward, 0)).await;
    assert!(begun.elapsed() >= Duration::from_secs(1));
    // What comes meanwhile is seen.
    let next = bob.client.at_least(written + 1);
    let (read, _) = tokio::join!(next.history(group, 0, Direction::Forward, 0), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        say(&ann, group, "two").await
    });
    assert_eq!(read.unwrap().entries.len(), 2);
}

async fn deleting_leaves_a_tombstone_for_all(site: Site) {
    let (ann, mut bob) = (site.person("ann").await, site.person("bob").await);
    let away = site.person("cy").await;
    let group = ann.group(&["bob", "cy"]).await;
    away.leave().await;
    let message = Outgoing::text(group, "wrong patient");
    let wrong = within("publishing", ann.client.publish(message.clone())).await.unwrap().sequence;
    let other = say(&bob, group, "bob's").await;
    bob.entries(2).await;
    refused(Code::Forbidden, bob.client.delete(group, wrong)).await;
    let notice = within("deleting", ann.client.delete(group, wrong)).await.unwrap().unwrap();
    assert_eq!(within("deleting", ann.client.delete(group, wrong)).await.unwrap(), None);

    // Live: the notice says what to forget.
    let entry = bob.entry().await;
    assert_eq!(entry.sequence, notice);
    assert!(matches!(entry.body, Body::Notice(Notice::Deleted(sequence)) if sequence == wrong));
    // Offline, and in history: a tombstone in its place.
    let mut away = site.person("cy").await;
    let backlog = away.backlog().await;
    for entries in [backlog, away.history(group).await] {
        assert_eq!(entries.iter().map(|entry| entry.sequence).collect::<Vec<_>>(), [wrong, other, notice]);
        assert!(matches!(&entries[0].body, Body::Tombstone { by, .. } if by == "ann"));
        assert_eq!(entries[0].sender, "ann");
    }
    // An admin may delete what others wrote, and a notice is nobody's to delete.
    within("deleting", ann.client.delete(group, other)).await.unwrap().unwrap();
    refused(Code::Forbidden, ann.client.delete(group, notice)).await;
    refused(Code::NotFound, ann.client.delete(group, 99)).await;
    let gone = |entry: &Entry| matches!(entry.body, Body::Notice(Notice::Deleted(at)) if at == other);
    until("the notice", async || gone(&bob.entry().await).then_some(())).await;
    // Publishing it again does not bring it back.
    assert_eq!(within("publishing", ann.client.publish(message)).await.unwrap().sequence, wrong);
    assert!(matches!(ann.history(group).await[0].body, Body::Tombstone { .. }));
}
