//! Azure Service Bus: active messages of a queue or of a topic's subscription, or of all whose names match a pattern.

use regex::Regex;
use springtide_core::units::MetricMilli;
use url::Url;

use crate::azure::{self, Access, Cloud, Connection, NamespaceKey, Service};
use crate::broker::Broker;
use crate::field::choice;
use crate::http::{Login, Place, Server, Trouble};
use crate::kind::{Kind, Parsed, TargetKey, activation, target};
use crate::oauth2::Issuer;
use crate::parameter::{Fields, parameters};
use crate::secret::Secret;
use crate::tls::Tls;

#[cfg(feature = "clients")]
mod atom;
#[cfg(feature = "clients")]
mod client;

/// What it is, for people.
const NAME: &str = "the Service Bus namespace";
/// What tokens are asked for.
const RESOURCE: &str = "https://servicebus.azure.net/";
/// A connection string that is right.
const EXAMPLE: &str = "Endpoint=sb://NAMESPACE.servicebus.windows.net/;SharedAccessKeyName=RULE;SharedAccessKey=KEY";
/// From how many questions on a listing is tried before each is asked.
const WORTH_A_LISTING: usize = 6;
/// How many queues or subscriptions a page of a listing has: the most that the service gives.
const PAGE: usize = 100;

pub(crate) static KIND: Kind = Kind {
    name: "azure-servicebus",
    summary: "Active messages in queues or subscriptions of Azure Service Bus",
    parameters: &[Metadata::PARAMETERS],
    targets: &[TargetKey { parameter: target("messageCount", "The target: messages for each replica."), companion: None }],
    default_target: Some(MetricMilli(5_000)),
    activation: Some(activation("activationMessageCount")),
    example: &[("queueName", "orders"), ("messageCount", "20")],
    example_auth: &[("connection", "SharedAccessKeyName=scaler;SharedAccessKey=a2V5;Endpoint=sb://shop.servicebus.windows.net/")],
    example_more: &[],
    read,
};

choice! {
    /// How several queues or subscriptions become one number.
    enum Operation {
        /// All of them together.
        Sum = "sum",
        /// The largest.
        Maximum = "max",
        /// Their mean, cut to a whole number as KEDA does.
        Average = "avg",
    }
}

parameters! {
    /// What a Service Bus trigger can be told.
    struct Metadata, draft Draft {
        /// The queue, or with useRegex a pattern of whole names.
        queue_name: Option<String> = "queueName", from Metadata;
        /// The topic, in place of a queue; together with subscriptionName.
        topic_name: Option<String> = "topicName", from Metadata;
        /// The topic's subscription, or with useRegex a pattern of whole names.
        subscription_name: Option<String> = "subscriptionName", from Metadata;
        /// The connection string of the namespace, or of the queue or topic, by a rule that may manage it.
        connection: Option<Secret> = "connection", from Auth Environment;
        /// The namespace's name, with podIdentity azure-workload.
        namespace: Option<String> = "namespace", from Metadata;
        /// In a private cloud, what follows the namespace in its address.
        endpoint_suffix: Option<String> = "endpointSuffix", from Metadata;
        /// The cloud, with podIdentity azure-workload; capitals do not count.
        cloud: Option<Cloud> = "cloud", from Metadata;
        /// Whether queueName or subscriptionName is a regular expression.
        use_regex: bool = "useRegex", from Metadata, default "false";
        /// How several become one number, with useRegex.
        operation: Operation = "operation", from Metadata, default "sum";
    }
}

fn read(fields: &mut Fields<'_>) -> Option<Parsed> {
    let draft = Draft::read(fields);
    let query = draft.query(fields);
    let access = azure::access(fields, draft.connection.clone().flatten(), RESOURCE, [KIND.name, "azure service bus"]);
    let place = match access {
        Some(Access::Connection(connection)) => {
            Some(by_connection(connection.expose()).unwrap_or_else(|reason| Place::Nowhere(NAME, reason)))
        }
        Some(Access::Workload(federated)) => {
            draft.host(fields).map(|host| at(format!("https://{host}"), Login::Token(Issuer::Azure(federated))))
        }
        None => None,
    };
    let metadata = draft.finish()?;
    let name = match (metadata.use_regex, &metadata.queue_name) {
        (true, Some(_)) => "queue-regex".to_owned(),
        (true, None) => "topic-regex".to_owned(),
        (false, Some(queue)) => queue.clone(),
        (false, None) => metadata.topic_name.unwrap_or_default(),
    };
    Some(Parsed::new(Namespace(place?), query?, format!("azure-servicebus-{name}")))
}

