//! The node layer's turn: place what waits, buy what is missing, take away what is not needed, and say why.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::bins::{bins, fill, fill_as_meant};
use super::claim::Claim;
use super::cluster::{Cluster, PodRole};
use super::intent::{Track, intents};
use super::launch;
use super::market::{admit, market};
use super::offer::{Offers, StockOuts};
use super::pack::{Class, Purchase, pack};
use super::pool::Pool;
use super::resources::Resources;
use super::retire::{Retiring, dismantle, empties};
use super::shape::ShapeId;
use super::workload::WorkloadKey;
use crate::Timestamp;
use crate::name::Name;
use crate::plan::{Action, Placement, Plan, Unplaced};
use crate::reason::NoNode;
use crate::units::Replicas;

/// What is remembered from turn to turn. ARCHITECTURE.md says what the loss of each part does.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// Offerings that were refused.
    pub stock: StockOuts,
    /// Nodes that we keep new pods off because they are to go.
    pub retiring: BTreeMap<Name, Retiring>,
    /// Nodes without work, and since when we have seen them so. Never kept over a restart: what ran on them in between is not known.
    #[serde(skip)]
    pub quiet: BTreeMap<Name, Timestamp>,
    /// How the pods of each workload come along.
    #[serde(skip)]
    pub tracks: BTreeMap<WorkloadKey, Track>,
}

/// How much one turn may compute: a bound on steps, so that the same input gives the same answer on any machine.
pub const EFFORT: u64 = 50_000_000;

/// Decides for the whole cluster. `wanted` has the replicas that the workload layer decided on for each target.
#[must_use]
pub fn decide(
    now: Timestamp,
    cluster: &Cluster,
    wanted: &BTreeMap<WorkloadKey, Replicas>,
    offers: &Offers,
    effort: u64,
    mut memory: Memory,
) -> (Plan, Memory) {
    memory.stock.forget_past(now);
    let intents = intents(now, cluster, wanted, &mut memory.tracks);
    let mut plan = Plan { withheld: intents.withheld, actions: intents.probes, look_again: intents.look_again, ..Plan::default() };
    let mut waiting: BTreeMap<ShapeId, u32> =
        cluster.waiting().iter().map(|(shape, pods)| (*shape, u32::try_from(pods.len()).unwrap_or(u32::MAX))).collect();
    for intent in &intents.intents {
        *waiting.entry(intent.shape).or_default() += intent.count;
    }
    for (shape, count) in displaced(cluster, wanted) {
        *waiting.entry(shape).or_default() += count;
    }
    let missing = place(cluster, &waiting, &mut plan);
    let bought = buy(now, cluster, offers, &memory.stock, missing, effort, &mut plan);
    announce(now, cluster, bought, &mut plan);
    // Each claim has at most one step in a turn: one that starts or ends is not looked at for emptiness.
    let mut busy = BTreeSet::new();
    for (name, claim) in &cluster.claims {
        if claim.deleting_since.is_some() {
            dismantle(now, cluster, name, claim, &mut plan);
        } else {
            let (action, again) = launch::step(now, cluster, offers, &memory.stock, name, claim);
            busy.extend(action.is_some().then_some(name));
            plan.actions.extend(action);
            plan.look_again = [plan.look_again, again.filter(|again| *again > now)].into_iter().flatten().min();
        }
    }
    let placements = std::mem::take(&mut plan.placements);
    let needed: BTreeSet<&Name> = placements.iter().map(|placement| &placement.on).collect();
    empties(now, cluster, &needed, &busy, &mut memory, &mut plan);
    plan.placements = placements;
    (plan, memory)
}

