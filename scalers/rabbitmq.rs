//! RabbitMQ: the messages of a queue over AMQP, or counts and rates of one or several queues from the management interface.
//!
//! The two do not count alike. AMQP tells only what is ready; the management interface adds what workers hold, unless told not to, and it also tells what
//! arrived and what was finished, which is why it is the better source.

use std::num::NonZeroU32;
use std::time::Duration;

use springtide_core::units::MetricMilli;

use crate::field::{List, Pairs, choice};
use crate::http::{Login, Server, Trouble};
use crate::identity::PodIdentity;
use crate::identity::azure::Federated;
use crate::kind::{Kind, Parsed, TargetKey, activation, target};
use crate::name::query_escape;
use crate::oauth2::{ClientCredentials, Issuer};
use crate::parameter::{Age, Fields, IDENTITY, Parameter, parameters};
use crate::secret::Secret;
use crate::tls::{Check, Identity, Tls, UseTls};

mod amqp;
#[cfg(feature = "clients")]
mod counts;
mod host;
mod management;
mod mode;

use host::Host;
use mode::{Counted, Mode, Operation};

pub(crate) static KIND: Kind = Kind {
    name: "rabbitmq",
    summary: "Messages in RabbitMQ queues, or the rates at which they come and go",
    parameters: &[Metadata::PARAMETERS],
    targets: &[
        TargetKey {
            parameter: target("value", "The target: messages, or messages per second, for each replica."),
            companion: Some("mode"),
        },
        TargetKey {
            parameter: Parameter {
                age: Age::Deprecated("use mode: QueueLength and value"),
                ..target("queueLength", "The target in messages for each replica.")
            },
            companion: None,
        },
    ],
    default_target: Some(MetricMilli(20_000)),
    activation: Some(activation("activationValue")),
    example: &[("host", "http://guest:guest@rabbitmq.default:15672/"), ("queueName", "orders"), ("mode", "QueueLength"), ("value", "20")],
    example_auth: &[("host", "http://orders:password@rabbitmq.default:15672/")],
    example_more: &[],
    read,
};

choice! {
    /// How the broker is asked.
    enum Protocol {
        /// As the host's scheme says.
        Auto = "auto",
        /// The management interface.
        Http = "http",
        /// AMQP 0.9.1.
        Amqp = "amqp",
    }
}

parameters! {
    /// What a RabbitMQ trigger can be told.
    struct Metadata, draft Draft {
        /// The queue, or with useRegex a pattern of queue names.
        queue_name: String = "queueName", from Metadata;
        /// The broker: amqp(s)://user:password@host:5672/vhost, or http(s)://user:password@host:15672/path/vhost for the management interface.
        host: Host = "host", from Metadata Auth Environment;
        /// How to ask the broker; auto goes by the scheme of host.
        protocol: Protocol = "protocol", from Metadata Auth, default "auto";
        /// What to measure; all but QueueLength need the management interface.
        mode: Option<Mode> = "mode", from Metadata;
        /// The virtual host, if it is not the one in host.
        vhost_name: Option<String> = "vhostName", from Metadata Auth;
        /// Whether queueName is a regular expression (management interface only).
        use_regex: bool = "useRegex", from Metadata, default "false";
        /// How several queues become one number, with useRegex.
        operation: Operation = "operation", from Metadata, default "sum";
        /// How many queues useRegex may find; RabbitMQ allows up to 500.
        page_size: NonZeroU32 = "pageSize", from Metadata, default "100";
        /// Whether to leave out messages that workers hold (management interface only).
        exclude_unacknowledged: bool = "excludeUnacknowledged", from Metadata, default "false";
        /// How long the management interface may take to answer.
        timeout: Option<Duration> = "timeout", from Metadata;
        /// The user, if it is not the one in host; together with password.
        username: Option<Secret> = "username", from Auth Environment;
        /// The user's password.
        password: Option<Secret> = "password", from Auth Environment;
        /// Whether ca, cert and key are used.
        tls: UseTls = "tls", from Auth, default "disable";
        /// The authority that signed the broker's certificate, as PEM.
        ca: Option<Secret> = "ca", from Auth;
        /// Our certificate, as PEM; together with key.
        cert: Option<Secret> = "cert", from Auth;
        /// Our certificate's key, as PEM.
        key: Option<Secret> = "key", from Auth;
        /// The password of the key, if it is encrypted (PKCS #8).
        key_password: Option<Secret> = "keyPassword", from Auth;
        /// Whether to take the broker's certificate unchecked.
        unsafe_ssl: bool = "unsafeSsl", from Metadata, default "false";
        /// The resource of an Azure workload identity (management interface only).
        workload_identity_resource: Option<Secret> = "workloadIdentityResource", from Auth;
        /// Where an OAuth2 token comes from (management interface only); together with clientID and clientSecret.
        token_uri: Option<Secret> = "oauthTokenURI", from Auth;
        /// Our name at the token's issuer.
        client_id: Option<Secret> = "clientID", from Auth;
        /// Our secret at the token's issuer.
        client_secret: Option<Secret> = "clientSecret", from Auth;
        /// What the token is to allow.
        scopes: Option<List> = "scopes", from Auth;
        /// More parameters for the token's issuer, as in a URL's query.
        endpoint_params: Option<Pairs> = "endpointParams", from Auth;
    }
}

