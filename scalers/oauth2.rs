//! Tokens for brokers that are asked over HTTP: by OAuth2's client credentials grant (RFC 6749, 4.4), or from a cloud that knows us.

use crate::field::{List, Pairs};
use crate::identity::azure::Federated;
use crate::identity::gcp::Google;
use crate::secret::Secret;

#[cfg(feature = "clients")]
mod client;

#[cfg(feature = "clients")]
pub(crate) use client::{Granted, Token, grant};

/// Who gives us a token.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Issuer {
    /// A provider that the trigger names.
    Credentials(ClientCredentials),
    /// Microsoft's, by the daemon's federated token.
    Azure(Federated),
    /// Google's, by a service account's key or on a machine of Google's.
    Google(Google),
}

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

impl ClientCredentials {
    /// What a trigger's authentication says of them.
    pub(crate) fn new(token_url: Secret, client_id: Secret, client_secret: Secret, scopes: Option<List>, more: Option<Pairs>) -> Self {
        let scopes = scopes.unwrap_or_default().0.join(" ");
        let parameters = more.unwrap_or_default().0.into_iter().map(|(name, text)| (name, Secret::from(text))).collect();
        Self { token_url, client_id, client_secret, scopes, parameters }
    }
}
