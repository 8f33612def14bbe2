//! Azure's storage queues: how many messages a queue has, or how many of them can be seen.

use springtide_core::units::MetricMilli;

use crate::azure::{self, Access, Cloud, Service};
use crate::broker::Broker;
use crate::field::choice;
use crate::http::{Login, Place, Server, Trouble};
use crate::kind::{Kind, Parsed, TargetKey, activation, target};
use crate::oauth2::Issuer;
use crate::parameter::{Fields, parameters};
use crate::secret::Secret;
use crate::tls::Tls;

mod account;
#[cfg(feature = "clients")]
mod client;

use account::Account;

/// What it is, for people.
const NAME: &str = "the Azure storage account";
/// What tokens are asked for.
const RESOURCE: &str = "https://storage.azure.com/";

pub(crate) static KIND: Kind = Kind {
    name: "azure-queue",
    summary: "Messages in a queue of an Azure storage account",
    parameters: &[Metadata::PARAMETERS],
    targets: &[TargetKey { parameter: target("queueLength", "The target: messages for each replica."), companion: None }],
    default_target: Some(MetricMilli(5_000)),
    activation: Some(activation("activationQueueLength")),
    example: &[
        ("queueName", "orders"),
        ("connection", "AccountName=shop;AccountKey=a2V5;QueueEndpoint=https://shop.queue.core.windows.net"),
        ("queueLength", "20"),
    ],
    example_auth: &[("connection", "DefaultEndpointsProtocol=https;AccountName=shop;AccountKey=a2V5;EndpointSuffix=core.windows.net")],
    example_more: &[],
    read,
};

choice! {
    /// Which messages count.
    enum Strategy {
        /// All, also those that workers hold.
        All = "all",
        /// Those that a worker could take: up to 31 are told exactly, and from 32 on all count.
        VisibleOnly = "visibleonly",
    }
}

parameters! {
    /// What a trigger of a storage queue can be told.
    struct Metadata, draft Draft {
        /// The queue.
        queue_name: String = "queueName", from Metadata;
        /// The account's connection string, with AccountKey or SharedAccessSignature; or UseDevelopmentStorage=true for an emulator on this machine.
        connection: Option<Secret> = "connection", from Metadata Auth Environment;
        /// The account's name, with podIdentity azure-workload.
        account_name: Option<String> = "accountName", from Metadata;
        /// In a private cloud, what follows the account's name in its address.
        endpoint_suffix: Option<String> = "endpointSuffix", from Metadata;
        /// The cloud, with podIdentity azure-workload; capitals do not count.
        cloud: Option<Cloud> = "cloud", from Metadata;
        /// Which messages count: all, or those that a worker could take. Of the latter the service shows 32 at most; where there are as many, all count.
        strategy: Strategy = "queueLengthStrategy", from Metadata, default "all";
    }
}

fn read(fields: &mut Fields<'_>) -> Option<Parsed> {
    let draft = Draft::read(fields);
    let suffix = draft.cloud.and_then(|cloud| {
        let given = draft.endpoint_suffix.as_ref().and_then(Option::as_deref);
        azure::suffix(fields, cloud, given, Service::StorageQueue)
    });
    let access = azure::access(fields, draft.connection.clone().flatten(), RESOURCE, [KIND.name, "azure storage queues"]);
    if matches!((&access, &draft.account_name), (Some(Access::Workload(_)), Some(None))) {
        let what = "is missing (no accountName given)";
        fields.problem("accountName", what, "give the storage account's name, which goes with podIdentity azure-workload");
        return None;
    }
    let Metadata { queue_name, account_name, strategy, .. } = draft.finish()?;
    let account = match access? {
        Access::Connection(connection) => Account::parse(connection.expose()),
        Access::Workload(federated) => {
            let base = format!("https://{}.{}", account_name.unwrap_or_default(), suffix?);
            Ok(Account { base, login: Some(Login::Token(Issuer::Azure(federated))), parameters: Vec::new() })
        }
    };
    let name = format!("azure-queue-{queue_name}");
    Some(Parsed::new(Storage::new(account), Query { queue: queue_name, strategy }, name))
}

/// A storage account's queues.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Storage {
    place: Place,
    /// What each request has in its query: the part of a shared access signature that is not secret.
    parameters: Vec<(String, String)>,
}

impl Storage {
    fn new(account: Result<Account, String>) -> Self {
        match account {
            Err(reason) => Self { place: Place::Nowhere(NAME, reason), parameters: Vec::new() },
            Ok(Account { base, login, parameters }) => {
                let logins = login.into_iter().collect();
                let server = Server { name: NAME, base, logins, tls: Tls::VERIFIED, timeout: None, trouble: Trouble::Server };
                Self { place: Place::At(server), parameters }
            }
        }
    }
}

impl Broker for Storage {
    type Query = Query;

    fn address(&self) -> String {
        self.place.address()
    }
}

/// What a trigger asks.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Query {
    queue: String,
    strategy: Strategy,
}

#[cfg(all(test, feature = "clients"))]
pub(crate) mod tests;
