//! Asks brokers, on time. Each trigger is read at once and then with its own fixed period; triggers of one broker share one connection and, where they are
//! due together, one request. Each connection lives in its own task, so a slow broker delays nobody else.
//!
//! Every poll that falls due is answered exactly once, with a value or with why there is none.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use springtide_core::Timestamp;
use springtide_core::reading::Reading;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};

use crate::broker::Endpoint;
use crate::cluster::ClusterView;
use crate::kind::Trigger;
use crate::link::{Command, Link, Subscription};
use crate::pace::Pace;

/// The shortest period; anything shorter would be a busy loop.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(10);

/// A trigger's identity, chosen by the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TriggerId(pub u64);

/// The outcome of one poll of one trigger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Polled {
    /// Whose.
    pub id: TriggerId,
    /// What is known now.
    pub reading: Reading,
    /// How often it is read at present.
    pub period: Duration,
}

/// What all polls have in common.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long an opening or a read may take where the trigger does not say.
    pub timeout: Duration,
    /// Where the jitter of the back-off comes from.
    pub seed: u64,
    /// The clock that samples are stamped with.
    pub now: fn() -> Timestamp,
    /// What scalers that ask the cluster ask; without it, they fail.
    pub cluster: Option<Arc<dyn ClusterView>>,
}

impl Default for Options {
    fn default() -> Self {
        // KEDA's global timeout of an HTTP request.
        Self { timeout: Duration::from_secs(3), seed: 0, now: wall_clock, cluster: None }
    }
}

fn wall_clock() -> Timestamp {
    // A clock outside of the years that a timestamp can hold is a broken one; the epoch then says so.
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_micros()).ok().and_then(|micros| Timestamp::from_microsecond(micros).ok()).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// Polls triggers and sends what it reads to one channel. Dropping it closes all connections.
#[derive(Debug)]
pub struct Poller {
    table: Mutex<Table>,
    paused: watch::Sender<bool>,
    out: mpsc::Sender<Polled>,
    options: Options,
    runtime: Handle,
}

#[derive(Debug, Default)]
struct Table {
    triggers: HashMap<TriggerId, (Trigger, Pace)>,
    links: HashMap<Endpoint, LinkHandle>,
    /// Counts subscriptions, so that the answer to an old one is not taken for an answer to its successor.
    generation: u64,
    /// Counts connections, each of which has its own stream of chance.
    opened: u64,
}

#[derive(Debug)]
struct LinkHandle {
    commands: mpsc::UnboundedSender<Command>,
    users: usize,
}

impl Poller {
    /// A poller that sends to `tx`, with the default options.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn new(tx: mpsc::Sender<Polled>) -> Self {
        Self::with_options(tx, Options::default())
    }

    /// A poller that sends to `tx`.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn with_options(tx: mpsc::Sender<Polled>, options: Options) -> Self {
        Self { table: Mutex::default(), paused: watch::Sender::new(false), out: tx, options, runtime: Handle::current() }
    }

    /// Polls a trigger, at once and then at this pace. What is polled already and unchanged stays as it is; if only its target, activation value or
    /// pace changed, its last sample stays known.
    pub fn set(&self, id: TriggerId, trigger: Trigger, pace: impl Into<Pace>) {
        let pace = pace.into().at_least(SHORTEST_INTERVAL);
        let mut table = self.lock();
        let known = table.triggers.get(&id);
        if known.is_some_and(|(old, known)| *old == trigger && *known == pace) {
            return;
        }
        let same_question = known.is_some_and(|(old, _)| old.connection == trigger.connection && old.query == trigger.query);
        if !same_question {
            table.forget(id);
        }
        let generation = table.generation;
        table.generation += 1;
        let subscription = Subscription { generation, query: trigger.query.clone(), activation: trigger.activation, pace };
        let (endpoint, opened) = (trigger.connection.clone(), table.opened);
        let fresh = !table.links.contains_key(&endpoint);
        table.opened += u64::from(fresh);
        let link = table.links.entry(endpoint).or_insert_with_key(|endpoint| self.start(endpoint.clone(), opened));
        link.users += usize::from(!same_question);
        // A task that has ended has done so because nobody listens to `out` any more.
        let _ = link.commands.send(Command::Set(id, subscription));
        table.triggers.insert(id, (trigger, pace));
    }

    /// Stops polling a trigger. Nothing is read for it after this; an answer that was on its way may still arrive.
    pub fn remove(&self, id: TriggerId) {
        self.lock().forget(id);
    }

    /// Reads a trigger at once. Its period is not moved by it.
    pub fn wake(&self, id: TriggerId) {
        let table = self.lock();
        if let Some(link) = table.triggers.get(&id).and_then(|(trigger, _)| table.links.get(&trigger.connection)) {
            let _ = link.commands.send(Command::Wake(id));
        }
    }

    /// Stops all polling and closes all connections, as a standby must. Triggers can be set and removed meanwhile.
    pub fn pause_all(&self) {
        self.paused.send_replace(true);
    }

    /// Starts again, as if every trigger had just been set.
    pub fn resume_all(&self) {
        self.paused.send_replace(false);
    }

    fn start(&self, endpoint: Endpoint, nth: u64) -> LinkHandle {
        let (commands, inbox) = mpsc::unbounded_channel();
        let options = Options { seed: self.options.seed ^ nth.wrapping_mul(0x9E37_79B9_7F4A_7C15), ..self.options.clone() };
        self.runtime.spawn(Link::new(endpoint, options, inbox, self.paused.subscribe(), self.out.clone()).run());
        LinkHandle { commands, users: 0 }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // Nothing that holds the lock leaves the table half changed.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Takes a trigger out, and its connection with the last of its users.
    fn forget(&mut self, id: TriggerId) {
        let Some((trigger, _)) = self.triggers.remove(&id) else { return };
        if let Some(link) = self.links.get_mut(&trigger.connection) {
            let _ = link.commands.send(Command::Remove(id));
            link.users -= 1;
            if link.users == 0 {
                self.links.remove(&trigger.connection);
            }
        }
    }
}
