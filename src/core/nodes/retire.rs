//! Nodes on their way out: which may go, within their pool's budgets, and the steps from a taint to a machine that is no more.
//!
//! A node is deleted only after new pods were kept off it and the API server was asked, past any watch that lags, that no pod of work is on it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::DISRUPTED;
use super::claim::Claim;
use super::cluster::{Cluster, Node, PodRole};
use super::decide::Memory;
use super::pool::DisruptionReason;
use super::taint::{Effect, Taint};
use crate::name::{Key, Name};
use crate::plan::{Action, Plan, Why};
use crate::{Span, Timestamp};

/// Between the taint and the look at the node's pods: a binding that the scheduler had begun before it saw the taint has landed by then.
const SETTLE: Span = Span::from_secs(1);

/// A node that we keep new pods off because it is to go. Its loss starts the quiet time of the node anew.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retiring {
    /// When its taint was first seen; none before that.
    tainted: Option<Timestamp>,
    /// When the API server was asked which pods are on it.
    pub inspected: Option<Timestamp>,
}

/// Adds the steps of nodes that may go because nothing is left on them. `needed` has nodes that waiting pods are meant for, `busy` has claims for which this
/// turn does something else already.
pub fn empties(now: Timestamp, cluster: &Cluster, needed: &BTreeSet<&Name>, busy: &BTreeSet<&Name>, memory: &mut Memory, plan: &mut Plan) {
    memory.retiring.retain(|node, _| cluster.nodes.contains_key(node));
    memory.quiet.retain(|node, _| cluster.nodes.contains_key(node));
    let mut leaving = leaving_by_pool(cluster, &memory.retiring);
    for (claim_name, claim) in cluster.claims.iter().filter(|(_, claim)| !claim.is_going()) {
        let Some((node_name, node)) = cluster.node_of(claim) else { continue };
        let due = quiet_until(now, cluster, claim, node_name, node, &mut memory.quiet).filter(|_| !needed.contains(node_name));
        if busy.contains(claim_name) {
            continue;
        }
        let tainted = is_tainted(node);
        let due_now = due.is_some_and(|due| due <= now);
        if !due_now {
            plan.look_again = [plan.look_again, due].into_iter().flatten().min();
        }
        if !due_now || !within_budget(now, cluster, claim, node_name, node, &memory.retiring, &mut leaving) {
            if tainted {
                plan.actions.push(Action::Uncordon { node: node_name.clone() });
            }
            memory.retiring.remove(node_name);
            continue;
        }
        let Some(uid) = &claim.uid else { continue };
        let state = memory.retiring.entry(node_name.clone()).or_default();
        let reason = Why::Disruption(DisruptionReason::Empty);
        if !tainted {
            *state = Retiring::default();
            plan.actions.push(Action::Cordon { node: node_name.clone(), reason });
            continue;
        }
        let settled = state.tainted.get_or_insert(now).checked_add(SETTLE).unwrap_or(now);
        if now < settled {
            plan.look_again = Some(plan.look_again.map_or(settled, |again| again.min(settled)));
        } else if state.inspected.is_some_and(|inspected| inspected >= settled) {
            plan.actions.push(Action::DeleteClaim { claim: claim_name.clone(), uid: uid.clone(), reason });
        } else {
            plan.actions.push(Action::Inspect { node: node_name.clone() });
        }
    }
}

fn is_tainted(node: &Node) -> bool {
    node.taints.iter().any(|taint| taint.key == DISRUPTED)
}

/// Whether this node may be on its way out beside the others of its pool, and books it. One that is on its way already stays so only while the budget allows
/// that: budgets change with time.
fn within_budget(
    now: Timestamp,
    cluster: &Cluster,
    claim: &Claim,
    name: &Name,
    node: &Node,
    retiring: &BTreeMap<Name, Retiring>,
    leaving: &mut BTreeMap<Name, (u32, u32)>,
) -> bool {
    let Some(pool) = cluster.pools.get(&claim.spec.pool) else { return false };
    let (total, out) = leaving.entry(claim.spec.pool.clone()).or_default();
    let held = is_tainted(node) || retiring.contains_key(name);
    let others = out.saturating_sub(u32::from(held));
    let may_go = others < pool.disruption.allowed(DisruptionReason::Empty, *total, now);
    match (held, may_go) {
        (false, true) => *out += 1,
        (true, false) if node.ready => *out -= 1,
        _ => {}
    }
    may_go
}

/// When a node that has nothing to do may go, by its pool; none where it may not go at all.
///
/// The quiet time counts from when we have seen the node quiet ourselves: what happened on it before a restart is not known.
fn quiet_until(
    now: Timestamp,
    cluster: &Cluster,
    claim: &Claim,
    name: &Name,
    node: &Node,
    quiet: &mut BTreeMap<Name, Timestamp>,
) -> Option<Timestamp> {
    let load = cluster.load(name);
    if load.is_some_and(|load| load.working > 0) {
        quiet.remove(name);
        return None;
    }
    let seen = *quiet.entry(name.clone()).or_insert(now);
    let initialized = claim.progress.initialized?;
    let pool = cluster.pools.get(&claim.spec.pool)?;
    let after = pool.disruption.consolidate_after?;
    if node.do_not_disrupt {
        return None;
    }
    let changed = load.and_then(|load| load.changed);
    changed.unwrap_or(seen).max(seen).max(initialized).checked_add(after).ok()
}

/// For each pool how many initialized nodes it has, and how many of them are on their way out or not ready.
fn leaving_by_pool(cluster: &Cluster, retiring: &BTreeMap<Name, Retiring>) -> BTreeMap<Name, (u32, u32)> {
    let mut pools: BTreeMap<Name, (u32, u32)> = BTreeMap::new();
    for claim in cluster.claims.values().filter(|claim| claim.progress.initialized.is_some() && !claim.ended) {
        let (total, out) = pools.entry(claim.spec.pool.clone()).or_default();
        *total += 1;
        let node = cluster.node_of(claim);
        let leaves = claim.deleting_since.is_some()
            || node.is_none_or(|(name, node)| !node.ready || is_tainted(node) || retiring.contains_key(name));
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
            if !is_tainted(node) {
                plan.actions.push(Action::Cordon { node: node_name.clone(), reason: Why::ClaimDeleted });
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

#[cfg(test)]
#[path = "retire_tests.rs"]
mod tests;
