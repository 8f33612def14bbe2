//! Real parts for tests and benchmarks: a Kubernetes control plane, brokers and databases, and proxies that hurt, all on loopback.
//!
//! A test asks for what it needs by name and drops it at its end. Several of each run side by side. For what is run in containers there is a container engine
//! with a network of its own, and images made from the same programs.
//! Nothing here knows Springtide: what is tested reaches the parts as it would in a cluster, by a kubeconfig and a URL.

mod access;
mod audit;
mod azurite;
mod certificates;
mod cgroup;
mod components;
mod database;
mod engine;
mod go;
mod http_proxy;
mod kafka;
mod kubeconfig;
mod moto;
mod named;
mod nats;
mod objects;
mod owner;
mod part;
mod places;
mod plane;
mod port;
mod programs;
mod prometheus;
mod rabbit;
mod redis;
mod run;
mod stand_ins;
mod static_programs;
mod tcp_proxy;

pub use audit::{Write, writes_per_user};
pub use azurite::Azurite;
pub use components::FAKE_NODE;
pub use database::{Database, Sql};
pub use engine::Engine;
pub use http_proxy::HttpProxy;
pub use kafka::{Kafka, KafkaOptions, KafkaTls};
pub use moto::Moto;
pub use named::{Named, Reach};
pub use nats::{Nats, NatsNode};
pub use objects::{apply, wait_for, wait_gone, wait_until};
pub use plane::{Component, Options, Plane};
pub use programs::{Programs, Tools, nats_server};
pub use prometheus::{Prometheus, PrometheusDoor};
pub use rabbit::{Rabbit, RabbitOptions};
pub use redis::{Redis, RedisCluster, RedisLogin, RedisSentinels, RedisTls};
pub use run::sweep;
pub use stand_ins::StandIn;
pub use static_programs::static_programs;
pub use tcp_proxy::TcpProxy;
