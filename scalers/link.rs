//! One connection to one broker, and the triggers that read through it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use springtide_core::Timestamp;
use springtide_core::reading::{Reading, Sample};
use springtide_core::units::MetricMilli;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};

use crate::backoff::Backoff;
use crate::broker::{Answer, Endpoint, Moment, Open, Query};
use crate::cluster::ClusterView;
use crate::error::Error;
use crate::listen::{Ears, QUICKEST};
use crate::pace::{Pace, Stride};
use crate::poller::{Options, Polled, TriggerId};

/// What the poller tells a connection's task. That the channel closes means that nobody reads through it any more.
#[derive(Debug)]
pub(crate) enum Command {
    /// Poll this from now on; if the trigger is known, with its last sample kept.
    Set(TriggerId, Subscription),
    /// Poll it no more.
    Remove(TriggerId),
    /// Poll it at once.
    Wake(TriggerId),
}

/// What a trigger wants to know, and how often.
#[derive(Debug)]
pub(crate) struct Subscription {
    pub generation: u64,
    pub query: Query,
    pub activation: MetricMilli,
    pub pace: Pace,
}

/// One trigger.
struct Slot {
    subscription: Subscription,
    stride: Stride,
    due: Instant,
    /// When it was asked for last.
    asked: Option<Instant>,
    last: Option<Sample>,
    /// Polls in a row that failed.
    failures: u32,
    /// Whether the connection failed it, so that it is tried again before it is due.
    retry: bool,
}

/// The task of one connection.
pub(crate) struct Link {
    endpoint: Endpoint,
    options: Options,
    commands: mpsc::UnboundedReceiver<Command>,
    paused: watch::Receiver<bool>,
    out: mpsc::Sender<Polled>,
    slots: BTreeMap<TriggerId, Slot>,
    connection: Option<Box<dyn Open>>,
    backoff: Backoff,
    ears: Ears,
    /// Why the connection failed last.
    trouble: String,
    /// All periods are counted from here, so that triggers of one period fall due together, whenever they were set.
    epoch: Instant,
}

/// One trigger's part in a read.
struct Asked {
    id: TriggerId,
    generation: u64,
    query: Query,
    /// Whether it was due: only then does a failure count and show.
    due: bool,
}

/// A read that has ended.
struct Finished {
    connection: Option<Box<dyn Open>>,
    asked: Vec<Asked>,
    as_of: Timestamp,
    outcome: Outcome,
}

enum Outcome {
    Answered(HashMap<Query, Result<Answer, Error>>),
    Failed(Error),
    /// The breaker was open for this long.
    NotAsked(Duration),
}

impl Link {
    pub(crate) fn new(
        endpoint: Endpoint,
        options: Options,
        commands: mpsc::UnboundedReceiver<Command>,
        paused: watch::Receiver<bool>,
        out: mpsc::Sender<Polled>,
    ) -> Self {
        let backoff = Backoff::new(options.seed);
        let ears = Ears::new(!options.seed);
        Self {
            endpoint,
            options,
            commands,
            paused,
            out,
            slots: BTreeMap::new(),
            connection: None,
            backoff,
            ears,
            trouble: String::new(),
            epoch: Instant::now(),
        }
    }

    /// Polls until nobody wants it any more, then closes the connection.
    pub(crate) async fn run(mut self) {
        let mut reading: FuturesUnordered<BoxFuture<'static, Finished>> = FuturesUnordered::new();
        'polling: loop {
            let paused = *self.paused.borrow_and_update();
            if paused {
                self.rest(&mut reading).await;
            }
            if !paused {
                self.ears.prick(&self.endpoint);
            }
            let due = if paused || !reading.is_empty() { None } else { self.next_due() };
            tokio::select! {
                biased;
                command = self.commands.recv() => match command {
                    Some(command) => self.apply(command),
                    None => break 'polling,
                },
                changed = self.paused.changed() => if changed.is_err() { break 'polling },
                Some(finished) = reading.next() => {
                    for polled in self.finish(finished) {
                        if self.out.send(polled).await.is_err() {
                            break 'polling;
                        }
                    }
                }
                Some(query) = self.ears.hear() => self.heard(&query),
                () = sleep_until(due.unwrap_or(self.epoch)), if due.is_some() => reading.push(self.start()),
            }
        }
        self.rest(&mut reading).await;
    }

