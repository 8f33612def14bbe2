//! Filling one machine: which type to open, which pods go onto it, and the company that they keep there.

use std::collections::BTreeMap;

use super::company::Company;
use super::constraint::HostPort;
use super::market::SiteId;
use super::pack::{FEW, Machine, Packer, Till, float, price_of, times};
use super::purchase::too_few;
use super::stock::Stock;

/// Of many families, so many types that are cheapest by what their resources are worth are tried for each machine.
const TRIED: usize = 4;
/// So many parts of a family are asked in vain before a machine does without it.
const REFUSALS: u32 = 8;

/// A machine that is being filled.
pub(super) struct Open {
    pub(super) site: SiteId,
    goods: Option<usize>,
    company: Company,
    sum: Vec<i64>,
    pub(super) holds: Vec<(usize, u32)>,
    worth: f64,
}

impl Packer<'_, '_> {
    /// A machine of this site; its type may be left open.
    fn begin(&self, site: SiteId, goods: Option<usize>) -> Open {
        let mut company = Company::default();
        if let Some(goods) = goods {
            company.take_ports(&self.market.goods[goods].ports);
        }
        let sum = vec![0; self.rooms.first().map_or(0, Vec::len)];
        Open { site, goods, company, sum, holds: Vec::new(), worth: 0.0 }
    }

    /// The machine to buy next for the sake of a family: the cheapest against what its pods are worth.
    pub(super) fn open(&mut self, stock: &Stock, lead: usize, till: &Till) -> Option<Machine> {
        let site = stock.families[lead].site;
        if let Some((machines, parts)) = stock.crowd.largest() {
            let total: f64 = stock.families.iter().map(|family| family.worth * f64::from(family.left)).sum();
            let even = total / machines;
            let full = self.full_worth(stock, site, till);
            if even < full {
                let mut open = self.begin(site, None);
                let seed = parts
                    .iter()
                    .rev()
                    .filter(|part| stock.counts[**part] > 0)
                    .take(64)
                    .find(|part| self.draw(stock, &mut open, **part, 1, till) > 0);
                if seed.is_some() {
                    self.fill_evenly(stock, &mut open, even, till);
                    return self.close(stock, open, till);
                }
            }
        }
        let goods = self.choose(stock, site, till);
        let mut open = self.begin(site, goods);
        if goods.is_some() {
            self.fill(stock, &mut open, till);
        }
        if open.holds.is_empty() {
            // The chosen type holds none of those that mind their company; whatever holds the lead does.
            open = self.begin(site, None);
            let part = stock.families[lead].parts.last().copied()?;
            self.draw(stock, &mut open, part, 1, till);
        }
        self.close(stock, open, till)
    }

    /// What the pods on a machine of the best type would be worth, were it full to the brim.
    fn full_worth(&self, stock: &Stock, site: SiteId, till: &Till) -> f64 {
        self.by_value(stock, site, till).first().map_or(0.0, |goods| {
            let prices = stock.prices.get(&site);
            prices.map_or(0.0, |prices| self.rooms[*goods].iter().zip(prices).map(|(room, price)| float((*room).max(0)) * price).sum())
        })
    }

    /// Open goods of a site, the cheapest against what their resources are worth first.
    pub(super) fn by_value(&self, stock: &Stock, site: SiteId, till: &Till) -> Vec<usize> {
        let of = self.market.site(site);
        let Some(prices) = stock.prices.get(&site) else { return of.by_price.clone() };
        let value = |goods: usize| self.rooms[goods].iter().zip(prices).map(|(room, price)| float((*room).max(0)) * price).sum::<f64>();
        let open = of.by_price.iter().enumerate().filter(|(_, goods)| !till.closed[**goods]);
        let mut keyed: Vec<(f64, usize, usize)> =
            open.map(|(i, goods)| (price_of(of.prices[*goods]) / value(*goods).max(f64::MIN_POSITIVE), i, *goods)).collect();
        keyed.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        keyed.into_iter().map(|(_, _, goods)| goods).collect()
    }

    /// The families whose pods can go onto a machine of this site without making it another.
    fn members(&mut self, stock: &Stock, site: SiteId) -> Vec<usize> {
        let waiting = (0..stock.families.len()).filter(|i| stock.families[*i].left > 0);
        waiting.filter(|i| self.market.join(site, stock.families[*i].site) == Some(site)).collect()
    }

