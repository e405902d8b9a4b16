//! Streams of frames: valid ones, damaged ones and noise, in portions of chosen sizes.
//!
//! A valid frame is accepted and loses nothing; what is accepted is encoded and decoded again to
//! the same; nothing over the limit passes, nothing is reserved, and the portions in which bytes
//! arrive change nothing.

use prost::Message;
use wardline_proto::v1::{ClientFrame, PushFrame, ServerFrame};

use crate::SCHEMA;
use crate::wire::{Choices, Spelling, damage, framed, has_field, read};

/// Bytes of the input that choose the portions.
const PORTIONS_BYTES: usize = 8;
/// Portions so large that everything arrives at once.
const AT_ONCE: Choices<'_> = Choices(&[6]);

/// Reads a stream.
///
/// # Panics
/// If a property does not hold.
pub fn run(data: &[u8]) {
    let Some((&kind, rest)) = data.split_first() else { return };
    match kind % 3 {
        0 => of::<ClientFrame>("ClientFrame", kind / 3, rest),
        1 => of::<ServerFrame>("ServerFrame", kind / 3, rest),
        _ => of::<PushFrame>("PushFrame", kind / 3, rest),
    }
}

fn of<M: Message + Default + PartialEq>(frame: &str, how: u8, data: &[u8]) {
    let (portions, rest) = data.split_at(data.len().min(PORTIONS_BYTES));
    let frame_bytes_max = [usize::MAX, 20, 300, 70_000, 0][usize::from(how) % 5];
    let mut choices = Choices(rest);
    let stream = match how / 5 % 4 {
        0 => rest.to_vec(),
        1 => framed(rest),
        _ => made::<M>(frame, &mut choices),
    };
    let reading = read::<M>(&stream, frame_bytes_max, Choices(portions));
    let at_once = read::<M>(&stream, frame_bytes_max, AT_ONCE);
    assert!(reading == at_once, "the portions in which bytes arrived changed the outcome");
}

/// Makes a stream of up to three frames, damaged or not.
fn made<M: Message + Default + PartialEq>(frame: &str, choices: &mut Choices<'_>) -> Vec<u8> {
    let mut stream = Vec::new();
    for _ in 0..=choices.below(3) {
        let mut content = valid::<M>(frame, choices);
        for _ in 0..[0, 0, 1, 3][choices.below(4)] {
            damage(&mut content, choices);
        }
        stream.extend(framed(&content));
    }
    for _ in 0..[0, 0, 1, 3][choices.below(4)] {
        damage(&mut stream, choices);
    }
    stream
}

/// Makes a frame that must be accepted.
fn valid<M: Message + Default + PartialEq>(frame: &str, choices: &mut Choices<'_>) -> Vec<u8> {
    let arms = SCHEMA.arms(frame);
    let arm = arms[choices.below(arms.len())];
    let spelling = [Spelling::Canonical, Spelling::Loose][choices.below(2)];
    let content = SCHEMA.frame(frame, arm, spelling, choices);
    let reading = read::<M>(&framed(&content), usize::MAX, AT_ONCE);
    let [Some(received)] = &reading.frames[..] else { panic!("{frame}.{arm}: a valid frame was refused") };
    assert!(has_field(received, arm), "{frame}.{arm}: lost");
    assert!(
        spelling == Spelling::Loose || *received == content,
        "{frame}.{arm}: a field was lost or changed"
    );
    content
}
