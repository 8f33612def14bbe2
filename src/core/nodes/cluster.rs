//! The index of the cluster: fed by events (`apply`, `delete`, `reset`), read by decisions, never rebuilt.
//!
//! An object that is older than the one that is known is ignored, so that the answer to our own write, which is applied at once, is not undone by a watch
//! that lags behind.

use std::collections::{BTreeMap, BTreeSet};

use super::claim::Claim;
use super::offer::ClassRef;
pub use super::pod::{Pod, PodPhase, PodRole};
use super::pool::Pool;
use super::requirement::Labels;
use super::resources::Resources;
use super::selector::SelectorId;
use super::shape::{ShapeId, Shapes};
use super::storage::Storage;
use super::taint::Taint;
use super::workload::{Quota, ReplicaSet, Template, Workload, WorkloadKey};
use crate::Timestamp;
use crate::name::{Key, Name};

/// A node, ours or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its UID.
    pub uid: Name,
    /// Its resource version.
    pub version: u64,
    /// The machine that it stands for.
    pub provider_id: Name,
    /// Its labels.
    pub labels: Labels,
    /// Its taints.
    pub taints: Vec<Taint>,
    /// What it has for pods.
    pub allocatable: Resources,
    /// Whether its kubelet says that it is ready.
    pub ready: bool,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// Whether our finalizer is on it.
    pub finalized: bool,
    /// Whether it asks not to be disrupted.
    pub do_not_disrupt: bool,
}

/// What runs on one node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Load {
    /// What its living pods ask for.
    pub used: Resources,
    /// The DaemonSets' part of it.
    pub used_by_daemons: Resources,
    /// Its living pods.
    pub pods: BTreeSet<Key>,
    /// How many of them there are of each shape.
    pub shapes: BTreeMap<ShapeId, u32>,
    /// How many of those are on their way out.
    pub leaving: BTreeMap<ShapeId, u32>,
    /// How many of them do work.
    pub working: u32,
    /// When its pods last changed.
    pub changed: Option<Timestamp>,
}

/// A PodDisruptionBudget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PodBudget {
    /// Whose pods it protects.
    pub selector: SelectorId,
    /// Whether it never lets any of them go, whatever their number: none may be unavailable, or all must be available.
    pub blocks: bool,
}

/// How many pods one controller has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Those that count as replicas.
    pub alive: u32,
    /// Those of them that are running and ready.
    pub ready: u32,
}

/// The index.
#[derive(Debug, Clone, Default)]
pub struct Cluster {
    /// Every shape that any pod or template has.
    pub shapes: Shapes,
    /// Pods by name.
    pub pods: BTreeMap<Key, Pod>,
    /// Nodes by name.
    pub nodes: BTreeMap<Name, Node>,
    /// NodeClaims by name, those included that are planned and not created yet.
    pub claims: BTreeMap<Name, Claim>,
    /// NodePools by name.
    pub pools: BTreeMap<Name, Pool>,
    /// DaemonSets' shapes by name.
    pub daemons: BTreeMap<Key, ShapeId>,
    /// Scale targets that somebody wants scaled.
    pub workloads: BTreeMap<WorkloadKey, Workload>,
    /// ReplicaSets by UID.
    pub replica_sets: BTreeMap<Name, ReplicaSet>,
    /// Quotas by name.
    pub quotas: BTreeMap<Key, Quota>,
    /// What a pod made from a template looks like, by the template's hash.
    pub templates: BTreeMap<Name, Template>,
    /// Volumes, and what makes them.
    pub storage: Storage,
    /// Room that is kept ready for pods to come (CapacityBuffers), by name: for pods of which shape, and how many.
    pub buffers: BTreeMap<Key, (ShapeId, u32)>,
    /// PodDisruptionBudgets by name.
    pub budgets: BTreeMap<Key, PodBudget>,
    /// NodeClasses that exist.
    pub classes: BTreeSet<ClassRef>,
    loads: BTreeMap<Name, Load>,
    counts: BTreeMap<Name, Counts>,
    newest: BTreeMap<Name, BTreeMap<(Timestamp, Key), ShapeId>>,
    waiting: BTreeMap<ShapeId, BTreeSet<Key>>,
    namespaces: BTreeMap<Name, Resources>,
    sets_of: BTreeMap<Name, BTreeSet<Name>>,
    by_provider: BTreeMap<Name, Name>,
    classified: u64,
}

