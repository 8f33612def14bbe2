//! Machines that are none: kwok's. A sale is a record in Kubernetes, and after the time that its KWOKNodeClass names, a Node object appears for kwok to keep
//! alive. A stand-in for a cloud with its delays and stock-outs, that needs nothing but an API server.
//!
//! The record is the machine. It is written before anything else happens and removed first when the machine ends, so that whatever stops half way is
//! finished or undone from the records alone.

mod boot;
mod node;
mod stock;

#[cfg(test)]
mod memory;
#[cfg(test)]
mod tests;

use std::num::NonZeroU32;
use std::sync::Arc;

use async_trait::async_trait;
use springtide_core::Timestamp;
use springtide_core::name::Name;
use springtide_core::nodes::claim::Machine;
use springtide_core::nodes::offer::{ClassRef, InstanceType, Offering, OfferingKey};
use springtide_core::nodes::requirement::Labels;
use springtide_core::nodes::{CAPACITY_TYPE, ZONE};

use self::boot::Boots;
use self::stock::Stock;
use crate::cloud::{Cause, Cloud, CloudError, CreateError, Ending, Listed, Order};
use crate::ports::{ClassReader, MachineRecord, MachineStore, NodeWriter, PortError};

/// API group of the NodeClass.
const GROUP: &str = "karpenter.kwok.sh";
/// Kind of the NodeClass.
const KIND: &str = "KWOKNodeClass";

/// What tells the time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What kwok's machines need of Kubernetes.
#[derive(Clone)]
pub struct KwokPorts {
    /// Where machines are recorded.
    pub store: Arc<dyn MachineStore>,
    /// Who writes Node objects.
    pub nodes: Arc<dyn NodeWriter>,
    /// Who reads KWOKNodeClasses.
    pub classes: Arc<dyn ClassReader>,
}

/// How this cloud differs from one that always delivers.
#[derive(Debug, Clone, Copy, Default)]
pub struct KwokOptions {
    /// A rehearsal of stock-outs: of every so many claims, the last finds its first two offerings out of stock, and gets its machine once it asks for others.
    /// Claims are counted in the order in which they first ask since the process started. None: everything is in stock.
    pub refuse_every: Option<NonZeroU32>,
}

/// The kwok cloud. Dropping it stops the boots that wait; their records stay.
pub struct KwokCloud {
    ports: KwokPorts,
    types: Arc<Vec<InstanceType>>,
    stock: Stock,
    boots: Boots,
    clock: Clock,
}

impl KwokCloud {
    /// A cloud that sells these types to every KWOKNodeClass.
    #[must_use]
    pub fn new(ports: KwokPorts, mut types: Vec<InstanceType>, options: KwokOptions, clock: Clock) -> Self {
        types.sort_by(|a, b| a.name.cmp(&b.name));
        Self {
            boots: Boots::new(ports.clone(), clock.clone()),
            ports,
            types: Arc::new(types),
            stock: Stock::new(options.refuse_every),
            clock,
        }
    }

    /// The type and offering of this key, where it is sold.
    fn find(&self, key: &OfferingKey) -> Option<(&InstanceType, &Offering)> {
        let place = self.types.binary_search_by(|kind| kind.name.cmp(&key.instance_type)).ok()?;
        let kind = self.types.get(place)?;
        let sold = |offering: &&Offering| offering.available && offering.zone == key.zone && offering.capacity_type == key.capacity_type;
        kind.offerings.iter().find(sold).map(|offering| (kind, offering))
    }

    /// The first offering that is to be had. Stops after the first refusals, so that the caller hears of each.
    fn choose<'a>(&self, order: &'a Order) -> Result<(&'a OfferingKey, Machine), CreateError> {
        let refusals = self.stock.refusals(order);
        let mut refused = Vec::new();
        for key in &order.offerings {
            match self.find(key).filter(|_| !refusals.contains(key)) {
                None => refused.push(key.clone()),
                Some((kind, offering)) if refused.is_empty() => return Ok((key, machine(&order.claim, kind, offering))),
                Some(_) => break,
            }
        }
        Err(CreateError::OutOfStock { refused })
    }

    async fn delay(&self, class: &ClassRef) -> Result<springtide_core::Span, CloudError> {
        if class.group != *GROUP || class.kind != *KIND {
            return Err(CloudError::OtherKind { class: class.clone(), group: GROUP, kind: KIND });
        }
        let delay = self.ports.classes.registration_delay(&class.name).await;
        let delay = delay.map_err(|error| CloudError::ReadClass { class: class.clone(), source: cause(error) })?;
        delay.ok_or_else(|| CloudError::NoClass(class.clone()))
    }

    /// The machine of a record that is stored, which may be an earlier claim's.
    fn own(&self, order: &Order, record: &MachineRecord) -> Result<Machine, CreateError> {
        if record.claim_uid != order.uid {
            return Err(CloudError::NameTaken { claim: order.claim.clone(), uid: record.claim_uid.clone() }.into());
        }
        self.stock.forget(&order.claim);
        self.boots.start(record);
        Ok(record.machine.clone())
    }
}

