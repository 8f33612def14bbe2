//! What NodePools say of themselves: conditions, how many nodes and what they have together, and the hash by which drift is recognised.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};
use springtide_api::conditions::{self, Condition, Status, karpenter};
use springtide_api::karpenter::{NodePool, validate};
use springtide_api::{hash, labels};
use springtide_core::name::{Key, Name};
use springtide_core::nodes::cluster::Cluster;
use springtide_core::nodes::resources::Resources;

use super::state::State;
use crate::kube::claims::quantities;
use crate::kube::report::Report;
use crate::kube::watch::Custom;

/// What was last written of each pool, so that nothing is written twice.
#[derive(Default)]
pub struct PoolReports {
    statuses: BTreeMap<Name, Value>,
    hashes: BTreeMap<Name, String>,
}

/// What a pool has at present.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Holdings {
    /// Nodes that have registered.
    pub nodes: u32,
    /// Machines that were bought and have not ended.
    pub machines: u32,
    /// What the machines have together.
    pub resources: Resources,
    /// What they cost an hour, in millionths of a dollar.
    pub price: i64,
}

/// What each pool has.
#[must_use]
pub fn holdings(cluster: &Cluster) -> BTreeMap<&Name, Holdings> {
    let mut pools: BTreeMap<&Name, Holdings> = cluster.pools.keys().map(|name| (name, Holdings::default())).collect();
    for claim in cluster.claims.values().filter(|claim| !claim.ended) {
        let Some(pool) = pools.get_mut(&claim.spec.pool) else { continue };
        pool.nodes += u32::from(claim.progress.registered.is_some());
        if let Some(machine) = &claim.machine {
            pool.machines += 1;
            pool.resources.add(&machine.capacity, 1);
            pool.price += machine.price.0;
        }
    }
    pools
}

impl PoolReports {
    /// What has changed since it was last asked.
    pub fn changes(&mut self, now: Timestamp, state: &State, holdings: &BTreeMap<&Name, Holdings>) -> Vec<Report> {
        let mut reports = Vec::new();
        self.statuses.retain(|name, _| state.pools.contains_key(name));
        self.hashes.retain(|name, _| state.pools.contains_key(name));
        for (name, pool) in state.pools.iter().filter(|(name, _)| !state.shadow_pools.contains(*name)) {
            let Some(known) = state.cluster.pools.get(name) else { continue };
            let key = Key::new("", name.clone());
            let status = status(now, pool, known.unusable.as_deref(), holdings.get(name));
            if self.statuses.get(name) != Some(&status) {
                if !is_written(pool, &status) {
                    reports.push(Report::Status { kind: Custom::NodePool, key: key.clone(), patch: json!({ "status": status }) });
                }
                self.statuses.insert(name.clone(), status);
            }
            let hash = hash::of(&pool.spec.template);
            let notes = pool.metadata.annotations.as_ref();
            let has = |key: &str, value: &str| notes.and_then(|all| all.get(key)).is_some_and(|known| known == value);
            if !(has(labels::NODEPOOL_HASH, &hash) && has(labels::NODEPOOL_HASH_VERSION, hash::VERSION))
                && self.hashes.get(name) != Some(&hash)
            {
                let notes = json!({ labels::NODEPOOL_HASH: hash, labels::NODEPOOL_HASH_VERSION: hash::VERSION });
                reports.push(Report::Object { kind: Custom::NodePool, key, patch: json!({ "metadata": { "annotations": notes } }) });
                self.hashes.insert(name.clone(), hash);
            }
        }
        reports
    }
}

fn status(now: Timestamp, pool: &NodePool, unusable: Option<&str>, holdings: Option<&Holdings>) -> Value {
    let mut all = pool.status.as_ref().map(|status| status.conditions.clone()).unwrap_or_default();
    let valid = validate::node_pool(pool);
    let invalid = (!valid.is_empty()).then(|| valid.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "));
    let class = unusable.filter(|_| invalid.is_none());
    let mut set = |kind: &str, reason: &str, why: Option<&str>| {
        let (status, reason) = if why.is_some() { (Status::False, reason) } else { (Status::True, kind) };
        conditions::set(&mut all, Condition::new(kind, status, reason, why.unwrap_or_default(), now).observed(pool.metadata.generation));
    };
    set(karpenter::VALIDATION_SUCCEEDED, "NodePoolValidationFailed", invalid.as_deref());
    set(karpenter::NODE_CLASS_READY, "NodeClassNotReady", class);
    set(karpenter::READY, "NotReady", unusable.or(invalid.as_deref()));
    let held = holdings.cloned().unwrap_or_default();
    let mut resources = quantities(&held.resources);
    if let Some(fields) = resources.as_object_mut() {
        fields.insert("nodes".to_owned(), held.nodes.to_string().into());
    }
    json!({ "conditions": all, "nodes": held.nodes, "resources": resources })
}

/// Whether the object says so already.
fn is_written(pool: &NodePool, status: &Value) -> bool {
    let known = serde_json::to_value(&pool.status).unwrap_or(Value::Null);
    status.as_object().is_some_and(|fields| fields.iter().all(|(key, value)| known.get(key) == Some(value)))
}
