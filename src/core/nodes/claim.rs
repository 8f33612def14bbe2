//! A NodeClaim as the planner sees it: a machine that is wanted, launching, running or on its way out.

use serde::{Deserialize, Serialize};

use super::offer::{CapacityType, ClassRef};
use super::requirement::{Labels, Requirements};
use super::resources::Resources;
use super::shape::ShapeId;
use super::taint::Taint;
use super::{CAPACITY_TYPE, INSTANCE_TYPE, NODE_POOL, ZONE, well_known};
use crate::name::Name;
use crate::units::MicroDollarsPerHour;
use crate::{Span, Timestamp};

/// A NodeClaim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// Its UID; none while it is planned and not known to exist.
    pub uid: Option<Name>,
    /// Its resource version.
    pub version: u64,
    /// What was asked for.
    pub spec: ClaimSpec,
    /// When it was planned or created.
    pub created: Timestamp,
    /// When its deletion began.
    pub deleting_since: Option<Timestamp>,
    /// Whether our finalizer is on it.
    pub finalized: bool,
    /// The machine, from the moment that the cloud has sold it.
    pub machine: Option<Machine>,
    /// The machine's identity where the status tells it.
    pub provider_id: Option<Name>,
    /// The node's name once it has registered.
    pub node_name: Option<Name>,
    /// What the status says of its progress.
    pub progress: Progress,
    /// The pods that it was planned for, by shape. They go there first, so that a turn which repeats finds each of them the place that it had; nothing is kept
    /// free for them. Its loss makes the next turns pack anew what still waits.
    #[serde(skip)]
    pub meant_for: Vec<(ShapeId, u32)>,
    /// The cloud has said that it takes the machine back at this moment.
    pub interrupted: Option<Timestamp>,
    /// The cloud has said that the machine is no more.
    pub ended: bool,
}

/// What is asked for, and cannot change any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimSpec {
    /// The pool; empty for a claim that somebody made by hand.
    pub pool: Name,
    /// In the cloud's words, what kind of machine.
    pub class: ClassRef,
    /// What the machine must be.
    pub wishes: Requirements,
    /// Instance types in order of preference; empty where the wishes do not list any.
    pub types: Vec<Name>,
    /// What has to fit on it, DaemonSets included.
    pub requests: Resources,
    /// What it will offer to pods, at the least, whichever of the types is bought. DaemonSets' share, as far as labels and wishes tell it, is still to be
    /// taken off. Empty where only the API server's object is known.
    pub promise: Resources,
    /// What its first choice costs.
    pub price: MicroDollarsPerHour,
    /// Labels that the node will have.
    pub labels: Labels,
    /// Annotations that the node will have.
    pub annotations: Labels,
    /// Taints that the node keeps.
    pub taints: Vec<Taint>,
    /// Taints that somebody else takes away.
    pub startup_taints: Vec<Taint>,
    /// The node lives no longer than this.
    pub expire_after: Option<Span>,
    /// Draining takes no longer than this.
    pub termination_grace_period: Option<Span>,
    /// The hash of the pool's template that it was made from.
    pub hash: Name,
}

/// A machine that a cloud has sold us.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Its identity, as the node's `spec.providerID` will say it.
    pub provider_id: Name,
    /// Its type.
    pub instance_type: Name,
    /// Its zone.
    pub zone: Name,
    /// How it is paid for.
    pub capacity_type: CapacityType,
    /// What it costs.
    pub price: MicroDollarsPerHour,
    /// All that it has.
    pub capacity: Resources,
    /// What it has for pods.
    pub allocatable: Resources,
    /// Labels that the node will have besides those of the claim.
    pub labels: Labels,
}

/// How far a claim has come, by its conditions, and since when.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The cloud has sold the machine.
    pub launched: Option<Timestamp>,
    /// The node has appeared and carries its labels and taints.
    pub registered: Option<Timestamp>,
    /// The node is ready for pods.
    pub initialized: Option<Timestamp>,
}

impl Claim {
    /// A claim that is planned and does not exist yet.
    #[must_use]
    pub const fn planned(spec: ClaimSpec, now: Timestamp) -> Self {
        Self {
            uid: None,
            version: 0,
            spec,
            created: now,
            deleting_since: None,
            finalized: false,
            machine: None,
            provider_id: None,
            node_name: None,
            progress: Progress { launched: None, registered: None, initialized: None },
            meant_for: Vec::new(),
            interrupted: None,
            ended: false,
        }
    }

    /// Whether it will hold no new pod: it is being deleted, or its machine goes or is gone.
    #[must_use]
    pub const fn is_going(&self) -> bool {
        self.deleting_since.is_some() || self.interrupted.is_some() || self.ended
    }

    /// What it offers to pods until its node speaks for itself.
    #[must_use]
    pub fn offers(&self) -> &Resources {
        // A claim that was read back from the API server has lost its promise; what has to fit on it is there at the least.
        let promise = if self.spec.promise == Resources::default() { &self.spec.requests } else { &self.spec.promise };
        self.machine.as_ref().map_or(promise, |machine| &machine.allocatable)
    }

    /// What it costs an hour.
    #[must_use]
    pub fn price(&self) -> MicroDollarsPerHour {
        self.machine.as_ref().map_or(self.spec.price, |machine| machine.price)
    }

    /// Labels that its node has or will have, as far as they are known.
    #[must_use]
    pub fn labels(&self) -> Labels {
        let mut labels = self.spec.labels.clone();
        for (key, wish) in &self.spec.wishes.0 {
            // Of a label of the pool's own with several values the node gets one, as in Karpenter; a machine's label is known with the machine.
            let settled = wish.listed().is_some_and(|values| values.len() == 1) || self.machine.is_some() && !well_known(key);
            if let Some(value) = wish.settled().filter(|_| settled) {
                labels.insert(key.clone(), value);
            }
        }
        if !self.spec.pool.is_empty() {
            labels.insert(NODE_POOL.into(), self.spec.pool.clone());
        }
        if let Some(machine) = &self.machine {
            labels.insert(INSTANCE_TYPE.into(), machine.instance_type.clone());
            labels.insert(ZONE.into(), machine.zone.clone());
            labels.insert(CAPACITY_TYPE.into(), machine.capacity_type.label().into());
            labels.extend(machine.labels.clone());
        }
        labels
    }

    /// Takes over what only we know: a machine that the cloud has sold us and that the object's status does not tell of yet.
    pub(crate) fn keep_knowledge_of(&mut self, known: &Self) {
        if self.uid.is_none() || known.uid.is_none() || self.uid == known.uid {
            self.ended |= known.ended;
            self.interrupted = self.interrupted.or(known.interrupted);
            if self.meant_for.is_empty() {
                self.meant_for.clone_from(&known.meant_for);
            }
            if self.machine.is_none() {
                self.machine.clone_from(&known.machine);
            }
            // An object tells what has to fit; what the first choice offers beyond that is known to whoever planned it.
            if !known.spec.promise.fits(&self.spec.promise) {
                self.spec.promise.clone_from(&known.spec.promise);
            }
            if self.spec.price.0 == 0 {
                self.spec.price = known.spec.price;
            }
        }
    }
}
