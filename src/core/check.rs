//! What must be true of any plan, whoever made it. Tests and the world fail on a breach; the daemon refuses the actions that a breach concerns.
//!
//! A checker stands outside of what it checks: it looks at each machine that could be bought as the node that it would become, counts pods one by one, and
//! uses nothing of the planner's own packing, bins or bookings.

mod bought;
mod company;
mod domains;
mod fit;
mod leaving;
mod places;
mod room;
mod spread;

use std::collections::BTreeMap;
use std::fmt;

use crate::Timestamp;
use crate::name::Name;
use crate::nodes::DISRUPTED;
use crate::nodes::cluster::{Cluster, Pod};
use crate::nodes::constraint::HostPort;
use crate::nodes::launch::{INITIALIZED, REGISTERED};
use crate::nodes::offer::Offers;
use crate::nodes::workload::WorkloadKey;
use crate::plan::{Action, ActionKey, Plan};
use crate::units::Replicas;

/// Something that must be true of any plan and is not true of this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breach {
    /// What is wrong.
    pub what: Wrong,
    /// The actions that belong together by it, as places in the plan's list: none of them may be carried out. Empty where only an expectation is wrong.
    pub actions: Vec<usize>,
}

/// What can be wrong about a plan.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the sentence that each prints is its documentation")]
pub enum Wrong {
    RepeatedKey { key: ActionKey },
    NoPool { claim: Name, pool: Name },
    UnusablePool { claim: Name, pool: Name, why: String },
    NotOfPool { claim: Name, pool: Name, what: Name },
    NoType { claim: Name },
    NotSold { claim: Name, instance_type: Name },
    TooSmall { claim: Name, instance_type: Name, resource: Name },
    Excluded { claim: Name, instance_type: Name, label_or_taint: Name },
    Limit { pool: Name, resource: Name, would_be: i64, limit: i64 },
    Budget { pool: Name, leaving: u32, allowed: u32 },
    Busy { node: Name, pods: u32 },
    Protected { node: Name },
    NotCordoned { node: Name },
    NeededNode { node: Name },
    WrongOffering { claim: Name, offering: String, why: &'static str },
    NothingToLaunch { claim: Name },
    NowhereToGo { on: Name },
    Overfull { on: Name, resource: Name },
    NotLetIn { on: Name, label_or_taint: Name },
    PortTaken { on: Name, port: HostPort, pod: String },
    VolumesElsewhere { on: Name, pod: String, why: String },
    TooManyVolumes { on: Name, driver: Name },
    NoDomain { on: Name, key: Name, pod: String },
    Together { key: Name, domain: Name, pod: String, other: String },
    Alone { key: Name, domain: Name, pod: String },
    Uneven { key: Name, domain: Name, pod: String, count: u32, least: u32, max_skew: u32 },
    Restless,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RepeatedKey { key } => write!(f, "more than one action is about `{key}`"),
            Self::NoPool { claim, pool } => write!(f, "claim {claim} is of pool {pool}, which does not exist"),
            Self::UnusablePool { claim, pool, why } => write!(f, "claim {claim} is of pool {pool}, which cannot be used: {why}"),
            Self::NotOfPool { claim, pool, what } => write!(f, "claim {claim} contradicts its pool {pool} in {what}"),
            Self::NoType { claim } => write!(f, "claim {claim} lists no type"),
            Self::NotSold { claim, instance_type } => write!(f, "claim {claim} lists {instance_type}, which is not sold as it asks"),
            Self::TooSmall { claim, instance_type, resource } => {
                write!(f, "claim {claim} lists {instance_type}, which has too little {resource} for its pods")
            }
            Self::Excluded { claim, instance_type, label_or_taint } => {
                write!(f, "claim {claim} lists {instance_type}, and {label_or_taint} keeps its pods off such a node")
            }
            Self::Limit { pool, resource, would_be, limit } => {
                write!(f, "pool {pool} would have {would_be} of {resource}, and its limit is {limit}")
            }
            Self::Budget { pool, leaving, allowed } => {
                write!(f, "{leaving} nodes of pool {pool} would be on their way out, and its budgets allow {allowed}")
            }
            Self::Busy { node, pods } => write!(f, "node {node} is to go for being empty and has {pods} pods that do work"),
            Self::Protected { node } => write!(f, "node {node} is to go and may not be disrupted"),
            Self::NotCordoned { node } => write!(f, "node {node} is to go while new pods may still come to it"),
            Self::NeededNode { node } => write!(f, "node {node} is to go while waiting pods are meant for it"),
            Self::WrongOffering { claim, offering, why } => write!(f, "claim {claim} would be launched as {offering}, which {why}"),
            Self::NothingToLaunch { claim } => {
                write!(f, "claim {claim} cannot be launched: it is gone, on its way out, bought already or has no offering")
            }
            Self::NowhereToGo { on } => write!(f, "pods are meant for {on}, which takes no pods"),
            Self::Overfull { on, resource } => write!(f, "pods are meant for {on}, which has too little {resource} left"),
            Self::NotLetIn { on, label_or_taint } => write!(f, "pods are meant for {on}, and {label_or_taint} keeps them away"),
            Self::PortTaken { on, port, pod } => write!(f, "{pod} is meant for {on}, where its host port {port} is taken"),
            Self::VolumesElsewhere { on, pod, why } => write!(f, "{pod} is meant for {on}, where it cannot use its volumes: {why}"),
            Self::TooManyVolumes { on, driver } => write!(f, "pods are meant for {on}, which cannot hold so many volumes of {driver}"),
            Self::NoDomain { on, key, pod } => write!(f, "{pod} is meant for {on}, which has no label {key}, and minds who is where by it"),
            Self::Together { key, domain, pod, other } => {
                write!(f, "{pod} is meant for {domain} ({key}) beside {other}, and one of them refuses the other there")
            }
            Self::Alone { key, domain, pod } => {
                write!(f, "{pod} is meant for {domain} ({key}), where none of the pods will be that it has to be near")
            }
            Self::Uneven { key, domain, pod, count, least, max_skew } => write!(
                f,
                "{pod} is meant for {domain} ({key}), which would have {count} of the pods that it is spread with; the emptiest has {least}, and maxSkew is {max_skew}"
            ),
            Self::Restless => f.write_str("nothing waits and nothing is in motion, and there is something to do all the same"),
        }
    }
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.what)?;
        match &self.actions[..] {
            [] => Ok(()),
            [one] => write!(f, " (action {one})"),
            many => write!(f, " (actions {})", many.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")),
        }
    }
}

