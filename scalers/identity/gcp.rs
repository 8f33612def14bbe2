//! Google's identities: a service account by its key, or the account of the machine that the daemon runs on, which Google's metadata server tells.

#[cfg(feature = "clients")]
use aws_lc_rs::{rand::SystemRandom, rsa, signature};
#[cfg(feature = "clients")]
use base64::Engine as _;
#[cfg(feature = "clients")]
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
#[cfg(feature = "clients")]
use rustls::pki_types::{PrivateKeyDer, pem::PemObject as _};
use serde::Deserialize;
#[cfg(feature = "clients")]
use serde_json::json;
#[cfg(feature = "clients")]
use springtide_core::Timestamp;

#[cfg(feature = "clients")]
use crate::error::Error;
#[cfg(feature = "clients")]
use crate::oauth2::{Granted, grant};
use crate::secret::Secret;

/// Where Google's machines, and pods on them, ask who they are.
const METADATA: &str = "metadata.google.internal";
/// Where service accounts' tokens come from, where the key does not say.
const TOKENS: &str = "https://oauth2.googleapis.com/token";
/// A token that may read what Cloud Monitoring has.
pub(crate) const MONITORING_READ: &str = "https://www.googleapis.com/auth/monitoring.read";
/// For how long a token is asked for: the longest that Google gives.
#[cfg(feature = "clients")]
const LIFE_S: i64 = 3600;

/// The machine's account: where it is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Machine {
    /// Host and port of the metadata server; Google's own unless given (`GCE_METADATA_HOST`).
    pub metadata_host: Option<String>,
    /// The project, where it is not the one that the metadata server tells (`CLOUDSDK_CORE_PROJECT`).
    pub project: Option<String>,
}

impl Machine {
    /// This one, with what it does not say from the surroundings.
    #[must_use]
    pub fn or(self, around: &Self) -> Self {
        Self {
            metadata_host: self.metadata_host.or_else(|| around.metadata_host.clone()),
            project: self.project.or_else(|| around.project.clone()),
        }
    }

    /// The URL of a value of the metadata server.
    #[cfg(feature = "clients")]
    fn url(&self, path: &str) -> String {
        format!("http://{}/computeMetadata/v1/{path}", self.metadata_host.as_deref().unwrap_or(METADATA))
    }

    /// The project that the daemon runs in.
    ///
    /// # Errors
    /// The metadata server does not answer, or not with a project.
    #[cfg(feature = "clients")]
    pub(crate) async fn project(&self, client: &reqwest::Client) -> Result<String, Error> {
        if let Some(project) = &self.project {
            return Ok(project.clone());
        }
        let to = self.url("project/project-id");
        let fault = |reason: String| Error::FetchToken { endpoint: to.clone(), reason };
        let asked = client.get(&to).header("metadata-flavor", "Google").send().await.and_then(reqwest::Response::error_for_status);
        let answer = asked.map_err(|error| {
            fault(format!("the project cannot be asked for ({}); give names as projects/PROJECT/...", error.without_url()))
        })?;
        let body = crate::http::bounded(answer).await.map_err(|error| fault(error.without_url().to_string()))?.unwrap_or_default();
        let project = String::from_utf8_lossy(&body).trim().to_owned();
        let is_name = !project.is_empty() && project.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.:".contains(&byte));
        if is_name { Ok(project) } else { Err(fault("the answer is no name of a project; this may be no metadata server".to_owned())) }
    }
}

/// The key of a service account, as Google gives it out: JSON, of which this is read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct AccountKey {
    pub project: Option<String>,
    email: String,
    key_id: Option<String>,
    key: Secret,
    tokens: String,
}

impl AccountKey {
    /// The key in a text.
    ///
    /// # Errors
    /// What is wrong, without repeating any of it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Json {
            #[serde(rename = "type", default)]
            kind: String,
            project_id: Option<String>,
            client_email: Option<String>,
            private_key_id: Option<String>,
            private_key: Option<String>,
            token_uri: Option<String>,
        }
        let remedy = "give the JSON key of a service account, whole";
        let json: Json = serde_json::from_str(text).map_err(|_| format!("the credentials are no JSON of Google's; {remedy}"))?;
        if !matches!(json.kind.as_str(), "" | "service_account") {
            return Err(format!("the credentials are not of a service account; {remedy}"));
        }
        let (Some(email), Some(key)) = (json.client_email, json.private_key) else {
            return Err(format!("the credentials lack client_email or private_key; {remedy}"));
        };
        let tokens = json.token_uri.unwrap_or_else(|| TOKENS.to_owned());
        Ok(Self { project: json.project_id, email, key_id: json.private_key_id, key: Secret::from(key), tokens })
    }
}

/// How a token of Google's is come by, and what for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Google {
    pub account: Account,
    /// What the token is to allow.
    pub scope: &'static str,
}

/// Whose token it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Account {
    Key(AccountKey),
    Machine(Machine),
}

#[cfg(feature = "clients")]
impl Google {
    /// Asks for a token.
    pub(crate) async fn fetch(&self, client: &reqwest::Client) -> Result<Granted, Error> {
        match &self.account {
            Account::Key(key) => key.fetch(client, self.scope).await,
            Account::Machine(machine) => {
                let to = machine.url("instance/service-accounts/default/token");
                let request = client.get(&to).query(&[("scopes", self.scope)]).header("metadata-flavor", "Google");
                grant(request, &to, "that the daemon runs on Google Cloud and its ServiceAccount is bound to a service account there").await
            }
        }
    }
}

#[cfg(feature = "clients")]
impl AccountKey {
    /// A token for a JWT that the account's key signed (RFC 7523, 2.1).
    async fn fetch(&self, client: &reqwest::Client, scope: &str) -> Result<Granted, Error> {
        let reason = |reason| Error::FetchToken { endpoint: self.tokens.clone(), reason };
        let proof = self.signed(scope, Timestamp::now()).map_err(reason)?;
        let form = [("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"), ("assertion", proof.expose())];
        grant(
            client.post(&self.tokens).form(&form),
            &self.tokens,
            "that the key is still one of the service account's, and the machine's clock",
        )
        .await
    }

    /// The JWT, signed by RS256. The error says what is wrong with the key.
    fn signed(&self, scope: &str, now: Timestamp) -> Result<Secret, String> {
        let unusable = || "private_key is no RSA key in PEM; give the service account's key as Google gave it out".to_owned();
        let key = PrivateKeyDer::from_pem_slice(self.key.expose().as_bytes()).map_err(|_| unusable())?;
        let pair = match &key {
            PrivateKeyDer::Pkcs8(der) => rsa::KeyPair::from_pkcs8(der.secret_pkcs8_der()),
            der => rsa::KeyPair::from_der(der.secret_der()),
        };
        let pair = pair.map_err(|_| unusable())?;
        let now = now.as_second();
        let head = json!({"alg": "RS256", "typ": "JWT", "kid": self.key_id});
        let claims = json!({"iss": self.email, "scope": scope, "aud": self.tokens, "iat": now, "exp": now + LIFE_S});
        let text = format!("{}.{}", URL_SAFE_NO_PAD.encode(head.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()));
        let mut made = vec![0; pair.public_modulus_len()];
        pair.sign(&signature::RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut made).map_err(|_| unusable())?;
        Ok(Secret::from(format!("{text}.{}", URL_SAFE_NO_PAD.encode(made))))
    }
}
