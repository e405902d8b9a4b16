//! Who has received and read what: watermarks, pushed receipts, the record.

use wardline_client::{Acknowledging, Code, ConversationId, Outgoing, Priority, ReceiptKind, Recipient};

use crate::raw::Raw;
use crate::site::{Person, Site, now_ms, refused, until, within};

use wardline_proto::v1::client_frame::Request;
use wardline_proto::v1::server_frame::Response;
use wardline_proto::v1::{Acknowledge, Publish};

on_all_engines![
    taking_a_delivery_acknowledges_it,
    reading_is_told_to_the_sender,
    the_record_tells_each_message_apart,
    urgent_messages_are_acknowledged_singly,
    receipts_go_to_senders_only,
    watermarks_survive_reconnects,
    the_record_is_paged,
];

async fn say(person: &Person, conversation: ConversationId, text: &str) -> u64 {
    let sent = person.client.publish(Outgoing::text(conversation, text.to_owned()));
    within("publishing", sent).await.unwrap().sequence
}

async fn record(person: &Person, conversation: ConversationId, sequence: u64) -> Vec<Recipient> {
    within("receipts", person.client.receipts(conversation, sequence, 0, None)).await.unwrap().items
}

async fn record_of(person: &Person, conversation: ConversationId, sequence: u64, user: &str) -> Recipient {
    let all = record(person, conversation, sequence).await;
    all.into_iter().find(|recipient| recipient.user == user).expect("a recipient")
}

/// Connects somebody who acknowledges nothing by itself.
async fn silent(site: &Site, user: &str) -> Person {
    let mut options = site.options(user, 1);
    options.acknowledging = Acknowledging::Manual;
    Person::connect(options).await
}

async fn taking_a_delivery_acknowledges_it(site: Site) {
    let (mut ann, mut bob) = (site.person("ann").await, site.person("bob").await);
    let group = ann.group(&["bob"]).await;
    let before = now_ms();
    let sequence = say(&ann, group, "take it").await;
    bob.entry().await;
    let receipt = ann.receipt(|receipt| receipt.user == "bob").await;
    assert_eq!((receipt.kind, receipt.sequence), (ReceiptKind::Delivered, sequence));
    assert_eq!((receipt.conversation, receipt.only), (group, false));
    let on_record = record_of(&ann, group, sequence, "bob").await;
    assert_eq!(on_record.delivered_at_ms, Some(receipt.time_ms));
    assert!((before..=now_ms()).contains(&receipt.time_ms));
    assert_eq!(on_record.read_at_ms, None);
    assert_eq!(bob.listed(group).await.delivered_up_to, sequence);
}

async fn reading_is_told_to_the_sender(site: Site) {
    let (mut ann, mut bob) = (site.person("ann").await, site.person("bob").await);
    let group = ann.group(&["bob"]).await;
    for number in ["one", "two", "three"] {
        say(&ann, group, number).await;
    }
    bob.entries(3).await;
    bob.client.read(group, 2);
    let read = |receipt: &wardline_client::Receipt| receipt.kind == ReceiptKind::Read;
    let receipt = ann.receipt(read).await;
    assert_eq!((receipt.user.as_str(), receipt.sequence), ("bob", 2));
    bob.client.read(group, 3);
    assert_eq!(ann.receipt(read).await.sequence, 3);
    let listed = bob.listed(group).await;
    assert_eq!((listed.read_up_to, listed.unread), (3, 0));
}

async fn the_record_tells_each_message_apart(site: Site) {
    let (ann, bob) = (site.person("ann").await, silent(&site, "bob").await);
    let group = ann.group(&["bob", "cy"]).await;
    for number in ["one", "two", "three"] {
        say(&ann, group, number).await;
    }
    within("a receipt", bob.client.acknowledge(group, Some(1), None)).await.unwrap();
    let first = record_of(&ann, group, 1, "bob").await;
    until("the next millisecond", async || (Some(now_ms()) > first.delivered_at_ms).then_some(())).await;
    // Reading implies receiving.
    let marks = within("a receipt", bob.client.acknowledge(group, None, Some(2))).await.unwrap();
    assert_eq!((marks.delivered_up_to, marks.read_up_to), (2, 2));

    let one = record_of(&ann, group, 1, "bob").await;
    let two = record_of(&ann, group, 2, "bob").await;
    let three = record_of(&ann, group, 3, "bob").await;
    assert_eq!(one.delivered_at_ms, first.delivered_at_ms, "when it was first received");
    assert!(one.read_at_ms > one.delivered_at_ms);
    assert_eq!((two.delivered_at_ms, two.read_at_ms), (one.read_at_ms, one.read_at_ms));
    assert_eq!((three.delivered_at_ms, three.read_at_ms), (None, None));
    // All who could see it, without its sender; any member may ask.
    let mut users: Vec<_> = record(&bob, group, 1).await.into_iter().map(|one| one.user).collect();
    users.sort();
    assert_eq!(users, ["bob", "cy"]);
    refused(Code::NotFound, ann.client.receipts(group, 4, 0, None)).await;
}

