//! Room that is there already or on its way: existing nodes first, then claims whose nodes have yet to come. Waiting pods go here before anything is bought,
//! so that a turn that repeats, or a pod that takes the place of its virtual twin, launches nothing.

use std::collections::BTreeMap;

use super::claim::Claim;
use super::cluster::{Cluster, Node};
use super::company::{Company, HostRules};
use super::constraint::HostPort;
use super::launch::{INITIALIZED, REGISTERED};
use super::market::{kept_away, of_new_node};
use super::pool::Pool;
use super::requirement::{Labels, Requirements};
use super::resources::Resources;
use super::shape::ShapeId;
use super::taint::{Taint, Toleration, in_the_way, is_ephemeral};
use super::topology::Filter;
use super::{DISRUPTED, well_known};
use crate::name::Name;

/// A node or claim with the room that is left on it.
#[derive(Debug)]
pub(super) struct Bin<'a> {
    /// The node's name, or the claim's while there is no node.
    pub(super) name: &'a Name,
    /// What is left.
    pub(super) free: Resources,
    /// Who is on it.
    pub(super) company: Company,
    labels: Is<'a>,
    taints: Vec<&'a Taint>,
    rank: u8,
    /// Pods that it was bought for and that are not on it yet, by shape.
    pub(super) meant_for: Vec<(ShapeId, u32)>,
}

#[derive(Debug)]
enum Is<'a> {
    Node(&'a Labels),
    Claim(Requirements),
}

impl Bin<'_> {
    /// Whether pods with these wishes, one of which must hold, may come.
    pub(super) fn answers(&self, terms: &[Requirements]) -> bool {
        terms.iter().any(|wishes| match &self.labels {
            Is::Node(labels) => wishes.unanswered_by_node(self.name, labels).is_none(),
            Is::Claim(will_be) => of_new_node(wishes).is_some_and(|wishes| will_be.refuses(&wishes, &well_known).is_none()),
        })
    }

    /// Whether pods with these tolerations may come; `heed` says whether taints that only ask are heeded.
    pub(super) fn lets_in(&self, tolerations: &[Toleration], heed: bool) -> bool {
        kept_away(self.taints.iter().copied(), tolerations, heed).is_none()
    }

    /// Whether a spread constraint looks at it.
    pub(super) fn is_meant_by(&self, filter: &Filter) -> bool {
        filter.wishes.as_ref().is_none_or(|terms| self.answers(terms))
            && filter.tolerations.as_ref().is_none_or(|tolerations| self.lets_in(tolerations, false))
    }

    /// The value of a label, where it is known.
    pub(super) fn value(&self, key: &str) -> Option<&Name> {
        match &self.labels {
            Is::Node(labels) => labels.get(key),
            Is::Claim(will_be) => will_be.0.get(key)?.listed().filter(|values| values.len() == 1)?.first(),
        }
    }

    /// Whether its labels have these values.
    pub(super) fn is_at(&self, domains: &[(Name, Option<Name>)]) -> bool {
        domains.iter().all(|(key, value)| match (&self.labels, value) {
            (_, Some(value)) => self.value(key) == Some(value),
            (Is::Node(labels), None) => !labels.contains_key(key),
            // Its machine may have the label.
            (Is::Claim(_), None) => false,
        })
    }
}

/// Every node and claim that new pods may go to: initialized nodes first, then those that start, then claims, and nodes that were to go at last, which are
/// still cheaper than new ones; by name within each.
#[must_use]
pub(super) fn bins<'a>(cluster: &'a Cluster, rules: &HostRules) -> Vec<Bin<'a>> {
    let claim_of: BTreeMap<&Name, (&Name, &Claim)> =
        cluster.claims.iter().filter_map(|(name, claim)| cluster.node_of(claim).map(|(node, _)| (node, (name, claim)))).collect();
    let nodes = cluster.nodes.iter().filter(|(_, node)| !node.deleting).filter_map(|(name, node)| {
        let claim = claim_of.get(name).map(|(_, claim)| *claim);
        node_bin(cluster, rules, name, node, claim)
    });
    // A claim whose node has registered and is gone, or whose machine has ended, will hold no pod any more.
    let to_come = |claim: &Claim| !claim.is_going() && claim.progress.registered.is_none();
    let claims = cluster.claims.iter().filter(|(_, claim)| to_come(claim) && cluster.node_of(claim).is_none()).map(|(name, claim)| {
        let mut free = claim.offers().clone();
        let daemons = daemons_of(cluster, claim);
        free.take(&daemons.sum, 1);
        Bin {
            name,
            free,
            company: Company::with_ports(daemons.ports),
            labels: Is::Claim(will_be(claim)),
            taints: claim.spec.taints.iter().collect(),
            rank: 2,
            meant_for: claim.meant_for.clone(),
        }
    });
    let mut all: Vec<Bin<'_>> = nodes.chain(claims).collect();
    all.sort_by(|a, b| (a.rank, a.name).cmp(&(b.rank, b.name)));
    all
}

