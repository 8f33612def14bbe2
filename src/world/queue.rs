//! A queue: messages wait, are held by workers, are finished or given back.

use std::collections::{BTreeSet, VecDeque};

use springtide_core::name::Key;
use springtide_core::reading::{Activity, Reading, Sample};
use springtide_core::units::MetricMilli;
use springtide_core::{Span, Timestamp};

/// "Lately", where a rate is told.
const LATELY: Span = Span::from_secs(10);

/// A message.
#[derive(Debug, Clone, Copy)]
pub struct Message {
    /// When it came.
    pub arrived: Timestamp,
    /// How long a worker takes for it.
    pub service: Span,
}

/// A queue.
#[derive(Debug, Default)]
pub struct Queue {
    /// Its name.
    pub name: String,
    waiting: VecDeque<Message>,
    /// Messages that workers hold.
    pub in_flight: u64,
    /// Messages that ever came.
    pub arrived: u64,
    /// Messages that were ever finished.
    pub done: u64,
    /// Messages that were given back.
    pub redelivered: u64,
    /// Workers that wait for a message.
    pub idle: BTreeSet<Key>,
    waits: Vec<Span>,
    lately: VecDeque<Timestamp>,
}

impl Queue {
    /// An empty queue.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// A message comes.
    pub fn put(&mut self, message: Message) {
        self.arrived += 1;
        self.waiting.push_back(message);
    }

    /// A worker takes the oldest.
    pub fn take(&mut self) -> Option<Message> {
        let message = self.waiting.pop_front()?;
        self.in_flight += 1;
        Some(message)
    }

    /// A worker has finished one, after it had waited so long.
    pub fn finish(&mut self, now: Timestamp, waited: Span) {
        self.in_flight -= 1;
        self.done += 1;
        self.waits.push(waited);
        self.lately.push_back(now);
        while self.lately.front().is_some_and(|at| now.duration_since(*at) > LATELY) {
            self.lately.pop_front();
        }
    }

    /// A worker gives one back unfinished; it is the next to be taken.
    pub fn give_back(&mut self, message: Message) {
        self.in_flight -= 1;
        self.redelivered += 1;
        self.waiting.push_front(message);
    }

    /// Messages that wait.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.waiting.len() as u64
    }

    /// What the broker tells whoever asks.
    #[must_use]
    pub fn reading(&self, now: Timestamp) -> Reading {
        Reading::Value(Sample {
            target: None,
            metric: MetricMilli::from_count(self.waiting() + self.in_flight),
            activity: Activity::Compare,
            ready: Some(self.waiting()),
            in_flight: Some(self.in_flight),
            arrived: Some(self.arrived),
            done: Some(self.done),
            as_of: now,
        })
    }

    /// Messages finished per second, lately.
    #[must_use]
    pub fn rate(&self, now: Timestamp) -> f64 {
        let count = self.lately.iter().filter(|at| now.duration_since(**at) <= LATELY).count();
        f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / LATELY.as_secs_f64()
    }

    /// How long the oldest has waited.
    #[must_use]
    pub fn oldest(&self, now: Timestamp) -> Option<Span> {
        self.waiting.front().map(|message| now.duration_since(message.arrived))
    }

    /// So many of a hundred finished messages had waited no longer than this.
    #[must_use]
    pub fn waited(&self, percent: usize) -> Option<Span> {
        let mut waits = self.waits.clone();
        let at = (waits.len() * percent).div_ceil(100).checked_sub(1)?;
        Some(*waits.select_nth_unstable(at).1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost_between_taking_finishing_and_giving_back() {
        let mut queue = Queue::new("invoices");
        let now = Timestamp::UNIX_EPOCH;
        for second in 0..3 {
            queue.put(Message { arrived: now, service: Span::from_secs(second) });
        }
        let first = queue.take().expect("three wait");
        let second = queue.take().expect("two wait");
        queue.give_back(first);
        assert_eq!((queue.waiting(), queue.in_flight, queue.redelivered), (2, 1, 1));
        assert_eq!(queue.take().expect("it was given back").service, first.service);
        queue.finish(now, second.service);
        assert_eq!(queue.waiting() + queue.in_flight + queue.done, queue.arrived);
        assert_eq!(queue.waited(50), Some(Span::from_secs(1)));
        assert_eq!(Queue::default().waited(99), None);
    }
}
