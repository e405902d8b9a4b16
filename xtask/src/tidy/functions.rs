//! Functions that do not fit on a screen.
//!
//! Counted from the line with `fn` to the one with the closing brace, tests included: a long test
//! is as hard to read. What a function holds (closures, other functions) counts with it.

use super::finding::Finding;
use super::source::{Source, is_word};

/// Most lines of a function.
pub const FUNCTION_LINES_MAX: usize = 70;

/// Looks for functions that are too long.
pub fn check(source: &Source, findings: &mut Vec<Finding>) {
    let code = &source.code;
    for (byte, _) in code.match_indices("fn ").filter(|(byte, _)| is_word(code, *byte, "fn")) {
        let Some(end) = end(code, byte) else { continue };
        let lines = code[byte..end].lines().count();
        if lines > FUNCTION_LINES_MAX {
            let name: String = code[byte + 2..]
                .trim_start()
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            let text = format!("`{name}` has {lines} lines, at most {FUNCTION_LINES_MAX}: take it apart");
            findings.push(Finding::at(source, code, byte, text));
        }
    }
}

/// Where the body of the function that begins here ends; `None`: it has none.
fn end(code: &str, byte: usize) -> Option<usize> {
    let (mut braces, mut brackets) = (0_usize, 0_usize);
    for (at, c) in code[byte..].char_indices() {
        match c {
            '(' | '[' => brackets += 1,
            ')' | ']' => brackets = brackets.checked_sub(1)?,
            // A declaration without a body.
            ';' if braces == 0 && brackets == 0 => return None,
            '{' => braces += 1,
            '}' => {
                braces = braces.checked_sub(1)?;
                if braces == 0 {
                    return Some(byte + at + 1);
                }
            }
            _ => {}
        }
    }
    None
}
