//! The node layer: which pods go on which nodes, which machines to start, which to end, and why.

mod bins;
pub mod claim;
pub mod cluster;
mod columns;
mod company;
pub mod constraint;
pub mod decide;
mod domains;
pub mod effect;
mod fill;
pub mod intent;
pub mod launch;
mod market;
pub mod offer;
pub mod pack;
mod place;
pub mod pod;
pub mod pool;
mod purchase;
pub mod requirement;
pub mod resources;
pub mod retire;
pub mod selector;
mod settle;
pub mod shape;
mod stock;
pub mod storage;
pub mod taint;
mod topology;
mod ways;
mod why;
pub mod workload;
mod worth;

pub use pack::MACHINE;

#[cfg(test)]
mod random_tests;
#[cfg(test)]
pub(crate) mod scene;

/// Label of the pool that a node belongs to.
pub const NODE_POOL: &str = "karpenter.sh/nodepool";
/// Label of how a node is paid for.
pub const CAPACITY_TYPE: &str = "karpenter.sh/capacity-type";
/// Label of a node's zone.
pub const ZONE: &str = "topology.kubernetes.io/zone";
/// Label of a node's instance type.
pub const INSTANCE_TYPE: &str = "node.kubernetes.io/instance-type";
/// Taint of a node that is to go.
pub const DISRUPTED: &str = "karpenter.sh/disrupted";

/// Labels that every machine of every cloud has, so that a pool which does not speak of them leaves them open.
#[must_use]
pub fn well_known(key: &str) -> bool {
    matches!(
        key,
        NODE_POOL
            | CAPACITY_TYPE
            | ZONE
            | INSTANCE_TYPE
            | "topology.kubernetes.io/region"
            | "kubernetes.io/arch"
            | "kubernetes.io/os"
            | "node.kubernetes.io/windows-build"
    )
}
