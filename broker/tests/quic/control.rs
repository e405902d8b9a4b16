//! Every queue is full, and the disk too: what protects or takes away is admitted all the same, all
//! of it, and is true after a restart.
//!
//! Others fill the log's queue, the owner has used up their own share of it, and the reads of their
//! tenant are used up. Then a thousand control commands come, far more than the room that is kept
//! for them: pipelined by one owner, by the operator, and a member's receipts of them.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tempfile::TempDir;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use wardline_broker::limits::Limits;
use wardline_broker::operator::revoke::{Done, Order, Whose};
use wardline_broker::settings::DiskWatch;
use wardline_client::{Body, Client, Code, ConversationId, Direction, Outgoing, Role};
use wardline_proto::v1::client_frame::Request;
use wardline_proto::v1::server_frame::Response;
use wardline_proto::v1::{DeleteMessage, History, ListConversations, Publish, RemoveMember, SetRetention};
use wardline_rocksdb::{Options as StoreOptions, RocksEngine};
use wardline_storage::hooked::{CommitGate, Commits, HookedEngine};

use crate::raw::{Lane, Raw};
use crate::site::{PATIENCE, Person, Site, TENANT, until, within};

const REMOVALS: usize = 250;
const DELETIONS: usize = 250;
const CHANGES: usize = 250;
const REVOCATIONS: usize = 150;
const RECEIPTS: u64 = 100;
/// Users who flood the log's queue, beside the owner.
const FLOODERS: usize = 6;
/// How many publishes of each are on their way: more than a share and a group.
const FLOOD: u64 = 200;
/// Lanes on which somebody lists, and how much at once on each: more than all may.
const LANES: usize = 5;
const READS: u64 = 4;
/// Refusals that are remembered.
const REFUSALS: usize = 64;
const NAMED_AT_ONCE: usize = 100;
/// As many as the SDK has on their way, and in how long no more than one of them has its turn.
const OWN_READS: usize = 64;
const AT_ONCE: Duration = Duration::from_secs(2);
/// Longer than it takes to be refused, and for the disk to be looked at.
const SILENCE: Duration = Duration::from_millis(400);
/// What the retention of the conversation becomes, and a second more with each change.
const KEPT_FOR: Duration = Duration::from_secs(7 * 86_400);

type Gated = HookedEngine<CommitGate, RocksEngine>;

/// Queues so short that a handful of users fills them.
fn narrow(limits: &mut Limits) {
    limits.waiting_commands_max = 256;
    limits.group_commands_max = 64;
    limits.principal_commands_max = 64;
    limits.reads_waiting_max = 16;
    limits.principal_reads_max = 16;
    // Whoever has read rests.
    limits.principal_read_cost = 20;
    limits.retry_after = Duration::from_millis(10);
}

/// A broker whose commits can be held, and whose disk is full once [`disk`] is there.
async fn site() -> (Site, Arc<Gated>) {
    let folder = TempDir::new().unwrap();
    let store = folder.path().join("store");
    let below = RocksEngine::open(&store, StoreOptions::default()).unwrap();
    let engine = Arc::new(Gated { hooks: CommitGate::default(), below });
    let path = disk(&folder);
    let site = Site::start(Arc::clone(&engine) as _, Some(folder), |settings| {
        narrow(&mut settings.limits);
        settings.disk = Some(DiskWatch { path, reserve_bytes: u64::MAX, ballast: None });
    })
    .await;
    (site, engine)
}

fn disk(folder: &TempDir) -> PathBuf {
    folder.path().join("disk")
}

fn absent(number: usize) -> String {
    format!("absent-{number:03}")
}

/// A conversation, and from whom and what is to be taken there.
struct Ward {
    id: ConversationId,
    messages: Vec<u64>,
    owner: Raw,
    member: Client,
}

impl Ward {
    /// With people who never come, and with messages.
    async fn open(site: &Site) -> Self {
        let ann = site.person("ann").await;
        let id = ann.group(&["bob"]).await;
        let names: Vec<_> = (0..REMOVALS).map(absent).collect();
        for some in names.chunks(NAMED_AT_ONCE) {
            let added = ann.client.add_members(id, some, Role::Member, true);
            within("members", added).await.unwrap();
        }
        let (mut acks, mut messages) = (Vec::new(), Vec::new());
        for number in 0..DELETIONS {
            let message = Outgoing::text(id, number.to_string());
            acks.push(within("a place", ann.client.enqueue(message)).await.unwrap());
        }
        for ack in acks {
            messages.push(within("the ack", ack.wait()).await.unwrap().sequence);
        }
        ann.leave().await;
        let mut options = site.options("bob", 1);
        options.publish_only = true;
        let member = Person::connect(options).await.client;
        Self { id, messages, owner: Raw::session(site, "ann", 1).await, member }
    }

