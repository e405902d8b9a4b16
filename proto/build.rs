//! Compiles the .proto files with protox, so that no `protoc` has to be installed.

use std::error::Error;
use std::path::Path;

const FILES: [&str; 5] = ["error", "session", "conversation", "message", "frame"];

/// What carries tokens, content or names, oneofs within included: `src/redact.rs` says what of it may be shown.
const REDACTED: [&str; 17] = [
    "Hello",
    "Renew",
    "Welcome",
    "CreateConversation",
    "Conversation",
    "AddMembers",
    "RemoveMember",
    "RenameConversation",
    "Member",
    "MembersAdded",
    "Entry",
    "Message",
    "Tombstone",
    "Notice",
    "Publish",
    "Receipt",
    "Recipient",
];

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
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
