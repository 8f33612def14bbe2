//! Workers for the pods of a Deployment, started and stopped as the pods are.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, timeout};
use tracing::info;

use crate::address::BrokerUrl;
use crate::amqp::Amqp;
use crate::broker::Broker;
use crate::event::{Cause, Event};
use crate::pods::{DeploymentName, Pod, PodEvent, Pods, Stage, pods_of};
use crate::report::Report;
use crate::tally::Tally;
use crate::worker::{Order, Worker};

/// How long nothing may happen before messages with an unknown end count as done: a message that comes back does so within the broker's round trips.
const QUIET: Duration = Duration::from_secs(2);

/// What a pod does with its message when it is told to stop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Grace {
    /// It gives the message back at once.
    #[default]
    GiveBack,
    /// It finishes the message if it can within the pod's grace period, and gives it back at its end.
    Finish,
}

/// How a fleet works.
#[derive(Clone, Debug)]
pub struct FleetOptions {
    /// How long each message is held.
    pub service_time: Duration,
    /// What a pod does with its message when it is told to stop.
    pub grace: Grace,
    listeners: Vec<mpsc::UnboundedSender<Event>>,
}

impl FleetOptions {
    /// Messages take this long, and are given back when their pod stops.
    #[must_use]
    pub fn new(service_time: Duration) -> Self {
        Self { service_time, grace: Grace::default(), listeners: Vec::new() }
    }

    /// The same with another way to stop.
    #[must_use]
    pub fn with_grace(mut self, grace: Grace) -> Self {
        self.grace = grace;
        self
    }

    /// All events of the fleet that is started with these options, from the first one. The receiver ends when the fleet has stopped.
    pub fn listen(&mut self) -> mpsc::UnboundedReceiver<Event> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.listeners.push(sender);
        receiver
    }
}

/// Workers that stand in for pods. Dropping it stops them as [`Fleet::stop`] does, without waiting for them.
#[derive(Debug)]
pub struct Fleet {
    tally: Tally,
    exit: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Fleet {
    /// Works for the running pods of a Deployment on messages of a RabbitMQ queue.
    /// Neither the Deployment, the queue nor the broker has to be there yet: they are waited for.
    #[must_use]
    pub fn start(client: kube::Client, deployment: DeploymentName, url: BrokerUrl, queue: &str, options: FleetOptions) -> Self {
        Self::start_with(pods_of(client, deployment), Arc::new(Amqp::new(url, queue)), options)
    }

    /// Works for pods from any source on messages from any broker. That the source ends changes nothing for the pods known by then.
    #[must_use]
    pub fn start_with(pods: Pods, broker: Arc<dyn Broker>, options: FleetOptions) -> Self {
        let tally = Tally::new(options.listeners);
        let (exit, exited) = oneshot::channel();
        let roster = Roster {
            broker,
            service_time: options.service_time,
            grace: options.grace,
            tally: tally.clone(),
            pods: BTreeMap::new(),
            seats: HashMap::new(),
            workers: JoinSet::new(),
        };
        Self { tally, exit, task: tokio::spawn(roster.run(pods, exited)) }
    }

    /// The sum of all events so far.
    #[must_use]
    pub fn report(&self) -> Report {
        self.tally.report()
    }

    /// Events from now on.
    #[must_use]
    pub fn subscribe(&self) -> mpsc::UnboundedReceiver<Event> {
        self.tally.listen()
    }

    /// Waits until so many messages were acknowledged. Acknowledgements with an unknown end count once nothing is held and all has been quiet for 2 s.
    /// A call that is dropped does no harm.
    pub async fn done(&self, messages: u64) -> Report {
        let mut changes = self.tally.changes();
        loop {
            let report = changes.borrow_and_update().clone();
            if report.done >= messages {
                return report;
            }
            if report.done + report.unsure < messages || report.held > 0 {
                // The sender lives in this fleet, so there is always a next change to wait for.
                let _ = changes.changed().await;
            } else if timeout(QUIET, changes.changed()).await.is_err() {
                return report;
            }
        }
    }

    /// Waits until no pod is worked for: all have stopped, and finished or given back what they held.
    pub async fn vacated(&self) -> Report {
        let mut changes = self.tally.changes();
        loop {
            let report = changes.borrow_and_update().clone();
            if report.pods_working == 0 {
                return report;
            }
            let _ = changes.changed().await;
        }
    }

    /// Ends all work: messages that are held go back to the queue. Answers when the broker has them.
    pub async fn stop(self) -> Report {
        let Self { tally, exit, task } = self;
        let _ = exit.send(());
        // A panic of the task was printed already; the report is what it got to.
        let _ = task.await;
        tally.report()
    }
}

/// Who works, and for whom.
struct Roster {
    broker: Arc<dyn Broker>,
    service_time: Duration,
    grace: Grace,
    tally: Tally,
    /// All pods that are known, by UID.
    pods: BTreeMap<String, Pod>,
    /// The workers, by their pods' UIDs; also those that finish their last message.
    seats: HashMap<String, Seat>,
    workers: JoinSet<String>,
}

/// One worker.
struct Seat {
    orders: watch::Sender<Order>,
    grace: Duration,
    leaving: bool,
}

impl Roster {
    async fn run(mut self, mut pods: Pods, mut exit: oneshot::Receiver<()>) {
        let mut more = true;
        loop {
            tokio::select! {
                biased;
                _ = &mut exit => break,
                Some(ended) = self.workers.join_next() => if let Ok(uid) = ended {
                    self.seats.remove(&uid);
                    self.settle(&uid, Duration::ZERO);
                },
                event = pods.next(), if more => match event {
                    Some(event) => self.see(event),
                    None => more = false,
                },
            }
        }
        for seat in self.seats.values() {
            seat.orders.send_replace(Order::Stop { cause: Cause::Exit, until: Instant::now() });
        }
        while self.workers.join_next().await.is_some() {}
    }

