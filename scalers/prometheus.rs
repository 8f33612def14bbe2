//! Prometheus, and what speaks its query interface (Thanos, Mimir, VictoriaMetrics): the number that a query gives now.

use std::time::Duration;

use crate::azure::Cloud;
use crate::broker::Broker;
use crate::http::{self, Address, Headers, Login, Manner, Server, Texts, Trouble};
use crate::kind::{Kind, Parsed, TargetKey, activation, target};
use crate::parameter::{Fields, parameters};
use crate::secret::Secret;

#[cfg(feature = "clients")]
mod client;
mod cloud;

pub(crate) static KIND: Kind = Kind {
    name: "prometheus",
    summary: "The number that a Prometheus query gives",
    parameters: &[Metadata::PARAMETERS, http::PARAMETERS],
    targets: &[TargetKey { parameter: target("threshold", "The target: how much of the number is for each replica."), companion: None }],
    default_target: None,
    activation: Some(activation("activationThreshold")),
    example: &[
        ("serverAddress", "http://prometheus.monitoring:9090"),
        ("query", r#"sum(rate(http_requests_total{deployment="orders"}[2m]))"#),
        ("threshold", "100"),
    ],
    example_auth: &[("username", "springtide"), ("password", "password")],
    example_more: &[("authModes", "basic")],
    read,
};

parameters! {
    /// What a Prometheus trigger can be told.
    struct Metadata, draft Draft {
        /// The server, with the path before /api/v1/query if it has one.
        server: Address = "serverAddress", from Metadata;
        /// What is asked: a query that gives one number, or one series with one.
        query: String = "query", from Metadata;
        /// The namespace that a server for several is to look in, which it is told as the parameter namespace.
        namespace: Option<String> = "namespace", from Metadata;
        /// Headers that each request has.
        headers: Option<Headers> = "customHeaders", from Metadata;
        /// Parameters that each request has.
        parameters: Option<Texts> = "queryParameters", from Metadata;
        /// Whether an empty answer, an infinite one and one that is no number count as 0; otherwise they are errors.
        ignore_null: bool = "ignoreNullValues", from Metadata, default "true";
        /// The tenant at Cortex.
        cortex_tenant: Option<String> = "cortexOrgID", from Metadata, but removed "write customHeaders: X-Scope-OrgID=TENANT";
        /// The cloud of Azure's managed Prometheus, with podIdentity azure-workload; capitals do not count.
        cloud: Option<Cloud> = "cloud", from Metadata;
        /// In a private cloud of Azure's, what a token for the server is good for.
        azure_resource: Option<String> = "azureManagedPrometheusResourceURL", from Metadata;
        /// The key of a Google service account as JSON, for Google's managed Prometheus.
        credentials: Option<Secret> = "credentials", from Metadata Environment;
        /// The same.
        application_credentials: Option<Secret> = "GoogleApplicationCredentials", from Auth;
        /// The region of Amazon's managed Prometheus; its signed requests are not built yet.
        region: Option<String> = "awsRegion", from Metadata Auth;
        /// Whose identity Amazon is shown; not built yet.
        identity_owner: Option<String> = "identityOwner", from Metadata;
    }
}

fn read(fields: &mut Fields<'_>) -> Option<Parsed> {
    let draft = Draft::read(fields);
    for (given, name) in [(&draft.region, "awsRegion"), (&draft.identity_owner, "identityOwner")] {
        if matches!(given, Some(Some(_))) {
            let what = "is for Amazon's managed Prometheus with a pod's identity, which is not built yet";
            fields.problem(name, what, "remove it, or put a proxy that signs requests before the server");
        }
    }
    if draft.server.as_ref().is_some_and(|server| server.query.is_some()) {
        fields.problem("serverAddress", "has a query", "write its parameters in queryParameters");
    }
    let manner = Manner::read(fields);
    let login = manner.as_ref().and_then(|manner| {
        let key = draft.application_credentials.clone().flatten().or(draft.credentials.clone().flatten());
        let words = cloud::Words { cloud: draft.cloud.flatten(), resource: draft.azure_resource.clone().flatten(), key };
        cloud::login(fields, words, !manner.logins.is_empty() || manner.tls.identity.is_some() || manner.tls.authority.is_some())
    });
    let (Metadata { server: address, query, namespace, headers, parameters, ignore_null, .. }, manner) = (draft.finish()?, manner?);
    let mut logins = manner.logins_at(&address);
    logins.extend(login);
    logins.extend(headers.unwrap_or_default().0.into_iter().map(|(name, text)| Login::Header(name, text)));
    let Manner { tls, timeout, .. } = manner;
    let base = format!("{}{}", address.origin, address.path.trim_end_matches('/'));
    let server = Server { name: "Prometheus", base, logins, tls, timeout, trouble: Trouble::Question };
    let namespace = namespace.map(|namespace| ("namespace".to_owned(), namespace));
    let parameters = namespace.into_iter().chain(parameters.unwrap_or_default().0).collect();
    let without_number = if ignore_null { WithoutNumber::Zero } else { WithoutNumber::Error };
    Some(Parsed::new(Prometheus(server), Query { query, parameters, without_number }, "prometheus".to_owned()))
}

/// A server.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Prometheus(Server);

impl Broker for Prometheus {
    type Query = Query;

    fn address(&self) -> String {
        self.0.address()
    }

    fn timeout(&self) -> Option<Duration> {
        self.0.timeout
    }
}

/// A query, with what goes with it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Query {
    query: String,
    parameters: Vec<(String, String)>,
    without_number: WithoutNumber,
}

/// What an answer without a number is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum WithoutNumber {
    /// The user says that it means that there is nothing.
    Zero,
    Error,
}

#[cfg(all(test, feature = "clients"))]
mod tests;
