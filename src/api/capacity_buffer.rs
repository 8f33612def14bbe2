//! CapacityBuffer (`autoscaling.x-k8s.io/v1beta1`): room that is kept ready for pods to come. The Cluster Autoscaler and Karpenter read the same object; its
//! CRD is theirs.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use serde::Deserialize;

/// The condition of a buffer that somebody has resolved.
pub const READY_FOR_PROVISIONING: &str = "ReadyForProvisioning";
/// The strategy under which room is kept by nodes that run; the one where none is named.
pub const ACTIVE_CAPACITY: &str = "buffer.x-k8s.io/active-capacity";

/// A buffer.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct CapacityBuffer {
    /// Its name and the like.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// What is asked for.
    pub spec: CapacityBufferSpec,
    /// What a controller made of it.
    #[serde(default)]
    pub status: Option<CapacityBufferStatus>,
}

/// What is asked for.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CapacityBufferSpec {
    /// How the room is kept.
    pub provisioning_strategy: Option<String>,
    /// The PodTemplate that says what pods it is for.
    pub pod_template_ref: Option<LocalObjectRef>,
    /// The workload for whose pods it is.
    pub scalable_ref: Option<ScalableRef>,
    /// For so many pods.
    pub replicas: Option<i32>,
    /// For so many in a hundred of the workload's pods.
    pub percentage: Option<i32>,
    /// For no more than ask for this together.
    pub limits: Option<BTreeMap<String, Quantity>>,
}

/// An object of the same namespace.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct LocalObjectRef {
    /// Its name.
    pub name: String,
}

/// A workload of the same namespace.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScalableRef {
    /// The group of its kind; empty is taken as `apps`.
    #[serde(default)]
    pub api_group: String,
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
}

/// What a controller made of a buffer.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CapacityBufferStatus {
    /// The PodTemplate that was found.
    pub pod_template_ref: Option<LocalObjectRef>,
    /// For how many pods there is to be room.
    pub replicas: Option<i32>,
    /// How it stands.
    #[serde(default)]
    pub conditions: Vec<Condition>,
}
