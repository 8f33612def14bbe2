//! Real messages for tests, benchmarks and people: a publisher, and workers that stand in for the pods of a Deployment.
//!
//! Simulated nodes run no containers, so a [`Fleet`] does the work of each running pod from outside: one AMQP consumer for a pod, one message at a
//! time, held for the service time and then acknowledged. What happens to each message and each pod is an [`Event`]; a [`Report`] is the sum of them.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that unwraps nothing fails, as it should"))]

mod address;
mod amqp;
mod broker;
mod error;
mod event;
mod fleet;
mod moment;
mod pods;
mod publisher;
mod report;
mod tally;
mod worker;

pub use address::BrokerUrl;
pub use amqp::Amqp;
pub use broker::{Broker, Delivery, Settled, Subscription};
pub use error::Error;
pub use event::{Cause, Event, Happening, Left};
pub use fleet::{Fleet, FleetOptions, Grace};
pub use moment::{Clock, Moment};
pub use pods::{DeploymentName, Pod, PodEvent, Pods, Stage, pods_by_hand, pods_of};
pub use publisher::{PublishOptions, Published, Publisher};
pub use report::Report;