impl Breach {
    fn of(what: Wrong, actions: impl IntoIterator<Item = usize>) -> Self {
        Self { what, actions: actions.into_iter().collect() }
    }
}

/// All that is wrong about a plan, given what it was made from.
#[must_use]
pub fn check(now: Timestamp, cluster: &Cluster, wanted: &BTreeMap<WorkloadKey, Replicas>, offers: &Offers, plan: &Plan) -> Vec<Breach> {
    let mut breaches = Vec::new();
    let owners = places::owners(cluster);
    let places = places::places(cluster, &owners, plan);
    repeated_keys(plan, &mut breaches);
    bought::created(cluster, offers, plan, &places, &mut breaches);
    bought::limits(cluster, offers, plan, &mut breaches);
    bought::launched(cluster, offers, plan, &mut breaches);
    leaving::chosen(now, cluster, &owners, plan, &mut breaches);
    room::placements(cluster, &places, &mut breaches);
    domains::kept(cluster, &owners, &places, &mut breaches);
    if is_still(now, cluster, wanted) {
        let acts: Vec<usize> = indexed(plan).filter(|(_, action)| !is_of_workloads(action)).map(|(i, _)| i).collect();
        if !acts.is_empty() {
            breaches.push(Breach::of(Wrong::Restless, acts));
        }
    }
    breaches
}

fn indexed(plan: &Plan) -> impl Iterator<Item = (usize, &Action)> {
    plan.actions.iter().enumerate()
}

/// Whether an action is the workload layer's, which has its own reasons to act in a world where no node has to.
const fn is_of_workloads(action: &Action) -> bool {
    matches!(action, Action::Scale { .. } | Action::RemoveAutoscaler { .. } | Action::ReleaseScaled { .. })
}

fn repeated_keys(plan: &Plan, breaches: &mut Vec<Breach>) {
    let mut places: BTreeMap<ActionKey, Vec<usize>> = BTreeMap::new();
    for (i, action) in indexed(plan) {
        places.entry(action.key()).or_default().push(i);
    }
    breaches.extend(
        places.into_iter().filter(|(_, places)| places.len() > 1).map(|(key, places)| Breach::of(Wrong::RepeatedKey { key }, places)),
    );
}

/// Whether a pod does work on a node or waits to: DaemonSets' pods and the node's own come and go with the node.
fn works(pod: &Pod) -> bool {
    use crate::nodes::cluster::{PodPhase, PodRole};
    pod.role == PodRole::Work && pod.phase != PodPhase::Ended
}

/// Whether there is nothing to do: no pod waits or is still to come, every claim is a node that is ready for pods, and no node could be taken away.
fn is_still(now: Timestamp, cluster: &Cluster, wanted: &BTreeMap<WorkloadKey, Replicas>) -> bool {
    let settled = cluster.claims.values().all(|claim| {
        let young = claim.spec.expire_after.and_then(|age| claim.created.checked_add(age).ok()).is_none_or(|end| now < end);
        let Some((_, node)) = cluster.node_of(claim) else { return false };
        let has = |label: &str| node.labels.get(label).is_some_and(|value| value == "true");
        let taints_settled = !node.taints.iter().any(|taint| taint.key == DISRUPTED || taint.key == crate::nodes::launch::UNREGISTERED);
        // Somebody may have written that the last step was taken, and not the first.
        let steps = [claim.progress.launched, claim.progress.registered, claim.progress.initialized];
        let started = steps.iter().all(Option::is_some) && has(REGISTERED) && has(INITIALIZED) && node.finalized && taints_settled;
        young && started && claim.uid.is_some() && !claim.is_going() && !node.deleting
    });
    if !settled || cluster.pods.values().any(Pod::waits) {
        return false;
    }
    let come = wanted.iter().all(|(key, want)| {
        cluster
            .workloads
            .get(key)
            .is_none_or(|workload| cluster.counts_of(workload).alive >= want.0 && cluster.templates.contains_key(&workload.template))
    });
    come && !leaving::any_may_go(cluster)
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "check/beside_tests.rs"]
mod beside_tests;
