//! ScaledObjects and NodePools with any text in them: what cannot be read by our types is read here.

use std::collections::BTreeMap;

use kube::CustomResource;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Any ScaledObject.
#[derive(CustomResource, Debug, Clone, Serialize, Deserialize)]
#[kube(group = "keda.sh", version = "v1alpha1", kind = "ScaledObject", namespaced, status = "Value", schema = "disabled")]
pub struct ScaledObjectSpec {
    #[serde(flatten)]
    fields: BTreeMap<String, Value>,
}

/// Any NodePool.
#[derive(CustomResource, Debug, Clone, Serialize, Deserialize)]
#[kube(group = "karpenter.sh", version = "v1", kind = "NodePool", status = "Value", schema = "disabled")]
pub struct NodePoolSpec {
    #[serde(flatten)]
    fields: BTreeMap<String, Value>,
}
