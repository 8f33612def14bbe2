//! Kinds that are read, and objects as the types of their kinds.

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{
    ConfigMap, Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod, PodTemplate, ReplicationController, ResourceQuota, Secret,
    Service,
};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::scheduling::v1::PriorityClass;
use k8s_openapi::api::storage::v1::{CSINode, StorageClass};
use serde::de::DeserializeOwned;
use springtide_api::Problem;
use springtide_api::capacity_buffer::CapacityBuffer;
use springtide_api::karpenter::{NodeClaim, NodePool};
use springtide_api::keda::{ScaledObject, TriggerAuthentication};
use springtide_core::nodes::offer::ClassRef;

use super::complete::{self, Uids};
use super::scheduler::{self, Configuration};
use crate::manifests::Document;

/// Kinds that are read, under their only API version.
pub const READ: [(&str, &str); 26] = [
    ("v1", "Pod"),
    ("v1", "Node"),
    ("v1", "Namespace"),
    ("v1", "Secret"),
    ("v1", "Service"),
    ("v1", "ConfigMap"),
    ("v1", "PersistentVolume"),
    ("v1", "PersistentVolumeClaim"),
    ("v1", "PodTemplate"),
    ("v1", "ReplicationController"),
    ("v1", "ResourceQuota"),
    ("apps/v1", "DaemonSet"),
    ("apps/v1", "Deployment"),
    ("apps/v1", "ReplicaSet"),
    ("apps/v1", "StatefulSet"),
    ("autoscaling.x-k8s.io/v1beta1", "CapacityBuffer"),
    ("batch/v1", "Job"),
    ("karpenter.sh/v1", "NodeClaim"),
    ("karpenter.sh/v1", "NodePool"),
    ("keda.sh/v1alpha1", "ScaledObject"),
    ("keda.sh/v1alpha1", "TriggerAuthentication"),
    ("kubescheduler.config.k8s.io/v1", scheduler::KIND),
    ("policy/v1", "PodDisruptionBudget"),
    ("scheduling.k8s.io/v1", "PriorityClass"),
    ("storage.k8s.io/v1", "CSINode"),
    ("storage.k8s.io/v1", "StorageClass"),
];

/// Whether a kind's objects have no namespace.
pub fn is_of_cluster(kind: &str) -> bool {
    let known =
        ["CSINode", "Namespace", "Node", "NodeClaim", "NodePool", "PersistentVolume", "PriorityClass", "StorageClass", scheduler::KIND];
    known.contains(&kind) || kind.ends_with("NodeClass")
}

/// An object as the type of its kind.
pub enum Object {
    Pod(Box<Pod>),
    Node(Box<Node>),
    Secret(Box<Secret>),
    ConfigMap(Box<ConfigMap>),
    Quota(Box<ResourceQuota>),
    DaemonSet(Box<DaemonSet>),
    Deployment(Box<Deployment>),
    ReplicaSet(Box<ReplicaSet>),
    StatefulSet(Box<StatefulSet>),
    Namespace(Box<Namespace>),
    Service(Box<Service>),
    Volume(Box<PersistentVolume>),
    Claim(Box<PersistentVolumeClaim>),
    StorageClass(Box<StorageClass>),
    NodeVolumes(Box<CSINode>),
    PriorityClass(Box<PriorityClass>),
    Budget(Box<PodDisruptionBudget>),
    PodTemplate(Box<PodTemplate>),
    Buffer(Box<CapacityBuffer>),
    Controller(Box<ReplicationController>),
    Job(Box<Job>),
    Scheduler(Box<Configuration>),
    NodeClaim(Box<NodeClaim>),
    NodePool(Box<NodePool>),
    NodeClass(ClassRef),
    Scaled(Box<ScaledObject>),
    Authentication(Box<TriggerAuthentication>),
}

impl Object {
    /// Its type. What the file leaves to others is filled in.
    pub fn of(document: &Document, uids: &Uids<'_>) -> Result<Self, Problem> {
        Ok(match document.kind.as_str() {
            "Pod" => Self::Pod(typed(document, uids)?),
            "Node" => Self::Node(typed(document, uids)?),
            "Secret" => Self::Secret(typed(document, uids).map_err(without_value)?),
            "ConfigMap" => Self::ConfigMap(typed(document, uids)?),
            "ResourceQuota" => Self::Quota(typed(document, uids)?),
            "DaemonSet" => Self::DaemonSet(typed(document, uids)?),
            "Deployment" => Self::Deployment(typed(document, uids)?),
            "ReplicaSet" => Self::ReplicaSet(typed(document, uids)?),
            "StatefulSet" => Self::StatefulSet(typed(document, uids)?),
            "Namespace" => Self::Namespace(typed(document, uids)?),
            "Service" => Self::Service(typed(document, uids)?),
            "PersistentVolume" => Self::Volume(typed(document, uids)?),
            "PersistentVolumeClaim" => Self::Claim(typed(document, uids)?),
            "StorageClass" => Self::StorageClass(typed(document, uids)?),
            "CSINode" => Self::NodeVolumes(typed(document, uids)?),
            "PriorityClass" => Self::PriorityClass(typed(document, uids)?),
            "PodDisruptionBudget" => Self::Budget(typed(document, uids)?),
            "PodTemplate" => Self::PodTemplate(typed(document, uids)?),
            "CapacityBuffer" => Self::Buffer(typed(document, uids)?),
            "ReplicationController" => Self::Controller(typed(document, uids)?),
            "Job" => Self::Job(typed(document, uids)?),
            scheduler::KIND => Self::Scheduler(typed(document, uids)?),
            "NodeClaim" => Self::NodeClaim(typed(document, uids)?),
            "NodePool" => Self::NodePool(typed(document, uids)?),
            "ScaledObject" => Self::Scaled(typed(document, uids)?),
            "TriggerAuthentication" => Self::Authentication(typed(document, uids)?),
            kind => Self::NodeClass(ClassRef { group: document.group().into(), kind: kind.into(), name: document.name.as_str().into() }),
        })
    }
}

fn typed<T: DeserializeOwned>(document: &Document, uids: &Uids<'_>) -> Result<Box<T>, Problem> {
    document.to(|json| complete::fill(json, document, uids)).map(Box::new).map_err(|fault| {
        let remedy = format!("{}; until then this object is left out", fault.remedy);
        Problem::new(fault.field, fault.what, remedy)
    })
}

/// The same of an object that holds secrets: where, and not what.
fn without_value(problem: Problem) -> Problem {
    Problem { what: "its value is not what this field holds".to_owned(), ..problem }
}
