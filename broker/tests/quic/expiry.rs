//! What is to be forgotten is forgotten: at its instant by every read, and within the bound by
//! every file.

use std::fs;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use wardline_client::{Body, Code, ConversationId, Outgoing};

use crate::site::{Person, Site, device_of, now_ms, refused, until, within};

/// How often bytes are reclaimed here; gone within twice this.
const RECLAIM_EVERY: Duration = Duration::from_secs(3);
const MARKERS: usize = 40;

/// A payload that stands nowhere else.
fn marker() -> [u8; 32] {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).unwrap();
    bytes
}

/// Whether any file below a folder contains any of these.
fn is_anywhere(folder: &Path, markers: &[[u8; 32]]) -> bool {
    let Ok(entries) = fs::read_dir(folder) else { return false };
    entries.flatten().any(|entry| {
        let path = entry.path();
        if path.is_dir() {
            return is_anywhere(&path, markers);
        }
        // A file that is gone by now contains nothing.
        let content = fs::read(&path).unwrap_or_default();
        markers.iter().any(|marker| contains(&content, marker))
    })
}

fn contains(content: &[u8], marker: &[u8; 32]) -> bool {
    let mut rest = content;
    while let Some(at) = rest.iter().position(|byte| *byte == marker[0]) {
        rest = &rest[at..];
        if rest.starts_with(marker) {
            return true;
        }
        rest = &rest[1..];
    }
    false
}

async fn plant(person: &Person, group: ConversationId, expires_in: Option<Duration>) -> ([u8; 32], u64, u64) {
    let marker = marker();
    let mut message = Outgoing::new(group, "application/octet-stream", Bytes::copy_from_slice(&marker));
    message.expires_in = expires_in;
    let ack = within("publishing", person.client.publish(message)).await.unwrap();
    (marker, ack.sequence, ack.time_ms)
}

fn payloads(entries: &[wardline_client::Entry]) -> Vec<Bytes> {
    let payload = |entry: &wardline_client::Entry| match &entry.body {
        Body::Message { payload, .. } => Some(payload.clone()),
        _ => None,
    };
    entries.iter().filter_map(payload).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn expired_payloads_are_gone_from_every_read_at_once_and_from_every_file_in_time() {
    let expires_in = Duration::from_millis(2500);
    let site = Site::rocksdb_with(|settings| settings.reclaim_every = RECLAIM_EVERY).await;
    let folder = site.folder.as_ref().unwrap().path().to_owned();
    let (ann, bob) = (site.person("ann").await, site.person("bob").await);
    // This device is known from before, and was never here since: it is owed everything.
    Person::connect(site.options("bob", 2)).await.leave().await;
    let group = ann.group(&["bob"]).await;
    let (mut short, mut kept) = (Vec::new(), Vec::new());
    for _ in 0..MARKERS {
        short.push(plant(&ann, group, Some(expires_in)).await);
        kept.push(plant(&ann, group, None).await);
    }
    let last_expiry = short.iter().map(|(_, _, time_ms)| time_ms).max().unwrap() + 2500;
    let markers: Vec<_> = short.iter().map(|(marker, ..)| *marker).collect();
    assert!(is_anywhere(&folder, &markers), "what is acknowledged is in a file");
    let receipt = ann.client.acknowledge(group, None, Some(2 * MARKERS as u64));
    within("a receipt", receipt).await.unwrap();

    until("the instant of expiry", async || (now_ms() >= last_expiry).then_some(())).await;
    // Nothing was reclaimed yet or everything was: no read tells.
    let expected: Vec<_> = kept.iter().map(|(marker, ..)| Bytes::copy_from_slice(marker)).collect();
    assert_eq!(payloads(&bob.history(group).await), expected);
    let mut tablet = Person::connect(site.options("bob", 2)).await;
    assert_eq!(payloads(&tablet.backlog().await), expected, "delivery");
    assert_eq!(bob.listed(group).await.unread as usize, MARKERS, "counts");
    for (_, sequence, _) in &short {
        refused(Code::NotFound, ann.client.receipts(group, *sequence, 0, None)).await;
    }

    let bound = last_expiry + 2 * RECLAIM_EVERY.as_millis() as u64;
    until("the bound", async || (now_ms() >= bound).then_some(())).await;
    assert!(!is_anywhere(&folder, &markers), "the bytes are gone from every file");

    // The neighbours are on the disk.
    let site = site.reopen().await;
    let bob = site.person("bob").await;
    assert_eq!(payloads(&bob.history(group).await), expected);
    assert!(!is_anywhere(&folder, &markers), "nothing brings them back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleted_payloads_are_gone_from_every_file_in_time() {
    let site = Site::rocksdb_with(|settings| settings.reclaim_every = RECLAIM_EVERY).await;
    let folder = site.folder.as_ref().unwrap().path().to_owned();
    let (ann, bob) = (site.person("ann").await, site.person("bob").await);
    let group = ann.group(&["bob"]).await;
    let (mut deleted, mut kept) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        let (marker, sequence, _) = plant(&ann, group, None).await;
        deleted.push(marker);
        kept.push(plant(&ann, group, None).await.0);
        within("deleting", ann.client.delete(group, sequence)).await.unwrap();
    }
    let bound = now_ms() + 2 * RECLAIM_EVERY.as_millis() as u64;
    let expected: Vec<_> = kept.iter().map(|marker| Bytes::copy_from_slice(marker)).collect();
    assert_eq!(payloads(&bob.history(group).await), expected);
    until("the bound", async || (now_ms() >= bound).then_some(())).await;
    assert!(!is_anywhere(&folder, &deleted), "the bytes are gone from every file");
    let site = site.reopen().await;
    let bob = Person::connect(site.options_with(site.issuer.token("bob"), device_of("bob", 3))).await;
    assert_eq!(payloads(&bob.history(group).await), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shortened_retention_reaches_every_file_in_time() {
    let site = Site::rocksdb_with(|settings| settings.reclaim_every = RECLAIM_EVERY).await;
    let folder = site.folder.as_ref().unwrap().path().to_owned();
    let ann = site.person("ann").await;
    let (group, other) = (ann.group(&[]).await, ann.group(&[]).await);
    let mut markers = Vec::new();
    for _ in 0..5 {
        markers.push(plant(&ann, group, None).await.0);
    }
    let (neighbour, ..) = plant(&ann, other, None).await;
    let kept = Duration::from_secs(1);
    within("retention", ann.client.set_retention(group, Some(kept))).await.unwrap();
    let bound = now_ms() + 1000 + 2 * RECLAIM_EVERY.as_millis() as u64;
    until("the bound", async || (now_ms() >= bound).then_some(())).await;
    assert!(payloads(&ann.history(group).await).is_empty());
    assert!(!is_anywhere(&folder, &markers), "the bytes are gone from every file");
    assert!(is_anywhere(&folder, &[neighbour]), "and the search can find");
}
