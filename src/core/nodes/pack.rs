//! What to buy: which types, how many and for which pods, so that all of them run at the least cost.
//!
//! Pods that ask for the same resources of the same machines are one family. Pods of one family alone are an unbounded covering problem over the types,
//! solved exactly by dynamic programming. Several are packed machine by machine: the one whose price is least against what its pods are worth is opened, as
//! often as there are pods to fill it. What pods are worth is tried in two ways: by their resources, from the dual of a linear program ([`super::worth`]),
//! and by what each would cost on machines full of its like (the reservation price of Eva, EuroSys'25). The cheapest plan wins, first-fit-decreasing
//! included, and its worst machines are packed anew as long as that saves anything.
//!
//! Pods that mind their company on a node (anti-affinity, spread by host name, ports) say how many machines there must be at the least. Where that is more
//! than their resources need, machines are filled evenly, each beginning with such a pod.

use std::collections::{BTreeMap, BTreeSet};

use super::market::{Market, SiteId};
use super::place::{Class, Part};
use super::purchase::{Purchase, purchase};
use super::resources::{Dimensions, Resources};
use super::stock::{Crowd, Stock};
use super::worth::resource_prices;
use crate::units::MicroDollarsPerHour;

/// Families are few up to this number: then every type is tried, and each family alone too.
pub(super) const FEW: usize = 8;
/// Pods are appraised anew after so many kinds of machine.
const APPRAISE: u32 = 24;
/// Other ways to pack are tried for no more families times pods than this.
const MOST_TO_COMPARE: u64 = 20_000_000;

/// Fewer pods than this are not worth a linear program.
const BULK: u64 = 200;

/// What a machine costs beside its price, an hour: one more thing to boot, to pull images onto and to lose. One machine more has to save more than this.
pub const MACHINE: MicroDollarsPerHour = MicroDollarsPerHour(2_000);

/// Pods that ask for the same resources of the same machines.
#[derive(Debug)]
pub(super) struct Family {
    pub(super) site: SiteId,
    pub(super) requests: Resources,
    /// The same by dimension.
    pub(super) size: Vec<i64>,
    /// Its parts; those that are used up are taken off the end.
    pub(super) parts: Vec<usize>,
    pub(super) left: u32,
    pub(super) worth: f64,
    /// Whether all of its pods are content with any company.
    pub(super) free: bool,
}

/// A machine with its pods, as often as it is bought.
#[derive(Debug, Clone)]
pub(super) struct Machine {
    pub(super) goods: usize,
    pub(super) site: SiteId,
    /// Parts and how many pods of each.
    pub(super) holds: Vec<(usize, u32)>,
    pub(super) copies: u32,
}

/// What is bought, and what is not.
#[derive(Debug, Clone, Default)]
pub(super) struct Outcome {
    pub(super) machines: Vec<Machine>,
    pub(super) left: Vec<Rest>,
}

/// Pods of a part that are to be packed, or were left, and why.
pub(super) type Rest = (usize, u32, Left);

/// Why pods were left by the packer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    /// Nothing that is open holds one.
    NothingFits,
    /// The pods that have to be on one node with it leave no room.
    NoCompany,
    /// What would hold it leaves too few types to choose from.
    FewTypes,
    /// The turn's effort is spent.
    Effort,
}

/// By what pods are appraised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Worth {
    Resources,
    Alone,
}

/// What may still be bought: a copy for each way that is tried.
#[derive(Debug, Clone)]
pub(super) struct Till {
    pub(super) used: Vec<(Resources, u32)>,
    pub(super) closed: Vec<bool>,
}

/// What all ways of packing share.
pub(super) struct Packer<'a, 'b> {
    pub(super) market: &'b mut Market<'a>,
    pub(super) parts: &'b [Part],
    requests: &'b [Resources],
    dimensions: Dimensions,
    /// For each of the goods, what it has of each dimension.
    pub(super) rooms: Vec<Vec<i64>>,
    pub(super) effort: &'b mut u64,
    /// Whether pools' minValues have to hold.
    pub(super) strict: bool,
}

