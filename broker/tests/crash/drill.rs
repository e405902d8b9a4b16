//! The drill: back up a broker under traffic, destroy it, restore, and find everything that was
//! acknowledged before.
//!
//! With the real binary, over QUIC with the SDK. Then the backup is damaged file by file, and each
//! damage refused by name. `WARDLINE_SEED` and `WARDLINE_ROUNDS` are honoured; the seed is printed.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use wardline_client::{Client, ConversationId, MessageId, NewConversation, Outgoing};

use crate::people::{PATIENCE, Person, options};
use crate::server::Server;
use crate::{until, variable};

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

/// What somebody sent, and what was acknowledged of it.
#[derive(Default)]
struct Sent {
    invoked: HashMap<MessageId, Bytes>,
    acked: BTreeMap<u64, MessageId>,
}

async fn drill(seed: u64) -> String {
    let (mut random, folder) = (StdRng::seed_from_u64(seed), TempDir::new().unwrap());
    let (data, backups) = (folder.path().join("data"), folder.path().join("backups"));
    let start =
        |listen| tokio::task::block_in_place(|| Server::start(&data, listen, folder.path().join("log")));
    let server = start("127.0.0.1:0".parse().unwrap());
    let address = server.address;
    let (ann, _inbox) = Person::connect(options(&data, address, "ann"), "ann").await;
    let (bob, _inbox) = Person::connect(options(&data, address, "bob"), "bob").await;
    let new = NewConversation { title: "Ward".into(), members: vec!["bob".into()], retention: None };
    let room = ann.client.create_group(new).await.unwrap().id;

    let (sent, quiet) = (Arc::new(Mutex::new(Sent::default())), CancellationToken::new());
    let own_seed = random.random();
    let talking = tokio::spawn(talk(ann.client.clone(), room, Arc::clone(&sent), own_seed, quiet.clone()));
    let acked = || sent.lock().acked.len();
    let grow = async |by: usize| {
        let more = acked() + by;
        until("more messages to be acknowledged", || acked() >= more).await;
    };
    grow(random.random_range(20..200)).await;
    succeeds(folder.path(), &["backup", "--data", "data", "--to", "backups"]).await;
    grow(random.random_range(20..200)).await;
    let read = *sent.lock().acked.keys().next_back().unwrap();
    let read = bob.client.acknowledge(room, None, Some(read)).await.unwrap().read_up_to;

    // From here on the promise counts.
    let promised = sent.lock().acked.clone();
    let said = succeeds(folder.path(), &["backup", "--data", "data", "--to", "backups"]).await;
    grow(random.random_range(20..200)).await;
    quiet.cancel();
    server.kill();
    ann.client.close(Duration::ZERO).await;
    bob.client.close(Duration::ZERO).await;
    talking.await.unwrap();
    // Keys are the operator's to keep; the messages are gone.
    fs::rename(data.join("dev"), folder.path().join("dev")).unwrap();
    fs::remove_dir_all(&data).unwrap();

    refuse_damage(folder.path(), &backups, &mut random).await;
    succeeds(folder.path(), &["restore", "backups", "--to", "data"]).await;
    fs::rename(folder.path().join("dev"), data.join("dev")).unwrap();
    let server = start(address);
    let (ann, _inbox) = Person::connect(options(&data, server.address, "ann"), "ann").await;
    let found = ann.history(room).await;
    assert!(found.iter().map(|message| message.sequence).eq(1..=found.len() as u64), "seed {seed}: holes");
    for message in &found {
        let payload = sent.lock().invoked.get(&message.id).cloned();
        assert_eq!(payload.as_ref(), Some(&message.payload), "seed {seed}: {} is foreign", message.sequence);
    }
    for (sequence, id) in &promised {
        let there = found.get(*sequence as usize - 1).map(|message| message.id);
        assert_eq!(there, Some(*id), "seed {seed}: {sequence} was acknowledged before the backup");
    }
    let (bob, _inbox) = Person::connect(options(&data, server.address, "bob"), "bob").await;
    let listed = bob.client.conversations(0, None).await.unwrap().items;
    assert!(listed[0].read_up_to >= read, "seed {seed}: read up to {read}, then {}", listed[0].read_up_to);
    let next = ann.client.publish(Outgoing::new(room, "", "and on it goes")).await.unwrap();
    assert_eq!(next.sequence, found.len() as u64 + 1);
    let lost = acked() - promised.len();
    ann.client.close(PATIENCE).await;
    bob.client.close(PATIENCE).await;
    assert!(server.terminate().success(), "a graceful end");
    format!(
        "{} acknowledged before the backup, all there; {lost} acknowledged after its begin; {}",
        promised.len(),
        said.trim().rsplit('/').next().unwrap_or_default(),
    )
}

/// Publishes without pause until told to be quiet.
async fn talk(
    client: Client,
    room: ConversationId,
    sent: Arc<Mutex<Sent>>,
    seed: u64,
    quiet: CancellationToken,
) {
    let mut random = StdRng::seed_from_u64(seed);
    while !quiet.is_cancelled() {
        let length = random.random_range(0..2_000);
        let payload = Bytes::from((0..length).map(|_| random.random()).collect::<Vec<u8>>());
        let message = Outgoing::new(room, "", payload.clone());
        let id = message.id;
        sent.lock().invoked.insert(id, payload);
        // Once the broker is gone, what is under way has no answer.
        let Some(Ok(ack)) = quiet.run_until_cancelled(client.publish(message)).await else { return };
        sent.lock().acked.insert(ack.sequence, id);
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
        for command in [&["restore", "backups", "--to", "data"][..], &["verify", "backups"]] {
            let output = run(folder, command).await;
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8_lossy(&said);
            assert_eq!(output.status.code(), Some(1), "{name}: {said}");
            assert!(said.contains(&name), "{name} is not named: {said}");
            assert!(!folder.join("data").exists(), "{name}: a damaged backup was restored");
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
