//! A token in a file, read anew each time.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::form::{TOKEN_BYTES_MAX, is_token};

/// Such a file.
#[derive(Clone, Debug)]
pub struct File {
    path: PathBuf,
}

impl File {
    /// Names it; touches nothing.
    pub fn new(path: &Path) -> Self {
        Self { path: path.into() }
    }

    /// Reads it.
    pub(super) fn token(&self) -> Result<String, String> {
        let path = self.path.display();
        let wrong =
            |detail: &str| format!("token.file {path} {detail}; put a token there, a JWT in one line");
        let unreadable = |error: std::io::Error| {
            format!(
                "cannot read token.file {path}: {error}; check the path and that the bridge's user may read it"
            )
        };
        let file = std::fs::File::open(&self.path).map_err(unreadable)?;
        let mut text = String::new();
        let read = file.take(TOKEN_BYTES_MAX as u64 + 2).read_to_string(&mut text);
        read.map_err(unreadable)?;
        match text.trim() {
            "" => Err(wrong("is empty")),
            token if is_token(token) => Ok(token.to_owned()),
            _ => Err(wrong("has no token")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_anew_and_nothing_else_is_taken_for_one() {
        let folder = tempfile::tempdir().expect("there is room");
        let path = folder.path().join("token");
        let file = File::new(&path);
        let write = |text: &str| std::fs::write(&path, text).expect("it can be written");
        assert!(file.token().expect_err("it is not there").contains("cannot read token.file"));
        write("a.b-_.C1\n");
        assert_eq!(file.token(), Ok("a.b-_.C1".to_owned()));
        write("d.e.f");
        assert_eq!(file.token(), Ok("d.e.f".to_owned()));
        for wrong in ["", "\n", "secret", "a.b", "a..b", "a.b.c.d", "a.b.c d", &"a.b.".repeat(9_000)] {
            write(wrong);
            let told = file.token().expect_err(wrong);
            assert!(!told.contains("secret") && told.contains("put a token there"), "{told}");
        }
    }
}
