//! A page of the documents that a test writes from what the machine answers.
//!
//! The test fails if the committed page differs, and says in which lines. With a variable of its
//! own set it writes the page first.

use std::fs;
use std::path::Path;

/// Fails unless the page in `docs/` is this one. `update`: the variable that has it written;
/// `test`: the test target that does.
pub(crate) fn is_committed(name: &str, page: &str, update: &str, test: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name);
    if std::env::var_os(update).is_some() {
        fs::write(&path, page).expect("the page can be written");
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    let differs = |(number, (found, said)): (usize, (&str, &str))| {
        (found != said)
            .then(|| format!("line {}: the answer is `{found}`, the page says `{said}`", number + 1))
    };
    let differences: Vec<_> =
        page.lines().zip(committed.lines()).enumerate().filter_map(differs).take(20).collect();
    assert!(
        page == committed,
        "docs/{name} is not what is answered; if the answers are right: \
         {update}=1 cargo test -p wardline-storage --test {test}\n{}",
        differences.join("\n")
    );
}
