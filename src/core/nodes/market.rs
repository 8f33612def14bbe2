//! What can be bought now: the types of all pools that can be used, with their prices under what pods ask for.
//!
//! Pods that ask the same of a machine share a [`Site`]: the goods that will do and what each costs then. Sites are narrowed to a domain, and joined where
//! pods of two share a machine; each is computed once in a turn.

use std::collections::{BTreeMap, BTreeSet};

use super::bins::{Daemons, daemons_in};
use super::cluster::Cluster;
use super::constraint::{HOSTNAME, HostPort};
use super::offer::{CapacityType, InstanceType, OfferingKey, Offers, StockOuts};
use super::pool::Pool;
use super::requirement::{Requirement, Requirements};
use super::resources::Resources;
use super::shape::Shape;
use super::taint::{Effect, Taint, Toleration, in_the_way};
use super::topology::Filter;
use super::{CAPACITY_TYPE, INSTANCE_TYPE, NODE_POOL, ZONE, well_known};
use crate::Timestamp;
use crate::name::Name;
use crate::reason::NoNode;
use crate::units::MicroDollarsPerHour;

/// What a price of none is written as in a site's list.
pub(super) const NOT_SOLD: i64 = i64::MAX;
/// A machine shared by pods that each leave a choice has no more ways to be than this.
const MOST_WAYS: usize = 8;

/// Everything that may be bought now.
pub(super) struct Market<'a> {
    pub(super) cluster: &'a Cluster,
    offers: &'a Offers,
    /// Pools that can be used, those that are preferred first.
    pub(super) stalls: Vec<Stall<'a>>,
    pub(super) goods: Vec<Goods<'a>>,
    sites: Vec<Site>,
    ids: BTreeMap<(Vec<Requirements>, Vec<Toleration>, bool), SiteId>,
    narrowed: BTreeMap<(SiteId, Name, Option<Name>), Option<SiteId>>,
    joined: BTreeMap<(SiteId, SiteId), Option<SiteId>>,
    values: BTreeMap<Name, BTreeSet<Name>>,
}

/// A pool with what it has.
pub(super) struct Stall<'a> {
    pub(super) pool: &'a Pool,
    /// Pools of equal weight are one tier: of them the cheapest is bought.
    pub(super) tier: usize,
    /// What its machines have together, those on their way included.
    pub(super) used: Resources,
    /// How many machines it has.
    pub(super) nodes: u32,
    /// Offerings that fit the pool and are out of stock, of types of which nothing else is to be had, and when each may be back.
    pub(super) out: Vec<(&'a InstanceType, OfferingKey, Timestamp)>,
    /// How many of its types may be bought.
    pub(super) types: usize,
}

/// A type of a pool with what it has for pods once DaemonSets have taken their share.
pub(super) struct Goods<'a> {
    pub(super) stall: usize,
    pub(super) kind: &'a InstanceType,
    pub(super) net: Resources,
    /// Ports that DaemonSets take on it.
    pub(super) ports: Vec<HostPort>,
    /// What is settled about it because DaemonSets ask for it: how it is paid for.
    pub(super) place: Requirements,
    /// Where and how it is sold, cheapest first.
    sold: Sold,
    /// Whether the pool's limits leave no room for one more.
    pub(super) closed: bool,
}

/// The number of a site in a market.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct SiteId(usize);

/// Goods for pods that ask the same of a machine.
pub(super) struct Site {
    /// For each stall, what a machine of it may be: one of these.
    pub(super) ways: Vec<Vec<Requirements>>,
    /// For each of the goods, what it costs then; `NOT_SOLD` where it will not do.
    pub(super) prices: Vec<i64>,
    /// The goods that will do, cheapest first.
    pub(super) by_price: Vec<usize>,
}

impl Site {
    /// Whether nothing can be bought.
    pub(super) fn is_empty(&self) -> bool {
        self.by_price.is_empty()
    }
}

/// The taint that keeps pods with these tolerations away, `PreferNoSchedule` included where it is to be heeded.
pub(super) fn kept_away<'a>(taints: impl IntoIterator<Item = &'a Taint>, tolerations: &[Toleration], heed: bool) -> Option<&'a Taint> {
    let mut taints = taints.into_iter();
    if heed { taints.find(|taint| !tolerations.iter().any(|t| t.tolerates(taint))) } else { in_the_way(taints, tolerations) }
}

