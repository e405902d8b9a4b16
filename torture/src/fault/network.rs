//! A bad network between clients and broker, and now and then a kill in the middle of it.
//!
//! Every few seconds the weather changes: loss, delay and overtaking, doubled datagrams, clients
//! that come from another port, partitions. Everything is read back when it clears up.

use std::time::{Duration, Instant};

use rand::RngExt;
use rand::rngs::StdRng;

use crate::programme::{Context, Outcome};
use crate::proxy::{Proxy, Weather};
use crate::trial::{Disk, Fault, Trial};

/// Longest time without a change.
const WEATHER_MAX: Duration = Duration::from_secs(3);
/// Of so many changes of weather one comes with a kill.
const KILL_ONE_IN: u32 = 4;

/// Goes on for so many minutes.
pub async fn run(context: &Context, minutes: f64) -> anyhow::Result<Outcome> {
    let (mut trial, proxy) = Trial::begin_behind_proxy(context, "network", Disk::Folder, &[]).await?;
    let until = Instant::now() + Duration::from_secs_f64(minutes * 60.0);
    let mut figures = Figures::default();
    let cycles = cycles(context, &mut trial, &proxy, until, &mut figures).await;
    proxy.set(Weather::default());
    trial.figures.extend([
        ("partitions", figures.partitions),
        ("changes of port", figures.rebinds),
        ("kills", figures.kills),
    ]);
    let outcome = trial.finish(cycles).await;
    drop(proxy);
    Ok(outcome)
}

#[derive(Default)]
struct Figures {
    partitions: u64,
    rebinds: u64,
    kills: u64,
}

async fn cycles(
    context: &Context,
    trial: &mut Trial,
    proxy: &Proxy,
    until: Instant,
    figures: &mut Figures,
) -> anyhow::Result<()> {
    while Instant::now() < until && !context.is_over() {
        let weather = draw(&mut trial.random);
        figures.partitions += u64::from(weather.is_cut);
        proxy.set(weather);
        trial.live(WEATHER_MAX).await;
        if trial.random.random_bool(0.3) {
            figures.rebinds += 1;
            proxy.rebind();
            trial.live(WEATHER_MAX / 2).await;
        }
        if trial.random.random_ratio(1, KILL_ONE_IN) {
            figures.kills += 1;
            trial.strike(Fault::Kill).await?;
            trial.start_again().await?;
        }
        proxy.set(Weather::default());
        if !trial.check().await? {
            break;
        }
    }
    Ok(())
}

fn draw(random: &mut StdRng) -> Weather {
    let mut weather = Weather::default();
    match random.random_range(0..5) {
        0 => weather.loss = random.random_range(0.01..0.2),
        1 => weather.delay_max = Duration::from_millis(random.random_range(1..150)),
        2 => weather.doubled = random.random_range(0.05..0.5),
        3 => weather.is_cut = true,
        _ => {
            weather.loss = random.random_range(0.0..0.05);
            weather.doubled = random.random_range(0.0..0.1);
            weather.delay_max = Duration::from_millis(random.random_range(0..40));
        }
    }
    weather
}
