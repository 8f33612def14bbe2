//! KEDA's, Karpenter's and our objects as Rust types, and what goes with them: names of labels and annotations, quantities, durations, conditions, the drift
//! hash, what the peers' admission checks refuse. The CRDs are generated from these types.
//!
//! No client, no clock, no panic: what cannot be understood is kept as text and reported by `validate`, so that one odd object never hides the others.

#![expect(clippy::duplicated_attributes, reason = "columns of one kind have the same type, and a derive may be told so more than once")]

pub mod capacity_buffer;
pub mod conditions;
pub mod crds;
pub mod duration;
pub mod hash;
pub mod karpenter;
pub mod keda;
pub mod labels;
pub mod lenient;
mod schema;
pub mod structure;
pub mod typed;
pub mod validate;

pub use lenient::Lenient;
pub use springtide_core::quantity;
pub use validate::Problem;

#[cfg(test)]
mod objects_tests;
