//! A device that comes back: how long after its session opened it has the urgent message, and that
//! everything comes once.

use std::collections::HashSet;
use std::time::Instant;

use anyhow::{Context, ensure};
use serde_json::json;
use tokio::time::timeout;
use wardline_client::{DeviceId, Incoming, Priority};

use super::report::{Line, Times};
use super::site::{Asked, PATIENCE, Site, call, is_call, message};
use crate::progress::Progress;

/// How often a device comes back.
const RETURNS: u32 = 10;
/// Within this it must have been called.
const CALLED_MS_MAX: f64 = 300.0;

/// Measures it.
pub(super) async fn measure(asked: &Asked, site: &Site, progress: &Progress) -> anyhow::Result<Line> {
    let (writer, _own) = site.person("author").await?;
    let mut times = Times::default();
    progress.begin("coming back", RETURNS as usize);
    for number in 0..RETURNS {
        let name = format!("absent-{number}");
        let ward = site.group(&writer, &[&name]).await?;
        let mut last = None;
        for entry in 0..asked.backlog {
            last = Some(writer.enqueue(message(ward, entry, Priority::Routine)).await?);
        }
        if let Some(last) = last {
            last.wait().await.context("the backlog could not be published")?;
        }
        call(&writer, ward, number).await?;
        let (client, mut inbox) = site.person_with(&name, DeviceId::random()).await?;
        let began = Instant::now();
        let (mut seen, mut called) = (HashSet::new(), None);
        let backlog = async {
            while let Some(incoming) = inbox.next().await {
                if is_call(&incoming, ward, number) {
                    called.get_or_insert_with(Instant::now);
                }
                match incoming {
                    Incoming::Entry(entry) if !seen.insert(entry.sequence) => return Err(entry.sequence),
                    Incoming::CaughtUp => return Ok(()),
                    _ => {}
                }
            }
            Ok(())
        };
        let once = timeout(PATIENCE, backlog).await.context("the backlog did not come to its end")?;
        ensure!(once.is_ok(), "entry {once:?} came twice");
        ensure!(seen.len() > asked.backlog as usize, "{} of {} entries came", seen.len(), asked.backlog + 1);
        times.add(called.context("the urgent message did not come")? - began);
        client.close(PATIENCE).await;
        progress.at(number as usize + 1, &json!({}));
    }
    let worst = times.percentile(100);
    let found = format!("at most {worst:.1} ms after the session opened, backlog {} entries", asked.backlog);
    let (figure, figure_max) = (worst, CALLED_MS_MAX);
    Ok(Line {
        question: "urgent to a device that comes back",
        found,
        figure,
        figure_max,
        samples: times.len(),
    })
}
