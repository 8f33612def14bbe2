//! AWS Secrets Manager: where texts of a trigger's authentication may lie instead of in Secrets of the cluster. Read when a trigger is made, not when it is
//! polled.

use std::time::Duration;

use aws_sdk_secretsmanager::{Client, config};
use futures::stream::iter;
use futures::{FutureExt as _, StreamExt as _};
use serde_json::Value;

use crate::error::Error;
use crate::identity::PodIdentity;
use crate::identity::aws::{Identity, Service, Way, refusal};
use crate::secret::Secret;

/// So many secrets are asked for at a time.
const AT_ONCE: usize = 4;
/// For all secrets of an authentication no longer is waited than this; it is less than a trigger's resolving has.
const WITHIN: Duration = Duration::from_secs(8);

/// AWS Secrets Manager, as somebody in a region.
#[derive(Debug, Clone)]
pub struct AwsSecrets {
    identity: Identity,
    endpoint: Option<String>,
}

/// One secret, or a field of it.
#[derive(Debug, Clone, Default)]
pub struct AwsSecretName {
    /// Its name or ARN.
    pub name: String,
    /// Which version, by its id.
    pub version_id: Option<String>,
    /// Which version, by its stage; the current one unless either is said.
    pub version_stage: Option<String>,
    /// Which field of it, where it is a JSON object.
    pub key: Option<String>,
}

impl AwsSecrets {
    /// As whom keys are for.
    #[must_use]
    pub const fn with_keys(region: Option<String>, id: Secret, secret: Secret, token: Option<Secret>) -> Self {
        Self { identity: Identity { region, way: Way::Keys { id, secret, token } }, endpoint: None }
    }

    /// As whom a pod's identity is for; none where that is no identity at AWS.
    #[must_use]
    pub fn with_identity(region: Option<String>, identity: &PodIdentity) -> Option<Self> {
        let way = match identity {
            PodIdentity::Aws { role: Some(arn), external_id } => Way::Role { arn: arn.clone(), external_id: external_id.clone() },
            PodIdentity::Aws { role: None, .. } => Way::Own,
            _ => return None,
        };
        Some(Self { identity: Identity { region, way }, endpoint: None })
    }

    /// The same, where Secrets Manager is elsewhere than at Amazon.
    #[must_use]
    pub fn at(self, endpoint: &str) -> Self {
        Self { endpoint: Some(endpoint.to_owned()), ..self }
    }

    /// The texts of secrets, in their order; an outer error where none could be asked for. Reads only; safe to repeat.
    ///
    /// # Errors
    /// Why nobody was let in, or why a text is not there: what, where and what to do, without any secret.
    pub async fn read(&self, wanted: &[AwsSecretName]) -> Result<Vec<Result<Secret, Error>>, Error> {
        let asked = async {
            let config = self.identity.config(&self.broker(), None).await?;
            let mut builder = config::Builder::from(&config);
            if let Some(endpoint) = &self.endpoint {
                builder = builder.endpoint_url(endpoint);
            }
            let client = Client::from_conf(builder.build());
            let mut questions = Vec::with_capacity(wanted.len());
            for name in wanted {
                questions.push(self.ask(&client, name).boxed());
            }
            Ok(iter(questions).buffered(AT_ONCE).collect().await)
        };
        tokio::time::timeout(WITHIN, asked.boxed()).await.unwrap_or_else(|_| Err(Error::Wait { broker: self.broker(), after: WITHIN }))
    }

    fn broker(&self) -> String {
        let place = self.endpoint.as_ref().map(|endpoint| format!(" at {endpoint}")).unwrap_or_default();
        let region = self.identity.region.as_ref().map(|region| format!(" in {region}")).unwrap_or_default();
        format!("AWS Secrets Manager{place}{region}")
    }

    async fn ask(&self, client: &Client, wanted: &AwsSecretName) -> Result<Secret, Error> {
        let request = client.get_secret_value().secret_id(&wanted.name);
        let request = request.set_version_id(wanted.version_id.clone()).set_version_stage(wanted.version_stage.clone());
        let what = format!("secret {}", wanted.name);
        let answer = request.send().await.map_err(|error| {
            let service = Service { broker: self.broker(), identity: &self.identity };
            refusal(&service, &what, "secretsmanager:GetSecretValue", error)
        })?;
        wanted.text(answer.secret_string()).map_err(|reason| Error::Inspect { broker: self.broker(), what, reason: reason.to_owned() })
    }
}

impl AwsSecretName {
    /// What is wanted of a secret's text. No error repeats anything of it.
    fn text(&self, whole: Option<&str>) -> Result<Secret, &'static str> {
        let whole = whole.ok_or("it is binary; write it as text")?;
        let Some(key) = &self.key else { return Ok(Secret::from(whole)) };
        let Ok(Value::Object(fields)) = serde_json::from_str(whole) else {
            return Err("it is no JSON object, so it has no secretKey; leave secretKey away or write the secret as JSON");
        };
        match fields.get(key) {
            Some(Value::String(text)) => Ok(Secret::from(text.as_str())),
            Some(_) => Err("what it has under secretKey is no text; write it in quotes"),
            None => Err("it has nothing under secretKey; correct secretKey or add it to the secret"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_taken_out_and_nothing_else_is_told() {
        let whole = r#"{"password":"s3cret","number":5}"#;
        for (key, whole, expected) in [
            (None, Some(whole), Ok(whole)),
            (Some("password"), Some(whole), Ok("s3cret")),
            (Some("number"), Some(whole), Err("is no text")),
            (Some("user"), Some(whole), Err("has nothing")),
            (Some("user"), Some("s3cret"), Err("is no JSON object")),
            (Some("user"), Some("[\"s3cret\"]"), Err("is no JSON object")),
            (None, None, Err("binary")),
        ] {
            let name = AwsSecretName { key: key.map(str::to_owned), ..AwsSecretName::default() };
            match (name.text(whole), expected) {
                (Ok(text), Ok(expected)) => assert_eq!(text.expose(), expected),
                (Err(told), Err(expected)) => assert!(told.contains(expected) && !told.contains("s3cret"), "{told}"),
                (found, expected) => panic!("{key:?}: {found:?}, not {expected:?}"),
            }
        }
    }
}
