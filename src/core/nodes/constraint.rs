//! What pods may ask of the company that they keep: topology spread, pod affinity and anti-affinity, host ports, and preferences.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::requirement::Requirements;
use super::selector::SelectorId;
use crate::name::Name;

/// Label of a node's own name: each node is a domain of its own.
pub const HOSTNAME: &str = "kubernetes.io/hostname";

/// Pods of a selector in the same value of a label, or in none that has any.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Term {
    /// The label whose values are the domains.
    pub key: Name,
    /// Which pods.
    pub selector: SelectorId,
}

/// Pods of a selector evenly over the values of a label (`topologySpreadConstraints`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Spread {
    /// The label whose values are the domains.
    pub key: Name,
    /// Which pods are counted.
    pub selector: SelectorId,
    /// A domain may have so many more than the one that has fewest.
    pub max_skew: u32,
    /// With fewer domains than this the fewest are taken to be none.
    pub min_domains: Option<u32>,
    /// Whether only nodes that the pod's node selector and affinity allow are counted (`nodeAffinityPolicy: Honor`).
    pub by_affinity: bool,
    /// Whether only nodes whose taints the pod tolerates are counted (`nodeTaintsPolicy: Honor`).
    pub by_taints: bool,
}

/// A port of the node itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct HostPort {
    /// The address; empty for all of them.
    pub address: Name,
    /// The protocol, as Kubernetes spells it.
    pub protocol: Name,
    /// The port.
    pub port: u16,
}

impl HostPort {
    /// Whether one node cannot have both.
    #[must_use]
    pub fn clashes_with(&self, other: &Self) -> bool {
        let same_address = self.address == other.address || self.address.is_empty() || other.address.is_empty();
        same_address && self.port == other.port && self.protocol == other.protocol
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.address.is_empty() {
            write!(f, "{}/{}", self.port, self.protocol)
        } else {
            write!(f, "{}:{}/{}", self.address, self.port, self.protocol)
        }
    }
}

/// Something that would be good to have, heaviest first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Preference {
    /// 1 to 100; kube-scheduler adds up those that hold.
    pub weight: u32,
    /// What would be good to have.
    pub wish: Preferred,
}

/// What would be good to have.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Preferred {
    /// A node with such labels.
    Node(Requirements),
    /// Pods of a selector in the same domain.
    Near(Term),
    /// None of them in the same domain.
    Apart(Term),
    /// Them evenly over domains (`whenUnsatisfiable: ScheduleAnyway`); its weight is 0.
    Spread(Spread),
}
