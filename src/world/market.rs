//! A market of machines: list prices for on-demand, a discount for Spot that differs by type and zone, and offerings that are sold out for a while.

use std::collections::BTreeMap;
use std::sync::Arc;

use fastrand::Rng;
use springtide_core::Timestamp;
use springtide_core::name::Name;
use springtide_core::nodes::claim::Machine;
use springtide_core::nodes::offer::{CapacityType, InstanceType, Offering, OfferingKey};
use springtide_core::nodes::requirement::{Labels, Requirement, Requirements};
use springtide_core::nodes::resources::Resources;
use springtide_core::nodes::{CAPACITY_TYPE, INSTANCE_TYPE, ZONE};
use springtide_core::units::{Bytes, MicroDollarsPerHour, MilliCpu};

/// Families: name, GiB of memory for each vCPU, and the list price of a vCPU in millionths of a dollar an hour (AWS, us-east-1, Linux).
const FAMILIES: [(&str, i64, i64); 8] = [
    ("c6i", 2, 42_500),
    ("c7a", 2, 51_320),
    ("c7i", 2, 44_625),
    ("m6i", 4, 48_000),
    ("m7a", 4, 57_960),
    ("m7i", 4, 50_400),
    ("r6i", 8, 63_000),
    ("r7i", 8, 66_150),
];
/// Sizes and their vCPUs.
const SIZES: [(&str, i64); 4] = [("large", 2), ("xlarge", 4), ("2xlarge", 8), ("4xlarge", 16)];
/// What Spot costs in hundredths of the list price, at least and at most; AWS's advisor shows savings in this range for these families.
const SPOT_PERCENT: (i64, i64) = (28, 55);
const GIB: i64 = 1 << 30;

/// What is sold, at which price, and what is sold out.
#[derive(Debug)]
pub struct Market {
    /// Types, by name.
    pub types: Arc<Vec<InstanceType>>,
    sold_out: BTreeMap<OfferingKey, Timestamp>,
}

impl Market {
    /// A market in these zones, whose Spot prices follow from chance.
    #[must_use]
    pub fn new(zones: &[String], prices: &mut Rng) -> Self {
        let mut types = Vec::new();
        for (family, gib, list) in FAMILIES {
            // A zone's discount for a family, from which its sizes differ a little.
            let discounts: Vec<i64> = zones.iter().map(|_| prices.i64(SPOT_PERCENT.0..=SPOT_PERCENT.1)).collect();
            for (size, cpus) in SIZES {
                types.push(instance_type(&format!("{family}.{size}"), cpus, gib, list, zones, &discounts, prices));
            }
        }
        types.sort_by(|a, b| a.name.cmp(&b.name));
        Self { types: Arc::new(types), sold_out: BTreeMap::new() }
    }

    /// The cheapest Spot offerings for each vCPU are sold out until then.
    pub fn sell_out(&mut self, count: usize, now: Timestamp, until: Timestamp) -> Vec<OfferingKey> {
        let mut spot: Vec<(i64, OfferingKey)> = Vec::new();
        for kind in self.types.iter() {
            for offering in kind.offerings.iter().filter(|offering| offering.capacity_type == CapacityType::Spot) {
                let key =
                    OfferingKey { instance_type: kind.name.clone(), zone: offering.zone.clone(), capacity_type: offering.capacity_type };
                if self.sold_out.get(&key).is_none_or(|until| *until <= now) {
                    spot.push((offering.price.0 * 1000 / kind.capacity.cpu.0.max(1), key));
                }
            }
        }
        spot.sort();
        spot.truncate(count);
        let keys: Vec<OfferingKey> = spot.into_iter().map(|(_, key)| key).collect();
        self.sold_out.extend(keys.iter().map(|key| (key.clone(), until)));
        keys
    }

    /// Sells the first of these offerings that is in stock. Also tells which were asked for in vain.
    pub fn buy(&self, now: Timestamp, claim: &Name, offerings: &[OfferingKey]) -> (Option<Machine>, Vec<OfferingKey>) {
        let mut refused = Vec::new();
        for key in offerings {
            if self.sold_out.get(key).is_some_and(|until| *until > now) {
                refused.push(key.clone());
                continue;
            }
            if let Some(machine) = self.machine(claim, key) {
                return (Some(machine), refused);
            }
        }
        (None, refused)
    }

