//! `encounter`: says what happened to an encounter, and shows what the record says.
//!
//! One verb for each kind of event. Saying something takes the role registrar; who may see what is
//! the broker's to say.

use std::io::{self, StdoutLock};

use clap::{Args, Subcommand};
use wardline_client::record::{
    Context, EncounterEvent, EncounterState, EncounterStatus, Identifier, Place, Subject, What, Which, Word,
};

use super::record::{Event, Number, naming, say};
use super::rows::Line;
use super::session::{Connection, Purpose, Session};
use super::{plain, show};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// It will be.
    Plan(Happened),
    /// The patient came.
    Admit(Happened),
    /// Something about the patient is known better.
    Update(Happened),
    /// The patient is on another ward or in another bed now; wants --ward.
    Transfer(Happened),
    /// The patient left for a while.
    Leave(Happened),
    /// The patient came back.
    Return(Happened),
    /// The patient left for good.
    Discharge(Happened),
    /// The patient never came.
    CancelAdmit(Happened),
    /// The patient is where they were before; wants --ward.
    CancelTransfer(Happened),
    /// The patient did not leave for a while.
    CancelLeave(Happened),
    /// The patient did not come back.
    CancelReturn(Happened),
    /// The patient did not leave for good.
    CancelDischarge(Happened),
    /// Shows what the record says of an encounter, and by which events.
    Show(Show),
    /// Lists encounters that you may see.
    List(List),
}

#[derive(Debug, Args)]
pub(super) struct Happened {
    /// The encounter's number and who gave it, like VN=2026-17.
    #[arg(value_name = "AUTHORITY=NUMBER")]
    encounter: Number,
    /// A number of the patient, and who gave it; the first that is known decides.
    #[arg(long, value_name = "AUTHORITY=NUMBER", required = true)]
    patient: Vec<Number>,
    /// What people call the patient; empty: nothing any more.
    #[arg(long, value_name = "TEXT")]
    label: Option<String>,
    /// The code of the ward where the patient is.
    #[arg(long, value_name = "CODE")]
    ward: Option<String>,
    /// What people call the ward [default: as its code].
    #[arg(long, value_name = "TEXT", requires = "ward")]
    ward_name: Option<String>,
    /// The room.
    #[arg(long, value_name = "TEXT", requires = "bed")]
    room: Option<String>,
    /// The bed.
    #[arg(long, value_name = "TEXT", requires = "ward")]
    bed: Option<String>,
    #[command(flatten)]
    event: Event,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
pub(super) struct Show {
    /// Which: its id, or its number and who gave it.
    #[arg(value_name = "ENCOUNTER")]
    encounter: Asked,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// Only those on the ward with this code; registrars see all of them.
    #[arg(long, value_name = "CODE")]
    ward: Option<String>,
    #[command(flatten)]
    connection: Connection,
}

/// An encounter as it is typed: an id, or a number.
#[derive(Clone, Debug)]
struct Asked(Which);

impl std::str::FromStr for Asked {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = |number: Number| Self(Which::Number(number.0));
        match text.parse() {
            Ok(id) => Ok(Self(Which::Id(id))),
            Err(_) => text.parse().map(number).map_err(|_| {
                "it must be an id of 32 hexadecimal digits, or who gave the number and the number, like VN=2026-17"
            }),
        }
    }
}

impl Command {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let (what, happened) = match self {
            Self::Plan(happened) => (What::Plan, happened),
            Self::Admit(happened) => (What::Admit, happened),
            Self::Update(happened) => (What::Update, happened),
            Self::Transfer(happened) => (What::Transfer, happened),
            Self::Leave(happened) => (What::Leave, happened),
            Self::Return(happened) => (What::Return, happened),
            Self::Discharge(happened) => (What::Discharge, happened),
            Self::CancelAdmit(happened) => (What::CancelAdmit, happened),
            Self::CancelTransfer(happened) => (What::CancelTransfer, happened),
            Self::CancelLeave(happened) => (What::CancelLeave, happened),
            Self::CancelReturn(happened) => (What::CancelReturn, happened),
            Self::CancelDischarge(happened) => (What::CancelDischarge, happened),
            Self::Show(of) => return of.run().await,
            Self::List(list) => return list.run().await,
        };
        let event = happened.event(what);
        say(&happened.connection, async |session| session.client.record_encounter(&event).await).await
    }
}

impl Happened {
    fn event(&self, what: What) -> EncounterEvent {
        let place = self.ward.clone().map(|ward| Place {
            ward,
            ward_name: self.ward_name.clone().unwrap_or_default(),
            room: self.room.clone().unwrap_or_default(),
            bed: self.bed.clone().unwrap_or_default(),
        });
        EncounterEvent {
            source: self.event.source(),
            encounter: self.encounter.0.clone(),
            what,
            place,
            patient: naming(&self.patient, self.label.as_ref()),
        }
    }
}

impl Show {
    async fn run(self) -> anyhow::Result<()> {
        let session = self.connection.open(Purpose::Request).await?;
        let state = session.client.show_encounter(&self.encounter.0).await?;
        print(&state, &mut io::stdout().lock())?;
        session.close().await;
        Ok(())
    }
}

impl List {
    async fn run(self) -> anyhow::Result<()> {
        let session = self.connection.open(Purpose::Request).await?;
        self.print(&session).await?;
        session.close().await;
        Ok(())
    }

    async fn print(&self, session: &Session) -> anyhow::Result<()> {
        let mut after = None;
        loop {
            let page = session.client.contexts(self.ward.as_deref(), 100, after).await?;
            let mut out = io::stdout().lock();
            for context in &page.items {
                Line::said(row(context)).print(&mut out)?;
            }
            after = page.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }
}

fn row(context: &Context) -> String {
    let status = status(context.status);
    let Context { encounter, label, ward, bed, .. } = context;
    let place = [ward, bed].into_iter().filter(|text| !text.is_empty());
    let place = place.map(|text| plain::quoted(text)).collect::<Vec<_>>().join(" ");
    format!("{encounter}  {status:<11}  {}  {place}", plain::quoted(label)).trim_end().to_owned()
}

fn print(state: &EncounterState, out: &mut StdoutLock<'_>) -> io::Result<()> {
    let numbers: Vec<_> = state.identifiers.iter().map(number).collect();
    let mut lines = vec![
        row(&state.context),
        format!("number    {}", number(&state.number)),
        format!("patient   {}  {}", state.patient, numbers.join("  ")),
        format!("heard     {}", show::time(state.first_heard_ms)),
    ];
    lines.extend(state.bed_also_held_by.map(|other| format!("same bed  {other}")));
    lines.extend(state.words.iter().map(word));
    lines.into_iter().try_for_each(|line| Line::said(line).print(out))
}

fn number(identifier: &Identifier) -> String {
    format!("{}={}", plain::quoted(&identifier.authority), plain::quoted(&identifier.value))
}

fn word(word: &Word) -> String {
    let subject = match word.subject {
        Subject::Life => "life",
        Subject::Place => "place",
        Subject::Leave => "leave",
        Subject::Label => "label",
        Subject::CareTeam => "care team",
        Subject::Roster => "roster",
    };
    let Word { said_at_ms, event, by, .. } = word;
    format!("{subject:<9} said {} by event {event} of {by}", show::time(*said_at_ms))
}

fn status(status: EncounterStatus) -> &'static str {
    match status {
        EncounterStatus::Planned => "planned",
        EncounterStatus::InProgress => "in-progress",
        EncounterStatus::OnLeave => "on-leave",
        EncounterStatus::Finished => "finished",
        EncounterStatus::Cancelled => "cancelled",
    }
}
