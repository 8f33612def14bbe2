//! Brokers that tell of change by themselves. What they tell only wakes a read: numbers are always asked for.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use crate::backoff::Backoff;
use crate::broker::{Endpoint, Query};

/// A query is woken no more often than this, however much its broker has to tell.
pub(crate) const QUICKEST: Duration = Duration::from_secs(1);

/// Tells a connection's task that the answer to a query is another by now.
#[derive(Clone)]
pub(crate) struct News {
    tx: mpsc::UnboundedSender<Query>,
    told: Told,
}

/// What was told of and not asked for since: a busy broker fills nothing, and costs nothing, by telling of it again.
type Told = Arc<Mutex<HashSet<Query>>>;

fn lock(told: &Told) -> MutexGuard<'_, HashSet<Query>> {
    // Nothing that holds it leaves it half changed.
    told.lock().unwrap_or_else(PoisonError::into_inner)
}

impl News {
    /// Tells of this query; false where nobody listens any more.
    pub(crate) fn of(&self, query: &Query) -> bool {
        if lock(&self.told).insert(query.clone()) { self.tx.send(query.clone()).is_ok() } else { !self.tx.is_closed() }
    }
}

/// Ears at one broker, for the queries of its triggers.
pub(crate) struct Ears {
    seed: u64,
    news: News,
    heard: mpsc::UnboundedReceiver<Query>,
    /// What is listened for, and by how many triggers.
    queries: HashMap<Query, usize>,
    task: Option<JoinHandle<()>>,
    stale: bool,
}

impl Ears {
    pub(crate) fn new(seed: u64) -> Self {
        let (tx, heard) = mpsc::unbounded_channel();
        Self { seed, news: News { tx, told: Told::default() }, heard, queries: HashMap::new(), task: None, stale: false }
    }

    pub(crate) fn add(&mut self, query: &Query) {
        *self.queries.entry(query.clone()).or_insert_with(|| {
            self.stale = true;
            0
        }) += 1;
    }

    pub(crate) fn remove(&mut self, query: &Query) {
        if let Entry::Occupied(mut known) = self.queries.entry(query.clone()) {
            *known.get_mut() -= 1;
            if *known.get() == 0 {
                known.remove();
                self.stale = true;
            }
        }
    }

    /// Listens for what is asked now, if the broker can tell of it.
    pub(crate) fn prick(&mut self, endpoint: &Endpoint) {
        if !std::mem::take(&mut self.stale) {
            return;
        }
        self.rest();
        self.stale = false;
        if endpoint.tells() && !self.queries.is_empty() {
            let queries = self.queries.keys().cloned().collect();
            self.task = Some(tokio::spawn(listen(endpoint.clone(), queries, self.news.clone(), self.seed)));
        }
    }

    /// Listens no more until asked to.
    pub(crate) fn rest(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
        self.stale = true;
        while self.heard.try_recv().is_ok() {}
        lock(&self.news.told).clear();
    }

    /// Takes in that a query is asked: what is told of it from now on is news again.
    pub(crate) fn asked(&self, query: &Query) {
        lock(&self.news.told).remove(query);
    }

    /// The next query that a broker tells of. Never ends.
    pub(crate) async fn hear(&mut self) -> Option<Query> {
        self.heard.recv().await
    }
}

impl Drop for Ears {
    fn drop(&mut self) {
        self.rest();
    }
}

/// Listens until nobody wants it any more; a connection that ends is made anew.
async fn listen(endpoint: Endpoint, queries: Vec<Query>, news: News, seed: u64) {
    let mut backoff = Backoff::new(seed);
    loop {
        let begun = Instant::now();
        let error = match endpoint.listen(&queries, &news).await {
            Ok(()) => "it ended".to_owned(),
            Err(error) => error.chain(),
        };
        tracing::debug!(broker = %endpoint.address(), %error, "no longer told of changes");
        if begun.elapsed() > Duration::from_secs(60) {
            backoff.succeed();
        }
        backoff.fail(Instant::now());
        sleep_until(backoff.retry_at().unwrap_or_else(Instant::now)).await;
        // What happened meanwhile nobody has told.
        if !queries.iter().all(|query| news.of(query)) {
            return;
        }
    }
}
