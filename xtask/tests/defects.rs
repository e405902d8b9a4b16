//! The planted defects still fit the code, and what mutants are made of is there; `cargo xtask
//! defects` and `cargo xtask mutants` do the rest.

use std::collections::HashMap;
use std::path::Path;

use xtask::defects::{DEFECTS, Edit};

#[test]
fn every_defect_can_be_planted() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    for defect in DEFECTS {
        let mut texts: HashMap<&str, String> = HashMap::new();
        for edit in defect.edits {
            let text = texts
                .remove(edit.path)
                .unwrap_or_else(|| std::fs::read_to_string(root.join(edit.path)).unwrap());
            let planted = edit.apply(&text).unwrap_or_else(|error| panic!("{}: {error}", defect.name));
            assert_ne!(planted, text);
            texts.insert(edit.path, planted);
        }
    }
}

#[test]
fn text_that_is_not_there_once_is_an_error() {
    let edit = Edit { path: "file", from: "a", to: "b" };
    assert_eq!(edit.apply("xax").unwrap(), "xbx");
    assert!(edit.apply("xx").unwrap_err().to_string().contains("found 0 times"));
    assert!(edit.apply("aa").unwrap_err().to_string().contains("found 2 times"));
}

#[test]
fn what_mutants_are_made_of_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let settings = std::fs::read_to_string(root.join(".cargo/mutants.toml")).unwrap();
    let globs = settings.split_once("examine_globs = [").unwrap().1.split_once(']').unwrap().0;
    let globs: Vec<&str> =
        globs.lines().filter_map(|line| line.trim().strip_prefix('"')?.strip_suffix("\",")).collect();
    assert!(globs.len() >= 5, "{globs:?}");
    for glob in globs {
        // A file, or all of a folder that end so.
        let (path, end) = glob.split_once('*').unwrap_or((glob, ""));
        let path = root.join(path);
        let is_there = match std::fs::read_dir(&path) {
            Ok(mut files) => files.any(|file| file.unwrap().file_name().to_string_lossy().ends_with(end)),
            Err(_) => path.is_file(),
        };
        assert!(is_there, ".cargo/mutants.toml names {glob}, and there is nothing by that name");
    }
}
