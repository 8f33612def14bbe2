//! Where waiting pods go: first onto what is there or on its way, then into domains of machines to be bought.
//!
//! Pods of one shape are settled together. What a shape asks of domains (zones and the like) is decided here, by counting; what it asks of the company on one
//! node is asked of each node, and of each machine while it is packed. Preferences are tried as if they had to hold, and given up one by one, as Karpenter
//! does; a wish to be spread that need not hold is left to the scheduler.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::bins::{Bin, bins};
use super::cluster::Cluster;
use super::company::{HostRules, Needs, Rank};
use super::constraint::{HOSTNAME, Preferred, Spread, Term};
use super::decide::Options;
use super::domains::Eligible;
use super::market::{Market, SiteId};
use super::pack::{Left, pack};
use super::purchase::Purchase;
use super::requirement::{self, Requirement, Requirements};
use super::resources::Dimensions;
use super::shape::{Shape, ShapeId};
use super::taint::in_the_way;
use super::topology::{Counted, Filter, Topology};
use crate::name::{Key, Name};
use crate::plan::Placement;
use crate::reason::NoNode;

/// Pods of one shape that wait.
#[derive(Debug, Clone)]
pub(super) struct Class {
    pub(super) shape: ShapeId,
    pub(super) count: u32,
    /// The first of them by name: it decides ties, for numbers of shapes follow the order of arrival.
    pub(super) first: Key,
    /// Whether they are kept ready only, and come last.
    pub(super) spare: bool,
}

/// Pods of one shape that go onto machines to be bought.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) class: usize,
    pub(super) count: u32,
    pub(super) site: SiteId,
    pub(super) needs: Rc<Needs>,
    /// Whether some of its preferences still hold.
    pub(super) strict: bool,
    /// Where they are counted.
    pub(super) counted: Vec<Counted>,
}

/// Labels and their values.
pub(super) type Domains = BTreeSet<(Name, Name)>;

/// One turn's placing.
pub(super) struct Placing<'a, 'b> {
    pub(super) cluster: &'a Cluster,
    pub(super) market: &'b mut Market<'a>,
    pub(super) bins: Vec<Bin<'a>>,
    pub(super) meant: BTreeMap<ShapeId, Vec<usize>>,
    pub(super) topology: Topology,
    pub(super) hosts: HostRules,
    pub(super) classes: Vec<Class>,
    pub(super) parts: Vec<Part>,
    pub(super) placements: Vec<Placement>,
    /// What is left over, with the reasons that no pool has anything to do with.
    pub(super) left: Vec<(usize, u32, Vec<NoNode>)>,
    pub(super) asking_taints: bool,
    pub(super) domains: Eligible,
    /// Domains in which machines are bought.
    pub(super) begun: Domains,
    /// Selectors with pods that run on whatever node, or have a machine of their own by now.
    pub(super) gathered: BTreeSet<Rank>,
    pub(super) units: BTreeMap<(SiteId, Vec<i64>), i64>,
    pub(super) dimensions: Dimensions,
    pub(super) options: Options,
}

impl<'a, 'b> Placing<'a, 'b> {
    /// Begins a turn with these classes: what is there, who is on it, and how many pods of each selector are in each domain. Of the domains in `begun` it is
    /// known already that machines will be bought there.
    pub(super) fn new(cluster: &'a Cluster, market: &'b mut Market<'a>, classes: Vec<Class>, begun: Domains, options: Options) -> Self {
        let shapes = || classes.iter().map(|class| &**cluster.shapes.get(class.shape));
        let running: BTreeSet<ShapeId> =
            cluster.nodes.keys().filter_map(|node| cluster.load(node)).flat_map(|load| load.shapes.keys().copied()).collect();
        let running = || running.iter().map(|id| &**cluster.shapes.get(*id));
        let hosts = HostRules::of(shapes().chain(running().filter(|shape| !shape.apart.is_empty())), &cluster.shapes);
        let mut topology = Topology::default();
        shapes().for_each(|shape| topology.learn(shape));
        running().for_each(|shape| topology.learn_running(shape));
        let bins = bins(cluster, &hosts);
        let mut meant: BTreeMap<ShapeId, Vec<usize>> = BTreeMap::new();
        for (i, bin) in bins.iter().enumerate() {
            for (shape, _) in &bin.meant_for {
                meant.entry(*shape).or_default().push(i);
            }
        }
        let asking_taints = market.has_asking_taints();
        let dimensions = Dimensions::of(shapes().map(|shape| &shape.requests));
        let mut placing = Self {
            cluster,
            market,
            bins,
            meant,
            topology,
            hosts,
            classes,
            parts: Vec::new(),
            placements: Vec::new(),
            left: Vec::new(),
            asking_taints,
            domains: BTreeMap::new(),
            begun,
            gathered: BTreeSet::new(),
            units: BTreeMap::new(),
            dimensions,
            options,
        };
        placing.count_running();
        placing
    }