    /// Lets a running read end, forgets what was read, and takes leave of the broker.
    async fn rest(&mut self, reading: &mut FuturesUnordered<BoxFuture<'static, Finished>>) {
        while let Some(finished) = reading.next().await {
            self.connection = finished.connection;
        }
        let now = Instant::now();
        for slot in self.slots.values_mut() {
            (slot.due, slot.last, slot.failures, slot.retry) = (now, None, 0, false);
        }
        self.backoff.succeed();
        self.ears.rest();
        if let Some(connection) = self.connection.take() {
            // Whether the broker heard it makes no difference to us.
            let _ = timeout(self.patience(), connection.close()).await;
            tracing::debug!(broker = %self.endpoint.address(), "connection closed");
        }
    }

    fn apply(&mut self, command: Command) {
        match command {
            Command::Set(id, subscription) => {
                let due = Instant::now();
                self.ears.add(&subscription.query);
                match self.slots.get_mut(&id) {
                    Some(slot) => {
                        self.ears.remove(&slot.subscription.query);
                        slot.stride.change(subscription.pace);
                        (slot.subscription, slot.due) = (subscription, due);
                    }
                    None => {
                        let stride = Stride::new(subscription.pace);
                        self.slots.insert(id, Slot { subscription, stride, due, asked: None, last: None, failures: 0, retry: false });
                    }
                }
            }
            Command::Remove(id) => {
                if let Some(slot) = self.slots.remove(&id) {
                    self.ears.remove(&slot.subscription.query);
                }
            }
            Command::Wake(id) => {
                if let Some(slot) = self.slots.get_mut(&id) {
                    slot.due = Instant::now();
                }
            }
        }
    }

    /// Takes in that the broker tells of a change.
    fn heard(&mut self, query: &Query) {
        let now = Instant::now();
        for slot in self.slots.values_mut().filter(|slot| slot.subscription.query == *query) {
            let soon = slot.asked.map_or(now, |asked| now.max(asked + QUICKEST));
            slot.due = slot.due.min(soon);
        }
    }

    /// How many requests one read of all triggers without a period of their own costs the broker.
    fn requests(&self) -> usize {
        let queries: HashSet<&Query> =
            self.slots.values().filter(|slot| slot.stride.is_adaptive()).map(|slot| &slot.subscription.query).collect();
        self.endpoint.requests(queries.len())
    }

    fn next_due(&self) -> Option<Instant> {
        let retry_at = self.backoff.retry_at();
        self.slots.values().map(|slot| retry_at.filter(|_| slot.retry).map_or(slot.due, |retry_at| retry_at.min(slot.due))).min()
    }

    fn patience(&self) -> Duration {
        self.endpoint.timeout().unwrap_or(self.options.timeout)
    }

    /// One read for every trigger that is due, and for those that wait for the broker to come back.
    fn start(&mut self) -> BoxFuture<'static, Finished> {
        let now = Instant::now();
        let retrying = self.backoff.retry_at().is_some_and(|retry_at| retry_at <= now);
        let mut asked = Vec::new();
        let requests = self.requests();
        for (id, slot) in &mut self.slots {
            let due = slot.due <= now;
            if due {
                slot.due = next_period(self.epoch, now, slot.stride.period(requests));
            }
            if due || (retrying && slot.retry) {
                slot.asked = Some(now);
                self.ears.asked(&slot.subscription.query);
                asked.push(Asked { id: *id, generation: slot.subscription.generation, query: slot.subscription.query.clone(), due });
            }
        }
        let connection = self.connection.take();
        let (endpoint, patience, clock) = (self.endpoint.clone(), self.patience(), self.options.now);
        let cluster = self.options.cluster.clone();
        if let Some(left) = self.backoff.open_for(now) {
            return Box::pin(std::future::ready(Finished { connection, asked, as_of: clock(), outcome: Outcome::NotAsked(left) }));
        }
        Box::pin(read(Asking { endpoint, cluster, patience, clock }, connection, asked))
    }

    /// Takes down what a read brought, and says what there is to tell.
    fn finish(&mut self, finished: Finished) -> Vec<Polled> {
        let Finished { connection, asked, as_of, outcome } = finished;
        self.connection = connection;
        let requests = self.requests();
        match outcome {
            Outcome::Answered(answers) => {
                self.backoff.succeed();
                let current = self.current(asked);
                current
                    .iter()
                    .filter_map(|asked| answers.get(&asked.query).and_then(|answer| self.answered(asked, answer, as_of, requests)))
                    .collect()
            }
            Outcome::Failed(error) => {
                self.backoff.fail(Instant::now());
                self.trouble = error.chain();
                tracing::debug!(broker = %self.endpoint.address(), error = %self.trouble, "read failed");
                let error = self.trouble.clone();
                self.current(asked).iter().filter_map(|asked| self.failed(asked, &error, true, requests)).collect()
            }
            Outcome::NotAsked(left) => {
                let error = format!("{} (not asked again for another {} ms)", self.trouble, left.as_millis());
                self.current(asked).iter().filter_map(|asked| self.failed(asked, &error, true, requests)).collect()
            }
        }
    }

    /// Those of a read's triggers that still ask the same question.
    fn current(&self, asked: Vec<Asked>) -> Vec<Asked> {
        let is_current = |asked: &Asked| self.slots.get(&asked.id).is_some_and(|slot| slot.subscription.generation == asked.generation);
        asked.into_iter().filter(is_current).collect()
    }

    fn answered(&mut self, asked: &Asked, answer: &Result<Answer, Error>, as_of: Timestamp, requests: usize) -> Option<Polled> {
        match answer {
            Ok(answer) => {
                let slot = self.slots.get_mut(&asked.id)?;
                let sample = answer.sample(slot.subscription.activation, as_of);
                slot.stride.read(slot.last.as_ref().is_none_or(|last| Sample { as_of, ..last.clone() } != sample));
                if slot.stride.is_adaptive() {
                    let now = Instant::now();
                    slot.due = slot.due.min(next_period(self.epoch, now, slot.stride.period(requests)));
                }
                (slot.last, slot.failures, slot.retry) = (Some(sample.clone()), 0, false);
                Some(Polled { id: asked.id, reading: Reading::Value(sample), period: slot.stride.period(requests) })
            }
            Err(error) => self.failed(asked, &error.chain(), false, requests),
        }
    }

    /// A failure counts and shows where the trigger was due; what is tried between two polls is nobody's business unless it succeeds.
    fn failed(&mut self, asked: &Asked, error: &str, retry: bool, requests: usize) -> Option<Polled> {
        let slot = self.slots.get_mut(&asked.id)?;
        slot.retry = retry;
        if !asked.due {
            return None;
        }
        slot.failures = slot.failures.saturating_add(1);
        let (error, failures) = (error.to_owned(), slot.failures);
        let reading = match &slot.last {
            Some(last) => Reading::Stale { last: last.clone(), error, failures },
            None => Reading::Failed { error, failures },
        };
        let period = slot.stride.period(requests);
        Some(Polled { id: asked.id, reading, period })
    }
}

