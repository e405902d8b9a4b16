//! How fast frames are made and taken apart: the cost that every request pays on top of the network.

use std::hint::black_box;

use bytes::BytesMut;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use wardline_benches::message::publish_frame;
use wardline_proto::{frame, v1};

const FRAME_BYTES_MAX: usize = 80 * 1024;

fn codec(criterion: &mut Criterion) {
    let message = publish_frame(0);
    let mut wire = BytesMut::new();
    frame::encode(&message, &mut wire);
    let wire = wire.freeze();

    let mut group = criterion.benchmark_group("codec/publish");
    group.throughput(Throughput::Elements(1));
    group.bench_function("encode", |bencher| {
        let mut out = BytesMut::with_capacity(2 * wire.len());
        bencher.iter(|| {
            out.clear();
            frame::encode(black_box(&message), &mut out);
        });
    });
    group.bench_function("split and decode", |bencher| {
        bencher.iter_batched_ref(
            || BytesMut::from(&wire[..]),
            |buffer| {
                let content = frame::split(buffer, FRAME_BYTES_MAX).expect("well formed").expect("whole");
                black_box(frame::decode::<v1::ClientFrame>(content).expect("well formed"))
            },
            criterion::BatchSize::SmallInput,
        );
    });
    group.finish();
}

criterion_group!(benches, codec);
criterion_main!(benches);
