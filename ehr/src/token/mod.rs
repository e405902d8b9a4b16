//! The bridge's own token: read from a file, or given by an OpenID token endpoint.
//!
//! A file is read anew for each session and before the token in it ends, so whoever replaces it
//! tells nobody. What an endpoint gave is kept in memory and asked for anew when half of its time
//! has passed; while the endpoint is silent, the token that is there is used to its end. No token
//! and no secret stands in a log or an error.

mod endpoint;
mod file;
mod form;

use wardline_client::TokenSource;

pub use endpoint::{Account, Endpoint, EndpointError};
pub use file::File;

use crate::config::Config;

/// Where tokens come from.
#[derive(Clone)]
pub enum Tokens {
    /// From a file.
    File(File),
    /// From an endpoint.
    Endpoint(Endpoint),
}

impl Tokens {
    /// As configured. An endpoint is not asked yet: that is [`Endpoint::keep`]'s.
    ///
    /// # Errors
    /// [`EndpointError`] if what it needs cannot be read.
    pub fn of(config: &Config) -> Result<Self, EndpointError> {
        if config.token_endpoint.is_empty() {
            return Ok(Self::File(File::new(&config.token_file)));
        }
        Ok(Self::Endpoint(Endpoint::new(Account {
            url: config.token_endpoint.clone(),
            client: config.token_client.clone(),
            secret: config.token_secret.clone(),
            ca: config.token_ca.clone(),
            scope: config.token_scope.clone(),
            audience: config.token_audience.clone(),
            timeout: config.token_timeout,
        })?))
    }
}

impl TokenSource for Tokens {
    fn token(&self) -> Result<String, String> {
        match self {
            Self::File(file) => file.token(),
            Self::Endpoint(endpoint) => endpoint.token(),
        }
    }
}
