//! Real parts for tests and benchmarks: a Kubernetes control plane, RabbitMQ, and proxies that hurt, all on loopback.
//!
//! A test asks for what it needs by name and drops it at its end. Several of each run side by side.
//! Nothing here knows Springtide: what is tested reaches the parts as it would in a cluster, by a kubeconfig and a URL.

mod access;
mod audit;
mod certificates;
mod components;
mod go;
mod http_proxy;
mod kubeconfig;
mod named;
mod objects;
mod owner;
mod part;
mod places;
mod plane;
mod port;
mod programs;
mod rabbit;
mod run;
mod tcp_proxy;

pub use audit::{Write, writes_per_user};
pub use components::FAKE_NODE;
pub use http_proxy::HttpProxy;
pub use named::{Named, Reach};
pub use objects::{apply, wait_for, wait_gone, wait_until};
pub use plane::{Component, Options, Plane};
pub use programs::Programs;
pub use rabbit::{Rabbit, RabbitOptions};
pub use run::sweep;
pub use tcp_proxy::TcpProxy;
