//! NodePool: what machines may be bought, how many, and when they may be taken away.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use k8s_openapi::api::core::v1::Taint;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::EXPIRE_AFTER;
use super::requirement::{NodeClassRef, Requirement};
use super::spans::{BudgetNodes, BudgetWindow, NillableDuration, PlainDuration};
use crate::conditions::Condition;
use crate::lenient::{Lenient, null_as_default, without_nulls, words};
use crate::schema;

/// What machines may be bought, how many, and when they may be taken away.
#[derive(CustomResource, Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "karpenter.sh",
    version = "v1",
    kind = "NodePool",
    plural = "nodepools",
    category = "karpenter",
    status = "NodePoolStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "Machines that may be bought for pods.",
    scale(spec_replicas_path = ".spec.replicas", status_replicas_path = ".status.nodes"),
    printcolumn(name = "NodeClass", type_ = "string", json_path = ".spec.template.spec.nodeClassRef.name"),
    printcolumn(name = "Nodes", type_ = "string", json_path = ".status.nodes"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Weight", type_ = "integer", priority = "1", json_path = ".spec.weight"),
    printcolumn(name = "CPU", type_ = "string", priority = "1", json_path = ".status.resources.cpu"),
    printcolumn(name = "Memory", type_ = "string", priority = "1", json_path = ".status.resources.memory")
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {
        "message": "Cannot transition NodePool between static (replicas set) and dynamic (replicas unset) provisioning modes",
        "rule": "has(self.replicas) == has(oldSelf.replicas)",
    },
    {
        "message": "only 'limits.nodes' is supported on static NodePools",
        "rule": "!has(self.replicas) || (!has(self.limits) || size(self.limits) == 0 || (size(self.limits) == 1 && 'nodes' in self.limits))",
    },
    { "message": "'weight' is not supported on static NodePools", "rule": "!has(self.replicas) || !has(self.weight)" },
]))]
pub struct NodePoolSpec {
    /// What its nodes are like.
    pub template: NodeClaimTemplate,
    /// When its nodes may be taken away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = { "consolidateAfter": "0s" }))]
    pub disruption: Option<Disruption>,
    /// How much of each resource its nodes may have together, and under `nodes` how many there may be.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "without_nulls")]
    #[schemars(schema_with = "schema::quantities")]
    pub limits: BTreeMap<String, Quantity>,
    /// Pools with more weight are asked first; 0 unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub weight: Option<i32>,
    /// A fixed number of nodes, whatever pods there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub replicas: Option<i64>,
}

impl NodePoolSpec {
    /// How long a node rests after the last event of a pod before it may be consolidated. None for never, and where what was written is no duration: a node
    /// that stays costs money, one that goes costs work.
    #[must_use]
    pub fn consolidate_after(&self) -> Option<SignedDuration> {
        match self.disruption.as_ref().and_then(|disruption| disruption.consolidate_after.as_ref()) {
            None => Some(SignedDuration::ZERO),
            Some(Lenient::Known(after)) => after.span(),
            Some(Lenient::Other(_)) => None,
        }
    }

    /// Which nodes may be consolidated. Only empty ones where what was written is no policy that we know.
    #[must_use]
    pub fn consolidation_policy(&self) -> ConsolidationPolicy {
        match self.disruption.as_ref().and_then(|disruption| disruption.consolidation_policy.as_ref()) {
            None => ConsolidationPolicy::WhenEmptyOrUnderutilized,
            Some(policy) => policy.known().copied().unwrap_or(ConsolidationPolicy::WhenEmpty),
        }
    }

    /// How many nodes may be disrupted at a time; 10% unless set. An empty list is no limit, as in Karpenter.
    #[must_use]
    pub fn budgets(&self) -> Vec<Budget> {
        let budgets = self.disruption.as_ref().and_then(|disruption| disruption.budgets.as_ref());
        budgets.cloned().unwrap_or_else(|| vec![Budget::default()])
    }

    /// Which pools are asked first: those with more.
    #[must_use]
    pub fn weight(&self) -> i32 {
        self.weight.unwrap_or(0)
    }
}

/// What the nodes of a pool are like.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NodeClaimTemplate {
    /// What its claims and nodes are labelled with.
    #[serde(default, skip_serializing_if = "TemplateMetadata::is_empty", deserialize_with = "null_as_default")]
    pub metadata: TemplateMetadata,
    /// What its machines are.
    pub spec: NodeClaimTemplateSpec,
}

/// Labels and annotations of claims and nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TemplateMetadata {
    /// Labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "without_nulls")]
    #[schemars(schema_with = "schema::template_labels")]
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "without_nulls")]
    #[schemars(extend("x-kubernetes-map-type" = "granular"))]
    pub annotations: BTreeMap<String, String>,
}

impl TemplateMetadata {
    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.annotations.is_empty()
    }
}

