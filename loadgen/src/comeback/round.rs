//! One kill, as the clients saw it: who was told, back and caught up, and when.
//!
//! Pure: times are handed in, in nanoseconds since 1970. A client that is lost again after it was
//! back counts from the last time. What busy clients say to each other meanwhile is timed if it was
//! said in a session.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

/// Steps of the timeline.
const STEP_NS: u64 = 250_000_000;
const NS_PER_MS: f64 = 1e6;

/// What a message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Note {
    /// Of a message that is published after a kill; 0: of talk.
    round: u32,
    is_urgent: bool,
    /// When it was sent; 0: that does not count.
    sent_ns: u64,
}

/// Longer ones count as this: ten minutes.
const LATENCY_US_MAX: u64 = 600_000_000;

/// One kill.
pub(super) struct Round {
    number: u32,
    killed_ns: u64,
    clients: Vec<Seen>,
    /// Who has not caught up.
    missing: usize,
    urgent: Histogram<u64>,
    routine: Histogram<u64>,
    /// Attempts to connect that failed, by why; so many are told apart.
    again: BTreeMap<String, u64>,
}

/// Reasons that are told apart.
const REASONS_MAX: usize = 32;

/// When something happened to a client, after the kill.
#[derive(Clone, Copy, Default)]
struct Seen {
    told_ns: Option<u64>,
    back_ns: Option<u64>,
    has_mark: bool,
    caught_up_ns: Option<u64>,
}

impl Note {
    pub(super) fn mark(round: u32) -> Self {
        Self { round, is_urgent: false, sent_ns: 0 }
    }

    pub(super) fn talk(sent_ns: Option<u64>, is_urgent: bool) -> Self {
        Self { round: 0, is_urgent, sent_ns: sent_ns.unwrap_or(0) }
    }

    pub(super) fn to_bytes(self) -> Vec<u8> {
        let (round, sent) = (self.round.to_be_bytes(), self.sent_ns.to_be_bytes());
        [&round[..], &[u8::from(self.is_urgent)], &sent].concat()
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (round, rest) = bytes.split_first_chunk()?;
        let (urgent, sent) = rest.split_first()?;
        Some(Self {
            round: u32::from_be_bytes(*round),
            is_urgent: *urgent != 0,
            sent_ns: u64::from_be_bytes(sent.try_into().ok()?),
        })
    }
}

impl Seen {
    fn is_caught_up(&self) -> bool {
        self.caught_up_ns.is_some()
    }

    /// Caught up is who is back and has what was published after the kill.
    fn judge(&mut self, now_ns: u64) {
        self.caught_up_ns = (self.back_ns.is_some() && self.has_mark)
            .then_some(self.caught_up_ns.unwrap_or(now_ns).max(self.back_ns.unwrap_or(0)));
    }
}

impl Round {
    pub(super) fn new(clients: usize) -> Self {
        let histogram = || Histogram::new_with_bounds(1, LATENCY_US_MAX, 3).expect("the bounds are in order");
        let (urgent, routine) = (histogram(), histogram());
        let clients = vec![Seen::default(); clients];
        Self { number: 0, killed_ns: 0, clients, missing: 0, urgent, routine, again: BTreeMap::new() }
    }

    /// The broker was killed.
    pub(super) fn begin(&mut self, number: u32, killed_ns: u64) {
        let clients = self.clients.len();
        *self = Self { number, killed_ns, missing: clients, ..Self::new(clients) };
    }

    pub(super) fn is_over(&self) -> bool {
        self.missing == 0
    }

    /// A client has a session, or has none.
    pub(super) fn session(&mut self, client: usize, is_connected: bool, now_ns: u64) {
        self.change(client, now_ns, |seen| {
            seen.told_ns.get_or_insert(now_ns);
            seen.back_ns = is_connected.then_some(now_ns);
        });
    }

    /// An attempt to connect has failed.
    pub(super) fn again(&mut self, why: &str) {
        if self.again.len() < REASONS_MAX || self.again.contains_key(why) {
            *self.again.entry(why.to_owned()).or_default() += 1;
        }
    }

    /// Something arrived at a client.
    pub(super) fn arrived(&mut self, client: usize, note: &Note, now_ns: u64) {
        if note.round == 0 {
            return self.time(note, now_ns);
        }
        if note.round == self.number {
            self.change(client, now_ns, |seen| seen.has_mark = true);
        }
    }

    /// What came of it; the first so many clients are idle ones.
    pub(super) fn end(&mut self, idle: usize) -> Value {
        let (idle, busy) = self.clients.split_at(idle);
        json!({
            "event": "round",
            "round": self.number,
            "clients": self.clients.len(),
            "told": self.percentiles(&self.clients, |seen| seen.told_ns),
            "back": self.percentiles(&self.clients, |seen| seen.back_ns),
            "caught_up": self.percentiles(&self.clients, |seen| seen.caught_up_ns),
            "idle_caught_up": self.percentiles(idle, |seen| seen.caught_up_ns),
            "busy_caught_up": self.percentiles(busy, |seen| seen.caught_up_ns),
            "urgent": latency(&self.urgent),
            "routine": latency(&self.routine),
            "again": self.again,
            "timeline": self.timeline(),
        })
    }

