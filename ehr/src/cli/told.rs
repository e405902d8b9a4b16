//! How an error is told: with all its causes, each said once, in one line.
//!
//! What came from elsewhere cannot move the cursor.

/// An error and its causes, in one line, each said once.
pub(crate) fn told(error: &anyhow::Error) -> String {
    let mut told = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if told.is_empty() {
            told = cause;
        } else if !told.contains(&cause) {
            told = format!("{told}: {cause}");
        }
    }
    told.replace(|letter: char| letter.is_control() && letter != '\n', "\u{fffd}")
}
