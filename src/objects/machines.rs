//! Machines that files tell of: what they cost, and which NodePool owns a node whose NodeClaim is not among the files.

use std::collections::BTreeSet;
use std::sync::Arc;

use springtide_core::Timestamp;
use springtide_core::name::Name;
use springtide_core::nodes::claim::{Claim, ClaimSpec, Machine, Progress};
use springtide_core::nodes::cluster::Node;
use springtide_core::nodes::launch::{INITIALIZED, REGISTERED};
use springtide_core::nodes::offer::{CapacityType, InstanceType, Offers};
use springtide_core::nodes::pool::Pool;
use springtide_core::nodes::requirement::Requirements;
use springtide_core::nodes::resources::Resources;
use springtide_core::nodes::{CAPACITY_TYPE, INSTANCE_TYPE, NODE_POOL, ZONE};
use springtide_core::units::MicroDollarsPerHour;

use super::Objects;

impl Objects {
    /// What each NodeClass sells, where all of them sell these types, sorted by name. What machines that are there cost, and which they are, is filled in.
    pub fn sell(&mut self, types: Vec<InstanceType>) -> Offers {
        let types = Arc::new(types);
        for claim in self.cluster.claims.values_mut() {
            appraise(claim, &types);
        }
        self.adopt(&types);
        let classes =
            self.cluster.pools.values().map(|pool| &pool.class).chain(self.cluster.claims.values().map(|claim| &claim.spec.class));
        Offers(classes.chain(&self.cluster.classes).map(|class| (class.clone(), Arc::clone(&types))).collect())
    }

    /// A node that says which NodePool it belongs to has registered and is ready for pods, unless its NodeClaim says otherwise. Where that is not among the
    /// files, one is made of the node: pools count machines by their claims.
    fn adopt(&mut self, types: &[InstanceType]) {
        let claimed: BTreeSet<Name> =
            self.cluster.claims.values().filter_map(|claim| Some(self.cluster.node_of(claim)?.0.clone())).collect();
        let starting: BTreeSet<Name> = self
            .cluster
            .claims
            .values()
            .filter(|claim| claim.progress.initialized.is_none())
            .filter_map(|claim| Some(self.cluster.node_of(claim)?.0.clone()))
            .collect();
        let mut adopted = Vec::new();
        for (name, node) in &mut self.cluster.nodes {
            let Some(pool) = node.labels.get(NODE_POOL).and_then(|pool| self.cluster.pools.get(pool)) else { continue };
            if !starting.contains(name) {
                // What was done long ago need not be done again.
                node.finalized = true;
                node.labels.insert(REGISTERED.into(), "true".into());
                node.labels.insert(INITIALIZED.into(), "true".into());
            }
            if !claimed.contains(name) && !self.cluster.claims.contains_key(name) {
                let mut claim = claim_of(name, node, pool, self.now);
                appraise(&mut claim, types);
                adopted.push((name.clone(), claim));
            }
        }
        for (name, claim) in adopted {
            self.cluster.apply_claim(name, claim);
        }
    }
}

fn claim_of(name: &Name, node: &Node, pool: &Pool, now: Timestamp) -> Claim {
    let label = |key: &str| node.labels.get(key).cloned().unwrap_or_default();
    let provider_id = if node.provider_id.is_empty() { name.clone() } else { node.provider_id.clone() };
    let spec = ClaimSpec {
        pool: pool.name.clone(),
        class: pool.class.clone(),
        wishes: Requirements::from_labels(&node.labels),
        types: vec![label(INSTANCE_TYPE)],
        requests: Resources::default(),
        promise: Resources::default(),
        price: MicroDollarsPerHour::ZERO,
        labels: node.labels.clone(),
        annotations: pool.annotations.clone(),
        taints: node.taints.clone(),
        startup_taints: Vec::new(),
        expire_after: pool.expire_after,
        termination_grace_period: pool.termination_grace_period,
        hash: pool.hash.clone(),
    };
    let long_ago = Some(Timestamp::UNIX_EPOCH);
    Claim {
        uid: Some(format!("uid-of-NodeClaim-{name}").into()),
        finalized: true,
        machine: Some(Machine {
            provider_id: provider_id.clone(),
            instance_type: label(INSTANCE_TYPE),
            zone: label(ZONE),
            capacity_type: CapacityType::parse(&label(CAPACITY_TYPE)).unwrap_or(CapacityType::OnDemand),
            price: MicroDollarsPerHour::ZERO,
            capacity: node.allocatable.clone(),
            allocatable: node.allocatable.clone(),
            labels: node.labels.clone(),
        }),
        provider_id: Some(provider_id),
        node_name: Some(name.clone()),
        progress: Progress { launched: long_ago, registered: long_ago, initialized: long_ago },
        deleting_since: node.deleting.then_some(now),
        ..Claim::planned(spec, now)
    }
}

/// Fills in what a machine costs and has, by its type, where the files do not tell.
fn appraise(claim: &mut Claim, types: &[InstanceType]) {
    let Some(machine) = &mut claim.machine else { return };
    let Ok(found) = types.binary_search_by(|kind| kind.name.cmp(&machine.instance_type)) else { return };
    let Some(kind) = types.get(found) else { return };
    if machine.price == MicroDollarsPerHour::ZERO {
        let sold = kind.offerings.iter().find(|offering| offering.zone == machine.zone && offering.capacity_type == machine.capacity_type);
        machine.price = sold.map_or(MicroDollarsPerHour::ZERO, |offering| offering.price);
    }
    if machine.capacity == Resources::default() {
        machine.capacity.clone_from(&kind.capacity);
    }
    if machine.allocatable == Resources::default() {
        machine.allocatable.clone_from(&kind.allocatable);
    }
}
