//! OpenID providers: issuers that are asked over HTTPS for their keys, and whether a token is still
//! active.
//!
//! Asking goes on in the background, within bounds: no token waits for an issuer but one whose key
//! may be new, and one that the issuer wants to be asked about. What was known stays in force while
//! an issuer is silent, up to a bound that the operator chose.

mod config;
mod document;
mod error;
mod follow;
mod introspection;
mod kept;
mod keys;
mod one;
pub(crate) mod rounds;

pub use config::{Account, Config, Pace};
pub use error::ProviderError;
pub(crate) use follow::{Put, follow};
pub use keys::{Fetched, try_out};
pub(crate) use one::{Provider, Standing};
