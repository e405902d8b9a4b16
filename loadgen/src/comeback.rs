//! How long clients take until they are back and have caught up, after their broker was killed.
//!
//! Idle clients and busy ones, all with the SDK's defaults. A parent process kills the broker and
//! starts another one; it says when, on stdin (`killed`, and the time in nanoseconds since 1970),
//! and hears on stdout, as JSON lines, what came of it. At the kill one message is published into
//! each conversation, behind all before it: who has that has caught up. Between kills everybody has
//! time to become idle.

mod round;

use std::cell::RefCell;
use std::io::Write as _;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc};
use tokio::task::{JoinSet, LocalSet, spawn_local};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use wardline_client::{
    Body, Client, ConversationId, Entry, Inbox, Incoming, NewConversation, Outgoing, Priority, Status,
};

use crate::dialler::{Dialler, Server, endpoint};
use crate::progress::{Progress, say};
use round::{Note, Round};

/// Members of a conversation in which nobody talks, beside the one who publishes after a kill.
const SILENT_MEMBERS: usize = 50;
/// Members of a conversation in which all talk.
const TALKING_MEMBERS: usize = 10;
/// How often a busy client publishes.
const TALK_EVERY: Duration = Duration::from_secs(2);
/// One of so many messages is urgent.
const URGENT_ONE_IN: u64 = 4;
/// Before each kill: more than the SDK's longest back-off, after which it counts a session as one
/// that lasted.
const SETTLE: Duration = Duration::from_secs(12);
/// File descriptors beside the clients' sockets.
const SPARE_FILES: usize = 256;
/// Sockets that clients share, if there cannot be one for each.
const SHARED_SOCKETS: usize = 1_000;

/// Who is to be there.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    server: Server,
    /// Clients who say nothing.
    #[arg(long, default_value_t = 2_000)]
    idle: usize,
    /// Clients who talk.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(2..))]
    busy: u32,
    /// How many kills there will be.
    #[arg(long, default_value_t = 10)]
    kills: u32,
    /// Longest wait until all are back, in seconds.
    #[arg(long, default_value_t = 120)]
    deadline_s: u64,
}

/// What everybody tells.
struct Stage {
    round: RefCell<Round>,
    told: Notify,
}

/// Somebody who publishes into a conversation after each kill.
struct Caller {
    client: Client,
    conversation: ConversationId,
}

/// Measures, until there were so many kills; whether all came back each time.
///
/// # Errors
/// If clients cannot connect, or the parent process is gone.
pub async fn run(arguments: Arguments) -> anyhow::Result<bool> {
    LocalSet::new().run_until(measure(arguments)).await
}

async fn measure(arguments: Arguments) -> anyhow::Result<bool> {
    let busy = arguments.busy as usize;
    let clients = arguments.idle + busy;
    let dialler = Arc::new(Dialler::new(&arguments.server)?);
    let sockets = sockets(clients, &arguments.server)?;
    let progress = Progress::new(false);
    let stage = Rc::new(Stage { round: RefCell::new(Round::new(clients)), told: Notify::new() });
    let callers = gather(&dialler, &sockets, arguments.idle, busy, &stage, &progress).await?;
    progress.end();
    let mut lines = listen()?;
    let mut is_right = true;
    for number in 1..=arguments.kills {
        sleep(SETTLE).await;
        tell(&json!({"event": "settled", "clients": clients}))?;
        let line = lines.recv().await.context("the parent process is gone")?;
        let killed_ns = line.strip_prefix("killed ").and_then(|at| at.trim().parse::<u64>().ok());
        let killed_ns = killed_ns.with_context(|| format!("{line:?} instead of a kill"))?;
        stage.round.borrow_mut().begin(number, killed_ns);
        call(&callers, &Note::mark(number)).await?;
        let deadline = Duration::from_secs(arguments.deadline_s);
        let all = timeout(deadline, stage.all_caught_up()).await;
        is_right &= all.is_ok();
        tell(&stage.round.borrow_mut().end(arguments.idle))?;
    }
    Ok(is_right)
}

/// The sockets that clients share; none: each has its own.
fn sockets(clients: usize, server: &Server) -> anyhow::Result<Vec<quinn::Endpoint>> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
        .context("cannot raise the limit of open files to its maximum")?;
    if maximum.is_none_or(|maximum| clients + SPARE_FILES <= maximum as usize) {
        return Ok(Vec::new());
    }
    say(&format!("of the open files that are allowed, {clients} clients share {SHARED_SOCKETS}"));
    (0..SHARED_SOCKETS).map(|_| endpoint(&server.server)).collect()
}

