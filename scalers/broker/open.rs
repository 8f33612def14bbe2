//! Speaking to a broker: connections and answers.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::iter;
use springtide_core::Timestamp;
use springtide_core::reading::{Activity, Sample};
use springtide_core::units::MetricMilli;

use super::{Broker, Query};
use crate::cluster::ClusterView;
use crate::error::Error;
use crate::listen::News;

/// How a broker is spoken to. What only reads manifests is built without it.
#[async_trait]
pub(crate) trait Client: Broker {
    /// What stays open between two reads.
    type Connection: Send + 'static;

    /// Connects and logs in. Safe to repeat; may be dropped at any await.
    async fn open(&self) -> Result<Self::Connection, Error>;

    /// The same, for those who ask the cluster too; there may be none.
    async fn open_in(&self, cluster: Option<&Arc<dyn ClusterView>>) -> Result<Self::Connection, Error> {
        let _ = cluster;
        self.open().await
    }

    /// Answers many queries, as many answers as queries and in their order, with as few requests as the broker can do with. An outer error means that the
    /// connection is of no more use and none was answered; an inner error is about one query. Reads only; safe to repeat; may be dropped at any await, after
    /// which the connection is not used again.
    async fn read(
        &self,
        connection: &mut Self::Connection,
        queries: &[&Self::Query],
        moment: Moment,
    ) -> Result<Vec<Result<Answer, Error>>, Error>;

    /// Says which of these queries have another answer by now (`changed` is given its place), until the connection ends. Only brokers that
    /// [tell](Broker::tells) are listened to, on a connection of its own.
    async fn listen(&self, queries: &[&Self::Query], changed: &(dyn Fn(usize) + Send + Sync)) -> Result<(), Error> {
        let _ = (queries, changed);
        std::future::pending().await
    }

    /// Takes leave, so that the broker does not have to find out.
    async fn close(&self, connection: Self::Connection) {
        drop(connection);
    }
}

/// When a read begins, and how much time it has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    /// The time that its samples will carry, for brokers that are asked about a time.
    pub now: Timestamp,
    /// After how long nobody waits for it any more.
    pub patience: Duration,
}

/// What a broker says to one query, before the trigger gives it a meaning.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    /// The number.
    pub level: Level,
    /// As in `Sample`.
    pub target: Option<f64>,
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
    /// This other number alone is compared with it.
    By(f64),
    /// Yes or no.
    Known(bool),
}

impl Answer {
    /// A number, of which nothing else is known.
    pub(crate) const fn number(number: f64) -> Self {
        Self {
            level: Level::Number(number),
            target: None,
            active: Active::ByLevel,
            ready: None,
            in_flight: None,
            arrived: None,
            done: None,
        }
    }

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
            Active::By(number) => Activity::Known(MetricMilli::from_f64(number) > activation),
            Active::Known(active) => Activity::Known(active),
        };
        let target = self.target.map(MetricMilli::from_f64);
        Sample { metric, target, activity, ready: self.ready, in_flight: self.in_flight, arrived: self.arrived, done: self.done, as_of }
    }
}

/// How many requests of one read are under way at a time: we are a guest.
const AT_ONCE: usize = 4;

/// The answers of one read whose queries are a request each, in their order; an outer error where all of them would be the same.
pub(crate) async fn together(asked: Vec<BoxFuture<'_, Result<Answer, Error>>>) -> Result<Vec<Result<Answer, Error>>, Error> {
    let mut answers = Vec::with_capacity(asked.len());
    let mut arriving = iter(asked).buffered(AT_ONCE);
    while let Some(answer) = arriving.next().await {
        match answer {
            // Of these, every question has its share: the connection is at fault.
            Err(error @ (Error::Connect { .. } | Error::Ask { .. })) => return Err(error),
            answer => answers.push(answer),
        }
    }
    if answers.iter().all(|answer| matches!(answer, Err(Error::Wait { .. })))
        && let Some(Err(error)) = answers.pop()
    {
        return Err(error);
    }
    Ok(answers)
}

/// An open connection to a broker of any kind.
#[async_trait]
pub(crate) trait Open: Send {
    /// As `Broker::read`.
    async fn read(&mut self, queries: &[Query], moment: Moment) -> Result<Vec<Result<Answer, Error>>, Error>;
    /// As `Broker::close`.
    async fn close(self: Box<Self>);
}

/// Opens a connection.
pub(super) async fn opened<B: Client>(broker: Arc<B>, cluster: Option<&Arc<dyn ClusterView>>) -> Result<Box<dyn Open>, Error> {
    let connection = Client::open_in(&*broker, cluster).await?;
    Ok(Box::new(Opened { broker, connection }))
}

/// Listens to a broker.
pub(super) async fn listen<B: Client>(broker: &B, queries: &[Query], news: &News) -> Result<(), Error> {
    let typed = typed::<B>(queries);
    let changed = |at: usize| queries.get(at).into_iter().for_each(|query| _ = news.of(query));
    Client::listen(broker, &typed, &changed).await
}

/// Queries as this broker knows them.
fn typed<B: Client>(queries: &[Query]) -> Vec<&B::Query> {
    let typed: Vec<&B::Query> = queries.iter().filter_map(Query::typed).collect();
    assert_eq!(typed.len(), queries.len(), "a trigger's query and endpoint come from one scaler");
    typed
}

struct Opened<B: Client> {
    broker: Arc<B>,
    connection: B::Connection,
}

#[async_trait]
impl<B: Client> Open for Opened<B> {
    async fn read(&mut self, queries: &[Query], moment: Moment) -> Result<Vec<Result<Answer, Error>>, Error> {
        let answers = self.broker.read(&mut self.connection, &typed::<B>(queries), moment).await?;
        assert_eq!(answers.len(), queries.len(), "a scaler answers each query once");
        Ok(answers)
    }

    async fn close(self: Box<Self>) {
        self.broker.close(self.connection).await;
    }
}
