//! Asking for a token, and keeping it while it is good.

use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;

use super::{ClientCredentials, Issuer};
use crate::error::Error;
use crate::http::bounded;
use crate::secret::Secret;

/// How long before its end a token is replaced, so that it does not end on the way.
const MARGIN: Duration = Duration::from_secs(10);
/// How long a token is kept whose answer does not say: short enough to be right with any provider.
const UNSAID: Duration = Duration::from_secs(60);

/// A token that is kept while it is good.
#[derive(Debug, Default)]
pub(crate) struct Token(Option<(Secret, Instant)>);

/// A token as it comes.
#[derive(Deserialize)]
pub(crate) struct Granted {
    pub access_token: String,
    expires_in: Option<u64>,
}

impl Token {
    /// A token that is good now.
    pub(crate) async fn get(&mut self, issuer: &Issuer, client: &reqwest::Client) -> Result<Secret, Error> {
        if let Some((token, _)) = self.0.as_ref().filter(|(_, end)| *end > Instant::now()) {
            return Ok(token.clone());
        }
        let granted = match issuer {
            Issuer::Credentials(credentials) => credentials.fetch(client).await,
            Issuer::Azure(federated) => federated.fetch(client).await,
            Issuer::Google(google) => google.fetch(client).await,
        }?;
        let life = granted.expires_in.map_or(UNSAID, Duration::from_secs);
        let token = Secret::from(granted.access_token);
        self.0 = Some((token.clone(), Instant::now() + life.saturating_sub(MARGIN)));
        Ok(token)
    }

    /// Forgets the token, because somebody refused it.
    pub(crate) fn forget(&mut self) {
        self.0 = None;
    }
}

impl ClientCredentials {
    /// Providers differ in where they want the client's secret; the standard's way, in the header, comes first, and the body if that is refused.
    async fn fetch(&self, client: &reqwest::Client) -> Result<Granted, Error> {
        let form = self.form();
        let in_header = self.post(client).basic_auth(form_text(&self.client_id), Some(form_text(&self.client_secret))).form(&form);
        match self.grant(in_header).await {
            Ok(granted) => Ok(granted),
            Err(_) => {
                let mut form = form;
                form.extend([("client_id", self.client_id.expose()), ("client_secret", self.client_secret.expose())]);
                self.grant(self.post(client).form(&form)).await
            }
        }
    }

    fn post(&self, client: &reqwest::Client) -> reqwest::RequestBuilder {
        client.post(self.token_url.expose())
    }

    fn form(&self) -> Vec<(&str, &str)> {
        let mut form = vec![("grant_type", "client_credentials")];
        if !self.scopes.is_empty() {
            form.push(("scope", self.scopes.as_str()));
        }
        form.extend(self.parameters.iter().map(|(name, text)| (name.as_str(), text.expose())));
        form
    }

    async fn grant(&self, request: reqwest::RequestBuilder) -> Result<Granted, Error> {
        grant(request, self.token_url.expose(), "oauthTokenURI, clientID, clientSecret and scopes").await
    }
}

/// The token that a request brings. `to` is where it goes, and `check` what to look at where it is refused: neither is repeated with a secret.
pub(crate) async fn grant(request: reqwest::RequestBuilder, to: &str, check: &str) -> Result<Granted, Error> {
    let fault = |reason: String| Error::FetchToken { endpoint: endpoint(to), reason };
    let failed = |error: reqwest::Error| fault(error.without_url().to_string());
    let answer = request.send().await.map_err(failed)?;
    let status = answer.status();
    if !status.is_success() {
        return Err(fault(format!("it answers {status}; check {check}")));
    }
    let body = bounded(answer).await.map_err(failed)?.unwrap_or_default();
    serde_json::from_slice(&body).map_err(|_| fault(format!("its answer holds no access_token; check {check}")))
}
/// A token endpoint's address without what may be secret in it.
fn endpoint(address: &str) -> String {
    url::Url::parse(address).map_or_else(|_| "an address that is no URL".to_owned(), |url| url.origin().ascii_serialization() + url.path())
}

/// A text as the standard wants it in the header (RFC 6749, 2.3.1).
fn form_text(text: &Secret) -> String {
    url::form_urlencoded::byte_serialize(text.expose().as_bytes()).collect()
}
