//! One worker: take a message, hold it for the service time, acknowledge it, take the next, until told to stop.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{debug, warn};

use crate::broker::{Broker, Delivery, Settled, Subscription};
use crate::event::{Cause, Happening, Left};
use crate::tally::Tally;

/// The first pause after a failed attempt to consume; it doubles up to `RETRY_MAX`.
const RETRY_MIN: Duration = Duration::from_millis(100);
/// The longest pause: an outage's end is noticed within it.
const RETRY_MAX: Duration = Duration::from_secs(2);

/// What a worker is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Go on.
    Work,
    /// Take no more; a message that is held may be finished until then, and is given back after it.
    Stop { cause: Cause, until: Instant },
}

/// One worker.
pub(crate) struct Worker {
    /// Whose work it does.
    pub pod: String,
    pub broker: Arc<dyn Broker>,
    pub service_time: Duration,
    pub orders: watch::Receiver<Order>,
    pub tally: Tally,
}

/// How a time with one consumer ended.
enum Ended {
    /// The consumer is gone; a new one is needed.
    Disconnected,
    Stopped(Left, Option<String>),
}

/// What became of one message.
enum Held {
    /// The service time passed. `Finished` if told to stop meanwhile, otherwise `Idle`: it holds nothing any more.
    Settled(Settled, Left),
    /// The consumer ended meanwhile.
    Lost,
    GivenBack,
}

impl Worker {
    /// Works until told to stop.
    pub(crate) async fn run(mut self) {
        self.add(Happening::Started);
        loop {
            let Some(mut subscription) = self.subscribe().await else {
                self.stopped(Left::Idle, None);
                return;
            };
            self.add(Happening::Consuming);
            let ended = self.consume(subscription.as_mut()).await;
            if let Ended::Stopped(left, message) = ended {
                // Said before the channel is closed, because the message went back already.
                self.stopped(left, message);
                subscription.close().await;
                return;
            }
            subscription.close().await;
        }
    }

    /// A consumer, or none if told to stop before there was one.
    async fn subscribe(&mut self) -> Option<Box<dyn Subscription>> {
        let mut pause = RETRY_MIN;
        loop {
            if self.stop().is_some() {
                return None;
            }
            let attempt = async {
                match self.broker.subscribe(&self.pod).await {
                    Ok(subscription) => Some(subscription),
                    Err(error) => {
                        if pause == RETRY_MIN {
                            warn!(pod = self.pod, error = &error as &dyn std::error::Error, "cannot consume; trying on");
                        }
                        sleep(pause).await;
                        None
                    }
                }
            };
            tokio::select! {
                biased;
                () = ordered(&mut self.orders) => {}
                subscription = attempt => match subscription {
                    Some(subscription) => return Some(subscription),
                    None => pause = (pause * 2).min(RETRY_MAX),
                },
            }
        }
    }

    /// Takes one message after the other.
    async fn consume(&mut self, subscription: &mut dyn Subscription) -> Ended {
        loop {
            if self.stop().is_some() {
                return Ended::Stopped(Left::Idle, None);
            }
            let next = tokio::select! {
                biased;
                () = ordered(&mut self.orders) => continue,
                next = subscription.next() => next,
            };
            let Delivery { message, redelivered } = match next {
                Ok(delivery) => delivery,
                Err(error) => {
                    debug!(pod = self.pod, error = &error as &dyn std::error::Error, "consumer ended");
                    return Ended::Disconnected;
                }
            };
            self.add(Happening::Took { message: message.clone(), redelivered });
            match self.hold(subscription).await {
                Held::Settled(Settled::Done, left) => {
                    self.add(Happening::Acked { message: message.clone() });
                    if left == Left::Finished {
                        return Ended::Stopped(left, message);
                    }
                }
                Held::Settled(Settled::Unsure, _) => {
                    self.add(Happening::Unsure { message });
                    return Ended::Disconnected;
                }
                Held::Settled(Settled::Lost, _) | Held::Lost => {
                    self.add(Happening::Lost { message });
                    return Ended::Disconnected;
                }
                Held::GivenBack => return Ended::Stopped(Left::GivenBack, message),
            }
        }
    }

    /// Holds a message for the service time and acknowledges it, or gives it back when there is no time left.
    async fn hold(&mut self, subscription: &mut dyn Subscription) -> Held {
        let due = Instant::now() + self.service_time;
        let mut taking = true;
        loop {
            let until = self.stop().map(|(_, until)| until);
            if let Some(until) = until {
                let now = Instant::now();
                if until <= now && now < due {
                    subscription.give_back().await;
                    return Held::GivenBack;
                }
                if taking {
                    // Otherwise the broker would deliver the next message as soon as this one is acknowledged.
                    subscription.stop_taking().await;
                    taking = false;
                }
            }
            tokio::select! {
                biased;
                () = ordered(&mut self.orders) => {}
                () = sleep_until(due) => {
                    let left = if taking { Left::Idle } else { Left::Finished };
                    return Held::Settled(subscription.acknowledge().await, left);
                }
                () = sleep_until(until.unwrap_or(due)) => {}
                _ = subscription.next(), if taking => return Held::Lost,
            }
        }
    }

    /// Why and until when, if told to stop.
    fn stop(&mut self) -> Option<(Cause, Instant)> {
        match *self.orders.borrow_and_update() {
            Order::Work => None,
            Order::Stop { cause, until } => Some((cause, until)),
        }
    }

    fn stopped(&mut self, left: Left, message: Option<String>) {
        let cause = self.stop().map_or(Cause::Exit, |(cause, _)| cause);
        self.add(Happening::Stopped { cause, left, message });
    }

    fn add(&self, happening: Happening) {
        self.tally.add(&self.pod, happening);
    }
}

/// Waits for another order. Where nobody can give one any more, it never comes.
async fn ordered(orders: &mut watch::Receiver<Order>) {
    if orders.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}
