//! The offender: one user, with an ordinary token, who does everything at once that spoils the day
//! of others.
//!
//! Floods of receipts and listings, pages that nobody reads, as many connections as there may be,
//! groups of made-up names, departures, and reading a byte now and then. In a process of its own,
//! which `apart` starts, and as nice as can be: in a hospital it has a machine of its own, so what
//! it costs itself must not be taken from those who are measured, nor from the broker.

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use rustix::process::setpriority_process;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use wardline_proto::v1::client_frame::Request;
use wardline_proto::v1::server_frame::Response;
use wardline_proto::v1::{
    Acknowledge, AddMembers, ConversationKind, CreateConversation, History, ListConversations, Priority,
    Publish, RemoveMember,
};

use super::raw::{Answers, Door, Lane, Raw};
use crate::dialler::Server;

/// Conversations whose unread messages each listing counts.
const CONVERSATIONS: u32 = 100;
/// Messages in each of them, by somebody else.
const MESSAGES: u32 = 300;
/// Long urgent messages, each of which is acknowledged singly again and again.
const URGENT: u64 = 16;
const URGENT_BYTES: usize = 60 * 1024;
/// Connections that ask for pages and read none; each has so many lanes.
const UNREAD_CONNECTIONS: u32 = 60;
const UNREAD_LANES: usize = 7;
/// Connections that are opened over and over.
const CONNECTIONS: u32 = 300;
/// Connections that flood.
const FLOODS: u32 = 4;
/// Before something that ended or failed is tried again: a second, as whoever has used up a share
/// is told.
const PAUSE: Duration = Duration::from_secs(1);

/// The least priority that Linux knows.
const NICEST: i32 = 19;
/// Longest time until what is listed and left unread has been written.
const SET_UP_DEADLINE: Duration = Duration::from_secs(120);

/// Whom it spoils it for.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    server: Server,
    /// Sets users apart from those of other runs.
    #[arg(long)]
    run: u64,
}

/// Says `ready` on stdout, waits for a line on stdin, and goes on until that ends; tells what it
/// was told.
///
/// # Errors
/// If it could not be tried.
pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    setpriority_process(None, NICEST).context("cannot be nicer")?;
    let answers = Arc::new(Answers::default());
    let making = Offender::new(&arguments.server, arguments.run, Arc::clone(&answers));
    let making = timeout(SET_UP_DEADLINE, making).await;
    let offender = making.with_context(|| format!("not set up within {SET_UP_DEADLINE:?}"))??;
    let mut said = lines();
    say("ready")?;
    if said.recv().await.is_some() {
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        tokio::join!(offender.run(stopped), async move {
            while said.recv().await.is_some() {}
            stop.cancel();
        });
    }
    say(&serde_json::to_string(&answers.told()).context("no JSON")?)?;
    Ok(ExitCode::SUCCESS)
}

/// What the parent says; ends with it.
fn lines() -> mpsc::Receiver<String> {
    let (say, said) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            if say.blocking_send(line).is_err() {
                return;
            }
        }
    });
    said
}

fn say(line: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).context("the parent process does not listen")
}

/// One user who does all that, until told to stop.
pub(super) struct Offender {
    door: Arc<Door>,
    answers: Arc<Answers>,
    /// A conversation with long messages.
    long: Bytes,
}

impl Offender {
    /// Signs in, and has somebody else write what is then listed and left unread.
    ///
    /// # Errors
    /// If it could not be tried.
    pub(super) async fn new(server: &Server, run: u64, answers: Arc<Answers>) -> anyhow::Result<Self> {
        let (user, other) = (format!("noisy-{run:016x}"), format!("noisy-{run:016x}-other"));
        let door = Arc::new(Door::new(server, &user)?);
        let helper = Door::new(server, &other)?;
        // Only what the offender asks for counts.
        let unused = Answers::default();
        let mut writer = helper.session(0, true, &unused).await?.context("the broker gives no session")?;
        for number in 0..CONVERSATIONS {
            let made = make(&mut writer.control, number, &[user.as_str()], &unused).await?;
            fill(&mut writer.control, &made, MESSAGES, 100, Priority::Routine, &unused).await?;
        }
        let long = make(&mut writer.control, CONVERSATIONS, &[user.as_str()], &unused).await?;
        fill(&mut writer.control, &long, URGENT as u32, URGENT_BYTES, Priority::Urgent, &unused).await?;
        Ok(Self { door, answers, long })
    }

    /// Does it all at once, until told to stop.
    pub(super) async fn run(self, stop: CancellationToken) {
        let me = Arc::new(self);
        let mut doing = JoinSet::new();
        for number in 0..FLOODS {
            doing.spawn(again(Arc::clone(&me), move |me| async move { me.receipts(1 + number).await }));
            doing.spawn(again(Arc::clone(&me), move |me| async move { me.listings(11 + number).await }));
        }
        doing.spawn(again(Arc::clone(&me), |me| async move { me.groups(21).await }));
        doing.spawn(again(Arc::clone(&me), |me| async move { me.departures(22).await }));
        doing.spawn(again(Arc::clone(&me), |me| async move { me.a_byte_now_and_then(23).await }));
        for number in 0..UNREAD_CONNECTIONS {
            doing.spawn(again(Arc::clone(&me), move |me| async move { me.unread(100 + number).await }));
        }
        for number in 0..CONNECTIONS {
            doing.spawn(again(Arc::clone(&me), move |me| async move { me.connection(1_000 + number).await }));
        }
        stop.cancelled().await;
        doing.shutdown().await;
    }

    async fn session(&self, device: u32) -> anyhow::Result<Raw> {
        match self.door.session(device, true, &self.answers).await? {
            Some(raw) => Ok(raw),
            None => bail!("no session"),
        }
    }

