//! The types of the workload files in `workloads/`, and their bounds.
//!
//! Nothing is read and nothing is drawn here: that is `parse`'s and [`crate::plan`]'s. Invariant: a
//! `Workload` that exists has passed `Workload::check`, so that everything after it may rely on the
//! bounds.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;

use crate::measure::stamp::STAMP_BYTES;

/// Most people, conversations of an audience, and messages in flight.
const MANY: u32 = 1_000_000;
/// Highest rate.
const RATE_PER_S_MAX: f64 = 10_000_000.0;
/// Largest payload: the broker's own bound.
const PAYLOAD_BYTES_MAX: u32 = 4 * 1024 * 1024;

/// A workload file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workload {
    /// Its name: the file's, without `.toml`.
    #[serde(skip)]
    pub name: String,
    /// The file's text.
    #[serde(skip)]
    pub text: String,
    /// What it is, in a line.
    pub about: String,
    /// Where its numbers come from.
    pub source: String,
    /// Connected people, a device each.
    pub people: u32,
    /// What to offer unless told otherwise.
    pub rate: Rate,
    /// How long it runs before anything counts, unless told otherwise.
    #[serde(with = "humantime_serde")]
    pub warmup: Duration,
    /// How long is measured, unless told otherwise.
    #[serde(with = "humantime_serde")]
    pub duration: Duration,
    /// For how long, before that, traffic with a rate of its own is offered and measured alone:
    /// what it is then set beside.
    #[serde(default, with = "humantime_serde")]
    pub alone: Option<Duration>,
    /// Groups of conversations that are alike.
    #[serde(rename = "audience")]
    pub audiences: Vec<Audience>,
    /// What is published.
    #[serde(rename = "traffic")]
    pub traffics: Vec<Traffic>,
    /// When people read; without it they never do. Receipts for what is delivered are always sent.
    #[serde(default)]
    pub reads: Reads,
    /// What `--rate window` keeps in flight.
    pub window: Option<Window>,
    /// Devices that were away and come back at once.
    pub reconnect: Option<Reconnect>,
    /// Readers that stop reading for a while.
    pub slow: Option<Slow>,
}

/// How much is offered.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(try_from = "RateText")]
pub enum Rate {
    /// So many messages a second, open loop.
    PerSecond(f64),
    /// The highest rate that can be sustained, open loop.
    Max,
    /// This part of it: how things go near saturation, not at it.
    Part(f64),
    /// A fixed number in flight, closed loop.
    Window,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RateText {
    Number(f64),
    Word(String),
}

impl TryFrom<RateText> for Rate {
    type Error = String;

    fn try_from(text: RateText) -> Result<Self, String> {
        match text {
            RateText::Number(number) => Self::per_second(number),
            RateText::Word(word) => word.parse(),
        }
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "max" => Ok(Self::Max),
            "window" => Ok(Self::Window),
            _ => match text.strip_suffix('%').map(str::parse::<f64>) {
                Some(Ok(percent)) if percent > 0.0 && percent <= 100.0 => Ok(Self::Part(percent / 100.0)),
                Some(_) => {
                    Err(format!("`{text}` is no part of the highest rate: more than 0%, at most 100%"))
                }
                None => text.parse().map_err(|_| unknown(text)).and_then(Self::per_second),
            },
        }
    }
}

fn unknown(text: &str) -> String {
    format!(
        "the rate is messages a second, a part of the highest like `80%`, `max` or `window`, not `{text}`"
    )
}

impl Rate {
    /// Whether the highest rate has to be looked for.
    pub fn needs_search(self) -> bool {
        matches!(self, Self::Max | Self::Part(_))
    }

    fn per_second(number: f64) -> Result<Self, String> {
        if number > 0.0 && number <= RATE_PER_S_MAX {
            Ok(Self::PerSecond(number))
        } else {
            Err(format!(
                "a rate of {number} cannot be offered: more than 0, at most {RATE_PER_S_MAX} a second"
            ))
        }
    }
}

/// Conversations that are alike.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Audience {
    /// What traffic calls it.
    pub name: String,
    /// Which kind of conversations.
    pub kind: AudienceKind,
    /// How many.
    pub conversations: u32,
    /// Fewest and most members of each, publishers included; drawn evenly between them.
    pub members: [u32; 2],
    /// How members are chosen.
    #[serde(default)]
    pub assignment: Assignment,
}

/// Which kind of conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AudienceKind {
    /// Two people.
    Direct,
    /// Everybody may publish.
    Group,
    /// Only its first member publishes.
    Broadcast,
}

