//! Sets a repetition up: everybody connects, conversations are made, those who are to be away
//! leave.
//!
//! And clears it away again. Every repetition has people, devices and conversations of its own, so
//! that nothing of an earlier one is in its way. Everything here is bounded in time.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use wardline_client::{Client, ConversationId, DeviceId, Inbox, NewConversation, Role};

use super::person;
use super::stage::{People, Stage};
use crate::dialler::Dialler;
use crate::plan::{Person, Plan, RoomPlan};
use crate::progress::Progress;
use crate::workload::{AudienceKind, Workload};

/// Longest time to set up, beside that for each person and conversation.
const SET_UP_DEADLINE: Duration = Duration::from_secs(60);
/// Longest time for each person to connect: a handshake takes some two milliseconds on two cores.
const CONNECT_DEADLINE: Duration = Duration::from_millis(20);
/// Longest time for each conversation to be made.
const CREATE_DEADLINE: Duration = Duration::from_millis(5);
/// Nothing new for so long: set up.
const QUIET: Duration = Duration::from_secs(2);
/// Longest wait for that.
const SETTLE_DEADLINE: Duration = Duration::from_secs(120);
/// Conversations that are made at the same time.
const CREATES_MAX: usize = 64;
/// Most members named in one request: the broker's bound.
const MEMBERS_PER_REQUEST: usize = 100;
/// Longest goodbye.
const CLOSE_DEADLINE: Duration = Duration::from_secs(5);

/// A repetition that is set up, and the tasks that live in it.
pub(crate) struct Scene {
    pub(crate) stage: Rc<Stage>,
    pub(crate) tasks: JoinSet<()>,
    pub(crate) broker_version: String,
}

impl Scene {
    /// Sets up.
    ///
    /// # Errors
    /// If the broker cannot be reached or refuses somebody or something; the text is the broker's.
    pub(crate) async fn new(
        workload: &Workload,
        dialler: &Arc<Dialler>,
        seed: u64,
        run: u64,
        progress: &Progress,
    ) -> anyhow::Result<Self> {
        let plan = Plan::new(workload, seed);
        let users: Vec<_> = (0..plan.people).map(|person| format!("load-{run:016x}-{person}")).collect();
        let devices: Vec<_> = users.iter().map(|_| DeviceId::random()).collect();
        let connecting = connect(dialler, &users, &devices, progress);
        let deadline = SET_UP_DEADLINE + CONNECT_DEADLINE * plan.people;
        let sessions = timeout(deadline, connecting)
            .await
            .with_context(|| format!("not everybody could connect within {deadline:?}"))??;
        let broker_version = broker_version(&sessions[0].0);
        let clients: Vec<_> = sessions.iter().map(|(client, _)| client.clone()).collect();
        let creating = create(&plan, &users, &clients, progress);
        let deadline = SET_UP_DEADLINE + CREATE_DEADLINE * plan.rooms.len() as u32;
        let conversations = timeout(deadline, creating)
            .await
            .with_context(|| format!("not all conversations could be made within {deadline:?}"))??;
        let people = People { users, devices, clients };
        let stage = Rc::new(Stage::new(workload, plan, seed, run, people, conversations));
        let mut tasks = JoinSet::new();
        for (number, (client, inbox)) in sessions.into_iter().enumerate() {
            enter(&stage, &mut tasks, Person(number as u32), client, inbox, None);
        }
        settle(&stage).await;
        Ok(Self { stage, tasks, broker_version })
    }

    /// Says goodbye for everybody; how many sessions were lost and opened again, planned ones
    /// apart.
    pub(crate) async fn clear(mut self) {
        let clients: Vec<_> = self.stage.clients.borrow_mut().iter_mut().filter_map(Option::take).collect();
        let mut closing = JoinSet::new();
        for client in clients {
            closing.spawn_local(async move { client.close(CLOSE_DEADLINE).await });
        }
        while closing.join_next().await.is_some() {}
        self.tasks.shutdown().await;
    }

    /// Sessions that were lost and opened again.
    pub(crate) fn reconnects(&self) -> u64 {
        let clients = self.stage.clients.borrow();
        clients.iter().flatten().map(generation).sum()
    }
}

/// Waits until nobody is told of new members any more: in large conversations that is more work
/// than the load.
async fn settle(stage: &Stage) {
    let deadline = Instant::now() + SETTLE_DEADLINE;
    loop {
        let noticed = stage.totals.noticed.get();
        sleep(QUIET).await;
        if stage.totals.noticed.get() == noticed || Instant::now() >= deadline {
            return;
        }
    }
}

