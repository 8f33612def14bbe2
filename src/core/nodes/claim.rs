//! A NodeClaim as the planner sees it: a machine that is wanted, launching, running or on its way out.

use serde::{Deserialize, Serialize};

use super::offer::{CapacityType, ClassRef};
use super::requirement::{Labels, Requirements};
use super::resources::Resources;
use super::taint::Taint;
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
    /// What it will offer to pods, at the least: of the first type in the list, until the machine is known.
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
            ended: false,
        }
    }

    /// What it offers to pods until its node speaks for itself.
    #[must_use]
    pub fn offers(&self) -> &Resources {
        self.machine.as_ref().map_or(&self.spec.promise, |machine| &machine.allocatable)
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
            if let Some(values) = wish.listed().filter(|values| values.len() == 1) {
                labels.extend(values.iter().map(|value| (key.clone(), value.clone())));
            }
        }
        if let Some(machine) = &self.machine {
            labels.extend(machine.labels.clone());
        }
        labels
    }

    /// Takes over what only we know: a machine that the cloud has sold us and that the object's status does not tell of yet.
    pub(crate) fn keep_knowledge_of(&mut self, known: &Self) {
        if self.uid.is_none() || known.uid.is_none() || self.uid == known.uid {
            self.ended |= known.ended;
            if self.machine.is_none() {
                self.machine.clone_from(&known.machine);
            }
            if self.spec.promise == Resources::default() {
                self.spec.promise.clone_from(&known.spec.promise);
                self.spec.price = known.spec.price;
            }
        }
    }
}