/// All pools, those that are preferred first.
pub(super) fn by_weight(cluster: &Cluster) -> Vec<&Pool> {
    let mut pools: Vec<&Pool> = cluster.pools.values().collect();
    pools.sort_by(|a, b| b.weight.cmp(&a.weight).then_with(|| a.name.cmp(&b.name)));
    pools
}

/// The wishes with this label's value fixed; those that it contradicts are left out.
pub(super) fn fixed(terms: &[Requirements], key: &Name, value: &Name) -> Vec<Requirements> {
    let is = Requirements(BTreeMap::from([(key.clone(), Requirement::is(value.clone()))]));
    terms.iter().filter(|term| term.conflict_with(&is).is_none()).map(|term| term.and(&is)).collect()
}

impl<'a> Market<'a> {
    /// What may be bought now.
    pub(super) fn new(now: Timestamp, cluster: &'a Cluster, offers: &'a Offers, stock: &StockOuts) -> Self {
        let mut market = Self {
            cluster,
            offers,
            stalls: Vec::new(),
            goods: Vec::new(),
            sites: Vec::new(),
            ids: BTreeMap::new(),
            narrowed: BTreeMap::new(),
            joined: BTreeMap::new(),
            values: BTreeMap::new(),
        };
        let mut tier = 0;
        for pool in by_weight(cluster).into_iter().filter(|pool| pool.unusable.is_none()) {
            if market.stalls.last().is_some_and(|last| last.pool.weight != pool.weight) {
                tier += 1;
            }
            market.open(now, pool, tier, stock);
        }
        market
    }

    fn open(&mut self, now: Timestamp, pool: &'a Pool, tier: usize, stock: &StockOuts) {
        let stall = self.stalls.len();
        let (used, nodes) = owned(self.cluster, self.offers, pool);
        let mut out = Vec::new();
        let mut types = 0;
        // A DaemonSet for Spot nodes alone takes its share of those alone.
        let daemons = self.cluster.daemons.values().map(|id| self.cluster.shapes.get(*id));
        let split = daemons.flat_map(|shape| &shape.wishes).any(|wishes| wishes.0.contains_key(CAPACITY_TYPE));
        for kind in self.offers.of(&pool.class) {
            if pool.wishes.conflict_with(&kind.labels).is_some() || !allows(&pool.wishes, INSTANCE_TYPE, &kind.name) {
                continue;
            }
            let mut sold = Vec::new();
            let mut back = Vec::new();
            for offering in kind.offerings.iter().filter(|offering| offering.available) {
                if !allows(&pool.wishes, ZONE, &offering.zone) || !allows(&pool.wishes, CAPACITY_TYPE, offering.capacity_type.label()) {
                    continue;
                }
                let key =
                    OfferingKey { instance_type: kind.name.clone(), zone: offering.zone.clone(), capacity_type: offering.capacity_type };
                match stock.until(&key, now) {
                    Some(until) => back.push((kind, key, until)),
                    None => sold.push((offering.zone.clone(), offering.capacity_type, offering.price)),
                }
            }
            if sold.is_empty() {
                out.extend(back);
                continue;
            }
            sold.sort_by(|a, b| (a.2, &a.0, a.1).cmp(&(b.2, &b.0, b.1)));
            types += 1;
            let closed = pool.limits.exceeded_by(&used, nodes, &kind.capacity).is_some();
            for (place, sold) in apart(sold, split) {
                let mut net = kind.allocatable.clone();
                let Daemons { sum, ports } = daemons_in(self.cluster, pool, &kind.labels.and(&place));
                net.take(&sum, 1);
                if !sum.fits(&kind.allocatable) {
                    // Where not even the DaemonSets' pods find room, one that asks for nothing has none either.
                    net.pods = net.pods.min(0);
                }
                self.goods.push(Goods { stall, kind, net, ports, place, sold, closed });
            }
        }
        self.stalls.push(Stall { pool, tier, used, nodes, out, types });
    }

    pub(super) fn site(&self, id: SiteId) -> &Site {
        &self.sites[id.0]
    }

    /// The site for pods with these wishes, one of which must hold, and these tolerations. `heed` says whether taints that only ask are heeded.
    pub(super) fn site_for(&mut self, terms: &[Requirements], tolerations: &[Toleration], heed: bool) -> SiteId {
        let key = (terms.to_vec(), tolerations.to_vec(), heed);
        if let Some(known) = self.ids.get(&key) {
            return *known;
        }
        let ways = self.stalls.iter().map(|stall| self.ways(stall.pool, terms, tolerations, heed)).collect();
        let id = self.add(ways);
        self.ids.insert(key, id);
        id
    }