fn read(fields: &mut Fields<'_>) -> Option<Parsed> {
    let mut draft = Draft::read(fields);
    draft.protocol = draft.settle_protocol(fields);
    draft.check_protocol(fields);
    draft.check_login(fields);
    // Only then an identity is of any use here.
    let identity = match &draft.workload_identity_resource {
        Some(Some(resource)) => draft.identity(fields, resource.expose()),
        _ => None,
    };
    let metadata = draft.finish()?;
    let name = format!("rabbitmq-{}", query_escape(&metadata.queue_name));
    Some(match metadata.protocol {
        Protocol::Http => {
            let (broker, query) = metadata.management(identity);
            Parsed::new(broker, query, name)
        }
        Protocol::Amqp | Protocol::Auto => {
            let (broker, query) = metadata.amqp();
            Parsed::new(broker, query, name)
        }
    })
}

impl Draft {
    /// The protocol that is used: never `Auto`.
    fn settle_protocol(&self, fields: &mut Fields<'_>) -> Option<Protocol> {
        match (self.protocol?, self.host.as_ref()?.scheme.as_str()) {
            (Protocol::Auto, "amqp" | "amqps") => Some(Protocol::Amqp),
            (Protocol::Auto, "http" | "https") => Some(Protocol::Http),
            (Protocol::Auto, _) => {
                fields.problem("host", "has an unknown host URL scheme", "begin it with amqp://, amqps://, http:// or https://");
                None
            }
            (given, _) => Some(given),
        }
    }

    /// What does not go with AMQP.
    fn check_protocol(&self, fields: &mut Fields<'_>) {
        if self.protocol != Some(Protocol::Amqp) {
            return;
        }
        let remedy = "use a host with http(s):// and the management interface's port, or leave it out";
        for (given, name) in [(self.use_regex, "useRegex"), (self.exclude_unacknowledged, "excludeUnacknowledged")] {
            if given == Some(true) {
                fields.problem(name, format!("{name}=true works only with the HTTP protocol"), remedy);
            }
        }
        if let Some(Some(mode)) = self.mode.filter(|mode| *mode != Some(Mode::QueueLength)) {
            fields.problem("mode", format!("{mode:?} works only with the HTTP protocol; AMQP tells no rates"), remedy);
        }
        // KEDA lets a timeout pass where no mode is given, and so do we; the connection then has it.
        if self.timeout.flatten().is_some_and(|timeout| !timeout.is_zero()) && self.mode.flatten().is_some() {
            fields.problem("timeout", "the AMQP protocol doesn't support custom timeouts", remedy);
        }
        if matches!(self.workload_identity_resource, Some(Some(_))) {
            fields.problem("workloadIdentityResource", "workload identity is not supported for the AMQP protocol", remedy);
        }
        if matches!(
            (&self.token_uri, &self.client_id, &self.client_secret),
            (Some(Some(_)), ..) | (_, Some(Some(_)), _) | (.., Some(Some(_)))
        ) {
            fields.problem("oauthTokenURI", "OAuth2 is only supported with the HTTP protocol, not AMQP", remedy);
        }
    }

    /// What has to be given together, and what must not be.
    fn check_login(&self, fields: &mut Fields<'_>) {
        let is_given = |field: &Option<Option<Secret>>| matches!(field, Some(Some(_)));
        let login = [is_given(&self.username), is_given(&self.password)];
        if login[0] != login[1] {
            let missing = if login[0] { "password" } else { "username" };
            fields.problem(missing, "is missing: username and password must be given together", "give both, or neither");
        }
        if is_given(&self.cert) != is_given(&self.key) {
            let missing = if is_given(&self.cert) { "key" } else { "cert" };
            fields.problem(missing, "is missing: both key and certificate must be provided", "give both, or neither");
        }
        let oauth = [(&self.token_uri, "oauthTokenURI"), (&self.client_id, "clientID"), (&self.client_secret, "clientSecret")];
        if !oauth.iter().any(|(field, _)| is_given(field)) {
            return;
        }
        for (_, name) in oauth.iter().filter(|(field, _)| !is_given(field)) {
            fields.problem(
                name,
                "is missing: OAuth2 requires oauthTokenURI, clientID and clientSecret",
                "give it in oauth2 of the TriggerAuthentication",
            );
        }
        if login == [true, true] || is_given(&self.workload_identity_resource) {
            fields.problem(
                "oauthTokenURI",
                "OAuth2 cannot be combined with username and password or a workload identity",
                "keep one of them",
            );
        }
    }
}

