//! Back at once: idle clients on the SDK's defaults, which say something every 20 s, are back
//! within seconds after a `kill -9`, because the broker that starts tells them.
//!
//! What it knows them by is private, gone after a graceful stop, and does no harm when it is old or
//! made up.

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::time::{sleep, timeout};
use wardline_client::{Client, DeviceId, Inbox, Options, Status, Trust, connect};
use wardline_torture::broker::{Broker, Site};
use wardline_torture::people::MEMBERS;
use wardline_torture::trial::{dial_for, site_in};

use crate::context;

/// Devices of each member.
const DEVICES: usize = 6;
/// Longest time until everybody is back; far below the 20 s after which an idle client asks.
const BACK_WITHIN: Duration = Duration::from_secs(8);
/// Longer than both rounds of resets for so few.
const TOLD_WITHIN: Duration = Duration::from_secs(2);
/// A head, and 32 bytes for each.
const ROLL_MAX: u64 = 256 + 32 * (DEVICES * MEMBERS.len()) as u64;

/// Clients who do nothing.
struct Idle(Vec<(Client, Inbox)>);

impl Idle {
    /// Connects them, with the SDK's own defaults.
    async fn connect(site: &Site, broker: &Broker) -> Self {
        let dial = dial_for(site, broker).await.unwrap();
        let mut clients = Vec::new();
        for user in MEMBERS {
            for _ in 0..DEVICES {
                let (trust, token) = (Trust::Pem(dial.authority.clone()), dial.tokens[&user].clone());
                let options = Options::new(broker.address, "localhost", trust, token, DeviceId::random());
                clients.push(connect(options).await.unwrap());
            }
        }
        Self(clients)
    }

    /// Waits until all have opened more sessions than so many.
    async fn back(&self, generations: u64) {
        let all = async {
            for (client, _) in &self.0 {
                let mut status = client.status();
                let back = |status: &Status| matches!(status, Status::Connected(session) if session.generation >= generations);
                status.wait_for(back).await.unwrap();
            }
        };
        assert!(timeout(BACK_WITHIN, all).await.is_ok(), "not all are back after {BACK_WITHIN:?}");
    }

    fn are_all_in_session(&self, generation: u64) -> bool {
        self.0.iter().all(|(client, _)| {
            matches!(&*client.status().borrow(), Status::Connected(session) if session.generation == generation)
        })
    }
}

async fn site(folder: &Path) -> Site {
    site_in(&context(folder, 1), folder, "comeback", &[]).await.unwrap()
}

fn roll(site: &Site) -> PathBuf {
    site.data.join("roll")
}

/// Waits until the roll, whose thread writes it beside all else, has so many entries.
async fn entries(site: &Site, count: usize) {
    let begun = Instant::now();
    let noted = || {
        let bytes = fs::read(roll(site)).unwrap_or_default();
        bytes.get(256..).unwrap_or_default().chunks(32).filter(|slot| slot.iter().any(|it| *it != 0)).count()
    };
    while noted() != count {
        assert!(begun.elapsed() < BACK_WITHIN, "{} entries instead of {count}", noted());
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_clients_are_back_at_once_after_a_kill() {
    let folder = TempDir::new().unwrap();
    let mut site = site(folder.path()).await;
    let mut broker = site.start().await.unwrap();
    let idle = Idle::connect(&site, &broker).await;
    broker.kill().await.unwrap();
    broker = site.start().await.unwrap();
    idle.back(1).await;
    // Some are on the roll of the broker before, some on that of the one that is killed at once.
    for generations in 2..4 {
        broker.kill().await.unwrap();
        broker = site.start().await.unwrap();
        broker.kill().await.unwrap();
        broker = site.start().await.unwrap();
        idle.back(generations).await;
    }
    broker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_roll_is_private_and_bounded_and_gone_after_a_stop() {
    let folder = TempDir::new().unwrap();
    let mut site = site(folder.path()).await;
    let mut broker = site.start().await.unwrap();
    let idle = Idle::connect(&site, &broker).await;
    entries(&site, idle.0.len()).await;
    for _ in 0..3 {
        broker.kill().await.unwrap();
        broker = site.start().await.unwrap();
    }
    idle.back(1).await;
    sleep(TOLD_WITHIN).await;
    // Those who were told are not on it any more.
    entries(&site, idle.0.len()).await;
    let metadata = fs::metadata(roll(&site)).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    assert!(metadata.len() <= 2 * ROLL_MAX, "{} bytes", metadata.len());
    let bytes = fs::read(roll(&site)).unwrap();
    let in_the_clear = |ip: &[u8]| bytes[256..].windows(ip.len()).any(|window| window == ip);
    assert!(!in_the_clear(&[127, 0, 0, 1]), "addresses of clients stand in the roll in the clear");
    broker.stop().await.unwrap();
    assert_eq!(fs::metadata(roll(&site)).unwrap().len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_roll_or_a_forged_one_does_no_harm() {
    let folder = TempDir::new().unwrap();
    let mut site = site(folder.path()).await;
    let mut broker = site.start().await.unwrap();
    let idle = Idle::connect(&site, &broker).await;
    entries(&site, idle.0.len()).await;
    broker.kill().await.unwrap();
    let old = fs::read(roll(&site)).unwrap();
    broker = site.start().await.unwrap();
    idle.back(1).await;
    broker.stop().await.unwrap();

    // They come back to this one by themselves; what the roll says of them is of the one before.
    let victim = UdpSocket::bind("127.0.0.1:0").unwrap();
    victim.set_nonblocking(true).unwrap();
    let forged = (0..1_000).flat_map(|_| forge(victim.local_addr().unwrap()));
    fs::write(roll(&site), old.into_iter().chain(forged).collect::<Vec<_>>()).unwrap();
    let log_from = site.log_len();
    broker = site.start().await.unwrap();
    idle.back(2).await;
    sleep(TOLD_WITHIN).await;
    assert!(site.log_since(log_from).contains("clients-reset"), "{}", site.log_since(log_from));
    assert!(idle.are_all_in_session(2), "an old entry ended a session");
    let told = victim.recv(&mut [0; 2_000]);
    assert_eq!(told.unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "a packet for a forged entry");
    entries(&site, idle.0.len()).await;
    broker.stop().await.unwrap();
}

/// An entry by somebody who knows the layout, and not the secrets.
fn forge(victim: SocketAddr) -> [u8; 32] {
    let SocketAddr::V4(victim) = victim else { panic!("{victim}") };
    let mut entry = [1; 32];
    entry[4..20].copy_from_slice(&victim.ip().to_ipv6_mapped().octets());
    entry[20..22].copy_from_slice(&victim.port().to_be_bytes());
    entry
}
