//! Kafka: how far a consumer group is behind.
//!
//! Brokers are spoken to in Kafka's own protocol, of which eight questions are needed (`client/messages.rs`). The well-known library, librdkafka, was measured
//! beside it: it asks for the offsets of one group at a time, and so needs ten times as many requests for the same numbers; it runs four threads and more for
//! each client; and it would bring a second TLS library. The Rust crates for the protocol reserve memory for as many elements as an answer claims to have, so
//! that one wrong answer could end the daemon.

use crate::field::{List, choice};
use crate::kafka::cluster::{ACTIVATION, Access, DEFAULT_TARGET, Dialect, LAG_THRESHOLD, Login, Subject};
use crate::kind::{Kind, Parsed};
use crate::oauth2::{ClientCredentials, Issuer};
use crate::parameter::{Field, Fields, Misfit, parameters};
use crate::secret::Secret;
use crate::tls::Check;

#[cfg(feature = "clients")]
pub(crate) mod client;
pub(crate) mod cluster;
mod lag;
mod partitions;

pub(crate) static KIND: Kind = Kind {
    name: "kafka",
    summary: "How many messages a Kafka consumer group is behind",
    parameters: &[cluster::PARAMETERS, cluster::LOGIN_PARAMETERS, Metadata::PARAMETERS],
    targets: &[LAG_THRESHOLD],
    default_target: Some(DEFAULT_TARGET),
    activation: Some(ACTIVATION),
    example: &[("bootstrapServers", "kafka.default:9092"), ("consumerGroup", "orders"), ("topic", "orders"), ("lagThreshold", "50")],
    example_auth: &[("sasl", "scram_sha512"), ("username", "springtide"), ("password", "password")],
    example_more: &[],
    read,
};

choice! {
    /// How a user proves itself.
    enum Mechanism {
        /// Not at all.
        None = "none",
        /// By its password as it is.
        Plain = "plaintext",
        /// By knowing its password.
        ScramSha256 = "scram_sha256",
        /// The same, with a longer hash.
        ScramSha512 = "scram_sha512",
        /// By a token.
        OAuthBearer = "oauthbearer",
        /// By a Kerberos ticket.
        Gssapi = "gssapi",
    }
}

choice! {
    /// Where a token comes from.
    enum TokenProvider {
        /// From an OAuth2 token endpoint.
        Bearer = "bearer",
        /// From Amazon.
        AwsMskIam = "aws_msk_iam",
    }
}

/// A version of Kafka's protocol, as brokers were once told which one to speak.
struct Version;

impl Field for Version {
    const VALUE: &'static str = "a version such as 1.0.0";

    fn parse(text: &str) -> Result<Self, Misfit> {
        let parts: Vec<&str> = text.split('.').collect();
        // Before 1.0 they had four parts.
        let is_version =
            parts.len() == if parts.first() == Some(&"0") { 4 } else { 3 } && parts.iter().all(|part| part.parse::<u32>().is_ok());
        if is_version { Ok(Self) } else { Err(Misfit::new("is no version of Kafka", "remove it: brokers say which versions they speak")) }
    }
}

/// Pairs such as `a=1,b=2`.
struct Extensions(Vec<(String, String)>);

impl Field for Extensions {
    const VALUE: &'static str = "pairs such as name=text, separated by commas";

    fn parse(text: &str) -> Result<Self, Misfit> {
        let misfit = || Misfit::new("has an extension that is no name=text", "write name=text, several separated by commas");
        let pair = |pair: &str| match pair.split_once('=') {
            Some((name, text)) if !text.contains('=') => Ok((name.trim().to_owned(), text.trim().to_owned())),
            _ => Err(misfit()),
        };
        text.split(',').map(pair).collect::<Result<_, _>>().map(Self)
    }
}

