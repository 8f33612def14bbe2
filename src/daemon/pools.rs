//! What NodePools say of themselves: conditions, how many nodes and what they have together, and the hash by which drift is recognised.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use kube::Resource;
use serde_json::{Value, json};
use springtide_api::conditions::{self, Condition, Status, karpenter};
use springtide_api::karpenter::NodePool;
use springtide_api::{hash, labels};
use springtide_core::name::{Key, Name};
use springtide_core::nodes::cluster::Cluster;
use springtide_core::nodes::resources::Resources;

use super::standing::Standing;
use super::state::State;
use crate::kube::claims::quantities;
use crate::kube::report::{Note, Report};
use crate::kube::watch::Custom;

/// What was last written of each pool, so that nothing is written twice.
#[derive(Default)]
pub struct PoolReports {
    statuses: BTreeMap<Name, Value>,
    hashes: BTreeMap<Name, String>,
    told: BTreeMap<Name, BTreeSet<String>>,
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
    /// What has changed since it was last asked. `limits` are those that keep pods from getting a node, by pool.
    pub fn changes(
        &mut self,
        now: Timestamp,
        state: &State,
        holdings: &BTreeMap<&Name, Holdings>,
        limits: &BTreeMap<&Name, (BTreeSet<&Name>, String)>,
    ) -> Vec<Report> {
        let mut reports = Vec::new();
        self.statuses.retain(|name, _| state.pools.contains_key(name));
        self.hashes.retain(|name, _| state.pools.contains_key(name));
        self.told.retain(|name, _| state.pools.contains_key(name));
        for (name, pool) in state.pools.iter().filter(|(name, _)| !state.shadow_pools.contains(*name)) {
            let Some(standing) = state.standings.get(name) else { continue };
            let key = Key::new("", name.clone());
            let limit = limits.get(name);
            let status = status(now, pool, standing, limit.map(|(_, text)| text.as_str()), holdings.get(name));
            if self.statuses.get(name) != Some(&status) {
                if !is_written(pool, &status) {
                    reports.push(Report::Status { kind: Custom::NodePool, key: key.clone(), patch: json!({ "status": status }) });
                }
                self.statuses.insert(name.clone(), status);
            }
            reports.extend(self.news(name, pool, standing, limit));
            if state.unreadable.contains_key(&(Custom::NodePool, key.clone())) {
                // The hash of a text that cannot be read would be one of another text.
                continue;
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

    /// Events of what is wrong now and was not when it was last asked, and one when nothing is any more. A limit is news once, however much of it is used.
    fn news(&mut self, name: &Name, pool: &NodePool, standing: &Standing, limit: Option<&(BTreeSet<&Name>, String)>) -> Vec<Report> {
        let told = self.told.entry(name.clone()).or_default();
        let mut wrong: BTreeMap<String, (&'static str, String)> = BTreeMap::new();
        for (reason, what) in standing.events() {
            wrong.insert(format!("{reason} {what}"), (reason, what));
        }
        if let Some((names, what)) = limit {
            wrong.insert(format!("{LIMITS_REACHED} {names:?}"), (LIMITS_REACHED, what.clone()));
        }
        let note = |warning, reason, message| Note { warning, reason, action: "Validate", message };
        let mut notes: Vec<Note> =
            wrong.iter().filter(|(key, _)| !told.contains(*key)).map(|(_, (reason, what))| note(true, reason, what.clone())).collect();
        if wrong.is_empty() && !told.is_empty() {
            notes.push(note(false, karpenter::READY, "the NodePool can be used again".to_owned()));
        }
        *told = wrong.into_keys().collect();
        let about = pool.object_ref(&());
        notes.into_iter().map(|note| Report::Event { about: Box::new(about.clone()), note }).collect()
    }
}

/// Reason of the condition Ready, and of an event, where pods wait because a limit is reached. Such a pool is ready, as it is for Karpenter: its nodes run.
const LIMITS_REACHED: &str = "LimitsReached";

fn status(now: Timestamp, pool: &NodePool, standing: &Standing, limit: Option<&str>, holdings: Option<&Holdings>) -> Value {
    let mut all = pool.status.as_ref().map(|status| status.conditions.clone()).unwrap_or_default();
    let mut set = |kind: &str, status: Status, reason: &str, why: &str| {
        conditions::set(&mut all, Condition::new(kind, status, reason, why, now).observed(pool.metadata.generation));
    };
    for (kind, because) in [
        (karpenter::VALIDATION_SUCCEEDED, standing.validation()),
        (karpenter::NODE_CLASS_READY, standing.node_class()),
        (karpenter::READY, standing.readiness()),
    ] {
        match (because, limit) {
            (Some((reason, what)), _) => set(kind, Status::False, reason, &what),
            (None, Some(what)) if kind == karpenter::READY => set(kind, Status::True, LIMITS_REACHED, what),
            (None, _) => set(kind, Status::True, kind, ""),
        }
    }
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
