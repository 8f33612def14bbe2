//! RabbitMQ over AMQP: a channel for each worker, many channels on one connection, connections renewed after outages.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt as _;

use lapin::options::{BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Acker, Channel, Connection, ConnectionProperties, Consumer};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};
use tracing::debug;

use crate::address::BrokerUrl;
use crate::broker::{Broker, Delivery, Settled, Subscription};
use crate::error::Error;

/// Workers on one connection. RabbitMQ allows 2047 channels by default; fewer, because a connection's frames go through one process of the broker.
const CHANNELS: u16 = 256;
/// Messages that a worker has at one time.
const PREFETCH: u16 = 1;
/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(10);
/// After a failed connection, who asks within this time gets the same answer: a thousand workers do not each wait for an address that does not answer.
const SHARED_FAILURE: Duration = Duration::from_millis(500);
/// How long an acknowledgement may take until its outcome counts as unknown.
const ACKNOWLEDGE: Duration = Duration::from_secs(10);
/// How long saying goodbye may take. The broker takes messages back also without it.
const GOODBYE: Duration = Duration::from_secs(2);

/// Opens a connection, within a time.
pub(crate) async fn connect(url: &BrokerUrl, name: &str) -> Result<Connection, Error> {
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    match timeout(CONNECT, Connection::connect_uri(url.uri(), properties)).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(source)) => Err(Error::Connect { broker: url.to_string(), source }),
        Err(_) => Err(Error::ConnectInTime { broker: url.to_string(), seconds: CONNECT.as_secs() }),
    }
}

/// A RabbitMQ queue.
#[derive(Debug)]
pub struct Amqp {
    url: BrokerUrl,
    queue: String,
    pool: Mutex<Pool>,
}

#[derive(Debug, Default)]
struct Pool {
    links: Vec<Link>,
    failed: Option<(Instant, Option<lapin::Error>)>,
}

#[derive(Debug)]
struct Link {
    connection: Arc<Connection>,
    channels: Arc<AtomicU16>,
}

/// A place on a connection, free again when dropped.
#[derive(Debug)]
struct Place(Arc<AtomicU16>);