impl Cluster {
    /// Tells pods apart anew where selectors have appeared or namespaces have changed since the last time: before each decision. What has not changed costs
    /// nothing.
    pub fn classify(&mut self, now: Timestamp) {
        if self.classified == self.shapes.generation() {
            return;
        }
        let mut moved: BTreeMap<ShapeId, ShapeId> = BTreeMap::new();
        let mut changed = Vec::new();
        for (key, pod) in &self.pods {
            let shape = self.shapes.classify(pod.shape, &pod.identity);
            if shape != pod.shape {
                moved.entry(pod.shape).or_insert(shape);
                changed.push((key.clone(), Pod { shape, ..pod.clone() }));
            }
        }
        for (key, pod) in changed {
            self.replace_pod(now, key, pod);
        }
        for template in self.templates.values_mut() {
            if let Template::Pod { shape, identity, .. } = template {
                *shape = self.shapes.classify(*shape, identity);
            }
        }
        // Pods that a machine was bought for are the same pods as before.
        for meant in self.claims.values_mut().flat_map(|claim| &mut claim.meant_for) {
            meant.0 = moved.get(&meant.0).copied().unwrap_or(meant.0);
        }
        self.classified = self.shapes.generation();
    }

    /// Whether a budget keeps this pod where it is, whatever happens to its node.
    #[must_use]
    pub fn is_held(&self, key: &Key, pod: &Pod) -> bool {
        let selected_by = &self.shapes.get(pod.shape).selected_by;
        self.budgets.iter().any(|(name, budget)| name.namespace == key.namespace && budget.blocks && selected_by.contains(budget.selector))
    }

    /// Takes in a pod as it is now. Returns false where a newer one is known already.
    pub fn apply_pod(&mut self, now: Timestamp, key: Key, pod: Pod) -> bool {
        if self.pods.get(&key).is_some_and(|known| known.uid == pod.uid && known.version > pod.version) {
            return false;
        }
        self.replace_pod(now, key, pod);
        true
    }

    fn replace_pod(&mut self, now: Timestamp, key: Key, pod: Pod) {
        // News of a pod that stays where it is says nothing about how long its node has been quiet.
        let stays = self.pods.get(&key).filter(|known| known.occupies() == pod.occupies()).and_then(|known| known.node.clone());
        let quiet_since = stays.as_ref().and_then(|node| self.loads.get(node)).and_then(|load| load.changed);
        self.forget_pod(now, &key);
        self.remember_pod(now, &key, &pod);
        if let Some(load) = stays.and_then(|node| self.loads.get_mut(&node)) {
            load.changed = quiet_since;
        }
        self.pods.insert(key, pod);
    }

    /// Forgets a pod. Where `uid` is given, only that very one.
    pub fn delete_pod(&mut self, now: Timestamp, key: &Key, uid: Option<&str>) {
        if uid.is_none_or(|uid| self.pods.get(key).is_some_and(|pod| pod.uid == uid)) {
            self.forget_pod(now, key);
            self.pods.remove(key);
        }
    }

    /// Forgets all pods that are not in this list, which is complete.
    pub fn retain_pods(&mut self, now: Timestamp, listed: &BTreeSet<Key>) {
        let gone: Vec<Key> = self.pods.keys().filter(|key| !listed.contains(*key)).cloned().collect();
        for key in gone {
            self.delete_pod(now, &key, None);
        }
    }

    fn remember_pod(&mut self, now: Timestamp, key: &Key, pod: &Pod) {
        let shape = self.shapes.get(pod.shape).clone();
        if pod.waits() {
            self.waiting.entry(pod.shape).or_default().insert(key.clone());
        }
        if pod.is_alive() {
            self.namespaces.entry(key.namespace.clone()).or_default().add(&shape.requests, 1);
        }
        if let Some(controller) = pod.controller.as_ref().filter(|_| pod.counts()) {
            let counts = self.counts.entry(controller.clone()).or_default();
            counts.alive += 1;
            counts.ready += u32::from(pod.ready && pod.phase == PodPhase::Running);
            self.newest.entry(controller.clone()).or_default().insert((pod.created, key.clone()), pod.shape);
        }
        if let Some(node) = pod.node.as_ref().filter(|_| pod.is_alive()) {
            let load = self.loads.entry(node.clone()).or_default();
            load.used.add(&shape.requests, 1);
            match pod.role {
                PodRole::Work => load.working += 1,
                PodRole::Daemon => load.used_by_daemons.add(&shape.requests, 1),
                PodRole::Static => {}
            }
            *load.shapes.entry(pod.shape).or_default() += 1;
            if pod.deleting {
                *load.leaving.entry(pod.shape).or_default() += 1;
            }
            if load.pods.insert(key.clone()) && pod.role == PodRole::Work {
                load.changed = Some(now);
            }
        }
    }

