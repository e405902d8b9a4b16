//! A bad network: a UDP proxy between clients and broker that loses, delays, reorders and doubles
//! datagrams, changes the port from which the broker sees a client, and cuts them off from each
//! other.
//!
//! Owns its sockets and tasks; they end with it. What it does is drawn from a seed, in the order in
//! which datagrams come. What waits to be sent is bounded; beyond that it is lost, as in any
//! network.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::net::UdpSocket;
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

/// Largest datagram.
const DATAGRAM_BYTES_MAX: usize = 1 << 16;
/// Most datagrams that wait.
const WAITING_MAX: usize = 4_096;

/// How the network is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Weather {
    /// How many of all datagrams are lost, 0 to 1.
    pub(crate) loss: f64,
    /// How many come twice.
    pub(crate) doubled: f64,
    /// Each waits up to so long: later ones may overtake.
    pub(crate) delay_max: Duration,
    /// Nothing passes.
    pub(crate) is_cut: bool,
}

/// See the module's documentation.
pub(crate) struct Proxy {
    shared: Arc<Shared>,
    pub(crate) address: SocketAddr,
    task: JoinHandle<()>,
}

struct Shared {
    front: UdpSocket,
    broker: SocketAddr,
    weather: Mutex<Weather>,
    random: Mutex<StdRng>,
    waiting: Arc<Semaphore>,
    flows: Mutex<Flows>,
}

/// What is known of each client: the socket by which the broker knows it.
#[derive(Default)]
struct Flows {
    back: HashMap<SocketAddr, Arc<UdpSocket>>,
    readers: JoinSet<()>,
}

impl Proxy {
    /// Opens one that leads to a broker.
    pub(crate) async fn open(broker: SocketAddr, seed: u64) -> anyhow::Result<Self> {
        let front = UdpSocket::bind("127.0.0.1:0").await.context("the proxy has no socket")?;
        let address = front.local_addr()?;
        let shared = Arc::new(Shared {
            front,
            broker,
            weather: Mutex::default(),
            random: Mutex::new(StdRng::seed_from_u64(seed)),
            waiting: Arc::new(Semaphore::new(WAITING_MAX)),
            flows: Mutex::default(),
        });
        let task = tokio::spawn(forward(Arc::clone(&shared)));
        Ok(Self { shared, address, task })
    }

    /// Changes how the network is.
    pub(crate) fn set(&self, weather: Weather) {
        *self.shared.weather.lock() = weather;
    }

    /// Lets the broker see every client come from a new port.
    pub(crate) fn rebind(&self) {
        let flows = &mut *self.shared.flows.lock();
        flows.back.clear();
        flows.readers.abort_all();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
        self.rebind();
    }
}

/// Passes on what clients send.
async fn forward(shared: Arc<Shared>) {
    let mut datagram = vec![0; DATAGRAM_BYTES_MAX];
    loop {
        // Linux tells of datagrams that nobody took; the next one may be taken.
        let Ok((length, client)) = shared.front.recv_from(&mut datagram).await else { continue };
        let known = shared.flows.lock().back.get(&client).cloned();
        let back = match known {
            Some(back) => back,
            None => match begin(&shared, client).await {
                Ok(back) => back,
                Err(_) => continue,
            },
        };
        pass(&shared, datagram[..length].to_vec(), move |_, datagram| {
            let back = Arc::clone(&back);
            async move { drop(back.send(&datagram).await) }
        });
    }
}

/// Opens a socket for a client, and passes on what the broker answers.
async fn begin(shared: &Arc<Shared>, client: SocketAddr) -> std::io::Result<Arc<UdpSocket>> {
    let back = Arc::new(UdpSocket::bind("127.0.0.1:0").await?);
    back.connect(shared.broker).await?;
    let (reads, shared_too) = (Arc::clone(&back), Arc::clone(shared));
    let flows = &mut *shared.flows.lock();
    flows.back.insert(client, Arc::clone(&back));
    flows.readers.spawn(async move {
        let mut datagram = vec![0; DATAGRAM_BYTES_MAX];
        loop {
            // Refused while the broker is down.
            let Ok(length) = reads.recv(&mut datagram).await else { continue };
            pass(&shared_too, datagram[..length].to_vec(), move |shared, datagram| async move {
                drop(shared.front.send_to(&datagram, client).await);
            });
        }
    });
    Ok(back)
}

/// Loses, delays or doubles a datagram.
fn pass<F>(shared: &Arc<Shared>, datagram: Vec<u8>, send: impl Fn(Arc<Shared>, Vec<u8>) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let weather = *shared.weather.lock();
    let mut random = shared.random.lock();
    if weather.is_cut || random.random_bool(weather.loss) {
        return;
    }
    let copies = if random.random_bool(weather.doubled) { 2 } else { 1 };
    for _ in 0..copies {
        let Ok(seat) = Arc::clone(&shared.waiting).try_acquire_owned() else { return };
        let delay_max_us = weather.delay_max.as_micros() as u64;
        let delay =
            Duration::from_micros(if delay_max_us == 0 { 0 } else { random.random_range(0..delay_max_us) });
        let sent = send(Arc::clone(shared), datagram.clone());
        tokio::spawn(async move {
            if !delay.is_zero() {
                sleep(delay).await;
            }
            sent.await;
            drop(seat);
        });
    }
}
