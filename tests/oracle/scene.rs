//! A small cluster with pods that wait, all of it from a seed.

use serde_json::{Value, json};

use super::features::Features;
use super::market::{Type, market};
use super::nodes::{daemons, existing};
use super::pools::{Pool, pools};
use super::words::{NAMESPACE_TIER, NAMESPACES};
use super::workloads::workloads;

/// A cluster and what waits in it.
#[derive(Clone, Debug)]
pub struct Scene {
    /// Where it comes from.
    pub seed: u64,
    /// What can be bought.
    pub market: Vec<Type>,
    /// NodePools.
    pub pools: Vec<Pool>,
    /// DaemonSets.
    pub daemons: Vec<Value>,
    /// Nodes that are there.
    pub nodes: Vec<Value>,
    /// Pods that run on them.
    pub running: Vec<Value>,
    /// StorageClasses, volumes and claims.
    pub volumes: Vec<Value>,
    /// Pods that wait.
    pub waiting: Vec<Value>,
}

impl Scene {
    /// The scene of a seed, with these features and no others.
    pub fn of(seed: u64, features: Features) -> Self {
        let market = market(seed, features.has(Features::EXTENDED));
        let pools = pools(seed, features, &market);
        let daemons = daemons(seed, features);
        let (workloads, volumes) = workloads(seed, features, &pools);
        let (nodes, running) = existing(seed, features, &market, &pools, &daemons, &workloads);
        let waiting = workloads.iter().flat_map(|workload| workload.pods()).collect();
        Self { seed, market, pools, daemons, nodes, running, volumes, waiting }
    }

    /// All objects, as one would apply them.
    pub fn objects(&self) -> Vec<Value> {
        let class = json!({"apiVersion": "karpenter.kwok.sh/v1alpha1", "kind": "KWOKNodeClass", "metadata": {"name": "default"}});
        let pools = self.pools.iter().map(Pool::object);
        let rest = [&self.daemons, &self.nodes, &self.running, &self.volumes, &self.waiting].into_iter().flatten().cloned();
        std::iter::once(class).chain(namespaces()).chain(pools).chain(rest).collect()
    }
}

/// The namespaces of all scenes.
pub fn namespaces() -> impl Iterator<Item = Value> {
    let object = |name: &str, tier: &str| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {NAMESPACE_TIER: tier}}});
    NAMESPACES.into_iter().map(move |(name, tier)| object(name, tier))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_always_the_same_scene() {
        for seed in 0..20 {
            assert_eq!(Scene::of(seed, Features::ALL).objects(), Scene::of(seed, Features::ALL).objects());
        }
    }

    #[test]
    fn a_feature_that_is_left_out_changes_nothing_else() {
        let without_spread = Features::parse("labels,taints,containers,affinity,anti-affinity,ports").expect("features");
        for seed in 0..20 {
            let (with, without) = (Scene::of(seed, without_spread.with(Features::SPREAD)), Scene::of(seed, without_spread));
            let plain = |scene: &Scene| -> Vec<Value> {
                let strip = |mut pod: Value| {
                    pod["spec"].as_object_mut().map(|spec| spec.remove("topologySpreadConstraints"));
                    pod
                };
                scene.objects().into_iter().map(strip).collect()
            };
            assert_eq!(plain(&with), plain(&without), "seed {seed}");
        }
    }

    /// A constraint that never occurs is never tried.
    #[test]
    fn every_constraint_occurs() {
        let all: String = (0..100).map(|seed| json!(Scene::of(seed, Features::ALL).objects()).to_string()).collect();
        let words = [
            "\"In\"",
            "NotIn",
            "\"Exists\"",
            "DoesNotExist",
            "\"Gt\"",
            "\"Lt\"",
            "matchFields",
            "nodeSelector",
            "minDomains",
            "matchLabelKeys",
            "mismatchLabelKeys",
            "nodeAffinityPolicy",
            "nodeTaintsPolicy",
            "DoNotSchedule",
            "ScheduleAnyway",
            "podAffinity",
            "podAntiAffinity",
            "preferredDuringScheduling",
            "namespaceSelector",
            "namespaces",
            "hostPort",
            "hostIP",
            "UDP",
            "initContainers",
            "restartPolicy",
            "overhead",
            "priority",
            "schedulingGates",
            "example.com/gpu",
            "ephemeral-storage",
            "startupTaints",
            "PreferNoSchedule",
            "NoExecute",
            "unschedulable",
            "allowedTopologies",
            "WaitForFirstConsumer",
            "Immediate",
            "PersistentVolume\"",
            "DaemonSet",
            "\"weight\"",
            "\"limits\"",
        ];
        let missing: Vec<&str> = words.into_iter().filter(|word| !all.contains(word)).collect();
        assert!(missing.is_empty(), "no scene has {missing:?}");
    }
}
