//! What expiry costs a compaction: a reclaim, which compacts the table of messages with the expiry
//! filter, against bare RocksDB compacting a copy of the same table without it.
//!
//! Nothing expires, so both read and write every record each time; the filter is asked about each.
//! Both flush first; ours also flushes every other table, looks at its folder, and waits until the
//! old files are gone.

use std::path::Path;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use wardline_benches::backlog::{self, NOW};
use wardline_benches::bare_rocksdb::BareRocks;
use wardline_benches::message::CONVERSATION;
use wardline_benches::side_by_side::{self, Case};
use wardline_rocksdb::RocksEngine;
use wardline_storage::engine::{Durability, Engine, Mutation, Table};
use wardline_storage::id::{ConversationId, Seq};
use wardline_storage::key;

const RECORDS: u64 = 200_000;

fn main() {
    side_by_side::run(|bench| {
        let case = Case {
            group: "compaction",
            name: RECORDS.to_string(),
            limit: "compacting without the filter",
            units: RECORDS,
            unit: "records",
            time: Duration::from_secs(20),
        };
        let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("the target folder is writable");
        bench.measure(&case, || {
            let engine = backlog::store_of(&folder.path().join("store"), RECORDS);
            (with_filter(engine), without(folder.path()))
        });
    });
}

fn with_filter(engine: RocksEngine) -> impl FnMut(u64) -> Duration {
    // A table is rewritten when something in it is due: a deletion is.
    let key = key::message(ConversationId::new(CONVERSATION), Seq::MAX);
    let deletion = [Mutation::Delete { table: Table::Message, key: key.to_vec().into() }];
    move |iterations| {
        let mut total = Duration::ZERO;
        for _ in 0..iterations {
            engine.commit(&deletion, Durability::Buffered).expect("it can be written");
            let begun = Instant::now();
            let reclaimed = engine.reclaim(NOW).expect("it can be compacted");
            total += begun.elapsed();
            assert_eq!(reclaimed.records, 0, "nothing has expired");
        }
        total
    }
}

fn without(folder: &Path) -> impl FnMut(u64) -> Duration {
    let mut store = BareRocks::open(folder, backlog::record_bytes()).expect("a new folder opens");
    for _ in 0..RECORDS / backlog::GROUP {
        store.write(backlog::GROUP).expect("it can be written");
    }
    move |iterations| {
        let mut total = Duration::ZERO;
        for _ in 0..iterations {
            store.delete_nothing().expect("it can be written");
            let begun = Instant::now();
            store.compact().expect("it can be compacted");
            total += begun.elapsed();
        }
        total
    }
}
