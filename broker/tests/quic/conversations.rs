//! Making conversations, listing them, changing their title and retention.

use std::collections::HashSet;
use std::time::Duration;

use wardline_client::{
    Body, Code, ConversationId, Direction, Incoming, Kind, NewConversation, Notice, Outgoing, Role,
};

use crate::site::{Person, Site, now_ms, refused, until, within};

on_all_engines![
    a_direct_conversation_is_one_per_pair,
    a_group_has_its_creator_as_admin,
    only_broadcasters_create_broadcasts_and_only_admins_publish,
    a_broadcast_looks_at_the_role_whenever_it_is_used,
    renaming_is_told_to_the_members,
    the_list_tells_where_everything_stands,
    lists_are_paged,
    shorter_retention_holds_at_once,
    neither_of_two_shortens_what_the_other_wrote,
    tenants_never_meet,
];

async fn a_direct_conversation_is_one_per_pair(site: Site) {
    let (ann, mut bob) = (site.person("ann").await, site.person("bob").await);
    let first = within("direct", ann.client.direct("bob")).await.unwrap();
    let again = within("direct", ann.client.direct("bob")).await.unwrap();
    let other_side = within("direct", bob.client.direct("ann")).await.unwrap();
    assert_eq!((first.id, first.id), (again.id, other_side.id));
    assert_eq!(first.kind, Kind::Direct);
    assert_eq!((first.peer.as_str(), other_side.peer.as_str()), ("bob", "ann"));
    assert!(first.title.is_empty());
    assert_eq!(bob.joined().await.id, first.id);

    let third = within("direct", ann.client.direct("cy")).await.unwrap();
    assert_ne!(third.id, first.id);
    refused(Code::InvalidArgument, ann.client.direct("")).await;
    // Nobody joins, leaves or renames it.
    let cy = ["cy".to_owned()];
    refused(Code::Forbidden, ann.client.add_members(first.id, &cy, Role::Member, true)).await;
    refused(Code::Forbidden, ann.client.remove_member(first.id, "bob")).await;
    refused(Code::Forbidden, ann.client.leave(first.id)).await;
    refused(Code::Forbidden, ann.client.rename(first.id, "title")).await;
}

async fn a_group_has_its_creator_as_admin(site: Site) {
    let (ann, mut bob) = (site.person("ann").await, site.person("bob").await);
    let new = NewConversation {
        title: "Ward 4".into(),
        members: vec!["bob".into(), "cy".into()],
        retention: Some(Duration::from_secs(3600)),
    };
    let before = now_ms();
    let group = within("a group", ann.client.create_group(new)).await.unwrap();
    assert_eq!((group.kind, group.role, group.title.as_str()), (Kind::Group, Role::Admin, "Ward 4"));
    assert_eq!(group.retention, Duration::from_secs(3600));
    assert!(group.created_at_ms >= before && group.created_at_ms <= now_ms());
    let joined = bob.joined().await;
    assert_eq!((joined.id, joined.role), (group.id, Role::Member));

    for person in [&ann, &bob] {
        let sent = person.client.publish(Outgoing::text(group.id, "hello"));
        within("publishing", sent).await.unwrap();
    }
    let members = within("members", ann.client.members(group.id, 0, None)).await.unwrap();
    let roles: Vec<_> = members.items.iter().map(|member| (member.user.as_str(), member.role)).collect();
    assert_eq!(roles.len(), 3);
    for expected in [("ann", Role::Admin), ("bob", Role::Member), ("cy", Role::Member)] {
        assert!(roles.contains(&expected), "{roles:?}");
    }
}

