//! Times as HL7 writes them: `YYYY[MM[DD[HH[MM[SS[.S[S[S[S]]]]]]]]][+/-ZZZZ]` (section 2.A.22).
//!
//! A time is as precise as it was written. Where it has no zone it is in that of MSH-7, else in
//! that of the site (section 2.15.9.7): never tacitly in UTC. Of the hour that the clock passes
//! twice in autumn the first is meant; a time that the clock leaps over in spring is taken as if it
//! had not leapt.

use std::fmt;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};

use crate::record::{Date, Moment, Precision};

/// A time as it was written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    local: DateTime,
    precision: Precision,
    offset: Option<Offset>,
}

/// Zones for times that do not have one.
#[derive(Clone, Debug)]
pub struct Zones {
    /// That of the message.
    message: Option<Offset>,
    /// That of the site.
    site: TimeZone,
}

/// It may be that of a birth.
impl fmt::Debug for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stamp(to the {:?})", self.precision)
    }
}

impl Stamp {
    /// Reads one; `None`: this is none.
    pub fn read(text: &str) -> Option<Self> {
        let (time, zone) = match text.find(['+', '-']) {
            Some(at) => (&text[..at], Some(offset(&text[at..])?)),
            None => (text, None),
        };
        let (whole, fraction) = match time.split_once('.') {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (time, None),
        };
        if !whole.bytes().all(|byte| byte.is_ascii_digit()) || fraction.is_some() && whole.len() != 14 {
            return None;
        }
        let precision = match (whole.len(), fraction) {
            (4, _) => Precision::Year,
            (6, _) => Precision::Month,
            (8, _) => Precision::Day,
            (10, _) => Precision::Hour,
            (12, _) => Precision::Minute,
            (14, None) => Precision::Second,
            (14, Some(_)) => Precision::Fraction,
            _ => return None,
        };
        let part = |from: usize, digits: usize, without: i16| match whole.get(from..from + digits) {
            Some(part) => part.parse().ok(),
            None => Some(without),
        };
        let small = |from: usize, without: i16| i8::try_from(part(from, 2, without)?).ok();
        let local = DateTime::new(
            part(0, 4, 0)?,
            small(4, 1)?,
            small(6, 1)?,
            small(8, 0)?,
            small(10, 0)?,
            small(12, 0)?,
            nanoseconds(fraction.unwrap_or("0"))?,
        );
        Some(Self { local: local.ok()?, precision, offset: zone })
    }

    /// How precise it is.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// The moment that it means; `None`: beyond all calendars.
    pub fn moment(&self, zones: &Zones) -> Option<Moment> {
        let zone = match self.offset.or(zones.message) {
            Some(offset) => offset.to_time_zone(),
            None => zones.site.clone(),
        };
        let zoned = self.local.to_zoned_datetime(zone).ok()?;
        Some(Moment {
            unix_ms: zoned.timestamp().as_millisecond(),
            offset_s: zoned.offset().seconds(),
            precision: self.precision,
        })
    }

    /// The day, month or year that it means, wherever that is.
    pub fn date(&self) -> Date {
        let month = (self.precision >= Precision::Month).then(|| self.local.month().unsigned_abs());
        let day = (self.precision >= Precision::Day).then(|| self.local.day().unsigned_abs());
        Date { year: self.local.year(), month, day }
    }
}

impl Zones {
    /// Times of a message that was sent at this time, by a site in this zone.
    pub fn new(sent: Option<Stamp>, site: TimeZone) -> Self {
        Self { message: sent.and_then(|sent| sent.offset), site }
    }
}

/// Writes a moment as HL7 does, to the second and with its zone: for our answers.
pub fn write(unix_ms: i64, offset_s: i32) -> String {
    let offset = Offset::from_seconds(offset_s).unwrap_or(Offset::UTC);
    let Ok(timestamp) = Timestamp::from_millisecond(unix_ms) else { return String::new() };
    timestamp.to_zoned_datetime(offset.to_time_zone()).strftime("%Y%m%d%H%M%S%z").to_string()
}

