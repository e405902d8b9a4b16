//! The wire contract against its rules and against what was published before (`baseline.txt`).
//!
//! Nothing that stands in the baseline may be removed, renamed, renumbered, retyped or moved. What
//! is new is put there by `UPDATE_BASELINE=1 cargo test --release -p wardline-proto --test
//! contract`, which only ever appends.

mod baseline;
mod lint;

use std::fs;
use std::path::{Path, PathBuf};

use baseline::{append, compare};
use prost_types::{DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet};

const PACKAGE: &str = "wardline.v1";
const UPDATE: &str = "UPDATE_BASELINE=1 cargo test --release -p wardline-proto --test contract";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn contract() -> FileDescriptorSet {
    let folder = root().join(PACKAGE.replace('.', "/"));
    let entries = fs::read_dir(folder).expect("the .proto files are here");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("a readable folder").path()).collect();
    files.sort();
    protox::compile(files, [root()]).expect("the .proto files compile")
}

fn altered(change: impl FnOnce(&mut FileDescriptorSet)) -> FileDescriptorSet {
    let mut set = contract();
    change(&mut set);
    set
}

fn message<'a>(set: &'a mut FileDescriptorSet, name: &str) -> &'a mut DescriptorProto {
    let mut all = set.file.iter_mut().flat_map(|file| &mut file.message_type);
    all.find(|message| message.name() == name).expect("a message of the contract")
}

fn field<'a>(set: &'a mut FileDescriptorSet, of: &str, name: &str) -> &'a mut FieldDescriptorProto {
    let mut all = message(set, of).field.iter_mut();
    all.find(|field| field.name() == name).expect("a field of the contract")
}

fn enumeration<'a>(set: &'a mut FileDescriptorSet, name: &str) -> &'a mut EnumDescriptorProto {
    let mut all = set.file.iter_mut().flat_map(|file| &mut file.enum_type);
    all.find(|declared| declared.name() == name).expect("an enum of the contract")
}

#[test]
fn the_contract_follows_the_rules() {
    let violations = lint::violations(&contract(), PACKAGE);
    assert!(violations.is_empty(), "\n{}", violations.join("\n"));
}

#[test]
fn the_readme_says_who_acts_on_every_error() {
    let readme = include_str!("../../README.md");
    let mut set = contract();
    for value in &enumeration(&mut set, "ErrorCode").value[1..] {
        let code = value.name().trim_start_matches("ERROR_CODE_");
        assert!(readme.contains(&format!("`{code}`")), "README.md does not say who acts on {code}");
    }
}

#[test]
fn every_declaration_needs_its_comment() {
    let whole = contract();
    let mut seen = 0;
    for (file, descriptor) in whole.file.iter().enumerate() {
        let locations = &descriptor.source_code_info.as_ref().expect("compiled with source info").location;
        for (at, location) in locations.iter().enumerate() {
            if location.leading_comments().is_empty() {
                continue;
            }
            let without = altered(|set| {
                let info = set.file[file].source_code_info.as_mut().expect("as above");
                info.location[at].leading_comments = Some(" ".to_owned());
            });
            let violations = lint::violations(&without, PACKAGE);
            assert!(
                matches!(&violations[..], [one] if one.ends_with("has no comment above it")),
                "{}: {:?}: {violations:?}",
                descriptor.name(),
                location.path
            );
            seen += 1;
        }
    }
    assert!(seen > 200, "only {seen} comments were tried");
}

