//! When an event was, and who tells of it.
//!
//! What has happened has happened before now, as far as clocks agree; where only the day of an
//! event is said, and it was recorded on that day, it was when it was recorded.

use aws_lc_rs::digest::{self, SHA256};

use super::super::flaw::{Flaw, Reason};
use super::super::header::Header;
use super::super::message::Message;
use super::super::place::Place;
use super::super::time::{Stamp, Zones};
use crate::record::{Moment, Precision, Source};

/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;

/// What reading a message needs beside it.
#[derive(Clone, Debug)]
pub struct Context {
    /// Zones of times without one.
    pub zones: Zones,
    /// What the clock says, in milliseconds since 1970.
    pub now_ms: i64,
    /// How far ahead of that an event may lie, in milliseconds: as far as clocks may differ.
    pub ahead_ms_max: i64,
}

/// Who tells of an event that was recorded and took place at these times.
pub(in super::super) fn source_at(
    trigger: &'static str,
    message: &Message,
    header: &Header,
    [recorded, occurred]: [Moment; 2],
    context: &Context,
) -> Source {
    Source {
        application: header.application.clone(),
        facility: header.facility.clone(),
        id: header.control_id.clone(),
        digest: digest(message),
        trigger,
        sent: header.sent.and_then(|sent| sent.moment(&context.zones)),
        recorded,
        occurred,
    }
}

fn digest(message: &Message) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest::digest(&SHA256, message.bytes()).as_ref());
    bytes
}

/// Where only the day of an event is said, and it was recorded on that day: then it was when it was
/// recorded, and stays in order among the events of that day.
pub(super) fn occurred(said: Moment, recorded: Moment) -> Moment {
    let is_that_day = (0..DAY_MS).contains(&(recorded.unix_ms - said.unix_ms));
    if said.precision == Precision::Day && is_that_day { recorded } else { said }
}

/// The moment of something that has happened.
pub(in super::super) fn past(stamp: Stamp, at: Place, context: &Context) -> Result<Moment, Flaw> {
    let moment = moment(stamp, at, &context.zones)?;
    if stamp.precision() < Precision::Day {
        return Err(Flaw::new(Reason::TimeTooCoarse, at));
    }
    if moment.unix_ms > context.now_ms.saturating_add(context.ahead_ms_max) {
        return Err(Flaw::new(Reason::Future, at));
    }
    Ok(moment)
}

/// The moment that a time means.
pub(in super::super) fn moment(stamp: Stamp, at: Place, zones: &Zones) -> Result<Moment, Flaw> {
    stamp.moment(zones).ok_or_else(|| Flaw::new(Reason::Time, at))
}
