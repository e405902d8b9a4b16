//! `patient`: says what is known of a patient, and that two are one.
//!
//! Takes the role registrar.

use clap::{Args, Subcommand};
use wardline_client::record::{Merge as Merged, PatientEvent};

use super::record::{Event, Number, naming, say};
use super::session::Connection;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Says by which numbers a patient is known, and what people call them.
    Update(Update),
    /// Says that two patients are one.
    Merge(Merge),
}

#[derive(Debug, Args)]
pub(super) struct Update {
    /// Numbers of the patient, and who gave them; the first that is known decides.
    #[arg(value_name = "AUTHORITY=NUMBER", required = true)]
    numbers: Vec<Number>,
    /// What people call the patient; empty: nothing any more.
    #[arg(long, value_name = "TEXT")]
    label: Option<String>,
    #[command(flatten)]
    event: Event,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
pub(super) struct Merge {
    /// A number of who they are from now on, and who gave it.
    #[arg(long, value_name = "AUTHORITY=NUMBER", required = true)]
    survivor: Vec<Number>,
    /// A number of who is nobody of their own any more, and who gave it.
    #[arg(long, value_name = "AUTHORITY=NUMBER", required = true)]
    retired: Vec<Number>,
    #[command(flatten)]
    event: Event,
    #[command(flatten)]
    connection: Connection,
}

impl Command {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Update(update) => {
                let patient = naming(&update.numbers, update.label.as_ref());
                let event = PatientEvent { source: update.event.source(), patient };
                say(&update.connection, async |session| session.client.record_patient(&event).await).await
            }
            Self::Merge(merge) => {
                let source = merge.event.source();
                let (survivor, retired) = (naming(&merge.survivor, None), naming(&merge.retired, None));
                let merged = Merged { source, survivor, retired };
                say(&merge.connection, async |session| session.client.merge_patients(&merged).await).await
            }
        }
    }
}
