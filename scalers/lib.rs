//! Brokers that know how much work waits, one file each, and the poller that asks them.
//!
//! Texts of a trigger become a typed [`Trigger`] once, with [`parse`]; a [`Poller`] asks the triggers' brokers on time and sends readings. A scaler itself
//! knows only how to reach its broker and how to ask: its target, its activation value, its metric's name, caching, retries and schedules are not its own.
//!
//! Adding a kind is one file with a `KIND` in it and one line in [`KINDS`].

#![cfg_attr(not(feature = "clients"), allow(dead_code, reason = "what only clients need of a declaration"))]
#![cfg_attr(test, allow(clippy::panic, reason = "a test that fails panics"))]

use std::collections::BTreeMap;

use springtide_core::name::Key;

mod apache_kafka;
#[cfg(feature = "clients")]
mod aws_secrets;
mod aws_sqs_queue;
mod azure;
mod azure_queue;
mod azure_servicebus;
#[cfg(feature = "clients")]
mod backoff;
mod broker;
mod cluster;
mod cpu;
mod cron;
#[cfg(feature = "clients")]
mod error;
mod external;
mod field;
mod gcp_pubsub;
mod http;
mod identity;
mod kafka;
mod kind;
mod kubernetes_workload;
#[cfg(feature = "clients")]
mod link;
#[cfg(feature = "clients")]
mod listen;
mod location;
mod memory;
mod metrics_api;
mod mysql;
mod name;
mod nats_jetstream;
mod oauth2;
#[cfg(feature = "clients")]
mod pace;
mod parameter;
#[cfg(feature = "clients")]
mod poller;
mod postgresql;
mod prometheus;
mod rabbitmq;
mod redis;
mod schema;
mod secret;
mod sql;
#[cfg(feature = "clients")]
pub mod store;
mod tls;

#[cfg(all(test, feature = "clients"))]
mod conformance;
#[cfg(all(test, feature = "clients"))]
mod contract;
#[cfg(test)]
mod facts;
#[cfg(all(test, feature = "clients"))]
mod fake;
#[cfg(all(test, feature = "clients"))]
mod pages;
#[cfg(all(test, feature = "clients"))]
mod polling;
#[cfg(all(test, feature = "clients"))]
mod seeded;
#[cfg(all(test, feature = "clients"))]
mod trial;

#[cfg(feature = "clients")]
pub use aws_secrets::{AwsSecretName, AwsSecrets};
pub use broker::{Endpoint, Query};
#[cfg(feature = "clients")]
pub use cluster::{Backend, ClusterView, PodQuery, Unit};
#[cfg(feature = "clients")]
pub use error::Error;
pub use identity::{Around, Machine, PodIdentity, Workload};
pub use kind::{Kind, TargetKey, Trigger};
#[cfg(feature = "clients")]
pub use pace::Pace;
pub use parameter::{Age, AuthParams, IDENTITY, Parameter, Problem, ResolvedEnv, Source};
#[cfg(feature = "clients")]
pub use poller::{Options, Polled, Poller, TriggerId};
pub use secret::{Secret, conceal};

/// Every kind of scaler, by name.
pub static KINDS: &[&Kind] = &[
    &apache_kafka::KIND,
    &aws_sqs_queue::KIND,
    &azure_queue::KIND,
    &azure_servicebus::KIND,
    &cpu::KIND,
    &cron::KIND,
    &external::KIND,
    &external::PUSH,
    &gcp_pubsub::KIND,
    &kafka::KIND,
    &kubernetes_workload::KIND,
    &memory::KIND,
    &metrics_api::KIND,
    &mysql::KIND,
    &nats_jetstream::KIND,
    &postgresql::KIND,
    &prometheus::KIND,
    &rabbitmq::KIND,
    &redis::ITEMS,
    &redis::CLUSTER_ITEMS,
    &redis::CLUSTER_STREAMS,
    &redis::SENTINEL_ITEMS,
    &redis::SENTINEL_STREAMS,
    &redis::STREAMS,
];

/// The kind of this name.
#[must_use]
pub fn kind(name: &str) -> Option<&'static Kind> {
    KINDS.iter().copied().find(|kind| kind.name == name)
}

/// Makes a typed trigger of its texts, or says everything that is wrong with them. `owner` is the object whose trigger it is.
///
/// # Errors
/// All problems at once, each with the field, what is wrong and what to do. None of them repeats a secret.
pub fn parse(
    owner: &Key,
    name: &str,
    metadata: &BTreeMap<String, String>,
    auth: &AuthParams,
    env: &ResolvedEnv,
) -> Result<Trigger, Vec<Problem>> {
    parse_as(owner, name, None, metadata, auth, env)
}

/// The same where it is known what the target means: `metricType` as it is written beside the trigger's type.
///
/// # Errors
/// As [`parse`]; a metric type that this kind does not have is a problem of the field `metricType`.
pub fn parse_as(
    owner: &Key,
    name: &str,
    metric_type: Option<&str>,
    metadata: &BTreeMap<String, String>,
    auth: &AuthParams,
    env: &ResolvedEnv,
) -> Result<Trigger, Vec<Problem>> {
    let Some(kind) = kind(name) else {
        return Err(vec![Problem {
            field: "type".to_owned(),
            what: format!("no scaler found for type: {:?}", conceal(name)),
            remedy: "use one of those that `springtide scalers` lists".to_owned(),
        }]);
    };
    kind.parse(owner, metric_type, metadata, auth, env)
}