    /// What machines of this pool may be for such pods; nothing where the pool is excluded.
    fn ways(&self, pool: &Pool, terms: &[Requirements], tolerations: &[Toleration], heed: bool) -> Vec<Requirements> {
        if kept_away(&pool.taints, tolerations, heed).is_some() {
            return Vec::new();
        }
        let will_be = will_be(pool);
        let given = |key: &str| self.is_given(pool, key);
        let terms = terms.iter().filter_map(of_new_node);
        terms.filter(|term| will_be.refuses(term, &given).is_none()).map(|term| will_be.and(&term)).collect()
    }

    /// A label that the pool does not speak of may still be one that its types have.
    fn is_given(&self, pool: &Pool, key: &str) -> bool {
        well_known(key) || self.offers.of(&pool.class).iter().any(|kind| kind.labels.0.contains_key(key))
    }

    fn add(&mut self, ways: Vec<Vec<Requirements>>) -> SiteId {
        let price = |goods: &Goods<'_>| {
            let pool = self.stalls[goods.stall].pool;
            ways[goods.stall].iter().filter_map(|way| goods.price(pool, way)).map(|price| price.0).min().unwrap_or(NOT_SOLD)
        };
        let prices: Vec<i64> = self.goods.iter().map(price).collect();
        let mut by_price: Vec<usize> = (0..prices.len()).filter(|i| prices[*i] != NOT_SOLD).collect();
        let name = |i: usize| (&self.goods[i].kind.name, self.goods[i].stall);
        by_price.sort_by(|a, b| prices[*a].cmp(&prices[*b]).then_with(|| name(*a).cmp(&name(*b))));
        self.sites.push(Site { ways, prices, by_price });
        SiteId(self.sites.len() - 1)
    }

    /// The site narrowed to one value of a label, or to machines without it; none where nothing is sold there.
    pub(super) fn narrow(&mut self, site: SiteId, key: &Name, value: Option<&Name>) -> Option<SiteId> {
        let known = (site, key.clone(), value.cloned());
        if let Some(known) = self.narrowed.get(&known) {
            return *known;
        }
        let mut ways = Vec::with_capacity(self.stalls.len());
        for (stall, of) in self.stalls.iter().zip(&self.sites[site.0].ways) {
            let is_given = self.is_given(stall.pool, key);
            let Some(value) = value else {
                let lacks = |way: &&Requirements| !is_given && way.0.get(key).is_none_or(Requirement::allows_absence);
                ways.push(of.iter().filter(lacks).cloned().collect());
                continue;
            };
            let of: Vec<Requirements> = of.iter().filter(|way| is_given || way.0.contains_key(key)).cloned().collect();
            ways.push(fixed(&of, key, value));
        }
        let new = self.add(ways);
        let found = (!self.site(new).is_empty()).then_some(new);
        self.narrowed.insert(known, found);
        found
    }

    /// Whether a machine may be of both sites.
    pub(super) fn meet(&self, a: SiteId, b: SiteId) -> bool {
        let both = |(a, b): (&Vec<Requirements>, &Vec<Requirements>)| a.iter().any(|a| b.iter().any(|b| a.conflict_with(b).is_none()));
        a == b || self.site(a).ways.iter().zip(&self.site(b).ways).any(both)
    }

    /// The site of machines that will do for both; none where there are none.
    pub(super) fn join(&mut self, a: SiteId, b: SiteId) -> Option<SiteId> {
        if a == b {
            return Some(a);
        }
        let key = (a.min(b), a.max(b));
        if let Some(known) = self.joined.get(&key) {
            return *known;
        }
        let (first, second) = (&self.sites[key.0.0], &self.sites[key.1.0]);
        let both = |(a, b): (&Vec<Requirements>, &Vec<Requirements>)| {
            let ways = a.iter().flat_map(|a| b.iter().map(move |b| (a, b)));
            let found: BTreeSet<Requirements> = ways.filter(|(a, b)| a.conflict_with(b).is_none()).map(|(a, b)| a.and(b)).collect();
            found.into_iter().take(MOST_WAYS).collect()
        };
        let ways: Vec<Vec<Requirements>> = first.ways.iter().zip(&second.ways).map(both).collect();
        let found = if ways == first.ways {
            Some(key.0)
        } else if ways == second.ways {
            Some(key.1)
        } else {
            let new = self.add(ways);
            (!self.site(new).is_empty()).then_some(new)
        };
        self.joined.insert(key, found);
        found
    }

    /// The values that a label can have on machines that can be bought.
    pub(super) fn values(&mut self, key: &Name) -> &BTreeSet<Name> {
        if !self.values.contains_key(key) {
            let mut found = BTreeSet::new();
            for goods in &self.goods {
                self.stalls[goods.stall].pool.values_of(goods, key, &mut found);
            }
            self.values.insert(key.clone(), found);
        }
        &self.values[key]
    }

    /// Whether a stall sells machines with this value of a label, for pods with these wishes (where they matter) and tolerations (where they matter).
    pub(super) fn has_domain(
        &mut self,
        key: &Name,
        value: &Name,
        terms: Option<&[Requirements]>,
        tolerations: Option<&[Toleration]>,
    ) -> bool {
        let anything = [Requirements::default()];
        let tolerates_all = [Toleration { key: None, value: None, effect: None }];
        let site = self.site_for(terms.unwrap_or(&anything), tolerations.unwrap_or(&tolerates_all), false);
        self.narrow(site, key, Some(value)).is_some()
    }

    /// How many types the cloud of a pool sells, whatever the pool asks for.
    pub(super) fn types_of(&self, pool: &Pool) -> usize {
        self.offers.of(&pool.class).len()
    }

    /// Whether a machine of this site could be one that a spread constraint looks at.
    pub(super) fn could_be(&self, site: SiteId, filter: &Filter) -> bool {
        self.stalls.iter().zip(&self.sites[site.0].ways).any(|(stall, ways)| {
            let tolerated = filter.tolerations.as_ref().is_none_or(|all| in_the_way(&stall.pool.taints, all).is_none());
            let meant = |way: &Requirements| {
                let mut terms = filter.wishes.iter().flatten().filter_map(of_new_node);
                filter.wishes.is_none() || terms.any(|term| term.conflict_with(way).is_none())
            };
            tolerated && ways.iter().any(meant)
        })
    }

    /// Marks goods of which the pool's limits allow no more.
    pub(super) fn close_what_is_spent(&mut self, stall: usize) {
        let Stall { pool, used, nodes, .. } = &self.stalls[stall];
        if pool.limits.nodes.is_none() && pool.limits.resources.is_empty() {
            return;
        }
        for goods in self.goods.iter_mut().filter(|goods| goods.stall == stall) {
            goods.closed |= pool.limits.exceeded_by(used, *nodes, &goods.kind.capacity).is_some();
        }
    }

    /// Why this pool does not take a pod of this shape, whatever is sold; none where it may.
    ///
    /// # Errors
    /// The first thing about the pool that excludes them.
    pub(super) fn admit(&self, pool: &Pool, shape: &Shape) -> Result<(), NoNode> {
        if let Some(taint) = in_the_way(&pool.taints, &shape.tolerations) {
            return Err(NoNode::Taint { pool: pool.name.clone(), key: taint.key.clone() });
        }
        let will_be = will_be(pool);
        let mut excluded: Option<Name> = None;
        for term in &shape.wishes {
            let Some(term) = &of_new_node(term) else {
                excluded = excluded.or(Some(HOSTNAME.into()));
                continue;
            };
            match will_be.refuses(term, &|key| self.is_given(pool, key)) {
                None => {
                    // Said last: what is wrong with a pool that the pod does not ask for is none of its business.
                    let unusable = |why: &String| NoNode::PoolUnusable { pool: pool.name.clone(), why: why.clone() };
                    return pool.unusable.as_ref().map_or(Ok(()), |why| Err(unusable(why)));
                }
                Some(key) => excluded = excluded.or_else(|| Some(key.clone())),
            }
        }
        Err(NoNode::Label { pool: pool.name.clone(), key: excluded.unwrap_or_default() })
    }

    /// Whether some taint only asks pods to stay away.
    pub(super) fn has_asking_taints(&self) -> bool {
        let asks = |taint: &Taint| taint.effect == Effect::PreferNoSchedule;
        self.stalls.iter().any(|stall| stall.pool.taints.iter().any(asks))
            || self.cluster.nodes.values().any(|node| node.taints.iter().any(asks))
    }
}

