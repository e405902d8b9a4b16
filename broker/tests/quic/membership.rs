//! Adding, removing, leaving: who sees what from when on.

use wardline_client::{Body, Code, ConversationId, Direction, Entry, Notice, Outgoing, Role};

use crate::site::{Person, Site, TENANT, refused, within};

on_all_engines![
    who_is_added_sees_what_they_should,
    who_is_removed_sees_nothing_more,
    who_comes_back_goes_on,
    who_comes_back_at_once_misses_nothing,
    nobody_becomes_admin_because_the_last_one_left,
    the_tenants_administrator_names_an_admin,
    adding_is_for_admins_and_bounded,
    history_cannot_be_reached_through_another_operation,
];

fn names(of: &[&str]) -> Vec<String> {
    of.iter().map(ToString::to_string).collect()
}

async fn say(person: &Person, conversation: ConversationId, text: &str) -> u64 {
    let sent = person.client.publish(Outgoing::text(conversation, text.to_owned()));
    within("publishing", sent).await.unwrap().sequence
}

async fn add(admin: &Person, to: ConversationId, who: &str, share_history: bool) -> Option<u64> {
    let who = [who.to_owned()];
    within("adding", admin.client.add_members(to, &who, Role::Member, share_history)).await.unwrap()
}

fn sequences(entries: &[Entry]) -> Vec<u64> {
    entries.iter().map(|entry| entry.sequence).collect()
}

async fn who_is_added_sees_what_they_should(site: Site) {
    let ann = site.person("ann").await;
    let (mut old, mut new) = (site.person("old hand").await, site.person("newcomer").await);
    let group = ann.group(&[]).await;
    say(&ann, group, "before").await;

    let first = add(&ann, group, "old hand", true).await.unwrap();
    let second = add(&ann, group, "newcomer", false).await.unwrap();
    let after = say(&ann, group, "after").await;
    assert_eq!((first, second, after), (2, 3, 4));

    assert_eq!(old.joined().await.id, group);
    assert_eq!(sequences(&old.entries(4).await), [1, 2, 3, 4]);
    assert_eq!(new.joined().await.id, group);
    let seen = new.entries(2).await;
    assert_eq!(sequences(&seen), [3, 4]);
    let Body::Notice(Notice::Added(who, Role::Member)) = &seen[0].body else { panic!("{:?}", seen[0]) };
    assert_eq!(who, &names(&["newcomer"]));

    assert_eq!(sequences(&old.history(group).await), [1, 2, 3, 4]);
    assert_eq!(sequences(&new.history(group).await), [3, 4]);
    // Who is a member already stays as they are.
    assert_eq!(add(&ann, group, "newcomer", true).await, None);
    assert_eq!(sequences(&new.history(group).await), [3, 4]);
    refused(Code::Forbidden, new.client.rename(group, "mine now")).await;
}

async fn who_is_removed_sees_nothing_more(site: Site) {
    let (ann, mut bob, mut cy) =
        (site.person("ann").await, site.person("bob").await, site.person("cy").await);
    let group = ann.group(&["bob", "cy"]).await;
    bob.joined().await;
    say(&ann, group, "for all").await;
    refused(Code::Forbidden, cy.client.remove_member(group, "bob")).await;
    let notice = within("removing", ann.client.remove_member(group, "bob")).await.unwrap().unwrap();
    let secret = say(&ann, group, "not for bob").await;

    // Those who stay hear of it.
    let seen = cy.entries(3).await;
    assert_eq!(sequences(&seen), [1, notice, secret]);
    assert!(matches!(&seen[1].body, Body::Notice(Notice::Removed(who)) if who == "bob"));
    // He who left hears that, and nothing that came after.
    assert!(bob.left(group).await.iter().all(|entry| entry.sequence == 1));
    refused(Code::NotFound, bob.client.history(group, 0, Direction::Forward, 0)).await;
    refused(Code::NotFound, bob.client.publish(Outgoing::text(group, "still here"))).await;
    refused(Code::NotFound, bob.client.members(group, 0, None)).await;
    refused(Code::NotFound, bob.client.receipts(group, 1, 0, None)).await;
    refused(Code::NotFound, bob.client.acknowledge(group, Some(1), None)).await;
    assert!(bob.client.conversations(0, None).await.unwrap().items.is_empty());
    let members = ann.client.members(group, 0, None).await.unwrap();
    assert!(members.items.iter().all(|member| member.user != "bob"));

    // Nor does a device that was away.
    bob.leave().await;
    let mut bob = Person::connect(site.options("bob", 1)).await;
    assert!(bob.backlog().await.is_empty());
    // Removing once more changes nothing.
    assert_eq!(within("removing", ann.client.remove_member(group, "bob")).await.unwrap(), None);
}

async fn who_comes_back_goes_on(site: Site) {
    let (ann, mut bob) = (site.person("ann").await, site.person("bob").await);
    let group = ann.group(&["bob"]).await;
    bob.joined().await;
    say(&ann, group, "one").await;
    within("leaving", bob.client.leave(group)).await.unwrap();
    bob.left(group).await;
    let missed = say(&ann, group, "without bob").await;

    let back = add(&ann, group, "bob", false).await.unwrap();
    let after = say(&ann, group, "with bob").await;
    assert_eq!(bob.joined().await.id, group);
    assert_eq!(sequences(&bob.entries(2).await), [back, after]);
    let history = sequences(&bob.history(group).await);
    assert_eq!(history, [back, after], "{missed} was said without him");
    assert_eq!(say(&bob, group, "hello again").await, after + 1);
}

