//! What must hold of every cloud, as functions that run against one: the kwok cloud in this crate's tests, others against their emulators.
//!
//! They answer instead of panicking, so that a test can say which interruption came before the breach.

use std::time::Duration;

use springtide_core::name::Name;
use springtide_core::nodes::claim::Machine;

use crate::cloud::{Cause, Cloud, CloudError, CreateError, Ending, Listed, Order};

/// How often a deletion is asked after; with the pause between, more than the two minutes that a slow cloud takes to end a machine.
const ASKED: u32 = 180;
/// The pause between.
const PAUSE: Duration = Duration::from_secs(1);

/// A promise that was not kept.
#[derive(Debug, thiserror::Error)]
#[error("{promise}: {saw}")]
pub struct Breach {
    /// The promise.
    pub promise: &'static str,
    /// What was seen instead.
    pub saw: String,
    /// The cloud's error where that was it.
    pub source: Option<Cause>,
}

/// Holds a cloud to its contract, and leaves it as it was. The two orders are for different claims, neither of which has a machine; each lists offerings that
/// are in stock, and not the same ones.
///
/// # Errors
/// The first promise that was not kept.
pub async fn check(cloud: &dyn Cloud, one: &Order, other: &Order) -> Result<(), Breach> {
    offers(cloud, one).await?;
    missing_class(cloud, one).await?;
    deleting_nothing(cloud, one).await?;

    let first = buy(cloud, one, "an order is carried out").await?;
    let mut repeated = one.clone();
    for offerings in [one.offerings.clone(), other.offerings.clone(), Vec::new()] {
        repeated.offerings = offerings;
        let again = buy(cloud, &repeated, "an order may be repeated").await?;
        expect("creating twice is one machine, whatever the second order lists", &again, &first)?;
    }
    let second = buy(cloud, other, "an order is carried out").await?;
    let mine = only(cloud, one).await?;
    let theirs = only(cloud, other).await?;
    expect("the list tells each machine's identity", (&mine.provider_id, &theirs.provider_id), (&first.provider_id, &second.provider_id))?;
    expect("different claims have different machines", first.provider_id != second.provider_id, true)?;

    cloud.resume().await.map_err(failed("resuming may be repeated"))?;
    cloud.resume().await.map_err(failed("resuming may be repeated"))?;
    expect("resuming buys nothing and ends nothing", only(cloud, one).await?, mine)?;

    end(cloud, &one.claim, Some(&first.provider_id)).await?;
    expect("deleting one claim's machine leaves the others", only(cloud, other).await?, theirs)?;
    expect("what is deleted is not listed", listed(cloud, &one.claim).await?, Vec::new())?;
    end(cloud, &one.claim, Some(&first.provider_id)).await?;
    end(cloud, &other.claim, None).await?;
    expect("what is deleted is not listed", listed(cloud, &other.claim).await?, Vec::new())
}

/// Holds a cloud to its contract after a `create` for this order was interrupted at any point, possibly in another process: what was bought is listed, and
/// the same order, repeated, ends with one machine, which is answered.
///
/// # Errors
/// The first promise that was not kept.
pub async fn check_resumed(cloud: &dyn Cloud, order: &Order) -> Result<Machine, Breach> {
    cloud.resume().await.map_err(failed("resuming succeeds"))?;
    let before = listed(cloud, &order.claim).await?;
    expect("an interrupted order is one machine at the most", before.len() <= 1, true)?;
    let machine = buy(cloud, order, "an interrupted order may be repeated").await?;
    let after = only(cloud, order).await?;
    expect("the list tells the machine's identity", &after.provider_id, &machine.provider_id)?;
    if let [before] = &before[..] {
        expect("what an interrupted order bought is kept", &after, before)?;
    }
    Ok(machine)
}

/// Holds a cloud to its contract after a `delete` for this claim was interrupted at any point, possibly in another process: repeated, it ends with no
/// machine.
///
/// # Errors
/// The first promise that was not kept.
pub async fn check_ended(cloud: &dyn Cloud, claim: &Name) -> Result<(), Breach> {
    cloud.resume().await.map_err(failed("resuming succeeds"))?;
    end(cloud, claim, None).await?;
    expect("what is deleted is not listed", listed(cloud, claim).await?, Vec::new())
}

