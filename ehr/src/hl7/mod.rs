//! HL7 version 2, read over bytes.
//!
//! [`message`] finds segments and fields and keeps every byte; [`element`] looks into fields;
//! [`header`] is MSH; [`adt`] and [`oru`] read events and results; [`read`] decides which of them,
//! and [`ack`] answers. A [`flaw`] says what is wrong, where, and in which section of HL7 v2.5.1
//! the rule stands. Pure: the caller gives the time.

pub mod ack;
pub mod adt;
pub mod batch;
pub mod charset;
pub mod delimiters;
pub mod element;
pub mod escape;
pub mod flaw;
pub mod header;
pub mod message;
pub mod oru;
pub mod place;
pub mod read;
pub mod time;