#[async_trait]
impl Cloud for KwokCloud {
    fn kind(&self) -> (&'static str, &'static str) {
        (GROUP, KIND)
    }

    async fn offers(&self, class: &ClassRef) -> Result<Vec<InstanceType>, CloudError> {
        self.delay(class).await?;
        Ok(self.types.to_vec())
    }

    async fn create(&self, order: &Order) -> Result<Machine, CreateError> {
        // What is sold stays sold, even when the class has gone since or the shelves are empty: so this is asked first.
        let stored = self.ports.store.get(&order.claim).await;
        if let Some(record) = stored.map_err(|error| CloudError::ReadMachine { claim: order.claim.clone(), source: cause(error) })? {
            return self.own(order, &record);
        }
        let delay = self.delay(&order.class).await.map_err(|error| match error {
            CloudError::NoClass(_) | CloudError::OtherKind { .. } => CreateError::Class(error.to_string()),
            other => other.into(),
        })?;
        let (offering, machine) = self.choose(order)?;
        let created = (self.clock)();
        let record = MachineRecord {
            claim: order.claim.clone(),
            claim_uid: order.uid.clone(),
            offering: offering.clone(),
            class: order.class.clone(),
            created,
            boots_at: created.checked_add(delay).unwrap_or(Timestamp::MAX),
            booted: None,
            machine,
            labels: order.labels.clone(),
            taints: order.taints.clone(),
            startup_taints: order.startup_taints.clone(),
        };
        let stored = self.ports.store.put(&record).await;
        let stored = stored.map_err(|error| CloudError::BuyMachine { claim: order.claim.clone(), source: cause(error) })?;
        self.own(order, &stored)
    }

    async fn delete(&self, claim: &Name, _provider_id: Option<&Name>) -> Result<Ending, CloudError> {
        let removed = self.ports.store.remove(claim).await;
        removed.map_err(|error| CloudError::EndMachine { claim: claim.clone(), source: cause(error) })?;
        self.stock.forget(claim);
        self.boots.cancel(claim);
        Ok(Ending::Gone)
    }

    async fn list(&self) -> Result<Vec<Listed>, CloudError> {
        let records = self.ports.store.all().await.map_err(|error| CloudError::ListMachines { source: cause(error) })?;
        let mut machines: Vec<Listed> = records.into_iter().map(listed).collect();
        machines.sort_by(|a, b| a.claim.cmp(&b.claim));
        Ok(machines)
    }

    async fn resume(&self) -> Result<(), CloudError> {
        let records = self.ports.store.all().await.map_err(|error| CloudError::ListMachines { source: cause(error) })?;
        for record in &records {
            self.boots.start(record);
        }
        Ok(())
    }
}

fn listed(record: MachineRecord) -> Listed {
    Listed { claim: record.claim, claim_uid: record.claim_uid, provider_id: record.machine.provider_id, since: record.created }
}

fn cause(error: PortError) -> Cause {
    Box::new(error)
}

fn machine(claim: &Name, kind: &InstanceType, offering: &Offering) -> Machine {
    let mut labels = Labels::new();
    for (key, wish) in &kind.labels.0 {
        // A type that runs several operating systems boots Linux where it can, otherwise the first by name.
        if let Some(values) = wish.listed()
            && let Some(value) = values.get("linux").or_else(|| values.first())
        {
            labels.insert(key.clone(), value.clone());
        }
    }
    labels.insert(ZONE.into(), offering.zone.clone());
    labels.insert(CAPACITY_TYPE.into(), offering.capacity_type.label().into());
    Machine {
        provider_id: format!("kwok://{claim}").into(),
        instance_type: kind.name.clone(),
        zone: offering.zone.clone(),
        capacity_type: offering.capacity_type,
        price: offering.price,
        capacity: kind.capacity.clone(),
        allocatable: kind.allocatable.clone(),
        labels,
    }
}