async fn offers(cloud: &dyn Cloud, order: &Order) -> Result<(), Breach> {
    expect("a cloud serves the kind that it names", cloud.kind(), (order.class.group.as_str(), order.class.kind.as_str()))?;
    let types = cloud.offers(&order.class).await.map_err(failed("a class that exists has offers"))?;
    expect("offers are sorted by name, no name twice", types.is_sorted_by(|a, b| a.name < b.name), true)?;
    for key in &order.offerings {
        let sold = types.iter().find(|kind| kind.name == key.instance_type).is_some_and(|kind| {
            kind.offerings.iter().any(|sale| sale.available && sale.zone == key.zone && sale.capacity_type == key.capacity_type)
        });
        if !sold {
            return Err(breach("what is ordered is offered", format!("no offer of {key}")));
        }
    }
    Ok(())
}

async fn missing_class(cloud: &dyn Cloud, order: &Order) -> Result<(), Breach> {
    let mut strange = order.clone();
    strange.class.name = format!("{}-that-is-missing", order.class.name).into();
    match cloud.offers(&strange.class).await {
        Err(CloudError::NoClass(class)) => expect("an error names the class", class, strange.class.clone())?,
        seen => return Err(breach("a class that does not exist has no offers", format!("{:?}", seen.map(|types| types.len())))),
    }
    match cloud.create(&strange).await {
        Err(CreateError::Class(_)) => {}
        seen => return Err(breach("nothing is bought for a class that does not exist", format!("{seen:?}"))),
    }
    strange.class = order.class.clone();
    strange.class.kind = "SomeOtherKind".into();
    match cloud.create(&strange).await {
        Err(CreateError::Class(_)) => expect("an order that fails leaves nothing", listed(cloud, &order.claim).await?, Vec::new()),
        seen => Err(breach("nothing is bought for another cloud's class", format!("{seen:?}"))),
    }
}

async fn deleting_nothing(cloud: &dyn Cloud, order: &Order) -> Result<(), Breach> {
    let promise = "deleting nothing succeeds at once";
    expect(promise, cloud.delete(&order.claim, None).await.map_err(failed(promise))?, Ending::Gone)?;
    expect("a claim without a machine is not listed", listed(cloud, &order.claim).await?, Vec::new())
}

async fn buy(cloud: &dyn Cloud, order: &Order, promise: &'static str) -> Result<Machine, Breach> {
    cloud.create(order).await.map_err(failed(promise))
}

async fn end(cloud: &dyn Cloud, claim: &Name, provider_id: Option<&Name>) -> Result<(), Breach> {
    let promise = "deletion succeeds, also of what is gone";
    for _ in 0..ASKED {
        if cloud.delete(claim, provider_id).await.map_err(failed(promise))? == Ending::Gone {
            return Ok(());
        }
        tokio::time::sleep(PAUSE).await;
    }
    Err(breach("a deletion comes to its end", format!("the machine of {claim} is still going")))
}

async fn listed(cloud: &dyn Cloud, claim: &Name) -> Result<Vec<Listed>, Breach> {
    let machines = cloud.list().await.map_err(failed("machines can be listed"))?;
    expect("the list is sorted by claim", machines.is_sorted_by(|a, b| a.claim <= b.claim), true)?;
    Ok(machines.into_iter().filter(|machine| machine.claim == *claim).collect())
}

async fn only(cloud: &dyn Cloud, order: &Order) -> Result<Listed, Breach> {
    let machines = listed(cloud, &order.claim).await?;
    match <[Listed; 1]>::try_from(machines) {
        Ok([machine]) => {
            expect("the list tells whose a machine is", &machine.claim_uid, &order.uid)?;
            Ok(machine)
        }
        Err(machines) => Err(breach("a claim with a machine is listed once", format!("{machines:?}"))),
    }
}

fn expect<A: PartialEq<B> + std::fmt::Debug, B: std::fmt::Debug>(promise: &'static str, saw: A, due: B) -> Result<(), Breach> {
    if saw == due { Ok(()) } else { Err(breach(promise, format!("{saw:?} instead of {due:?}"))) }
}

const fn breach(promise: &'static str, saw: String) -> Breach {
    Breach { promise, saw, source: None }
}

fn failed<E: std::error::Error + Send + Sync + 'static>(promise: &'static str) -> impl Fn(E) -> Breach {
    move |error| Breach { promise, saw: error.to_string(), source: Some(Box::new(error)) }
}
