//! Amazon SQS: how many messages a queue has, by its own approximate counts. It tells no counts of messages that came or went, so nothing is known of
//! arrivals and completions.

use crate::broker::Broker;
use crate::http::Address;
use crate::identity::aws::{self, Identity};
use crate::kind::{Kind, Parsed, TargetKey, activation, target};
use crate::parameter::{Field, Fields, Misfit, parameters};
use springtide_core::units::MetricMilli;

#[cfg(feature = "clients")]
mod client;

pub(crate) static KIND: Kind = Kind {
    name: "aws-sqs-queue",
    summary: "Messages of an Amazon SQS queue: visible, and where wanted in flight and delayed",
    parameters: &[Metadata::PARAMETERS, aws::PARAMETERS],
    targets: &[TargetKey { parameter: target("queueLength", "The target: how many messages are for each replica."), companion: None }],
    default_target: Some(MetricMilli(5000)),
    activation: Some(activation("activationQueueLength")),
    example: &[
        ("queueURL", "https://sqs.eu-west-1.amazonaws.com/123456789012/orders"),
        ("queueLength", "20"),
        ("awsRegion", "eu-west-1"),
        ("identityOwner", "operator"),
    ],
    example_auth: &[("awsAccessKeyID", "AKIAIOSFODNN7EXAMPLE"), ("awsSecretAccessKey", "secret")],
    example_more: &[("identityOwner", "pod")],
    read,
};

parameters! {
    /// What an aws-sqs-queue trigger can be told.
    struct Metadata, draft Draft {
        /// The queue: its URL, or its name if it is the caller's own. SQS tells about how many messages there are, and not how many came or were done.
        queue: Queue = "queueURL", from Metadata Environment;
        /// Where SQS is, if not at Amazon: a stand-in, or an endpoint in a private network.
        endpoint: Option<Address> = "awsEndpoint", from Metadata;
        /// Whether messages count that a consumer holds. With it, a queue looks empty only when its last message is done.
        with_in_flight: bool = "scaleOnInFlight", from Metadata, default "true";
        /// Whether messages count that are to be delivered later.
        with_delayed: bool = "scaleOnDelayed", from Metadata, default "false";
    }
}

fn read(fields: &mut Fields<'_>) -> Option<Parsed> {
    let draft = Draft::read(fields);
    if let Some(Some(endpoint)) = &draft.endpoint
        && (endpoint.login.is_some() || endpoint.query.is_some())
    {
        fields.problem("awsEndpoint", "has a user, a password or a query", "write scheme, host and port alone");
    }
    let identity = Identity::read(fields);
    let (Metadata { queue, endpoint, with_in_flight, with_delayed }, identity) = (draft.finish()?, identity?);
    let endpoint = endpoint.map(|address| format!("{}{}", address.origin, address.path.trim_end_matches('/')));
    let metric_name = format!("aws-sqs-{}", queue.name);
    Some(Parsed::new(Sqs { identity, endpoint }, Query { queue, with_in_flight, with_delayed }, metric_name))
}

/// A queue as it is named to SQS.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Queue {
    /// Its URL, or its name.
    url: String,
    name: String,
}

impl Field for Queue {
    const VALUE: &'static str = "a URL such as https://sqs.REGION.amazonaws.com/ACCOUNT/NAME, or a name";

    fn parse(text: &str) -> Result<Self, Misfit> {
        let after_scheme = text.split_once("://").map(|(_, rest)| rest.find('/').map_or("", |at| &rest[at..]));
        let path = after_scheme.or_else(|| text.starts_with('/').then_some(text));
        let remedy = format!("write {}", Self::VALUE);
        if text.starts_with("arn:") {
            return Err(Misfit::new("is an ARN", remedy));
        }
        let name = match path.map(|path| path.split(['?', '#']).next().unwrap_or_default()) {
            // A slash, the account, a slash, the name.
            Some(path) => match path.split('/').collect::<Vec<_>>().as_slice() {
                ["", _, name] if !name.is_empty() => (*name).to_owned(),
                _ => return Err(Misfit::new("has no queue's name (cannot get queueName from queueURL)", remedy)),
            },
            None => text.to_owned(),
        };
        Ok(Self { url: text.to_owned(), name })
    }
}

/// SQS, as somebody in a region.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Sqs {
    identity: Identity,
    endpoint: Option<String>,
}

impl Broker for Sqs {
    type Query = Query;

    fn address(&self) -> String {
        let region = self.identity.region.as_deref().unwrap_or_default();
        match &self.endpoint {
            Some(endpoint) => format!("SQS at {endpoint} in {region}"),
            None => format!("SQS in {region}"),
        }
    }
}

/// A queue, and what counts of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Query {
    queue: Queue,
    with_in_flight: bool,
    with_delayed: bool,
}

/// Who a trigger says that it is: its keys as `id:secret`, its role, or `own`.
#[cfg(all(test, feature = "clients"))]
pub(crate) fn login(trigger: &crate::Trigger) -> Option<String> {
    Some(match &trigger.connection.broker::<Sqs>()?.identity.way {
        aws::Way::Keys { id, secret, .. } => format!("{}:{}", id.expose(), secret.expose()),
        aws::Way::Role { arn, .. } => arn.clone(),
        aws::Way::Own => "own".to_owned(),
    })
}

#[cfg(all(test, feature = "clients"))]
mod tests;
