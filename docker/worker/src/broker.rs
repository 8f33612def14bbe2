//! What a worker needs of a broker.

use async_trait::async_trait;

use crate::error::Error;

/// A queue that workers consume from. It is shared by all of them.
#[async_trait]
pub trait Broker: Send + Sync + 'static {
    /// Begins to consume, at most one message at a time. `worker` names the consumer to people who look at the broker.
    /// Each call makes a consumer of its own; an error may be tried again.
    async fn subscribe(&self, worker: &str) -> Result<Box<dyn Subscription>, Error>;
}

/// One worker's consumer. Whatever it holds goes back to the queue when it is closed or its connection ends.
#[async_trait]
pub trait Subscription: Send {
    /// The next message. While a message is held there is none, so an answer then is an error, and says that the consumer has ended.
    /// A call that is dropped before it answers loses no message.
    async fn next(&mut self) -> Result<Delivery, Error>;

    /// Takes no more messages; the one that is held stays held. After it, `next` is not asked again.
    async fn stop_taking(&mut self);

    /// Acknowledges the message that is held.
    async fn acknowledge(&mut self) -> Settled;

    /// Gives the message that is held back to the queue, at once, and takes no more.
    async fn give_back(&mut self);

    /// Ends the consumer. What was delivered and not acknowledged goes back.
    async fn close(&mut self);
}

/// A message that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The message's own name, where its publisher gave one.
    pub message: Option<String>,
    /// Whether the broker says that it was delivered before.
    pub redelivered: bool,
}

/// What became of an acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// The broker has it.
    Done,
    /// It was not sent, because the channel had ended: the message comes again.
    Lost,
    /// It was sent, and the channel ended before the broker had answered.
    Unsure,
}
