//! Compiles the .proto files with protox, so that no `protoc` has to be installed.

use std::error::Error;
use std::path::Path;

const FILES: [&str; 5] = ["error", "session", "conversation", "message", "frame"];

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files: Vec<_> = FILES.iter().map(|name| root.join(format!("wardline/v1/{name}.proto"))).collect();
    for file in &files {
        println!("cargo::rerun-if-changed={}", file.display());
    }
    let descriptors = protox::compile(&files, [root])?;
    prost_build::Config::new()
        .bytes(["."])
        .skip_debug(["wardline.v1.Hello", "wardline.v1.Renew", "wardline.v1.Publish", "wardline.v1.Message"])
        .compile_fds(descriptors)?;
    Ok(())
}
