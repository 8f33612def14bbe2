//! What is to be done, as ordered values that print and leave no choice to whoever carries them out.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::name::{Key, Name};
use crate::nodes::claim::{ClaimSpec, Machine};
use crate::nodes::offer::OfferingKey;
use crate::nodes::pool::DisruptionReason;
use crate::nodes::shape::ShapeId;
use crate::nodes::workload::WorkloadKey;
use crate::reason::{IntentReason, NoNode, ScaleReason};
use crate::units::{MicroDollarsPerHour, Replicas};

/// One turn's answer for the nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// What to do, in this order where order matters.
    pub actions: Vec<Action>,
    /// Where waiting pods are expected to run.
    pub placements: Vec<Placement>,
    /// Waiting pods for which there is no node, and why.
    pub unplaced: Vec<Unplaced>,
    /// Replicas that are wanted but not counted on, and why.
    pub withheld: Vec<(WorkloadKey, IntentReason)>,
    /// The earliest moment at which time alone may change this answer.
    pub look_again: Option<Timestamp>,
}

/// Pods of one shape on one node or claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// The node's or claim's name.
    pub on: Name,
    /// Their shape.
    pub shape: ShapeId,
    /// How many.
    pub count: u32,
}

impl Plan {
    /// What goes onto each node or claim: shapes, and how many pods of each.
    #[must_use]
    pub fn by_place(&self) -> BTreeMap<&Name, Vec<(ShapeId, u32)>> {
        let mut places: BTreeMap<&Name, Vec<(ShapeId, u32)>> = BTreeMap::new();
        for placement in &self.placements {
            places.entry(&placement.on).or_default().push((placement.shape, placement.count));
        }
        places
    }
}

/// Pods of one shape that get no node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unplaced {
    /// Their shape.
    pub shape: ShapeId,
    /// How many.
    pub count: u32,
    /// Why, pool by pool.
    pub reasons: Vec<NoNode>,
}

/// One thing to do. Each is idempotent: carried out twice, it does nothing the second time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// Set the replicas of a target, unless it has changed since.
    Scale {
        /// The target.
        workload: WorkloadKey,
        /// The resource version that was decided on.
        version: u64,
        /// The replicas that it has.
        from: Replicas,
        /// The replicas that it is to have.
        to: Replicas,
        /// Why.
        reasons: Vec<ScaleReason>,
    },
    /// Delete an autoscaler that KEDA left on a target that is scaled here now.
    RemoveAutoscaler {
        /// Its name.
        autoscaler: Key,
    },
    /// Take KEDA's finalizer off an object that is being deleted.
    ReleaseScaled {
        /// Its name.
        object: Key,
    },
    /// Ask the API server what a pod of this template would look like, without making one.
    Probe {
        /// The target.
        workload: WorkloadKey,
        /// The hash of its template.
        template: Name,
    },
    /// Create a NodeClaim.
    CreateClaim {
        /// Its name.
        name: Name,
        /// What it asks for.
        spec: Box<ClaimSpec>,
    },
    /// Buy the machine of a claim: the first of these that the cloud sells.
    Launch {
        /// The claim.
        claim: Name,
        /// Its UID.
        uid: Name,
        /// Offerings in order of preference.
        offerings: Vec<OfferingKey>,
    },
    /// Write into the claim's status that its machine was bought.
    RecordLaunch {
        /// The claim.
        claim: Name,
        /// Its UID.
        uid: Name,
        /// The machine.
        machine: Box<Machine>,
    },
    /// Give the node its labels, taints, finalizer and owner.
    Register {
        /// The claim.
        claim: Name,
        /// The node.
        node: Name,
    },
    /// Write into the claim's status that its node has registered.
    RecordRegistration {
        /// The claim.
        claim: Name,
        /// The node.
        node: Name,
    },
    /// Mark the node and its claim as ready for pods.
    Initialize {
        /// The claim.
        claim: Name,
        /// The node.
        node: Name,
    },
    /// Write into the claim's status that its node is ready for pods.
    RecordInitialization {
        /// The claim.
        claim: Name,
    },
    /// Keep new pods off a node that is to go.
    Cordon {
        /// The node.
        node: Name,
        /// Why it is to go.
        reason: Why,
    },
    /// Let pods onto the node again: it is needed after all.
    Uncordon {
        /// The node.
        node: Name,
    },
    /// Ask the API server which pods are on the node now, past any watch that lags.
    Inspect {
        /// The node.
        node: Name,
    },
    /// Delete a claim; its finalizer then waits for the machine's end.
    DeleteClaim {
        /// The claim.
        claim: Name,
        /// Its UID.
        uid: Name,
        /// Why.
        reason: Why,
    },
    /// Ask a pod to leave, by the eviction API, which obeys disruption budgets.
    Evict {
        /// The pod.
        pod: Key,
        /// Its UID.
        uid: Name,
    },
    /// End the machine of a claim.
    Terminate {
        /// The claim.
        claim: Name,
        /// The machine; none where none is known to have been bought.
        provider_id: Option<Name>,
    },
    /// Delete the node of a machine that has ended, its finalizer first.
    RemoveNode {
        /// The node.
        node: Name,
    },
    /// Take our finalizer off a claim whose machine has ended.
    ReleaseClaim {
        /// The claim.
        claim: Name,
        /// Its UID.
        uid: Name,
    },
}

