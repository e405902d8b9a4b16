//! Fail points: the steps of the commit path at which a broker under trial crashes.
//!
//! Without the feature `fail-points` nothing of this is compiled: a passage is an empty function,
//! and no variable is read. With it, `FAIL_POINT=synced:17` lets the process abort at the 17th
//! passage of that step, without unwinding and without closing anything, as `kill -9` does, but at
//! a chosen place. Only `cargo xtask torture` builds such a broker.

/// A step on the way of a command.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// A request is a command that may be asked; the log does not have it yet.
    Validated,
    /// A group is one batch; the engine does not have it yet.
    Batched,
    /// The engine has written a batch, and has not synced it.
    Written,
    /// A batch is synced; nobody has been told.
    Synced,
    /// One caller of a group has been told; the others, and the observer, have not.
    Acked,
    /// The sessions that follow a conversation know that there is an entry; nobody has got it.
    Rung,
    /// Something was written to a device.
    Delivered,
    /// A receipt is durable, and those who wait for it know that it is there.
    Receipt,
}

/// Goes through a step, and may not come out.
#[cfg(not(feature = "fail-points"))]
#[inline(always)]
pub fn pass(_: Point) {}

/// Whether the process is to crash in this passage of a step; the caller does what comes first,
/// then [`crash`].
#[cfg(not(feature = "fail-points"))]
#[inline(always)]
pub fn is_drawn(_: Point) -> bool {
    false
}

/// Ends the process on the spot.
pub fn crash() -> ! {
    std::process::abort()
}

#[cfg(feature = "fail-points")]
pub use drawn::{is_drawn, pass};

#[cfg(feature = "fail-points")]
mod drawn {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::{Point, crash};

    const VARIABLE: &str = "FAIL_POINT";

    const NAMES: [(&str, Point); 8] = [
        ("validated", Point::Validated),
        ("batched", Point::Batched),
        ("written", Point::Written),
        ("synced", Point::Synced),
        ("acked", Point::Acked),
        ("rung", Point::Rung),
        ("delivered", Point::Delivered),
        ("receipt", Point::Receipt),
    ];

    /// The step that was drawn, and how many passages are left.
    struct Drawn {
        point: Point,
        left: AtomicU64,
    }

    /// One for the process: what crashes is the process.
    static DRAWN: LazyLock<Option<Drawn>> = LazyLock::new(|| {
        let text = std::env::var(VARIABLE).ok()?;
        let drawn = text.split_once(':').and_then(|(name, passage)| {
            let (_, point) = NAMES.iter().find(|(known, _)| *known == name)?;
            Some(Drawn { point: *point, left: AtomicU64::new(passage.parse().ok()?) })
        });
        // A trial of which nobody knows that it tries nothing is worse than none.
        Some(drawn.unwrap_or_else(|| panic!("{VARIABLE}={text} is not a step and a passage, like synced:17")))
    });

    /// Goes through a step, and may not come out.
    pub fn pass(point: Point) {
        if is_drawn(point) {
            crash();
        }
    }

    /// Whether the process is to crash in this passage of a step; the caller does what comes first,
    /// then [`crash`].
    pub fn is_drawn(point: Point) -> bool {
        DRAWN.as_ref().is_some_and(|drawn| {
            // After the last one it wraps round and stays harmless; the process does not live that
            // long.
            drawn.point == point && drawn.left.fetch_sub(1, Ordering::Relaxed) == 1
        })
    }
}
