//! What frames cost: making them and taking them apart, against copying the same bytes.
//!
//! A publish goes up from a client, an entry goes down to readers. Splitting and decoding share the
//! buffer's memory and copy no payload, so they may well beat a copy; names and numbers are what
//! they cost.

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use prost::Message;
use wardline_benches::message::{PAYLOAD_BYTES, entry_frame, publish_frame};
use wardline_benches::side_by_side::{self, Bench, Case};
use wardline_proto::{frame, v1};

const FRAME_BYTES_MAX: usize = 80 * 1024;
/// Frames that are handled between two looks at the clock.
const FRAMES: usize = 64;

fn main() {
    side_by_side::run(|bench| {
        let mut published = BytesMut::new();
        frame::encode(&publish_frame(0), &mut published);
        both_ways::<v1::ClientFrame>(bench, "publish", &published.freeze());
        both_ways::<v1::PushFrame>(bench, "entry", &entry_frame(PAYLOAD_BYTES));
    });
}

/// Measures a frame, which is a whole one of this type.
fn both_ways<M: Message + Default>(bench: &mut Bench, name: &str, wire: &Bytes) {
    let case = |doing: &str| Case {
        group: "codec",
        name: format!("{name}-{doing}"),
        limit: "memcpy",
        units: FRAMES as u64,
        unit: "frames",
        time: Duration::from_secs(4),
    };
    bench.measure(&case("encode"), || (encode::<M>(wire), copy(wire)));
    bench.measure(&case("split-and-decode"), || (split_and_decode::<M>(wire), copy(wire)));
}

fn encode<M: Message + Default>(wire: &Bytes) -> impl FnMut(u64) -> Duration {
    let content = frame::split(&mut BytesMut::from(&wire[..]), FRAME_BYTES_MAX).expect("well formed");
    let message: M = frame::decode(content.expect("whole")).expect("well formed");
    let mut out = BytesMut::with_capacity(FRAMES * wire.len());
    move |iterations| {
        let begun = Instant::now();
        for _ in 0..iterations {
            out.clear();
            (0..FRAMES).for_each(|_| frame::encode(black_box(&message), &mut out));
            black_box(&out);
        }
        begun.elapsed()
    }
}

fn split_and_decode<M: Message + Default>(wire: &Bytes) -> impl FnMut(u64) -> Duration {
    let stream = wire.repeat(FRAMES);
    move |iterations| {
        let mut total = Duration::ZERO;
        for _ in 0..iterations {
            let mut buffer = BytesMut::from(&stream[..]);
            let begun = Instant::now();
            while let Some(content) = frame::split(&mut buffer, FRAME_BYTES_MAX).expect("well formed") {
                black_box(frame::decode::<M>(content).expect("well formed"));
            }
            total += begun.elapsed();
        }
        total
    }
}

fn copy(wire: &Bytes) -> impl FnMut(u64) -> Duration {
    let wire = wire.clone();
    let mut out = BytesMut::with_capacity(FRAMES * wire.len());
    move |iterations| {
        let begun = Instant::now();
        for _ in 0..iterations {
            out.clear();
            (0..FRAMES).for_each(|_| out.extend_from_slice(black_box(&wire)));
            black_box(&out);
        }
        begun.elapsed()
    }
}