/// Why a node or claim is to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Why {
    /// By our own choice.
    Disruption(DisruptionReason),
    /// Its machine was not sold within the time for it.
    NotLaunched,
    /// Its node did not appear within the time for it.
    NotRegistered,
    /// No offering of it is in stock.
    OutOfStock,
    /// Its cloud sells nothing that answers its requirements.
    NothingSold,
    /// It has lived as long as its pool allows.
    Expired,
    /// Its pool is gone.
    PoolGone,
    /// The cloud takes its machine back soon.
    Interrupted,
    /// The cloud has taken its machine away, or it has failed.
    MachineEnded,
    /// Its node was deleted by another hand.
    NodeDeleted,
    /// Its claim is being deleted, by us a moment ago or by another hand.
    ClaimDeleted,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Disruption(DisruptionReason::Empty) => "no pod that does work is left on it",
            Self::Disruption(DisruptionReason::Underutilized) => "its pods fit elsewhere at less cost",
            Self::Disruption(DisruptionReason::Drifted) => "it no longer matches its pool",
            Self::NotLaunched => "the cloud has not sold its machine in time",
            Self::NotRegistered => "its node has not appeared in time",
            Self::OutOfStock => "every offering of it is out of stock",
            Self::NothingSold => "its cloud sells nothing that answers its requirements",
            Self::Expired => "it has reached the age at which its pool replaces nodes",
            Self::PoolGone => "its NodePool was deleted",
            Self::Interrupted => "the cloud takes its machine back",
            Self::MachineEnded => "its machine is no more",
            Self::NodeDeleted => "its node was deleted",
            Self::ClaimDeleted => "its NodeClaim is being deleted",
        })
    }
}

/// What an action is about: while one is on its way, no other of the same key is begun.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActionKey(String);

impl Action {
    /// What it is about.
    #[must_use]
    pub fn key(&self) -> ActionKey {
        ActionKey(match self {
            Self::Scale { workload, .. } => format!("scale {workload}"),
            Self::RemoveAutoscaler { autoscaler } => format!("autoscaler {autoscaler}"),
            Self::ReleaseScaled { object } => format!("scaled {object} release"),
            Self::Probe { template, .. } => format!("probe {template}"),
            Self::CreateClaim { name, .. } => format!("claim {name} create"),
            Self::Launch { claim, .. } => format!("claim {claim} launch"),
            Self::RecordLaunch { claim, .. } | Self::RecordRegistration { claim, .. } | Self::RecordInitialization { claim } => {
                format!("claim {claim} status")
            }
            Self::Register { node, .. }
            | Self::Initialize { node, .. }
            | Self::Cordon { node, .. }
            | Self::Uncordon { node }
            | Self::RemoveNode { node } => format!("node {node}"),
            Self::Inspect { node } => format!("node {node} inspect"),
            Self::DeleteClaim { claim, .. } => format!("claim {claim} delete"),
            Self::Evict { uid, .. } => format!("evict {uid}"),
            Self::Terminate { claim, .. } => format!("claim {claim} terminate"),
            Self::ReleaseClaim { claim, .. } => format!("claim {claim} release"),
        })
    }
}

