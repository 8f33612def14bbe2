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

use super::columns::fillings;
use super::fill::{Crowd, Stock};
use super::market::{Market, SiteId};
use super::place::{Class, Part};
use super::purchase::{Purchase, purchase};
use super::resources::Resources;
use super::worth::resource_prices;
use crate::name::Name;
use crate::units::MicroDollarsPerHour;

/// Above this many pods of one family the best type by ratio is bought in bulk, and only the rest is solved exactly.
const EXACT: u32 = 1024;
/// Families are few up to this number: then every type is tried, and each family alone too.
pub(super) const FEW: usize = 8;
/// Pods are appraised anew after so many kinds of machine.
const APPRAISE: u32 = 24;
/// Other ways to pack are tried for no more families times pods than this.
const MOST_TO_COMPARE: u64 = 20_000_000;

/// The worst third of the machines is packed anew, then fewer.
const REPACKED: [u32; 5] = [3, 6, 2, 10, 4];
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
struct Outcome {
    machines: Vec<Machine>,
    left: Vec<Rest>,
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
enum Worth {
    Resources,
    Alone,
}

/// What may still be bought: a copy for each way that is tried.
#[derive(Debug, Clone)]
pub(super) struct Till {
    used: Vec<(Resources, u32)>,
    pub(super) closed: Vec<bool>,
}

/// What all ways of packing share.
pub(super) struct Packer<'a, 'b> {
    pub(super) market: &'b mut Market<'a>,
    pub(super) parts: &'b [Part],
    requests: &'b [Resources],
    dims: Vec<Name>,
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
        let mut dims: BTreeSet<Name> = ["cpu", "memory", "ephemeral-storage", "pods"].map(Name::from).into();
        dims.extend(requests.iter().flat_map(|requests| requests.extended.keys().cloned()));
        let dims: Vec<Name> = dims.into_iter().collect();
        let rooms = market.goods.iter().map(|goods| dims.iter().map(|name| goods.net.get(name)).collect()).collect();
        Self { market, parts, requests, dims, rooms, effort, strict }
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
        // Those that have to be on one node with others are not begun a second time.
        let can = |(part, _, why): &Rest| *why != Left::NoCompany && self.holds_one(*part, &till);
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

    /// The best of several ways to pack machine by machine.
    fn best_of(&mut self, wanted: &[Rest], till: &Till, plain: bool, many: bool) -> Outcome {
        let families = self.families(wanted).len();
        let mut best = self.run(wanted, &mut till.clone(), if families == 1 { Worth::Alone } else { Worth::Resources });
        if plain && families > 1 {
            if families <= FEW {
                let apart = self.apart(wanted, &mut till.clone());
                self.prefer(&mut best, apart);
            }
            if !many {
                let alone = self.run(wanted, &mut till.clone(), Worth::Alone);
                self.prefer(&mut best, alone);
                let first_fit = self.first_fit(wanted, &mut till.clone());
                self.prefer(&mut best, first_fit);
                self.repack(&mut best, till);
            }
        }
        best
    }

