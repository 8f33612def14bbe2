//! What scenes on brokers have in common: triggers from pairs of texts, and a poller with what it reads.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use springtide_core::name::Key;
use springtide_core::reading::{Reading, Sample};
use springtide_core::units::MetricMilli;
use springtide_scalers::{AuthParams, Options, Polled, Poller, ResolvedEnv, Secret, Trigger, TriggerId, parse};
use tokio::sync::mpsc;

/// How often a trigger is read.
const INTERVAL: Duration = Duration::from_millis(200);
/// How long anything may take to show.
pub(super) const WITHIN: Duration = Duration::from_secs(20);

/// A poller, and what it reads.
pub(super) struct Reader {
    pub(super) poller: Poller,
    polled: mpsc::Receiver<Polled>,
    next: u64,
}

impl Reader {
    pub(super) fn new() -> Self {
        let (tx, polled) = mpsc::channel(64);
        // Short, so that a broker that hangs is noticed soon.
        let options = Options { timeout: Duration::from_secs(1), ..Options::default() };
        Self { poller: Poller::with_options(tx, options), polled, next: 0 }
    }

    pub(super) fn set(&mut self, trigger: Trigger) -> TriggerId {
        self.set_at(trigger, INTERVAL)
    }

    /// The same with another period.
    pub(super) fn set_at(&mut self, trigger: Trigger, period: Duration) -> TriggerId {
        self.next += 1;
        self.poller.set(TriggerId(self.next), trigger, period);
        TriggerId(self.next)
    }

    /// Waits for a reading of this trigger that is so.
    pub(super) async fn until<T>(&mut self, id: TriggerId, what: &str, is: impl Fn(&Reading) -> Option<T>) -> Result<T> {
        let mut last = None;
        let reading = async {
            while let Some(polled) = self.polled.recv().await {
                if polled.id == id {
                    if let Some(found) = is(&polled.reading) {
                        return Some(found);
                    }
                    last = Some(polled.reading);
                }
            }
            None
        };
        match tokio::time::timeout(WITHIN, reading).await {
            Ok(found) => found.context("the poller has ended"),
            Err(_) => bail!("waited {WITHIN:?} for {what}; last read: {last:?}"),
        }
    }

    /// Reads a trigger until its metric is this, and forgets it.
    pub(super) async fn metric(&mut self, trigger: Trigger, number: i64) -> Result<Sample> {
        let id = self.set(trigger);
        let wanted = MetricMilli(number * 1000);
        let found =
            self.until(id, &format!("a metric of {number}"), |reading| sample(reading).filter(|sample| sample.metric == wanted)).await;
        self.poller.remove(id);
        found
    }

    /// Reads a trigger until it fails, and forgets it.
    pub(super) async fn failure(&mut self, trigger: Trigger) -> Result<String> {
        let id = self.set(trigger);
        let found = self.until(id, "a failure", |reading| reading.failure().map(|(error, _)| error.to_owned())).await;
        self.poller.remove(id);
        found
    }
}

/// The answer of a read that did not fail.
pub(super) fn sample(reading: &Reading) -> Option<Sample> {
    if let Reading::Value(sample) = reading { Some(sample.clone()) } else { None }
}

/// A trigger of this kind.
pub(super) fn trigger(kind: &str, metadata: &[(&str, &str)], auth: &[(&str, &str)]) -> Result<Trigger> {
    let metadata: BTreeMap<String, String> = metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let auth: AuthParams = auth.iter().map(|(key, value)| ((*key).to_owned(), Secret::from(*value))).collect();
    parse(&Key::new("default", "object"), kind, &metadata, &auth, &ResolvedEnv::new()).map_err(|problems| anyhow!("{problems:?}"))
}
