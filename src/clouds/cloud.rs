//! The trait that every cloud answers to, and what passes through it.
//!
//! Each method says what repeating it does and what it answers about things that do not exist; `contract.rs` holds every cloud to that.

use async_trait::async_trait;
use springtide_core::Timestamp;
use springtide_core::name::Name;
use springtide_core::nodes::claim::Machine;
use springtide_core::nodes::offer::{ClassRef, InstanceType, OfferingKey};
use springtide_core::nodes::requirement::Labels;
use springtide_core::nodes::taint::Taint;

/// A seller of machines.
///
/// Any call may be dropped half way, by a timeout or by the end of the process: what it had begun is then an unknown outcome, and repeating it is safe.
#[async_trait]
pub trait Cloud: Send + Sync {
    /// API group and kind of the NodeClass that it serves. Fixed for the life of the process.
    fn kind(&self) -> (&'static str, &'static str);

    /// What a NodeClass can buy, sorted by the type's name, no name twice. Reads only, so it may be repeated at will; a caller keeps its last answer over an
    /// error. A NodeClass that does not exist or is of another kind is [`CloudError::NoClass`] or [`CloudError::OtherKind`], never an empty list.
    async fn offers(&self, class: &ClassRef) -> Result<Vec<InstanceType>, CloudError>;

    /// Buys one machine for a claim. Tries the offerings in their order.
    ///
    /// Idempotent by the claim's name and UID: an order for a claim that has a machine answers with that machine, whatever offerings this order lists, also
    /// when an earlier call was interrupted at any point. An error other than [`CreateError::Failed`] means that nothing was bought. A caller repeats after
    /// `Failed`, comes again with other offerings after `OutOfStock`, and waits for the NodeClass to change after `Class`.
    async fn create(&self, order: &Order) -> Result<Machine, CreateError>;

    /// Ends the machine of a claim; also one that `create` left without an answer. `provider_id` is the machine's identity where the caller knows it, and may
    /// be left out. Idempotent; deleting what does not exist succeeds with [`Ending::Gone`]. A caller repeats until the answer is `Gone`. The Node object
    /// stays: it is the caller's.
    async fn delete(&self, claim: &Name, provider_id: Option<&Name>) -> Result<Ending, CloudError>;

    /// Every machine of ours that is not gone, sorted by the claim's name: those whose claim is no more and those that a crash left behind included, of every
    /// NodeClass. Reads only, so it may be repeated at will. An error is not an empty list: a caller deletes nothing because of it.
    async fn list(&self) -> Result<Vec<Listed>, CloudError>;

    /// Goes on with whatever was begun. Called when this process becomes leader, before any other call that writes; calling it again does no harm. After an
    /// error a caller repeats it.
    async fn resume(&self) -> Result<(), CloudError>;
}

/// What is to be bought, and for whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// The claim's name.
    pub claim: Name,
    /// The claim's UID.
    pub uid: Name,
    /// In the cloud's words, what kind of machine.
    pub class: ClassRef,
    /// What may be bought, in order of preference.
    pub offerings: Vec<OfferingKey>,
    /// Labels that the node gets besides the machine's own.
    pub labels: Labels,
    /// Taints that the node keeps.
    pub taints: Vec<Taint>,
    /// Taints that somebody else takes away.
    pub startup_taints: Vec<Taint>,
}

/// How far the end of a machine has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// There is no such machine, or no more.
    Gone,
    /// It is on its way out, and still costs or holds something.
    Going,
}

/// A machine of ours, as the cloud knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The claim that it was bought for.
    pub claim: Name,
    /// The UID of that claim.
    pub claim_uid: Name,
    /// The machine's identity.
    pub provider_id: Name,
    /// When it was bought.
    pub since: Timestamp,
}

/// Why no machine came of an order.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// These offerings were asked for and are not to be had for now. Others of the order may not have been tried: a cloud may stop after some refusals, so
    /// that the caller marks them and comes again with the rest. Nothing was bought.
    #[error("out of stock: {}", list(refused))]
    OutOfStock {
        /// What was refused, in the order of trying.
        refused: Vec<OfferingKey>,
    },
    /// The NodeClass is missing or not ready, in words. Nothing was bought.
    #[error("{0}")]
    Class(String),
    /// The outcome is unknown.
    #[error("the machine was not created")]
    Failed(#[from] CloudError),
}

/// What a cloud's client or Kubernetes answered.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why a cloud could not do what was asked, by operation.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the fields are the claim or class that the operation was about, and its cause")]
pub enum CloudError {
    /// There is no such NodeClass.
    #[error("there is no NodeClass {0}")]
    NoClass(ClassRef),
    /// The NodeClass belongs to another cloud.
    #[error("NodeClass {class} is not one of {group}/{kind}")]
    OtherKind { class: ClassRef, group: &'static str, kind: &'static str },
    /// Reading a NodeClass.
    #[error("reading NodeClass {class} failed")]
    ReadClass { class: ClassRef, source: Cause },
    /// Looking for the machine of a claim.
    #[error("looking for the machine of claim {claim} failed")]
    ReadMachine { claim: Name, source: Cause },
    /// Buying the machine of a claim.
    #[error("buying the machine of claim {claim} failed")]
    BuyMachine { claim: Name, source: Cause },
    /// A machine of this name was bought for an earlier claim and has to be deleted first.
    #[error("the machine of claim {claim} belongs to an earlier claim with UID {uid}; it has to be deleted first")]
    NameTaken { claim: Name, uid: Name },
    /// Ending the machine of a claim.
    #[error("ending the machine of claim {claim} failed")]
    EndMachine { claim: Name, source: Cause },
    /// Listing our machines.
    #[error("listing machines failed")]
    ListMachines { source: Cause },
}

fn list(refused: &[OfferingKey]) -> String {
    let names: Vec<String> = refused.iter().map(ToString::to_string).collect();
    names.join(", ")
}
