//! A disk that takes no more: the broker says so, ends with the code for it, and what it
//! acknowledged is there.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use tempfile::TempDir;
use wardline_client::{Body, DeviceId, Entry, MessageId, NewConversation, Outgoing, Status};
use wardline_torture::people::{MEMBERS, PATIENCE, dial};
use wardline_torture::trial::{dial_for, site_in};

use crate::{context, history};

/// Enough to start, and less than a log has when it is flushed for want of room; soon reached by
/// messages.
const BLOCKS_MAX: u32 = 2 * 1024;
/// `EX_IOERR`.
const STORAGE_FAILED: i32 = 74;

/// The program, but no file of it can become longer than so many blocks of 512 or 1,024 bytes:
/// writing more fails.
fn limited(program: &Path, folder: &Path) -> PathBuf {
    let path = folder.join("limited");
    // The signal that would kill it is ignored, so that the write itself fails.
    let text =
        format!("#!/bin/sh\ntrap '' XFSZ\nulimit -f {BLOCKS_MAX}\nexec '{}' \"$@\"\n", program.display());
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
    path
}

fn id_of(entry: &Entry) -> Option<MessageId> {
    let Body::Message { id, .. } = entry.body else { return None };
    Some(id)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_cannot_be_written_ends_the_broker() {
    let folder = TempDir::new().unwrap();
    let context = context(folder.path(), 0);
    let mut site = site_in(&context, folder.path(), "failure", &[]).await.unwrap();
    site.program = limited(&context.program, folder.path());
    let mut broker = site.start().await.unwrap();
    let to = dial_for(&site, &broker).await.unwrap();
    let options = || to.options(MEMBERS[0], DeviceId::random()).unwrap();
    let (ann, _inbox) = dial(options()).await.unwrap();
    let new = NewConversation { title: "Ward".into(), members: vec![], retention: None };
    let room = ann.create_group(new).await.unwrap().id;

    let (mut acked, mut status) = (Vec::new(), ann.status());
    let open = async {
        loop {
            let message = Outgoing::new(room, "", Bytes::from(vec![7; 32 * 1024]));
            let id = message.id;
            tokio::select! {
                biased;
                why = status.wait_for(|status| !matches!(status, Status::Connected(_))) => {
                    break why.unwrap().clone();
                }
                ack = ann.publish(message) => acked.push((ack.unwrap().sequence, id)),
            }
        }
    };
    let ended = tokio::time::timeout(PATIENCE, open).await.expect("the disk is full by now");
    let Status::Reconnecting { why, .. } = ended else { panic!("{ended:?}") };
    assert!(why.contains("the broker's store failed"), "{why}");
    let status = broker.ended(Duration::from_secs(30)).await.unwrap();
    let said = site.log_since(0);
    assert_eq!(status.code(), Some(STORAGE_FAILED), "{said}");
    assert!(said.contains("see to the disk") && !said.contains("panicked"), "{said}");
    assert!(!acked.is_empty());

    // There is room again.
    site.program = context.program;
    let mut broker = site.start().await.unwrap();
    let (reader, _inbox) = dial(options()).await.unwrap();
    let found = history(&reader, room).await;
    for (sequence, id) in acked {
        assert_eq!(id_of(&found[sequence as usize - 1]), Some(id), "{sequence} was acknowledged");
    }
    reader.close(PATIENCE).await;
    ann.close(PATIENCE).await;
    broker.stop().await.expect("a graceful end");
}
