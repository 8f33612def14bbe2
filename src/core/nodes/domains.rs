//! Which domain pods go to, where that matters: by counting, before any machine is packed.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::market::SiteId;
use super::place::{Placing, Values};
use super::resources::Resources;
use super::settle::Ask;
use super::topology::{Rule, RuleKind};
use crate::name::Name;

/// No more combinations of domains are looked at for one shape.
const MOST_DOMAINS: usize = 256;

/// Domains over which pods have to be even, by what they depend on, and how many domains had been begun when they were looked up.
pub(super) type Eligible = BTreeMap<(SiteId, Name, bool, bool, Vec<i64>), (usize, Rc<Vec<Name>>)>;

/// By what one combination of domains is taken rather than another: how many pods are there, how many other combinations share the rarest of its values,
/// whether nothing is free there, what a machine costs, and its place in the list.
type Rating = (u64, usize, bool, i64, usize);

/// A combination of domains that a class may go to.
struct Domain {
    values: Values,
    /// How many combinations have the rarest of its values.
    choice: usize,
    site: Option<SiteId>,
    unit: i64,
    no_room: bool,
    closed: bool,
}

impl Placing<'_, '_> {
    /// Settles pods whose domain matters, some at a time.
    pub(super) fn settle_by_domain(&mut self, ask: &Ask<'_>, mut count: u32) -> u32 {
        let only_counted = ask.rules.iter().all(|rule| rule.kind == RuleKind::Counted);
        if only_counted {
            // They may go anywhere; where is written down.
            count = self.fill(ask, &[], count);
            if count == 0 {
                return 0;
            }
        }
        let mut domains = self.candidates(ask);
        let spreads: Vec<(usize, Rc<Vec<Name>>)> = ask
            .rules
            .iter()
            .enumerate()
            .filter_map(|(i, rule)| match rule.kind {
                RuleKind::Spread { by_affinity, by_taints, .. } => Some((i, self.eligible(ask, &rule.key, by_affinity, by_taints))),
                _ => None,
            })
            .collect();
        count -= self.settle_level(ask, &mut domains, &spreads, count);
        while count > 0 {
            let least: BTreeMap<usize, u32> = spreads.iter().map(|(i, eligible)| (*i, self.least(&ask.rules[*i], eligible))).collect();
            let mut best: Option<(Rating, u32)> = None;
            for (at, domain) in domains.iter().enumerate().filter(|(_, domain)| !domain.closed) {
                let (mut allowed, mut crowd) = (count, 0_u64);
                for (i, rule) in ask.rules.iter().enumerate() {
                    // Who has no value is kept away by nobody.
                    let Some((_, Some(value))) = domain.values.iter().find(|(key, _)| *key == rule.key) else { continue };
                    allowed = allowed.min(self.allowed(rule, value, least.get(&i).copied().unwrap_or(0)));
                    if matches!(rule.kind, RuleKind::Spread { itself: true, .. }) {
                        crowd += u64::from(self.topology.group_at(rule.group).count(value));
                    }
                }
                let order = (crowd, domain.choice, domain.no_room, domain.unit, at);
                if allowed > 0 && best.as_ref().is_none_or(|(known, _)| order < *known) {
                    best = Some((order, allowed));
                }
            }
            let Some(((_, _, _, _, at), allowed)) = best else { return count };
            let evenly = ask.rules.iter().any(|rule| matches!(rule.kind, RuleKind::Spread { itself: true, .. }));
            // A share of what is left, so that many pods need few steps; the last few one by one.
            let share = u32::try_from(domains.len()).unwrap_or(u32::MAX).saturating_mul(4).max(1);
            let step = if evenly { allowed.min((count / share).max(1)) } else { allowed };
            let moved = self.settle_in(ask, &mut domains[at], step);
            count -= moved;
        }
        0
    }

