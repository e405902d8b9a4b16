//! What a token looks like from outside: a JWT in compact form.
//!
//! Who signed it and what it says is the broker's to judge; this keeps what is no token at all from
//! being sent.

/// Longest token, in bytes.
pub(super) const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// Whether this could be a token at all: three parts of letters, digits, `-` and `_`.
pub(super) fn is_token(text: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    text.len() <= TOKEN_BYTES_MAX && text.split('.').count() == 3 && text.split('.').all(is_part)
}
