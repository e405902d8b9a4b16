//! Messages for tests, put together from segments, and how they are read.

use bytes::Bytes;
use jiff::tz::TimeZone;
use wardline_ehr::hl7::flaw::Flaw;
use wardline_ehr::hl7::read::{Read, Reading, Rules};
use wardline_ehr::hl7::time::{Stamp, Zones};
use wardline_ehr::record::Event;

/// Noon of the day, in Berlin.
pub(crate) const NOW_MS: i64 = 1_796_036_400_000;

/// An ADT message: segments in order.
#[derive(Clone)]
pub(crate) struct Adt(Vec<String>);

impl Adt {
    /// A message that has all that any event needs.
    pub(crate) fn of(trigger: &str) -> Self {
        let pv1 = format!(
            "PV1||I|W2^R3^B7^GH|||W1|D1^House^Greg~D2||\"\"|{}D3||V100^^^GH{}20261129080000",
            "|".repeat(7),
            "|".repeat(25)
        );
        Self(vec![
            format!("MSH|^~\\&|HIS|GH|WARDLINE|GH|20261130101500||ADT^{trigger}|MSG7|P|2.5"),
            "EVN||20261130101000||||20261130100500".into(),
            "PID|||1^^^GH^MR~NAT^^^STATE^SS||Doe^Jane".into(),
            "ROL||AD|PP|GP1".into(),
            pv1,
            "ROL||AD|CP|N1^Nurse~N2".into(),
            "ROL||DE|AT|D9".into(),
            "PR1|1".into(),
            "ROL||AD|SU|S1".into(),
        ])
    }

    /// With another segment in the place of the one of this name.
    #[must_use]
    pub(crate) fn with(mut self, name: &str, segment: &str) -> Self {
        let at = self.0.iter().position(|segment| segment.starts_with(name)).expect(name);
        self.0[at] = segment.to_owned();
        self
    }

    /// Without a segment.
    #[must_use]
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.0.retain(|segment| !segment.starts_with(name));
        self
    }

    /// With one more at its end.
    #[must_use]
    pub(crate) fn then(mut self, segment: &str) -> Self {
        self.0.push(segment.to_owned());
        self
    }

    /// As it is sent.
    pub(crate) fn text(&self) -> String {
        self.0.iter().map(|segment| format!("{segment}\r")).collect()
    }
}

/// Rules of a hospital in Berlin.
pub(crate) fn rules() -> Rules {
    Rules { zone: TimeZone::get("Europe/Berlin").expect("it is known"), ..Rules::default() }
}

/// Reads a message at [`NOW_MS`].
pub(crate) fn read(rules: &Rules, text: &str) -> Read {
    rules.read(Bytes::copy_from_slice(text.as_bytes()), NOW_MS)
}

/// The event that a message tells.
pub(crate) fn event(text: &str) -> Event {
    match read(&rules(), text).outcome {
        Ok(Reading::Event(event)) => *event,
        other => panic!("{other:?} of {text:?}"),
    }
}

/// What is wrong with a message.
pub(crate) fn flaw(text: &str) -> Flaw {
    read(&rules(), text).outcome.expect_err(text)
}

/// A moment, in milliseconds since 1970.
pub(crate) fn at(text: &str) -> i64 {
    let stamp = Stamp::read(text).expect(text);
    stamp.moment(&Zones::new(None, TimeZone::UTC)).expect(text).unix_ms
}
