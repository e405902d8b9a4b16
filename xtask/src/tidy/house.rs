//! Rules about who may know whom: `loadgen → client → proto ← broker → storage ← storage/rocksdb ←
//! broker/src/main.rs`.
//!
//! From the manifests: which crate of the workspace may depend on which, tests included, so that
//! the client never links the broker and whoever does not need RocksDB never compiles it. From the
//! code: only the broker's `main.rs` names an engine, no type of the wire stands past
//! `broker/src/wire`, and the pure parts (the machine, the progress of a delivery, the SDK's rules)
//! have no clock, no I/O and no task.

use super::finding::Finding;
use super::source::{Source, is_word};

/// Which crates of the workspace each may depend on, in any section of its manifest.
const DEPENDENCIES: &[(&str, &[&str])] = &[
    ("proto/Cargo.toml", &[]),
    ("storage/Cargo.toml", &["wardline-storage"]), // itself: its tests turn a feature on
    ("storage/rocksdb/Cargo.toml", &["wardline-storage"]),
    ("storage/redb/Cargo.toml", &["wardline-storage"]),
    ("client/Cargo.toml", &["wardline-proto"]),
    // A broker, for its tests.
    ("ehr/Cargo.toml", &["wardline-client", "wardline-broker", "wardline-storage"]),
    ("loadgen/Cargo.toml", &["wardline-client", "wardline-proto"]), // for its offender
    ("torture/Cargo.toml", &["wardline-client"]),
    (
        "broker/Cargo.toml",
        &[
            "wardline-proto",
            "wardline-storage",
            "wardline-rocksdb",
            "wardline-redb",
            "wardline-client",
            "wardline-torture", // its people and its oracle, for the crash tests
        ],
    ),
    ("xtask/Cargo.toml", &[]),
];

/// Words that only some files may use.
struct Fence {
    words: &'static [&'static str],
    /// The rule holds for files whose path begins so,
    within: &'static [&'static str],
    /// except for these.
    except: &'static [&'static str],
    why: &'static str,
}

const FENCES: &[Fence] = &[
    Fence {
        words: &["wardline_rocksdb", "wardline_redb", "MemoryEngine"],
        within: &["broker/src/"],
        except: &["broker/src/main.rs"],
        why: "only broker/src/main.rs names an engine",
    },
    Fence {
        words: &["prost", "wardline_proto::v1"],
        within: &["broker/src/"],
        except: &["broker/src/wire.rs", "broker/src/wire/"],
        why: "types of the wire end at broker/src/wire",
    },
    Fence {
        words: &[
            "Instant",
            "SystemTime",
            "tokio",
            "quinn",
            "std::fs",
            "std::net",
            "std::thread",
            "rand",
            "getrandom",
        ],
        within: &[
            "storage/src/machine",
            "client/src/core",
            "broker/src/delivery/progress",
            "torture/src/event",
            "torture/src/oracle",
            "ehr/src/hl7",
            "ehr/src/mllp",
            "ehr/src/record",
            "ehr/src/outlet/commands",
            "ehr/src/outlet/terms",
        ],
        except: &[],
        why: "this part is pure: no clock, no chance, no I/O, no task",
    },
    Fence {
        words: &["wardline_storage", "wardline_broker", "wardline_rocksdb", "wardline_redb"],
        within: &["proto/", "client/", "ehr/src/", "loadgen/", "torture/"],
        except: &[],
        why: "the wire's side does not know the broker's",
    },
    Fence {
        words: &["wardline_proto"],
        within: &["storage/", "ehr/", "loadgen/", "torture/"],
        except: &["loadgen/src/noisy/"],
        why: "storage, the bridge, the load generator and the faults do not know the wire",
    },
];

/// Applies all rules of this module to a file.
pub fn check(source: &Source, findings: &mut Vec<Finding>) {
    manifest(source, findings);
    if source.is_rust() {
        fences(source, findings);
    }
}

fn manifest(source: &Source, findings: &mut Vec<Finding>) {
    let Some((_, allowed)) = DEPENDENCIES.iter().find(|(path, _)| *path == source.path) else { return };
    let mut in_dependencies = false;
    for (number, line) in source.text.lines().enumerate() {
        let line = line.trim();
        if let Some(section) = line.strip_prefix('[') {
            in_dependencies = section.trim_end_matches(']').ends_with("dependencies");
            continue;
        }
        let name = line.split(['.', '=', ' ']).next().unwrap_or_default();
        if in_dependencies && name.starts_with("wardline-") && !allowed.contains(&name) {
            let text = format!("may not depend on {name}: see the picture of the house in ARCHITECTURE.md");
            findings.push(Finding { path: source.path.clone(), line: number + 1, text });
        }
    }
}

fn fences(source: &Source, findings: &mut Vec<Finding>) {
    let begins = |prefixes: &[&str]| prefixes.iter().any(|prefix| source.path.starts_with(prefix));
    let code = source.production_code();
    for fence in FENCES.iter().filter(|fence| begins(fence.within) && !begins(fence.except)) {
        for word in fence.words {
            for (byte, _) in code.match_indices(word).filter(|(byte, _)| is_word(code, *byte, word)) {
                findings.push(Finding::at(source, code, byte, format!("`{word}`: {}", fence.why)));
            }
        }
    }
}
