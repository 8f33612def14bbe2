//! NodeClaims as the planner sees them, ours and those that Karpenter left.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use springtide_core::name::Name;
use springtide_core::nodes::claim::{Claim, ClaimSpec, Machine, Progress};
use springtide_core::nodes::offer::CapacityType;
use springtide_core::nodes::{CAPACITY_TYPE, INSTANCE_TYPE, NODE_POOL, ZONE};
use springtide_core::units::MicroDollarsPerHour;

use super::node::taint;
use super::pool::{class, requirements};
use super::{Unclear, created, key, labels, resources, uid, version};
use crate::conditions::{self, karpenter};
use crate::karpenter::NodeClaim;
use crate::labels::{INSTANCE_PRICE, NODEPOOL_HASH, TERMINATION_FINALIZER};

/// A NodeClaim.
///
/// # Errors
/// What about it cannot be understood.
pub fn claim(object: &NodeClaim) -> Result<(Name, Claim), Unclear> {
    let (meta, spec) = (&object.metadata, &object.spec);
    let all = labels(meta.labels.as_ref());
    let status = object.status.clone().unwrap_or_default();
    let since = |kind: &str| {
        let condition = conditions::get(&status.conditions, kind).filter(|_| conditions::is_true(&status.conditions, kind))?;
        Some(condition.last_transition_time.as_ref().map_or_else(|| created(meta), |Time(at)| *at))
    };
    let price = all.get(INSTANCE_PRICE).and_then(|text| dollars(text)).unwrap_or_default();
    let types = spec.requirements.iter().filter(|row| row.key == INSTANCE_TYPE && row.operator.to_string() == "In");
    let launched = since(karpenter::LAUNCHED);
    let requests = resources(spec.resources.as_ref().map(|r| &r.requests), "spec.resources.requests")?;
    let claim = Claim {
        uid: Some(uid(meta)),
        version: version(meta),
        spec: ClaimSpec {
            pool: all.get(NODE_POOL).cloned().unwrap_or_default(),
            class: class(&spec.node_class_ref),
            wishes: requirements(&spec.requirements)?,
            types: types.flat_map(|row| &row.values).map(Name::from).collect(),
            requests: requests.clone(),
            // What its first choice would offer beyond that is not in the object; whoever planned it remembers.
            promise: requests,
            price,
            labels: all.clone(),
            annotations: labels(meta.annotations.as_ref())
                .into_iter()
                .filter(|(key, _)| !key.starts_with("karpenter.sh/nodepool-hash"))
                .collect(),
            taints: spec.taints.iter().filter_map(taint).collect(),
            startup_taints: spec.startup_taints.iter().filter_map(taint).collect(),
            expire_after: spec.expire_after(),
            termination_grace_period: spec.termination_grace_period(),
            hash: meta.annotations.as_ref().and_then(|notes| notes.get(NODEPOOL_HASH)).map(Name::from).unwrap_or_default(),
        },
        created: created(meta),
        deleting_since: meta.deletion_timestamp.as_ref().map(|Time(at)| *at),
        finalized: meta.finalizers.iter().flatten().any(|finalizer| finalizer == TERMINATION_FINALIZER),
        machine: match (&status.provider_id, launched) {
            (Some(id), Some(_)) if !id.is_empty() => Some(Machine {
                provider_id: id.into(),
                instance_type: all.get(INSTANCE_TYPE).cloned().unwrap_or_default(),
                zone: all.get(ZONE).cloned().unwrap_or_default(),
                capacity_type: all.get(CAPACITY_TYPE).and_then(|text| CapacityType::parse(text)).unwrap_or(CapacityType::OnDemand),
                price,
                capacity: resources(Some(&status.capacity), "status.capacity")?,
                allocatable: resources(Some(&status.allocatable), "status.allocatable")?,
                labels: all,
            }),
            _ => None,
        },
        provider_id: status.provider_id.as_deref().filter(|id| !id.is_empty()).map(Name::from),
        node_name: status.node_name.as_deref().filter(|name| !name.is_empty()).map(Name::from),
        progress: Progress { launched, registered: since(karpenter::REGISTERED), initialized: since(karpenter::INITIALIZED) },
        meant_for: Vec::new(),
        interrupted: None,
        ended: false,
    };
    Ok((key(meta).name, claim))
}

/// A price as a label says it.
fn dollars(text: &str) -> Option<MicroDollarsPerHour> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits: String = part.chars().chain("000000".chars()).take(6).collect();
    let whole: i64 = whole.parse().ok()?;
    Some(MicroDollarsPerHour(whole.checked_mul(1_000_000)?.checked_add(digits.parse().ok()?)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_read_to_the_millionth() {
        assert_eq!(dollars("0.019003"), Some(MicroDollarsPerHour(19_003)));
        assert_eq!(dollars("2"), Some(MicroDollarsPerHour(2_000_000)));
        assert_eq!(dollars("1.5"), Some(MicroDollarsPerHour(1_500_000)));
        assert_eq!(dollars("much"), None);
    }
}
