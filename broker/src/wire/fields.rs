//! What fields of requests have in common: widths, lengths, pages.
//!
//! Each refusal names the field.

use std::fmt;

use crate::access::auth::is_name;
use crate::limits::{Limits, NAME_BYTES_MAX, PAGE_ENTRIES_DEFAULT};
use crate::refusal::{Code, Refusal};

/// One page of a listing.
pub(crate) struct PageRequest {
    pub(crate) entries: usize,
    pub(crate) after: Option<[u8; 16]>,
}

pub(super) fn page(size: u32, token: &[u8], limits: &Limits) -> Result<PageRequest, Refusal> {
    let after = match token {
        [] => None,
        _ => Some(sixteen("page_token", token)?),
    };
    Ok(PageRequest { entries: page_entries(size, limits)?, after })
}

pub(super) fn page_entries(size: u32, limits: &Limits) -> Result<usize, Refusal> {
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    match size {
        0 => Ok(PAGE_ENTRIES_DEFAULT.min(limits.page_entries_max)),
        _ if size > limits.page_entries_max => Err(Refusal::new(
            Code::PageTooLarge,
            format!("page_size: {size}, at most {} are allowed", limits.page_entries_max),
        )),
        _ => Ok(size),
    }
}

pub(super) fn sixteen(field: &'static str, bytes: &[u8]) -> Result<[u8; 16], Refusal> {
    bytes.try_into().map_err(|_| Refusal::invalid(format!("{field}: must be 16 bytes, has {}", bytes.len())))
}

pub(super) fn name(field: &'static str, name: String) -> Result<String, Refusal> {
    if !is_name(&name) {
        return Err(Refusal::invalid(format!(
            "{field}: a name has 1 to {NAME_BYTES_MAX} bytes and no control characters"
        )));
    }
    Ok(name)
}

/// The field's path is spelled out for a refusal only.
pub(super) fn text(
    field: impl fmt::Display,
    text: String,
    bytes_min: usize,
    bytes_max: usize,
) -> Result<String, Refusal> {
    let allowed = (bytes_min..=bytes_max).contains(&text.len()) && !text.chars().any(char::is_control);
    if !allowed {
        return Err(Refusal::invalid(format!(
            "{field}: must have {bytes_min} to {bytes_max} bytes and no control characters"
        )));
    }
    Ok(text)
}

pub(super) fn printable(field: &'static str, text: &str, bytes_max: usize) -> Result<(), Refusal> {
    if text.len() > bytes_max || !text.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
        return Err(Refusal::invalid(format!("{field}: at most {bytes_max} bytes of printable ASCII")));
    }
    Ok(())
}
