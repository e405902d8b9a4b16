//! What a run will do, drawn before it begins: who is in which conversation, who publishes, who is
//! away or slow.
//!
//! Pure and seeded: the same workload and seed give the same plan, on every machine. [`arrivals`]
//! has when messages are due. Invariant: a conversation's publishers are its first members, so that
//! a publisher's place among the members is its place among the publishers too.

pub mod arrivals;

use std::collections::HashSet;

use rand::rngs::SmallRng;
use rand::seq::index;
use rand::{RngExt as _, SeedableRng as _};

use crate::seed::{Purpose, mix};
use crate::workload::{Assignment, Audience, AudienceKind, Priority, Publishers, Traffic, Workload};

/// A person, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Person(pub u32);

/// A conversation, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Room(pub u32);

/// What a run will do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How many people there are.
    pub people: u32,
    /// The conversations, by [`Room`].
    pub rooms: Vec<RoomPlan>,
    /// By traffic: where its messages go.
    pub targets: Vec<Targets>,
    /// Whose devices are away when it begins.
    pub away: Vec<Person>,
    /// The conversations that those were away from.
    pub away_rooms: Vec<Room>,
    /// Who stops reading.
    pub slow: Vec<Person>,
}

/// A conversation.
#[derive(Clone, Debug)]
pub struct RoomPlan {
    /// Which kind.
    pub kind: AudienceKind,
    /// Who is in it; the first makes it.
    pub members: Vec<Person>,
    /// The first so many of them publish.
    pub publishers: u32,
    /// Whether urgent messages go there too.
    pub has_urgent: bool,
}

/// Where the messages of one traffic go.
#[derive(Clone, Debug)]
pub struct Targets {
    /// First room, how many rooms, and the sum of weights up to and including them.
    audiences: Vec<(u32, u32, f64)>,
    publishers: Publishers,
    priority: Priority,
}

/// Where one message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// The conversation.
    pub room: Room,
    /// Which of its publishers.
    pub publisher: u32,
    /// Which priority.
    pub priority: Priority,
}

impl Plan {
    /// Draws a plan.
    pub fn new(workload: &Workload, seed: u64) -> Self {
        let mut rng = SmallRng::seed_from_u64(mix(seed, Purpose::Population, 0));
        let mut rooms = Vec::new();
        let mut first_rooms = Vec::new();
        let mut partitioned = 0;
        for audience in &workload.audiences {
            first_rooms.push(rooms.len() as u32);
            let mut pairs = HashSet::new();
            for _ in 0..audience.conversations {
                let members = draw_members(audience, workload.people, &mut partitioned, &mut pairs, &mut rng);
                rooms.push(room(audience, members, workload));
            }
        }
        let targets = workload.traffics.iter().map(|traffic| targets(traffic, workload, &first_rooms));
        let mut plan = Self {
            people: workload.people,
            targets: targets.collect(),
            rooms,
            away: Vec::new(),
            away_rooms: Vec::new(),
            slow: Vec::new(),
        };
        plan.choose_away(workload, &first_rooms);
        plan.choose_slow(workload, &mut rng);
        plan
    }

    /// The conversation's plan.
    pub fn room(&self, room: Room) -> &RoomPlan {
        &self.rooms[room.0 as usize]
    }

    /// Who publishes a message.
    pub fn publisher(&self, target: Target) -> Person {
        self.room(target.room).members[target.publisher as usize]
    }

    /// By person: the conversations that they are in, ascending, with their place among the
    /// members.
    pub fn seats(&self) -> Vec<Vec<(Room, u32)>> {
        let mut seats = vec![Vec::new(); self.people as usize];
        for (number, room) in self.rooms.iter().enumerate() {
            for (place, member) in room.members.iter().enumerate() {
                seats[member.0 as usize].push((Room(number as u32), place as u32));
            }
        }
        seats
    }

    /// By person: whether they ever publish.
    pub fn publishes(&self) -> Vec<bool> {
        let mut publishes = vec![false; self.people as usize];
        for room in &self.rooms {
            for member in &room.members[..room.publishers as usize] {
                publishes[member.0 as usize] = true;
            }
        }
        publishes
    }