    /// The type to open: the cheapest against what it could hold, company apart.
    fn choose(&mut self, stock: &Stock, site: SiteId, till: &Till) -> Option<usize> {
        let members = self.members(stock, site);
        let mut tried = self.by_value(stock, site, till);
        if members.len() > FEW {
            // Types that hold none of what waits are not in the way of those that do.
            tried.retain(|goods| members.iter().any(|i| times(&stock.families[*i].size, &self.rooms[*goods]) > 0));
            tried.truncate(TRIED);
        }
        let mut best: Option<(f64, u32, usize)> = None;
        for goods in tried {
            let (worth, pods) = self.trial(stock, &members, goods);
            if pods == 0 {
                continue;
            }
            let score = price_of(self.market.site(site).prices[goods]) / worth;
            let better = |(least, most, _): &(f64, u32, usize)| score < *least - 1e-12 || score <= *least + 1e-12 && pods > *most;
            if best.as_ref().is_none_or(better) {
                best = Some((score, pods, goods));
            }
        }
        best.map(|(_, _, goods)| goods)
    }

    /// What a machine of this type could hold of these families, company apart: its worth, and how many pods.
    fn trial(&mut self, stock: &Stock, members: &[usize], goods: usize) -> (f64, u32) {
        let mut room = self.rooms[goods].clone();
        let whole = room.clone();
        let mut left: Vec<u32> = members.iter().map(|i| stock.families[*i].left).collect();
        let (mut worth, mut pods) = (0.0, 0_u32);
        let order = Order::of(stock, members);
        while let Some((at, count)) = order.next(stock, members, &left, &room, &whole, self.effort) {
            let family = &stock.families[members[at]];
            take(&mut room, &family.size, count);
            left[at] -= count;
            worth += family.worth * f64::from(count);
            pods += count;
        }
        (worth, pods)
    }

    /// Fills a machine of a chosen type.
    fn fill(&mut self, stock: &Stock, open: &mut Open, till: &Till) {
        let Some(goods) = open.goods else { return };
        let members = self.members(stock, open.site);
        let whole = self.rooms[goods].clone();
        let mut room: Vec<i64> = whole.iter().zip(&open.sum).map(|(whole, sum)| whole - sum).collect();
        let mut left: Vec<u32> = members.iter().map(|i| stock.families[*i].left).collect();
        for (part, count) in &open.holds {
            if let Some(at) = members.iter().position(|i| *i == stock.family_of[*part]) {
                left[at] -= count;
            }
        }
        let order = Order::of(stock, &members);
        while let Some((at, count)) = order.next(stock, &members, &left, &room, &whole, self.effort) {
            let family = members[at];
            let drawn = self.draw_of(stock, open, family, count, till);
            take(&mut room, &stock.families[family].size, drawn);
            left[at] -= drawn;
            if drawn < count {
                // The rest of it does not go with those that are there.
                left[at] = 0;
            }
        }
    }

    /// Fills a machine up to a worth, whatever its type.
    fn fill_evenly(&mut self, stock: &Stock, open: &mut Open, even: f64, till: &Till) {
        let mut members = self.members(stock, open.site);
        members.sort_by(|a, b| stock.families[*b].worth.total_cmp(&stock.families[*a].worth).then(a.cmp(b)));
        let mut from = 0;
        while from < members.len() && open.worth < even {
            *self.effort = self.effort.saturating_sub(1);
            let family = members[from];
            let worth = stock.families[family].worth;
            if open.worth + worth > even * 1.1 || self.draw_of(stock, open, family, 1, till) == 0 {
                from += 1;
            }
        }
    }

    /// Settles which type a machine is, fills what is left of it, and leaves the cheapest that holds it all.
    fn close(&mut self, stock: &Stock, mut open: Open, till: &Till) -> Option<Machine> {
        let goods = self.settled(stock, &mut open, till)?;
        if open.goods != Some(goods) {
            open.goods = Some(goods);
            open.company.take_ports(&self.market.goods[goods].ports);
            self.fill(stock, &mut open, till);
        }
        let goods = self.settled(stock, &mut open, till)?;
        Some(Machine { goods, site: open.site, holds: open.holds, copies: u32::MAX })
    }