/// Buys machines for these parts, tier by tier of the pools. Returns the machines, and what is left over of each part, with the reason.
pub(super) fn pack(
    market: &mut Market<'_>,
    classes: &[Class],
    parts: &[Part],
    relax_min_values: bool,
    effort: &mut u64,
) -> (Vec<Purchase>, Vec<Rest>) {
    let requests: Vec<Resources> = parts.iter().map(|part| market.cluster.shapes.get(classes[part.class].shape).requests.clone()).collect();
    let mut left: Vec<Rest> = parts.iter().enumerate().map(|(i, part)| (i, part.count, Left::NothingFits)).collect();
    let mut bought = Vec::new();
    let tiers = market.stalls.last().map_or(0, |stall| stall.tier + 1);
    for tier in 0..tiers {
        // Where minValues only ask, the pools of one weight are tried as they are before they are relaxed, and only then the next.
        for strict in [true, false] {
            if left.is_empty() || !strict && !relax_min_values {
                continue;
            }
            let outcome = Packer::new(market, parts, &requests, strict, effort).pack(tier, &left);
            for machine in &outcome.machines {
                bought.extend(purchase(market, classes, parts, &requests, machine, !strict));
            }
            left = outcome.left;
        }
    }
    (bought, left)
}

pub(super) fn float(n: i64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "amounts and prices are only compared")]
    let n = n as f64;
    n
}

/// A price with what a machine costs beside it: a free machine is still worth less than two.
pub(super) fn price_of(price: i64) -> f64 {
    float(price.saturating_add(MACHINE.0))
}

impl<'a, 'b> Packer<'a, 'b> {
    fn new(market: &'b mut Market<'a>, parts: &'b [Part], requests: &'b [Resources], strict: bool, effort: &'b mut u64) -> Self {
        let dimensions = Dimensions::of(requests);
        let rooms = market.goods.iter().map(|goods| dimensions.list(&goods.net)).collect();
        Self { market, parts, requests, dimensions, rooms, effort, strict }
    }

    fn till(&self, tier: usize) -> Till {
        Till {
            used: self.market.stalls.iter().map(|stall| (stall.used.clone(), stall.nodes)).collect(),
            closed: self.market.goods.iter().map(|goods| goods.closed || self.market.stalls[goods.stall].tier != tier).collect(),
        }
    }

    /// Packs in every way that is worth trying, and takes the best.
    fn pack(&mut self, tier: usize, wanted: &[Rest]) -> Outcome {
        let till = self.till(tier);
        // Those that have to be on one node with others are not begun a second time, and come with those others.
        let parts = self.parts;
        let needs = |part: usize| &*parts[part].needs;
        let is_hosted = |part: usize| wanted.iter().any(|(other, _, _)| needs(*other).hosts(needs(part)));
        let can = |(part, _, why): &Rest| (*why != Left::NoCompany || is_hosted(*part)) && self.holds_one(*part, &till);
        let (able, unable): (Vec<Rest>, Vec<Rest>) = wanted.iter().copied().partition(can);
        if able.is_empty() {
            return Outcome { machines: Vec::new(), left: unable };
        }
        let plain = able.iter().all(|(part, _, _)| self.parts[*part].needs.is_free());
        let families = self.families(&able).len();
        let pods: u64 = able.iter().map(|(_, count, _)| u64::from(*count)).sum();
        let many = pods.saturating_mul(families as u64) > MOST_TO_COMPARE;
        let mut best = if plain && families > 1 && families <= FEW && pods > BULK && !self.minds_values() {
            self.by_columns(&able, &mut till.clone())
        } else {
            self.best_of(&able, &till, plain, many)
        };
        for machine in &best.machines {
            let goods = &self.market.goods[machine.goods];
            let stall = &mut self.market.stalls[goods.stall];
            stall.used.add(&goods.kind.capacity, machine.copies);
            stall.nodes += machine.copies;
        }
        for stall in 0..self.market.stalls.len() {
            self.market.close_what_is_spent(stall);
        }
        best.left.extend(unable);
        best
    }

    /// Whether any open machine holds one pod of this part.
    pub(super) fn holds_one(&self, part: usize, till: &Till) -> bool {
        let (site, requests) = (self.market.site(self.parts[part].site), &self.requests[part]);
        site.by_price.iter().rev().any(|goods| !till.closed[*goods] && requests.fits(&self.market.goods[*goods].net))
    }

