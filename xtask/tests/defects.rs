//! The planted defects still fit the code; `cargo xtask defects` plants them.

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
