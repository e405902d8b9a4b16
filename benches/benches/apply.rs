//! How fast the applier decides groups of publishes, on the memory engine: the commit path without disk.

use std::sync::Arc;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use wardline_benches::message::{create, publish};
use wardline_storage::applier::Applier;
use wardline_storage::memory::MemoryEngine;

fn apply(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("apply/publish");
    for size in [1_u64, 10, 100, 1_000] {
        group.throughput(Throughput::Elements(size));
        group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
            let mut applier = Applier::new(Arc::new(MemoryEngine::default())).expect("memory does not fail");
            applier.apply_group(&[create()]).expect("memory does not fail");
            let mut number = 0;
            bencher.iter_batched(
                || {
                    number += size;
                    (number - size..number).map(publish).collect::<Vec<_>>()
                },
                |group| applier.apply_group(&group).expect("memory does not fail"),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, apply);
criterion_main!(benches);
