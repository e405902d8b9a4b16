//! The bytes of what a source said: its events, and the latest words.
//!
//! A latest word is what holds, and then who said it, unless nobody did.

use super::codec::{Damage, Reader, Writer};
use crate::id::{EventId, UserId};
use crate::said::{Latest, Said, SourceEvent};

pub(super) fn write_source(source: SourceEvent, out: &mut Writer<'_>) {
    out.id(source.id.as_bytes());
    out.time(source.time);
}

pub(super) fn read_source(from: &mut Reader<'_>) -> Result<SourceEvent, Damage> {
    Ok(SourceEvent { id: EventId::new(from.array()?), time: from.time()? })
}

/// What holds, and who said it.
pub(super) fn write_latest<'w, T>(
    latest: &Latest<T>,
    out: &mut Writer<'w>,
    write: impl FnOnce(&mut Writer<'w>, &T),
) {
    write(out, &latest.value);
    out.optional(latest.said, |out, said| {
        out.time(said.time);
        out.id(said.event.as_bytes());
        out.id(said.by.as_bytes());
    });
}

pub(super) fn read_latest<'r, T>(
    from: &mut Reader<'r>,
    read: impl FnOnce(&mut Reader<'r>) -> Result<T, Damage>,
) -> Result<Latest<T>, Damage> {
    let value = read(from)?;
    let said = from.optional(|from| {
        let (time, event) = (from.time()?, EventId::new(from.array()?));
        Ok(Said { time, event, by: UserId::new(from.array()?) })
    })?;
    Ok(Latest { value, said })
}