    /// Parts by what they ask for and where, largest first.
    pub(super) fn families(&self, wanted: &[Rest]) -> Vec<Family> {
        let mut found: BTreeMap<(SiteId, &Resources), Vec<(usize, u32)>> = BTreeMap::new();
        for (part, count, _) in wanted.iter().filter(|(_, count, _)| *count > 0) {
            found.entry((self.parts[*part].site, &self.requests[*part])).or_default().push((*part, *count));
        }
        let mut families: Vec<Family> = found
            .into_iter()
            .map(|((site, requests), parts)| Family {
                site,
                requests: requests.clone(),
                size: self.dimensions.list(requests).into_iter().map(|amount| amount.max(0)).collect(),
                left: parts.iter().map(|(_, count)| *count).fold(0, u32::saturating_add),
                free: parts.iter().all(|(part, _)| self.parts[*part].needs.is_free()),
                parts: parts.into_iter().map(|(part, _)| part).rev().collect(),
                worth: 0.0,
            })
            .collect();
        // Numbers of parts follow the order in which classes were settled, which goes by size and name.
        families.sort_by(|a, b| {
            let size = |family: &Family| (family.requests.cpu, family.requests.memory);
            size(b).cmp(&size(a)).then_with(|| a.parts.last().cmp(&b.parts.last()))
        });
        families
    }

    pub(super) fn stock(&self, wanted: &[Rest]) -> Stock {
        let mut counts = vec![0; self.parts.len()];
        wanted.iter().for_each(|(part, count, _)| counts[*part] = *count);
        let families = self.families(wanted);
        let mut family_of = vec![0; self.parts.len()];
        for (i, family) in families.iter().enumerate() {
            family.parts.iter().for_each(|part| family_of[*part] = i);
        }
        let crowd = Crowd::of(self.parts, &counts);
        Stock { families, family_of, counts, crowd, prices: BTreeMap::new() }
    }

    /// What one pod costs on a machine full of its like, at best.
    fn alone(&self, family: &Family, till: &Till) -> f64 {
        let site = self.market.site(family.site);
        let open = site.by_price.iter().filter(|goods| !till.closed[**goods]);
        let costs = open.filter_map(|goods| {
            let fit = times(&family.size, &self.rooms[*goods]);
            (fit > 0).then(|| price_of(site.prices[*goods]) / f64::from(fit))
        });
        costs.fold(f64::INFINITY, f64::min)
    }

    /// Sets what resources are worth at each site, and what the pods of each family are.
    pub(super) fn appraise(&self, stock: &mut Stock, till: &Till, by: Worth) {
        let sites: BTreeSet<SiteId> = stock.families.iter().filter(|family| family.left > 0).map(|family| family.site).collect();
        for site in sites {
            let mut demand = vec![0.0; self.dimensions.count()];
            for family in stock.families.iter().filter(|family| family.site == site) {
                for (sum, one) in demand.iter_mut().zip(&family.size) {
                    *sum += float(*one) * f64::from(family.left);
                }
            }
            let of = self.market.site(site);
            let rooms: Vec<(Vec<f64>, f64)> = of
                .by_price
                .iter()
                .filter(|goods| !till.closed[**goods])
                .map(|goods| (self.rooms[*goods].iter().map(|n| float((*n).max(0))).collect(), price_of(of.prices[*goods])))
                .collect();
            stock.prices.insert(site, resource_prices(&demand, &rooms));
        }
        let Stock { families, prices, .. } = stock;
        for family in families.iter_mut().filter(|family| family.left > 0) {
            let of_resources =
                || prices.get(&family.site).map_or(0.0, |prices| family.size.iter().zip(prices).map(|(n, p)| float(*n) * p).sum());
            let worth = if by == Worth::Alone { self.alone(family, till) } else { of_resources() };
            // Pods that ask for nothing that is scarce are still worth a place.
            family.worth = worth.max(1e-6);
        }
    }

