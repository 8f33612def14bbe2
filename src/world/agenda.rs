//! What will happen, in order. Of what happens at one moment, what was put down first happens first.

use std::collections::BTreeMap;

use springtide_core::name::{Key, Name};
use springtide_core::nodes::workload::WorkloadKey;
use springtide_core::plan::Action;
use springtide_core::{Span, Timestamp};

/// Something that will happen.
#[derive(Debug)]
pub enum Event {
    /// The decider's turn.
    Turn,
    /// A trigger is read.
    Poll { scaled: usize },
    /// Messages come.
    Arrive { queue: usize, messages: u32 },
    /// An action that was begun is done.
    Landed(Box<Action>),
    /// The controller of a workload looks at its pods.
    Control(WorkloadKey),
    /// The scheduler looks at waiting pods.
    Schedule,
    /// A pod runs.
    Started { pod: Key },
    /// A worker has finished a message.
    Finished { pod: Key },
    /// A pod that was asked to stop has had time enough.
    Killed { pod: Key },
    /// A machine's node appears.
    Joined { claim: Name },
    /// A machine's node is ready for pods.
    Ready { claim: Name },
    /// The cheapest offerings are sold out.
    StockOut { number: usize },
    /// The cloud wants machines back.
    Interruption { number: usize },
    /// The cloud takes a machine away.
    TakenAway { claim: Name },
    /// A point of the course is taken down.
    Sample,
}

/// All that will happen.
#[derive(Debug, Default)]
pub struct Agenda {
    entries: BTreeMap<(Timestamp, u64), Event>,
    serial: u64,
}

impl Agenda {
    /// Puts something down for a moment.
    pub fn add(&mut self, at: Timestamp, event: Event) {
        self.serial += 1;
        self.entries.insert((at, self.serial), event);
    }

    /// When the next thing happens.
    #[must_use]
    pub fn next(&self) -> Option<Timestamp> {
        self.entries.keys().next().map(|(at, _)| *at)
    }

    /// The next thing that happens until then.
    pub fn take(&mut self, until: Timestamp) -> Option<(Timestamp, Event)> {
        self.next().filter(|at| *at <= until)?;
        self.entries.pop_first().map(|((at, _), event)| (at, event))
    }
}

/// A moment later than another.
#[must_use]
pub fn later(at: Timestamp, span: Span) -> Timestamp {
    at.checked_add(span).unwrap_or(at)
}
