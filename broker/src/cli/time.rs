//! Times as they are typed: `90s`, `12h`, `30d`.
//!
//! One reading for every verb, so that what one refuses no other takes. No time is added to a clock
//! before it is known to be bearable, and none is so short that it would count as none.

use std::time::Duration;

/// Longest time that anybody means.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
/// The shortest that the broker tells from none.
const SHORTEST: Duration = Duration::from_millis(1);

/// A time to wait, or to keep something for.
///
/// # Errors
/// What may be typed instead.
pub(super) fn some(text: &str) -> Result<Duration, String> {
    match any(text)? {
        time if time < SHORTEST => Err("it must be 1ms or more".into()),
        time => Ok(time),
    }
}

/// The same, and `0s`.
///
/// # Errors
/// What may be typed instead.
pub(super) fn any(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(time) if time <= LONGEST => Ok(time),
        Ok(_) | Err(humantime::DurationError::NumberOverflow) => Err("it must be 100 years or less".into()),
        Err(error) => Err(format!("{error}; write it like 90s, 12h or 30d")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_bounds() {
        assert_eq!(some("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(some("36500d"), Ok(LONGEST));
        assert_eq!(any("0s"), Ok(Duration::ZERO));
        for text in ["101y", "36501d", "18446744073709551615s", "99999999999999999999y", "584554530000y"] {
            assert_eq!(some(text), Err("it must be 100 years or less".into()), "{text}");
            assert_eq!(any(text), Err("it must be 100 years or less".into()), "{text}");
        }
        for text in ["0s", "0", "999us", "1ns"] {
            assert_eq!(some(text), Err("it must be 1ms or more".into()), "{text}");
        }
        for text in ["", "soon", "-5s", "5", "5 parsecs", "1e9s", "NaN", "\u{0665}s"] {
            let refused = some(text).expect_err(text);
            assert!(refused.contains("write it like"), "{text}: {refused}");
        }
    }
}
