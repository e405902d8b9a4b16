//! storage/rocksdb.