impl Action {
    /// What kind of action it is, for counting.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Scale { .. } => "scale",
            Self::RemoveAutoscaler { .. } => "remove_autoscaler",
            Self::ReleaseScaled { .. } => "release_scaled",
            Self::Probe { .. } => "probe",
            Self::CreateClaim { .. } => "create_claim",
            Self::Launch { .. } => "launch",
            Self::RecordLaunch { .. } => "record_launch",
            Self::Register { .. } => "register",
            Self::RecordRegistration { .. } => "record_registration",
            Self::Initialize { .. } => "initialize",
            Self::RecordInitialization { .. } => "record_initialization",
            Self::Cordon { .. } => "cordon",
            Self::Uncordon { .. } => "uncordon",
            Self::Inspect { .. } => "inspect",
            Self::DeleteClaim { .. } => "delete_claim",
            Self::Evict { .. } => "evict",
            Self::Terminate { .. } => "terminate",
            Self::RemoveNode { .. } => "remove_node",
            Self::ReleaseClaim { .. } => "release_claim",
        }
    }

    /// The node that it concerns, where it names one.
    #[must_use]
    pub const fn node(&self) -> Option<&Name> {
        match self {
            Self::Register { node, .. }
            | Self::RecordRegistration { node, .. }
            | Self::Initialize { node, .. }
            | Self::Cordon { node, .. }
            | Self::Uncordon { node }
            | Self::Inspect { node }
            | Self::RemoveNode { node } => Some(node),
            _ => None,
        }
    }

    /// The claim that it concerns, where it names one.
    #[must_use]
    pub const fn claim(&self) -> Option<&Name> {
        match self {
            Self::CreateClaim { name: claim, .. }
            | Self::Launch { claim, .. }
            | Self::RecordLaunch { claim, .. }
            | Self::Register { claim, .. }
            | Self::RecordRegistration { claim, .. }
            | Self::Initialize { claim, .. }
            | Self::RecordInitialization { claim }
            | Self::DeleteClaim { claim, .. }
            | Self::Terminate { claim, .. }
            | Self::ReleaseClaim { claim, .. } => Some(claim),
            Self::Scale { .. }
            | Self::RemoveAutoscaler { .. }
            | Self::ReleaseScaled { .. }
            | Self::Probe { .. }
            | Self::Cordon { .. }
            | Self::Uncordon { .. }
            | Self::Inspect { .. }
            | Self::Evict { .. }
            | Self::RemoveNode { .. } => None,
        }
    }
}

impl fmt::Display for ActionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scale { workload, from, to, .. } => write!(f, "scale {workload} from {from} to {to}"),
            Self::RemoveAutoscaler { autoscaler } => write!(f, "delete HorizontalPodAutoscaler {autoscaler}, which KEDA left"),
            Self::ReleaseScaled { object } => write!(f, "release ScaledObject {object}"),
            Self::Probe { workload, .. } => write!(f, "ask what a pod of {workload} looks like"),
            Self::CreateClaim { name, spec } => {
                write!(
                    f,
                    "start {name} of pool {}: {} at {} USD/h",
                    spec.pool,
                    spec.types.first().map_or("any type", |t| t.as_str()),
                    price(spec.price)
                )
            }
            Self::Launch { claim, offerings, .. } => match offerings.first() {
                Some(first) => write!(f, "buy {first} for {claim}"),
                None => write!(f, "buy a machine for {claim}"),
            },
            Self::RecordLaunch { claim, machine, .. } => write!(f, "record machine {} of {claim}", machine.provider_id),
            Self::Register { claim, node } => write!(f, "register {node} for {claim}"),
            Self::RecordRegistration { claim, node } => write!(f, "record that {node} of {claim} has registered"),
            Self::Initialize { claim, node } => write!(f, "mark {node} of {claim} initialized"),
            Self::RecordInitialization { claim } => write!(f, "record that {claim} is initialized"),
            Self::Cordon { node, reason } => write!(f, "keep new pods off {node}: {reason}"),
            Self::Uncordon { node } => write!(f, "let pods onto {node} again"),
            Self::Inspect { node } => write!(f, "look which pods are on {node}"),
            Self::DeleteClaim { claim, reason, .. } => write!(f, "delete {claim}: {reason}"),
            Self::Evict { pod, .. } => write!(f, "evict {pod}"),
            Self::Terminate { claim, .. } => write!(f, "end the machine of {claim}"),
            Self::RemoveNode { node } => write!(f, "remove node {node}"),
            Self::ReleaseClaim { claim, .. } => write!(f, "release {claim}"),
        }
    }
}

fn price(price: MicroDollarsPerHour) -> String {
    format!("{price}")
}
