//! `wardline-ehr replay` on folders, by the program itself.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::messages::Adt;

fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let folder = tempfile::tempdir().expect("there is room");
    for (name, content) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("it is in the folder")).expect("there is room");
        fs::write(path, content).expect("there is room");
    }
    folder
}

fn replay(folder: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wardline-ehr"));
    command.arg("replay").arg(folder).args(["--now", "20261130120000+0100", "--zone", "Europe/Berlin"]);
    command.args(more).output().expect("it runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("it is text")
}

fn json(folder: &Path) -> (Value, Option<i32>) {
    let output = replay(folder, &["--json"]);
    (serde_json::from_slice(&output.stdout).expect("it is JSON"), output.status.code())
}

fn many() -> TempDir {
    let admit = Adt::of("A01").text();
    let framed = format!("\x0b{admit}\x1c\r\x0b{}\x1c\r", Adt::of("A02").text());
    let batch = format!("BHS|^~\\&\r{admit}{}BTS|2\r", Adt::of("A03").text());
    let cut = format!("BHS|^~\\&\r{admit}BTS|2\r");
    let with_feeds = Adt::of("A06").text().replace('\r', "\n");
    let bad = Adt::of("A01").without("EVN").text();
    let long = format!("MSH|^~\\&|{}", "x".repeat(10 << 20));
    folder(&[
        ("a/one.hl7", admit.as_bytes()),
        ("a/framed.bin", framed.as_bytes()),
        ("b/batch.txt", batch.as_bytes()),
        ("b/cut.txt", cut.as_bytes()),
        ("c/feeds.hl7", with_feeds.as_bytes()),
        ("c/bad.hl7", bad.as_bytes()),
        ("c/long.hl7", long.as_bytes()),
        ("c/half.bin", &framed.as_bytes()[..framed.len() - 3]),
        ("readme.md", b"# samples"),
    ])
}

#[test]
fn a_folder_is_counted_by_type_and_outcome() {
    let folder = many();
    let (json, code) = json(folder.path());
    assert_eq!(code, Some(1));
    let all = ["messages", "accepted", "ignored", "refused"].map(|name| json[name].as_u64().unwrap_or(99));
    assert_eq!(all, [12, 7, 1, 4]);
    assert_eq!(json["kinds"]["ADT^A01"], serde_json::json!({"accepted": 5, "ignored": 0, "refused": 1}));
    assert_eq!(json["kinds"]["ADT^A06"]["ignored"], 1);
    let refusals: Vec<_> = json["refusals"].as_array().expect("a list").iter().collect();
    let told: Vec<_> =
        refusals.iter().map(|refusal| (refusal["file"].as_str(), refusal["section"].as_str())).collect();
    let wanted = [
        (Some("b/cut.txt"), Some("2.10.3")),
        (Some("c/bad.hl7"), Some("3.3.1")),
        (Some("c/half.bin"), Some("2.4")),
        (Some("c/long.hl7"), Some("2.10.2")),
    ];
    assert_eq!(told, wanted);
    assert_eq!(json["not_hl7"][0]["file"], "readme.md");
}

#[test]
fn the_table_says_what_was_refused_and_why() {
    let output = replay(many().path(), &[]);
    let table = text(&output.stdout);
    assert!(table.lines().any(|line| line.split_whitespace().eq(["all", "7", "1", "4"])), "{table}");
    assert!(table.contains("c/bad.hl7, message 1, ADT^A01, "), "{table}");
    assert!(table.contains("100 there is no EVN segment (3.3.1)"), "{table}");
    assert!(table.contains("readme.md: no line in it begins with MSH"), "{table}");
    assert!(!table.contains("Doe"), "nothing that a message says");
}

#[test]
fn exit_codes_tell_apart_what_happened() {
    let good = folder(&[("one.hl7", Adt::of("A01").text().as_bytes())]);
    assert_eq!(replay(good.path(), &[]).status.code(), Some(0));
    assert_eq!(replay(&good.path().join("one.hl7"), &[]).status.code(), Some(0));
    let other = folder(&[("one.hl7", Adt::of("A06").text().as_bytes())]);
    assert_eq!(replay(other.path(), &[]).status.code(), Some(0));
    assert_eq!(replay(other.path(), &["--refuse-others"]).status.code(), Some(1));
    assert_eq!(replay(folder(&[]).path(), &[]).status.code(), Some(2));
    assert_eq!(replay(&good.path().join("nowhere"), &[]).status.code(), Some(2));
    assert_eq!(replay(good.path(), &["--zone", "Nowhere/Town"]).status.code(), Some(2));
}

#[test]
fn links_are_told_and_not_followed() {
    let folder = folder(&[("one.hl7", Adt::of("A01").text().as_bytes())]);
    std::os::unix::fs::symlink(folder.path(), folder.path().join("itself")).expect("there is room");
    let (told, code) = json(folder.path());
    assert_eq!((&told["accepted"], code), (&serde_json::json!(1), Some(0)));
    assert_eq!(told["not_hl7"][0]["file"], "itself");
    // But what is named may be one.
    let (told, _) = json(&folder.path().join("itself"));
    assert_eq!(told["accepted"], 1);
}

#[test]
fn what_cannot_be_read_is_told_and_fails() {
    let folder = folder(&[("one.hl7", Adt::of("A01").text().as_bytes())]);
    let large = fs::File::create(folder.path().join("two.hl7")).expect("there is room");
    // Only its size is taken up, not the room.
    large.set_len((1 << 28) + 1).expect("there is room");
    let (told, code) = json(folder.path());
    assert_eq!((&told["accepted"], code), (&serde_json::json!(1), Some(1)));
    assert_eq!(told["not_hl7"][0]["file"], "two.hl7");
}

#[test]
fn messages_in_wide_characters_are_refused_and_not_passed_over() {
    for order in [u16::to_le_bytes, u16::to_be_bytes] {
        for text in ["MSH|^~\\&|A\r", "\u{feff}MSH|^~\\&|A\r"] {
            let wide: Vec<u8> = text.encode_utf16().flat_map(order).collect();
            let (told, code) = json(folder(&[("one.hl7", &wide)]).path());
            assert_eq!((&told["refused"], code), (&serde_json::json!(1), Some(1)), "{wide:?}");
        }
    }
}

#[test]
fn a_character_set_can_be_stated_for_those_that_state_none() {
    let latin =
        [b"MSH|^~\\&|A|B|C|D|20261130||ADT^A31|1|P|2.5\rEVN||20261130\rPID|||1||M\xfcller\r".as_slice()]
            .concat();
    let folder = folder(&[("one.hl7", &latin)]);
    let refused = replay(folder.path(), &[]);
    assert!(text(&refused.stdout).contains("(2.15.9.18)"));
    assert_eq!(replay(folder.path(), &["--charset", "8859/1"]).status.code(), Some(0));
    assert_eq!(replay(folder.path(), &["--charset", "UTF-16"]).status.code(), Some(2));
}
