//! NATS JetStream: messages that a stream's consumer was not given yet, and those that it holds, by the monitoring interface of the server. In a cluster only
//! the consumer's leader knows, and it is found and asked.

use springtide_core::units::MetricMilli;

use crate::broker::Broker;
use crate::http::{Address, Server, Trouble};
use crate::kind::{Kind, Parsed, TargetKey, activation, target};
use crate::parameter::{Field as _, Fields, Parameter, parameters};
use crate::tls::{Check, Tls};

#[cfg(feature = "clients")]
mod client;

pub(crate) static KIND: Kind = Kind {
    name: "nats-jetstream",
    summary: "Messages that a NATS JetStream consumer was not given yet, or holds",
    parameters: &[Metadata::PARAMETERS],
    targets: &[TargetKey {
        parameter: Parameter { default: Some("10"), ..target("lagThreshold", "The target in messages for each replica.") },
        companion: None,
    }],
    default_target: Some(MetricMilli(10_000)),
    activation: Some(activation("activationLagThreshold")),
    example: &[
        ("natsServerMonitoringEndpoint", "nats.default:8222"),
        ("account", "$G"),
        ("stream", "orders"),
        ("consumer", "workers"),
        ("lagThreshold", "10"),
    ],
    example_auth: &[],
    example_more: &[],
    read,
};

parameters! {
    /// What a JetStream trigger can be told.
    struct Metadata, draft Draft {
        /// The server's monitoring interface as host:port; of a cluster any node's, or a name for all of them.
        endpoint: String = "natsServerMonitoringEndpoint", from Metadata Auth;
        /// The account's name; this or accountID is needed.
        account: Option<String> = "account", from Metadata Auth;
        /// The account's ID, which is asked for in place of its name.
        account_id: Option<String> = "accountID", from Metadata Auth;
        /// The stream.
        stream: String = "stream", from Metadata;
        /// The stream's consumer.
        consumer: String = "consumer", from Metadata;
        /// Whether the monitoring interface speaks HTTPS.
        https: bool = "useHttps", from Metadata, default "false";
    }
}

fn read(fields: &mut Fields<'_>) -> Option<Parsed> {
    let draft = Draft::read(fields);
    let address = draft.address(fields);
    if matches!((&draft.account, &draft.account_id), (Some(None), Some(None))) {
        let remedy = "give account or accountID; $G is the one of a server without accounts";
        fields.problem("account", "is missing: no account name or id given", remedy);
        return None;
    }
    let (Metadata { account, account_id, stream, consumer, .. }, address) = (draft.finish()?, address?);
    let server = Server {
        name: "NATS",
        base: address.origin,
        logins: address.login.into_iter().collect(),
        tls: Tls { authority: None, identity: None, check: Check::Certificate },
        timeout: None,
        trouble: Trouble::Server,
    };
    let name = format!("nats-jetstream-{stream}");
    Some(Parsed::new(Nats(server), Query { account: Account { name: account, id: account_id }, stream, consumer }, name))
}

impl Draft {
    /// Where the monitoring interface is. What is wrong with it is told without its text, which may hold a login.
    fn address(&self, fields: &mut Fields<'_>) -> Option<Address> {
        let (text, https) = (self.endpoint.as_ref()?, self.https?);
        let what = match Address::parse(&format!("{}://{text}", if https { "https" } else { "http" })) {
            _ if text.contains("://") => "is a URL".to_owned(),
            Ok(address) if address.path == "/" && address.query.is_none() => return Some(address),
            Ok(_) => "has a path".to_owned(),
            Err(misfit) => misfit.what,
        };
        let remedy = "write a host and a port such as nats.default:8222, and useHttps: \"true\" where it speaks HTTPS";
        fields.problem("natsServerMonitoringEndpoint", what, remedy);
        None
    }
}

/// A server, or any node of a cluster.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Nats(Server);

impl Broker for Nats {
    type Query = Query;

    fn address(&self) -> String {
        self.0.address()
    }

    /// However many consumers: one page has all of an account.
    fn requests(&self, _: usize) -> usize {
        1
    }
}

/// A consumer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Query {
    account: Account,
    stream: String,
    consumer: String,
}

/// An account by its name, its ID, or both.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Account {
    name: Option<String>,
    id: Option<String>,
}

#[cfg(all(test, feature = "clients"))]
mod tests;
