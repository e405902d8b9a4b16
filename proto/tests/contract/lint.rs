//! The rules for the .proto files: everything is commented, and named so that every language's
//! generator gives names of its own custom. They are buf's STANDARD and COMMENTS rules, as far as a
//! contract without services needs them.

use std::collections::HashSet;

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorProto, FileDescriptorSet};

// Field numbers of descriptor.proto, which make up the paths of source locations.
const FILE_MESSAGE: i32 = 4;
const FILE_ENUM: i32 = 5;
const FILE_SYNTAX: i32 = 12;
const MESSAGE_FIELD: i32 = 2;
const MESSAGE_NESTED: i32 = 3;
const MESSAGE_ENUM: i32 = 4;
const MESSAGE_ONEOF: i32 = 8;
const ENUM_VALUE: i32 = 2;

/// What breaks the rules, one line each; empty if nothing does.
pub(crate) fn violations(set: &FileDescriptorSet, package: &str) -> Vec<String> {
    set.file.iter().flat_map(|file| Lint::new(file).run(package)).collect()
}

struct Lint<'a> {
    file: &'a FileDescriptorProto,
    commented: HashSet<&'a [i32]>,
    found: Vec<String>,
}

impl<'a> Lint<'a> {
    fn new(file: &'a FileDescriptorProto) -> Self {
        let locations = file.source_code_info.iter().flat_map(|info| &info.location);
        let commented = locations
            .filter(|location| !location.leading_comments().trim().is_empty())
            .map(|location| &location.path[..])
            .collect();
        Self { file, commented, found: Vec::new() }
    }

    fn run(mut self, package: &str) -> Vec<String> {
        let file = self.file;
        self.comment(&[FILE_SYNTAX], "the file");
        self.rule(file.syntax() == "proto3", "the file", "is not proto3");
        self.rule(file.package() == package, "the file", "is in another package");
        let folder = format!("{}/", package.replace('.', "/"));
        let name = file.name().strip_prefix(&folder).and_then(|name| name.strip_suffix(".proto"));
        self.rule(name.is_some_and(lower_snake), "the file", "is not named package/lower_snake.proto");
        let plain = file.public_dependency.is_empty() && file.weak_dependency.is_empty();
        self.rule(plain, "the file", "has a public or weak import");
        self.rule(file.service.is_empty(), "the file", "has a service; frames are the only way to call");
        for (index, message) in file.message_type.iter().enumerate() {
            self.message(&[FILE_MESSAGE, number(index)], message);
        }
        for (index, declared) in file.enum_type.iter().enumerate() {
            self.enumeration(&[FILE_ENUM, number(index)], declared);
        }
        self.found
    }

    fn message(&mut self, path: &[i32], message: &DescriptorProto) {
        self.comment(path, message.name());
        self.rule(pascal(message.name()), message.name(), "is not PascalCase");
        for (index, field) in message.field.iter().enumerate() {
            let name = format!("{}.{}", message.name(), field.name());
            self.comment(&join(path, MESSAGE_FIELD, index), &name);
            self.rule(lower_snake(field.name()), &name, "is not lower_snake_case");
            let exact = !matches!(field.r#type(), Type::Float | Type::Double | Type::Group);
            self.rule(exact, &name, "is of a type that not all languages hold exactly");
            self.rule(field.label() != Label::Required, &name, "is required");
        }
        // Of an optional field the compiler makes a oneof of its own, behind those that are
        // written.
        let optional = message.field.iter().filter(|field| field.proto3_optional()).count();
        let written = message.oneof_decl.len() - optional;
        for (index, oneof) in message.oneof_decl[..written].iter().enumerate() {
            let name = format!("{}.{}", message.name(), oneof.name());
            self.comment(&join(path, MESSAGE_ONEOF, index), &name);
            self.rule(lower_snake(oneof.name()), &name, "is not lower_snake_case");
        }
        for (index, nested) in message.nested_type.iter().enumerate() {
            self.message(&join(path, MESSAGE_NESTED, index), nested);
        }
        for (index, declared) in message.enum_type.iter().enumerate() {
            self.enumeration(&join(path, MESSAGE_ENUM, index), declared);
        }
    }

    fn enumeration(&mut self, path: &[i32], declared: &EnumDescriptorProto) {
        self.comment(path, declared.name());
        self.rule(pascal(declared.name()), declared.name(), "is not PascalCase");
        let aliased = declared.options.as_ref().is_some_and(|options| options.allow_alias());
        self.rule(!aliased, declared.name(), "allows two names for one number");
        let prefix = format!("{}_", upper_snake_of(declared.name()));
        for (index, value) in declared.value.iter().enumerate() {
            let name = format!("{}.{}", declared.name(), value.name());
            self.comment(&join(path, ENUM_VALUE, index), &name);
            let suffix = value.name().strip_prefix(&prefix);
            self.rule(suffix.is_some_and(upper_snake), &name, &format!("is not {prefix}UPPER_SNAKE"));
            let unspecified = suffix == Some("UNSPECIFIED");
            self.rule(unspecified == (value.number() == 0), &name, "UNSPECIFIED is 0, and 0 is UNSPECIFIED");
        }
    }

    fn comment(&mut self, path: &[i32], name: &str) {
        let commented = self.commented.contains(path);
        self.rule(commented, name, "has no comment above it");
    }

    fn rule(&mut self, holds: bool, name: &str, otherwise: &str) {
        if !holds {
            self.found.push(format!("{}: {name}: {otherwise}", self.file.name()));
        }
    }
}

fn number(index: usize) -> i32 {
    i32::try_from(index).expect("a declaration's index")
}

fn join(path: &[i32], kind: i32, index: usize) -> Vec<i32> {
    [path, &[kind, number(index)]].concat()
}

fn snake(name: &str, letter: impl Fn(char) -> bool) -> bool {
    name.starts_with(&letter)
        && name.chars().all(|c| letter(c) || c.is_ascii_digit() || c == '_')
        && !name.ends_with('_')
        && !name.contains("__")
}

fn lower_snake(name: &str) -> bool {
    snake(name, |c| c.is_ascii_lowercase())
}

fn upper_snake(name: &str) -> bool {
    snake(name, |c| c.is_ascii_uppercase())
}

fn pascal(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_uppercase()) && name.chars().all(|c| c.is_ascii_alphanumeric())
}

fn upper_snake_of(pascal: &str) -> String {
    let mut name = String::new();
    for (index, c) in pascal.chars().enumerate() {
        if c.is_ascii_uppercase() && index > 0 {
            name.push('_');
        }
        name.push(c.to_ascii_uppercase());
    }
    name
}