/// What the machines of a pool are.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeClaimTemplateSpec {
    /// Taints that its nodes keep.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    #[schemars(schema_with = "schema::taints")]
    pub taints: Vec<Taint>,
    /// Taints that its nodes start with and that somebody else takes away. Pods need not tolerate them to be planned for.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    #[schemars(schema_with = "schema::taints")]
    pub startup_taints: Vec<Taint>,
    /// What its machines must be like.
    #[serde(deserialize_with = "null_as_default")]
    #[schemars(schema_with = "schema::pool_requirements")]
    pub requirements: Vec<Requirement>,
    /// What its machines are in the words of their cloud.
    #[schemars(extend("x-kubernetes-validations" = [
        { "message": "nodeClassRef.group is immutable", "rule": "self.group == oldSelf.group" },
        { "message": "nodeClassRef.kind is immutable", "rule": "self.kind == oldSelf.kind" },
    ]))]
    pub node_class_ref: NodeClassRef,
    /// How long draining may take before pods are ended regardless; no end unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub termination_grace_period: Option<Lenient<PlainDuration>>,
    /// How old its nodes become, or Never; 720h unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "720h"))]
    pub expire_after: Option<Lenient<NillableDuration>>,
}

impl NodeClaimTemplateSpec {
    /// How old its nodes become; 30 days unless set. None for never, and where what was written is no duration.
    #[must_use]
    pub fn expire_after(&self) -> Option<SignedDuration> {
        expire_after(self.expire_after.as_ref())
    }

    /// How long draining may take. None for as long as it takes, and where what was written is no duration.
    #[must_use]
    pub fn termination_grace_period(&self) -> Option<SignedDuration> {
        self.termination_grace_period.as_ref().and_then(Lenient::known).map(|period| period.0)
    }
}

pub(super) fn expire_after(field: Option<&Lenient<NillableDuration>>) -> Option<SignedDuration> {
    match field {
        None => Some(EXPIRE_AFTER),
        Some(Lenient::Known(after)) => after.span(),
        Some(Lenient::Other(_)) => None,
    }
}

words! {
    /// Which nodes may be consolidated.
    ConsolidationPolicy {
        /// Those without pods that count.
        WhenEmpty = "WhenEmpty",
        /// Those too whose pods fit elsewhere for less.
        WhenEmptyOrUnderutilized = "WhenEmptyOrUnderutilized",
        /// Those too, where it saves enough for what it disturbs.
        Balanced = "Balanced",
    }
}

/// When nodes may be taken away.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Disruption {
    /// How long a node rests after the last event of a pod before it may be consolidated, or Never; 0s unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "0s"))]
    pub consolidate_after: Option<Lenient<NillableDuration>>,
    /// Which nodes may be consolidated; WhenEmptyOrUnderutilized unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "WhenEmptyOrUnderutilized"))]
    pub consolidation_policy: Option<Lenient<ConsolidationPolicy>>,
    /// How many nodes may be disrupted at a time. The least of those in force counts; 10% unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 50),
        extend(
            "default" = [{ "nodes": "10%" }],
            "x-kubernetes-list-type" = "atomic",
            "x-kubernetes-validations" = [{
                "message": "'schedule' must be set with 'duration'",
                "rule": "self.all(x, has(x.schedule) == has(x.duration))",
            }]
        )
    )]
    pub budgets: Option<Vec<Budget>>,
}

words! {
    /// Why a node is disrupted.
    DisruptionReason {
        /// Its pods fit elsewhere for less.
        Underutilized = "Underutilized",
        /// It has no pods that count.
        Empty = "Empty",
        /// It is not what its pool asks for any more.
        Drifted = "Drifted",
    }
}

/// How many nodes may be disrupted at a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("required" = ["nodes"]))]
pub struct Budget {
    /// For which reasons; for all unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 50), extend("x-kubernetes-list-type" = "set"))]
    pub reasons: Option<Vec<Lenient<DisruptionReason>>>,
    /// A number, or a percentage of the pool's nodes, which rounds up; 10% unless set.
    #[serde(default = "tenth")]
    #[schemars(extend("default" = "10%"))]
    pub nodes: Lenient<BudgetNodes>,
    /// From when on, as cron says it, in UTC; always unless set. Needs a duration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = r"^(@(annually|yearly|monthly|weekly|daily|midnight|hourly))|((.+)\s(.+)\s(.+)\s(.+)\s(.+))$"))]
    pub schedule: Option<String>,
    /// For how long, in hours and minutes. Needs a schedule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<Lenient<BudgetWindow>>,
}

impl Default for Budget {
    fn default() -> Self {
        Self { reasons: None, nodes: tenth(), schedule: None, duration: None }
    }
}

impl Budget {
    /// How many of a pool's nodes may be disrupted at a time. None at all where what was written is neither a number nor a percentage.
    #[must_use]
    pub fn nodes(&self) -> BudgetNodes {
        self.nodes.known().copied().unwrap_or(BudgetNodes::Count(0))
    }

    /// Whether it speaks of this reason. A reason that we do not know counts as each of those that we do.
    #[must_use]
    pub fn covers(&self, reason: DisruptionReason) -> bool {
        let Some(reasons) = &self.reasons else { return true };
        reasons.iter().any(|one| one.known().is_none_or(|one| *one == reason))
    }
}

fn tenth() -> Lenient<BudgetNodes> {
    BudgetNodes::Percent(10).into()
}

/// What was found and done.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodePoolStatus {
    /// What its nodes have together.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "without_nulls")]
    #[schemars(schema_with = "schema::quantities")]
    pub resources: BTreeMap<String, Quantity>,
    /// How many nodes it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = 0))]
    pub nodes: Option<i64>,
    /// Which generation of its NodeClass its registrations were judged with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_class_observed_generation: Option<i64>,
    /// What holds and what does not.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    #[schemars(schema_with = "schema::conditions", extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}
