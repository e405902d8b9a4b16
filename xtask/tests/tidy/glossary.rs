//! Words that the glossary forbids are found, but for where it allows them.

use crate::{caught, findings_of};

const GLOSSARY: (&str, &str) = (
    "docs/glossary.md",
    "# Glossary\n\n- **cart**: what a horse draws.\n  It has two wheels.\n  Not: side car, wagon (but: station wagon, client/).\n",
);

fn rust(text: &str) -> Vec<String> {
    findings_of(&[GLOSSARY, ("broker/src/a.rs", text)])
}

#[test]
fn a_forbidden_word_is_caught_wherever_it_stands() {
    for text in [
        "// The wagon.\n",
        "// Wagons.\n",
        "struct Wagon;\n",
        "fn side_car() {}\n",
        "struct BigSideCar;\n",
        "// A side\n// car.\n",
        "const SIDE_CAR: u8 = 1;\n",
    ] {
        caught(&rust(text), "the glossary says `cart`");
    }
    caught(
        &findings_of(&[GLOSSARY, ("README.md", "A side-car.\n")]),
        "README.md:1: `side car` is not our word",
    );
    caught(&findings_of(&[GLOSSARY, ("proto/a.proto", "// A wagon.\n")]), "`wagon`");
}

#[test]
fn other_words_and_allowed_places_are_none() {
    for text in [
        "// The wagonette; a side, car by car.\n",
        "// A station wagon, StationWagon and station_wagon.\n",
        "const A: &str = \"wagon\";\n",
    ] {
        assert_eq!(rust(text), Vec::<String>::new(), "{text}");
    }
    assert_eq!(findings_of(&[GLOSSARY, ("client/src/a.rs", "struct Wagon;\n")]), Vec::<String>::new());
    assert_eq!(findings_of(&[("broker/src/a.rs", "struct Wagon;\n")]), Vec::<String>::new(), "no glossary");
}