    /// Where many pods have to be even over one label only, and every domain can hold any number, fills the domains up to one level. Returns how many went.
    fn settle_level(&mut self, ask: &Ask<'_>, domains: &mut [Domain], spreads: &[(usize, Rc<Vec<Name>>)], count: u32) -> u32 {
        let [(rule, eligible)] = spreads else { return 0 };
        let rule = &ask.rules[*rule];
        let other = ask.rules.iter().any(|other| other.group != rule.group && other.kind != RuleKind::Counted || other.key != rule.key);
        let RuleKind::Spread { itself: true, min_domains, .. } = rule.kind else { return 0 };
        if min_domains.is_some_and(|wanted| eligible.len() < wanted as usize) {
            return 0;
        }
        let holds_any = |domain: &Domain| domain.no_room && domain.site.is_some() && self.most(ask, &domain.values) >= count;
        let open = !domains.is_empty() && domains.len() == eligible.len() && domains.iter().all(holds_any);
        let each = count / u32::try_from(domains.len()).unwrap_or(u32::MAX).max(1);
        if other || !open || each < 2 || ask.needs.gathers() {
            return 0;
        }
        let of = |domain: &Domain| {
            self.topology.group_at(rule.group).count(domain.values.first().and_then(|(_, value)| value.as_deref()).unwrap_or_default())
        };
        let fullest = domains.iter().map(of).max().unwrap_or(0);
        let fewer: Vec<u32> = domains.iter().map(|domain| fullest - of(domain)).collect();
        let sum: u64 = fewer.iter().map(|n| u64::from(*n)).sum();
        // Less than one level over the fullest: left to the steps.
        let Some(over) = u64::from(count).checked_sub(sum) else { return 0 };
        let over = u32::try_from(over / domains.len() as u64).unwrap_or(0);
        let mut moved = 0;
        for (domain, fewer) in domains.iter_mut().zip(fewer) {
            moved += self.settle_in(ask, domain, fewer + over);
        }
        moved
    }

    /// Settles so many pods in one domain. Returns how many of them went.
    fn settle_in(&mut self, ask: &Ask<'_>, domain: &mut Domain, step: u32) -> u32 {
        let left = if domain.no_room { step } else { self.fill(ask, &domain.values, step) };
        domain.no_room |= left > 0;
        let mut moved = step - left;
        if left > 0 {
            // Pods that have to be on one node may have begun in another domain meanwhile.
            let most = self.most(ask, &domain.values).min(left);
            match domain.site.filter(|site| most > 0 && (!ask.needs.gathers() || self.can_be_bought(ask, *site))) {
                Some(site) => {
                    self.buy(ask, site, &domain.values, most);
                    moved += most;
                }
                None => {
                    let rest = self.fill_evenly(ask, &domain.values, left);
                    moved += left - rest;
                    domain.closed = rest > 0;
                }
            }
        }
        moved
    }

    /// How many more pods may go to this domain now.
    pub(super) fn allowed(&self, rule: &Rule, value: &Name, least: u32) -> u32 {
        let group = self.topology.group_at(rule.group);
        let count = group.count(value);
        match rule.kind {
            RuleKind::Spread { max_skew, itself: true, .. } => max_skew.saturating_add(least).saturating_sub(count),
            RuleKind::Spread { max_skew, itself: false, .. } => {
                if count.saturating_sub(least) <= max_skew {
                    u32::MAX
                } else {
                    0
                }
            }
            RuleKind::Near { itself } => {
                if count > 0 || itself && !group.has_any() {
                    u32::MAX
                } else {
                    0
                }
            }
            RuleKind::Apart { .. } if count > 0 => 0,
            RuleKind::Apart { itself: true } => 1,
            RuleKind::Refused if group.is_refused(value) => 0,
            RuleKind::Apart { itself: false } | RuleKind::Refused | RuleKind::Counted => u32::MAX,
        }
    }

    /// How many pods the emptiest of these domains has.
    fn least(&self, rule: &Rule, eligible: &[Name]) -> u32 {
        let group = self.topology.group_at(rule.group);
        if let RuleKind::Spread { min_domains: Some(wanted), .. } = rule.kind
            && eligible.len() < wanted as usize
        {
            return 0;
        }
        eligible.iter().map(|value| group.count(value)).min().unwrap_or(0)
    }

