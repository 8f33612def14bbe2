//! A claim's way from a name to a node that is ready for pods: created, launched, registered, initialized, or given up.

use super::claim::{Claim, ClaimSpec};
use super::cluster::{Cluster, Node};
use super::offer::{InstanceType, OfferingKey, Offers, StockOuts};
use super::requirement::{Requirement, Requirements};
use super::taint::is_ephemeral;
use super::{CAPACITY_TYPE, DISRUPTED, INSTANCE_TYPE, NODE_POOL, ZONE};
use crate::name::Name;
use crate::plan::{Action, Why};
use crate::units::MicroDollarsPerHour;
use crate::{Span, Timestamp};

/// A machine that no cloud has sold by then is given up; Karpenter's time.
pub const LAUNCH_WITHIN: Span = Span::from_mins(5);
/// A machine whose node has not appeared by then is given up; Karpenter's time.
pub const REGISTER_WITHIN: Span = Span::from_mins(15);

/// A machine that the cloud takes back is drained so long before its end as its pods may take to stop, and this for what comes between; at once where the
/// notice is shorter.
pub const DRAIN_MARGIN: Span = Span::from_secs(30);

/// Label of a node that has registered.
pub const REGISTERED: &str = "karpenter.sh/registered";
/// Label of a node that is ready for pods.
pub const INITIALIZED: &str = "karpenter.sh/initialized";
/// Taint of a node that has not registered.
pub const UNREGISTERED: &str = "karpenter.sh/unregistered";

/// The next step of a claim that is not being deleted, and when time alone changes that.
#[must_use]
pub fn step(
    now: Timestamp,
    cluster: &Cluster,
    offers: &Offers,
    stock: &StockOuts,
    name: &Name,
    claim: &Claim,
) -> (Option<Action>, Option<Timestamp>) {
    let Some(uid) = &claim.uid else {
        return (Some(Action::CreateClaim { name: name.clone(), spec: Box::new(claim.spec.clone()) }), None);
    };
    let give_up = |reason| Some(Action::DeleteClaim { claim: name.clone(), uid: uid.clone(), reason });
    if claim.ended {
        return (give_up(Why::MachineEnded), None);
    }
    if let Some(end) = claim.interrupted {
        let load = cluster.node_of(claim).and_then(|(node, _)| cluster.load(node));
        let idle = load.is_none_or(|load| load.working == 0);
        let pods = load.into_iter().flat_map(|load| &load.pods).filter_map(|key| cluster.pods.get(key));
        let grace = pods.map(|pod| pod.grace).max().unwrap_or_default();
        let drain = end.checked_sub(grace.saturating_add(DRAIN_MARGIN)).unwrap_or(now);
        if drain <= now || idle {
            return (give_up(Why::Interrupted), None);
        }
        // Until then its pods go on working while machines boot for their successors; only new pods are kept off.
        let open = cluster.node_of(claim).filter(|(_, node)| !node.taints.iter().any(|taint| taint.key == DISRUPTED));
        return (open.map(|(node, _)| Action::Cordon { node: node.clone(), reason: Why::Interrupted }), Some(drain));
    }
    let expiry = claim.spec.expire_after.and_then(|age| claim.created.checked_add(age).ok());
    if expiry.is_some_and(|expiry| expiry <= now) {
        return (give_up(Why::Expired), None);
    }
    let Some(launched) = claim.progress.launched else {
        return (unlaunched(now, offers, stock, name, uid, claim), claim.created.checked_add(LAUNCH_WITHIN).ok());
    };
    let Some((node_name, node)) = cluster.node_of(claim) else {
        let limit = launched.checked_add(REGISTER_WITHIN).ok();
        let late = claim.progress.registered.is_none() && limit.is_some_and(|limit| limit <= now);
        return (late.then(|| give_up(Why::NotRegistered)).flatten(), limit.filter(|limit| *limit > now));
    };
    if node.deleting {
        return (give_up(Why::NodeDeleted), None);
    }
    (started(name, claim, node_name, node), expiry)
}

