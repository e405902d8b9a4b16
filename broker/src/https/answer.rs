//! What came back: bytes, and the few headers that anybody asks for.
//!
//! How long something may be kept is read as RFC 9111 has it, and when to come again as RFC 9110,
//! section 10.2.3. Both are what a stranger says: whoever uses them bounds them.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use hyper::HeaderMap;
use hyper::header::{AGE, CACHE_CONTROL, HeaderName, RETRY_AFTER};

/// An answer with status 200, whole.
#[derive(Clone, Debug)]
pub struct Answer {
    /// What was said.
    pub body: Bytes,
    /// For how long it is fresh; `None`: it does not say.
    pub fresh_for: Option<Duration>,
}

impl Answer {
    pub(super) fn new(headers: &HeaderMap, body: Bytes) -> Self {
        Self { body, fresh_for: fresh_for(headers) }
    }
}

/// `max-age`, less the time that it lay in caches on the way.
fn fresh_for(headers: &HeaderMap) -> Option<Duration> {
    let lines = headers.get_all(CACHE_CONTROL).iter().filter_map(|line| line.to_str().ok());
    let directives: Vec<String> =
        lines.flat_map(|line| line.split(',')).map(|one| one.trim().to_ascii_lowercase()).collect();
    if directives.iter().any(|one| one == "no-store" || one == "no-cache") {
        return Some(Duration::ZERO);
    }
    let seconds = |text: &str| text.trim_matches('"').parse().ok().map(Duration::from_secs);
    let max = directives.iter().find_map(|one| seconds(one.strip_prefix("max-age=")?))?;
    Some(max.saturating_sub(text(headers, &AGE).and_then(seconds).unwrap_or_default()))
}

/// Seconds, or a date.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let said = text(headers, &RETRY_AFTER)?;
    if let Ok(seconds) = said.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(said).ok()?;
    Some(date.duration_since(SystemTime::now()).unwrap_or_default())
}

fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn fresh(said: &[&str], age: Option<&str>) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        for line in said {
            headers.append(CACHE_CONTROL, HeaderValue::from_str(line).expect("it is text"));
        }
        if let Some(age) = age {
            headers.insert(AGE, HeaderValue::from_str(age).expect("it is text"));
        }
        fresh_for(&headers)
    }

    #[test]
    fn freshness_is_read_as_it_is_said() {
        let seconds = |n| Some(Duration::from_secs(n));
        assert_eq!(fresh(&["public, Max-Age=300"], None), seconds(300));
        assert_eq!(fresh(&["public", "max-age=\"300\""], Some("100")), seconds(200));
        assert_eq!(fresh(&["max-age=300"], Some("900")), seconds(0));
        assert_eq!(fresh(&["max-age=300, no-store"], None), seconds(0));
        assert_eq!(fresh(&["no-cache"], None), seconds(0));
        assert_eq!(fresh(&["max-age=18446744073709551616"], None), None);
        assert_eq!(fresh(&["private"], None), None);
        assert_eq!(fresh(&[], Some("3")), None);
    }

    #[test]
    fn when_to_come_again_is_a_number_or_a_date() {
        let said = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_str(text).expect("it is text"));
            retry_after(&headers)
        };
        assert_eq!(said("120"), Some(Duration::from_secs(120)));
        assert_eq!(said("Thu, 01 Jan 1970 00:00:00 GMT"), Some(Duration::ZERO));
        let soon = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(90));
        assert!((60..=90).contains(&said(&soon).expect("a date").as_secs()));
        assert_eq!((said("soon"), said("-1")), (None, None));
    }
}
