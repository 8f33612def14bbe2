//! Clouds that sell machines, behind one trait.
//!
//! A cloud turns an order into a machine and knows which machines are ours. It decides nothing: which types and zones are wanted, in which order, and when
//! a machine ends is told to it. What it needs of Kubernetes reaches it through the small ports of [`ports`]; no SDK's type leaves its folder.

pub mod catalog;
#[cfg(feature = "clients")]
pub mod cloud;
#[cfg(feature = "clients")]
pub mod contract;
#[cfg(feature = "clients")]
pub mod kwok;
#[cfg(feature = "clients")]
pub mod ports;
mod quantity;

#[cfg(feature = "clients")]
pub use cloud::{Cause, Cloud, CloudError, CreateError, Ending, Listed, Order};
