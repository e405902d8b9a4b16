//! A broker that is killed says nothing: the client finds out and connects again.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::net::UdpSocket;

use crate::support::*;
use wardline_client::{ConversationId, Status};

const C: ConversationId = ConversationId([7; 16]);

/// Passes datagrams on between one client and a broker, until it is cut.
struct Cable {
    address: SocketAddr,
    cut: Arc<AtomicBool>,
}

impl Cable {
    async fn to(broker: SocketAddr) -> Self {
        let near = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let far = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        far.connect(broker).await.unwrap();
        let address = near.local_addr().unwrap();
        let cut = Arc::new(AtomicBool::new(false));
        tokio::spawn({
            let cut = Arc::clone(&cut);
            async move {
                let (mut up, mut down) = (vec![0; 65_536], vec![0; 65_536]);
                let mut client = None;
                loop {
                    tokio::select! {
                        Ok((length, from)) = near.recv_from(&mut up) => {
                            client = Some(from);
                            if !cut.load(Ordering::Relaxed) {
                                let _ = far.send(&up[..length]).await;
                            }
                        }
                        Ok(length) = far.recv(&mut down) => {
                            if let Some(client) = client && !cut.load(Ordering::Relaxed) {
                                let _ = near.send_to(&down[..length], client).await;
                            }
                        }
                    }
                }
            }
        });
        Self { address, cut }
    }
}

#[tokio::test]
async fn silence_to_what_was_sent_ends_the_session() {
    let broker = Broker::start();
    let cable = Cable::to(broker.address).await;
    let mut options = broker.options("token".to_owned());
    options.address = cable.address.into();
    options.keep_alive = Duration::from_secs(8);
    let (connected, session) = tokio::join!(wardline_client::connect(options), broker.welcome());
    let (client, _inbox) = connected.unwrap();
    // A broker that thinks for long is not a dead one.
    let pending = client.enqueue(numbered(C, 0)).await.unwrap();
    let mut lane = session.publish_lane().await;
    let (id, _) = lane.publish().await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(matches!(&*client.status().borrow(), Status::Connected(session) if session.generation == 0));
    lane.ack(id, 1).await;
    pending.wait().await.unwrap();

    cable.cut.store(true, Ordering::Relaxed);
    let lost = tokio::time::Instant::now();
    let pending = client.enqueue(numbered(C, 1)).await.unwrap();
    until(&client, "the loss to be noticed", |status| matches!(status, Status::Reconnecting { .. })).await;
    assert!(lost.elapsed() < Duration::from_secs(8), "QUIC alone takes 24 s, this took {:?}", lost.elapsed());
    cable.cut.store(false, Ordering::Relaxed);

    let session = broker.welcome().await;
    let mut lane = session.publish_lane().await;
    let (id, publish) = lane.publish().await;
    assert_eq!(number_of(&publish), 1);
    lane.ack(id, 2).await;
    assert_eq!(soon("the answer", pending.wait()).await.unwrap().sequence, 2);
}

#[tokio::test]
async fn a_keep_alive_without_an_answer_ends_an_idle_session() {
    let broker = Broker::start();
    let cable = Cable::to(broker.address).await;
    let mut options = broker.options("token".to_owned());
    options.address = cable.address.into();
    options.keep_alive = Duration::from_secs(3);
    let (connected, _session) = tokio::join!(wardline_client::connect(options), broker.welcome());
    let (client, _inbox) = connected.unwrap();
    // Quiet for more than two keep-alives, yet alive.
    tokio::time::sleep(Duration::from_secs(7)).await;
    assert!(matches!(&*client.status().borrow(), Status::Connected(session) if session.generation == 0));
    cable.cut.store(true, Ordering::Relaxed);
    until(&client, "the loss to be noticed", |status| matches!(status, Status::Reconnecting { .. })).await;
    cable.cut.store(false, Ordering::Relaxed);
    let _session = broker.welcome().await;
    until(&client, "the second session", |status| matches!(status, Status::Connected(_))).await;
}
