//! The ways to pack that are compared: the columns of a linear program, machine by machine, each family alone, first-fit-decreasing; and the best of them once
//! more for its worst machines.

use std::collections::{BTreeMap, BTreeSet};

use super::columns::fillings;
use super::market::SiteId;
use super::pack::{FEW, Left, MACHINE, Machine, Outcome, Packer, Rest, Till, Worth, price_of, times};
use super::stock::Stock;

/// Above this many pods of one family the best type by ratio is bought in bulk, and only the rest is solved exactly.
const EXACT: u32 = 1024;
/// The worst third of the machines is packed anew, then fewer.
const REPACKED: [u32; 5] = [3, 6, 2, 10, 4];

impl Packer<'_, '_> {
    /// The best of several ways to pack machine by machine.
    pub(super) fn best_of(&mut self, wanted: &[Rest], till: &Till, plain: bool, many: bool) -> Outcome {
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
    pub(super) fn by_columns(&mut self, wanted: &[Rest], till: &mut Till) -> Outcome {
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
                        let Some(goods) = self.holding(family.site, &family.size, till).next() else { break };
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
            let goods = self.holding(machine.site, &sum, till).next().unwrap_or(machine.goods);
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

    /// The cheapest set of machines for one family: least cost, then fewest machines, then the type's name.
    pub(super) fn exact(&mut self, stock: &Stock, lead: usize, till: &Till) -> Vec<Machine> {
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
