//! Prose that is too wide, has two sentences in a line, and functions that are too long.

use xtask::tidy::functions::FUNCTION_LINES_MAX;

use crate::{caught, findings, findings_as_is};

fn columns(count: usize) -> String {
    "x".repeat(count)
}

#[test]
fn a_line_of_markdown_has_100_columns() {
    caught(
        &findings_as_is("docs/a.md", &format!("One.\n{}\n", columns(101))),
        "docs/a.md:2: the line has 101",
    );
    caught(&findings_as_is("docs/a.md", &format!("| a | {} |\n", columns(95))), "the line has 103");
    caught(
        &findings_as_is("docs/a.md", &format!("see https://example.org/{}\n", columns(90))),
        "the line has",
    );
    let fits = format!("{}\n{}\n", columns(100), "ä".repeat(100));
    assert!(findings_as_is("docs/a.md", &fits).is_empty(), "characters count, not bytes");
    let address = format!("- https://example.org/{0}\n[a]: https://example.org/{0}\n", columns(90));
    assert!(findings_as_is("docs/a.md", &address).is_empty(), "an address cannot be broken");
}

#[test]
fn a_comment_has_100_columns_in_every_language() {
    let long = columns(99);
    caught(&findings("broker/src/a.rs", &format!("// {long}\n")), "a.rs:4: the comment has 102 columns");
    caught(&findings("broker/src/a.rs", &format!("fn f() {{}} /* {} */\n", columns(90))), "the comment has");
    caught(&findings("broker/tests/a.rs", &format!("/// {long}\nfn f() {{}}\n")), "the comment has");
    caught(&findings_as_is("proto/a.proto", &format!("// {long}\n")), "the comment has");
    for path in ["a.toml", "a.yml", "a.sh", ".ci/run"] {
        caught(&findings_as_is(path, &format!("a = 1 # {long}\n")), "the comment has");
        assert!(findings_as_is(path, &format!("a = \"# {long}\"\n")).is_empty(), "a string is none");
    }
    let code = format!("const A: &str = \"// {long}\";\n");
    assert!(findings("broker/src/a.rs", &code).is_empty(), "code is rustfmt's business");
}

#[test]
fn markdown_has_one_sentence_a_line() {
    for two in [
        "It is on. It is off.",
        "- It is on! It is off.",
        "Is it on? `demo` says so.",
        "**It is on.** It is off.",
        "(It is on.) It is off.",
        "1. It is on. It is off.",
        "It said \"on.\" Then it was off.",
    ] {
        caught(&findings_as_is("docs/a.md", &format!("{two}\n")), "a second sentence begins");
    }
    for one in [
        "It is on.",
        "1. It is on.",
        "# 001. It is on",
        "Version 0.25 of it, e.g. RocksDB, i.e. C++, and J. Smith's.",
        "`a. B` is code, and `f().await. X` too.",
        "It is on; it was off: why?",
        "| It is on. It is off. | in a table |",
        "```\nIt is on. It is off.\n```",
        "See [there](https://example.org/a.B?c).",
    ] {
        assert_eq!(findings_as_is("docs/a.md", &format!("{one}\n")), Vec::<String>::new(), "{one}");
    }
}

#[test]
fn a_function_fits_on_a_screen() {
    let function = |lines: usize| format!("fn long() -> [u8; 1] {{\n{}}}\n", "    f();\n".repeat(lines - 2));
    caught(&findings("broker/src/a.rs", &function(FUNCTION_LINES_MAX + 1)), "`long` has 71 lines");
    caught(&findings("broker/tests/a.rs", &function(FUNCTION_LINES_MAX + 1)), "take it apart");
    assert!(findings("broker/src/a.rs", &function(FUNCTION_LINES_MAX)).is_empty());
    let declared =
        format!("trait A {{\n    fn f(&self);\n    fn g() -> fn(u8) -> u8;\n{}}}\n", "// b\n".repeat(80));
    assert!(findings("broker/src/a.rs", &declared).is_empty(), "what has no body is not long");
}