    /// Many pods of few families, those of one site at a time: the fillings of a linear program as often as whole numbers allow, and the best of several ways
    /// for the rest.
    fn by_columns(&mut self, wanted: &[Rest], till: &mut Till) -> Outcome {
        let mut outcome = Outcome::default();
        let mut stock = self.stock(wanted);
        let sites: BTreeSet<SiteId> = stock.families.iter().map(|family| family.site).collect();
        for site in sites {
            let members: Vec<usize> = (0..stock.families.len()).filter(|i| stock.families[*i].site == site).collect();
            let of = self.market.site(site);
            let goods: Vec<usize> = of.by_price.iter().copied().filter(|goods| !till.closed[*goods]).collect();
            let rooms: Vec<(&[i64], f64)> = goods.iter().map(|goods| (&self.rooms[*goods][..], price_of(of.prices[*goods]))).collect();
            let sizes: Vec<&[i64]> = members.iter().map(|i| &stock.families[*i].size[..]).collect();
            let counts: Vec<u32> = members.iter().map(|i| stock.families[*i].left).collect();
            let mut machines = Vec::new();
            for (filling, times) in fillings(&sizes, &counts, &rooms, self.effort) {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "a number of machines, not negative; a cast saturates"
                )]
                let copies = (times + 1e-6).floor() as u32;
                let holds = members.iter().copied().zip(filling.holds).filter(|(_, count)| *count > 0).collect::<Vec<_>>();
                machines.push((goods[filling.of], holds, copies));
            }
            for (goods, holds, copies) in machines {
                let mut bought = 0;
                while bought < copies {
                    // Families of several parts change from one to the next in between.
                    let Some(machine) = stock.filling(site, goods, &holds, copies - bought) else { break };
                    let before = outcome.machines.len();
                    self.book(machine, &mut stock, till, &mut outcome);
                    match outcome.machines.get(before) {
                        Some(machine) => bought += machine.copies,
                        None => break,
                    }
                }
            }
        }
        let rest = stock.rest(Left::NothingFits);
        let packed = self.best_of(&rest, till, true, false);
        outcome.machines.extend(packed.machines);
        outcome.left.extend(packed.left);
        outcome
    }

    fn prefer(&self, best: &mut Outcome, other: Outcome) {
        if self.rank(&other) < self.rank(best) {
            *best = other;
        }
    }

    /// Fewest pods left, then the least cost, then the fewest machines.
    fn rank(&self, outcome: &Outcome) -> (u64, i64, u64) {
        let left = outcome.left.iter().map(|(_, count, _)| u64::from(*count)).sum();
        let cost = outcome.machines.iter().map(|machine| self.cost(machine)).fold(0, i64::saturating_add);
        (left, cost, outcome.machines.iter().map(|machine| u64::from(machine.copies)).sum())
    }

    fn cost(&self, machine: &Machine) -> i64 {
        self.market.site(machine.site).prices[machine.goods].saturating_add(MACHINE.0).saturating_mul(i64::from(machine.copies))
    }

    /// Whether any open machine holds one pod of this part.
    pub(super) fn holds_one(&self, part: usize, till: &Till) -> bool {
        let (site, requests) = (self.market.site(self.parts[part].site), &self.requests[part]);
        site.by_price.iter().rev().any(|goods| !till.closed[*goods] && requests.fits(&self.market.goods[*goods].net))
    }

    /// Parts by what they ask for and where, largest first.
    fn families(&self, wanted: &[Rest]) -> Vec<Family> {
        let mut found: BTreeMap<(SiteId, &Resources), Vec<(usize, u32)>> = BTreeMap::new();
        for (part, count, _) in wanted.iter().filter(|(_, count, _)| *count > 0) {
            found.entry((self.parts[*part].site, &self.requests[*part])).or_default().push((*part, *count));
        }
        let mut families: Vec<Family> = found
            .into_iter()
            .map(|((site, requests), parts)| Family {
                site,
                requests: requests.clone(),
                size: self.dims.iter().map(|name| requests.get(name).max(0)).collect(),
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

    fn stock(&self, wanted: &[Rest]) -> Stock {
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
    fn appraise(&self, stock: &mut Stock, till: &Till, by: Worth) {
        let sites: BTreeSet<SiteId> = stock.families.iter().filter(|family| family.left > 0).map(|family| family.site).collect();
        for site in sites {
            let mut demand = vec![0.0; self.dims.len()];
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
    fn run(&mut self, wanted: &[Rest], till: &mut Till, by: Worth) -> Outcome {
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

    /// Each family on machines of its own.
    fn apart(&mut self, wanted: &[Rest], till: &mut Till) -> Outcome {
        let mut outcome = Outcome::default();
        let count = self.families(wanted).len();
        for at in 0..count {
            let stock = self.stock(wanted);
            let of: Vec<Rest> = stock.families[at].parts.iter().map(|part| (*part, stock.counts[*part], Left::NothingFits)).collect();
            let alone = self.run(&of, till, Worth::Alone);
            outcome.machines.extend(alone.machines);
            outcome.left.extend(alone.left);
        }
        outcome
    }

    /// First-fit-decreasing over the cheapest type that holds a pod: what any plan has to beat.
    fn first_fit(&mut self, wanted: &[Rest], till: &mut Till) -> Outcome {
        let mut stock = self.stock(wanted);
        let mut machines: Vec<(Machine, Vec<i64>)> = Vec::new();
        for family in &stock.families {
            for part in family.parts.iter().rev() {
                let mut left = stock.counts[*part];
                *self.effort = self.effort.saturating_sub(machines.len() as u64 + 1);
                let mut at = 0;
                while left > 0 {
                    if at == machines.len() {
                        let mut sold = self.market.site(family.site).by_price.iter().copied();
                        let Some(goods) = sold.find(|goods| !till.closed[*goods] && times(&family.size, &self.rooms[*goods]) > 0) else {
                            break;
                        };
                        machines.push((Machine { goods, site: family.site, holds: Vec::new(), copies: 1 }, self.rooms[goods].clone()));
                    }
                    let (machine, room) = &mut machines[at];
                    let fit = times(&family.size, room).min(left);
                    if fit > 0 && self.market.join(machine.site, family.site) == Some(machine.site) {
                        room.iter_mut().zip(&family.size).for_each(|(room, one)| *room -= one * i64::from(fit));
                        machine.holds.push((*part, fit));
                        left -= fit;
                    }
                    at += 1;
                }
            }
        }
        let mut outcome = Outcome::default();
        for (machine, room) in machines {
            let sum: Vec<i64> = self.rooms[machine.goods].iter().zip(&room).map(|(whole, room)| whole - room).collect();
            let mut sold = self.market.site(machine.site).by_price.iter().copied();
            let holds = |goods: &usize| self.rooms[*goods].iter().zip(&sum).all(|(room, sum)| *sum <= 0 || sum <= room);
            let goods = sold.find(|goods| !till.closed[*goods] && holds(goods)).unwrap_or(machine.goods);
            self.book(Machine { goods, ..machine }, &mut stock, till, &mut outcome);
        }
        outcome.left.extend(stock.rest(Left::NothingFits));
        outcome
    }

    /// Packs the pods of the worst machines anew, as long as that saves anything.
    fn repack(&mut self, best: &mut Outcome, till: &Till) {
        for share in REPACKED {
            let all: Vec<Rest> = held(&best.machines);
            let mut stock = self.stock(&all);
            self.appraise(&mut stock, till, Worth::Resources);
            let worth = |machine: &Machine| {
                machine.holds.iter().map(|(part, n)| stock.families[stock.family_of[*part]].worth * f64::from(*n)).sum::<f64>()
            };
            let mut ratio: Vec<(f64, usize)> = best
                .machines
                .iter()
                .enumerate()
                .map(|(i, machine)| (price_of(self.market.site(machine.site).prices[machine.goods]) / worth(machine), i))
                .collect();
            ratio.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
            let machines: u32 = best.machines.iter().map(|machine| machine.copies).sum();
            let (mut taken, mut worst) = (0, BTreeSet::new());
            for (_, i) in ratio {
                if taken >= (machines / share).max(2) {
                    break;
                }
                taken += best.machines[i].copies;
                worst.insert(i);
            }
            let (kept, anew): (Vec<_>, Vec<_>) = best.machines.iter().cloned().enumerate().partition(|(i, _)| !worst.contains(i));
            let kept: Vec<Machine> = kept.into_iter().map(|(_, machine)| machine).collect();
            let anew: Vec<Machine> = anew.into_iter().map(|(_, machine)| machine).collect();
            let mut left_over = till.clone();
            for machine in &kept {
                let goods = &self.market.goods[machine.goods];
                let (used, nodes) = &mut left_over.used[goods.stall];
                used.add(&goods.kind.capacity, machine.copies);
                *nodes += machine.copies;
            }
            for (i, goods) in self.market.goods.iter().enumerate() {
                let (used, nodes) = &left_over.used[goods.stall];
                left_over.closed[i] |=
                    self.market.stalls[goods.stall].pool.limits.exceeded_by(used, *nodes, &goods.kind.capacity).is_some();
            }
            let wanted = held(&anew);
            for by in [Worth::Resources, Worth::Alone] {
                let mut packed = self.run(&wanted, &mut left_over.clone(), by);
                packed.machines.splice(0..0, kept.iter().cloned());
                packed.left.extend(best.left.iter().copied());
                self.prefer(best, packed);
            }
            if *self.effort == 0 {
                return;
            }
        }
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
    fn book(&self, mut machine: Machine, stock: &mut Stock, till: &mut Till, outcome: &mut Outcome) {
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

    /// The cheapest set of machines for one family: least cost, then fewest machines, then the type's name.
    fn exact(&mut self, stock: &Stock, lead: usize, till: &Till) -> Vec<Machine> {
        let family = &stock.families[lead];
        let of = self.market.site(family.site);
        // A type that holds no more than a cheaper one is of no use.
        let mut most = 0;
        let mut kinds: Vec<(usize, u32, i64)> = of
            .by_price
            .iter()
            .filter(|goods| !till.closed[**goods])
            .map(|goods| (*goods, times(&family.size, &self.rooms[*goods]).min(family.left), of.prices[*goods]))
            .collect();
        kinds.retain(|(_, fit, _)| {
            let larger = *fit > most;
            most = most.max(*fit);
            larger
        });
        let ratio = |kind: &(usize, u32, i64)| price_of(kind.2) / f64::from(kind.1);
        if family.left > EXACT {
            let best = kinds.iter().enumerate().min_by(|(i, a), (j, b)| ratio(a).total_cmp(&ratio(b)).then(b.1.cmp(&a.1)).then(i.cmp(j)));
            let bulk = best.map(|(_, (goods, fit, _))| (*goods, *fit, (family.left - EXACT).div_ceil(*fit)));
            return stock.filled(lead, bulk);
        }
        let count = family.left as usize;
        *self.effort = self.effort.saturating_sub((count as u64).saturating_mul(kinds.len() as u64));
        let mut best: Vec<(i64, u32, usize)> = vec![(0, 0, usize::MAX); count + 1];
        for n in 1..=count {
            let options = kinds.iter().enumerate().map(|(k, (_, fit, price))| {
                let (cost, machines, _) = best[n.saturating_sub(*fit as usize)];
                (cost.saturating_add(price.saturating_add(MACHINE.0)), machines + 1, k)
            });
            if let Some(option) = options.min() {
                best[n] = option;
            }
        }
        let mut chosen: BTreeMap<(std::cmp::Reverse<u32>, usize), u32> = BTreeMap::new();
        let mut n = count;
        while let Some((_, _, kind)) = best.get(n).filter(|(_, _, kind)| n > 0 && *kind < kinds.len()) {
            let fit = kinds[*kind].1;
            // The largest first, so that the smallest is the one that is not full.
            *chosen.entry((std::cmp::Reverse(fit), *kind)).or_default() += 1;
            n = n.saturating_sub(fit as usize);
        }
        stock.filled(lead, chosen.into_iter().map(|((fit, kind), copies)| (kinds[kind].0, fit.0, copies)))
    }
}

/// The pods of these machines, by part.
fn held(machines: &[Machine]) -> Vec<Rest> {
    let mut counts: BTreeMap<usize, u32> = BTreeMap::new();
    for machine in machines {
        for (part, count) in &machine.holds {
            *counts.entry(*part).or_default() += count * machine.copies;
        }
    }
    counts.into_iter().map(|(part, count)| (part, count, Left::NothingFits)).collect()
}

/// How many of this size fit into a room; `u32::MAX` where it asks for nothing.
pub(super) fn times(size: &[i64], room: &[i64]) -> u32 {
    let fits = size.iter().zip(room).filter(|(want, _)| **want > 0).map(|(want, have)| have.max(&0) / want);
    fits.min().map_or(u32::MAX, |fit| u32::try_from(fit).unwrap_or(u32::MAX))
}

#[cfg(test)]
#[path = "pack_tests.rs"]
mod tests;
