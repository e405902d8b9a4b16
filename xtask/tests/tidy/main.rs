//! The repository keeps its rules, and each rule catches what it is for.

mod circles;
mod citations;
mod glossary;
mod prose;

use std::path::Path;

use xtask::tidy::{self, rules, source::Source};

/// What the rules say about this file, with a proper header in front of it.
fn findings(path: &str, body: &str) -> Vec<String> {
    let text = format!("//! One.\n//! Two.\n//! Three.\n{body}");
    findings_as_is(path, &text)
}

fn findings_as_is(path: &str, text: &str) -> Vec<String> {
    tidy::check_sources(&[Source::new(path, text)]).iter().map(ToString::to_string).collect()
}

/// What the rules say about these files together; those in Rust get a proper header.
fn findings_of(files: &[(&str, &str)]) -> Vec<String> {
    let sources = files.iter().map(|(path, text)| {
        let header = if path.ends_with(".rs") { "//! One.\n//! Two.\n//! Three.\n" } else { "" };
        Source::new(*path, format!("{header}{text}"))
    });
    tidy::check_sources(&sources.collect::<Vec<_>>()).iter().map(ToString::to_string).collect()
}

#[track_caller]
fn caught(findings: &[String], expected: &str) {
    assert_eq!(findings.len(), 1, "one finding expected: {findings:?}");
    assert!(findings[0].contains(expected), "{:?} does not say {expected:?}", findings[0]);
}

#[test]
fn the_repository_is_tidy() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the workspace");
    let findings = tidy::check(root).expect("the repository can be read");
    let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
    assert!(lines.is_empty(), "{} findings:\n{}", lines.len(), lines.join("\n"));
}

#[test]
fn a_tidy_file_has_no_finding() {
    assert_eq!(findings("broker/src/a.rs", "fn f() -> u32 { 1 }\n"), Vec::<String>::new());
}

#[test]
fn what_the_broker_logs_has_a_code() {
    let event = |start: &str| format!("fn f() {{\n    tracing::warn!({start}\"the disk; is slow\");\n}}\n");
    caught(&findings("broker/src/a.rs", &event("")), "has no code");
    assert_eq!(findings("broker/src/a.rs", &event("code = \"slow-disk\", ")), Vec::<String>::new());
    assert_eq!(findings("client/src/a.rs", &event("")), Vec::<String>::new());
}

#[test]
fn a_header_is_there_and_has_the_right_length() {
    let long = "fn f() {}\n".repeat(rules::SHORT_LINES);
    caught(&findings_as_is("broker/src/a.rs", "fn f() {}\n"), "0 lines of `//!`");
    caught(&findings_as_is("broker/src/a.rs", &format!("//! One.\n{long}")), "must have 3 to 14");
    caught(&findings_as_is("broker/src/a.rs", &"//! A line.\n".repeat(15)), "15 lines of `//!`");
    assert!(findings_as_is("broker/src/a.rs", "//! One.\n").is_empty(), "short files say it in one line");
    assert!(findings_as_is("broker/tests/a.rs", &format!("//! One.\n{long}")).is_empty(), "so do tests");
}

#[test]
fn a_file_ends_somewhere() {
    caught(&findings("broker/src/a.rs", &"fn f() {}\n".repeat(rules::LINES_MAX)), "at most 800");
    caught(&findings("broker/src/a.rs", &"fn f() {}\n".repeat(rules::LONG_LINES)), "give the reason");
}

#[test]
fn unfinished_and_hidden_things_are_caught() {
    for body in [
        "fn f() { todo!() }",
        "fn f() { unimplemented!() }",
        "fn f() { dbg!(1); }",
        "fn f() { tokio::sync::mpsc::unbounded_channel(); }",
        "fn f() { std::sync::mpsc::channel(); }",
        "static mut A: u8 = 0;",
        "#[ignore]\nfn f() {}",
        "#[ignore = \"slow\"]\nfn f() {}",
        "#[allow(dead_code)]\nfn f() {}",
        "#![allow(unused_imports)]",
    ] {
        assert_eq!(findings("broker/src/a.rs", body).len(), 1, "not caught: {body}");
    }
    caught(&findings("broker/src/a.rs", "// FIXME later\n"), "`FIXME`");
    caught(&findings("broker/src/a.rs", "/* XXX */\n"), "`XXX`");
    caught(&findings("broker/src/a.rs", "fn f() {} // TODO: more\n"), "a.rs:4: `TODO`");
}

