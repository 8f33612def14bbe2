//! What the page, the terminal and `-o json` show: one struct, made by whoever runs the decider, so that all three tell the same figures.
//!
//! The JSON is an interface: fields may be added, none changes its meaning.

use std::collections::VecDeque;

use serde::Serialize;

/// So many decisions are kept for people to read.
pub const DECISIONS: usize = 200;
/// So many points of the course are kept; when there are more, every second one goes.
pub const POINTS: usize = 600;

/// The whole, at one moment.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct View {
    /// What is being shown: a sentence.
    pub title: String,
    /// Where in time this is.
    pub clock: Clock,
    /// Queues, by name.
    pub queues: Vec<Queue>,
    /// Scaled workloads, by name.
    pub workloads: Vec<Workload>,
    /// Nodes and machines on their way, oldest first.
    pub nodes: Vec<Node>,
    /// Money.
    pub cost: Cost,
    /// What has happened to machines, counted.
    pub tally: Tally,
    /// The last decisions and events, newest first; at most [`DECISIONS`].
    pub decisions: VecDeque<Decision>,
    /// How it went, oldest first; at most [`POINTS`].
    pub course: Vec<Point>,
}

/// Where in time a view is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Clock {
    /// Seconds since the beginning, in the time of what is shown.
    pub seconds: f64,
    /// So much faster than a watch this time runs; 1 is real time, none is as fast as it can.
    pub speed: Option<f64>,
    /// The seed by which it can be replayed, where chance is simulated.
    pub seed: Option<u64>,
    /// Whether all that was to come has come: queues are empty and nodes are gone.
    pub drained: bool,
}

/// A queue.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Queue {
    /// Its name.
    pub name: String,
    /// Messages that wait.
    pub waiting: u64,
    /// Messages that workers hold.
    pub in_flight: u64,
    /// Messages that ever came.
    pub arrived: u64,
    /// Messages that were ever finished.
    pub done: u64,
    /// Messages that were begun, given back and begun again.
    pub redelivered: u64,
    /// Messages finished per second, lately.
    pub rate: f64,
    /// The age of the oldest message that waits, in seconds; none where nothing waits.
    pub oldest_seconds: Option<f64>,
    /// Half of the finished messages had been taken up within so many seconds.
    pub wait_p50_seconds: Option<f64>,
    /// 99 of 100 finished messages had been taken up within so many seconds.
    pub wait_p99_seconds: Option<f64>,
}

/// A scaled workload.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Workload {
    /// Its name: `namespace/name`.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// The queue that it works on.
    pub queue: String,
    /// Replicas that are wanted.
    pub wanted: u32,
    /// Pods that run.
    pub running: u32,
    /// Pods that are bound to a node and start.
    pub starting: u32,
    /// Pods that wait for a node, and replicas whose pods do not exist yet.
    pub waiting: u32,
    /// Pods that finish their last message.
    pub stopping: u32,
    /// Never fewer.
    pub min: u32,
    /// Never more.
    pub max: u32,
}

/// A node, or a machine on its way.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Node {
    /// The NodeClaim's name.
    pub name: String,
    /// Its NodePool.
    pub pool: String,
    /// Its instance type; none until it is bought.
    pub instance_type: Option<String>,
    /// Its zone; none until it is bought.
    pub zone: Option<String>,
    /// `spot` or `on-demand`; none until it is bought.
    pub capacity_type: Option<String>,
    /// USD per hour.
    pub price_per_hour: f64,
    /// What the same machine costs on demand, USD per hour.
    pub on_demand_per_hour: f64,
    /// How far it is.
    pub state: NodeState,
    /// Pods of work on it.
    pub pods: u32,
    /// Vcpus that it has for pods.
    pub cpu: f64,
    /// The share of its CPU that pods ask for, 0 to 1.
    pub cpu_asked: f64,
    /// Seconds since it was asked for.
    pub age_seconds: f64,
}

/// How far a machine is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum NodeState {
    /// Asked for, not bought.
    Ordered,
    /// Bought, and not ready for pods.
    Booting,
    /// Ready for pods.
    Ready,
    /// The cloud will take it away soon.
    Interrupted,
    /// On its way out.
    Leaving,
}

/// Money, in USD.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cost {
    /// All machines so far.
    pub so_far: f64,
    /// The same machines for the same time at on-demand prices. A cluster without Spot would have chosen others.
    pub on_demand: f64,
    /// What the present machines cost an hour.
    pub per_hour: f64,
    /// For each thousand of finished messages; none before there are any.
    pub per_thousand: Option<f64>,
}

/// What has happened to machines, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Tally {
    /// Machines bought, Spot.
    pub spot: u32,
    /// Machines bought on demand.
    pub on_demand: u32,
    /// Spot machines that the cloud took away.
    pub interruptions: u32,
    /// Different offerings that were out of stock when asked for.
    pub stock_outs: u32,
    /// The most machines that were paid for at a time.
    pub most_nodes: u32,
}

/// A decision, or something that happened, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// When, in milliseconds since the beginning.
    pub at_ms: u64,
    /// Of which sort, for its colour.
    pub sort: Sort,
    /// What was decided or happened: a sentence.
    pub what: String,
    /// Why: a sentence; empty where `what` says it all.
    pub why: String,
    /// How many of the same kind this line stands for.
    pub count: u32,
}

/// Of which sort a decision is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Sort {
    /// Replicas.
    Scale,
    /// A machine is wanted or bought.
    Launch,
    /// A machine goes because nobody needs it.
    Retire,
    /// The cloud takes a machine away.
    Interruption,
    /// An offering is out of stock.
    StockOut,
    /// Something happened outside.
    World,
    /// Pods for which there is no node.
    Unplaced,
}

/// One point of the course.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Point {
    /// Seconds since the beginning.
    pub seconds: f64,
    /// Messages that wait, of all queues.
    pub waiting: u64,
    /// Replicas wanted, of all workloads.
    pub wanted: u32,
    /// Pods that run, of all workloads.
    pub running: u32,
    /// Spot nodes that are ready.
    pub spot: u32,
    /// On-demand nodes that are ready.
    pub on_demand: u32,
    /// Machines that boot.
    pub booting: u32,
    /// USD per hour.
    pub per_hour: f64,
}
