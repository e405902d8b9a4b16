//! What is typed and read the same everywhere: times, minutes, and where results go.
//!
//! A time that no clock bears is refused before anything runs, and so is a folder that cannot be
//! written: what took an hour to measure is not lost for want of a place.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;

/// Longest measurement, warm-up or replay.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// A time like `90s` or `1h`.
///
/// # Errors
/// What may be typed instead.
pub fn time(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(time) if time <= LONGEST => Ok(time),
        Ok(_) | Err(humantime::DurationError::NumberOverflow) => Err("it must be 30 days or less".into()),
        Err(error) => Err(format!("{error}; write it like 90s, 5m or 1h")),
    }
}

/// A number of minutes, like 2 or 0.5.
///
/// # Errors
/// What may be typed instead.
pub fn minutes(text: &str) -> Result<Duration, String> {
    let minutes: f64 =
        text.parse().map_err(|_| "it must be a number of minutes, like 2 or 0.5".to_owned())?;
    let time = Duration::try_from_secs_f64(minutes * 60.0).ok();
    time.filter(|time| !time.is_zero() && *time <= LONGEST)
        .ok_or_else(|| "it must be more than 0 minutes, and 30 days or less".into())
}

/// A command line to keep with a result, whatever bytes it has.
pub fn readable(arguments: impl IntoIterator<Item = OsString>) -> Vec<String> {
    arguments.into_iter().map(|argument| argument.to_string_lossy().into_owned()).collect()
}

/// Makes a folder if it is missing, and writes a file there to see that it can be done.
///
/// # Errors
/// If it cannot.
pub fn try_folder(folder: &Path) -> anyhow::Result<()> {
    let probe = folder.join(format!(".wardline-loadgen-{}", std::process::id()));
    fs::create_dir_all(folder)
        .and_then(|()| File::create_new(&probe))
        .and_then(|_| fs::remove_file(&probe))
        .with_context(|| format!("cannot write into {}: name another --out", folder.display()))
}

/// Sees that a file can be written, and leaves what is there as it is.
///
/// # Errors
/// If it cannot.
pub fn try_file(path: &Path) -> anyhow::Result<()> {
    let is_new = !path.exists();
    File::options()
        .append(true)
        .create(true)
        .open(path)
        .and_then(|_| if is_new { fs::remove_file(path) } else { Ok(()) })
        .with_context(|| format!("cannot write {}: name another --out", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_bounds() {
        assert_eq!(time("90s"), Ok(Duration::from_secs(90)));
        for text in ["31d", "99999999999999999999y", "18446744073709551615s"] {
            assert_eq!(time(text), Err("it must be 30 days or less".into()), "{text}");
        }
        assert!(time("soon").unwrap_err().contains("write it like"));
        assert_eq!(minutes("0.5"), Ok(Duration::from_secs(30)));
        for text in ["-1", "0", "inf", "NaN", "1e300", "43201", "two", ""] {
            assert!(minutes(text).unwrap_err().contains("minutes"), "{text}");
        }
    }

    #[test]
    fn a_command_line_of_any_bytes_can_be_kept() {
        let odd = std::os::unix::ffi::OsStringExt::from_vec(b"runs/\xff".to_vec());
        assert_eq!(readable(["--out".into(), odd]), ["--out", "runs/\u{fffd}"]);
    }

    #[test]
    fn where_nothing_can_be_written_is_said_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "kept").unwrap();
        try_file(&file).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "kept");
        try_file(&folder.path().join("new")).unwrap();
        assert!(!folder.path().join("new").exists());
        try_folder(&folder.path().join("a/b")).unwrap();
        assert!(fs::read_dir(folder.path().join("a/b")).unwrap().next().is_none());
        for refused in [try_folder(&file.join("below")), try_folder(&file), try_file(folder.path())] {
            let refused = refused.unwrap_err().to_string();
            assert!(refused.contains("name another --out"), "{refused}");
        }
    }
}
