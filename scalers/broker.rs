//! The contract between a scaler and everything else. A scaler says how to reach a broker and how to ask it; what the answers are compared with, what they
//! are called, when they are asked for and what happens when they do not come is no business of a scaler.

use std::any::Any;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use springtide_core::Timestamp;
use springtide_core::reading::{Activity, Sample};
use springtide_core::units::MetricMilli;

use crate::error::Error;

/// A broker: its address and credentials. Two that are equal are one broker, and share one connection.
#[async_trait]
pub(crate) trait Broker: Eq + Hash + Send + Sync + 'static {
    /// What one trigger asks of it. Equal queries are asked once.
    type Query: Eq + Hash + Send + Sync + 'static;
    /// What stays open between two reads.
    type Connection: Send + 'static;

    /// Where it is, for people: never with a user, a password or a token.
    fn address(&self) -> String;

    /// How long an opening or a read may take, if its trigger says so.
    fn timeout(&self) -> Option<Duration> {
        None
    }

    /// Connects and logs in. Safe to repeat; may be dropped at any await.
    async fn open(&self) -> Result<Self::Connection, Error>;

    /// Answers many queries, as many answers as queries and in their order, with as few requests as the broker can do with. An outer error means that the
    /// connection is of no more use and none was answered; an inner error is about one query. Reads only; safe to repeat; may be dropped at any await, after
    /// which the connection is not used again.
    async fn read(&self, connection: &mut Self::Connection, queries: &[&Self::Query]) -> Result<Vec<Result<Answer, Error>>, Error>;

    /// Takes leave, so that the broker does not have to find out.
    async fn close(&self, connection: Self::Connection) {
        drop(connection);
    }
}

/// What a broker says to one query, before the trigger gives it a meaning.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    /// The number.
    pub level: Level,
    /// Whether there is work to activate for.
    pub active: Active,
    /// As in `Sample`.
    pub ready: Option<u64>,
    /// As in `Sample`.
    pub in_flight: Option<u64>,
    /// As in `Sample`.
    pub arrived: Option<u64>,
    /// As in `Sample`.
    pub done: Option<u64>,
}

/// The number of an answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Level {
    /// As the broker counts or computes it.
    Number(f64),
    /// There is no such number just now (a ratio by zero): the trigger's own activation value stands in for it.
    Undefined,
}

/// How an answer speaks of activity.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Active {
    /// The number is compared with the activation value.
    ByLevel,
    /// The number or this other one is compared with it.
    ByLevelOr(f64),
    /// Yes or no.
    Known(bool),
}

impl Answer {
    /// The sample that it is for a trigger with this activation value. Nonsense numbers become 0 here, for all scalers alike.
    pub(crate) fn sample(&self, activation: MetricMilli, as_of: Timestamp) -> Sample {
        let metric = match self.level {
            Level::Number(number) => MetricMilli::from_f64(number),
            Level::Undefined => activation.max(MetricMilli::ZERO),
        };
        let activity = match self.active {
            Active::ByLevel => Activity::Compare,
            Active::ByLevelOr(number) if MetricMilli::from_f64(number) > activation => Activity::Known(true),
            Active::ByLevelOr(_) => Activity::Compare,
            Active::Known(active) => Activity::Known(active),
        };
        Sample { metric, activity, ready: self.ready, in_flight: self.in_flight, arrived: self.arrived, done: self.done, as_of }
    }
}

/// A broker of any kind, as the poller sees it.
#[derive(Clone)]
pub struct Endpoint(Arc<dyn AnyBroker>);

/// A query of any kind, as the poller sees it.
#[derive(Clone)]
pub struct Query(Arc<dyn AnyQuery>);

/// An open connection to a broker of any kind.
#[async_trait]
pub(crate) trait Open: Send {
    /// As `Broker::read`.
    async fn read(&mut self, queries: &[Query]) -> Result<Vec<Result<Answer, Error>>, Error>;
    /// As `Broker::close`.
    async fn close(self: Box<Self>);
}

#[async_trait]
trait AnyBroker: Any + Send + Sync {
    fn address(&self) -> String;
    fn timeout(&self) -> Option<Duration>;
    fn equals(&self, other: &dyn Any) -> bool;
    fn hash_into(&self, state: &mut dyn Hasher);
    async fn open(self: Arc<Self>) -> Result<Box<dyn Open>, Error>;
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

struct Opened<B: Broker> {
    broker: Arc<B>,
    connection: B::Connection,
}

#[async_trait]
impl<B: Broker> AnyBroker for B {
    fn address(&self) -> String {
        Broker::address(self)
    }

    fn timeout(&self) -> Option<Duration> {
        Broker::timeout(self)
    }

    fn equals(&self, other: &dyn Any) -> bool {
        other.downcast_ref::<B>().is_some_and(|other| self == other)
    }

    fn hash_into(&self, mut state: &mut dyn Hasher) {
        self.hash(&mut state);
    }

    async fn open(self: Arc<Self>) -> Result<Box<dyn Open>, Error> {
        let connection = Broker::open(&*self).await?;
        Ok(Box::new(Opened { broker: self, connection }))
    }
}

#[async_trait]
impl<B: Broker> Open for Opened<B> {
    async fn read(&mut self, queries: &[Query]) -> Result<Vec<Result<Answer, Error>>, Error> {
        let typed: Vec<&B::Query> = queries.iter().filter_map(|Query(query)| (&**query as &dyn Any).downcast_ref()).collect();
        assert_eq!(typed.len(), queries.len(), "a trigger's query and endpoint come from one scaler");
        let answers = self.broker.read(&mut self.connection, &typed).await?;
        assert_eq!(answers.len(), queries.len(), "a scaler answers each query once");
        Ok(answers)
    }

    async fn close(self: Box<Self>) {
        self.broker.close(self.connection).await;
    }
}

impl Endpoint {
    pub(crate) fn new(broker: impl Broker) -> Self {
        Self(Arc::new(broker))
    }

    /// Where it is, for people; never with credentials.
    #[must_use]
    pub fn address(&self) -> String {
        self.0.address()
    }

    pub(crate) fn timeout(&self) -> Option<Duration> {
        self.0.timeout()
    }

    pub(crate) async fn open(&self) -> Result<Box<dyn Open>, Error> {
        Arc::clone(&self.0).open().await
    }
}

impl Query {
    pub(crate) fn new(query: impl Eq + Hash + Send + Sync + 'static) -> Self {
        Self(Arc::new(query))
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
