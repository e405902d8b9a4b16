//! What is wrong with an issuer, or with what it says. Texts quote nothing of it but its address,
//! which the operator chose.

use std::io;

use thiserror::Error;

use crate::access::auth::JwksError;
use crate::https::HttpsError;

/// An issuer cannot be asked, or its answer not be used. The operator of either must act.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ProviderError {
    /// Nothing came that could be read.
    #[error("{of}: {source}")]
    Https {
        /// What was asked for.
        of: &'static str,
        /// Why.
        source: HttpsError,
    },
    /// It is not JSON.
    #[error("{of}: its answer is not the JSON that it should be{}; is it the right address?", html(.is_html))]
    NotJson {
        /// What was asked for.
        of: &'static str,
        /// Whether it is a web page.
        is_html: bool,
    },
    /// The document is another issuer's.
    #[error(
        "the discovery document names another issuer than the one that was asked; the two must be equal, letter by \
         letter: correct `issuer`, or the provider's own address"
    )]
    OtherIssuer,
    /// The document lacks an address, or has one that cannot be asked.
    #[error("the discovery document has no usable {0}, an https:// URL")]
    NoAddress(&'static str),
    /// The keys cannot be used.
    #[error(transparent)]
    Keys(#[from] JwksError),
    /// The secret cannot be read.
    #[error(
        "the client's secret cannot be read: {0}; set client_secret to a file with it, for the broker's user alone"
    )]
    Secret(io::Error),
}

fn html(is_html: &bool) -> &'static str {
    if *is_html { ", but a web page" } else { "" }
}

impl ProviderError {
    /// Whether it is a web page where JSON was expected, as far as its beginning says.
    pub(super) fn not_json(of: &'static str, body: &[u8]) -> Self {
        Self::NotJson { of, is_html: body.trim_ascii_start().starts_with(b"<") }
    }

    /// For metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Https { source, .. } => source.label(),
            Self::NotJson { .. } | Self::Keys(JwksError::Malformed { .. } | JwksError::Read { .. }) => {
                "not_json"
            }
            Self::OtherIssuer => "other_issuer",
            Self::NoAddress(_) => "no_address",
            Self::Keys(_) => "no_key",
            Self::Secret(_) => "no_secret",
        }
    }

    pub(super) fn https(&self) -> Option<&HttpsError> {
        match self {
            Self::Https { source, .. } => Some(source),
            _ => None,
        }
    }
}