/// The session may not even notice that he was gone; what he hears must be the same.
async fn who_comes_back_at_once_misses_nothing(site: Site) {
    let (ann, mut bob) = (site.person("ann").await, site.person("bob").await);
    let group = ann.group(&["bob"]).await;
    bob.joined().await;
    let bob_name = ["bob".to_owned()];
    for _ in 0..20 {
        within("removing", ann.client.remove_member(group, "bob")).await.unwrap();
        let hidden = say(&ann, group, "behind his back").await;
        let back = ann.client.add_members(group, &bob_name, Role::Member, false);
        let back = within("adding", back).await.unwrap().unwrap();
        let said = say(&ann, group, "to his face").await;
        assert_eq!((back, said), (hidden + 1, hidden + 2));
        assert_eq!(sequences(&bob.entries(2).await), [back, said]);
    }
}

/// The one who was there for longest stays what they are, and everybody is told.
async fn nobody_becomes_admin_because_the_last_one_left(site: Site) {
    let (ann, mut bob) = (site.person("ann").await, site.person("bob").await);
    let group = ann.group(&["bob", "cy"]).await;
    assert!(!bob.listed(group).await.without_admin);
    let left = within("leaving", ann.client.leave(group)).await.unwrap().unwrap();
    refused(Code::NotFound, ann.client.rename(group, "still mine")).await;
    refused(Code::Forbidden, bob.client.rename(group, "mine")).await;
    let listed = bob.listed(group).await;
    assert_eq!((listed.role, listed.without_admin), (Role::Member, true));
    let told = bob.entries(2).await;
    assert_eq!(sequences(&told), [left, left + 1]);
    assert!(matches!(&told[0].body, Body::Notice(Notice::Removed(who)) if who == "ann"));
    assert!(matches!(told[1].body, Body::Notice(Notice::WithoutAdmin)));
    within("publishing", bob.client.publish(Outgoing::text(group, "on we go"))).await.unwrap();
}

/// By a token with the role, and by none other; they see nothing by it.
async fn the_tenants_administrator_names_an_admin(site: Site) {
    let (ann, mut bob) = (site.person("ann").await, site.person("bob").await);
    let chief = site.with_roles(TENANT, "chief", &["administrator"]).await;
    let elsewhere = site.with_roles("another-tenant", "chief", &["administrator"]).await;
    let group = ann.group(&["bob"]).await;
    within("leaving", ann.client.leave(group)).await.unwrap();
    bob.entries(2).await;
    for other in [&elsewhere, &ann] {
        refused(Code::NotFound, other.client.set_role(group, "bob", Role::Admin)).await;
    }
    refused(Code::Forbidden, bob.client.set_role(group, "bob", Role::Admin)).await;
    refused(Code::NotFound, chief.client.set_role(group, "nobody", Role::Admin)).await;
    within("naming", chief.client.set_role(group, "bob", Role::Admin)).await.unwrap().unwrap();
    let told = bob.entry().await;
    assert_eq!(told.sender.as_str(), "chief");
    assert!(matches!(&told.body, Body::Notice(Notice::Role(who, Role::Admin)) if who == "bob"));
    let listed = bob.listed(group).await;
    assert_eq!((listed.role, listed.without_admin), (Role::Admin, false));
    within("renaming", bob.client.rename(group, "bob's")).await.unwrap().unwrap();
    // In the history the name stands, too, though the administrator was never in it.
    assert!(bob.history(group).await.iter().any(|entry| entry.sender.as_str() == "chief"));
    refused(Code::NotFound, chief.client.rename(group, "mine")).await;
    refused(Code::NotFound, chief.client.history(group, 0, Direction::Forward, 0)).await;
    refused(Code::NotFound, chief.client.publish(Outgoing::text(group, "hello"))).await;
}

async fn adding_is_for_admins_and_bounded(site: Site) {
    let (ann, bob) = (site.person("ann").await, site.person("bob").await);
    let group = ann.group(&["bob"]).await;
    refused(Code::Forbidden, bob.client.add_members(group, &names(&["cy"]), Role::Member, true)).await;
    refused(Code::InvalidArgument, ann.client.add_members(group, &[], Role::Member, true)).await;
    let many: Vec<_> = (0..101).map(|number| format!("nurse {number}")).collect();
    refused(Code::InvalidArgument, ann.client.add_members(group, &many, Role::Member, true)).await;
    let long = "n".repeat(129);
    refused(Code::InvalidArgument, ann.client.add_members(group, &names(&[&long]), Role::Member, true)).await;
    // Of the site's bound of 1,000 members, 2 are taken: 9 times 100 fit, and 98 more.
    for round in 0..10 {
        let some: Vec<_> = (0..100).map(|number| format!("nurse {round} {number}")).collect();
        let added = within("adding", ann.client.add_members(group, &some, Role::Member, false)).await;
        if round < 9 {
            added.unwrap().unwrap();
        } else {
            refused(Code::LimitExceeded, async { added }).await;
        }
    }
}

async fn history_cannot_be_reached_through_another_operation(site: Site) {
    let (ann, bob) = (site.person("ann").await, site.person("bob").await);
    let group = ann.group(&[]).await;
    let hidden = say(&ann, group, "before bob").await;
    add(&ann, group, "bob", false).await;
    refused(Code::NotFound, bob.client.receipts(group, hidden, 0, None)).await;
    refused(Code::NotFound, bob.client.delete(group, hidden)).await;
    let mut reply = Outgoing::text(group, "about that");
    reply.reply_to = Some(hidden);
    refused(Code::NotFound, bob.client.publish(reply)).await;
    assert_eq!(bob.listed(group).await.unread, 0);
}
