//! Scale targets as the planner sees them: how many pods they are to have, what those pods look like, and what keeps them from coming.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::resources::Resources;
use super::selector::Identity;
use super::shape::ShapeId;
use crate::name::{Key, Name};
use crate::units::Replicas;

/// Which object is scaled.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct WorkloadKey {
    /// Its kind.
    pub kind: Name,
    /// Its name.
    pub key: Key,
}

impl fmt::Display for WorkloadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.key)
    }
}

/// A scale target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workload {
    /// Its UID.
    pub uid: Name,
    /// Its resource version.
    pub version: u64,
    /// `spec.replicas`.
    pub replicas: Replicas,
    /// `status.replicas`: pods that its controller has made.
    pub existing: Replicas,
    /// Pods that are ready, by its status.
    pub ready: Replicas,
    /// The hash of its pod template.
    pub template: Name,
    /// The newest revision that its controller has acted on (a Deployment's annotation), or 0.
    pub revision: u64,
    /// Whether it starts one pod after another (a StatefulSet in order).
    pub one_by_one: bool,
    /// Why its controller cannot make pods, where it says so.
    pub failure: Option<String>,
    /// The number that we are writing and whose answer has not come.
    pub writing: Option<Replicas>,
}

/// A ReplicaSet, which stands between a Deployment and its pods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaSet {
    /// UID of the object that controls it.
    pub owner: Option<Name>,
    /// Its revision of that object.
    pub revision: u64,
}

/// What a pod made from a template looks like once admission has had its say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Template {
    /// Like this.
    Pod {
        /// How it schedules.
        shape: ShapeId,
        /// What selectors ask of it.
        identity: Arc<Identity>,
        /// Its limits, which quotas may bound.
        limits: Resources,
    },
    /// It would be refused.
    Refused(String),
}

/// A ResourceQuota. Amounts by the quota's own names, CPU in millicores, all else in whole units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quota {
    /// The most that is allowed.
    pub hard: BTreeMap<Name, i64>,
    /// What is used, by its status.
    pub used: BTreeMap<Name, i64>,
    /// Whether it speaks of some pods only. Such a quota is not counted beforehand; its refusals are seen at the workload.
    pub scoped: bool,
}

impl Quota {
    /// How many more pods of this size it leaves room for. `existing` is what the pods that we know of ask for together: the quota's own status may lag.
    #[must_use]
    pub fn room_for(&self, requests: &Resources, limits: &Resources, existing: &Resources) -> u32 {
        if self.scoped {
            return u32::MAX;
        }
        self.hard
            .iter()
            .filter_map(|(name, hard)| {
                let (want, seen) = match name.as_str() {
                    "pods" | "count/pods" => (1, existing.pods),
                    "cpu" | "memory" | "ephemeral-storage" => (requests.get(name), existing.get(name)),
                    other => match other.split_once('.') {
                        Some(("requests", resource)) => (requests.get(resource), existing.get(resource)),
                        Some(("limits", resource)) => (limits.get(resource), 0),
                        _ => return None,
                    },
                };
                let used = self.used.get(name).copied().unwrap_or(0).max(seen);
                (want > 0).then(|| u32::try_from((hard.saturating_sub(used) / want).max(0)).unwrap_or(u32::MAX))
            })
            .min()
            .unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::MilliCpu;

    #[test]
    fn a_quota_leaves_room_by_its_scarcest_resource_and_believes_the_larger_count() {
        let amounts = |pairs: &[(&str, i64)]| pairs.iter().map(|(name, amount)| (Name::from(*name), *amount)).collect();
        let quota = Quota { hard: amounts(&[("pods", 5), ("requests.cpu", 10_000)]), used: amounts(&[("pods", 1)]), scoped: false };
        let pod = Resources { cpu: MilliCpu(1000), pods: 1, ..Resources::default() };
        let none = Resources::default();
        assert_eq!(quota.room_for(&pod, &none, &none), 4);
        let three = Resources { cpu: MilliCpu(9000), pods: 3, ..Resources::default() };
        assert_eq!(quota.room_for(&pod, &none, &three), 1);
        assert_eq!(Quota { scoped: true, ..quota }.room_for(&pod, &none, &three), u32::MAX);
    }
}