async fn only_broadcasters_create_broadcasts_and_only_admins_publish(site: Site) {
    let (chief, mut bob) = (site.broadcaster("chief").await, site.person("bob").await);
    let new = || NewConversation { title: "All staff".into(), members: vec!["bob".into()], retention: None };
    refused(Code::Forbidden, bob.client.create_broadcast(new())).await;
    let broadcast = within("a broadcast", chief.client.create_broadcast(new())).await.unwrap();
    assert_eq!((broadcast.kind, broadcast.role), (Kind::Broadcast, Role::Admin));

    refused(Code::Forbidden, bob.client.publish(Outgoing::text(broadcast.id, "me too"))).await;
    let ack = chief.client.publish(Outgoing::text(broadcast.id, "fire drill at noon"));
    let ack = within("publishing", ack).await.unwrap();
    assert_eq!(bob.entry().await.sequence, ack.sequence);

    let bob_name = ["bob".to_owned()];
    within("removing", chief.client.remove_member(broadcast.id, "bob")).await.unwrap();
    let added = chief.client.add_members(broadcast.id, &bob_name, Role::Admin, true);
    within("adding", added).await.unwrap();
    let sent = bob.client.publish(Outgoing::text(broadcast.id, "now I may"));
    within("publishing", sent).await.unwrap();
}

/// The role that a token gave is gone with the token's; the one that an admin gave stays.
async fn a_broadcast_looks_at_the_role_whenever_it_is_used(site: Site) {
    let (chief, bob) = (site.broadcaster("chief").await, site.person("bob").await);
    let members = vec!["bob".into(), "cy".into()];
    let new = NewConversation { title: "All staff".into(), members, retention: None };
    let broadcast = within("a broadcast", chief.client.create_broadcast(new)).await.unwrap().id;
    within("naming", chief.client.set_role(broadcast, "bob", Role::Publisher)).await.unwrap().unwrap();
    let publish = async |person: &Person, text: &str| {
        within("publishing", person.client.publish(Outgoing::text(broadcast, text))).await
    };
    publish(&chief, "fire drill at noon").await.unwrap();
    publish(&bob, "the drill is over").await.unwrap();
    refused(Code::Forbidden, bob.client.rename(broadcast, "mine")).await;

    let former = Person::connect(site.options("chief", 2)).await;
    assert_eq!(former.listed(broadcast).await.role, Role::Admin);
    refused(Code::Forbidden, former.client.publish(Outgoing::text(broadcast, "once more"))).await;
    refused(Code::Forbidden, former.client.remove_member(broadcast, "cy")).await;
    publish(&bob, "again").await.unwrap();
    within("naming", chief.client.set_role(broadcast, "bob", Role::Member)).await.unwrap().unwrap();
    refused(Code::Forbidden, bob.client.publish(Outgoing::text(broadcast, "and again"))).await;
}

async fn renaming_is_told_to_the_members(site: Site) {
    let (ann, mut bob) = (site.person("ann").await, site.person("bob").await);
    let group = ann.group(&["bob"]).await;
    refused(Code::Forbidden, bob.client.rename(group, "mine")).await;
    refused(Code::InvalidArgument, ann.client.rename(group, "")).await;
    refused(Code::InvalidArgument, ann.client.rename(group, &"t".repeat(257))).await;
    let notice = within("renaming", ann.client.rename(group, "Ward 5")).await.unwrap().unwrap();
    assert_eq!(within("renaming", ann.client.rename(group, "Ward 5")).await.unwrap(), None);

    let entry = bob.entry().await;
    assert_eq!((entry.sequence, entry.sender.as_str()), (notice, "ann"));
    assert!(matches!(entry.body, Body::Notice(Notice::Renamed(title)) if title == "Ward 5"));
    assert_eq!(bob.listed(group).await.title, "Ward 5");
}

async fn the_list_tells_where_everything_stands(site: Site) {
    let (ann, bob) = (site.person("ann").await, site.person("bob").await);
    let group = ann.group(&["bob"]).await;
    let fresh = bob.listed(group).await;
    assert_eq!((fresh.head, fresh.unread, fresh.delivered_up_to, fresh.read_up_to), (0, 0, 0, 0));
    assert_eq!(fresh.last_activity_ms, fresh.created_at_ms);

    let mut last = None;
    for number in 1..=5 {
        let sent = ann.client.publish(Outgoing::text(group, format!("message {number}")));
        last = Some(within("publishing", sent).await.unwrap());
    }
    let last = last.unwrap();
    let marks = within("reading", bob.client.acknowledge(group, Some(4), Some(2))).await.unwrap();
    assert_eq!((marks.delivered_up_to, marks.read_up_to), (4, 2));
    let listed = bob.listed(group).await;
    assert_eq!((listed.head, listed.unread), (5, 3));
    assert_eq!((listed.delivered_up_to, listed.read_up_to), (4, 2));
    assert_eq!(listed.last_activity_ms, last.time_ms);

    // One's own messages are not unread, and notices are not messages.
    let sent = bob.client.publish(Outgoing::text(group, "mine"));
    within("publishing", sent).await.unwrap();
    within("renaming", ann.client.rename(group, "Ward 6")).await.unwrap();
    let listed = bob.listed(group).await;
    assert_eq!((listed.head, listed.unread), (7, 3));
    // What is deleted is not unread either.
    within("deleting", ann.client.delete(group, 5)).await.unwrap();
    assert_eq!(bob.listed(group).await.unread, 2);
}

