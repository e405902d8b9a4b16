//! The node's salt: 32 random bytes in the data folder, drawn once.
//!
//! With the store's secret it makes the secrets of the endpoint ([`super::secrets`]), which must
//! outlive a restart, and which no other node and nobody with a copy of the store may have. So it
//! is neither in the log nor in a backup. A broker without files draws one for itself.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Its file, which only the broker's user may read.
const NAME: &str = "node-salt";

/// 32 bytes that only this node has.
pub(crate) type Salt = [u8; 32];

/// The salt of the node whose data lies in a folder, drawn if there is none; a passing one without
/// a folder.
///
/// # Errors
/// [`io::Error`] if it can neither be read nor written.
pub(crate) fn of(data: Option<&Path>) -> io::Result<Salt> {
    let Some(data) = data else { return fresh() };
    match fs::read(data.join(NAME)).map(Salt::try_from) {
        Ok(Ok(salt)) => Ok(salt),
        Ok(Err(_)) => {
            tracing::warn!(
                code = "node-salt-damaged",
                "the file node-salt is not 32 bytes long and is drawn anew: clients that were connected find out by themselves"
            );
            draw(data)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => draw(data),
        Err(error) => Err(error),
    }
}

fn draw(data: &Path) -> io::Result<Salt> {
    let salt = fresh()?;
    let unfinished = data.join(".node-salt");
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
    file.write_all(&salt)?;
    file.sync_all()?;
    fs::rename(&unfinished, data.join(NAME))?;
    File::open(data)?.sync_all()?;
    Ok(salt)
}

fn fresh() -> io::Result<Salt> {
    let mut salt = [0; 32];
    getrandom::fill(&mut salt).map_err(io::Error::from)?;
    Ok(salt)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn it_is_drawn_once_and_is_nobody_else_s() {
        let folder = tempfile::tempdir().expect("a folder");
        let salt = of(Some(folder.path())).expect("drawn");
        assert_eq!(of(Some(folder.path())).expect("read"), salt);
        let file = folder.path().join(NAME);
        let mode = fs::metadata(&file).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        fs::write(&file, b"short").expect("writes");
        let again = of(Some(folder.path())).expect("drawn anew");
        assert_ne!(again, salt);
        assert_eq!(of(Some(folder.path())).expect("read"), again);
        assert_ne!(of(None).expect("drawn"), of(None).expect("drawn"));
    }
}