    /// Asks for the same without end, and takes the answers.
    async fn flood(&self, device: u32, request: Request) -> anyhow::Result<()> {
        let raw = self.session(device).await?;
        let mut lanes = JoinSet::new();
        for _ in 0..UNREAD_LANES {
            let Lane { mut asking, mut taking } = raw.lane().await?;
            let (request, answers) = (request.clone(), Arc::clone(&self.answers));
            lanes.spawn(async move { while asking.ask(request.clone()).await.is_ok() {} });
            lanes.spawn(async move { while taking.answer(&answers).await.is_ok() {} });
        }
        raw.ends(&self.answers).await;
        Ok(())
    }

    async fn receipts(&self, device: u32) -> anyhow::Result<()> {
        let all: Vec<u64> = (1..=URGENT).collect();
        let (delivered_only, read_only) = (all.clone(), all);
        let conversation_id = self.long.clone();
        let acknowledge =
            Acknowledge { conversation_id, delivered_only, read_only, ..Acknowledge::default() };
        self.flood(device, Request::Acknowledge(acknowledge)).await
    }

    async fn listings(&self, device: u32) -> anyhow::Result<()> {
        self.flood(device, Request::ListConversations(ListConversations::default())).await
    }

    /// Asks for pages on every lane, and reads none of them.
    async fn unread(&self, device: u32) -> anyhow::Result<()> {
        let raw = self.session(device).await?;
        let mut lanes = JoinSet::new();
        for _ in 0..UNREAD_LANES {
            let Lane { mut asking, taking } = raw.lane().await?;
            let history = History { conversation_id: self.long.clone(), ..History::default() };
            lanes.spawn(async move {
                while asking.ask(Request::History(history.clone())).await.is_ok() {}
                drop(taking);
            });
        }
        raw.ends(&self.answers).await;
        Ok(())
    }

    /// Holds a connection.
    async fn connection(&self, device: u32) -> anyhow::Result<()> {
        self.session(device).await?.ends(&self.answers).await;
        Ok(())
    }

    /// Makes groups of made-up names.
    async fn groups(&self, device: u32) -> anyhow::Result<()> {
        let mut raw = self.session(device).await?;
        loop {
            let names: Vec<String> =
                (0..100).map(|_| format!("nobody-{:016x}", rand::random::<u64>())).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            make(&mut raw.control, rand::random(), &names, &self.answers).await?;
        }
    }

    /// Has people come and go.
    async fn departures(&self, device: u32) -> anyhow::Result<()> {
        let mut raw = self.session(device).await?;
        let conversation_id = make(&mut raw.control, rand::random(), &["somebody"], &self.answers).await?;
        loop {
            let members: Vec<String> =
                (0..50).map(|_| format!("guest-{:016x}", rand::random::<u64>())).collect();
            let add = AddMembers {
                conversation_id: conversation_id.clone(),
                members: members.clone(),
                ..AddMembers::default()
            };
            raw.control.get(Request::AddMembers(add), &self.answers).await?;
            for member in members {
                let remove = RemoveMember { conversation_id: conversation_id.clone(), member };
                raw.control.get(Request::RemoveMember(remove), &self.answers).await?;
            }
        }
    }

    /// Follows everything, and takes a byte of it each second.
    async fn a_byte_now_and_then(&self, device: u32) -> anyhow::Result<()> {
        let Some(raw) = self.door.session(device, false, &self.answers).await? else { bail!("no session") };
        let mut lane = raw.connection.accept_uni().await?;
        let reading = async {
            let mut byte = [0; 1];
            while lane.read_exact(&mut byte).await.is_ok() {
                sleep(Duration::from_secs(1)).await;
            }
        };
        tokio::join!(reading, raw.ends(&self.answers));
        Ok(())
    }
}

/// Does something again and again: what ends it is no matter, it was counted.
async fn again<F: Future<Output = anyhow::Result<()>>>(me: Arc<Offender>, what: impl Fn(Arc<Offender>) -> F) {
    loop {
        // That it ended is what others are spared.
        let _ = what(Arc::clone(&me)).await;
        sleep(PAUSE).await;
    }
}

async fn make(lane: &mut Lane, key: u32, members: &[&str], answers: &Answers) -> anyhow::Result<Bytes> {
    let mut client_conversation_id = [0; 16];
    client_conversation_id[..4].copy_from_slice(&key.to_be_bytes());
    let create = CreateConversation {
        kind: ConversationKind::Group.into(),
        members: members.iter().map(|name| (*name).to_owned()).collect(),
        client_conversation_id: Bytes::copy_from_slice(&client_conversation_id),
        ..CreateConversation::default()
    };
    match lane.get(Request::CreateConversation(create), answers).await? {
        Response::Conversation(made) => Ok(made.conversation_id),
        _ => bail!("no conversation was made"),
    }
}

/// Publishes so many messages, some at a time.
async fn fill(
    lane: &mut Lane,
    conversation: &Bytes,
    messages: u32,
    bytes: usize,
    priority: Priority,
    answers: &Answers,
) -> anyhow::Result<()> {
    const AT_A_TIME: u32 = 50;
    for first in (0..messages).step_by(AT_A_TIME as usize) {
        let some = AT_A_TIME.min(messages - first);
        for _ in 0..some {
            let publish = Publish {
                conversation_id: conversation.clone(),
                client_message_id: Bytes::copy_from_slice(&rand::random::<[u8; 16]>()),
                payload: Bytes::from(vec![0x6e; bytes]),
                priority: priority.into(),
                ..Publish::default()
            };
            lane.asking.ask(Request::Publish(publish)).await?;
        }
        for _ in 0..some {
            lane.taking.answer(answers).await?.context("a message was refused")?;
        }
    }
    Ok(())
}
