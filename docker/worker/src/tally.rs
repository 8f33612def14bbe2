//! Where events are counted and handed on.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{mpsc, watch};

use crate::event::{Event, Happening};
use crate::moment::Clock;
use crate::report::{Ledger, Report};

/// Shared by all workers of a run.
#[derive(Clone, Debug)]
pub(crate) struct Tally(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    clock: Clock,
    report: watch::Sender<Report>,
    books: Mutex<Books>,
}

/// What is changed by an event, together.
#[derive(Debug)]
struct Books {
    ledger: Ledger,
    listeners: Vec<mpsc::UnboundedSender<Event>>,
}

impl Tally {
    pub(crate) fn new(listeners: Vec<mpsc::UnboundedSender<Event>>) -> Self {
        let report = watch::Sender::new(Report::default());
        let books = Mutex::new(Books { ledger: Ledger::default(), listeners });
        Self(Arc::new(Inner { clock: Clock::start(), report, books }))
    }

    /// Counts what happens now, then tells it to those who listen. All see the same order.
    pub(crate) fn add(&self, pod: &str, happening: Happening) {
        let mut books = self.books();
        let event = Event { time: self.0.clock.now(), pod: pod.to_owned(), happening };
        books.ledger.apply(&event);
        self.0.report.send_replace(books.ledger.report.clone());
        books.listeners.retain(|listener| listener.send(event.clone()).is_ok());
    }

    pub(crate) fn listen(&self) -> mpsc::UnboundedReceiver<Event> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.books().listeners.push(sender);
        receiver
    }

    pub(crate) fn report(&self) -> Report {
        self.0.report.borrow().clone()
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        // Counting does not panic half-way.
        self.0.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn changes(&self) -> watch::Receiver<Report> {
        self.0.report.subscribe()
    }
}
