//! Sends actions on their way: no two about the same thing at a time, and one that failed is tried again later each time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use springtide_core::nodes::claim::Claim;
use springtide_core::plan::{Action, ActionKey};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::kube::act::{ActError, Actor, Fact};

/// The first retry comes after this, and each later one after twice the time.
const FIRST_RETRY: Duration = Duration::from_millis(200);
/// No retry waits longer: what was in the way is often gone by then, and a node that nobody needs costs money.
const LONGEST_RETRY: Duration = Duration::from_secs(20);
/// More actions than this are not on their way at a time: the API server has others to serve.
const AT_ONCE: usize = 64;

/// An action that has come to its end.
#[derive(Debug)]
pub struct Done {
    /// What it was about.
    pub key: ActionKey,
    /// The action.
    pub action: Action,
    /// What is known now, or what went wrong.
    pub result: Result<Vec<Fact>, ActError>,
}

/// Actions on their way and actions that wait for another try.
pub struct Dispatcher {
    actor: Actor,
    tx: mpsc::Sender<Done>,
    on_their_way: BTreeSet<ActionKey>,
    failed: BTreeMap<ActionKey, (u32, Instant)>,
}

impl Dispatcher {
    /// One that sends the ends of its actions to `tx`.
    #[must_use]
    pub fn new(actor: Actor, tx: mpsc::Sender<Done>) -> Self {
        Self { actor, tx, on_their_way: BTreeSet::new(), failed: BTreeMap::new() }
    }

    /// Begins an action, unless one about the same thing is on its way or has failed a moment ago. Says whether it has begun.
    pub fn begin(&mut self, action: &Action, claim: Option<&Claim>) -> bool {
        let key = action.key();
        let waits = self.failed.get(&key).is_some_and(|(_, until)| *until > Instant::now());
        if waits || self.on_their_way.len() >= AT_ONCE || !self.on_their_way.insert(key.clone()) {
            return false;
        }
        let (actor, tx, action, claim) = (self.actor.clone(), self.tx.clone(), action.clone(), claim.cloned());
        tokio::spawn(async move {
            let result = actor.act(action.clone(), claim).await;
            // The receiver is gone only when the daemon stops.
            drop(tx.send(Done { key, action, result }).await);
        });
        true
    }

    /// Takes in that an action has come to its end.
    pub fn ended(&mut self, done: &Done) {
        self.on_their_way.remove(&done.key);
        if done.result.is_ok() {
            self.failed.remove(&done.key);
            return;
        }
        let (failures, until) = self.failed.entry(done.key.clone()).or_insert((0, Instant::now()));
        *until = Instant::now() + LONGEST_RETRY.min(FIRST_RETRY * 2_u32.saturating_pow((*failures).min(10)));
        *failures += 1;
    }

    /// When the next failed action may be tried again. Forgets those that nobody has wanted again for long.
    pub fn next_retry(&mut self) -> Option<Instant> {
        let now = Instant::now();
        self.failed.retain(|_, (_, until)| now < *until + LONGEST_RETRY * 3);
        self.failed.values().map(|(_, until)| *until).filter(|until| *until > now).min()
    }
}
