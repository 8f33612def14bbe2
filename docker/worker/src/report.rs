//! The sum of all events.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::event::{Cause, Event, Happening, Left};
use crate::moment::Moment;

/// What became of pods and messages so far. It is a fold over events, so one made from an event stream with [`Report::of`] equals the fleet's own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Pods that work was begun for.
    pub pods_started: u64,
    /// Pods worked for at this moment.
    pub pods_working: u64,
    /// The most pods worked for at one time.
    pub pods_working_peak: u64,
    /// Deliveries taken.
    pub taken: u64,
    /// Deliveries taken that the broker had delivered before.
    pub redelivered: u64,
    /// Messages that a worker holds at this moment.
    pub held: u64,
    /// The most messages held at one time.
    pub held_peak: u64,
    /// Messages acknowledged after their service time, each counted once. A message without a name counts with each acknowledgement.
    pub done: u64,
    /// Acknowledgements of messages that were done before: a broker that is killed may forget one that it had answered for.
    pub done_again: u64,
    /// Messages whose acknowledgement was sent and may have arrived or not, less those that came back.
    pub unsure: u64,
    /// Messages whose channel ended while they were held.
    pub lost: u64,
    /// Pods that stopped while they held a message, which was given back.
    pub busy_stopped: u64,
    /// Pods that stopped without a message.
    pub idle_stopped: u64,
    /// Pods that stopped while they held a message, and finished it.
    pub finished_stopped: u64,
    /// Messages given back because this program ended.
    pub given_back_at_exit: u64,
    /// When the first pod was started.
    pub first_started: Option<Moment>,
    /// When the first message was taken.
    pub first_taken: Option<Moment>,
    /// When the first message was acknowledged.
    pub first_acked: Option<Moment>,
    /// When the last of the messages that are done was acknowledged.
    pub last_acked: Option<Moment>,
}

impl Report {
    /// The sum of these events, in their order.
    pub fn of<'a>(events: impl IntoIterator<Item = &'a Event>) -> Self {
        let mut ledger = Ledger::default();
        events.into_iter().for_each(|event| ledger.apply(event));
        ledger.report
    }

    fn put_down(&mut self) {
        self.held = self.held.saturating_sub(1);
    }

    fn stop(&mut self, cause: Cause, left: Left) {
        self.pods_working = self.pods_working.saturating_sub(1);
        if left == Left::GivenBack {
            self.put_down();
        }
        match (cause, left) {
            (Cause::Exit, Left::GivenBack) => self.given_back_at_exit += 1,
            // The pod itself goes on.
            (Cause::Exit, Left::Idle | Left::Finished) => {}
            (_, Left::Idle) => self.idle_stopped += 1,
            (_, Left::Finished) => self.finished_stopped += 1,
            (_, Left::GivenBack) => self.busy_stopped += 1,
        }
    }
}

/// A report and what is needed to go on with it: the names of messages, so that each is counted once.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub report: Report,
    done: HashSet<String>,
    unsure: HashSet<String>,
}

impl Ledger {
    /// Counts an event.
    pub(crate) fn apply(&mut self, event: &Event) {
        let report = &mut self.report;
        match &event.happening {
            Happening::Started => {
                report.pods_started += 1;
                report.pods_working += 1;
                report.pods_working_peak = report.pods_working_peak.max(report.pods_working);
                report.first_started.get_or_insert(event.time);
            }
            Happening::Consuming => {}
            Happening::Took { message, redelivered } => self.take(event.time, message.as_deref(), *redelivered),
            Happening::Acked { message } => {
                report.put_down();
                self.finish(event.time, message.as_deref());
            }
            Happening::Unsure { message } => {
                report.put_down();
                // One that was done before is not in doubt.
                if message.as_ref().is_none_or(|message| !self.done.contains(message) && self.unsure.insert(message.clone())) {
                    report.unsure += 1;
                }
            }
            Happening::Lost { .. } => {
                report.lost += 1;
                report.put_down();
            }
            Happening::Stopped { cause, left, .. } => report.stop(*cause, *left),
        }
    }

    fn take(&mut self, time: Moment, message: Option<&str>, redelivered: bool) {
        let report = &mut self.report;
        report.taken += 1;
        report.redelivered += u64::from(redelivered);
        report.held += 1;
        report.held_peak = report.held_peak.max(report.held);
        report.first_taken.get_or_insert(time);
        // It is back, so its acknowledgement did not arrive.
        if message.is_some_and(|message| self.unsure.remove(message)) {
            report.unsure -= 1;
        }
    }

    fn finish(&mut self, time: Moment, message: Option<&str>) {
        let report = &mut self.report;
        if message.is_some_and(|message| !self.done.insert(message.to_owned())) {
            report.done_again += 1;
            return;
        }
        report.done += 1;
        report.first_acked.get_or_insert(time);
        report.last_acked = Some(time);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(ledger: &mut Ledger, second: i64, happening: Happening) {
        let time = Moment(jiff::Timestamp::from_second(second).unwrap());
        let event = Event { time, pod: "ns/a".into(), happening };
        let line = serde_json::to_string(&event).unwrap();
        assert_eq!(serde_json::from_str::<Event>(&line).unwrap(), event, "{line}");
        ledger.apply(&event);
    }

    #[test]
    fn a_message_whose_acknowledgement_was_lost_is_counted_once() {
        let message = Some("m-1".to_owned());
        let mut ledger = Ledger::default();
        after(&mut ledger, 0, Happening::Started);
        after(&mut ledger, 1, Happening::Took { message: message.clone(), redelivered: false });
        after(&mut ledger, 2, Happening::Unsure { message: message.clone() });
        assert_eq!((ledger.report.done, ledger.report.unsure, ledger.report.held), (0, 1, 0));
        after(&mut ledger, 3, Happening::Took { message: message.clone(), redelivered: true });
        after(&mut ledger, 4, Happening::Acked { message: message.clone() });
        let once = ledger.report.clone();
        assert_eq!((once.done, once.done_again, once.unsure, once.taken, once.redelivered), (1, 0, 0, 2, 1));
        assert_eq!(once.first_acked, once.last_acked);
        // The broker answered for it, was killed, and forgot.
        after(&mut ledger, 5, Happening::Took { message: message.clone(), redelivered: true });
        after(&mut ledger, 6, Happening::Acked { message });
        let again = ledger.report;
        assert_eq!((again.done, again.done_again, again.last_acked), (1, 1, once.last_acked));
    }

    #[test]
    fn stops_are_told_apart() {
        let mut ledger = Ledger::default();
        let stops = [
            (Cause::Terminating, Left::Idle),
            (Cause::Terminating, Left::GivenBack),
            (Cause::Vanished, Left::GivenBack),
            (Cause::Terminating, Left::Finished),
            (Cause::Exit, Left::GivenBack),
            (Cause::Exit, Left::Idle),
        ];
        for (cause, left) in stops {
            after(&mut ledger, 0, Happening::Started);
            after(&mut ledger, 0, Happening::Took { message: None, redelivered: false });
            if left != Left::GivenBack {
                after(&mut ledger, 0, Happening::Acked { message: None });
            }
            after(&mut ledger, 0, Happening::Stopped { cause, left, message: None });
        }
        let report = ledger.report;
        assert_eq!((report.idle_stopped, report.busy_stopped, report.finished_stopped, report.given_back_at_exit), (1, 2, 1, 1));
        assert_eq!((report.pods_started, report.pods_working, report.pods_working_peak, report.held), (6, 0, 1, 0));
    }
}