async fn lists_are_paged(site: Site) {
    let ann = site.person("ann").await;
    let mut made = HashSet::new();
    for _ in 0..5 {
        made.insert(ann.group(&[]).await);
    }
    let (mut listed, mut after, mut pages) = (Vec::new(), None, 0);
    loop {
        let page = within("a page", ann.client.conversations(2, after)).await.unwrap();
        assert!(page.items.len() <= 2);
        listed.extend(page.items.into_iter().map(|conversation| conversation.id));
        pages += 1;
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    assert_eq!(listed.len(), 5, "each once");
    assert_eq!(listed.iter().copied().collect::<HashSet<_>>(), made);
    assert!(listed.is_sorted(), "in the order of their ids");
    assert!(pages >= 3);

    let names: Vec<_> = (0..7).map(|number| format!("nurse {number}")).collect();
    let group = ann.group(&names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let (mut members, mut after) = (Vec::new(), None);
    loop {
        let page = within("a page", ann.client.members(group, 3, after)).await.unwrap();
        assert!(page.items.len() <= 3);
        members.extend(page.items.into_iter().map(|member| member.user));
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    assert_eq!(members.len(), 8, "each once");
    let members: HashSet<_> = members.into_iter().collect();
    assert!(names.iter().all(|name| members.contains(name)) && members.contains("ann"));
}

async fn shorter_retention_holds_at_once(site: Site) {
    let (ann, bob) = (site.person("ann").await, site.person("bob").await);
    let group = ann.group(&["bob"]).await;
    let message =
        within("publishing", ann.client.publish(Outgoing::text(group, "short-lived"))).await.unwrap();
    refused(Code::Forbidden, bob.client.set_retention(group, Some(Duration::from_secs(60)))).await;
    let too_short = ann.client.set_retention(group, Some(Duration::from_millis(999)));
    refused(Code::InvalidArgument, too_short).await;

    let kept = Duration::from_secs(2);
    let notice = within("retention", ann.client.set_retention(group, Some(kept))).await.unwrap().unwrap();
    let expires = message.time_ms + 2000;
    // It is gone at that instant, not before (while the machine is quick enough to look) and not
    // after.
    until("the message to expire", async || {
        let history = bob.history(group).await;
        let there = history.iter().find(|entry| entry.sequence == message.sequence);
        assert!(
            there.is_none_or(|entry| entry.expires_at_ms == expires),
            "the shorter time is shown at once"
        );
        assert!(there.is_some() || now_ms() >= expires, "gone too early");
        (now_ms() >= expires).then_some(())
    })
    .await;
    let left = bob.history(group).await;
    assert!(left.iter().all(|entry| entry.sequence != message.sequence));
    assert!(left.iter().any(|entry| entry.sequence == notice), "who finds it gone finds why");
    assert_eq!(bob.listed(group).await.retention, kept);

    // Longer again: only for new ones.
    within("retention", ann.client.set_retention(group, None)).await.unwrap().unwrap();
    let later = within("publishing", ann.client.publish(Outgoing::text(group, "kept"))).await.unwrap();
    let history = bob.history(group).await;
    assert!(history.iter().all(|entry| entry.sequence != message.sequence));
    let kept = history.iter().find(|entry| entry.sequence == later.sequence).unwrap();
    assert!(kept.expires_at_ms > later.time_ms + 3_600_000);
    assert!(notice < later.sequence);
}

/// The site lets messages be kept for 30 days: that is the default, and so the floor of two.
async fn neither_of_two_shortens_what_the_other_wrote(site: Site) {
    let (ann, bob) = (site.person("ann").await, site.person("bob").await);
    let direct = within("direct", ann.client.direct("bob")).await.unwrap();
    let message =
        within("publishing", bob.client.publish(Outgoing::text(direct.id, "for long"))).await.unwrap();
    for person in [&ann, &bob] {
        for seconds in [1, 3600, 30 * 86_400 - 1] {
            let shorter = person.client.set_retention(direct.id, Some(Duration::from_secs(seconds)));
            refused(Code::InvalidArgument, shorter).await;
        }
    }
    let entry = bob.history(direct.id).await.into_iter().find(|entry| entry.sequence == message.sequence);
    assert_eq!(entry.unwrap().expires_at_ms, message.time_ms + 30 * 86_400_000);
}

async fn tenants_never_meet(site: Site) {
    let (ann, mut bob) = (site.person("ann").await, site.person("bob").await);
    let mut other_ann = site.stranger("st-elsewhere", "ann").await;
    let mut other_bob = site.stranger("st-elsewhere", "bob").await;
    let ours = within("direct", ann.client.direct("bob")).await.unwrap().id;
    let theirs = within("direct", other_ann.client.direct("bob")).await.unwrap().id;
    assert_ne!(ours, theirs);
    within("publishing", ann.client.publish(Outgoing::text(ours, "ours"))).await.unwrap();
    within("publishing", other_ann.client.publish(Outgoing::text(theirs, "theirs"))).await.unwrap();
    assert_eq!(bob.entry().await.conversation, ours);
    assert_eq!(other_bob.entry().await.conversation, theirs);
    assert_eq!(bob.client.conversations(0, None).await.unwrap().items.len(), 1);

    // What is another tenant's answers exactly as what does not exist.
    let random = ConversationId::random();
    let intruder = &other_ann.client;
    for (foreign, nowhere) in [
        (intruder.history(ours, 0, Direction::Forward, 0).await.err(), {
            intruder.history(random, 0, Direction::Forward, 0).await.err()
        }),
        (intruder.publish(Outgoing::text(ours, "x")).await.err(), {
            intruder.publish(Outgoing::text(random, "x")).await.err()
        }),
        (intruder.members(ours, 0, None).await.err(), intruder.members(random, 0, None).await.err()),
        (intruder.receipts(ours, 1, 0, None).await.err(), intruder.receipts(random, 1, 0, None).await.err()),
        (intruder.delete(ours, 1).await.err(), intruder.delete(random, 1).await.err()),
        (intruder.rename(ours, "x").await.err(), intruder.rename(random, "x").await.err()),
        (intruder.leave(ours).await.err(), intruder.leave(random).await.err()),
        (intruder.set_retention(ours, None).await.err(), intruder.set_retention(random, None).await.err()),
        (intruder.remove_member(ours, "bob").await.err(), intruder.remove_member(random, "bob").await.err()),
        (intruder.acknowledge(ours, Some(1), None).await.err(), {
            intruder.acknowledge(random, Some(1), None).await.err()
        }),
    ] {
        let foreign = foreign.expect("refused");
        assert_eq!(Some(&foreign), nowhere.as_ref(), "indistinguishable");
        assert!(matches!(foreign, wardline_client::RequestError::Refused(r) if r.code == Code::NotFound));
    }
    // And nothing of it arrived.
    within("publishing", other_ann.client.publish(Outgoing::text(theirs, "end"))).await.unwrap();
    loop {
        match other_ann.next().await {
            Incoming::Receipt(receipt) => assert_eq!(receipt.conversation, theirs),
            Incoming::Entry(entry) if entry.sequence == 2 => break assert_eq!(entry.conversation, theirs),
            Incoming::Entry(entry) => assert_eq!(entry.conversation, theirs),
            Incoming::Joined(conversation) => assert_eq!(conversation.id, theirs),
            Incoming::Left(_) | Incoming::NotFollowed(_) | Incoming::CaughtUp => {}
        }
    }
}
