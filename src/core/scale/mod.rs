//! The workload layer: how many replicas each scale target is to have, and why. Each target is decided by itself.

pub mod behavior;
pub mod decide;
pub mod demand;
pub mod policy;