    /// Draws where the next message of a traffic goes.
    pub fn draw(&self, traffic: usize, rng: &mut SmallRng) -> Target {
        let targets = &self.targets[traffic];
        let all = targets.audiences.last().map_or(0.0, |(.., up_to)| *up_to);
        let drawn = rng.random_range(0.0..all);
        let place = targets.audiences.partition_point(|(.., up_to)| *up_to <= drawn);
        let (first, count, _) = targets.audiences[place.min(targets.audiences.len() - 1)];
        let room = Room(first + if count == 1 { 0 } else { rng.random_range(0..count) });
        let members = self.room(room).members.len() as u32;
        let publisher = match targets.publishers.among(members) {
            1 => 0,
            many => rng.random_range(0..many),
        };
        Target { room, publisher, priority: targets.priority }
    }

    fn choose_away(&mut self, workload: &Workload, first_rooms: &[u32]) {
        let Some(reconnect) = &workload.reconnect else { return };
        for (audience, first) in workload.audiences.iter().zip(first_rooms) {
            if audience.name == reconnect.audience {
                self.away_rooms = (*first..first + audience.conversations).map(Room).collect();
            }
        }
        let rooms = self.away_rooms.iter().map(|room| &self.rooms[room.0 as usize]);
        self.away = rooms.flat_map(|room| room.members[1..].iter().copied()).collect();
    }

    fn choose_slow(&mut self, workload: &Workload, rng: &mut SmallRng) {
        let Some(slow) = workload.slow else { return };
        let publishes = self.publishes();
        let mut readers: Vec<_> = (0..self.people).map(Person).collect();
        readers.retain(|person| !publishes[person.0 as usize]);
        let count = ((f64::from(self.people) * slow.share).round() as usize).max(1).min(readers.len());
        self.slow = index::sample(rng, readers.len(), count).iter().map(|place| readers[place]).collect();
    }
}

impl Publishers {
    /// How many they are among so many members.
    pub fn among(self, members: u32) -> u32 {
        match self {
            Self::Members => members,
            Self::First(number) => number.min(members),
        }
    }
}

fn draw_members(
    audience: &Audience,
    people: u32,
    partitioned: &mut u32,
    pairs: &mut HashSet<[u32; 2]>,
    rng: &mut SmallRng,
) -> Vec<Person> {
    let [fewest, most] = audience.members;
    let count = rng.random_range(fewest..=most);
    match audience.assignment {
        Assignment::Partition => {
            // Across audiences too, as long as there are people; then from the first one again.
            let first = if *partitioned + count > people { 0 } else { *partitioned };
            *partitioned = first + count;
            (first..first + count).map(Person).collect()
        }
        Assignment::Feed => {
            let others = index::sample(rng, people as usize - 1, count as usize - 1);
            let others = others.iter().map(|place| Person(place as u32 + 1));
            std::iter::once(Person(0)).chain(others).collect()
        }
        Assignment::Random => loop {
            let drawn = index::sample(rng, people as usize, count as usize);
            let members: Vec<_> = drawn.iter().map(|place| Person(place as u32)).collect();
            // Two people have one direct conversation.
            let is_new = match members[..] {
                [Person(a), Person(b)] if audience.kind == AudienceKind::Direct => {
                    pairs.insert([a.min(b), a.max(b)])
                }
                _ => true,
            };
            if is_new {
                break members;
            }
        },
    }
}

fn room(audience: &Audience, members: Vec<Person>, workload: &Workload) -> RoomPlan {
    let traffics = workload.traffics.iter().filter(|traffic| traffic.to.contains_key(&audience.name));
    let count = members.len() as u32;
    let publishers = traffics.clone().map(|traffic| traffic.publishers.among(count)).max().unwrap_or(1);
    let has_urgent = traffics.clone().any(|traffic| traffic.priority == Priority::Urgent);
    RoomPlan { kind: audience.kind, members, publishers, has_urgent }
}

fn targets(traffic: &Traffic, workload: &Workload, first_rooms: &[u32]) -> Targets {
    let mut up_to = 0.0;
    let mut audiences = Vec::new();
    for (audience, first) in workload.audiences.iter().zip(first_rooms) {
        if let Some(weight) = traffic.to.get(&audience.name) {
            up_to += weight;
            audiences.push((*first, audience.conversations, up_to));
        }
    }
    Targets { audiences, publishers: traffic.publishers, priority: traffic.priority }
}
