//! What must be true of nodes that are taken away by our own choice.

use std::collections::{BTreeMap, BTreeSet};

use super::places::Owners;
use super::{Breach, Wrong, indexed, works};
use crate::Timestamp;
use crate::name::Name;
use crate::nodes::DISRUPTED;
use crate::nodes::claim::Claim;
use crate::nodes::cluster::{Cluster, Node};
use crate::nodes::pool::DisruptionReason;
use crate::plan::{Action, Plan, Why};

/// A node that the plan chooses to take away.
struct Chosen<'a> {
    action: usize,
    claim: &'a Claim,
    node: Option<(&'a Name, &'a Node)>,
    reason: DisruptionReason,
    deletes: bool,
}

fn all_chosen<'a>(cluster: &'a Cluster, owners: &Owners<'a>, plan: &Plan) -> Vec<Chosen<'a>> {
    let found = indexed(plan).filter_map(|(action, what)| {
        let (claim, reason, deletes) = match what {
            Action::Cordon { node, reason: Why::Disruption(reason) } => (*owners.get(node)?, *reason, false),
            Action::DeleteClaim { claim, reason: Why::Disruption(reason), .. } => (cluster.claims.get(claim)?, *reason, true),
            _ => return None,
        };
        // A claim that is being deleted already is no choice any more.
        claim.deleting_since.is_none().then(|| Chosen { action, claim, node: cluster.node_of(claim), reason, deletes })
    });
    found.collect()
}

/// Nodes are taken away within budgets, not while they have work or are needed, and only with new pods kept off.
pub(super) fn chosen(now: Timestamp, cluster: &Cluster, owners: &Owners<'_>, plan: &Plan, breaches: &mut Vec<Breach>) {
    let chosen = all_chosen(cluster, owners, plan);
    if chosen.is_empty() {
        return;
    }
    let mut working: BTreeMap<&Name, u32> = BTreeMap::new();
    for pod in cluster.pods.values().filter(|pod| works(pod)) {
        if let Some(node) = &pod.node {
            *working.entry(node).or_default() += 1;
        }
    }
    let needed: BTreeSet<&Name> = plan.placements.iter().map(|placement| &placement.on).collect();
    for one in &chosen {
        let Some((name, node)) = one.node else { continue };
        let mut wrong = |what| breaches.push(Breach::of(what, [one.action]));
        let pods = working.get(name).copied().unwrap_or(0);
        if one.reason == DisruptionReason::Empty && pods > 0 {
            wrong(Wrong::Busy { node: name.clone(), pods });
        }
        if !may_ever_go(cluster, one.claim, node) {
            wrong(Wrong::Protected { node: name.clone() });
        }
        if one.deletes && !is_tainted(node) {
            wrong(Wrong::NotCordoned { node: name.clone() });
        }
        if needed.contains(name) {
            wrong(Wrong::NeededNode { node: name.clone() });
        }
    }
    budgets(now, cluster, plan, &chosen, breaches);
}

/// No more nodes of a pool are out at a time than each reason's budgets allow: those being deleted, not ready, tainted before, or chosen now.
fn budgets(now: Timestamp, cluster: &Cluster, plan: &Plan, chosen: &[Chosen<'_>], breaches: &mut Vec<Breach>) {
    let back: BTreeSet<&Name> =
        plan.actions.iter().filter_map(|a| if let Action::Uncordon { node } = a { Some(node) } else { None }).collect();
    let mut groups: BTreeMap<(&Name, DisruptionReason), Vec<&Chosen<'_>>> = BTreeMap::new();
    for one in chosen {
        groups.entry((&one.claim.spec.pool, one.reason)).or_default().push(one);
    }
    for ((pool, reason), members) in groups {
        let (mut total, mut leaving) = (0_u32, 0_u32);
        for claim in cluster.claims.values().filter(|c| c.spec.pool == *pool && c.progress.initialized.is_some() && !c.ended) {
            total += 1;
            let out = match cluster.node_of(claim) {
                None => true,
                Some((name, node)) => {
                    let now_chosen = chosen.iter().any(|one| one.node.is_some_and(|(chosen, _)| chosen == name));
                    !node.ready || now_chosen || is_tainted(node) && !back.contains(name)
                }
            };
            leaving += u32::from(out || claim.deleting_since.is_some());
        }
        let allowed = cluster.pools.get(pool).map_or(0, |pool| pool.disruption.allowed(reason, total, now));
        if leaving > allowed {
            breaches.push(Breach::of(Wrong::Budget { pool: pool.clone(), leaving, allowed }, members.iter().map(|one| one.action)));
        }
    }
}

fn is_tainted(node: &Node) -> bool {
    node.taints.iter().any(|taint| taint.key == DISRUPTED)
}

/// Whether this node could be taken away for being empty at any time.
fn may_ever_go(cluster: &Cluster, claim: &Claim, node: &Node) -> bool {
    let pool = cluster.pools.get(&claim.spec.pool);
    claim.progress.initialized.is_some() && !node.do_not_disrupt && pool.is_some_and(|pool| pool.disruption.consolidate_after.is_some())
}

/// Whether there is a node without work that could be taken away.
pub(super) fn any_may_go(cluster: &Cluster) -> bool {
    let busy: BTreeSet<&Name> = cluster.pods.values().filter(|pod| works(pod)).filter_map(|pod| pod.node.as_ref()).collect();
    cluster
        .claims
        .values()
        .any(|claim| cluster.node_of(claim).is_some_and(|(name, node)| !busy.contains(name) && may_ever_go(cluster, claim, node)))
}
