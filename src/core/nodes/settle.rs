//! Settling the pods of one class: where they may go, with as many of their preferences as can hold, and what has to be bought for the rest.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::ZONE;
use super::bins::Bin;
use super::company::{Needs, Rank};
use super::constraint::{HOSTNAME, HostPort, Preferred, Spread, Term};
use super::market::{SiteId, fixed};
use super::place::{Class, Part, Placing, Values};
use super::requirement::{Requirement, Requirements};
use super::shape::{Shape, ShapeId};
use super::storage::VolumeNeeds;
use super::topology::{Filter, Rule, RuleKind};
use crate::name::Name;
use crate::plan::Placement;

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

impl Placing<'_, '_> {
    /// Puts pods where they were meant to go when a machine was bought for them, as far as there is room. Returns how many are left over.
    pub(super) fn as_meant(&mut self, class: usize) -> u32 {
        let Class { shape: id, mut count, .. } = self.classes[class];
        let Some(places) = self.meant.get(&id).cloned() else { return count };
        let shape = self.cluster.shapes.get(id);
        let Some(volumes) = self.volumes(shape) else { return count };
        let Some(ask) = self.ask(class, shape, &Asking::default(), &volumes, false) else { return count };
        for at in places {
            let meant = self.bins[at].meant_for.iter().find(|(meant, _)| *meant == id).map_or(0, |(_, meant)| *meant);
            // Nobody may have come meanwhile whom they refuse or who refuses them. That they are even is the scheduler's care while nodes come one by one.
            let apart = ask.rules.iter().filter(|rule| matches!(rule.kind, RuleKind::Apart { .. } | RuleKind::Refused));
            let apart = apart.filter_map(|rule| Some(self.allowed(rule, self.bins[at].value(&rule.key)?, 0))).min();
            let taken = self.takes(at, &ask, meant.min(count).min(apart.unwrap_or(u32::MAX)), 0, true);
            if taken == 0 {
                continue;
            }
            if let Some((_, left)) = self.bins[at].meant_for.iter_mut().find(|(meant, _)| *meant == id) {
                *left -= taken;
            }
            self.put(at, id, &ask.needs, taken);
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
        let bin = &self.bins[at];
        for counted in self.topology.counted(shape, |key| bin.value(key), |filter| bin.is_meant_by(filter)) {
            self.topology.record(&counted, count);
        }
    }

    /// Settles pods of one class, with as many of its preferences as can hold. Returns how many are left over.
    pub(super) fn settle(&mut self, class: usize, mut count: u32) -> u32 {
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

    /// Settles pods of one class without any of its preferences. Returns how many are left over.
    pub(super) fn settle_plainly(&mut self, class: usize, count: u32) -> u32 {
        let shape = self.cluster.shapes.get(self.classes[class].shape);
        let Some(volumes) = self.volumes(shape) else { return count };
        self.settle_as(class, shape, &Asking::default(), &volumes, false, count)
    }

    /// What pods of a class ask; none where their wishes contradict each other.
    fn ask<'s>(&mut self, class: usize, shape: &'s Shape, asking: &Asking<'_>, volumes: &VolumeNeeds, strict: bool) -> Option<Ask<'s>> {
        let mut terms = narrowed(&shape.wishes, volumes);
        if let Some(node) = asking.node {
            terms = terms.iter().filter(|term| term.conflict_with(node).is_none()).map(|term| term.and(node)).collect();
        }
        if terms.is_empty() {
            return None;
        }
        let site = self.market.site_for(&terms, &shape.tolerations, asking.heed);
        let near = asking.near.iter().copied();
        let needs = Rc::new(self.hosts.needs(shape, near, asking.apart.iter().copied(), volumes.attached.clone()));
        let rules = self.topology.rules(shape, &asking.near, &asking.apart);
        Some(Ask { class, shape, terms, heed: asking.heed, needs, rules, site, strict })
    }

    fn settle_as(&mut self, class: usize, shape: &Shape, asking: &Asking<'_>, volumes: &VolumeNeeds, strict: bool, count: u32) -> u32 {
        let Some(ask) = self.ask(class, shape, asking, volumes, strict) else { return count };
        if volumes.made_once && (count > 1 || self.made_in.contains_key(&class)) {
            return self.settle_in_one_zone(class, shape, asking, volumes, strict, count);
        }
        if ask.rules.is_empty() {
            let left = self.fill(&ask, &[], count);
            return if left > 0 && self.can_be_bought(&ask, ask.site) {
                self.buy(&ask, ask.site, &[], left)
            } else {
                self.fill_evenly(&ask, &[], left)
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
        // Where the first of them go, their volume will be.
        if let Some(zone) = self.made_in.get(&class) {
            zones.retain(|known| known == zone);
        }
        for zone in zones {
            let here = [Requirements(BTreeMap::from([(ZONE.into(), Requirement::is(zone.clone()))]))];
            let reach = if volumes.reach.is_empty() { here.to_vec() } else { fixed(&volumes.reach, &ZONE.into(), &zone) };
            let volumes = VolumeNeeds { reach, made_once: false, ..volumes.clone() };
            let left = if volumes.reach.is_empty() { count } else { self.settle_as(class, shape, asking, &volumes, strict, count) };
            if left < count {
                self.made_in.insert(class, zone);
                return left;
            }
        }
        count
    }

    /// Whether a machine for such a pod is sold.
    pub(super) fn can_be_bought(&self, ask: &Ask<'_>, site: SiteId) -> bool {
        let begun = || self.own_part(ask).is_some_and(|part| part.site != site);
        if !ask.needs.near.is_empty() && (!self.may_begin(ask) || begun()) && !self.has_company_to_come(ask, site) {
            return false;
        }
        let ports: Vec<&HostPort> = ask.needs.ports.iter().collect();
        self.market.site(site).by_price.iter().rev().any(|i| {
            let goods = &self.market.goods[*i];
            !goods.closed && ask.shape.requests.fits(&goods.net) && goods.leaves(&ports)
        })
    }

    /// Whether it may be the first of those that it has to be with on one node: they are its like, and nobody is anywhere yet.
    fn may_begin(&self, ask: &Ask<'_>) -> bool {
        let here = |id: &Rank| self.gathered.contains(id) || self.bins.iter().any(|bin| bin.company.count(*id) > 0);
        ask.needs.near.iter().all(|id| ask.needs.counted.contains(id) && !here(id))
    }

    /// Where the first of its class will be bought, for pods that all have to be on one node.
    fn own_part(&self, ask: &Ask<'_>) -> Option<&Part> {
        let gathers = ask.needs.gathers();
        self.parts.iter().find(|part| gathers && part.class == ask.class)
    }

    /// Whether others that it has to be with on one node will be on machines to be bought that could be of this site.
    fn has_company_to_come(&self, ask: &Ask<'_>, site: SiteId) -> bool {
        let may_share = |part: &&Part| part.class != ask.class && self.market.meet(part.site, site);
        let comes = |id: &Rank| self.parts.iter().filter(may_share).any(|part| part.needs.counted.contains(id));
        ask.needs.near.iter().all(comes)
    }

    /// For how many more pods machines can be bought in a domain, as far as is known.
    pub(super) fn most(&self, ask: &Ask<'_>, domains: &Values) -> u32 {
        if self.lessons.most.is_empty() {
            return u32::MAX;
        }
        let left = |domains: &Values| {
            let (asked, missed) = self.asked.get(&(ask.class, domains.clone())).copied().unwrap_or_default();
            self.lessons.most(ask.class, domains).saturating_add(missed).saturating_sub(asked)
        };
        left(domains).min(left(&Vec::new()))
    }

    /// Leaves pods to be packed onto machines of this site, and counts them in its domains.
    pub(super) fn buy(&mut self, ask: &Ask<'_>, site: SiteId, domains: &[(Name, Option<Name>)], count: u32) -> u32 {
        if !domains.is_empty() {
            self.begun.extend(domains.iter().filter_map(|(key, value)| Some((key.clone(), value.clone()?))));
            for place in [domains, &[]] {
                self.asked.entry((ask.class, place.to_vec())).or_default().0 += count;
            }
        }
        let value = |key: &Name| domains.iter().find(|(known, _)| known == key).and_then(|(_, value)| value.as_ref());
        let counted = self.topology.counted(ask.shape, value, |filter| self.market.could_be(site, filter));
        counted.iter().for_each(|counted| self.topology.record(counted, count));
        let strict = ask.strict;
        match self.parts.last_mut() {
            Some(last)
                if last.class == ask.class
                    && last.site == site
                    && last.needs == ask.needs
                    && last.strict == strict
                    && last.domains == domains =>
            {
                last.count += count;
            }
            _ => self.parts.push(Part {
                class: ask.class,
                count,
                site,
                needs: Rc::clone(&ask.needs),
                strict,
                begins: self.may_begin(ask),
                domains: domains.to_vec(),
                counted,
            }),
        }
        0
    }

    /// Puts as many of `count` pods as fit into the bins with these labels, in the bins' order. Returns how many are left over.
    pub(super) fn fill(&mut self, ask: &Ask<'_>, domains: &[(Name, Option<Name>)], count: u32) -> u32 {
        self.fill_to(ask, domains, count, 0)
    }

    fn fill_to(&mut self, ask: &Ask<'_>, domains: &[(Name, Option<Name>)], mut count: u32, lift: u32) -> u32 {
        // Pods that have to be with their like on one node may begin where nobody is only while nobody is anywhere.
        let mut first = ask.needs.gathers() && self.may_begin(ask) && self.own_part(ask).is_none();
        for at in 0..self.bins.len() {
            if count == 0 {
                break;
            }
            if !self.bins[at].is_at(domains) {
                continue;
            }
            let taken = self.takes(at, ask, count, lift, first);
            if taken == 0 {
                continue;
            }
            self.put(at, self.classes[ask.class].shape, &ask.needs, taken);
            count -= taken;
            first = false;
        }
        count
    }

    /// How many of so many pods a bin takes.
    fn takes(&self, at: usize, ask: &Ask<'_>, count: u32, lift: u32, first: bool) -> u32 {
        let bin = &self.bins[at];
        let lets_in = ask.shape.requests.fits(&bin.free) && bin.lets_in(&ask.shape.tolerations, ask.heed) && bin.answers(&ask.terms);
        let attached = &ask.needs.attached;
        if !lets_in || !attached.is_empty() && !self.cluster.storage.holds(bin.name, &bin.company.attached, attached) {
            return 0;
        }
        ask.shape.requests.times_in(&bin.free).min(count).min(bin.company.room_for(&ask.needs, lift, first))
    }

    /// Where no machine can be bought, pods that are spread over nodes may pile up on those that there are, as long as they do so evenly.
    pub(super) fn fill_evenly(&mut self, ask: &Ask<'_>, domains: &[(Name, Option<Name>)], mut count: u32) -> u32 {
        while count > 0 {
            let by_host = ask.shape.spreads.iter().filter(|spread| spread.key == HOSTNAME);
            let lift = by_host.map(|spread| self.fewest(ask, spread)).min().unwrap_or(0);
            let left = if lift > 0 { self.fill_to(ask, domains, count, lift) } else { count };
            if left == count {
                break;
            }
            count = left;
        }
        count
    }

    /// How many pods of a spread over nodes every node has that it looks at, those to come included.
    fn fewest(&self, ask: &Ask<'_>, spread: &Spread) -> u32 {
        let filter = Filter::of(ask.shape, spread);
        let comes = self.parts.iter().any(|part| self.market.could_be(part.site, &filter));
        let nodes: Vec<&Bin<'_>> = self.bins.iter().filter(|bin| bin.is_meant_by(&filter)).collect();
        let known: BTreeSet<&Name> = self.bins.iter().map(|bin| bin.name).collect();
        // A node that takes no pod, as it is not ready, is one of them.
        let other = self.cluster.nodes.iter().any(|(name, node)| !known.contains(name) && filter.admits(&node.labels, &node.taints));
        let (true, Some(rank)) =
            (!comes && !other && spread.min_domains.is_none_or(|wanted| nodes.len() >= wanted as usize), self.hosts.rank(spread.selector))
        else {
            return 0;
        };
        nodes.iter().map(|bin| bin.company.count(rank)).min().unwrap_or(0)
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