/// Pods that have to leave a node which goes and that somebody will make anew: their successors need a place before the machine ends. Of a workload that is
/// to have fewer pods, only so many have successors as are wanted beyond those that stay.
fn displaced(cluster: &Cluster, wanted: &BTreeMap<WorkloadKey, Replicas>) -> Vec<(ShapeId, u32)> {
    let going = cluster.claims.values().filter(|claim| claim.is_going()).filter_map(|claim| cluster.node_of(claim));
    let pods =
        going.flat_map(|(node, _)| cluster.load(node).into_iter().flat_map(|load| &load.pods)).filter_map(|key| cluster.pods.get(key));
    let mut by_owner: BTreeMap<&Name, BTreeMap<ShapeId, u32>> = BTreeMap::new();
    for pod in pods.filter(|pod| pod.counts() && pod.role == PodRole::Work) {
        let Some(owner) = &pod.controller else { continue };
        *by_owner.entry(owner).or_default().entry(pod.shape).or_default() += 1;
    }
    if by_owner.is_empty() {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (key, workload) in &cluster.workloads {
        let owners: Vec<&Name> = by_owner.keys().copied().filter(|owner| cluster.owns(workload, owner)).collect();
        let going: Vec<(ShapeId, u32)> = owners.iter().filter_map(|owner| by_owner.remove(*owner)).flatten().collect();
        let leaving: u32 = going.iter().map(|(_, count)| count).sum();
        let staying = cluster.counts_of(workload).alive.saturating_sub(leaving);
        let mut missing = wanted.get(key).copied().unwrap_or(workload.replicas).0.saturating_sub(staying);
        for (shape, count) in going {
            let count = count.min(missing);
            missing -= count;
            found.push((shape, count));
        }
    }
    // What nobody here scales (a Job's pods, another controller's) is made anew as it was.
    found.extend(by_owner.into_values().flatten());
    found.retain(|(_, count)| *count > 0);
    found
}

/// Puts waiting pods onto what is there. Returns the shapes that are left over, the most demanding first.
fn place(cluster: &Cluster, waiting: &BTreeMap<ShapeId, u32>, plan: &mut Plan) -> Vec<(ShapeId, u32)> {
    if waiting.is_empty() {
        return Vec::new();
    }
    let mut order: Vec<(ShapeId, u32)> = waiting.iter().map(|(shape, count)| (*shape, *count)).collect();
    order.sort_by(|(a, _), (b, _)| {
        let (a, b) = (cluster.shapes.get(*a), cluster.shapes.get(*b));
        let size = |s: &super::shape::Shape| (s.priority, s.requests.cpu, s.requests.memory);
        size(b).cmp(&size(a)).then_with(|| a.cmp(b))
    });
    let mut bins = bins(cluster);
    let (mut missing, mut order_left) = (Vec::new(), Vec::new());
    // First every pod where it was meant to go, then whatever is left over where there is room: the other way round, the first shapes would take the places
    // that an earlier turn bought for the later ones.
    for (id, count) in order {
        let shape = cluster.shapes.get(id);
        if let Some(what) = shape.beyond.first() {
            plan.unplaced.push(Unplaced { shape: id, count, reasons: vec![NoNode::Beyond { what: *what }] });
            continue;
        }
        order_left.push((id, fill_as_meant(&mut bins, id, shape, count, &mut plan.placements)));
    }
    for (id, count) in order_left {
        let left = fill(&mut bins, id, cluster.shapes.get(id), count, &mut plan.placements);
        if left > 0 {
            missing.push((id, left));
        }
    }
    missing
}

/// Buys machines for what is left over, pool by pool in the pools' order.
fn buy(
    now: Timestamp,
    cluster: &Cluster,
    offers: &Offers,
    stock: &StockOuts,
    missing: Vec<(ShapeId, u32)>,
    mut effort: u64,
    plan: &mut Plan,
) -> Vec<Purchase> {
    let mut pools: Vec<&Pool> = cluster.pools.values().collect();
    pools.sort_by(|a, b| b.weight.cmp(&a.weight).then_with(|| a.name.cmp(&b.name)));
    let mut missing: Vec<(ShapeId, u32, Vec<NoNode>)> = missing.into_iter().map(|(shape, count)| (shape, count, Vec::new())).collect();
    let mut bought = Vec::new();
    for pool in pools {
        let mut classes = Vec::new();
        missing.retain_mut(|(shape, count, reasons)| match admit(cluster, offers, pool, *shape) {
            Ok(wishes) => {
                let requests = cluster.shapes.get(*shape).requests.clone();
                classes.push((Class { shape: *shape, requests, wishes, count: *count }, std::mem::take(reasons)));
                false
            }
            Err(reason) => {
                reasons.push(reason);
                true
            }
        });
        if classes.is_empty() {
            continue;
        }
        let market = market(now, cluster, pool, offers, stock);
        let mut used = owned(cluster, offers, pool);
        let mut earlier: BTreeMap<ShapeId, Vec<NoNode>> =
            classes.iter_mut().map(|(class, reasons)| (class.shape, std::mem::take(reasons))).collect();
        let (purchases, left) = pack(&market, classes.into_iter().map(|(class, _)| class).collect(), &mut used, &mut effort);
        bought.extend(purchases);
        for (class, reason) in left {
            let mut reasons = earlier.remove(&class.shape).unwrap_or_default();
            reasons.push(reason);
            missing.push((class.shape, class.count, reasons));
        }
    }
    for (shape, count, reasons) in missing {
        let reasons = if reasons.is_empty() { vec![NoNode::NoPools] } else { reasons };
        plan.unplaced.push(Unplaced { shape, count, reasons });
    }
    bought
}

/// What the pool's machines have together, and how many they are; those on their way included, at the largest of the types that they may become.
fn owned(cluster: &Cluster, offers: &Offers, pool: &Pool) -> (Resources, u32) {
    let (mut sum, mut count) = (Resources::default(), 0);
    for claim in cluster.claims.values().filter(|claim| claim.spec.pool == pool.name && !claim.ended) {
        if let Some(machine) = &claim.machine {
            sum.add(&machine.capacity, 1);
        } else {
            let kinds = claim.spec.types.iter().filter_map(|name| offers.find(&claim.spec.class, name));
            sum.add(&kinds.fold(Resources::default(), |most, kind| most.max(&kind.capacity)), 1);
        }
        count += 1;
    }
    (sum, count)
}

/// Turns purchases into claims with names that follow from the pool, the moment and the ordinal, so that a replay of the same plan is the same claim.
fn announce(now: Timestamp, cluster: &Cluster, bought: Vec<Purchase>, plan: &mut Plan) {
    let mut names = BTreeSet::new();
    let mut ordinal = 0_u64;
    for purchase in bought {
        let name = loop {
            let name = claim_name(&purchase.spec.pool, now, ordinal);
            ordinal += 1;
            if !cluster.claims.contains_key(&name) && names.insert(name.clone()) {
                break name;
            }
        };
        plan.placements.extend(purchase.holds.iter().map(|(shape, count)| Placement { on: name.clone(), shape: *shape, count: *count }));
        plan.actions.push(Action::CreateClaim { name, spec: Box::new(purchase.spec) });
    }
}

fn claim_name(pool: &Name, now: Timestamp, ordinal: u64) -> Name {
    // FNV-1a: short, and the same on every machine; names need to differ, not to be secret.
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let moment = now.as_millisecond().to_le_bytes();
    for byte in pool.bytes().chain(moment).chain(ordinal.to_le_bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    let letters = b"bcdfghjklmnpqrstvwxz2456789";
    let suffix: String = (0..6)
        .map(|i| {
            let at = (hash >> (i * 10)) % letters.len() as u64;
            char::from(letters[usize::try_from(at).unwrap_or(0)])
        })
        .collect();
    let stem: String = pool.chars().take(56).collect();
    Name::from(format!("{stem}-{suffix}"))
}

impl Memory {
    /// Takes in that the API server was asked which pods are on a node.
    pub fn inspected(&mut self, node: &str, at: Timestamp) {
        if let Some(state) = self.retiring.get_mut(node) {
            state.inspected = Some(at);
        }
    }
}

/// A claim as it enters the index the moment it is planned, so that the next turn counts on it.
#[must_use]
pub fn as_planned(plan: &Plan, cluster: &Cluster, now: Timestamp) -> Vec<(Name, Claim)> {
    plan.actions
        .iter()
        .filter_map(|action| match action {
            Action::CreateClaim { name, spec } if !cluster.claims.contains_key(name) => {
                let on_it = plan.placements.iter().filter(|placement| placement.on == *name);
                let meant_for = on_it.map(|placement| (placement.shape, placement.count)).collect();
                Some((name.clone(), Claim { meant_for, ..Claim::planned((**spec).clone(), now) }))
            }
            _ => None,
        })
        .collect()
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
