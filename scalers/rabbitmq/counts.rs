//! What a queue's counts and rates amount to, in each mode.

use std::num::NonZeroU32;

use super::mode::{Mode, Operation};
use crate::broker::{Active, Answer, Level};

/// What a broker tells of a queue, or of several as one.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Counts {
    /// Those messages that count.
    pub messages: u64,
    pub publish_rate: f64,
    pub deliver_rate: f64,
    pub ready: Option<u64>,
    pub in_flight: Option<u64>,
    pub arrived: Option<u64>,
    pub done: Option<u64>,
}

impl Counts {
    /// Several queues as one. What waits, is held, came and went is always the sum: the operation is about the metric.
    pub(super) fn combine(queues: &[Self], operation: Operation) -> Self {
        let sum = queues.iter().copied().reduce(Self::plus).unwrap_or(Self { ready: Some(0), in_flight: Some(0), ..Self::default() });
        let count = u32::try_from(queues.len()).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN);
        match operation {
            Operation::Sum => sum,
            Operation::Average => Self {
                messages: sum.messages / u64::from(count.get()),
                publish_rate: sum.publish_rate / f64::from(count.get()),
                deliver_rate: sum.deliver_rate / f64::from(count.get()),
                ..sum
            },
            Operation::Maximum => Self {
                messages: queues.iter().map(|queue| queue.messages).max().unwrap_or(0),
                publish_rate: queues.iter().map(|queue| queue.publish_rate).fold(0.0, f64::max),
                deliver_rate: queues.iter().map(|queue| queue.deliver_rate).fold(0.0, f64::max),
                ..sum
            },
        }
    }

    fn plus(self, other: Self) -> Self {
        // A queue that nothing ever came to has no counters.
        let both = |one: Option<u64>, other: Option<u64>| one.or(other).map(|_| one.unwrap_or(0).saturating_add(other.unwrap_or(0)));
        Self {
            messages: self.messages.saturating_add(other.messages),
            publish_rate: self.publish_rate + other.publish_rate,
            deliver_rate: self.deliver_rate + other.deliver_rate,
            ready: both(self.ready, other.ready),
            in_flight: both(self.in_flight, other.in_flight),
            arrived: both(self.arrived, other.arrived),
            done: both(self.done, other.done),
        }
    }

    /// The answer in a mode.
    pub(super) fn answer(&self, mode: Mode) -> Answer {
        let messages = count_as_number(self.messages);
        let (publish, deliver) = (self.publish_rate, self.deliver_rate);
        let by_level = |number: f64| (Level::Number(number), Active::ByLevel);
        // Where work arrives or waits and nothing is delivered, the quotient does not exist, and there is work without doubt.
        let undefined = (Level::Undefined, Active::Known(true));
        let (level, active) = match mode {
            Mode::QueueLength => by_level(messages),
            Mode::MessageRate => (Level::Number(publish), Active::ByLevelOr(messages)),
            Mode::DeliverGetRate => by_level(deliver),
            Mode::PublishedToDeliveredRatio if publish <= 0.0 => by_level(0.0),
            Mode::PublishedToDeliveredRatio if deliver <= 0.0 => undefined,
            Mode::PublishedToDeliveredRatio => by_level(publish / deliver),
            Mode::ExpectedQueueConsumptionTime if self.messages == 0 => by_level(0.0),
            Mode::ExpectedQueueConsumptionTime if deliver <= 0.0 => undefined,
            Mode::ExpectedQueueConsumptionTime => by_level((publish - deliver) / deliver + messages / deliver),
        };
        Answer { level, target: None, active, ready: self.ready, in_flight: self.in_flight, arrived: self.arrived, done: self.done }
    }
}

#[expect(clippy::cast_precision_loss, reason = "beyond 2^53 messages, the last digit does not matter")]
const fn count_as_number(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use springtide_core::Timestamp;
    use springtide_core::reading::Activity;
    use springtide_core::units::MetricMilli;

    use super::*;

    fn counts(messages: u64, publish_rate: f64, deliver_rate: f64) -> Counts {
        Counts { messages, publish_rate, deliver_rate, ready: Some(messages), in_flight: Some(2), arrived: Some(9), done: None }
    }

    /// Each mode's number (in thousandths) and activity, with an activation value of 1.
    #[test]
    fn each_mode_gives_its_number() {
        use Activity::{Compare, Known};
        use Mode::{DeliverGetRate, ExpectedQueueConsumptionTime as Eta, MessageRate, PublishedToDeliveredRatio as Ratio, QueueLength};
        let cases = [
            (QueueLength, counts(4, 1.4, 0.4), 4000, Compare),
            (QueueLength, counts(0, 5.0, 5.0), 0, Compare),
            (MessageRate, counts(4, 1.4, 0.4), 1400, Known(true)),
            (MessageRate, counts(1, 0.4, 0.4), 400, Compare),
            (MessageRate, counts(0, 1.4, 0.0), 1400, Compare),
            (DeliverGetRate, counts(4, 1.4, 0.4), 400, Compare),
            (Ratio, counts(4, 1.5, 0.5), 3000, Compare),
            (Ratio, counts(4, 1.5, 0.0), 1000, Known(true)),
            (Ratio, counts(4, 0.0, 2.0), 0, Compare),
            (Ratio, counts(4, 0.0, 0.0), 0, Compare),
            (Eta, counts(0, 0.0, 0.0), 0, Compare),
            (Eta, counts(0, 0.0, 2.0), 0, Compare),
            (Eta, counts(10, 3.0, 0.0), 1000, Known(true)),
            (Eta, counts(10, 3.0, 2.0), 5500, Compare),
            (Eta, counts(4, 0.0, 2.0), 1000, Compare),
            // Draining faster than there is anything left: no negative time.
            (Eta, counts(1, 0.0, 200.0), 0, Compare),
        ];
        for (mode, counts, milli, activity) in cases {
            let sample = counts.answer(mode).sample(MetricMilli(1000), Timestamp::UNIX_EPOCH);
            assert_eq!((sample.metric, sample.activity), (MetricMilli(milli), activity), "{mode:?} of {counts:?}");
            assert_eq!((sample.ready, sample.in_flight, sample.arrived, sample.done), (Some(counts.messages), Some(2), Some(9), None));
        }
    }

    #[test]
    fn several_queues_become_one() {
        let queues = [counts(4, 1.5, 0.5), counts(3, 0.5, 2.5), counts(1, 0.0, 0.0)];
        for (operation, messages, publish_rate, deliver_rate) in
            [(Operation::Sum, 8, 2.0, 3.0), (Operation::Average, 2, 2.0 / 3.0, 1.0), (Operation::Maximum, 4, 1.5, 2.5)]
        {
            let one = Counts::combine(&queues, operation);
            assert_eq!((one.messages, one.publish_rate, one.deliver_rate), (messages, publish_rate, deliver_rate), "{operation:?}");
            assert_eq!((one.ready, one.in_flight, one.arrived, one.done), (Some(8), Some(6), Some(27), None), "{operation:?}");
        }
        for operation in [Operation::Sum, Operation::Average, Operation::Maximum] {
            assert_eq!(Counts::combine(&[], operation).messages, 0);
        }
    }
}
