//! What clouds sell: instance types, their offerings by zone and capacity type, and which of them are out of stock for now.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::requirement::Requirements;
use super::resources::Resources;
use crate::Timestamp;
use crate::name::Name;
use crate::units::MicroDollarsPerHour;

/// How a machine is paid for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CapacityType {
    /// Paid for in advance.
    Reserved,
    /// Cheap, and taken back at short notice.
    Spot,
    /// At list price.
    OnDemand,
}

impl CapacityType {
    /// The value of the label `karpenter.sh/capacity-type`.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Reserved => "reserved",
            Self::Spot => "spot",
            Self::OnDemand => "on-demand",
        }
    }

    /// From the value of the label.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Reserved, Self::Spot, Self::OnDemand].into_iter().find(|kind| kind.label() == text)
    }
}

impl fmt::Display for CapacityType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// A type of machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceType {
    /// Its name.
    pub name: Name,
    /// The labels that a machine of this type has, as wishes (a type may offer more than one operating system).
    pub labels: Requirements,
    /// All that it has.
    pub capacity: Resources,
    /// What is left for pods after the system's own share.
    pub allocatable: Resources,
    /// Where and how it is sold.
    pub offerings: Vec<Offering>,
}

/// A type in one zone at one capacity type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offering {
    /// The zone.
    pub zone: Name,
    /// The capacity type.
    pub capacity_type: CapacityType,
    /// What it costs.
    pub price: MicroDollarsPerHour,
    /// Whether the cloud sells it at all.
    pub available: bool,
}

/// The name of an offering.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct OfferingKey {
    /// The instance type.
    pub instance_type: Name,
    /// The zone.
    pub zone: Name,
    /// The capacity type.
    pub capacity_type: CapacityType,
}

impl fmt::Display for OfferingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} in {}", self.capacity_type, self.instance_type, self.zone)
    }
}

/// Which NodeClass a pool or claim refers to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ClassRef {
    /// Its API group.
    pub group: Name,
    /// Its kind.
    pub kind: Name,
    /// Its name.
    pub name: Name,
}

impl fmt::Display for ClassRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}

/// What each NodeClass can buy. The lists are sorted by the type's name.
#[derive(Debug, Clone, Default)]
pub struct Offers(pub BTreeMap<ClassRef, Arc<Vec<InstanceType>>>);

impl Offers {
    /// The types that this class can buy.
    #[must_use]
    pub fn of(&self, class: &ClassRef) -> &[InstanceType] {
        self.0.get(class).map_or(&[], |types| types)
    }

    /// One type of this class.
    #[must_use]
    pub fn find(&self, class: &ClassRef, name: &str) -> Option<&InstanceType> {
        let types = self.of(class);
        types.binary_search_by(|t| t.name.as_str().cmp(name)).ok().and_then(|i| types.get(i))
    }
}

/// Offerings that were refused, and until when they are not asked for again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockOuts(BTreeMap<OfferingKey, Timestamp>);

impl StockOuts {
    /// Marks an offering.
    pub fn mark(&mut self, offering: OfferingKey, until: Timestamp) {
        self.0.insert(offering, until);
    }

    /// Until when this offering is not to be asked for, where that is still to come.
    #[must_use]
    pub fn until(&self, offering: &OfferingKey, now: Timestamp) -> Option<Timestamp> {
        self.0.get(offering).copied().filter(|until| *until > now)
    }

    /// Forgets what has passed.
    pub fn forget_past(&mut self, now: Timestamp) {
        self.0.retain(|_, until| *until > now);
    }
}
