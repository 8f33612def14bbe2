//! What can go wrong between this crate and a broker.

/// An operation that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A broker's URL is none. The URL is not repeated, because it may hold a password.
    #[error(
        "the broker's URL is not understood; write amqp://USER:PASSWORD@HOST:PORT/VHOST, with / in a virtual host's name written as %2f"
    )]
    BrokerUrl,
    /// A Deployment's name is none.
    #[error("{given:?} names no Deployment; write NAMESPACE/NAME")]
    DeploymentName {
        /// What was given.
        given: String,
    },
    /// No connection to the broker came about.
    #[error("cannot connect to {broker}; check that it runs, and the user, password and virtual host")]
    Connect {
        /// The broker's address, without its login.
        broker: String,
        /// The client's own error.
        source: lapin::Error,
    },
    /// The broker did not answer in time.
    #[error("{broker} did not answer within {seconds} s; check the address, and that the broker runs")]
    ConnectInTime {
        /// The broker's address, without its login.
        broker: String,
        /// How long it was waited for.
        seconds: u64,
    },
    /// A queue could not be consumed from.
    #[error("cannot consume from queue {queue:?}; check that it exists, or declare it with `publish --declare`")]
    Subscribe {
        /// The queue.
        queue: String,
        /// The client's own error.
        source: lapin::Error,
    },
    /// A consumer that had worked ended.
    #[error("consuming from queue {queue:?} ended")]
    Consume {
        /// The queue.
        queue: String,
        /// The client's own error; none when the broker cancelled the consumer, as it does when the queue is deleted.
        source: Option<lapin::Error>,
    },
    /// A queue could not be declared.
    #[error("cannot declare queue {queue:?}; a queue of that name with other properties has to be deleted first")]
    Declare {
        /// The queue.
        queue: String,
        /// The client's own error.
        source: lapin::Error,
    },
    /// Publishing stopped before its end.
    #[error("publishing to queue {queue:?} failed after {confirmed} confirmed messages; more may have arrived")]
    Publish {
        /// The queue.
        queue: String,
        /// How many messages the broker had confirmed.
        confirmed: u64,
        /// The client's own error.
        source: lapin::Error,
    },
    /// The broker sent a message back, because there is no such queue.
    #[error("there is no queue {queue:?}; declare it first, or with --declare")]
    Unroutable {
        /// The queue.
        queue: String,
    },
    /// The broker refused a message, as a full queue does that is told to.
    #[error("the broker refused messages for queue {queue:?} after {confirmed} confirmed ones; look at the queue's length limit")]
    Refused {
        /// The queue.
        queue: String,
        /// How many messages the broker had confirmed.
        confirmed: u64,
    },
}