#[test]
fn every_rule_is_enforced() {
    type Change = fn(&mut FileDescriptorSet);
    let cases: [(&str, Change); 12] = [
        ("Hello.deviceId: is not lower_snake_case", |set| {
            field(set, "Hello", "device_id").name = Some("deviceId".into());
        }),
        ("hello: is not PascalCase", |set| message(set, "Hello").name = Some("hello".into())),
        ("ClientFrame.Request: is not lower_snake_case", |set| {
            message(set, "ClientFrame").oneof_decl[0].name = Some("Request".into());
        }),
        ("Priority.URGENT: is not PRIORITY_UPPER_SNAKE", |set| {
            enumeration(set, "Priority").value[2].name = Some("URGENT".into());
        }),
        ("Priority.PRIORITY_NONE: UNSPECIFIED is 0", |set| {
            enumeration(set, "Priority").value[0].name = Some("PRIORITY_NONE".into());
        }),
        ("Priority.PRIORITY_UNSPECIFIED: UNSPECIFIED is 0", |set| {
            enumeration(set, "Priority").value[0].number = Some(7);
        }),
        ("Priority: allows two names", |set| {
            enumeration(set, "Priority").options.get_or_insert_default().allow_alias = Some(true);
        }),
        ("Hello.token: is of a type", |set| field(set, "Hello", "token").r#type = Some(2)),
        ("Hello.token: is required", |set| field(set, "Hello", "token").label = Some(2)),
        ("is in another package", |set| set.file[0].package = Some("wardline.v2".into())),
        ("is not proto3", |set| set.file[0].syntax = Some("proto2".into())),
        ("is not named", |set| set.file[0].name = Some("wardline/v1/Error.proto".into())),
    ];
    for (expected, change) in cases {
        let violations = lint::violations(&altered(change), PACKAGE);
        assert!(violations.iter().any(|line| line.contains(expected)), "{expected}: {violations:?}");
    }
}

#[test]
fn what_was_published_stays() {
    let path = root().join("baseline.txt");
    let published = fs::read_to_string(&path).expect("baseline.txt stands beside Cargo.toml");
    let difference = compare(&published, &contract());
    assert!(
        difference.broken.is_empty(),
        "breaking changes; keep the old field and add a new one:\n{}",
        difference.broken.join("\n")
    );
    if std::env::var_os("UPDATE_BASELINE").is_some() {
        fs::write(&path, append(&published, &difference.added)).expect("baseline.txt is writable");
        return;
    }
    assert!(
        difference.added.is_empty(),
        "not in baseline.txt yet; once they are meant to stay for ever, run `{UPDATE}`:\n{}",
        difference.added.join("\n")
    );
}

#[test]
fn every_kind_of_breaking_change_is_refused() {
    type Change = fn(&mut FileDescriptorSet);
    let cases: [(&str, Change); 11] = [
        ("`field wardline.v1.Hello.token = 2 string` is gone", |set| {
            message(set, "Hello").field.retain(|field| field.name() != "token");
        }),
        ("`field wardline.v1.Hello.token = 2 string` is gone", |set| {
            field(set, "Hello", "token").name = Some("jwt".into());
        }),
        ("Hello.token = 2 string` has become `field wardline.v1.Hello.token = 9 string`", |set| {
            field(set, "Hello", "token").number = Some(9);
        }),
        ("Hello.token = 2 string` has become `field wardline.v1.Hello.token = 2 bytes`", |set| {
            field(set, "Hello", "token").r#type = Some(12);
        }),
        ("Hello.token = 2 repeated string`", |set| field(set, "Hello", "token").label = Some(3)),
        ("Hello.resume = 6 wardline.v1.Position`", |set| {
            field(set, "Hello", "resume").type_name = Some(".wardline.v1.Position".into());
        }),
        ("ClientFrame.hello = 2 wardline.v1.Hello`", |set| {
            field(set, "ClientFrame", "hello").oneof_index = None
        }),
        ("`message wardline.v1.Goodbye` is gone", |set| message(set, "Goodbye").name = Some("Bye".into())),
        ("`value wardline.v1.ErrorCode.ERROR_CODE_RETRY = 40` is gone", |set| {
            enumeration(set, "ErrorCode").value.retain(|value| value.name() != "ERROR_CODE_RETRY");
        }),
        (
            "ERROR_CODE_BAD_FRAME = 1` has become `value wardline.v1.ErrorCode.ERROR_CODE_BAD_FRAME = 99`",
            |set| {
                enumeration(set, "ErrorCode").value[1].number = Some(99);
            },
        ),
        ("`message wardline.v1.Hello` is gone", |set| {
            set.file.iter_mut().for_each(|file| file.package = Some("wardline.v2".into()));
        }),
    ];
    let published = append("", &compare("", &contract()).added);
    for (expected, change) in cases {
        let difference = compare(&published, &altered(change));
        assert!(difference.broken.iter().any(|line| line.contains(expected)), "{expected}: {difference:?}");
    }
}

#[test]
fn an_addition_is_allowed_and_appended() {
    let published = append("# a comment\n", &compare("", &contract()).added);
    let grown = altered(|set| {
        let mut added = field(set, "Hello", "token").clone();
        added.name = Some("locale".into());
        added.number = Some(7);
        message(set, "Hello").field.insert(0, added);
    });
    let difference = compare(&published, &grown);
    assert!(difference.broken.is_empty(), "{difference:?}");
    assert_eq!(difference.added, ["field wardline.v1.Hello.locale = 7 string"]);

    let updated = append(&published, &difference.added);
    assert_eq!(updated.strip_prefix(&published), Some("field wardline.v1.Hello.locale = 7 string\n"));
    assert_eq!(compare(&updated, &grown), baseline::Difference::default());
    assert!(!compare(&updated, &contract()).broken.is_empty(), "from now on it has to stay");
}
