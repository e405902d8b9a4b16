//! Compiles the .proto files with protox, so that no `protoc` has to be installed.

use std::env;
use std::error::Error;
use std::path::PathBuf;

const FILES: [&str; 6] = ["error", "session", "conversation", "message", "record", "frame"];

/// What carries tokens, content or names, oneofs within included: `src/redact.rs` says what of it
/// may be shown.
const REDACTED: [&str; 28] = [
    "Hello",
    "Renew",
    "Welcome",
    "CreateConversation",
    "Conversation",
    "AddMembers",
    "RemoveMember",
    "SetRole",
    "RenameConversation",
    "Member",
    "MembersAdded",
    "MembersLeft",
    "RoleChanged",
    "Entry",
    "Message",
    "Tombstone",
    "Notice",
    "Publish",
    "Receipt",
    "Recipient",
    "Identifier",
    "SourceEvent",
    "PatientNaming",
    "Place",
    "SetRoster",
    "SetCareTeam",
    "ListContexts",
    "Context",
];

fn main() -> Result<(), Box<dyn Error>> {
    // Asked for now, not when this was compiled: the target folder may serve a checkout that was
    // moved.
    let root = &PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").ok_or("cargo names no folder")?);
    let files: Vec<_> = FILES.iter().map(|name| root.join(format!("wardline/v1/{name}.proto"))).collect();
    for file in &files {
        println!("cargo::rerun-if-changed={}", file.display());
    }
    let descriptors = protox::compile(&files, [root])?;
    prost_build::Config::new()
        .bytes(["."])
        .skip_debug(REDACTED.map(|name| format!(".wardline.v1.{name}")))
        .compile_fds(descriptors)?;
    Ok(())
}
