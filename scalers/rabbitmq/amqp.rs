//! RabbitMQ over AMQP: each queue is declared passively, which creates nothing and answers how many messages are ready.

use std::time::Duration;

use super::host::Host;
use crate::broker::Broker;
use crate::secret::Secret;
use crate::tls::Tls;

#[cfg(feature = "clients")]
mod client;

/// A virtual host of a broker.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Amqp {
    /// Without the login that it may have held.
    pub host: Host,
    pub vhost: String,
    pub login: Login,
    pub tls: Tls,
    pub timeout: Option<Duration>,
}

/// Who we are to the broker.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) enum Login {
    Password(Secret, Secret),
    /// The certificate that TLS shows says it.
    Certificate,
}

impl Broker for Amqp {
    type Query = String;

    fn address(&self) -> String {
        format!("RabbitMQ at {} (virtual host {})", self.host.origin(), self.vhost)
    }

    fn timeout(&self) -> Option<Duration> {
        self.timeout
    }
}
