//! A disk that takes no more: the broker says so, ends with the code for it, and what it
//! acknowledged is there.

use bytes::Bytes;
use tempfile::TempDir;
use wardline_client::{NewConversation, Outgoing, Status};

use crate::people::{PATIENCE, Person, options};
use crate::server::Server;

/// Enough to start; soon reached by messages.
const BLOCKS_MAX: u32 = 8 * 1024;
/// `EX_IOERR`.
const STORAGE_FAILED: i32 = 74;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_cannot_be_written_ends_the_broker() {
    let folder = TempDir::new().unwrap();
    let (data, log) = (folder.path().join("data"), folder.path().join("log"));
    let any = "127.0.0.1:0".parse().unwrap();
    let server = tokio::task::block_in_place(|| Server::start_limited(&data, any, log.clone(), BLOCKS_MAX));
    let address = server.address;
    let (ann, _inbox) = Person::connect(options(&data, address, "ann"), "ann").await;
    let new = NewConversation { title: "Ward".into(), members: vec![], retention: None };
    let room = ann.client.create_group(new).await.unwrap().id;

    let (mut acked, mut status) = (Vec::new(), ann.client.status());
    let message = || Outgoing::new(room, "", Bytes::from(vec![7; 32 * 1024]));
    let open = async {
        loop {
            let message = message();
            let id = message.id;
            tokio::select! {
                biased;
                why = status.wait_for(|status| !matches!(status, Status::Connected(_))) => {
                    break why.unwrap().clone();
                }
                ack = ann.client.publish(message) => acked.push((ack.unwrap().sequence, id)),
            }
        }
    };
    let ended = tokio::time::timeout(PATIENCE, open).await.expect("the disk is full by now");
    let Status::Reconnecting { why, .. } = ended else { panic!("{ended:?}") };
    assert!(why.contains("the broker's store failed"), "{why}");
    let status = tokio::task::spawn_blocking(|| server.wait()).await.unwrap();
    let said = std::fs::read_to_string(&log).unwrap();
    assert_eq!(status.code(), Some(STORAGE_FAILED), "{said}");
    assert!(said.contains("see to the disk") && !said.contains("panicked"), "{said}");
    assert!(!acked.is_empty());

    // There is room again.
    let server = tokio::task::block_in_place(|| Server::start(&data, address, log));
    let (reader, _inbox) = Person::connect(options(&data, address, "ann"), "ann").await;
    let found = reader.history(room).await;
    for (sequence, id) in acked {
        assert_eq!(found[sequence as usize - 1].id, id, "{sequence} was acknowledged");
    }
    reader.client.close(PATIENCE).await;
    ann.client.close(PATIENCE).await;
    assert!(server.terminate().success(), "a graceful end");
}
