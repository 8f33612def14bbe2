//! NodeClaim: one machine, from the wish for it to its end.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use k8s_openapi::api::core::v1::Taint;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::node_pool::expire_after;
use super::requirement::{NodeClassRef, Requirement};
use super::spans::{NillableDuration, PlainDuration};
use crate::conditions::Condition;
use crate::lenient::{Lenient, null_as_default, without_nulls};
use crate::schema;

/// What machine is wanted. Cannot be changed.
#[derive(CustomResource, Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "karpenter.sh",
    version = "v1",
    kind = "NodeClaim",
    plural = "nodeclaims",
    category = "karpenter",
    status = "NodeClaimStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "One machine, from the wish for it to its end.",
    printcolumn(name = "Type", type_ = "string", json_path = ".metadata.labels.node\\.kubernetes\\.io/instance-type"),
    printcolumn(name = "Capacity", type_ = "string", json_path = ".metadata.labels.karpenter\\.sh/capacity-type"),
    printcolumn(name = "Zone", type_ = "string", json_path = ".metadata.labels.topology\\.kubernetes\\.io/zone"),
    printcolumn(name = "Node", type_ = "string", json_path = ".status.nodeName"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "ImageID", type_ = "string", priority = "1", json_path = ".status.imageID"),
    printcolumn(name = "ID", type_ = "string", priority = "1", json_path = ".status.providerID"),
    printcolumn(name = "NodePool", type_ = "string", priority = "1", json_path = ".metadata.labels.karpenter\\.sh/nodepool"),
    printcolumn(name = "NodeClass", type_ = "string", priority = "1", json_path = ".spec.nodeClassRef.name"),
    printcolumn(name = "Drifted", type_ = "string", priority = "1", json_path = ".status.conditions[?(@.type==\"Drifted\")].status")
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{ "message": "spec is immutable", "rule": "self == oldSelf" }]))]
pub struct NodeClaimSpec {
    /// Taints that the node keeps.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    #[schemars(schema_with = "schema::taints")]
    pub taints: Vec<Taint>,
    /// Taints that the node starts with and that somebody else takes away.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    #[schemars(schema_with = "schema::taints")]
    pub startup_taints: Vec<Taint>,
    /// What the machine must be like. Instance types stand in order of preference.
    #[serde(deserialize_with = "null_as_default")]
    #[schemars(schema_with = "schema::claim_requirements")]
    pub requirements: Vec<Requirement>,
    /// What the pods need that it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
    /// What the machine is in the words of its cloud.
    pub node_class_ref: NodeClassRef,
    /// How long draining may take before pods are ended regardless; no end unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub termination_grace_period: Option<Lenient<PlainDuration>>,
    /// How old the node becomes, or Never; 720h unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "720h"))]
    pub expire_after: Option<Lenient<NillableDuration>>,
}

impl NodeClaimSpec {
    /// How old the node becomes; 30 days unless set. None for never, and where what was written is no duration.
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

/// What the pods need that a claim is for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ResourceRequirements {
    /// Together, by resource.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "without_nulls")]
    #[schemars(schema_with = "schema::quantities")]
    pub requests: BTreeMap<String, Quantity>,
}

/// What became of the wish.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeClaimStatus {
    /// Name of its node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_name: Option<String>,
    /// The machine in its cloud.
    #[serde(rename = "providerID", default, skip_serializing_if = "Option::is_none")]
    pub provider_id: Option<String>,
    /// The image that it booted.
    #[serde(rename = "imageID", default, skip_serializing_if = "Option::is_none")]
    pub image_id: Option<String>,
    /// What the machine has.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "without_nulls")]
    #[schemars(schema_with = "schema::quantities")]
    pub capacity: BTreeMap<String, Quantity>,
    /// What of that pods may use.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "without_nulls")]
    #[schemars(schema_with = "schema::quantities")]
    pub allocatable: BTreeMap<String, Quantity>,
    /// What holds and what does not.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    #[schemars(schema_with = "schema::claim_conditions", extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// When a pod last came or went.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_pod_event_time: Option<Time>,
}