type Sold = Vec<(Name, CapacityType, MicroDollarsPerHour)>;

/// Offerings by how they are paid for, where that matters.
fn apart(sold: Sold, split: bool) -> Vec<(Requirements, Sold)> {
    if !split {
        return vec![(Requirements::default(), sold)];
    }
    let mut kinds: BTreeMap<CapacityType, Sold> = BTreeMap::new();
    for offering in sold {
        kinds.entry(offering.1).or_default().push(offering);
    }
    let place = |kind: CapacityType| Requirements(BTreeMap::from([(CAPACITY_TYPE.into(), Requirement::is(kind.label().into()))]));
    kinds.into_iter().map(|(kind, sold)| (place(kind), sold)).collect()
}

/// What a term asks of a node that is still to come, whose name nobody knows yet; none where it asks for a certain one, or for none.
pub(super) fn of_new_node(term: &Requirements) -> Option<Requirements> {
    let Some(wish) = term.0.get(HOSTNAME) else { return Some(term.clone()) };
    let mut others = term.clone();
    others.0.remove(HOSTNAME);
    // No node can be called so.
    wish.allows("/").then_some(others)
}

fn will_be(pool: &Pool) -> Requirements {
    let mut will_be = pool.wishes.clone();
    will_be.add(NODE_POOL.into(), &Requirement::is(pool.name.clone()));
    will_be
}