/// How an audience's members are chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Assignment {
    /// Anybody, drawn evenly.
    #[default]
    Random,
    /// One after the other, so that nobody is in two of them.
    Partition,
    /// As `random`, but one and the same person is the first member of all: a feed.
    Feed,
}

/// A stream of messages.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Traffic {
    /// What it is, for people.
    pub name: String,
    /// Where it goes: audiences and their weights.
    pub to: BTreeMap<String, f64>,
    /// Its share of the rate; what it is scaled by. Either this or `per_s`.
    pub share: Option<f64>,
    /// Its own rate, which does not depend on the rate that is asked for.
    pub per_s: Option<f64>,
    /// How it arrives.
    #[serde(default)]
    pub arrivals: ArrivalKind,
    /// Length of its payloads.
    pub payload_bytes: u32,
    /// Which priority.
    #[serde(default)]
    pub priority: Priority,
    /// How many of a conversation's members publish: its first so many, or all.
    #[serde(default)]
    pub publishers: Publishers,
}

/// How messages arrive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ArrivalKind {
    /// Independently of one another.
    #[default]
    Poisson,
    /// Evenly spaced.
    Constant,
}

/// How soon a message is to be there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// In order.
    #[default]
    Routine,
    /// Ahead of its turn.
    Urgent,
}

/// Who publishes in a conversation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "PublishersText")]
pub enum Publishers {
    /// Every member.
    #[default]
    Members,
    /// The first so many.
    First(u32),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum PublishersText {
    Number(u32),
    Word(String),
}

impl TryFrom<PublishersText> for Publishers {
    type Error = String;

    fn try_from(text: PublishersText) -> Result<Self, String> {
        match text {
            PublishersText::Number(number) if number > 0 => Ok(Self::First(number)),
            PublishersText::Word(word) if word == "members" => Ok(Self::Members),
            PublishersText::Word(word) if word == "one" => Ok(Self::First(1)),
            _ => Err("`publishers` is \"members\", \"one\", or a number from 1".into()),
        }
    }
}

/// When people read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", tag = "when")]
pub enum Reads {
    /// Never.
    #[default]
    Never,
    /// As soon as something is there.
    AtOnce,
    /// Log-normally distributed after the first unread message of a conversation.
    Later {
        /// Half are faster.
        #[serde(with = "humantime_serde")]
        median: Duration,
        /// Of the logarithm.
        sigma: f64,
    },
}

/// What a closed loop keeps in flight.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// How many messages, over all publishers.
    pub in_flight: u32,
    /// When one of them has landed.
    pub until: Landing,
}

/// When a message of a closed loop has landed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Landing {
    /// When it is durable.
    Acked,
    /// When every member has it.
    Delivered,
}

/// Devices that were away and come back at once.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reconnect {
    /// Whose members, the first of each conversation excepted, were away.
    pub audience: String,
    /// Within which time they come back, evenly spaced.
    #[serde(with = "humantime_serde")]
    pub within: Duration,
    /// Messages that each conversation got meanwhile.
    pub backlog: u32,
    /// Length of their payloads.
    pub payload_bytes: u32,
}

/// Readers that stop reading.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slow {
    /// Which share of all people that never publish; one at least.
    pub share: f64,
    /// From when, after the warm-up.
    #[serde(with = "humantime_serde")]
    pub from: Duration,
    /// For how long.
    #[serde(rename = "for", with = "humantime_serde")]
    pub lasts: Duration,
}

impl Workload {
    /// Checks what types cannot say: that names refer to something, and numbers are within bounds.
    pub(super) fn check(&self) -> Result<(), String> {
        within("people", self.people, 1, MANY)?;
        if self.duration.is_zero() {
            return Err("`duration` must be longer than 0s".into());
        }
        if self.alone.is_some_and(|alone| alone.is_zero()) {
            return Err("`alone` must be longer than 0s".into());
        }
        if self.alone.is_some() && !self.traffics.iter().any(|traffic| traffic.per_s.is_some()) {
            return Err("`alone` needs traffic with a rate of its own (`per_s`)".into());
        }
        if self.audiences.is_empty() || self.traffics.is_empty() {
            return Err("a workload has at least one [[audience]] and one [[traffic]]".into());
        }
        for audience in &self.audiences {
            self.check_audience(audience)
                .map_err(|error| format!("audience `{}`: {error}", audience.name))?;
        }
        for traffic in &self.traffics {
            self.check_traffic(traffic).map_err(|error| format!("traffic `{}`: {error}", traffic.name))?;
        }
        if let Reads::Later { median, sigma } = self.reads
            && (median.is_zero() || !(0.0..=10.0).contains(&sigma))
        {
            return Err("[reads]: `median` must be longer than 0s and `sigma` between 0 and 10".into());
        }
        if let Some(window) = self.window {
            within("[window]: `in_flight`", window.in_flight, 1, MANY)?;
        }
        if self.window.is_none() && self.rate == Rate::Window {
            return Err("`rate = \"window\"` needs a [window]".into());
        }
        if self.rate != Rate::Window && !self.traffics.iter().any(|traffic| traffic.share.is_some()) {
            return Err("no traffic has a `share` of the rate".into());
        }
        if let Some(slow) = self.slow
            && !(slow.share > 0.0 && slow.share <= 0.5)
        {
            return Err("[slow]: `share` must be more than 0, at most 0.5".into());
        }
        self.check_reconnect()
    }