impl Draft {
    /// What is asked about.
    fn query(&self, fields: &mut Fields<'_>) -> Option<Query> {
        let (queue, topic, subscription) =
            (self.queue_name.as_ref()?.as_ref(), self.topic_name.as_ref()?.as_ref(), self.subscription_name.as_ref()?.as_ref());
        let either = "give queueName alone, or topicName and subscriptionName";
        let (parent, name, field) = match (queue, topic, subscription) {
            (Some(_), Some(_), _) => {
                fields.problem("topicName", "is given with queueName (both topic and queue name metadata provided)", either);
                return None;
            }
            (Some(_), None, Some(_)) => {
                fields.problem("subscriptionName", "is given with queueName (subscription name provided with queue name)", either);
                return None;
            }
            (None, Some(_), None) => {
                fields.problem("subscriptionName", "is missing (no subscription name provided with topic name)", either);
                return None;
            }
            (None, None, _) => {
                fields.problem("queueName", "is missing, and so is topicName (no service bus entity type set)", either);
                return None;
            }
            (Some(queue), None, None) => (Parent::Namespace, queue, "queueName"),
            (None, Some(topic), Some(subscription)) => (Parent::Topic(topic.clone()), subscription, "subscriptionName"),
        };
        if !self.use_regex? {
            return Some(Query { parent, names: Names::One(name.clone()) });
        }
        // Alone first, so that a pattern cannot close what is put around it.
        if Regex::new(name).and_then(|_| whole(name)).is_err() {
            fields.problem(field, format!("{field} is not a valid regular expression"), "correct it, or write useRegex: \"false\"");
            return None;
        }
        Some(Query { parent, names: Names::Pattern(name.clone(), self.operation?) })
    }

    /// The namespace's host.
    fn host(&self, fields: &mut Fields<'_>) -> Option<String> {
        let given = self.endpoint_suffix.as_ref().and_then(Option::as_deref);
        let suffix = self.cloud.and_then(|cloud| azure::suffix(fields, cloud, given, Service::ServiceBus));
        let Some(namespace) = self.namespace.as_ref()? else {
            let what = "is missing (namespace are required when using pod identity)";
            fields.problem("namespace", what, "give the namespace's name, which goes with podIdentity azure-workload");
            return None;
        };
        Some(format!("{namespace}.{}", suffix?))
    }
}

/// A pattern as it is matched: with whole names.
fn whole(pattern: &str) -> Result<Regex, regex::Error> {
    Regex::new(&format!(r"\A(?:{pattern})\z"))
}

/// The namespace of a connection string. The error says what is wrong, without repeating any of it.
fn by_connection(text: &str) -> Result<Place, String> {
    let connection = Connection::parse(text, EXAMPLE).map_err(|misfit| format!("{}; {}", misfit.what, misfit.remedy))?;
    let lacks = |what: &str| format!("the connection string has no {what}; write {EXAMPLE}");
    let endpoint = connection.get("endpoint").ok_or_else(|| lacks("Endpoint"))?;
    // An emulator has no certificate.
    let scheme = if connection.is("usedevelopmentemulator") { "http" } else { "https" };
    let rest = endpoint.expose().split_once("://").map(|(_, rest)| rest);
    let url = rest.and_then(|rest| Url::parse(&format!("{scheme}://{rest}")).ok()).filter(Url::has_host);
    let url = url.ok_or("the Endpoint of the connection string is no address; write sb://NAMESPACE.servicebus.windows.net/")?;
    let login = if let Some(signature) = connection.get("sharedaccesssignature") {
        Login::Header("authorization".to_owned(), signature.clone())
    } else {
        let name = connection.get("sharedaccesskeyname").ok_or_else(|| lacks("SharedAccessKeyName"))?.expose().to_owned();
        Login::NamespaceKey(NamespaceKey { name, key: connection.get("sharedaccesskey").ok_or_else(|| lacks("SharedAccessKey"))?.clone() })
    };
    Ok(at(url.origin().ascii_serialization(), login))
}

fn at(base: String, login: Login) -> Place {
    Place::At(Server { name: NAME, base, logins: vec![login], tls: Tls::VERIFIED, timeout: None, trouble: Trouble::Server })
}

/// A namespace, by its management interface.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Namespace(Place);

impl Broker for Namespace {
    type Query = Query;

    fn address(&self) -> String {
        self.0.address()
    }

    fn requests(&self, queries: usize) -> usize {
        if queries < WORTH_A_LISTING { queries } else { queries.div_ceil(PAGE).max(WORTH_A_LISTING) }
    }
}

/// What a trigger asks.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Query {
    parent: Parent,
    names: Names,
}

/// Whose queues or subscriptions.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Parent {
    /// Queues.
    Namespace,
    /// Subscriptions.
    Topic(String),
}

/// Which of them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Names {
    One(String),
    Pattern(String, Operation),
}

#[cfg(all(test, feature = "clients"))]
mod tests;