    fn see(&mut self, event: PodEvent) {
        match event {
            PodEvent::Seen(pod) => {
                let uid = pod.uid.clone();
                self.pods.insert(uid.clone(), pod);
                self.settle(&uid, Duration::ZERO);
            }
            PodEvent::Gone(uid) => {
                self.pods.remove(&uid);
                // Not seen terminating before, it was deleted without grace.
                self.settle(&uid, Duration::ZERO);
            }
            PodEvent::All(pods) => {
                let before = std::mem::take(&mut self.pods);
                self.pods = pods.into_iter().map(|pod| (pod.uid.clone(), pod)).collect();
                info!(pods = self.pods.len(), "pods listed");
                let uids: Vec<String> = before.keys().chain(self.pods.keys()).cloned().collect();
                for uid in uids {
                    // One that vanished unseen was most likely told to stop as usual.
                    let grace = self.seats.get(&uid).map_or(Duration::ZERO, |seat| seat.grace);
                    self.settle(&uid, grace);
                }
            }
        }
    }

    /// Makes the worker of one pod what the pod is. `absent_grace` is for a pod that is not there.
    fn settle(&mut self, uid: &str, absent_grace: Duration) {
        let (cause, grace) = match self.pods.get(uid) {
            Some(pod) => match pod.stage {
                Stage::Running => {
                    if !self.seats.contains_key(uid) {
                        let pod = pod.clone();
                        self.hire(pod);
                    }
                    return;
                }
                Stage::Terminating => (Cause::Terminating, pod.grace),
                Stage::NotRunning => (Cause::NotRunning, Duration::ZERO),
            },
            None => (Cause::Vanished, absent_grace),
        };
        if let Some(seat) = self.seats.get_mut(uid).filter(|seat| !seat.leaving) {
            let now = Instant::now();
            let until = match self.grace {
                Grace::GiveBack => now,
                Grace::Finish => now + grace,
            };
            seat.leaving = true;
            seat.orders.send_replace(Order::Stop { cause, until });
        }
    }

    fn hire(&mut self, pod: Pod) {
        let (orders, receiver) = watch::channel(Order::Work);
        let worker = Worker {
            pod: pod.name,
            broker: Arc::clone(&self.broker),
            service_time: self.service_time,
            orders: receiver,
            tally: self.tally.clone(),
        };
        let uid = pod.uid.clone();
        self.workers.spawn(async move {
            worker.run().await;
            uid
        });
        self.seats.insert(pod.uid, Seat { orders, grace: pod.grace, leaving: false });
    }
}