/// `+0100`.
fn offset(text: &str) -> Option<Offset> {
    let digits = text.get(1..).filter(|digits| digits.len() == 4)?;
    let number: i32 = digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())??;
    let (hours, minutes) = (number / 100, number % 100);
    if hours > 18 || minutes > 59 {
        return None;
    }
    let seconds = hours * 3600 + minutes * 60;
    Offset::from_seconds(if text.starts_with('-') { -seconds } else { seconds }).ok()
}

/// One to four digits behind the point; more are cut, as those of a finer clock.
fn nanoseconds(fraction: &str) -> Option<i32> {
    let is_fraction = (1..=9).contains(&fraction.len()) && fraction.bytes().all(|byte| byte.is_ascii_digit());
    is_fraction.then(|| format!("{fraction:0<9}").parse().ok())?
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn zones(site: &str) -> Zones {
        Zones::new(None, TimeZone::get(site).expect(site))
    }

    fn moment(text: &str, site: &str) -> Moment {
        Stamp::read(text).and_then(|stamp| stamp.moment(&zones(site))).expect(text)
    }

    #[test]
    fn a_time_is_as_precise_as_it_was_written() {
        for (text, precision) in [
            ("2026", Precision::Year),
            ("202611", Precision::Month),
            ("20261130", Precision::Day),
            ("2026113009", Precision::Hour),
            ("202611300905", Precision::Minute),
            ("20261130090507", Precision::Second),
            ("20261130090507.1", Precision::Fraction),
            ("20261130090507.1234", Precision::Fraction),
        ] {
            assert_eq!(Stamp::read(text).map(|stamp| stamp.precision()), Some(precision), "{text}");
        }
        let date = |text| Stamp::read(text).map(|stamp| stamp.date().to_string());
        assert_eq!(date("1990").as_deref(), Some("1990"));
        assert_eq!(date("199002").as_deref(), Some("1990-02"));
        assert_eq!(date("19900203040506+0100").as_deref(), Some("1990-02-03"));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "2",
            "26",
            "202",
            "20261",
            "20261301",
            "20260230",
            "2026113024",
            "202611300960",
            "2026-11-30",
            "20261130090507.",
            "20261130.5",
            "20261130090507+01",
            "20261130090507+1960",
            "20261130090507Z",
            "2026113009:05",
            "soon",
            "２０２６",
            "20261130090560",
            "+0100",
        ] {
            assert_eq!(Stamp::read(text), None, "{text}");
        }
    }

    #[test]
    fn a_zone_is_taken_from_the_time_then_the_message_then_the_site() {
        assert_eq!(moment("20261130120000+0100", "UTC"), moment("20261130120000", "Europe/Berlin"));
        let sent = Stamp::read("20261130-0500");
        let zones = Zones::new(sent, TimeZone::get("Europe/Berlin").expect("Berlin"));
        let noon = Stamp::read("20261130120000").and_then(|stamp| stamp.moment(&zones)).expect("noon");
        assert_eq!((noon.unix_ms, noon.offset_s), (1_796_058_000_000, -5 * 3600));
    }

    #[test]
    fn the_hours_at_which_clocks_are_changed() {
        // 02:30 comes twice on this night: the first is in summer time.
        assert_eq!(moment("20261025023000", "Europe/Berlin").offset_s, 7200);
        // 02:30 does not come at all: as if the clock had gone on, it is 03:30 in summer time.
        let leapt = moment("20260329023000", "Europe/Berlin");
        assert_eq!(leapt.unix_ms, moment("20260329033000", "Europe/Berlin").unix_ms);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(unix_s in 0_i64..4_000_000_000, quarters in -48_i32..=56) {
            let offset_s = quarters * 900;
            let text = write(unix_s * 1000, offset_s);
            let read = Stamp::read(&text).and_then(|stamp| stamp.moment(&zones("UTC")));
            let wanted = Moment { unix_ms: unix_s * 1000, offset_s, precision: Precision::Second };
            prop_assert_eq!(read, Some(wanted), "{}", text);
        }

        #[test]
        fn no_text_is_a_panic(text in ".{0,30}") {
            if let Some(stamp) = Stamp::read(&text) {
                let _ = (stamp.date(), stamp.moment(&zones("America/New_York")));
            }
        }
    }
}