#[test]
fn words_in_strings_and_longer_words_are_not_caught() {
    let body = r##"
        const A: &str = "todo!() \" dbg!";
        const B: &str = r#"static mut "quoted" FIXME"#;
        const C: char = '"';
        const D: char = '\'';
        fn f<'a>(x: &'a str) -> &'a str { x } // 'tis "fine
        const TODOS: u8 = 1;
    "##;
    assert_eq!(findings("broker/src/a.rs", body), Vec::<String>::new());
    // The string and the comment have ended: what follows is code again.
    assert_eq!(findings("broker/src/a.rs", &format!("{body}\nfn g() {{ todo!() }}")).len(), 1);
}

#[test]
fn a_module_says_what_it_holds() {
    caught(&findings("broker/src/util.rs", ""), "`util` says nothing");
    caught(&findings("broker/src/session/manager.rs", ""), "`manager` says nothing");
    caught(&findings("broker/tests/common/mod.rs", ""), "`common` says nothing");
    caught(&findings("broker/src/a.rs", "mod helpers {\n}\n"), "`mod helpers`");
}

#[test]
fn paths_of_a_machine_are_caught() {
    for folder in ["home/me", "root", "tmp", "Users/me"] {
        let text = format!("const A: &str = \"/{folder}/x\";\n");
        caught(&findings("broker/src/a.rs", &text), "somebody's machine");
        assert_eq!(findings_as_is("README.md", &format!("see /{folder}/x\n")).len(), 1);
    }
    assert!(findings("broker/src/a.rs", "// target/tmp/x, https://example.org/home/x\n").is_empty());
}

#[test]
fn crates_depend_on_those_below_them_alone() {
    let manifest = |section: &str, name: &str| {
        format!("[package]\nname = \"a\"\n\n[{section}]\n{name}.workspace = true\n")
    };
    for (path, name) in [
        ("proto/Cargo.toml", "wardline-storage"),
        ("storage/Cargo.toml", "wardline-proto"),
        ("storage/rocksdb/Cargo.toml", "wardline-broker"),
        ("storage/redb/Cargo.toml", "wardline-rocksdb"),
        ("client/Cargo.toml", "wardline-broker"),
        ("loadgen/Cargo.toml", "wardline-storage"),
        ("xtask/Cargo.toml", "wardline-client"),
    ] {
        caught(&findings_as_is(path, &manifest("dependencies", name)), name);
        caught(&findings_as_is(path, &manifest("dev-dependencies", name)), name);
    }
    assert!(findings_as_is("client/Cargo.toml", &manifest("dependencies", "wardline-proto")).is_empty());
}

#[test]
fn only_main_names_an_engine() {
    let body = "use wardline_rocksdb::RocksEngine;\n";
    caught(&findings("broker/src/cli.rs", body), "names an engine");
    caught(
        &findings("broker/src/cli.rs", "use wardline_storage::memory::MemoryEngine;\n"),
        "names an engine",
    );
    assert!(findings("broker/src/main.rs", body).is_empty());
    assert!(findings("broker/tests/a.rs", body).is_empty());
    assert!(findings("broker/src/cli.rs", &format!("#[cfg(test)]\nmod tests {{ {body} }}\n")).is_empty());
}

#[test]
fn wire_types_end_at_the_wire() {
    caught(&findings("broker/src/session.rs", "use prost::Message;\n"), "broker/src/wire");
    caught(&findings("broker/src/session.rs", "use wardline_proto::v1::Hello;\n"), "broker/src/wire");
    assert!(findings("broker/src/wire.rs", "use prost::Message;\n").is_empty());
    assert!(findings("broker/src/wire/read.rs", "use wardline_proto::v1::Hello;\n").is_empty());
    caught(&findings("storage/src/a.rs", "use wardline_proto::frame;\n"), "do not know the wire");
    caught(&findings("client/src/a.rs", "use wardline_storage::id::Seq;\n"), "does not know");
}

#[test]
fn pure_parts_have_no_clock_and_no_io() {
    for path in
        ["storage/src/machine.rs", "storage/src/machine/publish.rs", "broker/src/delivery/progress.rs"]
    {
        for body in [
            "use std::time::Instant;",
            "use std::time::{Duration, SystemTime};",
            "use tokio::sync::watch;",
            "fn f() { std::fs::read(\"a\"); }",
            "use rand::Rng;",
        ] {
            caught(&findings(path, body), "this part is pure");
        }
    }
    assert!(findings("storage/src/local.rs", "use std::time::Instant;\n").is_empty());
}
