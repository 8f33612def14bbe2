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
use super::constraint::{HOSTNAME, Preferred, Term};
use super::decide::Options;
use super::domains::Eligible;
use super::market::{Market, SiteId};
use super::pack::{Left, pack};
use super::purchase::Purchase;
use super::requirement::{self, Requirement, Requirements};
use super::resources::Dimensions;
use super::shape::{Shape, ShapeId};
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
    /// Whether pods that have to be with their like on one node may be the first there.
    pub(super) begins: bool,
    /// In which domains, where that matters.
    pub(super) domains: Values,
    /// Where they are counted.
    pub(super) counted: Vec<Counted>,
}

/// The values of some labels; none is that of nodes without the label.
pub(super) type Values = Vec<(Name, Option<Name>)>;

/// What a first try at a turn has shown, for the next: what is settled first depends on what turns out last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Lessons {
    /// Domains in which machines are bought.
    begun: BTreeSet<(Name, Name)>,
    /// How many pods of a class can be bought for in a domain, or in all together, where limits leave fewer than were wanted.
    pub(super) most: BTreeMap<(usize, Values), Most>,
}

/// A number of pods that is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Most {
    /// So many could be bought for.
    sure: u32,
    /// No more than so many can be.
    open: u32,
    /// How many are tried.
    tried: u32,
}

impl Lessons {
    /// How many pods of a class may be bought for in a domain.
    pub(super) fn most(&self, class: usize, domains: &Values) -> u32 {
        self.most.get(&(class, domains.clone())).map_or(u32::MAX, |most| most.tried)
    }

    /// The same with more to be tried for classes of which some pods are left over; none where nothing more can be hoped for. `holds` says whether all that was
    /// tried could be had.
    pub(super) fn raised(mut self, holds: bool, is_left: impl Fn(usize) -> bool) -> Option<Self> {
        let mut any = false;
        for ((class, _), most) in &mut self.most {
            if holds {
                most.sure = most.tried;
            }
            let more = is_left(*class) && most.sure < most.open;
            most.tried = if more { (most.sure + most.open).div_ceil(2) } else { most.sure };
            any |= more;
        }
        any.then_some(self)
    }

    /// Whether limits have cut a class short.
    pub(super) fn cut_short(&self, class: usize) -> bool {
        self.most.keys().any(|(known, _)| *known == class)
    }
}

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
    pub(super) lessons: Lessons,
    /// Domains in which machines are bought.
    pub(super) begun: BTreeSet<(Name, Name)>,
    /// The zones in which volumes that pods of a class share will be made.
    pub(super) made_in: BTreeMap<usize, Name>,
    /// How many pods of a class were to be bought for in a domain, and in all together, and of how many nothing came.
    pub(super) asked: BTreeMap<(usize, Values), (u32, u32)>,
    /// Selectors with pods that run on whatever node, or have a machine of their own by now.
    pub(super) gathered: BTreeSet<Rank>,
    pub(super) units: BTreeMap<(SiteId, Vec<i64>), i64>,
    pub(super) dimensions: Dimensions,
    pub(super) options: Options,
}

impl<'a, 'b> Placing<'a, 'b> {
    /// Begins a turn with these classes: what is there, who is on it, and how many pods of each selector are in each domain.
    pub(super) fn new(cluster: &'a Cluster, market: &'b mut Market<'a>, classes: Vec<Class>, lessons: Lessons, options: Options) -> Self {
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
            begun: lessons.begun.clone(),
            lessons,
            asked: BTreeMap::new(),
            made_in: BTreeMap::new(),
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
                let admits = |filter: &Filter| filter.admits(&node.labels, &node.taints);
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
            // Pods that have to be near others can go once those have gone, and those that are even once there are more in other domains: again, as long as
            // that helps.
            let waits = |class: &usize| {
                let shape = self.cluster.shapes.get(self.classes[*class].shape);
                !shape.near.is_empty()
                    || shape.spreads.iter().any(|spread| spread.key != HOSTNAME)
                    || shape.preferences.iter().any(|p| matches!(p.wish, Preferred::Near(_)))
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
        let left: Vec<(Part, Left)> = left.into_iter().map(|(part, count, why)| (Part { count, ..parts[part].clone() }, why)).collect();
        for (part, _) in left.iter().filter(|(part, _)| !part.domains.is_empty()) {
            for place in [&part.domains[..], &[]] {
                self.asked.entry((part.class, place.to_vec())).or_default().1 += part.count;
            }
        }
        (bought, left)
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

    /// What would have been good to know before. Pods that a limit has cut short in one domain may be too many in the others, and a machine may be in a domain
    /// of which those did not know that have to be even over it.
    pub(super) fn lessons(&mut self, bought: &[Purchase]) -> Lessons {
        let mut lessons = self.lessons.clone();
        for (place, (asked, missed)) in self.asked.iter().filter(|(_, (_, missed))| *missed > 0) {
            // First there are fewer of them, which are even again. Where that does not help, a domain has its own bound.
            if !place.1.is_empty() && !self.lessons.cut_short(place.0) {
                continue;
            }
            let (sure, open) = (asked - missed, asked - 1);
            let known = lessons.most.entry(place.clone()).or_insert(Most { sure, open, tried: sure });
            *known = Most { sure: known.sure.min(sure), open: known.open.min(open), tried: known.sure.min(sure) };
        }
        let cluster = self.cluster;
        let spreads = self.classes.iter().flat_map(|class| &cluster.shapes.get(class.shape).spreads);
        let keys: BTreeSet<&Name> = spreads.map(|spread| &spread.key).filter(|key| *key != HOSTNAME).collect();
        for key in keys {
            let known = |value: &Name| {
                self.begun.contains(&(key.clone(), value.clone())) || self.bins.iter().any(|bin| bin.value(key) == Some(value))
            };
            // What one of these was to begin, others may begin where it is cut short.
            let cut_short = lessons.most != self.lessons.most;
            if !cut_short && self.market.values(key).iter().all(known) {
                continue;
            }
            let reached: BTreeSet<Name> = bought.iter().filter_map(|purchase| self.market.value_of(purchase, key)).collect();
            if cut_short || !reached.iter().all(known) {
                lessons.begun.extend(reached.into_iter().map(|value| (key.clone(), value)));
            }
        }
        lessons
    }
}

#[cfg(test)]
#[path = "place_tests.rs"]
mod tests;
