//! What happened to a worker and to its message.

use serde::{Deserialize, Serialize};

use crate::moment::Moment;

/// One thing that happened. As JSON, one line: `{"time":"...","pod":"ns/name","event":"took","message":"...","redelivered":false}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When.
    pub time: Moment,
    /// For which pod, as `namespace/name`; a worker without a cluster has a name of its own.
    pub pod: String,
    /// What.
    #[serde(flatten)]
    pub happening: Happening,
}

/// The kinds of events. `message` is the message's AMQP message-id, where its publisher set one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Happening {
    /// The pod was seen running, so work for it begins.
    Started,
    /// Its consumer is there. After an outage this happens again.
    Consuming,
    /// A message was taken, and its service time began.
    Took {
        /// Which.
        message: Option<String>,
        /// Whether the broker says that it was delivered before.
        redelivered: bool,
    },
    /// The service time had passed, the message was acknowledged, and the broker answered something that it was asked after it.
    Acked {
        /// Which.
        message: Option<String>,
    },
    /// The service time had passed and an acknowledgement was sent, but the channel ended before the broker had answered.
    /// If the acknowledgement was lost, the message comes back.
    Unsure {
        /// Which.
        message: Option<String>,
    },
    /// The channel ended while a message was held: the broker gives it to another worker.
    Lost {
        /// Which.
        message: Option<String>,
    },
    /// Work for the pod ended.
    Stopped {
        /// Why.
        cause: Cause,
        /// What became of its work.
        left: Left,
        /// The message that was held when it had to stop.
        message: Option<String>,
    },
}

/// Why work for a pod ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// It has a deletionTimestamp.
    Terminating,
    /// It is not there any more, and was not seen terminating.
    Vanished,
    /// It is there, and does not run any more.
    NotRunning,
    /// The program that works for the pods ends; the pod itself goes on.
    Exit,
}

/// What became of the work of a worker that stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Left {
    /// It held no message.
    Idle,
    /// It held a message and finished it within its grace period.
    Finished,
    /// It held a message and gave it back unfinished.
    GivenBack,
}
