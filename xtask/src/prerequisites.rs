//! What must be on the machine before the broker can be built: a C compiler, and for an engine in
//! C++ a compiler for that and libclang; and Prometheus, to be watched by.
//!
//! On Debian and its children, as root (a container, CI), what is missing is installed. Elsewhere
//! the chore stops and says what is missing and how to get it, before cargo spends minutes to fail
//! in a build script.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};

use crate::engine::Engine;

/// What a build needs: the Debian packages that have it, and what for.
struct Needs {
    packages: &'static [&'static str],
    purpose: &'static str,
    elsewhere: &'static str,
}

const C: Needs = Needs {
    packages: &["gcc", "libc6-dev"],
    purpose: "to build the cryptographic library",
    elsewhere: "Fedora: dnf install gcc; macOS: xcode-select --install; elsewhere set CC",
};
const CPP: Needs = Needs {
    packages: &["g++", "libclang-dev"],
    purpose: "to build RocksDB",
    elsewhere: "Fedora: dnf install gcc-c++ clang-devel; macOS: xcode-select --install; elsewhere set CXX and \
                LIBCLANG_PATH",
};

/// Makes sure that what a broker with this engine is built with is there.
///
/// # Errors
/// If something is missing and cannot be installed; says what to do.
pub fn ensure(engine: Engine) -> anyhow::Result<()> {
    if missing(engine).is_empty() {
        return Ok(());
    }
    let needs = if engine.is_cpp() { &CPP } else { &C };
    if can_install() {
        install(needs.packages, needs.purpose)?;
    }
    let missing = missing(engine);
    if !missing.is_empty() {
        bail!(
            "missing {}: {}. Debian, Ubuntu: apt-get install {}; {}",
            needs.purpose,
            missing.join(" and "),
            needs.packages.join(" "),
            needs.elsewhere
        );
    }
    Ok(())
}

/// Makes sure that Prometheus and its `promtool` are there.
///
/// # Errors
/// If they are missing and cannot be installed; says what to do.
pub fn ensure_prometheus() -> anyhow::Result<()> {
    if has_prometheus() {
        return Ok(());
    }
    if can_install() {
        install(&["prometheus"], "to check dashboards and alerts")?;
        // The package starts a service, which nobody asked for. Where there is no systemd it does
        // not.
        let stopped = Command::new("systemctl").args(["disable", "--now", "--quiet", "prometheus"]).status();
        if stopped.is_ok_and(|status| !status.success()) {
            crate::say(
                "the service prometheus, which the package brings, may run: systemctl disable --now prometheus",
            );
        }
    }
    ensure!(
        has_prometheus(),
        "missing to check dashboards and alerts: prometheus and promtool. Debian, Ubuntu: apt-get install prometheus; \
         elsewhere put the two programs of a release of Prometheus on the path"
    );
    Ok(())
}

fn has_prometheus() -> bool {
    ["prometheus", "promtool"].iter().all(|program| {
        let status =
            Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    })
}

fn can_install() -> bool {
    Path::new("/etc/debian_version").exists() && is_root()
}

fn missing(engine: Engine) -> Vec<&'static str> {
    let mut missing = Vec::new();
    if !has_compiler("CC", "cc") {
        missing.push("a C compiler");
    }
    if engine.is_cpp() && !has_compiler("CXX", "c++") {
        missing.push("a C++ compiler");
    }
    if engine.is_cpp() && !has_libclang() {
        missing.push("libclang");
    }
    missing
}

fn has_compiler(variable: &str, usual: &str) -> bool {
    let compiler = std::env::var(variable).unwrap_or_else(|_| usual.into());
    // The variable may carry arguments or a launcher in front.
    let program = compiler.split_whitespace().next().unwrap_or(usual).to_owned();
    let status = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// Looks where bindgen's loader (clang-sys) looks.
fn has_libclang() -> bool {
    if std::env::var_os("LIBCLANG_PATH").is_some() || cfg!(target_os = "macos") {
        return true;
    }
    let mut folders: Vec<PathBuf> = ["/usr/lib", "/usr/lib64", "/usr/local/lib"].map(PathBuf::from).into();
    folders.push(format!("/usr/lib/{}-linux-gnu", std::env::consts::ARCH).into());
    let versions = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let versions = versions.filter(|entry| entry.file_name().to_string_lossy().starts_with("llvm"));
    folders.extend(versions.map(|entry| entry.path().join("lib")));
    folders.iter().any(|folder| {
        let mut files = std::fs::read_dir(folder).into_iter().flatten().flatten();
        files.any(|entry| is_libclang(&entry.file_name().to_string_lossy()))
    })
}

/// The C interface, under any version; `libclang-cpp`, which other packages bring without it, is
/// another library.
fn is_libclang(file: &str) -> bool {
    let versioned =
        file.starts_with("libclang-") && !file.starts_with("libclang-cpp") && file.contains(".so");
    file.starts_with("libclang.so") || versioned
}

fn is_root() -> bool {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else { return false };
    let ids = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    // Real, effective, saved, file system.
    ids.and_then(|ids| ids.split_whitespace().nth(1)) == Some("0")
}

fn install(packages: &[&str], purpose: &str) -> anyhow::Result<()> {
    crate::say(&format!("installing {} (needed {purpose})", packages.join(" ")));
    let install = [&["install", "--yes", "--no-install-recommends"], packages].concat();
    for arguments in [&["update", "--quiet"][..], &install] {
        let status = Command::new("apt-get")
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdout(Stdio::null())
            .status()
            .context("cannot run apt-get")?;
        ensure!(status.success(), "apt-get {} failed", arguments.join(" "));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::is_libclang;

    #[test]
    fn the_c_interface_alone_is_libclang() {
        for file in
            ["libclang.so", "libclang.so.1", "libclang-14.so", "libclang-14.so.14.0.6", "libclang-19.so.1"]
        {
            assert!(is_libclang(file), "{file}");
        }
        for file in
            ["libclang-cpp.so.14", "libclang-cpp14.so", "libclang_rt.asan.so", "libclang-14.a", "libLLVM.so"]
        {
            assert!(!is_libclang(file), "{file}");
        }
    }
}
