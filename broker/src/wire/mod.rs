//! The border to the wire: frames in, the broker's own types out, and the other way.
//!
//! Past this module no prost type exists. What it lets in is well-formed: ids have their width,
//! enumerations a known value, texts their bounds. Whether it is allowed is the business of
//! [`requests`](crate::requests).

mod fields;
mod parts;
mod push;
mod record;
mod recorded;
mod request;
mod response;

pub(crate) use fields::PageRequest;
pub(crate) use push::{caught_up, entry, joined, left, not_followed, ordered_header, receipt, urgent_header};
pub(crate) use record::{Asked, Naming, Place, Recording, Said, Which};
pub(crate) use recorded::{Context, EncounterState, Subject};
pub(crate) use request::{Decoded, Hello, NewConversation, Request, Token, decode};
pub(crate) use response::{Registered, Response, Welcome, answer, goodbye, refusal};
pub(crate) use wardline_proto::ALPN;
pub(crate) use wardline_proto::frame::{FrameError, split};
