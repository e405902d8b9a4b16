//! The product over real QUIC: every operation of the wire contract, every kind of bad input,
//! expiry.
//!
//! [`raw`] is a client without the SDK: it says what no SDK would, and sees the lanes. One binary,
//! so that the site is compiled and linked once. Tests of operations run on all engines.

// A test that cannot go on has failed.
#![allow(clippy::unwrap_used)]

/// Makes a test of each function on each engine.
macro_rules! on_all_engines {
    ($($name:ident),* $(,)?) => {
        mod memory {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(crate::site::Site::memory().await).await;
            })*
        }
        mod rocksdb {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(crate::site::Site::rocksdb().await).await;
            })*
        }
        mod redb {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(crate::site::Site::redb().await).await;
            })*
        }
    };
}

mod bad_input;
mod control;
mod conversations;
mod delivery;
mod ends;
mod expiry;
mod fair;
mod identity;
mod membership;
mod messages;
mod pressure;
mod raw;
mod receipts;
mod record;
mod registrar;
mod reload;
mod revoke;
mod sessions;
mod site;
mod stop;
mod urgent;
mod violations;
mod witness;
mod work;
