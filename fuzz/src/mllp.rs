//! Streams of MLLP: any bytes, and blocks with what goes wrong between them, in portions.
//!
//! The portions in which bytes arrive change nothing; no more is held than a message and a portion;
//! no message holds a byte that was not sent, nor are bytes told that were not there.

#[path = "../../ehr/src/mllp/tests/portions.rs"]
mod portions;

use wardline_ehr::mllp::{Block, Bounds, Broken, Decoder};

use crate::wire::Choices;
use portions::blocks_in;

/// Bytes of the input that choose the portions.
const PORTIONS_BYTES: usize = 8;
/// Small, so that what is too long is met often.
const BOUNDS: Bounds = Bounds { message_bytes_max: 64, passed_bytes_max: 6000, stray_bytes_max: 256 };

/// Reads a stream.
///
/// # Panics
/// If a property does not hold.
pub fn run(data: &[u8]) {
    let Some((&how, rest)) = data.split_first() else { return };
    let (portions, rest) = rest.split_at(rest.len().min(PORTIONS_BYTES));
    let stream = if how % 2 == 0 { rest.to_vec() } else { made(&mut Choices(rest)) };
    let portions: Vec<usize> = portions.iter().copied().map(usize::from).collect();
    let at_once = blocks_in(&stream, &[usize::MAX], BOUNDS);
    let in_portions = blocks_in(&stream, &portions, BOUNDS);
    assert!(in_portions == at_once, "the portions in which bytes arrived changed the outcome");
    let told: usize = at_once.0.iter().map(bytes).sum();
    assert!(told <= stream.len(), "more is told than was sent");
}

/// Pieces of streams as they are met, in any order.
fn made(choices: &mut Choices<'_>) -> Vec<u8> {
    const PIECES: [&[u8]; 14] = [
        b"\x0b",
        b"\x1c\r",
        b"\x1c",
        b"\r",
        b"\n",
        b"\0",
        b"MSH|^~\\&|a\r",
        b"PID|1\r",
        b"MS",
        b"BHS|",
        b" ",
        b"\x0bMSH|^~\\&|b\r\x1c\r",
        b"x",
        b"\x1c\n",
    ];
    let mut stream = Vec::new();
    for _ in 0..choices.below(40) {
        match choices.below(20) {
            at if at < PIECES.len() => stream.extend(PIECES[at]),
            14 => stream.extend(vec![b'y'; 70]),
            15 => stream.extend(vec![b'z'; 2500]),
            _ => stream.push(u8::try_from(choices.below(256)).unwrap_or_default()),
        }
    }
    stream
}

/// How many bytes of the stream a block tells of.
fn bytes(block: &Block) -> usize {
    match block {
        Block::Message(content) | Block::CutOff(content) => {
            assert!(content.len() <= BOUNDS.message_bytes_max, "longer than allowed");
            content.len()
        }
        Block::TooLong { head, bytes } => {
            assert!(head.len() <= *bytes && *bytes > BOUNDS.message_bytes_max, "not too long");
            *bytes
        }
        Block::Stray(bytes) => *bytes,
    }
}
