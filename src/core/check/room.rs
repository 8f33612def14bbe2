//! What must be true of where waiting pods are expected: there is room for all of them, and nothing keeps them away.

use std::collections::BTreeSet;

use super::fit::{Guests, Seat, daemons};
use super::places::{Is, Place, Places, is_starting};
use super::{Breach, Wrong};
use crate::nodes::claim::Claim;
use crate::nodes::cluster::{Cluster, Node, PodRole};
use crate::nodes::constraint::HOSTNAME;
use crate::nodes::requirement::Requirements;
use crate::nodes::resources::Resources;
use crate::nodes::taint::{Taint, is_ephemeral};
use crate::nodes::{DISRUPTED, well_known};

/// Placements on nodes and claims that exist. Those on new claims are looked at with the claim.
pub(super) fn placements(cluster: &Cluster, places: &Places<'_>, breaches: &mut Vec<Breach>) {
    for place in places.values() {
        let wrong = match place.is {
            Is::Node(node, claim) => on_node(cluster, place, node, claim),
            Is::Claim(claim) => on_claim(cluster, place, claim),
            Is::New(..) | Is::Unknown => None,
            Is::Nothing => Some(Wrong::NowhereToGo { on: place.on.clone() }),
        };
        breaches.extend(wrong.map(|what| Breach::of(what, [])));
    }
}

fn on_node(cluster: &Cluster, place: &Place<'_>, node: &Node, claim: Option<&Claim>) -> Option<Wrong> {
    let starting = claim.filter(|claim| is_starting(claim));
    if node.deleting || claim.is_some_and(Claim::is_going) || starting.is_none() && !node.ready {
        return Some(Wrong::NowhereToGo { on: place.on.clone() });
    }
    // A start's own taints go, and the one of a node that was to go is taken away for its pods.
    let goes = |taint: &Taint| {
        starting.is_some_and(|claim| is_ephemeral(taint) || claim.spec.startup_taints.contains(taint))
            || claim.is_some() && taint.key == DISRUPTED
    };
    let taints: Vec<Taint> = node.taints.iter().filter(|taint| !goes(taint)).cloned().collect();
    let refuses = |wishes: &Requirements| wishes.unanswered_by_node(place.on, &node.labels).cloned();
    let mut seat = Seat::of(starting.map_or(&node.allocatable, Claim::offers), &taints, &refuses);
    let mut by_daemons = Resources::default();
    let mut attached = cluster.storage.limits.contains_key(place.on).then(BTreeSet::new);
    for key in cluster.load(place.on).into_iter().flat_map(|load| &load.pods) {
        let Some(pod) = cluster.pods.get(key).filter(|pod| pod.is_alive()) else { continue };
        let shape = cluster.shapes.get(pod.shape);
        let part = if pod.role == PodRole::Daemon { &mut by_daemons } else { &mut seat.used };
        part.add(&shape.requests, 1);
        seat.ports.extend(&shape.ports);
        if let Some(attached) = attached.as_mut().filter(|_| !shape.volumes.is_empty()) {
            attached.extend(cluster.storage.needs(&shape.volumes).unwrap_or_default().attached);
        }
    }
    // DaemonSets whose pods have not come yet need their room too.
    let mut expected = Resources::default();
    for daemon in daemons(cluster, &taints, &refuses) {
        expected.add(&daemon.requests, 1);
        seat.ports.extend(&daemon.ports);
    }
    seat.used.add(&by_daemons.max(&expected), 1);
    seat.attached = attached.map(|attached| (place.on, attached));
    Guests::of(cluster, &place.pods).misfit(cluster, &seat).map(|misfit| misfit.on(cluster, place.on))
}

fn on_claim(cluster: &Cluster, place: &Place<'_>, claim: &Claim) -> Option<Wrong> {
    if claim.is_going() {
        return Some(Wrong::NowhereToGo { on: place.on.clone() });
    }
    let labels = claim.labels();
    let will_be = Requirements::from_labels(&labels).and(&claim.spec.wishes);
    // Its name is not known yet, and it will have one.
    let given = |key: &str| well_known(key) || key == HOSTNAME;
    let refuses = |wishes: &Requirements| will_be.refuses(wishes, &given).cloned();
    let mut seat = Seat::of(claim.offers(), &claim.spec.taints, &refuses);
    // Only those DaemonSets that come whatever it will be.
    let surely = |wishes: &Requirements| wishes.unanswered_by(&labels).or_else(|| will_be.refuses(wishes, &|_| false)).cloned();
    seat.ports.extend(daemons(cluster, &claim.spec.taints, &surely).flat_map(|daemon| &daemon.ports));
    Guests::of(cluster, &place.pods).misfit(cluster, &seat).map(|misfit| misfit.on(cluster, place.on))
}
