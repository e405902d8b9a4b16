//! The figures that the engine tells of itself, by constant names.
//!
//! Names are for metrics, so they never change, and there are always the same ones. Only what is
//! counted anyway is read: this is asked every few seconds.

use std::sync::atomic::{AtomicU64, Ordering};

use wardline_storage::engine::{Figure, Value};

use crate::engine::RedbEngine;

/// Reads them all.
pub(crate) fn read(engine: &RedbEngine) -> Vec<Figure> {
    let gauge =
        |name, meaning, value: u64| Figure { name, meaning, label: None, value: Value::Gauge(value as f64) };
    let counter = |name, meaning, count: &AtomicU64| {
        let value = Value::Counter(count.load(Ordering::Relaxed));
        Figure { name, meaning, label: None, value }
    };
    let (size, counts) = (&engine.size, &engine.counts);
    let file_bytes = engine.file().disk.bytes();
    vec![
        gauge("file_bytes", "Bytes of the store file.", file_bytes),
        gauge("rows", "Rows, expired ones that are not reclaimed included.", size.rows()),
        gauge("row_bytes", "Bytes of their keys and values.", size.bytes()),
        gauge(
            "spare_bytes",
            "Bytes of the store file that are neither: free pages, room in pages, what redb adds.",
            file_bytes.saturating_sub(size.bytes()),
        ),
        gauge(
            "cache_bytes_max",
            "Most bytes of pages in memory, of the store; a copy has as many.",
            engine.cache_bytes as u64,
        ),
        counter("commits_total", "Batches that were committed.", &engine.commits),
        counter("syncs_total", "Syncs of store files, copies included.", &counts.syncs),
        counter(
            "written_bytes_total",
            "Bytes written to store files, copies included.",
            &counts.written_bytes,
        ),
        counter(
            "stall_microseconds_total",
            "Time that commits waited for a copy to take the store's place, in microseconds.",
            &counts.stall,
        ),
        counter("page_reads_total", "Reads of store files: pages that were not in memory.", &counts.reads),
        counter("read_bytes_total", "Bytes that these reads took.", &counts.read_bytes),
    ]
}
