//! Streams: all entries, those that a group's consumers hold, or those that a group was not given yet.

use springtide_core::units::MetricMilli;

use super::server::{self, Server, Way};
use super::{Measure, Query};
use crate::field::Amount;
use crate::kind::{Kind, Parsed, activation};
use crate::parameter::{Fields, parameters};

pub(crate) static STREAMS: Kind = Kind {
    name: "redis-streams",
    summary: "Entries of a Redis stream, or those that a consumer group holds or was not given yet",
    example: &[("address", "redis.default:6379"), ("stream", "orders"), ("consumerGroup", "workers"), ("lagCount", "10")],
    read: |fields| read(fields, Way::Alone),
    ..STREAMS_OF_ANY
};

pub(crate) static CLUSTER_STREAMS: Kind = Kind {
    name: "redis-cluster-streams",
    summary: "Entries of a stream of a Redis cluster, or those that a consumer group holds or was not given yet",
    example: &[
        ("addresses", "redis-0.redis:6379,redis-1.redis:6379"),
        ("stream", "orders"),
        ("consumerGroup", "workers"),
        ("lagCount", "10"),
    ],
    read: |fields| read(fields, Way::Cluster),
    ..STREAMS_OF_ANY
};

pub(crate) static SENTINEL_STREAMS: Kind = Kind {
    name: "redis-sentinel-streams",
    summary: "Entries of a stream of a Redis master that sentinels watch, or those that a consumer group holds or was not given yet",
    example: &[
        ("addresses", "sentinel-0.redis:26379,sentinel-1.redis:26379"),
        ("sentinelMaster", "orders"),
        ("stream", "orders"),
        ("consumerGroup", "workers"),
        ("lagCount", "10"),
    ],
    read: |fields| read(fields, Way::Sentinels),
    ..STREAMS_OF_ANY
};

/// The target of a trigger that gives none.
const TARGET: MetricMilli = MetricMilli(5000);

/// What the three kinds of streams have in common.
const STREAMS_OF_ANY: Kind = Kind {
    name: "",
    summary: "",
    parameters: &[Metadata::PARAMETERS, server::PARAMETERS],
    // Which of its three targets counts follows from what is measured.
    targets: &[],
    default_target: Some(TARGET),
    activation: Some(activation("activationLagCount")),
    example: &[],
    example_auth: server::EXAMPLE_AUTH,
    example_more: &[],
    read: |_| None,
};

parameters! {
    /// What a trigger on a stream can be told, besides its server.
    struct Metadata, draft Draft {
        /// The stream's key. One that does not exist has no entries.
        key: String = "stream", from Metadata;
        /// The consumer group. Without it, all entries of the stream count.
        group: Option<String> = "consumerGroup", from Metadata;
        /// The target in entries that the group was not given yet, for each replica (Redis 7 or later). Where it is given, these are what counts; all
        /// entries count while there is no such group.
        lag: Option<Amount> = "lagCount", from Metadata;
        /// The target in entries that the group's consumers hold and have not acknowledged, for each replica: what counts without lagCount.
        pending: Amount = "pendingEntriesCount", from Metadata, default "5";
        /// The target in entries for each replica, without consumerGroup.
        length: Amount = "streamLength", from Metadata, default "5";
    }
}

fn read(fields: &mut Fields<'_>, way: Way) -> Option<Parsed> {
    let draft = Draft::read(fields);
    let server = Server::read(fields, way);
    let (Metadata { key, group, lag, pending, length }, server) = (draft.finish()?, server?);
    let lag = lag.filter(|Amount(lag)| *lag != MetricMilli::ZERO);
    let (measure, Amount(target), called) = match (group, lag) {
        (Some(group), Some(lag)) => (Measure::Lag(group), lag, "lagCount"),
        (Some(group), None) => (Measure::Pending(group), pending, "pendingEntriesCount"),
        (None, _) => (Measure::Entries, length, "streamLength"),
    };
    if target < MetricMilli::ZERO {
        fields.problem(called, format!("is {target}"), "write a number greater than 0");
        return None;
    }
    let name = format!("redis-streams-{key}");
    // 0 asks for nothing and counts as not given.
    let target = if target == MetricMilli::ZERO { TARGET } else { target };
    Some(Parsed::new(server, Query { key, measure }, name).with_target(target))
}
