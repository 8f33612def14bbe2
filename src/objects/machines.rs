//! Machines that files tell of: what they cost, and which NodePool owns a node whose NodeClaim is not among the files.

use std::collections::BTreeSet;
use std::sync::Arc;

use springtide_core::Timestamp;
use springtide_core::name::Name;
use springtide_core::nodes::claim::{Claim, ClaimSpec, Machine, Progress};
use springtide_core::nodes::cluster::Node;
use springtide_core::nodes::launch::{INITIALIZED, REGISTERED, alternatives};
use springtide_core::nodes::offer::{CapacityType, InstanceType, Offers, StockOuts};
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
        let cluster = &self.cluster;
        let classes = cluster.pools.values().map(|pool| &pool.class).chain(cluster.claims.values().map(|claim| &claim.spec.class));
        let offers = Offers(classes.chain(&cluster.classes).map(|class| (class.clone(), Arc::clone(&types))).collect());
        self.join();
        self.adopt();
        for claim in self.cluster.claims.values_mut() {
            appraise(claim, &types);
            promise(self.now, claim, &offers);
        }
        offers
    }

    /// A NodeClaim that does not tell how far it has come, and whose node is there, has come to its end: a file that somebody wrote by hand.
    fn join(&mut self) {
        let silent = |claim: &Claim| claim.progress == Progress::default() && claim.machine.is_none();
        let found: Vec<(Name, Name)> = self
            .cluster
            .claims
            .iter()
            .filter(|(_, claim)| silent(claim))
            .filter_map(|(name, claim)| {
                // Where neither tells the other, they have one name.
                let node = self.cluster.node_of(claim).map(|(node, _)| node);
                Some((name.clone(), node.or_else(|| self.cluster.nodes.get_key_value(name).map(|(node, _)| node))?.clone()))
            })
            .collect();
        for (name, node) in found {
            if let (Some(claim), Some(known)) = (self.cluster.claims.get_mut(&name), self.cluster.nodes.get(&node)) {
                claim.machine = Some(machine_of(&node, known));
                claim.node_name = Some(node);
                claim.progress = LONG_AGO;
            }
        }
    }

    /// A node that says which NodePool it belongs to has registered and is ready for pods, unless its NodeClaim says otherwise. Where that is not among the
    /// files, one is made of the node: pools count machines by their claims.
    fn adopt(&mut self) {
        let claimed = |starting: bool| -> BTreeSet<Name> {
            let claims = self.cluster.claims.values().filter(|claim| !starting || claim.progress.initialized.is_none());
            claims.filter_map(|claim| Some(self.cluster.node_of(claim)?.0.clone())).collect()
        };
        let (all, starting) = (claimed(false), claimed(true));
        let mut adopted = Vec::new();
        for (name, node) in &mut self.cluster.nodes {
            let Some(pool) = node.labels.get(NODE_POOL).and_then(|pool| self.cluster.pools.get(pool)) else { continue };
            if !starting.contains(name) {
                // What was done long ago need not be done again.
                node.finalized = true;
                node.labels.insert(REGISTERED.into(), "true".into());
                node.labels.insert(INITIALIZED.into(), "true".into());
            }
            if !all.contains(name) && !self.cluster.claims.contains_key(name) {
                adopted.push((name.clone(), claim_of(name, node, pool, self.now)));
            }
        }
        for (name, claim) in adopted {
            self.cluster.apply_claim(name, claim);
        }
    }
}

/// How far a claim has come whose node does its work.
const LONG_AGO: Progress =
    Progress { launched: Some(Timestamp::UNIX_EPOCH), registered: Some(Timestamp::UNIX_EPOCH), initialized: Some(Timestamp::UNIX_EPOCH) };

fn claim_of(name: &Name, node: &Node, pool: &Pool, now: Timestamp) -> Claim {
    let machine = machine_of(name, node);
    let spec = ClaimSpec {
        pool: pool.name.clone(),
        class: pool.class.clone(),
        wishes: Requirements::from_labels(&node.labels),
        types: vec![machine.instance_type.clone()],
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
    Claim {
        uid: Some(format!("uid-of-NodeClaim-{name}").into()),
        finalized: true,
        provider_id: Some(machine.provider_id.clone()),
        node_name: Some(name.clone()),
        machine: Some(machine),
        progress: LONG_AGO,
        deleting_since: node.deleting.then_some(now),
        ..Claim::planned(spec, now)
    }
}

/// The machine that a node stands for, by its labels.
fn machine_of(name: &Name, node: &Node) -> Machine {
    let label = |key: &str| node.labels.get(key).cloned().unwrap_or_default();
    Machine {
        provider_id: if node.provider_id.is_empty() { name.clone() } else { node.provider_id.clone() },
        instance_type: label(INSTANCE_TYPE),
        zone: label(ZONE),
        capacity_type: CapacityType::parse(&label(CAPACITY_TYPE)).unwrap_or(CapacityType::OnDemand),
        price: MicroDollarsPerHour::ZERO,
        capacity: node.allocatable.clone(),
        allocatable: node.allocatable.clone(),
        labels: node.labels.clone(),
    }
}

/// Fills in what a claim whose machine is not bought yet will offer, whichever of its types that will be: an object does not tell, and a daemon remembers.
fn promise(now: Timestamp, claim: &mut Claim, offers: &Offers) {
    if claim.machine.is_some() {
        return;
    }
    let types: BTreeSet<Name> =
        alternatives(now, claim, offers, &StockOuts::default()).into_iter().map(|offering| offering.instance_type).collect();
    let kinds = types.iter().filter_map(|name| offers.find(&claim.spec.class, name)).map(|kind| kind.allocatable.clone());
    if let Some(least) = kinds.reduce(|least, kind| least.min(&kind)) {
        claim.spec.promise = least.max(&claim.spec.requests);
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
