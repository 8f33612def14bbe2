//! Redis, and what speaks its protocol (Valkey, KeyDB): how many items lists, sets, sorted sets and hashes hold, and how far behind the consumers of streams
//! are. Three ways to reach a key (a server, a cluster, a master that sentinels watch) times two things to ask make six kinds.

use springtide_core::units::MetricMilli;

use crate::kind::{Kind, Parsed, TargetKey, activation, target};
use crate::parameter::{Fields, parameters};

#[cfg(feature = "clients")]
mod client;
#[cfg(feature = "clients")]
mod cluster;
#[cfg(feature = "clients")]
mod dialogue;
#[cfg(all(test, feature = "clients"))]
pub(crate) mod fake;
#[cfg(feature = "clients")]
mod node;
mod place;
mod server;
mod streams;

use server::{Server, Way};
pub(crate) use streams::{CLUSTER_STREAMS, SENTINEL_STREAMS, STREAMS};

pub(crate) static ITEMS: Kind = Kind {
    name: "redis",
    summary: "Items of a Redis list, set, sorted set or hash",
    example: &[("address", "redis.default:6379"), ("listName", "orders"), ("listLength", "10")],
    example_auth: server::EXAMPLE_AUTH,
    read: |fields| read(fields, Way::Alone),
    ..ITEMS_OF_ANY
};

pub(crate) static CLUSTER_ITEMS: Kind = Kind {
    name: "redis-cluster",
    summary: "Items of a list, set, sorted set or hash of a Redis cluster",
    example: &[("addresses", "redis-0.redis:6379,redis-1.redis:6379"), ("listName", "orders"), ("listLength", "10")],
    read: |fields| read(fields, Way::Cluster),
    ..ITEMS_OF_ANY
};

pub(crate) static SENTINEL_ITEMS: Kind = Kind {
    name: "redis-sentinel",
    summary: "Items of a list, set, sorted set or hash of a Redis master that sentinels watch",
    example: &[
        ("addresses", "sentinel-0.redis:26379,sentinel-1.redis:26379"),
        ("sentinelMaster", "orders"),
        ("listName", "orders"),
        ("listLength", "10"),
    ],
    read: |fields| read(fields, Way::Sentinels),
    ..ITEMS_OF_ANY
};

/// What the three kinds of items have in common.
const ITEMS_OF_ANY: Kind = Kind {
    name: "",
    summary: "",
    parameters: &[Metadata::PARAMETERS, server::PARAMETERS],
    targets: &[TargetKey { parameter: target("listLength", "The target in items for each replica."), companion: None }],
    default_target: Some(MetricMilli(5000)),
    activation: Some(activation("activationListLength")),
    example: &[],
    example_auth: server::EXAMPLE_AUTH,
    example_more: &[],
    read: |_| None,
};

parameters! {
    /// What a trigger on items can be told, besides its server.
    struct Metadata, draft Draft {
        /// The key of the list, set, sorted set or hash. One that does not exist has no items.
        key: String = "listName", from Metadata;
    }
}

fn read(fields: &mut Fields<'_>, way: Way) -> Option<Parsed> {
    let draft = Draft::read(fields);
    let server = Server::read(fields, way);
    let (Metadata { key }, server) = (draft.finish()?, server?);
    let name = format!("redis-{key}");
    Some(Parsed::new(server, Query { key, measure: Measure::Items }, name))
}

/// What a trigger asks.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Query {
    key: String,
    measure: Measure,
}

/// What is measured of a key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Measure {
    /// Items of whatever the key holds.
    Items,
    /// Entries of a stream.
    Entries,
    /// Entries that consumers of a group hold.
    Pending(String),
    /// Entries that a group was not given yet.
    Lag(String),
}

#[cfg(all(test, feature = "clients"))]
mod tests;