async fn urgent_messages_are_acknowledged_singly(site: Site) {
    let mut ann = site.person("ann").await;
    let group = ann.group(&["bob"]).await;
    let routine = say(&ann, group, "routine").await;
    let mut urgent = Outgoing::text(group, "urgent");
    urgent.priority = Priority::Urgent;
    let urgent = within("publishing", ann.client.publish(urgent)).await.unwrap().sequence;

    let mut bob = Raw::session(&site, "bob", 1).await;
    let single = |delivered_only: Vec<u64>, read_only: Vec<u64>| {
        Request::Acknowledge(Acknowledge {
            conversation_id: group.0.to_vec().into(),
            delivered_only,
            read_only,
            ..Acknowledge::default()
        })
    };
    bob.control.send(2, single(vec![urgent], vec![])).await;
    let Response::Acknowledged(marks) = bob.control.answer(2).await else { panic!("not acknowledged") };
    assert_eq!((marks.delivered_up_to, marks.read_up_to), (0, 0), "the watermarks stay");
    let receipt = ann.receipt(|receipt| receipt.only).await;
    assert_eq!((receipt.kind, receipt.sequence), (ReceiptKind::Delivered, urgent));

    bob.control.send(3, single(vec![], vec![urgent])).await;
    bob.control.answer(3).await;
    let receipt = ann.receipt(|receipt| receipt.kind == ReceiptKind::Read).await;
    assert_eq!((receipt.only, receipt.sequence), (true, urgent));
    let on_record = record_of(&ann, group, urgent, "bob").await;
    assert!(on_record.delivered_at_ms.is_some() && on_record.read_at_ms >= on_record.delivered_at_ms);
    let overtaken = record_of(&ann, group, routine, "bob").await;
    assert_eq!((overtaken.delivered_at_ms, overtaken.read_at_ms), (None, None));

    // Routine messages have watermarks.
    bob.control.send(4, single(vec![routine], vec![])).await;
    bob.control.refused(4, Code::InvalidArgument).await;
    bob.control.send(5, single(vec![99], vec![])).await;
    bob.control.refused(5, Code::ReceiptBeyondHead).await;
    bob.control.send(6, single(vec![urgent; 17], vec![])).await;
    bob.control.refused(6, Code::InvalidArgument).await;
}

async fn receipts_go_to_senders_only(site: Site) {
    let (mut ann, mut bob) = (site.person("ann").await, site.person("bob").await);
    let mut cy = site.person("cy").await;
    let group = ann.group(&["bob", "cy"]).await;
    say(&ann, group, "for both").await;
    cy.entry().await;
    within("receipts", cy.client.flush()).await.unwrap();
    assert_eq!(ann.receipt(|receipt| receipt.user == "cy").await.kind, ReceiptKind::Delivered);
    // Bob published nothing, so he hears of nobody's receipts; what comes next is the next message.
    let second = say(&ann, group, "again").await;
    loop {
        match bob.next().await {
            wardline_client::Incoming::Receipt(_) => panic!("bob is no sender"),
            wardline_client::Incoming::Entry(entry) if entry.sequence == second => break,
            _ => {}
        }
    }
    // From his first message on, he does.
    say(&bob, group, "thanks").await;
    cy.client.read(group, 2);
    let receipt = bob.receipt(|receipt| receipt.user == "cy" && receipt.kind == ReceiptKind::Read).await;
    assert_eq!(receipt.sequence, 2);
}

async fn watermarks_survive_reconnects(site: Site) {
    let (ann, bob) = (site.person("ann").await, silent(&site, "bob").await);
    let group = ann.group(&["bob"]).await;
    for number in ["one", "two", "three"] {
        say(&ann, group, number).await;
    }
    within("a receipt", bob.client.acknowledge(group, Some(3), Some(1))).await.unwrap();
    let site = site.restart().await;
    let listed = bob.listed(group).await;
    assert_eq!((listed.delivered_up_to, listed.read_up_to, listed.unread), (3, 1, 2));
    bob.client.read(group, 3);
    within("receipts", bob.client.flush()).await.unwrap();
    bob.leave().await;
    let bob = site.person("bob").await;
    assert_eq!(bob.listed(group).await.read_up_to, 3);
}

async fn the_record_is_paged(site: Site) {
    let ann = site.person("ann").await;
    let names: Vec<_> = (0..7).map(|number| format!("nurse {number}")).collect();
    let group = ann.group(&names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let mut raw = Raw::session(&site, "ann", 2).await;
    raw.control
        .send(
            2,
            Request::Publish(Publish {
                conversation_id: group.0.to_vec().into(),
                client_message_id: vec![7; 16].into(),
                ..Publish::default()
            }),
        )
        .await;
    let Response::PublishAck(ack) = raw.control.answer(2).await else { panic!("no ack") };
    let (mut users, mut after) = (Vec::new(), None);
    loop {
        let page = within("a page", ann.client.receipts(group, ack.sequence, 3, after)).await.unwrap();
        assert!(page.items.len() <= 3);
        users.extend(page.items.into_iter().map(|recipient| recipient.user));
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    users.sort();
    assert_eq!(users, names, "each once, without the sender");
}