    /// The cheapest open type that holds what is on the machine. Where none does that leaves as many values to choose from as its pool asks for, pods are
    /// taken off until one does; none where not even one pod is left.
    fn settled(&mut self, stock: &Stock, open: &mut Open, till: &Till) -> Option<usize> {
        loop {
            if let Some(goods) = self.cheapest(open, till) {
                return Some(goods);
            }
            let (part, count) = open.holds.last_mut()?;
            take(&mut open.sum, &stock.families[stock.family_of[*part]].size, 1);
            *count -= 1;
            if *count == 0 {
                open.holds.pop();
            }
            if open.holds.is_empty() {
                return None;
            }
        }
    }

    /// The cheapest open type that holds what is on the machine, and whose pool then has enough to choose from.
    fn cheapest(&self, open: &Open, till: &Till) -> Option<usize> {
        let asked: Vec<&HostPort> = open.holds.iter().flat_map(|(part, _)| &self.parts[*part].needs.ports).collect();
        let mut fitting = self.holding(open.site, &open.sum, till).filter(|goods| self.market.goods[*goods].leaves(&asked));
        if !self.minds_values() {
            return fitting.next();
        }
        let fitting: Vec<usize> = fitting.collect();
        let mut enough: BTreeMap<usize, bool> = BTreeMap::new();
        fitting.iter().copied().find(|goods| {
            let stall = self.market.goods[*goods].stall;
            *enough.entry(stall).or_insert_with(|| {
                let of_stall: Vec<usize> = fitting.iter().copied().filter(|goods| self.market.goods[*goods].stall == stall).collect();
                too_few(self.market, stall, open.site, &of_stall).is_none()
            })
        })
    }

    /// Open goods of a site that hold so much, the cheapest first.
    pub(super) fn holding(&self, site: SiteId, sum: &[i64], till: &Till) -> impl Iterator<Item = usize> {
        let by_price = self.market.site(site).by_price.iter().copied();
        by_price.filter(move |goods| !till.closed[*goods] && holds(&self.rooms[*goods], sum))
    }

    /// Draws up to so many pods of a family onto a machine, as its company allows.
    fn draw_of(&mut self, stock: &Stock, open: &mut Open, family: usize, count: u32, till: &Till) -> u32 {
        let (mut drawn, mut refused) = (0, 0);
        for part in stock.families[family].parts.iter().rev() {
            if drawn == count || refused > REFUSALS {
                break;
            }
            let taken = self.draw(stock, open, *part, count - drawn, till);
            drawn += taken;
            refused += u32::from(taken == 0);
        }
        drawn
    }

    /// Draws up to so many pods of a part onto a machine, as its room and company allow.
    fn draw(&mut self, stock: &Stock, open: &mut Open, part: usize, count: u32, till: &Till) -> u32 {
        let family = &stock.families[stock.family_of[part]];
        let here = open.holds.iter().position(|(held, _)| *held == part);
        let waiting = stock.counts[part] - here.map_or(0, |at| open.holds[at].1);
        let needs = &self.parts[part].needs;
        let mut count = count.min(waiting).min(if needs.is_free() { u32::MAX } else { open.company.room_for(needs, 0, true) });
        if count == 0 {
            return 0;
        }
        let Some(site) = self.market.join(open.site, family.site) else { return 0 };
        if site != open.site
            && open.goods.is_some_and(|goods| self.market.site(site).prices[goods] != self.market.site(open.site).prices[goods])
        {
            return 0;
        }
        let fits = |goods: usize, count: u32| {
            self.rooms[goods]
                .iter()
                .zip(&open.sum)
                .zip(&family.size)
                .all(|((room, sum), one)| *one == 0 || sum + one * i64::from(count) <= *room)
        };
        let any = |count: u32| match open.goods {
            Some(goods) => fits(goods, count),
            None => self.market.site(site).by_price.iter().rev().any(|goods| !till.closed[*goods] && fits(*goods, count)),
        };
        while count > 0 && !any(count) {
            count /= 2;
        }
        if count == 0 {
            return 0;
        }
        for (sum, one) in open.sum.iter_mut().zip(&family.size) {
            *sum += one * i64::from(count);
        }
        open.site = site;
        if !needs.is_free() {
            open.company.add(needs, count);
        }
        open.worth += family.worth * f64::from(count);
        match here {
            Some(at) => open.holds[at].1 += count,
            None => open.holds.push((part, count)),
        }
        count
    }

