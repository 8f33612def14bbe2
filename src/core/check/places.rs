//! Where a plan means waiting pods to go, and as much as can be known of what will be there.

use std::collections::{BTreeMap, BTreeSet};

use crate::name::Name;
use crate::nodes::claim::{Claim, ClaimSpec};
use crate::nodes::cluster::{Cluster, Load, Node};
use crate::nodes::shape::ShapeId;
use crate::nodes::workload::Template;
use crate::nodes::{CAPACITY_TYPE, INSTANCE_TYPE, NODE_POOL, ZONE};
use crate::plan::{Action, Plan};

/// A node or claim that pods are meant for, or a claim that is created.
pub(super) struct Place<'a> {
    pub(super) on: &'a Name,
    pub(super) is: Is<'a>,
    pub(super) pods: BTreeMap<ShapeId, u32>,
}

/// What is there.
#[derive(Clone, Copy)]
pub(super) enum Is<'a> {
    /// A node, with its claim where it is one of ours.
    Node(&'a Node, Option<&'a Claim>),
    /// A claim without a node.
    Claim(&'a Claim),
    /// A claim that this plan creates, by which action.
    New(usize, &'a ClaimSpec),
    /// A node, and a claim of the same name that is still to become another: nobody can tell which of them is meant.
    Unknown,
    /// Neither.
    Nothing,
}

/// All places of a plan by name.
pub(super) type Places<'a> = BTreeMap<&'a Name, Place<'a>>;

/// Whose machine each node stands for.
pub(super) type Owners<'a> = BTreeMap<&'a Name, &'a Claim>;

pub(super) fn owners(cluster: &Cluster) -> Owners<'_> {
    cluster.claims.values().filter_map(|claim| cluster.node_of(claim).map(|(node, _)| (node, claim))).collect()
}

/// Where this plan means pods to go. A claim that was planned in an earlier turn, and is still to be created, was looked at then: it counts as one that is
/// there.
pub(super) fn places<'a>(cluster: &'a Cluster, owners: &Owners<'a>, plan: &'a Plan) -> Places<'a> {
    let mut all: Places<'a> = BTreeMap::new();
    for (i, action) in plan.actions.iter().enumerate() {
        if let Action::CreateClaim { name, spec } = action
            && !cluster.claims.contains_key(name)
        {
            all.entry(name).or_insert(Place { on: name, is: Is::New(i, spec), pods: BTreeMap::new() });
        }
    }
    for placement in &plan.placements {
        let on = &placement.on;
        let place = all.entry(on).or_insert_with(|| Place { on, is: what_is(cluster, owners, on), pods: BTreeMap::new() });
        *place.pods.entry(placement.shape).or_default() += placement.count;
    }
    all
}

fn what_is<'a>(cluster: &'a Cluster, owners: &Owners<'a>, on: &Name) -> Is<'a> {
    match (cluster.nodes.get(on), cluster.claims.get(on)) {
        (Some(_), Some(claim)) if cluster.node_of(claim).is_none() => Is::Unknown,
        (Some(node), _) => Is::Node(node, owners.get(on).copied()),
        (None, Some(claim)) => Is::Claim(claim),
        (None, None) => Is::Nothing,
    }
}

impl<'a> Is<'a> {
    /// The value of a label there; none where there is no such label or it is not decided yet.
    pub(super) fn value(&self, key: &str) -> Option<Name> {
        match self {
            Self::Node(node, claim) => node.labels.get(key).cloned().or_else(|| value_of(claim.filter(|claim| is_starting(claim))?, key)),
            Self::Claim(claim) => value_of(claim, key),
            Self::New(_, spec) => value_by(spec, key),
            Self::Unknown | Self::Nothing => None,
        }
    }

    /// How many pods of this shape an earlier turn meant for it that are not among those that run there.
    pub(super) fn meant(&self, shape: ShapeId, load: Option<&Load>) -> u32 {
        let (Self::Node(_, Some(claim)) | Self::Claim(claim)) = self else { return 0 };
        let meant: u32 = claim.meant_for.iter().filter(|(of, _)| *of == shape).map(|(_, count)| *count).sum();
        meant.saturating_sub(load.and_then(|load| load.shapes.get(&shape)).copied().unwrap_or(0))
    }

    /// The action that creates it.
    pub(super) const fn action(&self) -> Option<usize> {
        if let Self::New(action, _) = self { Some(*action) } else { None }
    }
}

/// Whether a claim's node is not ready for pods yet: labels are still to come, and taints go.
pub(super) const fn is_starting(claim: &Claim) -> bool {
    claim.progress.initialized.is_none()
}

fn value_of(claim: &Claim, key: &str) -> Option<Name> {
    let known = claim.machine.as_ref().and_then(|machine| match key {
        INSTANCE_TYPE => Some(machine.instance_type.clone()),
        ZONE => Some(machine.zone.clone()),
        CAPACITY_TYPE => Some(machine.capacity_type.label().into()),
        _ => machine.labels.get(key).cloned(),
    });
    known.or_else(|| value_by(&claim.spec, key))
}

/// What a claim's own words leave no choice about.
fn value_by(spec: &ClaimSpec, key: &str) -> Option<Name> {
    if key == NODE_POOL && !spec.pool.is_empty() {
        return Some(spec.pool.clone());
    }
    if key == INSTANCE_TYPE && spec.types.len() == 1 {
        return spec.types.first().cloned();
    }
    let wished = || spec.wishes.0.get(key)?.listed().filter(|values| values.len() == 1)?.first();
    spec.labels.get(key).or_else(wished).cloned()
}

/// What people call pods of this shape: the first that waits, or that runs on one of these nodes, or the workload that is to have them.
pub(super) fn called(cluster: &Cluster, shape: ShapeId, on: &[&Name]) -> String {
    let waits = || cluster.waiting().get(&shape).and_then(BTreeSet::first);
    let running = || {
        let pods = on.iter().filter_map(|node| cluster.load(node)).flat_map(|load| &load.pods);
        pods.into_iter().find(|key| cluster.pods.get(*key).is_some_and(|pod| pod.shape == shape))
    };
    if let Some(pod) = if on.is_empty() { waits() } else { running() } {
        return format!("pod {pod}");
    }
    let templates = cluster.workloads.iter().find(|(_, workload)| {
        cluster
            .templates
            .get(&workload.template)
            .is_some_and(|template| matches!(template, Template::Pod { shape: of, .. } if *of == shape))
    });
    templates.map_or_else(|| "a pod that is to come".to_owned(), |(workload, _)| format!("a pod of {workload}"))
}