/// Starts a person's tasks.
pub(crate) fn enter(
    stage: &Rc<Stage>,
    tasks: &mut JoinSet<()>,
    person: Person,
    client: Client,
    inbox: Inbox,
    back_ns: Option<u64>,
) {
    stage.clients.borrow_mut()[person.0 as usize] = Some(client.clone());
    if stage.desks[person.0 as usize].is_some() && back_ns.is_none() {
        tasks.spawn_local(person::publish(stage.clone(), person, client.clone()));
        tasks.spawn_local(person::confirm(stage.clone(), person));
    }
    tasks.spawn_local(person::receive(stage.clone(), person, client, inbox, back_ns));
}

fn generation(client: &Client) -> u64 {
    match &*client.status().borrow() {
        wardline_client::Status::Connected(session) => session.generation,
        // Whoever is without a session has lost one at least.
        _ => 1,
    }
}

fn broker_version(client: &Client) -> String {
    match &*client.status().borrow() {
        wardline_client::Status::Connected(session) => session.broker_version.clone(),
        _ => "unknown".into(),
    }
}

/// Opens everybody's session.
async fn connect(
    dialler: &Arc<Dialler>,
    users: &[String],
    devices: &[DeviceId],
    progress: &Progress,
) -> anyhow::Result<Vec<(Client, Inbox)>> {
    // The first one alone and once: whoever cannot come in is told at once, not a thousand times.
    let first = dialler.dial_once(&users[0], devices[0]).await?;
    progress.begin("connecting", users.len());
    let mut dials = JoinSet::new();
    for (place, (user, device)) in users.iter().zip(devices).enumerate().skip(1) {
        let (dialler, user, device) = (dialler.clone(), user.clone(), *device);
        dials.spawn_local(async move { (place, dialler.dial(&user, device).await) });
    }
    let mut sessions = vec![(0, first)];
    while let Some(dialled) = dials.join_next().await {
        let (place, session) = dialled.context("a task that connects has panicked")?;
        sessions.push((place, session?));
        progress.at(sessions.len(), &json!({}));
    }
    sessions.sort_unstable_by_key(|(place, _)| *place);
    Ok(sessions.into_iter().map(|(_, session)| session).collect())
}

/// Makes all conversations, each by its first member.
async fn create(
    plan: &Plan,
    users: &[String],
    clients: &[Client],
    progress: &Progress,
) -> anyhow::Result<Vec<ConversationId>> {
    progress.begin("creating", plan.rooms.len());
    let seats = Rc::new(Semaphore::new(CREATES_MAX));
    let mut creates = JoinSet::new();
    for (number, room) in plan.rooms.iter().enumerate() {
        let client = clients[room.members[0].0 as usize].clone();
        let members = room.members[1..].iter().map(|member| users[member.0 as usize].clone()).collect();
        let (seats, room) = (seats.clone(), room.clone());
        creates.spawn_local(async move {
            let _seat = seats.acquire().await;
            create_one(&client, &room, members).await.map(|id| (number, id))
        });
    }
    let mut made = HashMap::new();
    while let Some(created) = creates.join_next().await {
        let (number, id) = created.context("a task that makes conversations has panicked")??;
        if made.insert(number, id).is_some() {
            bail!("a conversation was made twice");
        }
        progress.at(made.len(), &json!({}));
    }
    Ok((0..plan.rooms.len()).map(|number| made[&number]).collect())
}

async fn create_one(
    client: &Client,
    room: &RoomPlan,
    members: Vec<String>,
) -> anyhow::Result<ConversationId> {
    let mut parts = members.chunks(MEMBERS_PER_REQUEST);
    let first = parts.next().map(<[_]>::to_vec).unwrap_or_default();
    let new = NewConversation { title: "load".into(), members: first, retention: None };
    let made = match room.kind {
        AudienceKind::Direct => client.direct(&members[0]).await,
        AudienceKind::Group => client.create_group(new).await,
        AudienceKind::Broadcast => client.create_broadcast(new).await,
    };
    let made = made.context("the broker refuses a conversation")?;
    for part in parts {
        client.add_members(made.id, part, Role::Member, true).await.context("the broker refuses members")?;
    }
    Ok(made.id)
}