/// Connects everybody and makes their conversations; gives who publishes where.
async fn gather(
    dialler: &Arc<Dialler>,
    sockets: &[quinn::Endpoint],
    idle: usize,
    busy: usize,
    stage: &Rc<Stage>,
    progress: &Progress,
) -> anyhow::Result<Vec<Caller>> {
    progress.begin("connecting", idle + busy);
    let mut dials = JoinSet::new();
    for number in 0..idle + busy {
        let (dialler, name) = (Arc::clone(dialler), name(number, idle));
        let socket = (!sockets.is_empty()).then(|| sockets[number % sockets.len()].clone());
        dials
            .spawn(async move { dialler.dial_plainly(&name, socket).await.map(|dialled| (number, dialled)) });
    }
    let mut talkers = Vec::new();
    for done in 1..=idle + busy {
        let dialled = dials.join_next().await.context("there is one dial for each")?;
        let (number, (client, inbox)) = dialled.context("a task that connects has panicked")??;
        if number >= idle {
            talkers.push((number, client.clone()));
        }
        spawn_local(live(Rc::clone(stage), number, client, inbox));
        progress.at(done, &json!({}));
    }
    talkers.sort_by_key(|(number, _)| *number);
    let talkers: Vec<Client> = talkers.into_iter().map(|(_, client)| client).collect();
    let mut callers = Vec::new();
    let silent: Vec<usize> = (0..idle).collect();
    for (room, members) in silent.chunks(SILENT_MEMBERS).enumerate() {
        let client = talkers[room % talkers.len()].clone();
        let conversation = make(&client, members.iter().map(|number| name(*number, idle))).await?;
        callers.push(Caller { client, conversation });
    }
    for (room, members) in talkers.chunks(TALKING_MEMBERS).enumerate() {
        let first = idle + room * TALKING_MEMBERS;
        let others = (first + 1..first + members.len()).map(|number| name(number, idle));
        let conversation = make(&members[0], others).await?;
        for (place, client) in members.iter().enumerate() {
            let after = TALK_EVERY.mul_f64(place as f64 / members.len() as f64);
            spawn_local(talk(client.clone(), conversation, after));
        }
        callers.push(Caller { client: members[0].clone(), conversation });
    }
    Ok(callers)
}

fn name(number: usize, idle: usize) -> String {
    if number < idle { format!("idle-{number}") } else { format!("busy-{}", number - idle) }
}

async fn make(client: &Client, members: impl Iterator<Item = String>) -> anyhow::Result<ConversationId> {
    let new = NewConversation { title: "Ward".into(), members: members.collect(), retention: None };
    Ok(client.create_group(new).await.context("no conversation")?.id)
}

/// Publishes one message into each conversation.
async fn call(callers: &[Caller], note: &Note) -> anyhow::Result<()> {
    for caller in callers {
        let message = Outgoing::new(caller.conversation, "", note.to_bytes());
        // Its answer comes once the broker is back.
        drop(caller.client.enqueue(message).await.context("a client was closed")?);
    }
    Ok(())
}

/// Talks without end.
async fn talk(client: Client, conversation: ConversationId, after: Duration) {
    sleep(after).await;
    let (mut count, status) = (0u64, client.status());
    let mut ticks = interval(TALK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        count += 1;
        let is_connected = matches!(&*status.borrow(), Status::Connected(_));
        let is_urgent = count.is_multiple_of(URGENT_ONE_IN);
        let note = Note::talk(is_connected.then(now_ns), is_urgent);
        let mut message = Outgoing::new(conversation, "", note.to_bytes());
        if is_urgent {
            message.priority = Priority::Urgent;
        }
        if client.enqueue(message).await.is_err() {
            return;
        }
    }
}

/// Takes what arrives, and sees how the session stands, until the client is closed.
async fn live(stage: Rc<Stage>, number: usize, client: Client, mut inbox: Inbox) {
    let mut status = client.status();
    loop {
        tokio::select! {
            incoming = inbox.next() => match incoming {
                Some(Incoming::Entry(entry)) => stage.entry(number, &entry),
                Some(_) => {}
                None => return,
            },
            changed = status.changed() => {
                if changed.is_err() {
                    return;
                }
                stage.status(number, &status.borrow_and_update());
            }
        }
    }
}

impl Stage {
    fn status(&self, number: usize, status: &Status) {
        let mut round = self.round.borrow_mut();
        round.session(number, matches!(status, Status::Connected(_)), now_ns());
        if let Status::Reconnecting { attempt: 1.., why, .. } = status {
            round.again(why);
        }
        drop(round);
        self.told.notify_one();
    }

    fn entry(&self, number: usize, entry: &Entry) {
        let Body::Message { payload, .. } = &entry.body else { return };
        let Some(note) = Note::from_bytes(payload) else { return };
        self.round.borrow_mut().arrived(number, &note, now_ns());
        self.told.notify_one();
    }

    async fn all_caught_up(&self) {
        while !self.round.borrow().is_over() {
            self.told.notified().await;
        }
    }
}

/// What the parent process says. On a thread of its own: a blocking read of stdin would keep the
/// runtime from stopping.
fn listen() -> anyhow::Result<mpsc::Receiver<String>> {
    let (said, lines) = mpsc::channel(1);
    let listening = move || {
        let heard = std::io::stdin().lines().map_while(Result::ok);
        heard.map_while(|line| said.blocking_send(line).ok()).for_each(drop);
    };
    thread::Builder::new().name("stdin".into()).spawn(listening).context("cannot listen on stdin")?;
    Ok(lines)
}

fn now_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64
}

fn tell(event: &Value) -> anyhow::Result<()> {
    writeln!(std::io::stdout().lock(), "{event}").context("the parent process is gone")
}
