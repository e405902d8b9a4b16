//! Issuers that are asked over HTTPS: their keys, the tokens that they took back, and what they say
//! has ended; and every way in which they can be odd.

mod introspection;
mod keys;
mod logout;
mod odd;
mod provider;
#[cfg(feature = "peers")]
mod real;
