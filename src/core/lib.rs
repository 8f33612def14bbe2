//! The pure decider: how many replicas, which pods on which nodes, which machines to start and which to end, and why.
//!
//! Functions of plain data. Nothing in this crate knows a clock, a network, Kubernetes, a thread, a log or the environment: time and chance arrive as
//! arguments, and what was decided leaves as values that print. The same functions serve the daemon, the simulator, `springtide plan` and the tests.

pub mod check;
pub mod name;
pub mod nodes;
pub mod plan;
pub mod quantity;
pub mod reading;
pub mod reason;
pub mod scale;
pub mod units;

/// A length of time.
pub use jiff::SignedDuration as Span;
/// A moment in time, always handed in: this crate has no clock.
pub use jiff::Timestamp;
