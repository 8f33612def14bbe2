//! What Azure's services have in common: the clouds that they are in, connection strings, and the signatures of requests.

use crate::identity::PodIdentity;
use crate::identity::azure::Federated;
use crate::parameter::{Fields, IDENTITY};
use crate::secret::Secret;

mod cloud;
mod connection;
#[cfg(feature = "clients")]
mod signature;

pub(crate) use cloud::{Cloud, Service, suffix};
pub(crate) use connection::Connection;

/// A key of a storage account.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct StorageKey {
    pub account: String,
    /// As base64.
    pub key: Secret,
}

/// A key of a Service Bus namespace, or of one queue or topic in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct NamespaceKey {
    /// The name of the rule that the key belongs to.
    pub name: String,
    /// As the text that it is.
    pub key: Secret,
}

/// How a trigger says who it is to Azure.
pub(crate) enum Access {
    /// By a connection string.
    Connection(Secret),
    /// By the daemon's own identity.
    Workload(Federated),
}

/// How a trigger of a kind says who it is. `resource` is what a token is asked for, `service` the words for it in problems.
pub(crate) fn access(fields: &mut Fields<'_>, connection: Option<Secret>, resource: &str, [kind, service]: [&str; 2]) -> Option<Access> {
    match (fields.identity_here(), connection) {
        (Some(PodIdentity::AzureWorkload(identity)), _) => Some(Access::Workload(Federated::new(identity, resource))),
        (Some(other), _) => {
            let provider = other.provider();
            let what = format!("provider {provider} is not read by {kind} (pod identity {provider} not supported for {service})");
            fields.problem(IDENTITY, what, "use azure-workload, or leave it out and give a connection string");
            None
        }
        (None, Some(connection)) => Some(Access::Connection(connection)),
        (None, None) => {
            let remedy = "give it in a TriggerAuthentication or by connectionFromEnv, or use podIdentity azure-workload";
            fields.problem("connection", "is missing (no connection setting given)", remedy);
            None
        }
    }
}