    /// Waits until the owner may read nothing.
    async fn reads_are_used_up(&mut self) {
        let history = History { conversation_id: Bytes::copy_from_slice(&self.id.0), ..History::default() };
        until("reads to be used up", async || {
            match self.owner.ask(Request::History(history.clone())).await {
                Response::Error(error) if error.code() == Code::ResourceExhausted => Some(()),
                _ => None,
            }
        })
        .await;
    }

    /// All that the owner takes away.
    fn requests(&self) -> Vec<Request> {
        let id = Bytes::copy_from_slice(&self.id.0);
        let removal = |number| {
            Request::RemoveMember(RemoveMember { conversation_id: id.clone(), member: absent(number) })
        };
        let deletion = |sequence: &u64| {
            Request::DeleteMessage(DeleteMessage { conversation_id: id.clone(), sequence: *sequence })
        };
        let change = |number| {
            let retention_ms = (KEPT_FOR + Duration::from_secs(number as u64)).as_millis() as u64;
            Request::SetRetention(SetRetention { conversation_id: id.clone(), retention_ms })
        };
        let removals = (0..REMOVALS).map(removal);
        removals.chain(self.messages.iter().map(deletion)).chain((1..=CHANGES).map(change)).collect()
    }

    /// Asserts that all of it was done.
    async fn is_true(id: ConversationId, site: &Site) {
        let ann = Person::connect(site.options("ann", 2)).await;
        let members = within("members", ann.client.members(id, 0, None)).await.unwrap().items;
        let names: BTreeSet<_> = members.iter().map(|member| &*member.user).collect();
        assert_eq!(names, BTreeSet::from(["ann", "bob"]));
        let history = ann.history(id).await;
        let gone = history.iter().filter(|entry| matches!(entry.body, Body::Tombstone { .. }));
        assert_eq!(gone.count(), DELETIONS);
        assert!(!history.iter().any(|entry| matches!(entry.body, Body::Message { .. })));
        let kept = ann.listed(id).await.retention;
        assert_eq!(kept, KEPT_FOR + Duration::from_secs(CHANGES as u64));
        let bob = Person::connect(site.options("bob", 2)).await;
        assert_eq!(bob.listed(id).await.read_up_to, RECEIPTS);
        let listed = within("the list", site.broker.revoker().carry_out(Order::List)).await.unwrap();
        assert!(matches!(listed, Done::List(all) if all.len() == REVOCATIONS));
    }
}

/// Somebody who publishes without end, in a conversation of their own.
struct Flooder {
    raw: Raw,
    conversation: Bytes,
}

impl Flooder {
    async fn of(site: &Site, user: &str, device: u8) -> Self {
        let mut raw = Raw::session(site, user, device).await;
        let conversation = raw.direct("sink").await;
        Self { raw, conversation }
    }

    fn publish(&self, number: u64) -> Request {
        Request::Publish(Publish {
            conversation_id: self.conversation.clone(),
            client_message_id: Bytes::copy_from_slice(&u128::from(number).to_be_bytes()),
            payload: Bytes::from_static(&[7; 200]),
            epoch: number as u32,
            ..Publish::default()
        })
    }

    /// Publishes; tells each code with which it is refused.
    async fn flood(self, told: Sender<Code>) {
        let mut lane = self.raw.lane().await;
        for number in 1..=FLOOD {
            lane.send(number, self.publish(number)).await;
        }
        let mut number = FLOOD;
        while let Ok(Some(answer)) = timeout(PATIENCE, lane.frame()).await {
            if let Some(Response::Error(error)) = answer.response {
                // Whoever does not listen now has heard enough.
                let _ = told.try_send(error.code());
                sleep(Duration::from_millis(1)).await;
            }
            number += 1;
            lane.send(number, self.publish(number)).await;
        }
    }
}

/// All who flood, and how they are refused.
struct Flood {
    tasks: JoinSet<()>,
    refusals: Receiver<Code>,
}

impl Flood {
    /// Fills the share of the owner, then the queue.
    async fn begin(owner: Flooder, others: Vec<Flooder>) -> Self {
        let (tell, refusals) = channel(REFUSALS);
        let mut flood = Self { tasks: JoinSet::new(), refusals };
        flood.tasks.spawn(owner.flood(tell.clone()));
        flood.refused(Code::ResourceExhausted).await;
        for other in others {
            flood.tasks.spawn(other.flood(tell.clone()));
        }
        flood.refused(Code::Retry).await;
        flood
    }

    /// Waits until somebody is refused so.
    async fn refused(&mut self, wanted: Code) {
        until("a refusal", async || self.refusals.recv().await.filter(|code| *code == wanted)).await;
    }