    fn check_audience(&self, audience: &Audience) -> Result<(), String> {
        let [fewest, most] = audience.members;
        within("conversations", audience.conversations, 1, MANY)?;
        within("members", fewest, 1, most)?;
        if most > self.people {
            return Err(format!("{most} members among {} people", self.people));
        }
        if audience.kind == AudienceKind::Direct && audience.members != [2, 2] {
            return Err("a direct conversation has `members = [2, 2]`".into());
        }
        let pairs = u64::from(self.people) * u64::from(self.people.saturating_sub(1)) / 2;
        if audience.kind == AudienceKind::Direct && u64::from(audience.conversations) > pairs / 2 {
            return Err(format!("{} people make too few pairs", self.people));
        }
        let seats = u64::from(audience.conversations) * u64::from(most);
        if audience.assignment == Assignment::Partition && seats > u64::from(self.people) {
            return Err(format!("a partition into {seats} seats needs as many people, not {}", self.people));
        }
        Ok(())
    }

    fn check_traffic(&self, traffic: &Traffic) -> Result<(), String> {
        if traffic.to.is_empty() {
            return Err("`to` names no audience".into());
        }
        for (name, weight) in &traffic.to {
            let audience = self.audience(name)?;
            if !(*weight > 0.0 && weight.is_finite()) {
                return Err(format!("the weight of `{name}` must be more than 0"));
            }
            let is_one = traffic.publishers == Publishers::First(1);
            if audience.kind == AudienceKind::Broadcast && !is_one {
                return Err("only one publishes in a broadcast: `publishers = \"one\"`".into());
            }
        }
        let rate = match (traffic.share, traffic.per_s) {
            (Some(share), None) if share > 0.0 && share <= 1.0 => return self.check_payload(traffic),
            (Some(_), None) => return Err("`share` must be more than 0, at most 1".into()),
            (None, Some(per_s)) => per_s,
            _ => return Err("needs either a `share` of the rate or its own `per_s`".into()),
        };
        Rate::per_second(rate).and_then(|_| self.check_payload(traffic))
    }

    fn check_payload(&self, traffic: &Traffic) -> Result<(), String> {
        within("payload_bytes", traffic.payload_bytes, STAMP_BYTES as u32, PAYLOAD_BYTES_MAX)
    }

    fn check_reconnect(&self) -> Result<(), String> {
        let Some(reconnect) = &self.reconnect else { return Ok(()) };
        let audience = self.audience(&reconnect.audience).map_err(|error| format!("[reconnect]: {error}"))?;
        if audience.assignment != Assignment::Partition {
            return Err("[reconnect]: its audience needs `assignment = \"partition\"`".into());
        }
        let elsewhere = self.traffics.iter().find(|traffic| {
            traffic.to.contains_key(&reconnect.audience) && traffic.publishers != Publishers::First(1)
        });
        if let Some(traffic) = elsewhere {
            return Err(format!(
                "[reconnect]: who is away cannot publish `{}`; give it `publishers = \"one\"`",
                traffic.name
            ));
        }
        within(
            "[reconnect]: `payload_bytes`",
            reconnect.payload_bytes,
            STAMP_BYTES as u32,
            PAYLOAD_BYTES_MAX,
        )?;
        within("[reconnect]: `backlog`", reconnect.backlog, 0, 10_000)
    }

    fn audience(&self, name: &str) -> Result<&Audience, String> {
        self.audiences
            .iter()
            .find(|audience| audience.name == name)
            .ok_or_else(|| format!("there is no audience `{name}`"))
    }
}

fn within(what: &str, number: u32, least: u32, most: u32) -> Result<(), String> {
    if (least..=most).contains(&number) {
        Ok(())
    } else {
        Err(format!("{what} must be between {least} and {most}, not {number}"))
    }
}
