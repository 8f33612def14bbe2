//! Nodes on their way out: which may go, within their pool's budgets, and the steps from a taint to a machine that is no more.
//!
//! A node is deleted only after new pods were kept off it and the API server was asked, past any watch that lags, that no pod of work is on it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::DISRUPTED;
use super::claim::Claim;
use super::cluster::{Cluster, Node, PodRole};
use super::pool::DisruptionReason;
use super::taint::{Effect, Taint};
use crate::name::{Key, Name};
use crate::plan::{Action, Plan, Why};
use crate::{Span, Timestamp};

/// Between the taint and the look at the node's pods: a binding that the scheduler had begun before it saw the taint has landed by then.
const SETTLE: Span = Span::from_secs(1);

/// A node that we keep new pods off because it is to go. Its loss starts the quiet time of the node anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retiring {
    since: Timestamp,
    /// When the API server was asked which pods are on it.
    pub inspected: Option<Timestamp>,
}

/// Adds the steps of nodes that may go because nothing is left on them. `needed` has nodes that waiting pods are meant for.
pub fn empties(now: Timestamp, cluster: &Cluster, needed: &BTreeSet<&Name>, retiring: &mut BTreeMap<Name, Retiring>, plan: &mut Plan) {
    let mut leaving = leaving_by_pool(cluster, retiring);
    retiring.retain(|node, _| cluster.nodes.contains_key(node));
    for (claim_name, claim) in cluster.claims.iter().filter(|(_, claim)| claim.deleting_since.is_none()) {
        let Some((node_name, node)) = cluster.node_of(claim) else { continue };
        let tainted = node.taints.iter().any(|taint| taint.key == DISRUPTED);
        let due = quiet_until(cluster, claim, node_name, node).filter(|_| !needed.contains(node_name));
        let may_go = due.is_some_and(|due| due <= now);
        if !may_go {
            if tainted {
                plan.actions.push(Action::Uncordon { node: node_name.clone() });
            }
            retiring.remove(node_name);
            plan.look_again = [plan.look_again, due].into_iter().flatten().min();
            continue;
        }
        let Some(uid) = &claim.uid else { continue };
        if !retiring.contains_key(node_name) {
            let Some(pool) = cluster.pools.get(&claim.spec.pool) else { continue };
            let (total, out) = leaving.entry(claim.spec.pool.clone()).or_default();
            if *out >= pool.disruption.allowed(DisruptionReason::Empty, *total, now) {
                continue;
            }
            *out += 1;
            retiring.insert(node_name.clone(), Retiring { since: now, inspected: None });
        }
        let Some(state) = retiring.get(node_name) else { continue };
        let reason = Why::Disruption(DisruptionReason::Empty);
        let settled = state.since.checked_add(SETTLE).unwrap_or(now);
        if !tainted {
            plan.actions.push(Action::Cordon { node: node_name.clone(), reason });
        } else if now < settled {
            plan.look_again = Some(plan.look_again.map_or(settled, |again| again.min(settled)));
        } else if state.inspected.is_some_and(|inspected| inspected >= settled) {
            plan.actions.push(Action::DeleteClaim { claim: claim_name.clone(), uid: uid.clone(), reason });
        } else {
            plan.actions.push(Action::Inspect { node: node_name.clone() });
        }
    }
}

/// When a node that has nothing to do may go, by its pool; none where it may not go at all.
fn quiet_until(cluster: &Cluster, claim: &Claim, name: &Name, node: &Node) -> Option<Timestamp> {
    let initialized = claim.progress.initialized?;
    let pool = cluster.pools.get(&claim.spec.pool)?;
    let after = pool.disruption.consolidate_after?;
    let load = cluster.load(name);
    if node.do_not_disrupt || load.is_some_and(|load| load.working > 0) {
        return None;
    }
    let since = load.and_then(|load| load.changed).map_or(initialized, |changed| changed.max(initialized));
    since.checked_add(after).ok()
}

/// For each pool how many initialized nodes it has, and how many of them are on their way out or not ready.
fn leaving_by_pool(cluster: &Cluster, retiring: &BTreeMap<Name, Retiring>) -> BTreeMap<Name, (u32, u32)> {
    let mut pools: BTreeMap<Name, (u32, u32)> = BTreeMap::new();
    for claim in cluster.claims.values().filter(|claim| claim.progress.initialized.is_some() && !claim.ended) {
        let (total, out) = pools.entry(claim.spec.pool.clone()).or_default();
        *total += 1;
        let node = cluster.node_of(claim);
        let leaves = claim.deleting_since.is_some() || node.is_none_or(|(name, node)| !node.ready || retiring.contains_key(name));
        *out += u32::from(leaves);
    }
    pools
}

/// Adds the steps of a claim that is being deleted: no new pods, pods asked to leave, machine ended, node and claim released.
pub fn dismantle(now: Timestamp, cluster: &Cluster, name: &Name, claim: &Claim, plan: &mut Plan) {
    let (Some(uid), Some(since)) = (&claim.uid, claim.deleting_since) else { return };
    let node = cluster.node_of(claim);
    if !claim.ended {
        if let Some((node_name, node)) = node {
            if !node.taints.iter().any(|taint| taint.key == DISRUPTED) {
                let reason = Why::Disruption(DisruptionReason::Empty);
                plan.actions.push(Action::Cordon { node: node_name.clone(), reason });
                return;
            }
            let deadline = claim.spec.termination_grace_period.and_then(|grace| since.checked_add(grace).ok());
            let patient = deadline.is_none_or(|deadline| now < deadline);
            plan.look_again = [plan.look_again, deadline.filter(|deadline| *deadline > now)].into_iter().flatten().min();
            let mut staying = to_leave(cluster, node_name).peekable();
            if patient && staying.peek().is_some() {
                plan.actions.extend(staying.filter(|(_, _, going)| !going).map(|(pod, uid, _)| Action::Evict { pod, uid }));
                return;
            }
        }
        let provider_id = claim.machine.as_ref().map(|machine| machine.provider_id.clone()).or_else(|| claim.provider_id.clone());
        plan.actions.push(Action::Terminate { claim: name.clone(), provider_id });
        return;
    }
    match node {
        Some((node, _)) => plan.actions.push(Action::RemoveNode { node: node.clone() }),
        None if claim.finalized => plan.actions.push(Action::ReleaseClaim { claim: name.clone(), uid: uid.clone() }),
        None => {}
    }
}

/// Pods that have to leave before the machine ends, with whether they are on their way: those that do work first, then the DaemonSets'. Pods that tolerate the
/// taint of a node that goes have chosen to stay.
fn to_leave<'a>(cluster: &'a Cluster, node: &Name) -> impl Iterator<Item = (Key, Name, bool)> + 'a {
    let goes = Taint { key: DISRUPTED.into(), value: Name::default(), effect: Effect::NoSchedule };
    let of = |role: PodRole| {
        let goes = goes.clone();
        let pods = cluster.load(node).into_iter().flat_map(|load| &load.pods);
        pods.filter_map(|key| Some((key, cluster.pods.get(key)?)))
            .filter(move |(_, pod)| pod.role == role && !cluster.shapes.get(pod.shape).tolerations.iter().any(|t| t.tolerates(&goes)))
            .map(|(key, pod)| (key.clone(), pod.uid.clone(), pod.deleting))
            .collect::<Vec<_>>()
    };
    let work = of(PodRole::Work);
    if work.is_empty() { of(PodRole::Daemon).into_iter() } else { work.into_iter() }
}
