//! The contract between a scaler and everything else. A scaler says how to reach a broker and how to ask it; what the answers are compared with, what they
//! are called, when they are asked for and what happens when they do not come is no business of a scaler.

use std::any::Any;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "clients")]
use crate::cluster::ClusterView;

#[cfg(feature = "clients")]
mod open;

#[cfg(feature = "clients")]
pub(crate) use open::{Active, Answer, Client, Level, Moment, Open, together};

/// A broker: its address and credentials. Two that are equal are one broker, and share one connection.
pub(crate) trait Broker: Eq + Hash + Send + Sync + 'static {
    /// What one trigger asks of it. Equal queries are asked once.
    type Query: Eq + Hash + Send + Sync + 'static;

    /// Where it is, for people: never with a user, a password or a token.
    fn address(&self) -> String;

    /// How long an opening or a read may take, if its trigger says so.
    fn timeout(&self) -> Option<Duration> {
        None
    }

    /// How many requests so many queries cost it.
    fn requests(&self, queries: usize) -> usize {
        queries
    }

    /// Whether it can tell of changes by itself: then `Client::listen` is called.
    fn tells(&self) -> bool {
        false
    }
}

/// A broker that a trigger may name: where clients are built, one that can be spoken to.
#[cfg(feature = "clients")]
pub(crate) trait Known: Client {}
#[cfg(feature = "clients")]
impl<B: Client> Known for B {}
#[cfg(not(feature = "clients"))]
pub(crate) trait Known: Broker {}
#[cfg(not(feature = "clients"))]
impl<B: Broker> Known for B {}

/// A broker of any kind, as the poller sees it.
#[derive(Clone)]
pub struct Endpoint(Arc<dyn AnyBroker>);

/// A query of any kind, as the poller sees it.
#[derive(Clone)]
pub struct Query(Arc<dyn AnyQuery>);

#[cfg_attr(feature = "clients", async_trait::async_trait)]
trait AnyBroker: Any + Send + Sync {
    fn address(&self) -> String;
    #[cfg(feature = "clients")]
    fn timeout(&self) -> Option<Duration>;
    #[cfg(feature = "clients")]
    fn requests(&self, queries: usize) -> usize;
    #[cfg(feature = "clients")]
    fn tells(&self) -> bool;
    fn equals(&self, other: &dyn Any) -> bool;
    fn hash_into(&self, state: &mut dyn Hasher);
    #[cfg(feature = "clients")]
    async fn open(self: Arc<Self>, cluster: Option<&Arc<dyn ClusterView>>) -> Result<Box<dyn Open>, crate::error::Error>;
    #[cfg(feature = "clients")]
    async fn listen(&self, queries: &[Query], news: &crate::listen::News) -> Result<(), crate::error::Error>;
}

trait AnyQuery: Any + Send + Sync {
    fn equals(&self, other: &dyn Any) -> bool;
    fn hash_into(&self, state: &mut dyn Hasher);
}

impl<Q: Eq + Hash + Send + Sync + 'static> AnyQuery for Q {
    fn equals(&self, other: &dyn Any) -> bool {
        other.downcast_ref::<Q>().is_some_and(|other| self == other)
    }

    fn hash_into(&self, mut state: &mut dyn Hasher) {
        self.hash(&mut state);
    }
}

#[cfg_attr(feature = "clients", async_trait::async_trait)]
impl<B: Known> AnyBroker for B {
    fn address(&self) -> String {
        Broker::address(self)
    }

    #[cfg(feature = "clients")]
    fn timeout(&self) -> Option<Duration> {
        Broker::timeout(self)
    }

    #[cfg(feature = "clients")]
    fn requests(&self, queries: usize) -> usize {
        Broker::requests(self, queries)
    }

    #[cfg(feature = "clients")]
    fn tells(&self) -> bool {
        Broker::tells(self)
    }

    fn equals(&self, other: &dyn Any) -> bool {
        other.downcast_ref::<B>().is_some_and(|other| self == other)
    }

    fn hash_into(&self, mut state: &mut dyn Hasher) {
        self.hash(&mut state);
    }

    #[cfg(feature = "clients")]
    async fn open(self: Arc<Self>, cluster: Option<&Arc<dyn ClusterView>>) -> Result<Box<dyn Open>, crate::error::Error> {
        open::opened(self, cluster).await
    }

    #[cfg(feature = "clients")]
    async fn listen(&self, queries: &[Query], news: &crate::listen::News) -> Result<(), crate::error::Error> {
        open::listen(self, queries, news).await
    }
}

impl Endpoint {
    pub(crate) fn new(broker: impl Known) -> Self {
        Self(Arc::new(broker))
    }

    /// Where it is, for people; never with credentials.
    #[must_use]
    pub fn address(&self) -> String {
        self.0.address()
    }

    /// The broker itself, if it is of this kind.
    #[cfg(all(test, feature = "clients"))]
    pub(crate) fn broker<B: Known>(&self) -> Option<&B> {
        let broker: &dyn Any = &*self.0;
        broker.downcast_ref()
    }

    #[cfg(feature = "clients")]
    pub(crate) fn timeout(&self) -> Option<Duration> {
        self.0.timeout()
    }

    #[cfg(feature = "clients")]
    pub(crate) fn requests(&self, queries: usize) -> usize {
        self.0.requests(queries)
    }

    #[cfg(feature = "clients")]
    pub(crate) fn tells(&self) -> bool {
        self.0.tells()
    }

    #[cfg(feature = "clients")]
    pub(crate) async fn listen(&self, queries: &[Query], news: &crate::listen::News) -> Result<(), crate::error::Error> {
        self.0.listen(queries, news).await
    }

    #[cfg(feature = "clients")]
    pub(crate) async fn open_in(&self, cluster: Option<&Arc<dyn ClusterView>>) -> Result<Box<dyn Open>, crate::error::Error> {
        Arc::clone(&self.0).open(cluster).await
    }

    /// The same where there is no cluster.
    #[cfg(all(test, feature = "clients"))]
    pub(crate) async fn open(&self) -> Result<Box<dyn Open>, crate::error::Error> {
        self.open_in(None).await
    }
}

impl Query {
    pub(crate) fn new(query: impl Eq + Hash + Send + Sync + 'static) -> Self {
        Self(Arc::new(query))
    }

    /// What its scaler made it of, if it is of this type.
    pub(crate) fn typed<Q: 'static>(&self) -> Option<&Q> {
        let query: &dyn Any = &*self.0;
        query.downcast_ref()
    }
}

#[cfg(test)]
impl Query {
    /// The query as its scaler knows it.
    pub(crate) fn as_known<Q: 'static>(&self) -> Option<&Q> {
        let query: &dyn Any = &*self.0;
        query.downcast_ref()
    }
}

impl PartialEq for Endpoint {
    fn eq(&self, other: &Self) -> bool {
        let other: &dyn Any = &*other.0;
        (*self.0).equals(other)
    }
}

impl Eq for Endpoint {}

impl Hash for Endpoint {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (*self.0).hash_into(state);
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Endpoint").field(&self.address()).finish()
    }
}

impl PartialEq for Query {
    fn eq(&self, other: &Self) -> bool {
        let other: &dyn Any = &*other.0;
        (*self.0).equals(other)
    }
}

impl Eq for Query {}

impl Hash for Query {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (*self.0).hash_into(state);
    }
}

impl fmt::Debug for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Query(..)")
    }
}
