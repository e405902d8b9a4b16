//! The drill: back up a broker under traffic, destroy it, restore, and find everything that was
//! acknowledged before.
//!
//! With the real binary, over QUIC with the SDK, and judged by the oracle. Before it is restored
//! the backup is damaged file by file, and each damage refused by name. `WARDLINE_SEED` and
//! `WARDLINE_ROUNDS` are honoured; the seed is printed.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use wardline_client::{Client, ConversationId, DeviceId, NewConversation, Outgoing};
use wardline_torture::audit;
use wardline_torture::event::{Event, Life, User};
use wardline_torture::journal::Journal;
use wardline_torture::people::{
    Kind, MEMBERS, PATIENCE, Room, dial, note_answer, note_invoked, say_read, until,
};
use wardline_torture::trial::{dial_for, site_in};

use crate::{context, history, variable};

const ROUNDS: u64 = 2;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_before_the_backup_is_there_after_the_restore() {
    let seed = variable("WARDLINE_SEED").unwrap_or_else(rand::random);
    let rounds = variable("WARDLINE_ROUNDS").unwrap_or(ROUNDS);
    println!("WARDLINE_SEED={seed} WARDLINE_ROUNDS={rounds}");
    for round in 0..rounds {
        let seen = drill(seed.wrapping_add(round)).await;
        println!("round {round}: {seen}");
    }
}

async fn drill(seed: u64) -> String {
    const ANN: User = MEMBERS[0];
    const BOB: User = MEMBERS[1];
    let (mut random, folder) = (StdRng::seed_from_u64(seed), TempDir::new().unwrap());
    let backups = folder.path().join("backups");
    let mut site = site_in(&context(folder.path(), seed), folder.path(), "drill", &[]).await.unwrap();
    let mut broker = site.start().await.unwrap();
    let to = dial_for(&site, &broker).await.unwrap();
    let connect = async |user| dial(to.options(user, DeviceId::random()).unwrap()).await.unwrap();
    let ((ann, _inbox), (bob, _other)) = (connect(ANN).await, connect(BOB).await);
    let journal = Arc::new(Journal::create(&folder.path().join("journal")).unwrap());
    let room = make(&ann, &journal).await;

    let talk = Talk {
        user: ANN,
        journal: Arc::clone(&journal),
        room: room.id,
        counts: Arc::new(AtomicBool::new(true)),
    };
    let (counts, quiet) = (Arc::clone(&talk.counts), CancellationToken::new());
    let talking = tokio::spawn(talk.run(ann.clone(), random.random(), quiet.clone()));
    let answered = || journal.oracle(|oracle| oracle.tally().acked + oracle.tally().unknown);
    let grow = async |by: u64| {
        let more = answered() + by;
        until("more messages to be acknowledged", || answered() >= more).await.unwrap();
    };
    grow(random.random_range(20..200)).await;
    let backup = ["backup", "--data", "drill-data", "--to", "backups"];
    succeeds(folder.path(), &backup).await;
    grow(random.random_range(20..200)).await;
    let read = journal.oracle(|oracle| oracle.last_place(room.id));
    say_read(&journal, &bob, BOB, room.id, read).await.unwrap();

    // What is acknowledged from here on is not promised.
    counts.store(false, Ordering::SeqCst);
    let promised = journal.oracle(|oracle| oracle.tally().acked);
    let said = succeeds(folder.path(), &backup).await;
    grow(random.random_range(20..200)).await;
    quiet.cancel();
    broker.kill().await.unwrap();
    journal.note(Event::Killed);
    ann.close(Duration::ZERO).await;
    bob.close(Duration::ZERO).await;
    talking.await.unwrap();
    fs::remove_dir_all(&site.data).unwrap();

    refuse_damage(folder.path(), &backups, &mut random).await;
    succeeds(folder.path(), &["restore", "backups", "--to", "drill-data"]).await;
    let mut broker = site.start().await.unwrap();
    let auditors = audit::auditors(&to, &journal).await.unwrap();
    audit::audit(&auditors, &[room]).await.unwrap();
    let (tally, objections, troubles) = journal.verdict();
    assert!(objections.is_empty() && troubles.is_empty(), "seed {seed}: {objections:#?} {troubles:?}");
    let (ann, _inbox) = connect(ANN).await;
    let found = history(&ann, room.id).await;
    assert_eq!(tally.entries_read, (found.len() * auditors.len()) as u64, "everybody reads everything");
    let next = ann.publish(Outgoing::new(room.id, "", "and on it goes")).await.unwrap();
    assert_eq!(next.sequence, found.len() as u64 + 1);
    ann.close(PATIENCE).await;
    for auditor in &auditors {
        auditor.client().close(PATIENCE).await;
    }
    broker.stop().await.expect("a graceful end");
    format!(
        "{promised} acknowledged before the backup, all there; {} after its begin, {} of them there; {}",
        tally.unknown,
        tally.unknown_found,
        said.trim().rsplit('/').next().unwrap_or_default(),
    )
}