/// The first moment after `now` that is a whole number of periods after `epoch`.
fn next_period(epoch: Instant, now: Instant, interval: Duration) -> Instant {
    let (elapsed, period) = (now.saturating_duration_since(epoch).as_nanos(), interval.as_nanos().max(1));
    let nanoseconds = (elapsed / period + 1).saturating_mul(period);
    epoch + Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
}

/// Whom a read asks, with what, and for how long.
struct Asking {
    endpoint: Endpoint,
    cluster: Option<Arc<dyn ClusterView>>,
    patience: Duration,
    clock: fn() -> Timestamp,
}

/// Reads once; if the connection was an old one and turns out to be broken, once more with a new one.
async fn read(asking: Asking, mut connection: Option<Box<dyn Open>>, asked: Vec<Asked>) -> Finished {
    let mut queries: Vec<Query> = Vec::new();
    let mut places: HashMap<Query, usize> = HashMap::new();
    for query in asked.iter().map(|asked| &asked.query) {
        places.entry(query.clone()).or_insert_with(|| {
            queries.push(query.clone());
            queries.len() - 1
        });
    }
    let was_open = connection.is_some();
    let mut moment = Moment { now: (asking.clock)(), patience: asking.patience };
    let mut result = asking.attempt(&mut connection, &queries, moment).await;
    if was_open && matches!(&result, Err(error) if !matches!(error, Error::Wait { .. })) {
        moment.now = (asking.clock)();
        result = asking.attempt(&mut connection, &queries, moment).await;
    }
    let outcome = match result {
        Ok(answers) => Outcome::Answered(queries.into_iter().zip(answers).collect()),
        Err(error) => Outcome::Failed(error),
    };
    Finished { connection, asked, as_of: moment.now, outcome }
}

impl Asking {
    /// Opens if need be, and reads. The connection is given up where anything but a single query failed.
    async fn attempt(
        &self,
        connection: &mut Option<Box<dyn Open>>,
        queries: &[Query],
        moment: Moment,
    ) -> Result<Vec<Result<Answer, Error>>, Error> {
        let (endpoint, patience) = (&self.endpoint, moment.patience);
        let wait = |_| Error::Wait { broker: endpoint.address(), after: patience };
        let mut open = match connection.take() {
            Some(open) => open,
            None => {
                let open = timeout(patience, endpoint.open_in(self.cluster.as_ref())).await.map_err(wait)??;
                tracing::debug!(broker = %endpoint.address(), "connection opened");
                open
            }
        };
        let answers = timeout(patience, open.read(queries, moment)).await.map_err(wait)??;
        *connection = Some(open);
        Ok(answers)
    }
}