    /// So many were refused since this was asked for.
    fn forgotten(&mut self) -> usize {
        std::iter::from_fn(|| self.refusals.try_recv().ok()).count()
    }
}

/// Lists conversations without end, a few times at once.
async fn list(mut lane: Lane) {
    let request = || Request::ListConversations(ListConversations::default());
    for id in 1..=READS {
        lane.send(id, request()).await;
    }
    while let Ok(Some(answer)) = timeout(PATIENCE, lane.frame()).await {
        sleep(Duration::from_millis(5)).await;
        lane.send(answer.request_id, request()).await;
    }
}

/// Uses up what the tenant may read, as long as both live.
async fn use_up_reads(site: &Site) -> (Raw, JoinSet<()>) {
    let (raw, mut lists) = (Raw::session(site, "mallory", 1).await, JoinSet::new());
    for _ in 0..LANES {
        lists.spawn(list(raw.lane().await));
    }
    (raw, lists)
}

/// Takes back the access of people who are not there; each must be on record.
fn revoke(site: &Site) -> JoinSet<()> {
    let mut orders = JoinSet::new();
    for number in 0..REVOCATIONS {
        let revoker = site.broker.revoker();
        orders.spawn(async move {
            let whose = Whose::User { tenant: TENANT.into(), name: format!("gone-{number}") };
            let done = revoker.carry_out(Order::Revoke { whose, until_lifted: true }).await;
            assert!(matches!(done, Ok(Done::Revoked { not_on_record: None, .. })), "{done:?}");
        });
    }
    orders
}

/// Says what is read, step by step.
async fn say_read(client: Client, id: ConversationId) {
    for up_to in 1..=RECEIPTS {
        let marks = client.acknowledge(id, Some(up_to), Some(up_to)).await.unwrap();
        assert_eq!(marks.read_up_to, up_to);
    }
}

async fn all_are_taken_in(disk_is_full: bool) {
    let (site, engine) = site().await;
    let mut ward = Ward::open(&site).await;
    let owner = Flooder::of(&site, "ann", 3).await;
    let mut others = Vec::new();
    for number in 0..FLOODERS {
        others.push(Flooder::of(&site, &format!("flooder-{number}"), 1).await);
    }
    let readers = use_up_reads(&site).await;
    engine.hooks.set(Commits::Hold);
    let mut flood = Flood::begin(owner, others).await;
    if disk_is_full {
        std::fs::create_dir(disk(site.folder.as_ref().unwrap())).unwrap();
        flood.refused(Code::StorageFull).await;
    }
    ward.reads_are_used_up().await;

    let requests = ward.requests();
    let asked = requests.len();
    for (id, request) in (100..).zip(requests) {
        ward.owner.control.send(id, request).await;
    }
    let mut tasks = revoke(&site);
    tasks.spawn(say_read(ward.member.clone(), ward.id));
    assert_eq!(asked + REVOCATIONS + RECEIPTS as usize, 1_000);
    let refused = timeout(SILENCE, ward.owner.control.frame()).await;
    assert!(refused.is_err(), "none is refused: {refused:?}");
    flood.forgotten();
    engine.hooks.set(Commits::Pass);
    for _ in 0..asked {
        let (id, answer) = ward.owner.control.next().await;
        assert!(matches!(answer, Response::Done(_)), "{id}: {answer:?}");
    }
    while let Some(done) = within("the others", tasks.join_next()).await {
        done.unwrap();
    }
    assert!(flood.forgotten() > 0, "others flooded all the time");
    flood.tasks.shutdown().await;
    drop((engine, readers, ward.owner));
    ward.member.close(Duration::ZERO).await;

    let mut site = site;
    (site.settings.limits, site.settings.disk) = (Limits::default(), None);
    Ward::is_true(ward.id, &site.reopen().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn control_is_taken_in_when_every_queue_and_the_disk_are_full() {
    all_are_taken_in(true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn control_is_taken_in_while_others_keep_every_queue_full() {
    all_are_taken_in(false).await;
}

/// Nor do own reads that wait for their turn: not in the SDK, and not in a lane.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn own_reads_that_wait_hold_up_no_control() {
    let site = Site::memory_with(|settings| settings.limits.principal_read_cost = 1).await;
    let ann = site.person("ann").await;
    let group = ann.group(&["bob"]).await;
    let mut lists = JoinSet::new();
    for _ in 0..OWN_READS {
        let client = ann.client.clone();
        lists.spawn(async move { client.conversations(0, None).await });
    }
    sleep(SILENCE).await;
    let removal = timeout(AT_ONCE, ann.client.remove_member(group, "bob")).await;
    removal.expect("it does not wait for reads").unwrap();
    let read = ann.client.history(group, 0, Direction::Forward, 1);
    assert!(timeout(AT_ONCE, read).await.is_err(), "they do wait");
}