/// A conversation of all members.
async fn make(owner: &Client, journal: &Journal) -> Room {
    let members = MEMBERS[1..].iter().map(|user| user.0.to_owned()).collect();
    let new = NewConversation { title: "Ward".into(), members, retention: None };
    let made = owner.create_group(new).await.unwrap();
    let retention_ms = made.retention.as_millis() as u64;
    journal.note(Event::Opened { room: made.id, members: MEMBERS.into(), retention_ms });
    Room { id: made.id, kind: Kind::Steady }
}

/// Somebody who publishes without pause.
struct Talk {
    user: User,
    journal: Arc<Journal>,
    room: ConversationId,
    /// Whether what is acknowledged is promised; else it is as good as never answered.
    counts: Arc<AtomicBool>,
}

impl Talk {
    /// Until told to be quiet, or the broker is gone.
    async fn run(self, client: Client, seed: u64, quiet: CancellationToken) {
        let mut random = StdRng::seed_from_u64(seed);
        while !quiet.is_cancelled() {
            let mut payload = vec![0; random.random_range(0..2_000)];
            random.fill(&mut payload[..]);
            let message = Outgoing::new(self.room, "", payload);
            let id = message.id;
            note_invoked(&self.journal, self.user, Life(1), &message);
            let answer = quiet.run_until_cancelled(client.publish(message)).await;
            match answer {
                Some(answer) if self.counts.load(Ordering::SeqCst) => note_answer(&self.journal, id, answer),
                _ => drop(self.journal.note(Event::Unknown { id })),
            }
        }
    }
}

/// Damages each file of the newest backup in turn; none of that is ever restored.
async fn refuse_damage(folder: &Path, backups: &Path, random: &mut StdRng) {
    let mut all: Vec<_> = fs::read_dir(backups).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.sort();
    let newest = all.pop().unwrap();
    for entry in fs::read_dir(&newest).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let good = fs::read(&path).unwrap();
        let mut bad = good.clone();
        match bad.len() {
            0 => bad.push(0),
            length => bad[random.random_range(0..length)] ^= 1 << random.random_range(0..8),
        }
        fs::write(&path, bad).unwrap();
        for command in [&["restore", "backups", "--to", "drill-data"][..], &["verify", "backups"]] {
            let output = run(folder, command).await;
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8_lossy(&said);
            assert_eq!(output.status.code(), Some(1), "{name}: {said}");
            assert!(said.contains(&name), "{name} is not named: {said}");
            assert!(!folder.join("drill-data").exists(), "{name}: a damaged backup was restored");
        }
        fs::write(&path, good).unwrap();
    }
    succeeds(folder, &["verify", "backups"]).await;
}

async fn succeeds(folder: &Path, arguments: &[&str]) -> String {
    let output = run(folder, arguments).await;
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

async fn run(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wardline"));
    command.current_dir(folder).args(arguments);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("WARDLINE_") {
            command.env_remove(name);
        }
    }
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}
