//! What each person is going to do in a replay: what they write, and when they are away.
//!
//! Decided before the replay begins, from the trace and the seed alone. Half of the people go
//! offline, once to three times; as in life, somebody who is away does not write, so absences lie
//! in the gaps between their messages. What others write to them meanwhile waits at the broker.
//! Everybody is back before the end.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use rand::{Rng, RngExt, SeedableRng};
use wardline_client::DeviceId;

use super::pace::Schedule;
use super::trace::{Person, Trace};
use crate::seed::{Purpose, mix};

/// Most absences of a person.
const ABSENCES_MAX: usize = 3;
/// An absence takes at most this share of the replay.
const ABSENCE_SHARE_MAX: f64 = 0.15;
/// Gaps shorter than this share of the replay are no opportunity to go.
const GAP_SHARE_MIN: f64 = 0.02;
/// Everybody is back after this share of the replay.
const BACK_SHARE: f64 = 0.97;

/// How long saying goodbye may take.
const LEAVING: Duration = Duration::from_millis(250);
/// How long connecting and catching up may take.
const RETURNING: Duration = Duration::from_secs(1);

/// A time away, from the replay's beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Absence {
    /// Goes offline.
    pub from: Duration,
    /// Comes back.
    pub until: Duration,
}

/// What a person is going to do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Who.
    pub person: Person,
    /// Their device, the same in every session.
    pub device: DeviceId,
    /// What they write, in order.
    pub sends: Vec<usize>,
    /// When they are away: ascending, apart from each other and from what they write.
    pub absences: Vec<Absence>,
}

impl Plan {
    /// Whether what is published then may have to wait for the person: they are away, on their way
    /// out, or back so recently that they are still connecting.
    pub fn is_away(&self, at: Duration) -> bool {
        let is_within = |absence: &Absence| absence.from <= at + LEAVING && at < absence.until + RETURNING;
        self.absences.iter().any(is_within)
    }
}

/// Plans for everybody of the trace.
pub fn plans(trace: &Trace, schedule: &Schedule, seed: u64) -> Vec<Plan> {
    let mut sends: BTreeMap<Person, Vec<usize>> = BTreeMap::new();
    for (index, message) in trace.messages.iter().enumerate() {
        sends.entry(message.sender).or_default().push(index);
    }
    let mut people = trace.people();
    let mut plans: Vec<Plan> = people
        .iter()
        .map(|&person| Plan {
            person,
            device: device(seed, person),
            sends: sends.remove(&person).unwrap_or_default(),
            absences: Vec::new(),
        })
        .collect();
    people.shuffle(&mut SmallRng::seed_from_u64(mix(seed, Purpose::Absence, 0)));
    let mut wanted = people.len() / 2;
    for person in people {
        let plan = plans.binary_search_by_key(&person, |plan| plan.person).expect("everybody has a plan");
        // Who writes all the time stays; somebody else goes instead.
        if wanted > 0 {
            plans[plan].absences = absences(&plans[plan], schedule, seed);
            wanted -= usize::from(!plans[plan].absences.is_empty());
        }
    }
    plans
}

fn device(seed: u64, person: Person) -> DeviceId {
    let mut id = [0; 16];
    SmallRng::seed_from_u64(mix(seed, Purpose::Device, person.0.into())).fill_bytes(&mut id);
    DeviceId(id)
}

/// Draws a person's absences: gaps between their messages, at random, and in each a time away.
fn absences(plan: &Plan, schedule: &Schedule, seed: u64) -> Vec<Absence> {
    let mut rng = SmallRng::seed_from_u64(mix(seed, Purpose::Absence, plan.person.0.into()));
    let share = |share: f64| schedule.duration().mul_f64(share);
    let ends = share(BACK_SHARE);
    let writes = plan.sends.iter().map(|&message| schedule.intended(message).min(ends));
    let edges: Vec<Duration> = [Duration::ZERO].into_iter().chain(writes).chain([ends]).collect();
    let gaps = edges.windows(2).map(|edges| (edges[0], edges[1]));
    let mut gaps: Vec<_> = gaps.filter(|(from, until)| *until - *from >= share(GAP_SHARE_MIN)).collect();
    gaps.shuffle(&mut rng);
    gaps.truncate(rng.random_range(1..=ABSENCES_MAX));
    let mut absences: Vec<Absence> = gaps
        .into_iter()
        .map(|(from, until)| {
            // Not at the very edges: what was just written is still being acknowledged.
            let room = (until - from).mul_f64(0.8);
            let length = room.min(share(ABSENCE_SHARE_MAX)).mul_f64(rng.random_range(0.5..=1.0));
            let start = from + (until - from).mul_f64(0.1) + (room - length).mul_f64(rng.random());
            Absence { from: start, until: start + length }
        })
        .collect();
    absences.sort_unstable_by_key(|absence| absence.from);
    absences
}
