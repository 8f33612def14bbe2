//! What must be true of where waiting pods are expected: there is room for all of them, and nothing keeps them away.

use std::collections::{BTreeMap, BTreeSet};

use super::bought::lacking;
use super::{Breach, Wrong, kept_off};
use crate::name::Name;
use crate::nodes::claim::Claim;
use crate::nodes::cluster::{Cluster, Node, PodRole};
use crate::nodes::constraint::HOSTNAME;
use crate::nodes::requirement::{self, Requirements};
use crate::nodes::resources::Resources;
use crate::nodes::shape::ShapeId;
use crate::nodes::taint::{Taint, is_ephemeral};
use crate::nodes::{DISRUPTED, well_known};
use crate::plan::{Action, Plan};

/// Placements on nodes and claims that exist. Those on new claims are looked at with the claim.
pub(super) fn placements(cluster: &Cluster, plan: &Plan, breaches: &mut Vec<Breach>) {
    let meant = plan.by_place();
    let created: BTreeSet<&Name> =
        plan.actions.iter().filter_map(|action| if let Action::CreateClaim { name, .. } = action { Some(name) } else { None }).collect();
    if meant.is_empty() {
        return;
    }
    let owners: BTreeMap<&Name, &Claim> =
        cluster.claims.values().filter_map(|claim| cluster.node_of(claim).map(|(node, _)| (node, claim))).collect();
    for (on, pods) in meant {
        let to_come = cluster.claims.get(on).filter(|claim| cluster.node_of(claim).is_none());
        let wrong = match (cluster.nodes.get(on), to_come) {
            (Some(node), None) => on_node(cluster, on, node, owners.get(on).copied(), &pods),
            // A claim may be called like another machine's node: the pods are meant for the one that takes them.
            (Some(node), Some(claim)) => {
                on_node(cluster, on, node, owners.get(on).copied(), &pods).and_then(|_| on_claim(cluster, on, claim, &pods))
            }
            (None, Some(claim)) => on_claim(cluster, on, claim, &pods),
            (None, None) if created.contains(on) => None,
            (None, None) => Some(Wrong::NowhereToGo { on: on.clone() }),
        };
        breaches.extend(wrong.map(|what| Breach::of(what, [])));
    }
}

fn on_node(cluster: &Cluster, on: &Name, node: &Node, claim: Option<&Claim>, pods: &[(ShapeId, u32)]) -> Option<Wrong> {
    let starting = claim.filter(|claim| claim.progress.initialized.is_none());
    if node.deleting || claim.is_some_and(Claim::is_going) || starting.is_none() && !node.ready {
        return Some(Wrong::NowhereToGo { on: on.clone() });
    }
    // A start's own taints go, and the one of a node that was to go is taken away for its pods.
    let goes = |taint: &Taint| {
        starting.is_some_and(|claim| is_ephemeral(taint) || claim.spec.startup_taints.contains(taint))
            || claim.is_some() && taint.key == DISRUPTED
    };
    let taints: Vec<Taint> = node.taints.iter().filter(|taint| !goes(taint)).cloned().collect();
    let (mut sum, mut daemons) = (Resources::default(), Resources::default());
    for key in cluster.load(on).into_iter().flat_map(|load| &load.pods) {
        let Some(pod) = cluster.pods.get(key).filter(|pod| pod.is_alive()) else { continue };
        let requests = &cluster.shapes.get(pod.shape).requests;
        let part = if pod.role == PodRole::Daemon { &mut daemons } else { &mut sum };
        part.add(requests, 1);
    }
    // DaemonSets whose pods have not come yet need their room too.
    let mut expected = Resources::default();
    for daemon in cluster.daemons.values().map(|id| cluster.shapes.get(*id)).filter(|daemon| daemon.beyond.is_empty()) {
        if kept_off(daemon, &node.labels, &taints).is_none() {
            expected.add(&daemon.requests, 1);
        }
    }
    sum.add(&daemons.max(&expected), 1);
    let offered = starting.map_or(&node.allocatable, Claim::offers);
    let mut labels = node.labels.clone();
    labels.insert(requirement::NAME.into(), on.clone());
    for (shape, _) in pods {
        if let Some(label_or_taint) = kept_off(cluster.shapes.get(*shape), &labels, &taints) {
            return Some(Wrong::NotLetIn { on: on.clone(), label_or_taint });
        }
    }
    overfull(cluster, on, sum, pods, offered)
}

fn on_claim(cluster: &Cluster, on: &Name, claim: &Claim, pods: &[(ShapeId, u32)]) -> Option<Wrong> {
    if claim.is_going() {
        return Some(Wrong::NowhereToGo { on: on.clone() });
    }
    let will_be = Requirements::from_labels(&claim.labels()).and(&claim.spec.wishes);
    for shape in pods.iter().map(|(shape, _)| cluster.shapes.get(*shape)) {
        // Its name is not known yet, and it will have one.
        let given = |key: &str| well_known(key) || key == HOSTNAME;
        let refusals = shape.wishes.iter().map(|term| will_be.refuses(term, &given));
        if let Some(label_or_taint) = refusals.min().unwrap_or(None) {
            return Some(Wrong::NotLetIn { on: on.clone(), label_or_taint: label_or_taint.clone() });
        }
        let taint = claim.spec.taints.iter().find(|taint| !shape.tolerations.iter().any(|t| t.tolerates(taint)));
        if let Some(taint) = taint.filter(|taint| taint.effect != crate::nodes::taint::Effect::PreferNoSchedule) {
            return Some(Wrong::NotLetIn { on: on.clone(), label_or_taint: taint.key.clone() });
        }
    }
    overfull(cluster, on, Resources::default(), pods, claim.offers())
}

/// What of these pods' requests, beside what is used, the offered room does not hold. A resource of which the pods ask nothing may be overfull without them.
fn overfull(cluster: &Cluster, on: &Name, used: Resources, pods: &[(ShapeId, u32)], offered: &Resources) -> Option<Wrong> {
    let mut more = Resources::default();
    for (shape, count) in pods {
        more.add(&cluster.shapes.get(*shape).requests, *count);
    }
    let mut left = offered.clone();
    left.take(&used, 1);
    lacking(&more, &left).map(|resource| Wrong::Overfull { on: on.clone(), resource })
}
