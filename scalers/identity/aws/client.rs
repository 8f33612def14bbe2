//! Getting hold of credentials, and what AWS' refusals mean.

use std::error::Error as StdError;
use std::path::PathBuf;
use std::time::Duration;

use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::timeout::TimeoutConfig;
use aws_config::web_identity_token::{StaticConfiguration, WebIdentityTokenCredentialsProvider};
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_sqs::config::http::HttpResponse;
use aws_sdk_sqs::config::{Credentials, ProvideCredentials as _, SharedCredentialsProvider};
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};

use super::{Identity, Way};
use crate::error::Error;
use crate::secret::Secret;

/// How a role's sessions are called, in the account's own records.
const SESSION: &str = "springtide";
/// For a connection no longer is waited than this; it is shorter than any patience with a whole read.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);
/// Nor for credentials: a machine that has none takes its time to say so.
const CREDENTIALS_WITHIN: Duration = Duration::from_millis(2_500);
/// How much of what AWS says is repeated.
const EXCERPT: usize = 200;
/// Where EKS puts the token of the daemon's ServiceAccount; the same variable that Amazon's library reads.
const TOKEN_FILE: &str = "AWS_WEB_IDENTITY_TOKEN_FILE";

/// A service of AWS as one asks it.
pub(crate) struct Service<'a> {
    /// Its name and place, for people.
    pub broker: String,
    /// Who asks.
    pub identity: &'a Identity,
}

impl Identity {
    /// What clients of services are made of. Roles are taken on and tokens fetched here for the first time, so that whoever is not let in learns it
    /// before anything is asked. `sts` stands in for the place that gives roles.
    pub(crate) async fn config(&self, broker: &str, sts: Option<&str>) -> Result<SdkConfig, Error> {
        let timeouts = TimeoutConfig::builder().connect_timeout(CONNECT_WITHIN).build();
        // Asking again is the poller's business.
        let loader = aws_config::defaults(BehaviorVersion::latest()).retry_config(RetryConfig::disabled()).timeout_config(timeouts);
        let loader = match &self.region {
            Some(region) => loader.region(Region::new(region.clone())),
            None => loader,
        };
        let loader = match &self.way {
            Way::Keys { id, secret, token } => {
                let token = token.as_ref().map(|token| token.expose().to_owned());
                loader.credentials_provider(Credentials::new(id.expose(), secret.expose(), token, None, "trigger"))
            }
            Way::Own | Way::Role { .. } => loader,
        };
        let config = loader.load().await;
        let provider = match &self.way {
            Way::Keys { .. } => return Ok(config),
            Way::Own => config.credentials_provider().ok_or_else(|| no_credentials(broker, "nothing gives any"))?,
            Way::Role { arn, external_id } => {
                let at = sts.map_or(config.clone(), |url| config.clone().into_builder().endpoint_url(url).build());
                role(arn, external_id.as_deref(), &at).await
            }
        };
        match tokio::time::timeout(CREDENTIALS_WITHIN, provider.provide_credentials()).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(no_credentials(broker, &told(&error))),
            Err(_) => return Err(no_credentials(broker, "none came within 2.5 s")),
        }
        Ok(config.into_builder().credentials_provider(provider).build())
    }

    /// A text of AWS' in which nothing of ours is repeated.
    fn excerpt(&self, text: &str) -> String {
        let mut text = text.to_owned();
        if let Way::Keys { id, secret, token } = &self.way {
            for secret in [Some(id), Some(secret), token.as_ref()].into_iter().flatten().map(Secret::expose).filter(|text| !text.is_empty())
            {
                text = text.replace(secret, "***");
            }
        }
        text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(EXCERPT).collect()
    }
}

/// Takes on a role: by the token of the daemon's own ServiceAccount if the role trusts it, else as whoever the daemon is.
async fn role(arn: &str, external_id: Option<&str>, config: &SdkConfig) -> SharedCredentialsProvider {
    // What a role is trusted for by an external id is not asked for by a token.
    let token = std::env::var_os(TOKEN_FILE).filter(|path| !path.is_empty() && external_id.is_none());
    if let Some(path) = token {
        let web_identity = WebIdentityTokenCredentialsProvider::builder()
            .configure(&ProviderConfig::without_region().with_region(config.region().cloned()))
            .static_configuration(StaticConfiguration {
                web_identity_token_file: PathBuf::from(path),
                role_arn: arn.to_owned(),
                session_name: SESSION.to_owned(),
            })
            .build();
        if web_identity.provide_credentials().await.is_ok() {
            return SharedCredentialsProvider::new(web_identity);
        }
    }
    let mut builder = AssumeRoleProvider::builder(arn).session_name(SESSION).configure(config);
    if let Some(id) = external_id {
        builder = builder.external_id(id);
    }
    SharedCredentialsProvider::new(builder.build().await)
}