    /// Counts the pods that run by domain. Those on nodes that go will not be there.
    fn count_running(&mut self) {
        for load in self.cluster.nodes.keys().filter_map(|node| self.cluster.load(node)) {
            for id in load.shapes.keys() {
                self.gathered.extend(self.hosts.selecting(self.cluster.shapes.get(*id)));
            }
        }
        if self.topology.is_empty() {
            return;
        }
        let going: BTreeSet<&Name> = self
            .cluster
            .claims
            .values()
            .filter(|claim| claim.is_going())
            .filter_map(|claim| Some(self.cluster.node_of(claim)?.0))
            .collect();
        for (name, node) in &self.cluster.nodes {
            let Some(load) = self.cluster.load(name).filter(|_| !node.deleting && !going.contains(name)) else { continue };
            for (id, count) in &load.shapes {
                let admits = |filter: &Filter| {
                    filter.wishes.as_ref().is_none_or(|terms| terms.iter().any(|term| term.unanswered_by(&node.labels).is_none()))
                        && filter.tolerations.as_ref().is_none_or(|all| in_the_way(&node.taints, all).is_none())
                };
                for counted in self.topology.counted(self.cluster.shapes.get(*id), |key| node.labels.get(key), admits) {
                    let is_spread = self.topology.group_at(counted.group).is_spread;
                    let leaving = if is_spread { load.leaving.get(id).copied().unwrap_or(0) } else { 0 };
                    if *count > leaving {
                        self.topology.record(&counted, count - leaving);
                    }
                }
            }
        }
    }

    /// Settles all classes: what waits is placed, becomes a part for machines to be bought, or is left over.
    pub(super) fn settle_all(&mut self) {
        // First every pod where it was meant to go, then whatever is left over where there is room: the other way round, the first shapes would take the
        // places that an earlier turn bought for the later ones.
        let order = self.order();
        let mut counts: BTreeMap<usize, u32> = order.iter().map(|class| (*class, self.as_meant(*class))).collect();
        let mut queue = order;
        loop {
            let (mut later, mut moved) = (Vec::new(), false);
            for class in queue {
                let count = counts.get(&class).copied().unwrap_or(0);
                if count == 0 {
                    continue;
                }
                let left = self.settle(class, count);
                moved |= left < count;
                counts.insert(class, left);
                if left > 0 {
                    later.push(class);
                }
            }
            // Pods that have to be near others can go once those have gone: again, as long as that helps.
            let waits = |class: &usize| {
                let shape = self.cluster.shapes.get(self.classes[*class].shape);
                !shape.near.is_empty() || shape.preferences.iter().any(|p| matches!(p.wish, Preferred::Near(_)))
            };
            let again = moved && later.iter().any(waits);
            if !again {
                for class in later {
                    let count = counts.get(&class).copied().unwrap_or(0);
                    let reasons = self.why_not_settled(class);
                    self.left.push((class, count, reasons));
                }
                return;
            }
            queue = later;
        }
    }

