//! The contract as lines of text, and what may become of them: a line that was published stays for
//! ever.
//!
//! A line holds all that a peer relies on (name, number, type, list or not, oneof), so removing,
//! renaming, renumbering, retyping and moving all show as a line that is gone. Comments and the
//! order of declarations are no part of it.

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet};

/// How the contract of now differs from the baseline.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Difference {
    /// Lines of the baseline that hold no more, each with what stands in their place: breaking.
    pub(crate) broken: Vec<String>,
    /// Lines that the baseline does not have yet: allowed, to be appended.
    pub(crate) added: Vec<String>,
}

/// Compares a baseline with the contract of now.
pub(crate) fn compare(baseline: &str, now: &FileDescriptorSet) -> Difference {
    let published: Vec<&str> =
        baseline.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    let now = lines(now);
    let broken = published
        .iter()
        .filter(|line| !now.iter().any(|other| other == *line))
        .map(|line| match now.iter().find(|other| subject(other) == subject(line)) {
            Some(other) => format!("`{line}` has become `{other}`"),
            None => format!("`{line}` is gone"),
        })
        .collect();
    let added = now.into_iter().filter(|line| !published.contains(&line.as_str())).collect();
    Difference { broken, added }
}

/// The baseline with lines appended; what it had stays as it is.
pub(crate) fn append(baseline: &str, added: &[String]) -> String {
    added.iter().fold(baseline.to_owned(), |text, line| text + line + "\n")
}

/// What a line is about: `kind name`.
fn subject(line: &str) -> &str {
    line.split_once(" = ").map_or(line, |(subject, _)| subject)
}

fn lines(set: &FileDescriptorSet) -> Vec<String> {
    let mut lines = Vec::new();
    for file in &set.file {
        let package = file.package();
        file.message_type.iter().for_each(|message| message_lines(package, message, &mut lines));
        file.enum_type.iter().for_each(|declared| enum_lines(package, declared, &mut lines));
    }
    lines
}

fn message_lines(scope: &str, message: &DescriptorProto, lines: &mut Vec<String>) {
    let name = format!("{scope}.{}", message.name());
    lines.push(format!("message {name}"));
    for field in &message.field {
        let mut line = format!("field {name}.{} = {} ", field.name(), field.number());
        match field.label() {
            Label::Repeated => line += "repeated ",
            Label::Optional if field.proto3_optional() => line += "optional ",
            _ => {}
        }
        line += &type_name(field);
        if let Some(oneof) = field.oneof_index.filter(|_| !field.proto3_optional()) {
            let oneof = usize::try_from(oneof).expect("an index");
            line += &format!(" in {}", message.oneof_decl[oneof].name());
        }
        lines.push(line);
    }
    message.nested_type.iter().for_each(|nested| message_lines(&name, nested, lines));
    message.enum_type.iter().for_each(|declared| enum_lines(&name, declared, lines));
}

fn enum_lines(scope: &str, declared: &EnumDescriptorProto, lines: &mut Vec<String>) {
    let name = format!("{scope}.{}", declared.name());
    lines.push(format!("enum {name}"));
    lines.extend(
        declared.value.iter().map(|value| format!("value {name}.{} = {}", value.name(), value.number())),
    );
}

fn type_name(field: &FieldDescriptorProto) -> String {
    match field.r#type() {
        Type::Message | Type::Enum => field.type_name().trim_start_matches('.').to_owned(),
        scalar => scalar.as_str_name().trim_start_matches("TYPE_").to_lowercase(),
    }
}
