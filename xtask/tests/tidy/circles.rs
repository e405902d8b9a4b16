//! Files that import each other are found, and what is none is none.

use crate::{caught, findings_of};

const ROOT: (&str, &str) = ("client/src/lib.rs", "mod a;\nmod b;\nmod c;\n");

fn circles(files: &[(&str, &str)]) -> Vec<String> {
    findings_of(&[&[ROOT], files].concat())
}

#[test]
fn two_files_that_import_each_other_are_caught() {
    let a = ("client/src/a.rs", "use crate::b::Banana;\npub struct Apple(Banana);\n");
    let imports = "use crate::a::Apple;\npub struct Banana(Option<Box<Apple>>);\n";
    let found = circles(&[a, ("client/src/b.rs", imports)]);
    caught(&found, "2 files import each other in a circle");
    caught(&found, "client/src/a.rs takes of client/src/b.rs: Banana");
    caught(&found, "client/src/b.rs takes of client/src/a.rs: Apple");
    // In other words.
    for other in [
        "use super::a::{self, Apple as Fruit};\n",
        "use super::a::*;\n",
        "use crate::a;\n",
        "fn f() -> crate::a::Apple { loop {} }\n",
        "fn f() { let _ = super::a::Apple::default(); }\n",
        "mod inner {\n    use super::super::a::Apple;\n}\n",
    ] {
        caught(&circles(&[a, ("client/src/b.rs", other)]), "in a circle");
    }
}

#[test]
fn a_circle_of_three_is_one_finding() {
    let found = circles(&[
        ("client/src/a.rs", "use crate::b::Banana;\n"),
        ("client/src/b.rs", "use crate::c::Cherry;\n"),
        ("client/src/c.rs", "use crate::a::Apple;\n"),
    ]);
    caught(&found, "3 files");
}

#[test]
fn a_parent_that_uses_its_child_is_not_used_by_it() {
    let child = ("client/src/a/inner.rs", "use super::Apple;\n");
    for parent in [
        "mod inner;\nuse inner::Core;\n",
        "mod inner;\npub use self::inner::Core;\n",
        "mod inner;\nfn f() { inner::f() }\n",
    ] {
        caught(&circles(&[("client/src/a.rs", parent), child]), "in a circle");
        caught(&circles(&[("client/src/a/mod.rs", parent), child]), "in a circle");
    }
    let declares = ("client/src/a.rs", "mod inner;\npub struct Apple;\n");
    assert_eq!(circles(&[declares, child]), Vec::<String>::new(), "to declare it is not to use it");
}

#[test]
fn what_is_passed_on_leads_to_where_it_comes_from() {
    let a = ("client/src/a.rs", "use crate::Banana;\n");
    let passes_on = ("client/src/lib.rs", "mod a;\nmod b;\npub use a::Apple;\npub use b::Banana;\n");
    let b = ("client/src/b.rs", "pub struct Banana;\n");
    assert_eq!(findings_of(&[passes_on, a, b]), Vec::<String>::new());
    caught(&findings_of(&[passes_on, a, ("client/src/b.rs", "use crate::Apple;\n")]), "in a circle");
}

#[test]
fn tests_strings_and_other_crates_make_no_circle() {
    let a = ("client/src/a.rs", "use crate::b::Banana;\n");
    for b in [
        "#[cfg(test)]\nmod tests {\n    use crate::a::Apple;\n}\n",
        "#[cfg(test)]\nuse crate::a::Apple;\nfn f() {}\n",
        "// See crate::a::Apple.\nconst A: &str = \"crate::a::Apple\";\n",
        "use other::a::Apple;\nuse std::b::A;\n",
        "impl a { fn f(x: X) { x.a::<u8>() } }\n",
    ] {
        assert_eq!(circles(&[a, ("client/src/b.rs", b)]), Vec::<String>::new(), "{b}");
    }
    let test = ("client/src/b/tests.rs", "use crate::a::Apple;\n");
    assert_eq!(circles(&[a, ("client/src/b.rs", "#[cfg(test)]\nmod tests;\n"), test]), Vec::<String>::new());
    // What follows a test is looked at again.
    let after = "#[cfg(test)]\nfn t() { { } }\nuse crate::a::Apple;\n";
    caught(&circles(&[a, ("client/src/b.rs", after)]), "in a circle");
}

#[test]
fn a_program_beside_the_library_is_looked_at_too() {
    let found = findings_of(&[
        ("broker/src/main.rs", "mod cli;\nfn main() { cli::run() }\npub struct Failure;\n"),
        ("broker/src/cli.rs", "use crate::Failure;\n"),
        ("broker/src/bin/other/main.rs", "mod cli;\nuse cli::run;\n"),
        ("broker/src/bin/other/cli.rs", "use crate::Failure;\n"),
    ]);
    assert_eq!(found.len(), 2, "{found:?}");
}