    fn change(&mut self, client: usize, now_ns: u64, change: impl FnOnce(&mut Seen)) {
        // Before the first kill nothing is counted.
        if self.number == 0 {
            return;
        }
        let seen = &mut self.clients[client];
        let was_missing = !seen.is_caught_up();
        change(seen);
        seen.judge(now_ns);
        match (was_missing, seen.is_caught_up()) {
            (true, true) => self.missing -= 1,
            (false, false) => self.missing += 1,
            _ => {}
        }
    }

    fn time(&mut self, note: &Note, now_ns: u64) {
        if note.sent_ns > self.killed_ns && !self.is_over() {
            let histogram = if note.is_urgent { &mut self.urgent } else { &mut self.routine };
            histogram.saturating_record(now_ns.saturating_sub(note.sent_ns) / 1_000);
        }
    }

    fn percentiles(&self, clients: &[Seen], when: impl Fn(&Seen) -> Option<u64>) -> Value {
        let mut times: Vec<u64> = clients.iter().filter_map(when).collect();
        times.sort_unstable();
        let at = |share: f64| {
            let place = ((times.len() as f64 * share).ceil() as usize).saturating_sub(1);
            times.get(place).map(|at| at.saturating_sub(self.killed_ns) as f64 / NS_PER_MS)
        };
        json!({
            "p50_ms": at(0.5),
            "p99_ms": at(0.99),
            "last_ms": at(1.0),
            "missing": clients.len() - times.len(),
        })
    }

    /// How many had been told, were back and had caught up, at each step until all had.
    fn timeline(&self) -> Vec<Value> {
        let count = |until: u64, when: fn(&Seen) -> Option<u64>| {
            self.clients.iter().filter_map(when).filter(|at| *at <= until).count()
        };
        let last = self.clients.iter().filter_map(|seen| seen.caught_up_ns).max().unwrap_or(self.killed_ns);
        let steps = last.saturating_sub(self.killed_ns).div_ceil(STEP_NS);
        (1..=steps)
            .map(|step| {
                let until = self.killed_ns + step * STEP_NS;
                json!({
                    "ms": step * STEP_NS / 1_000_000,
                    "told": count(until, |seen| seen.told_ns),
                    "back": count(until, |seen| seen.back_ns),
                    "caught_up": count(until, |seen| seen.caught_up_ns),
                })
            })
            .collect()
    }
}

fn latency(histogram: &Histogram<u64>) -> Value {
    let ms = |us: u64| us as f64 / 1e3;
    json!({
        "p50_ms": ms(histogram.value_at_quantile(0.5)),
        "p99_ms": ms(histogram.value_at_quantile(0.99)),
        "count": histogram.len(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn caught_up_is_who_is_back_and_has_what_came_after_the_kill() {
        let mut round = Round::new(2);
        round.session(0, true, 5);
        round.begin(1, 100 * MS);
        for client in 0..2 {
            round.session(client, false, 200 * MS);
            round.session(client, true, (300 + client as u64) * MS);
        }
        round.arrived(0, &Note::mark(7), 310 * MS);
        round.arrived(0, &Note::mark(1), 320 * MS);
        assert!(!round.is_over());
        round.arrived(1, &Note::mark(1), 330 * MS);
        assert!(round.is_over());
        // Lost once more: it counts from the last time.
        round.session(1, false, 340 * MS);
        assert!(!round.is_over());
        round.again("no answer");
        round.session(1, true, 1_100 * MS);
        assert!(round.is_over());
        let ended = round.end(1);
        assert_eq!(ended["told"]["last_ms"], 100.0);
        assert_eq!(ended["again"], json!({"no answer": 1}));
        assert_eq!((&ended["back"]["p50_ms"], &ended["back"]["last_ms"]), (&json!(200.0), &json!(1_000.0)));
        assert_eq!(ended["idle_caught_up"]["last_ms"], 220.0);
        assert_eq!(ended["busy_caught_up"]["last_ms"], 1_000.0);
        assert_eq!(ended["timeline"].as_array().map(Vec::len), Some(4));
        assert_eq!(ended["timeline"][0]["caught_up"], 1);
    }

    #[test]
    fn who_never_comes_back_is_missing() {
        let mut round = Round::new(3);
        round.begin(1, 0);
        round.session(0, true, MS);
        round.arrived(0, &Note::mark(1), 2 * MS);
        let ended = round.end(2);
        assert_eq!((&ended["caught_up"]["missing"], &ended["told"]["missing"]), (&json!(2), &json!(2)));
        assert!(!round.is_over() && ended["busy_caught_up"]["last_ms"].is_null());
    }

    #[test]
    fn talk_is_timed_if_it_was_said_in_a_session_after_the_kill() {
        let mut round = Round::new(1);
        round.begin(1, 100 * MS);
        for (sent, is_urgent) in
            [(None, true), (Some(90 * MS), true), (Some(110 * MS), true), (Some(112 * MS), false)]
        {
            let note = Note::talk(sent, is_urgent);
            assert_eq!(Note::from_bytes(&note.to_bytes()), Some(note));
            round.arrived(0, &note, 115 * MS);
        }
        let ended = round.end(1);
        assert_eq!((&ended["urgent"]["count"], &ended["routine"]["count"]), (&json!(1), &json!(1)));
        assert_eq!(Note::from_bytes(b"something else"), None);
    }
}