    fn forget_pod(&mut self, now: Timestamp, key: &Key) {
        let Some(pod) = self.pods.get(key) else { return };
        let shape = self.shapes.get(pod.shape).clone();
        if pod.waits()
            && let Some(keys) = self.waiting.get_mut(&pod.shape)
        {
            keys.remove(key);
            if keys.is_empty() {
                self.waiting.remove(&pod.shape);
            }
        }
        if pod.is_alive()
            && let Some(used) = self.namespaces.get_mut(&key.namespace)
        {
            used.take(&shape.requests, 1);
        }
        if let Some(controller) = pod.controller.as_ref().filter(|_| pod.counts()) {
            if let Some(counts) = self.counts.get_mut(controller) {
                counts.alive -= 1;
                counts.ready -= u32::from(pod.ready && pod.phase == PodPhase::Running);
                if counts.alive == 0 {
                    self.counts.remove(controller);
                }
            }
            if let Some(newest) = self.newest.get_mut(controller) {
                newest.remove(&(pod.created, key.clone()));
                if newest.is_empty() {
                    self.newest.remove(controller);
                }
            }
        }
        if let Some(load) = pod.node.as_ref().filter(|_| pod.is_alive()).and_then(|node| self.loads.get_mut(node)) {
            load.used.take(&shape.requests, 1);
            match pod.role {
                PodRole::Work => load.working -= 1,
                PodRole::Daemon => load.used_by_daemons.take(&shape.requests, 1),
                PodRole::Static => {}
            }
            load.pods.remove(key);
            for counts in [Some(&mut load.shapes), pod.deleting.then_some(&mut load.leaving)].into_iter().flatten() {
                if let Some(count) = counts.get_mut(&pod.shape) {
                    *count -= 1;
                    if *count == 0 {
                        counts.remove(&pod.shape);
                    }
                }
            }
            if pod.role == PodRole::Work {
                load.changed = Some(now);
            }
        }
        // A node that went before its pods leaves nothing behind once they are gone too.
        if let Some(node) = pod.node.as_ref().filter(|node| !self.nodes.contains_key(*node))
            && self.loads.get(node).is_some_and(|load| load.pods.is_empty())
        {
            self.loads.remove(node);
        }
    }

    /// Takes in a node as it is now. Returns false where a newer one is known already.
    pub fn apply_node(&mut self, name: Name, node: Node) -> bool {
        if self.nodes.get(&name).is_some_and(|known| known.uid == node.uid && known.version > node.version) {
            return false;
        }
        self.forget_provider(&name);
        if !node.provider_id.is_empty() {
            self.by_provider.insert(node.provider_id.clone(), name.clone());
        }
        self.nodes.insert(name, node);
        true
    }

    /// Forgets a node; what still claims to run on it is kept until its pods go.
    pub fn delete_node(&mut self, name: &str, uid: Option<&str>) {
        if uid.is_none_or(|uid| self.nodes.get(name).is_some_and(|node| node.uid == uid)) {
            self.forget_provider(name);
            self.nodes.remove(name);
            if self.loads.get(name).is_some_and(|load| load.pods.is_empty()) {
                self.loads.remove(name);
            }
        }
    }

    /// Forgets which machine this node stands for, unless another node stands for it by now.
    fn forget_provider(&mut self, name: &str) {
        if let Some(known) = self.nodes.get(name)
            && self.by_provider.get(&known.provider_id).is_some_and(|node| node == name)
        {
            self.by_provider.remove(&known.provider_id);
        }
    }

    /// Takes in a claim as it is now. Returns false where a newer one is known already.
    pub fn apply_claim(&mut self, name: Name, mut claim: Claim) -> bool {
        if let Some(known) = self.claims.get(&name) {
            if known.uid.is_some() && known.uid == claim.uid && known.version > claim.version {
                return false;
            }
            claim.keep_knowledge_of(known);
        }
        self.claims.insert(name, claim);
        true
    }

