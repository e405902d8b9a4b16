//! `urgent-worst`: what an urgent message takes, from application to application, while routine
//! traffic uses up whatever it can.
//!
//! Four questions, each with its answer and its bound: beside a flood, behind one's own messages,
//! after an absence, and to somebody who was invited to very many conversations. What is measured
//! with a flood is measured without it in turns, with the same clients, so that the machine is the
//! same for both. The broker's limits are the operator's: `loadgen/limits-minimum.toml` has the
//! least of each.

mod back;
mod beside;
mod invited;
mod report;
mod site;

use std::sync::Arc;

pub use self::report::{Line, Report};
pub use self::site::Asked;
use self::site::Site;
use crate::dialler::Dialler;
use crate::progress::Progress;

/// Answers the four questions.
///
/// # Errors
/// If it could not be tried.
pub async fn run(asked: &Asked, dialler: &Arc<Dialler>, progress: &Progress) -> anyhow::Result<Report> {
    let run = format!("{:08x}", rand::random::<u32>());
    let site = Site { dialler: Arc::clone(dialler), run };
    let mut report = Report::default();
    report.lines.push(beside::flood(asked, &site, progress).await?);
    report.lines.push(beside::own(asked, &site, progress).await?);
    report.lines.push(back::measure(asked, &site, progress).await?);
    report.lines.push(invited::count(asked, &site, progress).await?);
    Ok(report)
}
