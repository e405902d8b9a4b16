//! Issuers that are asked over HTTPS: their keys, the tokens that they took back, and what they say
//! has ended; and every way in which they can be odd.

mod introspection;
mod keys;
mod logout;
mod odd;
mod provider;
#[cfg(feature = "peers")]
mod real;

use wardline_client::{Code, DeviceId};

use crate::site::{self, Site};

/// Why somebody with this token is kept out, on whatever device.
async fn refused(site: &Site, token: String) -> Code {
    site::kept_out(site, token, DeviceId::random()).await
}
