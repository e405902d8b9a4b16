//! A store is used only if its format is known.

use bytes::Bytes;
use wardline_storage::engine::{Durability, Engine, EngineError, Mutation, Table};
use wardline_storage::format::{self, FORMAT, FormatError};
use wardline_storage::id::Timestamp;
use wardline_storage::memory::MemoryEngine;

/// Part of the format: never changes.
const FORMAT_KEY: &[u8] = b"store/format";

fn put(engine: &MemoryEngine, table: Table, key: &[u8], value: &[u8], expires: Timestamp) {
    let (key, value) = (Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
    engine.commit(&[Mutation::Put { table, key, value, expires }], Durability::Synced).expect("commits");
}

fn put_format(engine: &MemoryEngine, value: &[u8]) {
    put(engine, Table::Meta, FORMAT_KEY, value, Timestamp::NEVER);
}

#[test]
fn an_empty_store_becomes_one_of_this_format() {
    let engine = MemoryEngine::default();
    format::check(&engine).unwrap();
    let stored = engine.get(Table::Meta, FORMAT_KEY, Timestamp::ZERO).unwrap();
    assert_eq!(stored.as_deref(), Some(&FORMAT.to_be_bytes()[..]));
    put(&engine, Table::Message, b"key", b"value", Timestamp::NEVER);
    format::check(&engine).expect("it opens again, with records in it");
}

#[test]
fn a_newer_format_is_refused_and_left_alone() {
    let engine = MemoryEngine::default();
    put_format(&engine, &(FORMAT + 1).to_be_bytes());
    let refused = format::check(&engine).unwrap_err();
    assert!(matches!(refused, FormatError::Newer { found } if found == FORMAT + 1), "{refused}");
    let text = refused.to_string();
    assert!(text.contains(&format!("format {}", FORMAT + 1)) && text.contains("newer version"), "{text}");
    let stored = engine.get(Table::Meta, FORMAT_KEY, Timestamp::ZERO).unwrap();
    assert_eq!(stored.as_deref(), Some(&(FORMAT + 1).to_be_bytes()[..]));
}

#[test]
fn records_without_a_format_are_refused_in_every_table() {
    for table in Table::ALL {
        let engine = MemoryEngine::default();
        // Expired by any clock, but there.
        let expires = if table.expires() { Timestamp(1) } else { Timestamp::NEVER };
        put(&engine, table, b"key", b"value", expires);
        assert!(matches!(format::check(&engine), Err(FormatError::Missing)), "{table:?}");
        assert_eq!(engine.get(Table::Meta, FORMAT_KEY, Timestamp::ZERO).unwrap(), None, "nothing is adopted");
    }
}

#[test]
fn a_damaged_format_is_not_taken_for_one() {
    for damaged in [&b""[..], &[1], &[0, 0, 0, 0], &[0, 0, 0, 0, 1]] {
        let engine = MemoryEngine::default();
        put_format(&engine, damaged);
        let refused = format::check(&engine).unwrap_err();
        assert!(
            matches!(refused, FormatError::Engine(EngineError::Corrupt { .. })),
            "{damaged:?}: {refused}"
        );
    }
}

#[test]
fn the_secret_of_the_ids_is_made_once() {
    let engine = MemoryEngine::default();
    format::check(&engine).unwrap();
    assert_eq!(format::id_secret(&engine, [1; 32]).unwrap(), [1; 32]);
    assert_eq!(format::id_secret(&engine, [2; 32]).unwrap(), [1; 32], "it never changes");
    format::check(&engine).unwrap();
}

#[test]
fn a_damaged_secret_is_not_replaced() {
    let engine = MemoryEngine::default();
    put(&engine, Table::Meta, b"store/id-secret", &[1; 31], Timestamp::NEVER);
    assert!(matches!(format::id_secret(&engine, [2; 32]), Err(EngineError::Corrupt { .. })));
}
