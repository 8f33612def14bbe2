//! The node layer's turn: place what waits, buy what is missing, take away what is not needed, and say why.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::claim::Claim;
use super::cluster::{Cluster, PodRole};
use super::intent::{Intent, Track, intents};
use super::launch;
use super::market::Market;
use super::offer::{Offers, StockOuts};
use super::place::{Class, Lessons, Placing};
use super::purchase::Purchase;
use super::retire::{Retiring, dismantle, empties};
use super::shape::ShapeId;
use super::workload::WorkloadKey;
use crate::Timestamp;
use crate::name::{Key, Name};
use crate::plan::{Action, Placement, Plan, Unplaced};
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

/// How to decide: what people set once for a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// How much one turn may compute: a bound on steps, so that the same input gives the same answer on any machine.
    pub effort: u64,
    /// Whether what pods would rather have is left to the scheduler alone (Karpenter's `PREFERENCE_POLICY=Ignore`).
    pub ignore_preferences: bool,
    /// Whether a pool's `minValues` give way where nothing could be bought otherwise (Karpenter's `MIN_VALUES_POLICY=BestEffort`).
    pub relax_min_values: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { effort: 50_000_000, ignore_preferences: false, relax_min_values: false }
    }
}

/// A turn is tried no more often than this when later purchases upset what was settled before them.
const TRIES: u32 = 8;