fn allows(wishes: &Requirements, key: &str, value: &str) -> bool {
    wishes.0.get(key).is_none_or(|wish| wish.allows(value))
}

impl Pool {
    /// Adds the values that a label can have on machines of this type.
    fn values_of(&self, goods: &Goods<'_>, key: &Name, found: &mut BTreeSet<Name>) {
        match key.as_str() {
            ZONE => found.extend(goods.sold.iter().map(|(zone, _, _)| zone.clone())),
            CAPACITY_TYPE => found.extend(goods.sold.iter().map(|(_, kind, _)| Name::from(kind.label()))),
            INSTANCE_TYPE => _ = found.insert(goods.kind.name.clone()),
            NODE_POOL => _ = found.insert(self.name.clone()),
            _ => {
                let (mine, its) = (self.wishes.0.get(key), goods.kind.labels.0.get(key));
                let wish = match (mine, its) {
                    (Some(mine), Some(its)) => mine.and(its),
                    (Some(one), None) | (None, Some(one)) => one.clone(),
                    (None, None) => return,
                };
                found.extend(wish.listed().into_iter().flatten().cloned());
            }
        }
    }
}

/// What the pool's machines have together, and how many they are; those on their way included, at the largest of the types that they may become.
fn owned(cluster: &Cluster, offers: &Offers, pool: &Pool) -> (Resources, u32) {
    let (mut sum, mut count) = (Resources::default(), 0);
    for claim in cluster.claims.values().filter(|claim| claim.spec.pool == pool.name && !claim.ended) {
        if let Some(machine) = &claim.machine {
            sum.add(&machine.capacity, 1);
        } else {
            let kinds = claim.spec.types.iter().filter_map(|name| offers.find(&claim.spec.class, name));
            sum.add(&kinds.fold(Resources::default(), |most, kind| most.max(&kind.capacity)), 1);
        }
        count += 1;
    }
    (sum, count)
}

impl Goods<'_> {
    /// The cheapest price at which this type can be had under these wishes.
    pub(super) fn price(&self, pool: &Pool, wishes: &Requirements) -> Option<MicroDollarsPerHour> {
        // What is neither the pool's nor every machine's label has to be this type's.
        let lacks = |(key, wish): (&Name, &Requirement)| {
            !wish.allows_absence() && !self.kind.labels.0.contains_key(key) && !well_known(key) && !pool.wishes.0.contains_key(key)
        };
        if wishes.conflict_with(&self.kind.labels).is_some()
            || !allows(wishes, INSTANCE_TYPE, &self.kind.name)
            || wishes.0.iter().any(lacks)
        {
            return None;
        }
        self.sold_under(wishes).next().map(|(_, _, price)| *price)
    }

    /// Whether DaemonSets leave these ports.
    pub(super) fn leaves(&self, ports: &[&HostPort]) -> bool {
        !self.ports.iter().any(|taken| ports.iter().any(|port| port.clashes_with(taken)))
    }

    /// The zones or capacity types in which it is sold under these wishes, the cheapest first.
    pub(super) fn places<'s>(&'s self, key: &str, wishes: &'s Requirements) -> impl Iterator<Item = Name> + use<'s> {
        let zones = key == ZONE;
        self.sold_under(wishes).map(move |(zone, kind, _)| if zones { zone.clone() } else { kind.label().into() })
    }

    /// Where and how it is sold under these wishes, the cheapest first.
    fn sold_under<'s>(&'s self, wishes: &'s Requirements) -> impl Iterator<Item = &'s (Name, CapacityType, MicroDollarsPerHour)> {
        self.sold.iter().filter(|(zone, kind, _)| allows(wishes, ZONE, zone) && allows(wishes, CAPACITY_TYPE, kind.label()))
    }
}