    /// A machine for pods that have to be with others on one node: those others first, then as many of them as one machine holds. Returns it with the parts
    /// that ask for just that, and whether all of them have to be on that very node.
    pub(super) fn gather(&mut self, stock: &Stock, till: &Till) -> Option<(Option<Machine>, Vec<usize>, bool)> {
        // Those that would only rather be there come after those that have to.
        let parts = self.parts;
        let needs = |part: usize| &*parts[part].needs;
        let waits = || (0..parts.len()).filter(|part| stock.counts[*part] > 0);
        let first = waits().filter(|part| !needs(*part).near.is_empty()).min_by_key(|part| parts[*part].strict)?;
        let joins = |part: usize| needs(part).near.iter().any(|id| needs(first).near.contains(id));
        let company: Vec<usize> = waits().filter(|part| joins(*part)).collect();
        // The smallest of those that it wants to be with, so that as many as can be have room beside it. Where there are some that do not want to be with
        // it in turn, they are where it has to go: kube-scheduler lets its like begin elsewhere only while none of them is anywhere.
        let hosts: Vec<usize> = waits().rev().filter(|part| needs(*part).hosts(needs(first))).collect();
        let all_on_one = needs(first).gathers() && hosts.is_empty();
        let mut open = self.begin(stock.families[stock.family_of[first]].site, None);
        let hosted = all_on_one && parts[first].begins || hosts.iter().any(|part| self.draw(stock, &mut open, *part, 1, till) > 0);
        if !hosted {
            return Some((None, company, all_on_one));
        }
        let before = open.holds.len();
        for part in &company {
            // What halving leaves over is drawn by and by.
            while self.draw(stock, &mut open, *part, stock.counts[*part], till) > 0 {}
        }
        let machine = if open.holds.len() > before { self.close(stock, open, till) } else { None };
        Some((machine.map(|machine| Machine { copies: 1, ..machine }), company, all_on_one))
    }
}

/// The order in which pods go onto a machine.
struct Order {
    few: bool,
    /// What each dimension of the machine's site is worth.
    prices: Vec<f64>,
}

impl Order {
    fn of(stock: &Stock, members: &[usize]) -> Self {
        // Prices of the site that most of the members are of are as good as any: they only say which resources are scarce.
        let prices = members.first().and_then(|i| stock.prices.get(&stock.families[*i].site)).cloned().unwrap_or_default();
        Self { few: members.len() <= FEW, prices }
    }

    /// The family to take from next, and how many of its pods.
    fn next(&self, stock: &Stock, members: &[usize], left: &[u32], room: &[i64], whole: &[i64], effort: &mut u64) -> Option<(usize, u32)> {
        *effort = effort.saturating_sub(members.len() as u64);
        let mut best: Option<(f64, usize, u32)> = None;
        for (at, i) in members.iter().enumerate().filter(|(at, _)| left[*at] > 0) {
            let size = &stock.families[*i].size;
            let fit = times(size, room).min(left[at]);
            if fit == 0 {
                continue;
            }
            let share = |d: usize| float(size[d]) / float(whole[d].max(1));
            let score = if self.few {
                // Of few, the one with the largest share of the machine, as often as it fits.
                (0..size.len()).map(share).fold(0.0, f64::max)
            } else {
                // Of many, a large one that takes of each resource as there is left of it, so that none is left over when another is used up.
                let (mut both, mut mine, mut theirs) = (0.0, 0.0, 0.0);
                for d in 0..size.len() {
                    let weight = self.prices.get(d).copied().unwrap_or(1.0) * float(whole[d].max(0));
                    let (a, b) = (share(d), float(room[d]) / float(whole[d].max(1)));
                    both += weight * a * b;
                    mine += weight * a * a;
                    theirs += weight * b * b;
                }
                let alike = if mine > 0.0 && theirs > 0.0 { both * both / (mine * theirs) } else { 0.0 };
                alike * alike * mine.sqrt()
            };
            if best.as_ref().is_none_or(|(most, _, _)| score > *most) {
                best = Some((score, at, fit));
            }
        }
        best.map(|(_, at, fit)| (at, if self.few { fit } else { (fit / 8).max(1) }))
    }
}

fn take(room: &mut [i64], size: &[i64], count: u32) {
    for (room, one) in room.iter_mut().zip(size) {
        *room -= one * i64::from(count);
    }
}

fn holds(room: &[i64], sum: &[i64]) -> bool {
    room.iter().zip(sum).all(|(room, sum)| *sum <= 0 || sum <= room)
}
