//! Where waiting pods go: first onto what is there or on its way, then into domains of machines to be bought.
//!
//! Pods of one shape are settled together. What a shape asks of domains (zones and the like) is decided here, by counting; what it asks of the company on one
//! node is asked of each node, and of each machine while it is packed. Preferences are tried as if they had to hold, and given up one by one, as Karpenter
//! does; a wish to be spread that need not hold is left to the scheduler.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::ZONE;
use super::bins::{Bin, bins};
use super::cluster::Cluster;
use super::company::{HostRules, Needs, Rank};
use super::constraint::{HOSTNAME, Preferred, Spread, Term};
use super::decide::Options;
use super::domains::Eligible;
use super::market::{Market, SiteId, fixed};
use super::pack::{Left, pack};
use super::purchase::Purchase;
use super::requirement::{self, Requirement, Requirements};
use super::shape::{Shape, ShapeId};
use super::storage::VolumeNeeds;
use super::taint::in_the_way;
use super::topology::{Rule, RuleKind, Topology};
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
    counted: Vec<Counted>,
}

/// That pods count in a domain of a group, or that they refuse those who do.
#[derive(Debug, Clone)]
struct Counted {
    group: usize,
    domain: Name,
    refuses: bool,
}

/// Labels and their values.
pub(super) type Domains = BTreeSet<(Name, Name)>;

/// One turn's placing.
pub(super) struct Placing<'a, 'b> {
    pub(super) cluster: &'a Cluster,
    pub(super) market: &'b mut Market<'a>,
    pub(super) bins: Vec<Bin<'a>>,
    meant: BTreeMap<ShapeId, Vec<usize>>,
    pub(super) topology: Topology,
    hosts: HostRules,
    pub(super) classes: Vec<Class>,
    pub(super) parts: Vec<Part>,
    pub(super) placements: Vec<Placement>,
    /// What is left over, with the reasons that no pool has anything to do with.
    pub(super) left: Vec<(usize, u32, Vec<NoNode>)>,
    asking_taints: bool,
    pub(super) domains: Eligible,
    /// Domains in which machines are bought.
    pub(super) begun: Domains,
    /// Selectors with pods that run on whatever node, or have a machine of their own by now.
    gathered: BTreeSet<Rank>,
    pub(super) units: BTreeMap<(SiteId, Vec<i64>), i64>,
    pub(super) dims: Vec<Name>,
    options: Options,
}

/// One way of asking: what must hold, and those of the preferences that are to hold.
#[derive(Debug, Clone, Default)]
struct Asking<'s> {
    node: Option<&'s Requirements>,
    near: Vec<&'s Term>,
    apart: Vec<&'s Term>,
    heed: bool,
}