fn node_bin<'a>(cluster: &'a Cluster, rules: &HostRules, name: &'a Name, node: &'a Node, claim: Option<&'a Claim>) -> Option<Bin<'a>> {
    if claim.is_some_and(Claim::is_going) {
        return None;
    }
    let starting = claim.filter(|claim| claim.progress.initialized.is_none());
    // A node of somebody else that is not ready may never be; one of ours that was ready and is not now is left to the scheduler's own judgement.
    if starting.is_none() && !node.ready {
        return None;
    }
    let offered = starting.map_or(&node.allocatable, |claim| claim.offers());
    let startup: &[Taint] = starting.map_or(&[], |claim| &claim.spec.startup_taints);
    let lasts = |taint: &&Taint| starting.is_none() || !(is_ephemeral(taint) || startup.contains(taint));
    // The taint of a node that is to go is ours to take away as long as its claim is not being deleted.
    let reprieve = claim.is_some() && node.taints.iter().any(|taint| taint.key == DISRUPTED);
    let taints: Vec<&Taint> = node.taints.iter().filter(lasts).filter(|taint| !(reprieve && taint.key == DISRUPTED)).collect();
    let nothing = Resources::default();
    let load = cluster.load(name);
    let (used, by_daemons) = load.map_or((&nothing, &nothing), |load| (&load.used, &load.used_by_daemons));
    // What a node is, its labels say, and nothing but them.
    let daemons = daemons_on(cluster, &Requirements::from_labels(&node.labels), taints.iter().copied(), false);
    let mut to_come = daemons.sum;
    to_come.take(by_daemons, 1);
    let mut free = offered.clone();
    free.take(used, 1);
    free.take(&to_come.max(&nothing), 1);
    let mut company = Company::with_ports(daemons.ports);
    let limited = cluster.storage.limits.contains_key(name);
    for (id, count) in load.into_iter().flat_map(|load| &load.shapes) {
        let shape = cluster.shapes.get(*id);
        company.add_running(rules, shape, *count);
        if limited && !shape.volumes.is_empty() {
            company.attached.extend(cluster.storage.needs(&shape.volumes).unwrap_or_default().attached);
        }
    }
    let rank = if reprieve { 3 } else { u8::from(starting.is_some()) };
    Some(Bin {
        name,
        free,
        company,
        labels: Is::Node(&node.labels),
        taints,
        rank,
        meant_for: claim.map(|claim| still_meant(cluster, name, claim)).unwrap_or_default(),
    })
}

/// What a claim's node will be, as far as it is known.
fn will_be(claim: &Claim) -> Requirements {
    Requirements::from_labels(&claim.labels()).and(&claim.spec.wishes)
}

/// What DaemonSets take of a node.
#[derive(Debug, Default)]
pub(super) struct Daemons {
    pub(super) sum: Resources,
    pub(super) ports: Vec<HostPort>,
}

/// What DaemonSets will ask for on a claim's node, as far as it is known what that will be.
pub(super) fn daemons_of(cluster: &Cluster, claim: &Claim) -> Daemons {
    daemons_on(cluster, &will_be(claim), &claim.spec.taints, true)
}

/// What DaemonSets will ask for on a node with these labels and taints. One that is still to come will have more labels than are known.
fn daemons_on<'a>(
    cluster: &Cluster,
    will_be: &Requirements,
    taints: impl IntoIterator<Item = &'a Taint> + Clone,
    to_come: bool,
) -> Daemons {
    let mut all = Daemons::default();
    // Each node registers and initializes before its pods come, and some DaemonSets wait for just that.
    let given = |key: &str| to_come && well_known(key) || key == REGISTERED || key == INITIALIZED;
    // What has to wait for a device that the planner does not know of takes no room on a node of which nobody knows whether it has one.
    for shape in cluster.daemons.values().map(|id| cluster.shapes.get(*id)).filter(|shape| shape.beyond.is_empty()) {
        let lasting = taints.clone().into_iter().filter(|taint| !is_ephemeral(taint));
        if in_the_way(lasting, &shape.tolerations).is_none() && shape.wishes.iter().any(|wishes| will_be.refuses(wishes, &given).is_none())
        {
            all.sum.add(&shape.requests, 1);
            all.ports.extend(shape.ports.iter().cloned());
        }
    }
    all
}

/// What DaemonSets will ask for on a new machine of this pool, as far as the pool says what that will be.
pub(super) fn daemons_in(cluster: &Cluster, pool: &Pool, machine: &Requirements) -> Daemons {
    daemons_on(cluster, &pool.wishes.and(machine), &pool.taints, true)
}

/// What a claim's node was bought for, less the pods of these shapes that are on it by now.
fn still_meant(cluster: &Cluster, node: &Name, claim: &Claim) -> Vec<(ShapeId, u32)> {
    let mut meant = claim.meant_for.clone();
    if let Some(load) = cluster.load(node) {
        for (shape, count) in &mut meant {
            *count = count.saturating_sub(load.shapes.get(shape).copied().unwrap_or(0));
        }
    }
    meant
}
