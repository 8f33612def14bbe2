//! What an API server makes of our writes to claims and nodes, for worlds that have none. In a cluster, its answers say it.

use super::DISRUPTED;
use super::claim::Claim;
use super::cluster::{Cluster, Node};
use super::launch::{INITIALIZED, REGISTERED, UNREGISTERED};
use super::taint::{Effect, Taint};
use crate::Timestamp;
use crate::name::Name;
use crate::plan::Action;

/// Carries out an action on the index, as version `version` of the object that it is about. False where it is about something else: a cloud, a pod, a scale.
pub fn write(cluster: &mut Cluster, now: Timestamp, version: u64, action: &Action) -> bool {
    match action {
        Action::CreateClaim { name, .. } => change_claim(cluster, name, version, |claim| {
            claim.uid = Some(format!("uid-{name}").into());
            claim.finalized = true;
        }),
        Action::RecordLaunch { claim, machine, .. } => change_claim(cluster, claim, version, |claim| {
            claim.provider_id = Some(machine.provider_id.clone());
            claim.progress.launched = Some(now);
        }),
        Action::Register { claim, node } => {
            let Some(claim) = cluster.claims.get(claim).cloned() else { return true };
            change_node(cluster, node, version, |node| {
                node.taints.retain(|taint| taint.key != UNREGISTERED);
                node.taints.extend(claim.spec.taints.iter().cloned());
                node.labels.extend(claim.labels());
                node.labels.insert(REGISTERED.into(), "true".into());
                node.finalized = true;
            });
        }
        Action::RecordRegistration { claim, node } => change_claim(cluster, claim, version, |claim| {
            claim.node_name = Some(node.clone());
            claim.progress.registered = Some(now);
        }),
        Action::Initialize { node, .. } => {
            change_node(cluster, node, version, |node| _ = node.labels.insert(INITIALIZED.into(), "true".into()))
        }
        Action::RecordInitialization { claim } => change_claim(cluster, claim, version, |claim| claim.progress.initialized = Some(now)),
        Action::Cordon { node, .. } => change_node(cluster, node, version, |node| node.taints.push(disrupted())),
        Action::Uncordon { node } => change_node(cluster, node, version, |node| node.taints.retain(|taint| taint.key != DISRUPTED)),
        Action::DeleteClaim { claim, .. } => change_claim(cluster, claim, version, |claim| claim.deleting_since = Some(now)),
        Action::RemoveNode { node } => cluster.delete_node(node, None),
        Action::ReleaseClaim { claim, uid } => cluster.delete_claim(claim, Some(uid)),
        Action::Scale { .. }
        | Action::RemoveAutoscaler { .. }
        | Action::ReleaseScaled { .. }
        | Action::Probe { .. }
        | Action::Launch { .. }
        | Action::Inspect { .. }
        | Action::Evict { .. }
        | Action::Terminate { .. } => return false,
    }
    true
}

/// Changes a claim that is there, as the API server would.
pub fn change_claim(cluster: &mut Cluster, name: &Name, version: u64, change: impl FnOnce(&mut Claim)) {
    if let Some(mut claim) = cluster.claims.get(name).cloned() {
        change(&mut claim);
        claim.version = version;
        cluster.apply_claim(name.clone(), claim);
    }
}

/// Changes a node that is there, as the API server would.
pub fn change_node(cluster: &mut Cluster, name: &Name, version: u64, change: impl FnOnce(&mut Node)) {
    if let Some(mut node) = cluster.nodes.get(name).cloned() {
        change(&mut node);
        node.version = version;
        cluster.apply_node(name.clone(), node);
    }
}

fn disrupted() -> Taint {
    Taint { key: DISRUPTED.into(), value: Name::default(), effect: Effect::NoSchedule }
}