    /// Forgets a claim. Where `uid` is given, only that very one.
    pub fn delete_claim(&mut self, name: &str, uid: Option<&str>) {
        if uid.is_none_or(|uid| self.claims.get(name).is_some_and(|claim| claim.uid.as_deref() == Some(uid))) {
            self.claims.remove(name);
        }
    }

    /// Takes in a scale target as it is now. Returns false where a newer one is known already.
    pub fn apply_workload(&mut self, key: WorkloadKey, mut workload: Workload) -> bool {
        if let Some(known) = self.workloads.get(&key) {
            if known.uid == workload.uid && known.version > workload.version {
                return false;
            }
            workload.writing = known.writing;
        }
        self.workloads.insert(key, workload);
        true
    }

    /// Takes in a ReplicaSet.
    pub fn apply_replica_set(&mut self, uid: Name, set: ReplicaSet) {
        self.delete_replica_set(&uid);
        if let Some(owner) = &set.owner {
            self.sets_of.entry(owner.clone()).or_default().insert(uid.clone());
        }
        self.replica_sets.insert(uid, set);
    }

    /// Forgets a ReplicaSet.
    pub fn delete_replica_set(&mut self, uid: &str) {
        if let Some(owner) = self.replica_sets.remove(uid).and_then(|set| set.owner)
            && let Some(sets) = self.sets_of.get_mut(&owner)
        {
            sets.remove(uid);
            if sets.is_empty() {
                self.sets_of.remove(&owner);
            }
        }
    }

    /// What runs on this node.
    #[must_use]
    pub fn load(&self, node: &str) -> Option<&Load> {
        self.loads.get(node)
    }

    /// Pods that wait for a node, by shape.
    #[must_use]
    pub const fn waiting(&self) -> &BTreeMap<ShapeId, BTreeSet<Key>> {
        &self.waiting
    }

    /// What the living pods of a namespace ask for together.
    #[must_use]
    pub fn used_in(&self, namespace: &str) -> Option<&Resources> {
        self.namespaces.get(namespace)
    }

    /// The pods of a workload, whether it owns them itself or through its ReplicaSets.
    #[must_use]
    pub fn counts_of(&self, workload: &Workload) -> Counts {
        let mut sum = self.counts.get(&workload.uid).copied().unwrap_or_default();
        for set in self.sets_of.get(&workload.uid).into_iter().flatten() {
            let counts = self.counts.get(set).copied().unwrap_or_default();
            sum.alive += counts.alive;
            sum.ready += counts.ready;
        }
        sum
    }

    /// Whether pods of this controller are the workload's, its own or through one of its ReplicaSets.
    #[must_use]
    pub fn owns(&self, workload: &Workload, controller: &Name) -> bool {
        workload.uid == *controller || self.sets_of.get(&workload.uid).is_some_and(|sets| sets.contains(controller))
    }

    /// The shape of the workload's newest pod of its newest revision.
    #[must_use]
    pub fn newest_shape(&self, workload: &Workload) -> Option<ShapeId> {
        let sets = self.sets_of.get(&workload.uid);
        let current = sets.and_then(|sets| sets.iter().max_by_key(|set| (self.replica_sets.get(*set).map_or(0, |s| s.revision), *set)));
        // Right after a change of the template the newest ReplicaSet is still the old revision's: its pods say nothing about the new one.
        let current = current.filter(|set| self.replica_sets.get(*set).is_some_and(|s| s.revision >= workload.revision));
        let controller = if sets.is_some() { current? } else { &workload.uid };
        self.newest.get(controller).and_then(|pods| pods.last_key_value()).map(|(_, shape)| *shape)
    }

    /// The node that stands for this claim's machine. Nodes' names are given again: one that is another machine's by now is not this claim's.
    #[must_use]
    pub fn node_of(&self, claim: &Claim) -> Option<(&Name, &Node)> {
        let same = |node: &Node| node.provider_id.is_empty() || claim.provider_id.as_ref().is_none_or(|id| *id == node.provider_id);
        let named = claim.node_name.as_ref().and_then(|name| self.nodes.get_key_value(name)).filter(|(_, node)| same(node));
        named.or_else(|| self.nodes.get_key_value(self.by_provider.get(claim.provider_id.as_ref()?)?))
    }
}

#[cfg(test)]
#[path = "cluster_tests.rs"]
mod tests;
