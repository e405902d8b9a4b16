//! What the record's systems say, whatever language they say it in: people, encounters, results.
//!
//! Neutral: nothing here says how it was sent. A field that may be left, taken away or set
//! is [`Given`](crate::given::Given). What comes from a patient's record is [`Text`], which no
//! `Debug` shows. Where nobody says who assigned an identifier, it says so.

mod encounter;
mod event;
mod people;
mod results;
mod text;
mod when;

pub use encounter::{Change, Class, Encounter, EncounterEvent, Location, NumberFrom, Status};
pub use event::{Event, Merge, Source, What};
pub use people::{Authority, Identifier, Name, Patient, Provider, Role, RoleAction};
pub use results::{Report, ReportState, Results};
pub use text::Text;
pub use when::{Date, Moment, Precision};
