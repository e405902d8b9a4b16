//! Derives the seeds of a run's random streams from the one seed that its user gives.
//!
//! Each purpose has streams of its own, one for each item, so that what one thing draws does not
//! depend on how many draws another made before it. The same seed gives the same run.

/// What a random stream is for: streams of one seed must not be alike.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose {
    ReadDelay = 1,
    Payload = 2,
    Absence = 3,
    Device = 4,
    Sample = 5,
    Population = 6,
    Arrivals = 7,
    Target = 8,
    Repeat = 9,
}

/// Derives the seed of one stream (splitmix64's finaliser).
pub(crate) fn mix(seed: u64, purpose: Purpose, item: u64) -> u64 {
    let mut z = seed
        ^ (purpose as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        ^ item.wrapping_mul(0xd134_2543_de82_ef95);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
