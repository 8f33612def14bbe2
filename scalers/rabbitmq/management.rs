//! RabbitMQ's management interface: counts and rates of queues over HTTP. Many queues of one virtual host are one listing.

use std::num::NonZeroU32;
use std::time::Duration;

use super::host::Host;
use super::mode::{Counted, Mode, Operation};
use crate::broker::Broker;
use crate::oauth2::ClientCredentials;
use crate::secret::Secret;
use crate::tls::Tls;

#[cfg(feature = "clients")]
mod client;

/// A broker's management interface.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Management {
    /// Without the login and the virtual host that it may have held.
    pub host: Host,
    pub login: Login,
    pub tls: Tls,
    pub timeout: Option<Duration>,
}

/// Who we are to it.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) enum Login {
    Nobody,
    Password(Secret, Option<Secret>),
    Token(ClientCredentials),
    WorkloadIdentity,
}

/// What a trigger asks.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Query {
    pub vhost: String,
    pub names: Names,
    pub counted: Counted,
    pub mode: Mode,
}

/// Of which queues.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Names {
    One(String),
    Pattern { pattern: String, page_size: NonZeroU32, operation: Operation },
}

impl Broker for Management {
    type Query = Query;

    fn address(&self) -> String {
        format!("RabbitMQ's management interface at {}{}", self.host.origin(), self.host.prefix)
    }

    fn timeout(&self) -> Option<Duration> {
        self.timeout
    }
}
