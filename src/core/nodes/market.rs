//! What a pool's pods could be put on: the types and offerings that may be bought now, and whether a pod may go to the pool at all.

use std::collections::BTreeMap;

use super::bins::daemons_in;
use super::cluster::Cluster;
use super::offer::{CapacityType, InstanceType, OfferingKey, Offers, StockOuts};
use super::pool::Pool;
use super::requirement::{Requirement, Requirements};
use super::resources::Resources;
use super::shape::ShapeId;
use super::taint::in_the_way;
use super::{CAPACITY_TYPE, INSTANCE_TYPE, NODE_POOL, ZONE, well_known};
use crate::Timestamp;
use crate::name::Name;
use crate::reason::NoNode;
use crate::units::MicroDollarsPerHour;

/// The pool's machines that may be bought now.
pub struct Market<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) pool: &'a Pool,
    pub(super) types: Vec<Goods<'a>>,
    /// Types that fit the pool and are out of stock, and the earliest moment at which one may be back.
    pub(super) out: Vec<(&'a InstanceType, Timestamp)>,
}

/// A type with what it has for pods once DaemonSets have taken their share, and its offerings, cheapest first.
pub(super) struct Goods<'a> {
    pub(super) kind: &'a InstanceType,
    pub(super) net: Resources,
    offerings: Vec<(OfferingKey, MicroDollarsPerHour, Requirements)>,
}

/// Whether this pool may hold pods of this shape at all, and with which wishes.
///
/// # Errors
/// The first thing about the pool that excludes them.
pub fn admit(cluster: &Cluster, offers: &Offers, pool: &Pool, shape: ShapeId) -> Result<Requirements, NoNode> {
    let shape = cluster.shapes.get(shape);
    if let Some(taint) = in_the_way(&pool.taints, &shape.tolerations) {
        return Err(NoNode::Taint { pool: pool.name.clone(), key: taint.key.clone() });
    }
    // A label that the pool does not speak of may still be one that its types have.
    let given = |key: &str| well_known(key) || offers.of(&pool.class).iter().any(|kind| kind.labels.0.contains_key(key));
    let mut will_be = pool.wishes.clone();
    will_be.add(NODE_POOL.into(), &Requirement::is(pool.name.clone()));
    let mut excluded = None;
    for term in &shape.wishes {
        match will_be.refuses(term, &given) {
            None => {
                // Said last: what is wrong with a pool that the pod does not ask for is none of its business.
                let unusable = |why: &String| NoNode::PoolUnusable { pool: pool.name.clone(), why: why.clone() };
                return pool.unusable.as_ref().map_or_else(|| Ok(will_be.and(term)), |why| Err(unusable(why)));
            }
            Some(key) => excluded = excluded.or(Some(key)),
        }
    }
    Err(NoNode::Label { pool: pool.name.clone(), key: excluded.cloned().unwrap_or_default() })
}

/// The machines of a pool that may be bought now, DaemonSets' share taken off.
#[must_use]
pub fn market<'a>(now: Timestamp, cluster: &'a Cluster, pool: &'a Pool, offers: &'a Offers, stock: &StockOuts) -> Market<'a> {
    let mut market = Market { cluster, pool, types: Vec::new(), out: Vec::new() };
    for kind in offers.of(&pool.class) {
        if pool.wishes.conflict_with(&kind.labels).is_some() {
            continue;
        }
        let mut offerings = Vec::new();
        let mut back: Option<Timestamp> = None;
        for offering in kind.offerings.iter().filter(|offering| offering.available) {
            let labels = place(&offering.zone, offering.capacity_type);
            if pool.wishes.conflict_with(&labels).is_some() {
                continue;
            }
            let key = OfferingKey { instance_type: kind.name.clone(), zone: offering.zone.clone(), capacity_type: offering.capacity_type };
            match stock.until(&key, now) {
                Some(until) => back = Some(back.map_or(until, |known| known.min(until))),
                None => offerings.push((key, offering.price, labels)),
            }
        }
        if offerings.is_empty() {
            market.out.extend(back.map(|until| (kind, until)));
            continue;
        }
        offerings.sort_by(|a, b| (a.1, &a.0).cmp(&(b.1, &b.0)));
        let mut net = kind.allocatable.clone();
        net.take(&daemons_in(cluster, pool, &kind.labels), 1);
        market.types.push(Goods { kind, net, offerings });
    }
    market
}

fn place(zone: &Name, capacity_type: CapacityType) -> Requirements {
    Requirements(BTreeMap::from([
        (ZONE.into(), Requirement::is(zone.clone())),
        (CAPACITY_TYPE.into(), Requirement::is(capacity_type.label().into())),
    ]))
}

impl Goods<'_> {
    /// The cheapest price at which this type can be had under these wishes.
    pub(super) fn price(&self, pool: &Pool, wishes: &Requirements) -> Option<MicroDollarsPerHour> {
        // What is neither the pool's nor every machine's label has to be this type's.
        let lacks = |(key, wish): (&Name, &Requirement)| {
            !wish.allows_absence() && !self.kind.labels.0.contains_key(key) && !well_known(key) && !pool.wishes.0.contains_key(key)
        };
        if wishes.conflict_with(&self.kind.labels).is_some()
            || wishes.0.get(INSTANCE_TYPE).is_some_and(|wish| !wish.allows(&self.kind.name))
            || wishes.0.iter().any(lacks)
        {
            return None;
        }
        self.offerings.iter().find(|(_, _, labels)| wishes.conflict_with(labels).is_none()).map(|(_, price, _)| *price)
    }
}