    /// The order in which classes are settled: the most important first; then those that ask for nodes by name, for there are no others for them; then those
    /// that can go anywhere before those whose domain depends on the others; then the largest.
    fn order(&self) -> Vec<usize> {
        let stage = |shape: &Shape| {
            let far = |term: &Term| term.key != HOSTNAME;
            if shape.near.iter().any(far) { 2 } else { u8::from(shape.spreads.iter().any(|spread| spread.key != HOSTNAME)) }
        };
        let names = |term: &Requirements| {
            let listed = |key: &str| term.0.get(key).and_then(Requirement::listed).is_some();
            listed(HOSTNAME) || listed(requirement::NAME)
        };
        let mut keyed: Vec<_> = self
            .classes
            .iter()
            .enumerate()
            .map(|(i, class)| {
                let shape = self.cluster.shapes.get(class.shape);
                let size = std::cmp::Reverse((shape.requests.cpu, shape.requests.memory));
                let anywhere = !shape.wishes.iter().all(names);
                ((class.spare, std::cmp::Reverse(shape.priority), anywhere, stage(shape), size, &class.first), i)
            })
            .collect();
        keyed.sort();
        keyed.into_iter().map(|(_, i)| i).collect()
    }

    /// Buys machines for the parts. Returns them, and what could not be bought.
    pub(super) fn buy_parts(&mut self) -> (Vec<Purchase>, Vec<(Part, Left)>) {
        let parts = std::mem::take(&mut self.parts);
        let (bought, left) = pack(self.market, &self.classes, &parts, self.options.relax_min_values, &mut self.options.effort);
        for (id, _) in bought.iter().flat_map(|purchase| &purchase.holds) {
            self.gathered.extend(self.hosts.selecting(self.cluster.shapes.get(*id)));
        }
        (bought, left.into_iter().map(|(part, count, why)| (Part { count, ..parts[part].clone() }, why)).collect())
    }

    /// Settles anew, without any preference, what was left over for the sake of one. Returns whether anything was.
    pub(super) fn relax(&mut self, left: &mut Vec<(Part, Left)>) -> bool {
        let (strict, rest): (Vec<_>, Vec<_>) = std::mem::take(left).into_iter().partition(|(part, _)| part.strict);
        *left = rest;
        for (part, _) in &strict {
            part.counted.iter().for_each(|counted| self.topology.forget(counted, part.count));
        }
        for (part, _) in &strict {
            let rest = self.settle_plainly(part.class, part.count);
            if rest > 0 {
                let reasons = self.why_not_settled(part.class);
                self.left.push((part.class, rest, reasons));
            }
        }
        !strict.is_empty()
    }

    /// Domains over which pods have to be even, and which nobody knew of before machines for others were bought there.
    pub(super) fn opened(&mut self, bought: &[Purchase]) -> Domains {
        let cluster = self.cluster;
        let spreads = self.classes.iter().flat_map(|class| &cluster.shapes.get(class.shape).spreads);
        let keys: BTreeSet<&Name> = spreads.map(|spread| &spread.key).filter(|key| *key != HOSTNAME).collect();
        let mut opened = Domains::new();
        for key in keys {
            let mut values: BTreeSet<Name> = self.begun.iter().filter(|(begun, _)| begun == key).map(|(_, value)| value.clone()).collect();
            values.extend(self.bins.iter().filter_map(|bin| bin.value(key)).cloned());
            if !self.market.values(key).iter().all(|value| values.contains(value)) {
                let new = bought.iter().filter_map(|purchase| self.market.value_of(purchase, key));
                opened.extend(new.filter(|value| !values.contains(value)).map(|value| (key.clone(), value)));
            }
        }
        opened
    }

    /// How many pods that have to be even over domains could not be bought, by shape.
    pub(super) fn cut_short(&self, left: &[(Part, Left)]) -> BTreeMap<ShapeId, u32> {
        let mut missing = BTreeMap::new();
        for (part, _) in left.iter().filter(|(part, _)| !self.classes[part.class].spare) {
            let id = self.classes[part.class].shape;
            let far = |spread: &Spread| spread.key != HOSTNAME;
            if self.cluster.shapes.get(id).spreads.iter().any(far) {
                *missing.entry(id).or_default() += part.count;
            }
        }
        missing
    }
}

#[cfg(test)]
#[path = "place_tests.rs"]
mod tests;