impl Draft {
    /// Who asks Azure for a token that is good for RabbitMQ.
    fn identity(&self, fields: &mut Fields<'_>, resource: &str) -> Option<Federated> {
        match fields.identity_here() {
            Some(PodIdentity::AzureWorkload(identity)) => Some(Federated::new(identity, resource)),
            None => Some(Federated::new(fields.around().azure.clone(), resource)),
            Some(other) => {
                let what = format!("provider {} is not read by rabbitmq together with workloadIdentityResource", other.provider());
                fields.problem(IDENTITY, what, "use azure-workload");
                None
            }
        }
    }
}

impl Metadata {
    fn tls(&self) -> Tls {
        let check = if self.unsafe_ssl { Check::Nothing } else { Check::Certificate };
        if self.tls == UseTls::Disable {
            return Tls { authority: None, identity: None, check };
        }
        let pair = self.cert.clone().zip(self.key.clone());
        let identity = pair.map(|(certificate, key)| Identity { certificate, key, key_password: self.key_password.clone() });
        Tls { authority: self.ca.clone(), identity, check }
    }

    fn vhost(&self) -> String {
        self.vhost_name.clone().unwrap_or_else(|| self.host.vhost.clone())
    }

    fn timeout(&self) -> Option<Duration> {
        self.timeout.filter(|timeout| !timeout.is_zero())
    }

    fn amqp(self) -> (amqp::Amqp, String) {
        let (tls, vhost, timeout) = (self.tls(), self.vhost(), self.timeout());
        let certificate_is_login = tls.identity.is_some() && self.username.is_none() && self.host.password.is_none();
        let login = if certificate_is_login {
            amqp::Login::Certificate
        } else {
            let guest = || Secret::from("guest");
            let user = self.username.or(self.host.user.clone()).unwrap_or_else(guest);
            amqp::Login::Password(user, self.password.or(self.host.password.clone()).unwrap_or_else(guest))
        };
        let host = Host { user: None, password: None, prefix: String::new(), vhost: String::new(), ..self.host };
        (amqp::Amqp { host, vhost, login, tls, timeout }, self.queue_name)
    }

    fn management(self, identity: Option<Federated>) -> (management::Management, management::Query) {
        let (tls, vhost, timeout) = (self.tls(), self.vhost(), self.timeout());
        let names = if self.use_regex {
            management::Names::Pattern { pattern: self.queue_name, page_size: self.page_size, operation: self.operation }
        } else {
            management::Names::One(self.queue_name)
        };
        let login = if let (Some(token_url), Some(client_id), Some(client_secret)) = (self.token_uri, self.client_id, self.client_secret) {
            let credentials = ClientCredentials::new(token_url, client_id, client_secret, self.scopes, self.endpoint_params);
            Some(Login::Token(Issuer::Credentials(credentials)))
        } else if let Some(identity) = identity {
            Some(Login::Token(Issuer::Azure(identity)))
        } else if let Some((user, password)) = self.username.zip(self.password) {
            Some(Login::Password(user, Some(password)))
        } else if let Some(user) = self.host.user.clone() {
            Some(Login::Password(user, self.host.password.clone()))
        } else {
            None
        };
        let counted = if self.exclude_unacknowledged { Counted::Ready } else { Counted::All };
        let server = Server {
            name: "RabbitMQ's management interface",
            base: format!("{}{}", self.host.origin(), self.host.prefix),
            logins: login.into_iter().collect(),
            tls,
            timeout,
            trouble: Trouble::Server,
        };
        let query = management::Query { vhost, names, counted, mode: self.mode.unwrap_or(Mode::QueueLength) };
        (management::Management(server), query)
    }
}

/// How a trigger says who it is over AMQP, by the name of the mechanism.
#[cfg(all(test, feature = "clients"))]
pub(crate) fn login(trigger: &crate::Trigger) -> Option<String> {
    trigger.connection.broker::<amqp::Amqp>().map(|amqp| amqp.login.mechanism().to_string())
}

#[cfg(all(test, feature = "clients"))]
mod tests;
