//! How many pods of a namespace have certain labels, or on how many nodes they are: one workload follows another.
//!
//! Pods that have ended (Succeeded, Failed) are not counted; those that still wait, that are on their way out or whose node is silent are. If the selector
//! selects the target's own pods, they count too.

use springtide_core::name::Name;

use crate::broker::Broker;
use crate::cluster::Unit;
use crate::kind::{Kind, Parsed, TargetKey, activation, target};
use crate::parameter::{Fields, parameters};

#[cfg(feature = "clients")]
mod client;
mod selector;

use selector::Selector;

pub(crate) static KIND: Kind = Kind {
    name: "kubernetes-workload",
    summary: "How many pods with certain labels there are in the object's namespace, or on how many nodes they are",
    parameters: &[Metadata::PARAMETERS],
    targets: &[TargetKey { parameter: target("value", "The target: how many of what is counted are for each replica."), companion: None }],
    default_target: None,
    activation: Some(activation("activationValue")),
    example: &[("podSelector", "app=orders,tier in (web, api)"), ("value", "2")],
    example_auth: &[],
    example_more: &[],
    read,
};

parameters! {
    /// What a kubernetes-workload trigger can be told.
    struct Metadata, draft Draft {
        /// Which pods are counted, by their labels.
        selector: Selector = "podSelector", from Metadata;
        /// Whether to count the nodes that the pods are bound to, each once, in place of the pods.
        group_by_node: bool = "groupByNode", from Metadata, default "false";
    }
}

fn read(fields: &mut Fields<'_>) -> Option<Parsed> {
    let Metadata { selector, group_by_node } = Draft::read(fields).finish()?;
    let namespace = fields.owner.namespace.clone();
    let name = format!("workload-{namespace}");
    let unit = if group_by_node { Unit::Nodes } else { Unit::Pods };
    Some(Parsed::new(Pods, Query { namespace, selector, unit }, name))
}

/// All pods of the cluster.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Pods;

impl Broker for Pods {
    type Query = Query;

    fn address(&self) -> String {
        "the cluster's pods".to_owned()
    }

    fn requests(&self, queries: usize) -> usize {
        // All are counted in one go, and nobody else is asked.
        queries.min(1)
    }
}

/// Some pods of one namespace.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Query {
    namespace: Name,
    selector: Selector,
    unit: Unit,
}

#[cfg(all(test, feature = "clients"))]
mod tests;