    /// Packs machine by machine.
    pub(super) fn run(&mut self, wanted: &[Rest], till: &mut Till, by: Worth) -> Outcome {
        let mut outcome = Outcome::default();
        let mut stock = self.stock(wanted);
        self.appraise(&mut stock, till, by);
        while let Some((machine, company, all_on_one)) = self.gather(&stock, till) {
            let bought = outcome.machines.len();
            if let Some(machine) = machine {
                self.book(machine, &mut stock, till, &mut outcome);
            }
            if all_on_one || bought == outcome.machines.len() {
                outcome.left.extend(stock.remove(self.parts, &company, Left::NoCompany));
            }
        }
        let mut fresh = APPRAISE;
        while let Some(lead) = self.lead(&stock) {
            if *self.effort == 0 {
                outcome.left.extend(stock.rest(Left::Effort));
                break;
            }
            if fresh == 0 {
                self.appraise(&mut stock, till, by);
                fresh = APPRAISE;
            }
            fresh -= 1;
            let only = stock.families.iter().filter(|family| family.left > 0).count() == 1;
            let machines = if only && stock.families[lead].free && !self.minds_values() {
                self.exact(&stock, lead, till)
            } else {
                self.open(&stock, lead, till).into_iter().collect()
            };
            let before = (outcome.machines.len(), till.closed.iter().filter(|closed| **closed).count());
            for machine in machines {
                self.book(machine, &mut stock, till, &mut outcome);
            }
            if before == (outcome.machines.len(), till.closed.iter().filter(|closed| **closed).count()) {
                // Nothing holds even one: limits have closed what would, or it leaves too few types to choose from.
                let part = stock.families[lead].parts.last().copied();
                let why = if part.is_some_and(|part| self.holds_one(part, till)) { Left::FewTypes } else { Left::NothingFits };
                outcome.left.extend(stock.give_up(lead, why));
            }
        }
        outcome
    }

    pub(super) fn minds_values(&self) -> bool {
        self.strict && self.market.stalls.iter().any(|stall| stall.pool.wishes.0.values().any(|wish| wish.min_values.is_some()))
    }

    /// The family for which the next machine is opened: of the site with the fewest goods, the largest.
    fn lead(&self, stock: &Stock) -> Option<usize> {
        let open = (0..stock.families.len()).filter(|i| stock.families[*i].left > 0);
        open.min_by_key(|i| (self.market.site(stock.families[*i].site).by_price.len(), stock.families[*i].site, *i))
    }

    /// Takes a machine's pods off what waits, as often as it can be bought so.
    pub(super) fn book(&self, mut machine: Machine, stock: &mut Stock, till: &mut Till, outcome: &mut Outcome) {
        let most = machine.holds.iter().map(|(part, count)| stock.counts[*part] / (*count).max(1)).min().unwrap_or(0);
        let copies = most.min(machine.copies);
        let goods = &self.market.goods[machine.goods];
        let limits = &self.market.stalls[goods.stall].pool.limits;
        let (used, nodes) = &mut till.used[goods.stall];
        if limits.nodes.is_none() && limits.resources.is_empty() {
            machine.copies = copies;
        } else {
            machine.copies = 0;
            while machine.copies < copies && limits.exceeded_by(used, *nodes, &goods.kind.capacity).is_none() {
                used.add(&goods.kind.capacity, 1);
                *nodes += 1;
                machine.copies += 1;
            }
            for (i, other) in self.market.goods.iter().enumerate().filter(|(_, other)| other.stall == goods.stall) {
                till.closed[i] |= limits.exceeded_by(used, *nodes, &other.kind.capacity).is_some();
            }
        }
        if machine.copies > 0 {
            for (part, count) in &machine.holds {
                stock.take(self.parts, *part, count * machine.copies);
            }
            outcome.machines.push(machine);
        }
    }
}

/// How many of this size fit into a room; `u32::MAX` where it asks for nothing.
pub(super) fn times(size: &[i64], room: &[i64]) -> u32 {
    let fits = size.iter().zip(room).filter(|(want, _)| **want > 0).map(|(want, have)| have.max(&0) / want);
    fits.min().map_or(u32::MAX, |fit| u32::try_from(fit).unwrap_or(u32::MAX))
}

#[cfg(test)]
#[path = "pack_tests.rs"]
mod tests;