parameters! {
    /// What a Kafka trigger can be told besides.
    struct Metadata, draft Draft {
        /// How the user proves itself; oauthbearer takes a token from oauthTokenEndpointUri.
        sasl: Option<Mechanism> = "sasl", from Metadata Auth;
        /// Whether to take the brokers' certificates unchecked.
        unsafe_ssl: bool = "unsafeSsl", from Metadata, default "false";
        /// Where the token of oauthbearer comes from.
        provider: Option<TokenProvider> = "saslTokenProvider", from Metadata Auth;
        /// The token endpoint of oauthbearer.
        token_url: Option<Secret> = "oauthTokenEndpointUri", from Auth;
        /// What the token is to allow.
        scopes: Option<List> = "scopes", from Auth;
        /// What is said to the brokers beside the token.
        extensions: Option<Extensions> = "oauthExtensions", from Auth;
        /// Whether KEDA fetches the metadata of all topics; here only those that are needed are ever fetched.
        full_metadata: bool = "fullMetadata", from Metadata, default "true";
        /// The version of the protocol that KEDA speaks; here it is agreed on with the brokers.
        version: Option<Version> = "version", from Metadata;
        /// Kerberos: the user's keys; gssapi is not built yet.
        keytab: Option<Secret> = "keytab", from Auth;
        /// Kerberos: the user's realm; gssapi is not built yet.
        realm: Option<Secret> = "realm", from Auth;
        /// Kerberos: krb5.conf; gssapi is not built yet.
        kerberos_config: Option<Secret> = "kerberosConfig", from Auth;
        /// Kerberos: the brokers' name; gssapi is not built yet.
        kerberos_service: Option<Secret> = "kerberosServiceName", from Auth;
        /// Kerberos: whether to ask without FAST; gssapi is not built yet.
        kerberos_without_fast: bool = "kerberosDisableFAST", from Auth, default "false";
        /// The region of Amazon's managed Kafka; its tokens are not built yet.
        region: Option<String> = "awsRegion", from Metadata;
    }
}

fn read(fields: &mut Fields<'_>) -> Option<Parsed> {
    let subject = Subject::read(fields, Dialect::Kafka);
    let draft = Draft::read(fields);
    let check = if draft.unsafe_ssl == Some(true) { Check::Nothing } else { Check::Certificate };
    let access = Access::read(fields, check);
    if draft.full_metadata == Some(false) && subject.as_ref().is_some_and(Subject::has_no_topic) {
        fields.problem("topic", "must be specified when fullMetadata is false", "name the topic");
    }
    let (access, metadata) = (access?, draft.finish()?);
    let login = metadata.login(&access, fields);
    Some(subject?.at(access.tls, login?))
}

impl Metadata {
    fn login(self, access: &Access, fields: &mut Fields<'_>) -> Option<Login> {
        match self.sasl {
            None | Some(Mechanism::None) => Some(Login::None),
            Some(Mechanism::Plain) => access.by_password("PLAIN", fields),
            Some(Mechanism::ScramSha256) => access.by_password("SCRAM-SHA-256", fields),
            Some(Mechanism::ScramSha512) => access.by_password("SCRAM-SHA-512", fields),
            Some(Mechanism::OAuthBearer) => self.token(access, fields),
            Some(Mechanism::Gssapi) => {
                refuse_kerberos(fields);
                None
            }
        }
    }

    fn token(self, access: &Access, fields: &mut Fields<'_>) -> Option<Login> {
        if self.provider == Some(TokenProvider::AwsMskIam) {
            refuse_amazon("saslTokenProvider", fields);
            return None;
        }
        let pair = access.pair(fields);
        if self.token_url.is_none() {
            let remedy = "give the token endpoint's URL in the TriggerAuthentication";
            fields.problem("oauthTokenEndpointUri", "is missing: oauthbearer needs it", remedy);
        }
        let ((client_id, client_secret), token_url) = (pair?, self.token_url?);
        let credentials = ClientCredentials::new(token_url, client_id, client_secret, self.scopes, None);
        Some(Login::Token(Issuer::Credentials(credentials), self.extensions.map(|Extensions(pairs)| pairs).unwrap_or_default()))
    }
}

/// Says that there is no Kerberos.
pub(crate) fn refuse_kerberos(fields: &mut Fields<'_>) {
    let remedy = "use scram_sha512, oauthbearer or a client certificate on a listener of the brokers that takes it";
    fields.problem("sasl", "asks for Kerberos (gssapi), which is not built yet", remedy);
}

/// Says that there are no tokens of Amazon's.
pub(crate) fn refuse_amazon(field: &str, fields: &mut Fields<'_>) {
    let remedy = "use scram_sha512 (with a user in Secrets Manager) or a client certificate, which Amazon's brokers take too";
    fields.problem(field, "asks for a token of Amazon's (aws_msk_iam), which is not built yet", remedy);
}

#[cfg(all(test, feature = "clients"))]
mod tests;
