//! Tokens by OAuth2's client credentials grant (RFC 6749, 4.4), for brokers that are asked over HTTP.

use crate::secret::Secret;

#[cfg(feature = "clients")]
mod client;

#[cfg(feature = "clients")]
pub(crate) use client::Token;

/// Who asks whom for a token.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ClientCredentials {
    pub token_url: Secret,
    pub client_id: Secret,
    pub client_secret: Secret,
    /// Separated by spaces; empty where the provider is to choose.
    pub scopes: String,
    /// More parameters that the provider wants.
    pub parameters: Vec<(String, Secret)>,
}