    /// The domains over which a class has to be even: those of nodes, and those in which machines can be bought.
    fn eligible(&mut self, ask: &Ask<'_>, key: &Name, by_affinity: bool, by_taints: bool) -> Rc<Vec<Name>> {
        let known = (ask.site, key.clone(), by_affinity, by_taints, self.dimensions.list(&ask.shape.requests));
        if let Some((begun, known)) = self.domains.get(&known)
            && *begun == self.begun.len()
        {
            return Rc::clone(known);
        }
        let terms = by_affinity.then_some(&ask.shape.wishes[..]);
        let tolerations = by_taints.then_some(&ask.shape.tolerations[..]);
        // Values that no node has are none to kube-scheduler: they become some where such a pod could get a node, or where another does.
        let mut found: BTreeSet<Name> = BTreeSet::new();
        let site = self.market.site_for(&ask.shape.wishes, &ask.shape.tolerations, false);
        for value in self.market.values(key).clone() {
            let own = self.market.narrow(site, key, Some(&value)).is_some_and(|site| self.can_be_bought(ask, site))
                && self.most(ask, &vec![(key.clone(), Some(value.clone()))]) > 0;
            if own || self.begun.contains(&(key.clone(), value.clone())) && self.market.has_domain(key, &value, terms, tolerations) {
                found.insert(value);
            }
        }
        for bin in &self.bins {
            if let Some(value) = bin.value(key)
                && terms.is_none_or(|terms| bin.answers(terms))
                && tolerations.is_none_or(|tolerations| bin.lets_in(tolerations, false))
            {
                found.insert(value.clone());
            }
        }
        let found = Rc::new(found.into_iter().collect::<Vec<_>>());
        self.domains.insert(known, (self.begun.len(), Rc::clone(&found)));
        found
    }

    /// The combinations of domains that a class could go to.
    fn candidates(&mut self, ask: &Ask<'_>) -> Vec<Domain> {
        let keys: BTreeSet<&Name> = ask.rules.iter().map(|rule| &rule.key).collect();
        let mut found: Vec<(Values, Option<SiteId>)> = vec![(Vec::new(), Some(ask.site))];
        for key in keys {
            let known = self.market.values(key).iter().chain(self.bins.iter().filter_map(|bin| bin.value(key)));
            let mut values: BTreeSet<Option<Name>> = known.cloned().map(Some).collect();
            // To be even, or near somebody, a pod needs a node with the label.
            let needless = |rule: &Rule| matches!(rule.kind, RuleKind::Apart { .. } | RuleKind::Refused | RuleKind::Counted);
            if ask.rules.iter().filter(|rule| rule.key == *key).all(needless) {
                values.insert(None);
            }
            let mut more = Vec::new();
            for (fixed, site) in &found {
                for value in &values {
                    let narrower = site.and_then(|site| self.market.narrow(site, key, value.as_ref()));
                    let mut fixed = fixed.clone();
                    fixed.push((key.clone(), value.clone()));
                    if narrower.is_some() || self.bins.iter().any(|bin| bin.is_at(&fixed)) {
                        more.push((fixed, narrower));
                    }
                }
            }
            more.truncate(MOST_DOMAINS);
            found = more;
        }
        let mut shared: BTreeMap<(Name, Option<Name>), usize> = BTreeMap::new();
        if found.first().is_some_and(|(values, _)| values.len() > 1) {
            for value in found.iter().flat_map(|(values, _)| values) {
                *shared.entry(value.clone()).or_default() += 1;
            }
        }
        found
            .into_iter()
            .map(|(values, site)| {
                let choice = values.iter().filter_map(|value| shared.get(value).copied()).min().unwrap_or(0);
                let room = self.bins.iter().any(|bin| {
                    ask.shape.requests.fits(&bin.free)
                        && bin.is_at(&values)
                        && bin.lets_in(&ask.shape.tolerations, ask.heed)
                        && bin.answers(&ask.terms)
                        && bin.company.room_for(&ask.needs, 0, true) > 0
                });
                let site = site.filter(|site| self.can_be_bought(ask, *site) && self.most(ask, &values) > 0);
                let unit = site.map_or(i64::MAX, |site| self.unit(site, &ask.shape.requests));
                Domain { values, choice, site, unit, no_room: !room, closed: false }
            })
            .collect()
    }

    /// What one such pod costs at the least on machines of a site full of its like.
    fn unit(&mut self, site: SiteId, requests: &Resources) -> i64 {
        let key = (site, self.dimensions.list(requests));
        if let Some(known) = self.units.get(&key) {
            return *known;
        }
        let of = self.market.site(site);
        let unit = |i: &usize| {
            let goods = &self.market.goods[*i];
            let fit = i64::from(requests.times_in(&goods.net).min(10_000));
            (fit > 0 && !goods.closed).then(|| of.prices[*i].saturating_mul(1000) / fit)
        };
        let found = of.by_price.iter().filter_map(unit).min().unwrap_or(i64::MAX);
        self.units.insert(key, found);
        found
    }
}
