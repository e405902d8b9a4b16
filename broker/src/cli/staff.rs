//! `roster` and `care-team`: say who works on a ward, and who cares for a patient beside them.
//!
//! Each names all of them, so nobody is named by a word of its own, not by silence. Takes the role
//! registrar.

use clap::{ArgGroup, Args};
use wardline_client::record::{CareTeam as Team, Roster as Named};

use super::record::{Event, Number, say};
use super::session::Connection;

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("who").required(true).args(["users", "nobody"])))]
pub(super) struct Roster {
    /// The ward's code.
    #[arg(value_name = "WARD")]
    ward: String,
    /// All who work there.
    #[arg(value_name = "USER")]
    users: Vec<String>,
    /// Nobody works there.
    #[arg(long)]
    nobody: bool,
    #[command(flatten)]
    event: Event,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("who").required(true).args(["users", "nobody"])))]
pub(super) struct CareTeam {
    /// The encounter's number and who gave it, like VN=2026-17.
    #[arg(value_name = "AUTHORITY=NUMBER")]
    encounter: Number,
    /// All who care for the patient beside the ward's roster.
    #[arg(value_name = "USER")]
    users: Vec<String>,
    /// Nobody does.
    #[arg(long)]
    nobody: bool,
    #[command(flatten)]
    event: Event,
    #[command(flatten)]
    connection: Connection,
}

impl Roster {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let roster = Named { source: self.event.source(), ward: self.ward, users: self.users };
        say(&self.connection, async |session| session.client.set_roster(&roster).await).await
    }
}

impl CareTeam {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let team = Team { source: self.event.source(), encounter: self.encounter.0, users: self.users };
        say(&self.connection, async |session| session.client.set_care_team(&team).await).await
    }
}