fn unlaunched(now: Timestamp, offers: &Offers, stock: &StockOuts, name: &Name, uid: &Name, claim: &Claim) -> Option<Action> {
    if let Some(machine) = &claim.machine {
        return Some(Action::RecordLaunch { claim: name.clone(), uid: uid.clone(), machine: Box::new(machine.clone()) });
    }
    let late = now.duration_since(claim.created) >= LAUNCH_WITHIN;
    if !late && offers.of(&claim.spec.class).is_empty() {
        // The cloud has not said yet what it sells, as right after a start: no reason to give anything up.
        return None;
    }
    let offerings = alternatives(now, claim, offers, stock);
    if late || offerings.is_empty() {
        let reason = if late {
            Why::NotLaunched
        } else if alternatives(now, claim, offers, &StockOuts::default()).is_empty() {
            Why::NothingSold
        } else {
            Why::OutOfStock
        };
        return Some(Action::DeleteClaim { claim: name.clone(), uid: uid.clone(), reason });
    }
    Some(Action::Launch { claim: name.clone(), uid: uid.clone(), offerings })
}

fn started(name: &Name, claim: &Claim, node_name: &Name, node: &Node) -> Option<Action> {
    let has = |label: &str| node.labels.get(label).is_some_and(|value| value == "true");
    let (claim_name, node_name) = (name.clone(), node_name.clone());
    if !has(REGISTERED) || !node.finalized || node.taints.iter().any(|taint| taint.key == UNREGISTERED) {
        return Some(Action::Register { claim: claim_name, node: node_name });
    }
    if claim.progress.registered.is_none() {
        return Some(Action::RecordRegistration { claim: claim_name, node: node_name });
    }
    if claim.progress.initialized.is_some() {
        return None;
    }
    if !has(INITIALIZED) {
        let starting = node.taints.iter().any(|taint| is_ephemeral(taint) || claim.spec.startup_taints.contains(taint));
        // An extended resource is there only once its device plugin has said so.
        let complete = claim.spec.requests.extended.iter().all(|(resource, want)| *want <= 0 || node.allocatable.get(resource) > 0);
        return (node.ready && !starting && complete).then_some(Action::Initialize { claim: claim_name, node: node_name });
    }
    Some(Action::RecordInitialization { claim: claim_name })
}

/// The offerings that answer a claim, cheapest first; what is out of stock is left out.
#[must_use]
pub fn alternatives(now: Timestamp, claim: &Claim, offers: &Offers, stock: &StockOuts) -> Vec<OfferingKey> {
    let wishes = &claim.spec.wishes;
    let mut found: Vec<(MicroDollarsPerHour, OfferingKey)> = Vec::new();
    for kind in offers.of(&claim.spec.class) {
        let named = wishes.0.get(INSTANCE_TYPE).is_none_or(|wish| wish.allows(&kind.name));
        if !named || wishes.conflict_with(&kind.labels).is_some() || !claim.spec.requests.fits(&kind.allocatable) {
            continue;
        }
        if wishes.0.iter().any(|(key, wish)| !of_machine(key, kind) && !answers(&claim.spec, key, wish)) {
            continue;
        }
        for offering in kind.offerings.iter().filter(|offering| offering.available) {
            let mut labels = Requirements::default();
            labels.add(ZONE.into(), &Requirement::is(offering.zone.clone()));
            labels.add(CAPACITY_TYPE.into(), &Requirement::is(offering.capacity_type.label().into()));
            let key = OfferingKey { instance_type: kind.name.clone(), zone: offering.zone.clone(), capacity_type: offering.capacity_type };
            if wishes.conflict_with(&labels).is_none() && stock.until(&key, now).is_none() {
                found.push((offering.price, key));
            }
        }
    }
    found.sort();
    found.into_iter().map(|(_, key)| key).collect()
}

/// Whether the machine rather than the claim tells this label of its node.
fn of_machine(key: &str, kind: &InstanceType) -> bool {
    [INSTANCE_TYPE, ZONE, CAPACITY_TYPE].contains(&key) || kind.labels.0.contains_key(key)
}

/// Whether the node of such a claim answers the claim's own wish for a label that no machine has: both may have been written by hand.
fn answers(spec: &ClaimSpec, key: &Name, wish: &Requirement) -> bool {
    let own = match key.as_str() {
        REGISTERED | INITIALIZED => Some("true"),
        NODE_POOL if !spec.pool.is_empty() => Some(spec.pool.as_str()),
        key => spec.labels.get(key).map(Name::as_str),
    };
    own.map_or(wish.allows_absence() || wish.settled().is_some(), |value| wish.allows(value))
}

#[cfg(test)]
#[path = "launch_tests.rs"]
mod tests;