impl Place {
    /// A place, if there is one.
    fn take(link: &Link) -> Option<Self> {
        let limit = match link.connection.configuration().channel_max() {
            0 => CHANNELS,
            limit => limit.min(CHANNELS),
        };
        // Only one task at a time takes places, because the pool is locked.
        if link.channels.load(Ordering::Relaxed) >= limit {
            return None;
        }
        link.channels.fetch_add(1, Ordering::Relaxed);
        Some(Self(Arc::clone(&link.channels)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Amqp {
    /// Nothing is connected before the first worker subscribes.
    #[must_use]
    pub fn new(url: BrokerUrl, queue: &str) -> Self {
        Self { url, queue: queue.to_owned(), pool: Mutex::default() }
    }

    /// A connection with a free place.
    async fn place(&self) -> Result<(Arc<Connection>, Place), Error> {
        let mut pool = self.pool.lock().await;
        pool.links.retain(|link| link.connection.status().connected());
        if let Some((link, place)) = pool.links.iter().find_map(|link| Some((link, Place::take(link)?))) {
            return Ok((Arc::clone(&link.connection), place));
        }
        if let Some((at, error)) = &pool.failed
            && at.elapsed() < SHARED_FAILURE
        {
            let broker = self.url.to_string();
            return Err(match error.clone() {
                Some(source) => Error::Connect { broker, source },
                None => Error::ConnectInTime { broker, seconds: CONNECT.as_secs() },
            });
        }
        let name = format!("springtide-worker {}", self.queue);
        let connection = connect(&self.url, &name).await.inspect_err(|error| {
            let source = if let Error::Connect { source, .. } = error { Some(source.clone()) } else { None };
            pool.failed = Some((Instant::now(), source));
        })?;
        pool.failed = None;
        let connection = Arc::new(connection);
        let channels = Arc::new(AtomicU16::new(1));
        pool.links.push(Link { connection: Arc::clone(&connection), channels: Arc::clone(&channels) });
        Ok((connection, Place(channels)))
    }

    async fn consume(&self, connection: &Connection, worker: &str) -> Result<(Channel, Consumer), lapin::Error> {
        let channel = connection.create_channel().await?;
        channel.basic_qos(PREFETCH, BasicQosOptions::default()).await?;
        let consumer =
            channel.basic_consume(self.queue.as_str().into(), worker.into(), BasicConsumeOptions::default(), FieldTable::default()).await?;
        Ok((channel, consumer))
    }
}

#[async_trait]
impl Broker for Amqp {
    async fn subscribe(&self, worker: &str) -> Result<Box<dyn Subscription>, Error> {
        let (connection, place) = self.place().await?;
        let failed = |source| Error::Subscribe { queue: self.queue.clone(), source };
        let (channel, consumer) = self.consume(&connection, worker).await.map_err(failed)?;
        Ok(Box::new(Seat { queue: self.queue.clone(), channel, consumer, held: None, _connection: connection, _place: place }))
    }
}

/// One worker's consumer.
struct Seat {
    queue: String,
    channel: Channel,
    consumer: Consumer,
    held: Option<Acker>,
    /// Kept open as long as somebody uses it. The place is given back before it, as fields are dropped in order.
    _place: Place,
    _connection: Arc<Connection>,
}

#[async_trait]
impl Subscription for Seat {
    async fn next(&mut self) -> Result<Delivery, Error> {
        match self.consumer.next().await {
            Some(Ok(delivery)) => {
                let message = delivery.properties.message_id().as_ref().map(ToString::to_string);
                self.held = Some(delivery.acker);
                Ok(Delivery { message, redelivered: delivery.redelivered })
            }
            Some(Err(error)) => Err(Error::Consume { queue: self.queue.clone(), source: Some(error) }),
            None => Err(Error::Consume { queue: self.queue.clone(), source: None }),
        }
    }

    async fn stop_taking(&mut self) {
        let cancel = self.channel.basic_cancel(self.consumer.tag(), BasicCancelOptions { nowait: true });
        note("cancel", timeout(GOODBYE, cancel).await);
    }

    async fn acknowledge(&mut self) -> Settled {
        let Some(acker) = self.held.take() else { return Settled::Lost };
        let settled = async {
            match acker.ack(BasicAckOptions::default()).await {
                Ok(true) => {}
                Ok(false) => return Settled::Lost,
                Err(_) => return Settled::Unsure,
            }
            // AMQP answers no acknowledgement. The broker works on a channel's frames in order, so an answer to a later one tells that it has this one.
            // This one is asked because it changes nothing: the same limit again, for consumers that this channel will not have.
            match self.channel.basic_qos(PREFETCH, BasicQosOptions::default()).await {
                Ok(()) => Settled::Done,
                Err(_) => Settled::Unsure,
            }
        };
        timeout(ACKNOWLEDGE, settled).await.unwrap_or(Settled::Unsure)
    }

    async fn give_back(&mut self) {
        // First, so that the broker does not hand the message to this worker again.
        self.stop_taking().await;
        if let Some(acker) = self.held.take() {
            let nack = acker.nack(BasicNackOptions { requeue: true, ..BasicNackOptions::default() });
            note("give back", timeout(GOODBYE, nack).await);
        }
    }

    async fn close(&mut self) {
        if self.channel.status().connected() {
            note("close", timeout(GOODBYE, self.channel.close(200, "worker stopped".into())).await);
        }
    }
}

/// A goodbye that does not reach the broker does no harm: it takes messages back when the channel ends.
fn note<T>(what: &str, outcome: Result<Result<T, lapin::Error>, tokio::time::error::Elapsed>) {
    match outcome {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => debug!(what, %error, "the broker was not reached"),
        Err(_) => debug!(what, "the broker did not answer"),
    }
}
