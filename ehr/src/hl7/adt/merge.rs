//! A40: two records turned out to be one person (HL7 v2.5.1, section 3.3.40).
//!
//! PID names who stays and the MRG behind it what they were also known by; a message may have
//! several such pairs. What both names have in common, such as a national number, merges nothing.
//! Whoever is merged with themself, or in a circle, is refused, and nothing of the message is done.

use super::super::flaw::{Flaw, Reason};
use super::super::message::{Message, Segment};
use super::super::place::{Name, Place};
use super::identifier::identifiers;
use super::patient::patient;
use crate::record::{Authority, Identifier, Merge};

/// Most pairs of one message.
const MERGES_MAX: usize = 32;

/// Reads all pairs.
pub(super) fn merges(
    message: &Message,
    own: Option<&Authority>,
    section: &'static str,
) -> Result<Vec<Merge>, Flaw> {
    let missing = |name: Name, at: Place| Flaw::about(section, Reason::SegmentMissing(name), at);
    let mut merges: Vec<(Merge, Place)> = Vec::new();
    let mut stays: Option<Segment<'_>> = None;
    for segment in message.segments() {
        match segment.name() {
            Name::PID if stays.is_some() => return Err(missing(Name::MRG, segment.place())),
            Name::PID => stays = Some(segment),
            Name::MRG => {
                if merges.len() == MERGES_MAX {
                    let reason = Reason::TooManySegments { max: MERGES_MAX };
                    return Err(Flaw::about(section, reason, segment.place()));
                }
                let pid = stays.take().ok_or_else(|| missing(Name::PID, segment.place()))?;
                merges.push((merge(pid, segment, own)?, segment.field(1).place()));
            }
            _ => {}
        }
    }
    if stays.is_some() || merges.is_empty() {
        return Err(missing(if stays.is_some() { Name::MRG } else { Name::PID }, message.end()));
    }
    match circle(&merges) {
        Some(at) => Err(Flaw::new(Reason::MergeCircle, at)),
        None => Ok(merges.into_iter().map(|(merge, _)| merge).collect()),
    }
}

fn merge(pid: Segment<'_>, mrg: Segment<'_>, own: Option<&Authority>) -> Result<Merge, Flaw> {
    let survivor = patient(pid, own)?;
    let mut prior = identifiers(mrg.field(1), own)?;
    if prior.is_empty() {
        return Err(mrg.field(1).missing());
    }
    prior.retain(|identifier| !is_among(identifier, &survivor.identifiers));
    if prior.is_empty() {
        return Err(mrg.field(1).flaw(Reason::MergeWithSelf));
    }
    Ok(Merge { survivor, prior })
}

fn is_among(identifier: &Identifier, others: &[Identifier]) -> bool {
    others.iter().any(|other| other.is_same(identifier))
}

/// Where somebody is merged away who is, over other pairs of the message, also who stays of it.
fn circle(merges: &[(Merge, Place)]) -> Option<Place> {
    // From each merge to those in which its survivor is merged away.
    let leads: Vec<Vec<usize>> =
        merges.iter().map(|(merge, _)| away(merges, &merge.survivor.identifiers)).collect();
    for begin in 0..merges.len() {
        let (mut seen, mut open) = (vec![false; merges.len()], vec![begin]);
        while let Some(at) = open.pop() {
            for next in &leads[at] {
                if *next == begin {
                    return Some(merges[begin].1);
                }
                if !std::mem::replace(&mut seen[*next], true) {
                    open.push(*next);
                }
            }
        }
    }
    None
}

/// The merges in which somebody known by these is merged away.
fn away(merges: &[(Merge, Place)], known: &[Identifier]) -> Vec<usize> {
    let is_away = |at: &usize| merges[*at].0.prior.iter().any(|prior| is_among(prior, known));
    (0..merges.len()).filter(is_away).collect()
}
