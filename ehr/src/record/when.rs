//! Moments and dates, as precise as they were given.
//!
//! A moment keeps the zone in which it was said, since people read it so.

use std::fmt;

use jiff::Timestamp;
use jiff::tz::Offset;

/// To what a time was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Precision {
    /// The year.
    Year,
    /// The month.
    Month,
    /// The day.
    Day,
    /// The hour.
    Hour,
    /// The minute.
    Minute,
    /// The second.
    Second,
    /// Parts of a second.
    Fraction,
}

/// A moment: the first one that a time can mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Moment {
    /// Milliseconds since 1970, in UTC.
    pub unix_ms: i64,
    /// How far local time was ahead of UTC, in seconds.
    pub offset_s: i32,
    /// How precisely it was given.
    pub precision: Precision,
}

impl Moment {
    /// As FHIR writes a `dateTime`: a date, or a time with its zone.
    pub fn fhir(&self) -> Option<String> {
        let offset = Offset::from_seconds(self.offset_s).ok()?;
        let local = offset.to_datetime(Timestamp::from_millisecond(self.unix_ms).ok()?);
        let day = local.date();
        let minutes = self.offset_s / 60;
        let sign = if minutes < 0 { '-' } else { '+' };
        let zone = format!("{sign}{:02}:{:02}", minutes.abs() / 60, minutes.abs() % 60);
        let second = format!("{day}T{:02}:{:02}:{:02}", local.hour(), local.minute(), local.second());
        Some(match self.precision {
            Precision::Year => format!("{:04}", day.year()),
            Precision::Month => format!("{:04}-{:02}", day.year(), day.month()),
            Precision::Day => day.to_string(),
            Precision::Hour | Precision::Minute | Precision::Second => format!("{second}{zone}"),
            Precision::Fraction => format!("{second}.{:03}{zone}", self.unix_ms.rem_euclid(1000)),
        })
    }
}

/// A date, perhaps without its day or month.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Date {
    /// Of the common era.
    pub year: i16,
    /// From 1 on.
    pub month: Option<u8>,
    /// From 1 on.
    pub day: Option<u8>,
}

/// As FHIR writes a `date`.
impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}", self.year)?;
        for part in [self.month, self.day].into_iter().flatten() {
            write!(f, "-{part:02}")?;
        }
        Ok(())
    }
}

/// A date of birth says who somebody is.
impl fmt::Debug for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Date")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fhir_has_a_zone_where_there_is_a_time() {
        let moment = |precision| Moment { unix_ms: 1_796_058_000_012, offset_s: -5 * 3600, precision };
        let fhir = |precision| moment(precision).fhir().expect("it is in the calendar");
        assert_eq!(fhir(Precision::Year), "2026");
        assert_eq!(fhir(Precision::Month), "2026-11");
        assert_eq!(fhir(Precision::Day), "2026-11-30");
        assert_eq!(fhir(Precision::Hour), "2026-11-30T12:00:00-05:00");
        assert_eq!(fhir(Precision::Fraction), "2026-11-30T12:00:00.012-05:00");
    }
}
