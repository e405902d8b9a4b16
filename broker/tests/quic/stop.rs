//! A stop ends in time, whatever clients did before.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::net::UdpSocket;
use wardline_broker::broker::Ended;

use crate::raw;
use crate::site::{Site, until, within};

/// A client that gives up before the broker heard of it: the first packet to arrive closes the
/// connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_gave_up_before_it_was_heard_does_not_hold_up_a_stop() {
    let deadline = Duration::from_secs(25);
    let site = Site::memory_with(|settings| settings.stop_deadline = deadline).await;
    let relay = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let (address, broker) = (relay.local_addr().unwrap(), site.broker.address());
    let (gave_up, counts) =
        (Arc::new(AtomicBool::new(false)), Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]));
    let (forward, counted) = (Arc::clone(&gave_up), Arc::clone(&counts));
    let relaying = tokio::spawn(async move {
        let mut packet = [0; 2048];
        loop {
            let length = relay.recv(&mut packet).await.unwrap();
            let forward = forward.load(Ordering::SeqCst);
            if forward {
                relay.send_to(&packet[..length], broker).await.unwrap();
            }
            counted[usize::from(forward)].fetch_add(1, Ordering::SeqCst);
        }
    });
    let (endpoint, connecting) = raw::connecting(&site, address, wardline_proto::ALPN);
    let some = async |which: usize| (counts[which].load(Ordering::SeqCst) > 0).then_some(());
    until("the first packet", async || some(0).await).await;
    gave_up.store(true, Ordering::SeqCst);
    drop(connecting);
    until("the last packet", async || some(1).await).await;
    // Whoever is served now came to the same socket later.
    site.person("ann").await.leave().await;

    let began = Instant::now();
    assert_eq!(within("stopping", site.broker.stop()).await, Ended::Stopped);
    assert!(began.elapsed() < deadline / 2, "it took {:?}", began.elapsed());
    relaying.abort();
    drop(endpoint);
}
