//! What is cited and not there is found, and what is there is not.

use crate::{caught, findings_of};

const LOCAL: (&str, &str) = (
    "storage/src/local.rs",
    "pub struct LocalLog;\nimpl LocalLog {\n    pub fn submit() {}\n}\n\
     #[cfg(test)]\nmod tests {\n    fn it_does_what_it_says() {}\n}\n",
);
const QUEUE: (&str, &str) = ("storage/src/local/queue.rs", "");

fn markdown(text: &str) -> Vec<String> {
    findings_of(&[LOCAL, QUEUE, ("docs/b.md", ""), ("docs/a.md", text)])
}

fn comment(text: &str) -> Vec<String> {
    findings_of(&[LOCAL, QUEUE, ("storage/src/c.rs", &format!("// {text}\n"))])
}

#[test]
fn a_file_that_is_not_there_is_caught() {
    for text in [
        "See `storage/src/gone.rs`.",
        "See storage/src/gone.rs.",
        "See `gone.rs`.",
        "See `storage/src/gone/`.",
        "See `tests/gone.rs:12`.",
        "| `storage/src/gone.rs` | in a table |",
    ] {
        caught(&markdown(text), "gone");
        caught(&comment(text), "which is not there");
    }
    caught(&markdown("See [there](gone.md#part)."), "`gone.md");
    caught(&markdown("See [there](../storage/gone)."), "which is not there");
}

#[test]
fn a_file_that_is_there_is_none() {
    for text in [
        "See `storage/src/local.rs`, `local.rs`, `storage/src/local.rs:3` and `storage/src/local/`.",
        "See [there](b.md#part), [here](#part), [far](https://example.org/gone.md).",
        "See [there](../storage/src/local).",
        "`target/demo/gone.md`, `/metrics.md`, `storage/*.rs`, `docs/NNN-title.md`",
        "read/write, `docs/server`.",
        "```\ncat storage/src/gone.rs\n```",
    ] {
        assert_eq!(markdown(text), Vec::<String>::new());
    }
    for text in ["See `local/queue.rs`, `src/local.rs`, `storage/src/local`.", "See local.rs."] {
        assert_eq!(comment(text), Vec::<String>::new());
    }
}

#[test]
fn a_name_that_is_not_there_is_caught() {
    for text in [
        "A `LogThatWent` it is.",
        "`LocalLog::gone`",
        "`LocalLog::gone()`",
        "`Gone::submit`",
        "`it_does_what_it_said`",
    ] {
        caught(&markdown(text), "which is not there");
    }
    for text in ["`LocalLog::gone`", "`Gone::submit`", "`it_does_what_it_said`"] {
        caught(&comment(text), "which is not there");
    }
}

#[test]
fn a_name_that_is_there_is_none() {
    for text in [
        "`LocalLog`, `LocalLog::submit(now)`, `crate::LocalLog`, `it_does_what_it_says`",
        "`Gone`, `gone`, `gone::gone`, `GONE_MAX`, LogThatWent, `storage.engine`, `wardline_a_b_c_d`",
    ] {
        assert_eq!(markdown(text), Vec::<String>::new());
    }
    assert_eq!(comment("`GetWalSize` is RocksDB's."), Vec::<String>::new());
}
