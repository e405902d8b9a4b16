//! Somebody who was invited to very many conversations: whether urgent messages reach them, while
//! they are there and when they come back.

use std::sync::Arc;

use anyhow::Context;
use serde_json::json;
use tokio::task::JoinSet;
use wardline_client::{Client, NewConversation};

use super::report::Line;
use super::site::{Asked, Site, call, called};
use crate::progress::Progress;

/// Urgent messages while they are there, and as many before they come back.
const CALLS: u32 = 20;
/// Those who invite; a broker may bound how many conversations one makes.
const INVITERS: u32 = 50;

/// Counts those that do not come.
pub(super) async fn count(asked: &Asked, site: &Site, progress: &Progress) -> anyhow::Result<Line> {
    let (caller, _own) = site.person("colleague").await?;
    let team = site.group(&caller, &["invited"]).await?;
    let mut inviters = JoinSet::new();
    let each = asked.invitations.div_ceil(INVITERS);
    progress.begin("inviting", asked.invitations as usize);
    for number in 0..INVITERS {
        let (client, _inbox) = site.person(&format!("inviter-{number}")).await?;
        inviters.spawn(invite(Arc::new(client), site.name("invited"), each));
    }
    let mut done = 0;
    while let Some(invited) = inviters.join_next().await {
        invited.context("a task that invites has panicked")??;
        done += each as usize;
        progress.at(done, &json!({}));
    }
    for number in 0..CALLS {
        call(&caller, team, number).await?;
    }
    let (_invited, mut inbox) = site.person("invited").await?;
    let mut missing = 0;
    // The newest comes first.
    for number in (0..CALLS).rev() {
        missing += u32::from(called(&mut inbox, team, number).await.is_err());
    }
    for number in CALLS..2 * CALLS {
        call(&caller, team, number).await?;
        missing += u32::from(called(&mut inbox, team, number).await.is_err());
    }
    let found = format!("{} of {} came, {} conversations", 2 * CALLS - missing, 2 * CALLS, asked.invitations);
    let question = "urgent to somebody who was invited to many";
    Ok(Line { question, found, figure: f64::from(missing), figure_max: 0.0, samples: 2 * CALLS as usize })
}

async fn invite(client: Arc<Client>, whom: String, count: u32) -> anyhow::Result<()> {
    for _ in 0..count {
        let new = NewConversation { title: "come in".into(), members: vec![whom.clone()], retention: None };
        client.create_group(new).await.context("an invitation was refused")?;
    }
    Ok(())
}
