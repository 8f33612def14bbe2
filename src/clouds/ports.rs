//! What a cloud needs of Kubernetes, as small traits that the daemon fills in.
//!
//! Each call is one request to the API server, at least as far as its outcome goes; none retries by itself, and each ends within
//! a bounded time. A call may be dropped half way, and its outcome is then unknown.

use async_trait::async_trait;
use k8s_openapi::api::core::v1::Node;
use serde::{Deserialize, Serialize};
use springtide_core::name::Name;
use springtide_core::nodes::claim::Machine;
use springtide_core::nodes::offer::{ClassRef, OfferingKey};
use springtide_core::nodes::requirement::Labels;
use springtide_core::nodes::taint::Taint;
use springtide_core::{Span, Timestamp};

/// Where a cloud without a memory of its own keeps its machines: one record for each claim, by the claim's name.
#[async_trait]
pub trait MachineStore: Send + Sync {
    /// Stores a record unless there is one for its claim's name, and answers with the one that is stored after that: this one or the earlier one.
    async fn put(&self, record: &MachineRecord) -> Result<MachineRecord, PortError>;

    /// Notes in the record when the claim's node was created, and answers whether there is a record of this name and UID; otherwise nothing changes, and
    /// above all no record comes back that was removed. Doing it again does no harm.
    async fn set_booted(&self, claim: &Name, claim_uid: &Name, at: Timestamp) -> Result<bool, PortError>;

    /// The record of this claim's name. Never older than this process's own last write.
    async fn get(&self, claim: &Name) -> Result<Option<MachineRecord>, PortError>;

    /// Removes the record of this claim's name; removing what is not there succeeds.
    async fn remove(&self, claim: &Name) -> Result<(), PortError>;

    /// All records.
    async fn all(&self) -> Result<Vec<MachineRecord>, PortError>;
}

/// Who creates and deletes Node objects for machines that have no kubelet.
#[async_trait]
pub trait NodeWriter: Send + Sync {
    /// Creates a node; that it exists already counts as success.
    async fn create(&self, node: &Node) -> Result<(), PortError>;

    /// Deletes a node; that there is none counts as success.
    async fn delete(&self, name: &Name) -> Result<(), PortError>;
}

/// Who reads KWOKNodeClasses.
#[async_trait]
pub trait ClassReader: Send + Sync {
    /// How long a machine of this KWOKNodeClass takes until its node registers (`spec.nodeRegistrationDelay`, 0 where it is not set); none where there is no
    /// such class.
    async fn registration_delay(&self, class: &Name) -> Result<Option<Span>, PortError>;
}

/// A machine that was sold, from the sale to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineRecord {
    /// The claim's name, which is also the node's.
    pub claim: Name,
    /// The claim's UID.
    pub claim_uid: Name,
    /// What was bought.
    pub offering: OfferingKey,
    /// Of which NodeClass.
    pub class: ClassRef,
    /// When it was bought.
    pub created: Timestamp,
    /// When its node appears.
    pub boots_at: Timestamp,
    /// When its node was created. From then on a node that is missing was deleted by somebody, and is not created again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub booted: Option<Timestamp>,
    /// The machine.
    pub machine: Machine,
    /// Labels of the node besides the machine's own.
    pub labels: Labels,
    /// Taints of the node.
    pub taints: Vec<Taint>,
    /// Taints of the node that somebody else takes away.
    pub startup_taints: Vec<Taint>,
}

/// Why a port could not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{operation}: {message}")]
pub struct PortError {
    /// What was tried, as a verb and its object: `create Node`.
    pub operation: &'static str,
    /// What came back.
    pub message: String,
    /// Whether the same request may succeed later. False for what the API server understood and refused.
    pub retry: bool,
}
