//! What of a queue is measured, and how several queues become one.

use crate::field::choice;

choice! {
    /// What is measured.
    enum Mode {
        /// Messages in the queue.
        QueueLength = "QueueLength",
        /// Messages that are published each second.
        MessageRate = "MessageRate",
        /// Messages that are delivered each second.
        DeliverGetRate = "DeliverGetRate",
        /// Publishing over delivery: above 1 the queue grows.
        PublishedToDeliveredRatio = "PublishedToDeliveredRatio",
        /// Seconds until the queue is empty, at the rates of now.
        ExpectedQueueConsumptionTime = "ExpectedQueueConsumptionTime",
    }
}

choice! {
    /// How several queues become one.
    enum Operation {
        /// All of them together.
        Sum = "sum",
        /// Their mean, whole numbers cut as KEDA does.
        Average = "avg",
        /// The largest of each count and rate.
        Maximum = "max",
    }
}

/// Which messages of a queue count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Counted {
    /// Those that wait and those that workers hold.
    All,
    /// Those that wait.
    Ready,
}