    /// What the same type costs on demand in the same zone.
    #[must_use]
    pub fn on_demand(&self, instance_type: &str, zone: &str) -> MicroDollarsPerHour {
        let kind = self.types.iter().find(|kind| kind.name == instance_type);
        let offerings = kind.map_or(&[][..], |kind| &kind.offerings);
        offerings
            .iter()
            .find(|offering| offering.capacity_type == CapacityType::OnDemand && offering.zone == zone)
            .map_or(MicroDollarsPerHour::ZERO, |offering| offering.price)
    }

    fn machine(&self, claim: &Name, key: &OfferingKey) -> Option<Machine> {
        let kind = self.types.iter().find(|kind| kind.name == key.instance_type)?;
        let offering = kind.offerings.iter().find(|o| o.zone == key.zone && o.capacity_type == key.capacity_type)?;
        let mut labels: Labels =
            kind.labels.0.iter().filter_map(|(name, wish)| Some((name.clone(), wish.listed()?.first()?.clone()))).collect();
        labels.insert(ZONE.into(), key.zone.clone());
        labels.insert(CAPACITY_TYPE.into(), key.capacity_type.label().into());
        Some(Machine {
            provider_id: format!("world:///{}/{claim}", key.zone).into(),
            instance_type: key.instance_type.clone(),
            zone: key.zone.clone(),
            capacity_type: key.capacity_type,
            price: offering.price,
            capacity: kind.capacity.clone(),
            allocatable: kind.allocatable.clone(),
            labels,
        })
    }
}

fn instance_type(name: &str, cpus: i64, gib: i64, list: i64, zones: &[String], discounts: &[i64], prices: &mut Rng) -> InstanceType {
    let capacity = Resources {
        cpu: MilliCpu(cpus * 1000),
        memory: Bytes(cpus * gib * GIB),
        ephemeral: Bytes(20 * GIB),
        pods: (16 * cpus).min(110),
        ..Resources::default()
    };
    let mut allocatable = capacity.clone();
    // The kubelet's and the system's own share, of the size that EKS reserves on such machines.
    allocatable.take(&Resources { cpu: MilliCpu(80 + 2 * cpus), memory: Bytes(700 << 20), ..Resources::default() }, 1);
    let mut offerings = Vec::new();
    for (zone, discount) in zones.iter().zip(discounts) {
        let spot = list * cpus * (discount * 10 + prices.i64(-30..=30)) / 1000;
        for (capacity_type, price) in [(CapacityType::Spot, spot), (CapacityType::OnDemand, list * cpus)] {
            offerings.push(Offering { zone: zone.as_str().into(), capacity_type, price: MicroDollarsPerHour(price), available: true });
        }
    }
    let is = |key: &str, value: &str| (Name::from(key), Requirement::is(value.into()));
    let labels = [is("kubernetes.io/arch", "amd64"), is("kubernetes.io/os", "linux"), is(INSTANCE_TYPE, name)];
    InstanceType { name: name.into(), labels: Requirements(labels.into_iter().collect()), capacity, allocatable, offerings }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sold_out_is_refused_until_it_is_back_and_the_next_is_sold() {
        let mut market = Market::new(&["a".to_owned(), "b".to_owned()], &mut Rng::with_seed(1));
        let now = Timestamp::UNIX_EPOCH;
        let until = Timestamp::from_second(60).expect("a minute later");
        let sold_out = market.sell_out(2, now, until);
        assert_eq!(sold_out.len(), 2);
        let again = market.sell_out(2, now, until);
        assert!(again.iter().all(|key| !sold_out.contains(key)), "what is sold out cannot be sold out again");
        let wish = [sold_out[0].clone(), OfferingKey { capacity_type: CapacityType::OnDemand, ..sold_out[0].clone() }];
        let (machine, refused) = market.buy(now, &"claim".into(), &wish);
        let machine = machine.expect("on demand is in stock");
        assert_eq!((machine.capacity_type, refused.as_slice()), (CapacityType::OnDemand, &sold_out[..1]));
        assert_eq!(market.on_demand(&machine.instance_type, &machine.zone), machine.price);
        let (machine, refused) = market.buy(until, &"claim".into(), &wish);
        assert!(refused.is_empty() && machine.expect("Spot is back").price < market.on_demand(&wish[0].instance_type, &wish[0].zone));
    }
}
