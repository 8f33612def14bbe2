//! Names for pods that the decider only counts. Of pods that schedule alike, those that exist come first, by name, then those that are still to be made.

use std::collections::{BTreeMap, VecDeque};

use springtide_core::name::Key;
use springtide_core::nodes::cluster::{Cluster, PodRole};
use springtide_core::nodes::intent::Intent;
use springtide_core::nodes::shape::ShapeId;

/// Names that have not been given away, by shape.
pub struct Names(BTreeMap<ShapeId, VecDeque<String>>);

impl Names {
    /// The names of all pods that wait: pods that exist, `NAMESPACE/WORKLOAD-(new-N)` for replicas without a pod, `NAMESPACE/POD-(moved)` for what takes the
    /// place of a pod whose node goes, and `NAMESPACE/BUFFER-(room-N)` for what a CapacityBuffer keeps ready. No pod can be called so.
    pub fn of(cluster: &Cluster, intents: &[Intent]) -> Self {
        let mut names: BTreeMap<ShapeId, VecDeque<String>> = BTreeMap::new();
        for (shape, pods) in cluster.waiting() {
            names.entry(*shape).or_default().extend(pods.iter().map(ToString::to_string));
        }
        for intent in intents {
            names.entry(intent.shape).or_default().extend(numbered(&intent.workload.key, "new", intent.count));
        }
        let going = cluster.claims.values().filter(|claim| claim.is_going()).filter_map(|claim| cluster.node_of(claim));
        for key in going.flat_map(|(node, _)| cluster.load(node).into_iter().flat_map(|load| &load.pods)) {
            if let Some(pod) = cluster.pods.get(key).filter(|pod| pod.counts() && pod.role == PodRole::Work && pod.controller.is_some()) {
                names.entry(pod.shape).or_default().push_back(format!("{key}-(moved)"));
            }
        }
        for (key, (shape, count)) in &cluster.buffers {
            names.entry(*shape).or_default().extend(numbered(key, "room", *count));
        }
        Self(names)
    }

    /// The next names of this shape.
    pub fn take(&mut self, shape: ShapeId, count: u32) -> Vec<String> {
        let left = self.0.entry(shape).or_default();
        // The decider counts what is counted here; were it to count more, those would be nameless rather than lost.
        (1..=count).map(|n| left.pop_front().unwrap_or_else(|| format!("(nameless-{n})"))).collect()
    }
}

/// Names for so many pods that do not exist, in the order of their numbers.
fn numbered(key: &Key, what: &str, count: u32) -> impl Iterator<Item = String> {
    let width = count.to_string().len();
    (1..=count).map(move |n| format!("{key}-({what}-{n:0width$})"))
}
