//! Publishes many messages as one burst, or at a rate.

use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt as _};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Confirmation, Connection};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep_until};

use crate::address::BrokerUrl;
use crate::amqp::connect;
use crate::error::Error;
use crate::moment::{Clock, Moment};

/// How many messages may be on their way without a confirmation. More would fill memory and be no faster.
const WINDOW: usize = 4096;
/// AMQP's mark for a message that a restart of the broker must not lose.
const PERSISTENT: u8 = 2;

/// What is to be published.
#[derive(Clone, Debug)]
pub struct PublishOptions {
    /// The queue, by the default exchange.
    pub queue: String,
    /// How many messages.
    pub count: u64,
    /// How many bytes each has.
    pub size: usize,
    /// How many messages in a second; none means as fast as it goes.
    pub rate_per_s: Option<f64>,
}

/// What was published: all of it, each confirmed by the broker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Published {
    /// The queue.
    pub queue: String,
    /// How many messages.
    pub count: u64,
    /// How many bytes each has.
    pub size: usize,
    /// Messages are named by this, a hyphen, and their number from 0.
    pub run: String,
    /// Just before the first message was sent.
    pub first_published: Moment,
    /// Just after the last confirmation came.
    pub last_confirmed: Moment,
    /// From the one to the other.
    pub elapsed_ms: f64,
}

/// A connection to publish over.
#[derive(Debug)]
pub struct Publisher {
    connection: Connection,
    channel: Channel,
}

impl Publisher {
    /// Connects. There is one attempt: who publishes wants to know when it happens.
    pub async fn connect(url: &BrokerUrl) -> Result<Self, Error> {
        let failed = |source| Error::Connect { broker: url.to_string(), source };
        let connection = connect(url, "springtide-worker publish").await?;
        let channel = connection.create_channel().await.map_err(failed)?;
        channel.confirm_select(ConfirmSelectOptions::default()).await.map_err(failed)?;
        Ok(Self { connection, channel })
    }

    /// Declares a durable classic queue; one that is there with the same properties is left as it is. Answers how many messages wait in it.
    pub async fn declare(&self, queue: &str) -> Result<u64, Error> {
        let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        match self.channel.queue_declare(queue.into(), options, FieldTable::default()).await {
            Ok(declared) => Ok(u64::from(declared.message_count())),
            Err(source) => Err(Error::Declare { queue: queue.to_owned(), source }),
        }
    }

    /// Publishes persistent messages, and answers when the broker has confirmed all.
    pub async fn publish(&self, options: &PublishOptions) -> Result<Published, Error> {
        let clock = Clock::start();
        let run = run_name(&clock);
        let payload = vec![b'x'; options.size];
        let first_published = clock.now();
        let start = Instant::now();
        let mut under_way = FuturesUnordered::new();
        let mut confirmed = 0;
        for (number, due) in (0..options.count).zip(dues(start, options.rate_per_s)) {
            if let Some(due) = due {
                self.wait(due, &mut under_way, options, &mut confirmed).await?;
            }
            if under_way.len() >= WINDOW
                && let Some(outcome) = under_way.next().await
            {
                confirm(outcome, options, &mut confirmed)?;
            }
            let properties = BasicProperties::default()
                .with_delivery_mode(PERSISTENT)
                .with_message_id(format!("{run}-{number}").into())
                .with_timestamp(u64::try_from(clock.now().0.as_second()).unwrap_or_default());
            // The broker sends a message back that no queue would get.
            let mandatory = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
            let sent = self.channel.basic_publish("".into(), options.queue.as_str().into(), mandatory, &payload, properties);
            let confirmation = sent.await.map_err(|source| failed(options, confirmed, source))?;
            under_way.push(confirmation);
        }
        while let Some(outcome) = under_way.next().await {
            confirm(outcome, options, &mut confirmed)?;
        }
        let last_confirmed = clock.now();
        let elapsed_ms = last_confirmed.since(first_published).as_secs_f64() * 1e3;
        Ok(Published {
            queue: options.queue.clone(),
            count: confirmed,
            size: options.size,
            run,
            first_published,
            last_confirmed,
            elapsed_ms,
        })
    }

    /// Closes the connection.
    pub async fn close(self) {
        // All messages are confirmed, so nothing is lost if this does not reach the broker.
        let _ = self.connection.close(200, "done".into()).await;
    }

    /// Collects confirmations until a message is due.
    async fn wait(
        &self,
        due: Instant,
        under_way: &mut FuturesUnordered<impl Future<Output = Outcome>>,
        options: &PublishOptions,
        confirmed: &mut u64,
    ) -> Result<(), Error> {
        loop {
            tokio::select! {
                biased;
                () = sleep_until(due) => return Ok(()),
                Some(outcome) = under_way.next() => confirm(outcome, options, confirmed)?,
            }
        }
    }
}

type Outcome = Result<Confirmation, lapin::Error>;

fn confirm(outcome: Outcome, options: &PublishOptions, confirmed: &mut u64) -> Result<(), Error> {
    match outcome.map_err(|source| failed(options, *confirmed, source))? {
        Confirmation::Ack(Some(_)) | Confirmation::Nack(Some(_)) => Err(Error::Unroutable { queue: options.queue.clone() }),
        Confirmation::Nack(None) => Err(Error::Refused { queue: options.queue.clone(), confirmed: *confirmed }),
        Confirmation::Ack(None) | Confirmation::NotRequested => {
            *confirmed += 1;
            Ok(())
        }
    }
}

fn failed(options: &PublishOptions, confirmed: u64, source: lapin::Error) -> Error {
    Error::Publish { queue: options.queue.clone(), confirmed, source }
}

/// When each message is due; none means at once. Times are counted from the start, so that a late message does not make all others late.
fn dues(start: Instant, rate_per_s: Option<f64>) -> impl Iterator<Item = Option<Instant>> {
    // A number of messages beyond 2^53 would not be exact.
    (0..).map(move |number: u64| {
        let after = Duration::try_from_secs_f64(number as f64 / rate_per_s?).ok()?;
        start.checked_add(after)
    })
}

/// Tells the messages of one run from those of any other, also of one in the same millisecond by another process.
fn run_name(clock: &Clock) -> String {
    format!("{:x}-{:x}", clock.now().0.as_microsecond(), std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_rate_spaces_messages_from_the_start() {
        let start = Instant::now();
        let due: Vec<_> = dues(start, Some(4.0)).take(3).flatten().map(|due| due - start).collect();
        assert_eq!(due, [0, 250, 500].map(Duration::from_millis));
        assert!(dues(start, None).take(3).all(|due| due.is_none()));
    }
}