/// What a class asks while it is settled.
pub(super) struct Ask<'s> {
    class: usize,
    pub(super) shape: &'s Shape,
    pub(super) terms: Vec<Requirements>,
    pub(super) heed: bool,
    pub(super) needs: Rc<Needs>,
    pub(super) rules: Vec<Rule>,
    pub(super) site: SiteId,
    strict: bool,
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
        let mut dims: BTreeSet<Name> = ["cpu", "memory", "ephemeral-storage", "pods"].map(Name::from).into();
        dims.extend(shapes().flat_map(|shape| shape.requests.extended.keys().cloned()));
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
            dims: dims.into_iter().collect(),
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
                let shape = self.cluster.shapes.get(*id);
                let counting: Vec<usize> = self.topology.counting(shape).collect();
                for group in counting {
                    let of = self.topology.group_at(group);
                    let Some(domain) = node.labels.get(&of.key) else { continue };
                    let admits = of.filter.as_ref().is_none_or(|filter| {
                        filter.wishes.as_ref().is_none_or(|terms| terms.iter().any(|term| term.unanswered_by(&node.labels).is_none()))
                            && filter.tolerations.as_ref().is_none_or(|all| in_the_way(&node.taints, all).is_none())
                    });
                    let leaving = if of.is_spread { load.leaving.get(id).copied().unwrap_or(0) } else { 0 };
                    if admits && *count > leaving {
                        self.topology.record(group, domain, count - leaving);
                    }
                }
                let refused: Vec<usize> = self.topology.refused(shape).collect();
                for group in refused {
                    if let Some(domain) = node.labels.get(&self.topology.group_at(group).key) {
                        self.topology.refuse(group, domain, *count);
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

    /// Puts pods where they were meant to go when a machine was bought for them, as far as there is room. Returns how many are left over.
    fn as_meant(&mut self, class: usize) -> u32 {
        let Class { shape: id, mut count, .. } = self.classes[class];
        let Some(places) = self.meant.get(&id).cloned() else { return count };
        let shape = self.cluster.shapes.get(id);
        let Some(volumes) = self.volumes(shape) else { return count };
        let terms = narrowed(&shape.wishes, &volumes);
        let needs = self.hosts.needs(shape, [], [], volumes.attached);
        for at in places {
            if count == 0 {
                break;
            }
            let bin = &mut self.bins[at];
            let Some(meant) = bin.meant_for.iter_mut().find(|(meant, _)| *meant == id) else { continue };
            let most = meant.1.min(count);
            let taken = shape.requests.times_in(&bin.free).min(most).min(bin.company.room_for(&needs, 0, true));
            if taken == 0 || !bin.answers(&terms) || !bin.lets_in(&shape.tolerations, false) {
                continue;
            }
            if let Some((_, left)) = self.bins[at].meant_for.iter_mut().find(|(meant, _)| *meant == id) {
                *left -= taken;
            }
            self.put(at, id, &needs, taken);
            count -= taken;
        }
        count
    }

    fn volumes(&self, shape: &Shape) -> Option<VolumeNeeds> {
        self.cluster.storage.needs(&shape.volumes).ok()
    }

    /// Puts pods into a bin, and counts them.
    fn put(&mut self, at: usize, id: ShapeId, needs: &Needs, count: u32) {
        let shape = self.cluster.shapes.get(id);
        let bin = &mut self.bins[at];
        bin.free.take(&shape.requests, count);
        bin.company.add(needs, count);
        let on = bin.name.clone();
        match self.placements.last_mut() {
            Some(last) if last.on == on && last.shape == id => last.count += count,
            _ => self.placements.push(Placement { on, shape: id, count }),
        }
        if !self.topology.is_empty() {
            let counting: Vec<usize> = self.topology.counting(shape).collect();
            for group in counting {
                if let Some(domain) = self.bins[at].value(&self.topology.group_at(group).key).cloned() {
                    self.topology.record(group, &domain, count);
                }
            }
            let refused: Vec<usize> = self.topology.refused(shape).collect();
            for group in refused {
                if let Some(domain) = self.bins[at].value(&self.topology.group_at(group).key).cloned() {
                    self.topology.refuse(group, &domain, count);
                }
            }
        }
    }

    /// Settles pods of one class, with as many of its preferences as can hold. Returns how many are left over.
    fn settle(&mut self, class: usize, mut count: u32) -> u32 {
        let shape = self.cluster.shapes.get(self.classes[class].shape);
        if !shape.beyond.is_empty() {
            return count;
        }
        let Some(volumes) = self.volumes(shape) else { return count };
        let mut preferred: Vec<&Preferred> = shape.preferences.iter().map(|preference| &preference.wish).collect();
        // Pods that have to be with others on one node go where those go, whatever they would rather have.
        let gathers = shape.near.iter().any(|term| term.key == HOSTNAME);
        preferred.retain(|wish| !self.options.ignore_preferences && !gathers && !matches!(wish, Preferred::Spread(_)));
        let mut heed = self.asking_taints;
        loop {
            let asking = Asking {
                node: preferred.iter().find_map(|wish| if let Preferred::Node(wishes) = wish { Some(wishes) } else { None }),
                near: preferred.iter().filter_map(|wish| if let Preferred::Near(term) = wish { Some(term) } else { None }).collect(),
                apart: preferred.iter().filter_map(|wish| if let Preferred::Apart(term) = wish { Some(term) } else { None }).collect(),
                heed,
            };
            let strict = !preferred.is_empty() || heed;
            count = self.settle_as(class, shape, &asking, &volumes, strict, count);
            if count == 0 || !strict {
                return count;
            }
            // What is given up first: to be near, to be apart, a kind of node, at last to keep off where one is only asked to.
            let first = |of: fn(&Preferred) -> bool| preferred.iter().position(|wish| of(wish));
            let given_up = first(|wish| matches!(wish, Preferred::Near(_)))
                .or_else(|| first(|wish| matches!(wish, Preferred::Apart(_))))
                .or_else(|| first(|wish| matches!(wish, Preferred::Node(_))));
            match given_up {
                Some(at) => _ = preferred.remove(at),
                None => heed = false,
            }
        }
    }

    fn settle_as(&mut self, class: usize, shape: &Shape, asking: &Asking<'_>, volumes: &VolumeNeeds, strict: bool, count: u32) -> u32 {
        let mut terms = narrowed(&shape.wishes, volumes);
        if let Some(node) = asking.node {
            terms = terms.iter().filter(|term| term.conflict_with(node).is_none()).map(|term| term.and(node)).collect();
        }
        if terms.is_empty() {
            return count;
        }
        if volumes.made_once && count > 1 {
            return self.settle_in_one_zone(class, shape, asking, volumes, strict, count);
        }
        let site = self.market.site_for(&terms, &shape.tolerations, asking.heed);
        let near = asking.near.iter().copied();
        let needs = Rc::new(self.hosts.needs(shape, near, asking.apart.iter().copied(), volumes.attached.clone()));
        let rules = self.topology.rules(shape, &asking.near, &asking.apart);
        let ask = Ask { class, shape, terms, heed: asking.heed, needs, rules, site, strict };
        if ask.rules.is_empty() {
            let left = self.fill(&ask, &[], count);
            return if left > 0 && self.can_be_bought(&ask, ask.site) {
                self.buy(&ask, ask.site, &[], left)
            } else {
                self.fill_evenly(&ask, left)
            };
        }
        self.settle_by_domain(&ask, count)
    }

    /// Settles pods that share a volume which is still to be made: all of them in the zone in which it will be.
    fn settle_in_one_zone(
        &mut self,
        class: usize,
        shape: &Shape,
        asking: &Asking<'_>,
        volumes: &VolumeNeeds,
        strict: bool,
        count: u32,
    ) -> u32 {
        let mut zones = self.market.values(&ZONE.into()).clone();
        zones.extend(self.bins.iter().filter_map(|bin| bin.value(ZONE)).cloned());
        for zone in zones {
            let here = [Requirements(BTreeMap::from([(ZONE.into(), Requirement::is(zone.clone()))]))];
            let reach = if volumes.reach.is_empty() { here.to_vec() } else { fixed(&volumes.reach, &ZONE.into(), &zone) };
            let volumes = VolumeNeeds { reach, made_once: false, ..volumes.clone() };
            let left = if volumes.reach.is_empty() { count } else { self.settle_as(class, shape, asking, &volumes, strict, count) };
            if left < count {
                return left;
            }
        }
        count
    }

    /// Whether a machine for such a pod is sold.
    pub(super) fn can_be_bought(&self, ask: &Ask<'_>, site: SiteId) -> bool {
        let near_others = ask.needs.near.iter().any(|id| !ask.needs.counted.contains(id));
        if near_others && !self.has_company_to_come(ask)
            || !near_others && (self.has_gathered(ask) || self.own_part(ask).is_some_and(|part| part.site != site))
        {
            return false;
        }
        self.market.site(site).by_price.iter().rev().any(|i| {
            let goods = &self.market.goods[*i];
            !goods.closed
                && ask.shape.requests.fits(&goods.net)
                && !ask.needs.ports.iter().any(|port| goods.ports.iter().any(|taken| taken.clashes_with(port)))
        })
    }

    /// Whether pods that it has to be with on one node are on one already: then it cannot begin elsewhere.
    fn has_gathered(&self, ask: &Ask<'_>) -> bool {
        let here = |id: &Rank| self.gathered.contains(id) || self.bins.iter().any(|bin| bin.company.count(*id) > 0);
        !ask.needs.near.is_empty() && ask.needs.near.iter().all(here)
    }

    /// Where the first of its class will be bought, for pods that all have to be on one node.
    fn own_part(&self, ask: &Ask<'_>) -> Option<&Part> {
        let gathers = ask.needs.gathers();
        self.parts.iter().find(|part| gathers && part.class == ask.class)
    }

    /// Whether pods that it has to be with on one node will be on machines to be bought.
    fn has_company_to_come(&self, ask: &Ask<'_>) -> bool {
        ask.needs.near.iter().all(|id| ask.needs.counted.contains(id) || self.parts.iter().any(|part| part.needs.counted.contains(id)))
    }

    /// Leaves pods to be packed onto machines of this site, and counts them in its domains.
    pub(super) fn buy(&mut self, ask: &Ask<'_>, site: SiteId, domains: &[(Name, Name)], count: u32) -> u32 {
        let mut counted = Vec::new();
        let mut note = |group: usize, domain: &Name, refuses: bool| counted.push(Counted { group, domain: domain.clone(), refuses });
        for (key, value) in domains {
            self.begun.insert((key.clone(), value.clone()));
            for rule in ask.rules.iter().filter(|rule| rule.key == *key && matches!(rule.kind, RuleKind::Counted | RuleKind::Refused)) {
                let filter = self.topology.group_at(rule.group).filter.as_ref();
                if filter.is_none_or(|filter| self.market.could_be(site, filter)) {
                    self.topology.record(rule.group, value, count);
                    note(rule.group, value, false);
                }
            }
            let refused: Vec<usize> = self.topology.refused(ask.shape).filter(|group| self.topology.group_at(*group).key == *key).collect();
            for group in refused {
                self.topology.refuse(group, value, count);
                note(group, value, true);
            }
        }
        let strict = ask.strict;
        match self.parts.last_mut() {
            Some(last) if last.class == ask.class && last.site == site && last.needs == ask.needs && last.strict == strict => {
                last.count += count
            }
            _ => self.parts.push(Part { class: ask.class, count, site, needs: Rc::clone(&ask.needs), strict, counted }),
        }
        0
    }

    /// Puts as many of `count` pods as fit into the bins with these labels, in the bins' order. Returns how many are left over.
    pub(super) fn fill(&mut self, ask: &Ask<'_>, domains: &[(Name, Name)], count: u32) -> u32 {
        self.fill_to(ask, domains, count, 0)
    }

    fn fill_to(&mut self, ask: &Ask<'_>, domains: &[(Name, Name)], mut count: u32, lift: u32) -> u32 {
        // Pods that have to be with their like on one node may begin where nobody is only while nobody is anywhere.
        let mut first = ask.needs.gathers() && !self.has_gathered(ask) && self.own_part(ask).is_none();
        for at in 0..self.bins.len() {
            if count == 0 {
                break;
            }
            let bin = &self.bins[at];
            if !ask.shape.requests.fits(&bin.free)
                || !domains.iter().all(|(key, value)| bin.value(key) == Some(value))
                || !bin.lets_in(&ask.shape.tolerations, ask.heed)
                || !bin.answers(&ask.terms)
            {
                continue;
            }
            let taken = ask.shape.requests.times_in(&bin.free).min(count).min(bin.company.room_for(&ask.needs, lift, first));
            let storage = &self.cluster.storage;
            if taken == 0 || !ask.needs.attached.is_empty() && !storage.holds(bin.name, &bin.company.attached, &ask.needs.attached) {
                continue;
            }
            self.put(at, self.classes[ask.class].shape, &ask.needs, taken);
            count -= taken;
            first = false;
        }
        count
    }

    /// Where no machine can be bought, pods that are spread over nodes may pile up on those that there are, as long as they do so evenly.
    fn fill_evenly(&mut self, ask: &Ask<'_>, mut count: u32) -> u32 {
        if ask.needs.caps.is_empty() {
            return count;
        }
        loop {
            let open = |bin: &&Bin<'_>| bin.is_node() && bin.lets_in(&ask.shape.tolerations, ask.heed) && bin.answers(&ask.terms);
            let fewest = |id: Rank| self.bins.iter().filter(open).map(|bin| bin.company.count(id)).min().unwrap_or(0);
            let lift = ask.needs.caps.iter().map(|(id, _)| fewest(*id)).min().unwrap_or(0);
            let left = if lift > 0 { self.fill_to(ask, &[], count, lift) } else { count };
            if left == count || left == 0 {
                return left;
            }
            count = left;
        }
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
            for counted in &part.counted {
                self.topology.forget(counted.group, &counted.domain, part.count, counted.refuses);
            }
        }
        for (part, _) in &strict {
            let shape = self.cluster.shapes.get(self.classes[part.class].shape);
            let Some(volumes) = self.volumes(shape) else { continue };
            let rest = self.settle_as(part.class, shape, &Asking::default(), &volumes, false, part.count);
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

/// Wishes together with where the volumes are.
fn narrowed(terms: &[Requirements], volumes: &VolumeNeeds) -> Vec<Requirements> {
    if volumes.reach.is_empty() {
        return terms.to_vec();
    }
    let both = terms.iter().flat_map(|term| volumes.reach.iter().map(move |reach| (term, reach)));
    both.filter(|(term, reach)| term.conflict_with(reach).is_none()).map(|(term, reach)| term.and(reach)).collect()
}

#[cfg(test)]
#[path = "place_tests.rs"]
mod tests;
