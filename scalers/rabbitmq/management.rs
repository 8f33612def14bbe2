//! RabbitMQ's management interface: counts and rates of queues over HTTP. Many queues of one virtual host are one listing.

use std::num::NonZeroU32;
use std::time::Duration;

use super::mode::{Counted, Mode, Operation};
use crate::broker::Broker;
use crate::http::Server;

#[cfg(feature = "clients")]
mod client;

/// From how many queues on one listing is less work than asking for each.
const WORTH_A_LISTING: usize = 6;
/// How many queues a page of a listing has: the most that RabbitMQ allows.
const PAGE: usize = 500;

/// A broker's management interface. Its address has neither a login nor a virtual host.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Management(pub Server);

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
        self.0.address()
    }

    fn requests(&self, queries: usize) -> usize {
        // Many are read from listings.
        if queries < WORTH_A_LISTING { queries } else { queries.div_ceil(PAGE) }
    }

    fn timeout(&self) -> Option<Duration> {
        self.0.timeout
    }
}