/// Decides for the whole cluster. `wanted` has the replicas that the workload layer decided on for each target.
#[must_use]
pub fn decide(
    now: Timestamp,
    cluster: &Cluster,
    wanted: &BTreeMap<WorkloadKey, Replicas>,
    offers: &Offers,
    options: Options,
    mut memory: Memory,
) -> (Plan, Memory) {
    memory.stock.forget_past(now);
    let intents = intents(now, cluster, wanted, &mut memory.tracks);
    let mut plan = Plan { withheld: intents.withheld, actions: intents.probes, look_again: intents.look_again, ..Plan::default() };
    let classes = classes(cluster, &intents.intents, wanted);
    let bought = place(now, cluster, classes, offers, &memory.stock, options, &mut plan);
    announce(now, cluster, bought, &mut plan);
    // Each claim has at most one step in a turn: one that starts or ends is not looked at for emptiness.
    let (mut busy, mut nodes) = (BTreeSet::new(), BTreeSet::new());
    for (name, claim) in &cluster.claims {
        // A node stands for one machine: of claims that say to have the same one, all but the first are mistaken, and wait until it is gone.
        if cluster.node_of(claim).is_some_and(|(node, _)| !nodes.insert(node)) {
            busy.insert(name);
            continue;
        }
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
fn displaced(cluster: &Cluster, wanted: &BTreeMap<WorkloadKey, Replicas>) -> Vec<(ShapeId, u32, Key)> {
    let going = cluster.claims.values().filter(|claim| claim.is_going()).filter_map(|claim| cluster.node_of(claim));
    let pods = going
        .flat_map(|(node, _)| cluster.load(node).into_iter().flat_map(|load| &load.pods))
        .filter_map(|key| Some((key, cluster.pods.get(key)?)));
    let mut by_owner: BTreeMap<&Name, BTreeMap<ShapeId, (u32, Key)>> = BTreeMap::new();
    // One that a budget never lets go needs no other place: its node stays until somebody changes that.
    for (key, pod) in pods.filter(|(key, pod)| pod.counts() && pod.role == PodRole::Work && !cluster.is_held(key, pod)) {
        let Some(owner) = &pod.controller else { continue };
        by_owner.entry(owner).or_default().entry(pod.shape).or_insert_with(|| (0, key.clone())).0 += 1;
    }
    if by_owner.is_empty() {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (key, workload) in &cluster.workloads {
        let owners: Vec<&Name> = by_owner.keys().copied().filter(|owner| cluster.owns(workload, owner)).collect();
        let going: Vec<(ShapeId, (u32, Key))> = owners.iter().filter_map(|owner| by_owner.remove(*owner)).flatten().collect();
        let leaving: u32 = going.iter().map(|(_, (count, _))| count).sum();
        let staying = cluster.counts_of(workload).alive.saturating_sub(leaving);
        let mut missing = wanted.get(key).copied().unwrap_or(workload.replicas).0.saturating_sub(staying);
        for (shape, (count, first)) in going {
            let count = count.min(missing);
            missing -= count;
            found.push((shape, count, first));
        }
    }
    // What nobody here scales (a Job's pods, another controller's) is made anew as it was.
    found.extend(by_owner.into_values().flatten().map(|(shape, (count, first))| (shape, count, first)));
    found.retain(|(_, count, _)| *count > 0);
    found
}

/// Everything that waits, by shape: pods, replicas without pods, what has to leave its node, and last the room that is kept ready.
fn classes(cluster: &Cluster, intents: &[Intent], wanted: &BTreeMap<WorkloadKey, Replicas>) -> Vec<Class> {
    let mut found: BTreeMap<ShapeId, (u32, Key)> = BTreeMap::new();
    let mut add = |shape: ShapeId, count: u32, first: &Key| {
        let known = found.entry(shape).or_insert_with(|| (0, first.clone()));
        known.0 = known.0.saturating_add(count);
        if *first < known.1 {
            known.1 = first.clone();
        }
    };
    for (shape, pods) in cluster.waiting() {
        if let Some(first) = pods.first() {
            add(*shape, u32::try_from(pods.len()).unwrap_or(u32::MAX), first);
        }
    }
    for intent in intents {
        add(intent.shape, intent.count, &intent.workload.key);
    }
    for (shape, count, first) in displaced(cluster, wanted) {
        add(shape, count, &first);
    }
    let waiting = found.into_iter().map(|(shape, (count, first))| Class { shape, count, first, spare: false });
    let spare = cluster.buffers.iter().map(|(key, (shape, count))| Class { shape: *shape, count: *count, first: key.clone(), spare: true });
    let mut all: Vec<Class> = waiting.chain(spare).filter(|class| class.count > 0).collect();
    all.sort_by(|a, b| (a.spare, &a.first).cmp(&(b.spare, &b.first)));
    all
}

/// Places what waits, on what is there and on machines that are bought for it.
fn place(
    now: Timestamp,
    cluster: &Cluster,
    classes: Vec<Class>,
    offers: &Offers,
    stock: &StockOuts,
    options: Options,
    plan: &mut Plan,
) -> Vec<Purchase> {
    if classes.is_empty() {
        return Vec::new();
    }
    let mut lessons = Lessons::default();
    let mut best: Option<Placed> = None;
    for last in (0..TRIES).rev().map(|more| more == 0) {
        let mut market = Market::new(now, cluster, offers, stock);
        let mut placing = Placing::new(cluster, &mut market, classes.clone(), lessons.clone(), options);
        placing.settle_all();
        let (mut bought, mut left) = placing.buy_parts();
        // What could not be bought with all preferences may be to be had without.
        if placing.relax(&mut left) {
            let (more, still) = placing.buy_parts();
            bought.extend(more);
            left.extend(still);
        }
        let learnt = placing.lessons(&bought);
        let holds = learnt == lessons;
        let placed = Placed { unplaced: placing.unplaced(left), placements: placing.placements, bought };
        if holds && best.as_ref().is_none_or(|best| placed.left() < best.left()) || last && best.is_none() {
            best = Some(placed);
        }
        let next = match &best {
            None => Some(learnt),
            Some(best) => learnt.raised(holds, |class| best.unplaced.iter().any(|left| left.shape == classes[class].shape)),
        };
        match next {
            Some(next) => lessons = next,
            None => break,
        }
    }
    let Placed { unplaced, placements, bought } = best.unwrap_or_default();
    plan.unplaced = unplaced;
    plan.placements = placements;
    bought
}

/// One try at placing what waits.
#[derive(Default)]
struct Placed {
    unplaced: Vec<Unplaced>,
    placements: Vec<Placement>,
    bought: Vec<Purchase>,
}

impl Placed {
    /// How many pods have no place.
    fn left(&self) -> u64 {
        self.unplaced.iter().map(|left| u64::from(left.count)).sum()
    }
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
    let by_place = plan.by_place();
    plan.actions
        .iter()
        .filter_map(|action| match action {
            Action::CreateClaim { name, spec } if !cluster.claims.contains_key(name) => {
                let meant_for = by_place.get(name).cloned().unwrap_or_default();
                Some((name.clone(), Claim { meant_for, ..Claim::planned((**spec).clone(), now) }))
            }
            _ => None,
        })
        .collect()
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