fn no_credentials(broker: &str, why: &str) -> Error {
    let remedy = "let the daemon's ServiceAccount have a role (web identity or EKS Pod Identity) that may take on the one that is named, \
                  or give awsAccessKeyID and awsSecretAccessKey";
    Error::Configure { broker: broker.to_owned(), reason: format!("there are no credentials ({why}); {remedy}") }
}

/// An error and what it comes from. The parts come from Amazon's library, which has no credentials in its texts.
fn told(error: &(dyn StdError + 'static)) -> String {
    let mut parts: Vec<String> = Vec::new();
    for cause in causes(error) {
        let text = cause.to_string();
        if !parts.iter().any(|part| part.contains(&text)) {
            parts.push(text);
        }
    }
    parts.join(": ").chars().take(2 * EXCERPT).collect()
}

/// An error and what it comes from, one after the other.
fn causes<'e>(error: &'e (dyn StdError + 'static)) -> impl Iterator<Item = &'e (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error| (**error).source())
}

/// What went wrong with one question about `what`. `action` is what the identity has to be allowed.
pub(crate) fn refusal<E>(service: &Service<'_>, what: &str, action: &str, error: SdkError<E, HttpResponse>) -> Error
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
{
    let (broker, what) = (service.broker.clone(), what.to_owned());
    match error {
        SdkError::ServiceError(context) => {
            let status = context.raw().status();
            let error = context.into_err();
            let Some(code) = error.code() else {
                let source = format!("HTTP status {status}, and no answer that AWS would give").into();
                return match status.as_u16() {
                    // Not in the service's own words: from what stands before it.
                    401 | 403 => Error::LogIn { broker, reason: format!("HTTP status {status}") },
                    500.. => Error::Ask { broker, source },
                    _ => Error::Decode { broker, what, source },
                };
            };
            let message = service.identity.excerpt(error.message().unwrap_or_default());
            match code.rsplit('.').next().unwrap_or(code) {
                // The first is the newer name of the second.
                "QueueDoesNotExist" | "NonExistentQueue" | "ResourceNotFoundException" => Error::Find { broker, what },
                // Its message repeats the request, session token and all.
                "SignatureDoesNotMatch" | "InvalidSignatureException" => Error::LogIn {
                    broker,
                    reason: format!("{code}: awsSecretAccessKey does not belong to the access key, or the clock is wrong"),
                },
                "InvalidClientTokenId"
                | "UnrecognizedClientException"
                | "InvalidAccessKeyId"
                | "AuthFailure"
                | "MissingAuthenticationToken"
                | "ExpiredToken"
                | "ExpiredTokenException"
                | "IncompleteSignature" => Error::LogIn { broker, reason: format!("{code}: {message}") },
                "AccessDenied" | "AccessDeniedException" | "OptInRequired" => {
                    Error::Inspect { broker, what, reason: format!("{code}: {message}; allow the identity {action} there") }
                }
                "RequestThrottled" | "Throttling" | "ThrottlingException" | "TooManyRequestsException" => {
                    Error::Inspect { broker, what, reason: format!("{code}: it is asked too often; raise pollingInterval") }
                }
                _ if status.is_server_error() => Error::Ask { broker, source: format!("{code}: {message}").into() },
                _ => Error::Inspect { broker, what, reason: format!("{code}: {message}") },
            }
        }
        SdkError::ResponseError(context) => {
            Error::Decode { broker, what, source: told(&SdkError::<E, HttpResponse>::ResponseError(context)).into() }
        }
        SdkError::TimeoutError(_) => Error::Connect { broker, source: "no connection within 3 s".into() },
        SdkError::DispatchFailure(failure) => {
            let (source, by_credentials) = failure.as_connector_error().map_or_else(
                || ("the request could not be sent".to_owned(), false),
                |error| (told(error), causes(error).any(|cause| cause.is::<CredentialsError>())),
            );
            if by_credentials {
                no_credentials(&broker, &source)
            } else if failure.is_io() || failure.is_timeout() {
                Error::Connect { broker, source: source.into() }
            } else {
                Error::Ask { broker, source: source.into() }
            }
        }
        other => Error::Ask { broker, source: told(&other).into() },
    }
}

#[cfg(test)]
mod tests;
