//! Ids of our own messages (MSH-10): unique for ever, also after a restart.
//!
//! The time of the start, then a count, in digits and capital letters.

use std::sync::atomic::{AtomicU64, Ordering};

/// Gives ids.
pub(super) struct ControlIds {
    start: String,
    next: AtomicU64,
}

impl ControlIds {
    /// Those of a program that started at this time, in milliseconds since 1970.
    pub(super) fn new(now_ms: i64) -> Self {
        Self { start: base36(now_ms.unsigned_abs()), next: AtomicU64::new(0) }
    }

    /// The next one, at most 18 characters long for as long as anybody can send messages.
    pub(super) fn give(&self) -> String {
        format!("W{}{:0>8}", self.start, base36(self.next.fetch_add(1, Ordering::Relaxed)))
    }
}

fn base36(mut number: u64) -> String {
    const DIGITS: &[u8; 36] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    let mut digits = Vec::new();
    loop {
        digits.push(DIGITS[(number % 36) as usize]);
        number /= 36;
        if number == 0 {
            break;
        }
    }
    digits.iter().rev().map(|digit| char::from(*digit)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_short_and_never_the_same() {
        let ids = ControlIds::new(1_796_036_400_000);
        let given: std::collections::HashSet<String> = (0..1000).map(|_| ids.give()).collect();
        assert_eq!(given.len(), 1000);
        assert!(given.iter().all(|id| id.len() <= 18 && id.bytes().all(|byte| byte.is_ascii_alphanumeric())));
        assert!(!given.contains(&ControlIds::new(1_796_036_400_001).give()));
        assert_eq!((base36(0), base36(35), base36(36)), ("0".into(), "Z".into(), "10".into()));
    }
}
