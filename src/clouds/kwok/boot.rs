//! Machines that boot: one task for each, from its sale until its node exists.
//!
//! A task is stopped while it waits, never while it writes. What it writes is checked against the record afterwards, so that a machine that ended meanwhile
//! leaves no node behind.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use springtide_core::Timestamp;
use springtide_core::name::Name;
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::node::node;
use super::{Clock, KwokPorts};
use crate::ports::{MachineRecord, PortError};

/// The first pause after a failed write: about what an API server takes to shed a burst.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// The longest pause: an API server that is back is asked within this time.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// The longest sleep before the clock is read again, so that a clock that was set does not hold a node back for long.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// The boots under way.
pub(super) struct Boots {
    ports: KwokPorts,
    clock: Clock,
    running: Arc<Mutex<Running>>,
}

#[derive(Default)]
struct Running {
    started: u64,
    /// By claim. Dropping an entry stops its task at its next wait.
    tasks: BTreeMap<Name, Task>,
}

struct Task {
    number: u64,
    claim_uid: Name,
    /// Sent when the machine ends; dropped when this process leaves it.
    ended: oneshot::Sender<()>,
}

/// Why a boot does not go on.
enum Stop {
    /// Its machine ended.
    Ended,
    /// This process no longer drives it; another goes on from the record.
    Left,
    /// The API server will not have this node.
    Refused,
}

impl Boots {
    pub(super) fn new(ports: KwokPorts, clock: Clock) -> Self {
        Self { ports, clock, running: Arc::default() }
    }

    /// Starts the boot of a machine whose node has not been created yet, unless it is under way.
    pub(super) fn start(&self, record: &MachineRecord) {
        if record.booted.is_some() {
            return;
        }
        let mut running = lock(&self.running);
        if running.tasks.get(&record.claim).is_some_and(|task| task.claim_uid == record.claim_uid) {
            return;
        }
        let (ended, told) = oneshot::channel();
        running.started += 1;
        let number = running.started;
        running.tasks.insert(record.claim.clone(), Task { number, claim_uid: record.claim_uid.clone(), ended });
        drop(running);
        let mut boot =
            Boot { ports: self.ports.clone(), clock: self.clock.clone(), record: record.clone(), told, ended: false, pause: FIRST_PAUSE };
        // Not to keep the map alive: when the cloud is dropped, the map is, and with it every task that waits.
        let running = Arc::downgrade(&self.running);
        tokio::spawn(async move {
            // Through or stopped, there is nothing left to do.
            let _ = boot.run().await;
            if let Some(running) = running.upgrade() {
                let mut running = lock(&running);
                if running.tasks.get(&boot.record.claim).is_some_and(|task| task.number == number) {
                    running.tasks.remove(&boot.record.claim);
                }
            }
        });
    }

    /// The machine of this claim ended, and is not to boot.
    pub(super) fn cancel(&self, claim: &Name) {
        if let Some(task) = lock(&self.running).tasks.remove(claim) {
            // Nobody hears it where the task is through already.
            let _ = task.ended.send(());
        }
    }

    /// How many boots are under way.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        lock(&self.running).tasks.len()
    }
}

fn lock(running: &Mutex<Running>) -> MutexGuard<'_, Running> {
    running.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Boot {
    ports: KwokPorts,
    clock: Clock,
    record: MachineRecord,
    told: oneshot::Receiver<()>,
    /// The end of the machine has been told, so there is nothing more to hear.
    ended: bool,
    pause: Duration,
}

impl Boot {
    async fn run(&mut self) -> Result<(), Stop> {
        self.wait_for_boot().await?;
        // Also stops a boot whose machine was ended by another process.
        if self.recorded_uid().await?.as_ref() != Some(&self.record.claim_uid) {
            return Ok(());
        }
        match self.create_node().await {
            // The outcome of an attempt that the end of the machine cut short is unknown: there may be a node.
            Ok(()) | Err(Stop::Ended) => self.settle().await,
            Err(stop) => Err(stop),
        }
    }

    async fn wait_for_boot(&mut self) -> Result<(), Stop> {
        loop {
            let left = (self.clock)().duration_until(self.record.boots_at);
            match Duration::try_from(left) {
                Ok(left) if !left.is_zero() => self.wait(left.min(LONGEST_SLEEP)).await?,
                // Negative: the time has passed.
                _ => return Ok(()),
            }
        }
    }

    async fn create_node(&mut self) -> Result<(), Stop> {
        let node = node(&self.record);
        loop {
            match self.ports.nodes.create(&node).await {
                Ok(()) => return Ok(()),
                Err(error) if !error.retry => {
                    tracing::error!(claim = %self.record.claim, %error, "the node is refused; its claim will be given up when its time is over");
                    return Err(Stop::Refused);
                }
                Err(error) => self.pause_after(&error).await?,
            }
        }
    }

    /// Notes that the node was created, or deletes it where its machine ended meanwhile. Only one who leaves the machine to another process stops here.
    async fn settle(&mut self) -> Result<(), Stop> {
        let booted: Timestamp = (self.clock)();
        loop {
            let noted = self.ports.store.set_booted(&self.record.claim, &self.record.claim_uid, booted).await;
            let error = match noted {
                Ok(true) => return Ok(()),
                Ok(false) => break,
                Err(error) => error,
            };
            self.pause_unless_left(&error).await?;
        }
        loop {
            let error = match self.recorded_uid().await {
                // The name has gone to another claim, and the node with it.
                Ok(Some(_)) => return Ok(()),
                Ok(None) => match self.ports.nodes.delete(&self.record.claim).await {
                    Ok(()) => return Ok(()),
                    Err(error) => error,
                },
                Err(Stop::Ended) => continue,
                Err(stop) => return Err(stop),
            };
            self.pause_unless_left(&error).await?;
        }
    }

    /// The UID of the claim that the machine of this name belongs to; none where there is no such machine.
    async fn recorded_uid(&mut self) -> Result<Option<Name>, Stop> {
        loop {
            match self.ports.store.get(&self.record.claim).await {
                Ok(stored) => return Ok(stored.map(|stored| stored.claim_uid)),
                Err(error) => self.pause_after(&error).await?,
            }
        }
    }

    async fn pause_unless_left(&mut self, error: &PortError) -> Result<(), Stop> {
        match self.pause_after(error).await {
            Ok(()) | Err(Stop::Ended) => Ok(()),
            Err(stop) => Err(stop),
        }
    }

    async fn pause_after(&mut self, error: &PortError) -> Result<(), Stop> {
        tracing::debug!(claim = %self.record.claim, %error, "the boot of a machine goes on after a pause");
        let pause = self.pause;
        self.pause = (pause * 2).min(LONGEST_PAUSE);
        self.wait(pause).await
    }

    /// Sleeps, unless it is told to stop. Once the end of the machine has been told, what is left is cleaning up, which nothing stops.
    async fn wait(&mut self, time: Duration) -> Result<(), Stop> {
        if self.ended {
            sleep(time).await;
            return Ok(());
        }
        tokio::select! {
            () = sleep(time) => Ok(()),
            told = &mut self.told => {
                self.ended = true;
                Err(if told.is_ok() { Stop::Ended } else { Stop::Left })
            }
        }
    }
}
