//! A world as people see it.

use springtide_core::Span;
use springtide_core::nodes::claim::Claim;
use springtide_core::nodes::cluster::PodPhase;
use springtide_core::nodes::offer::CapacityType;

use super::World;
use super::account::usd_per_hour;
use crate::web::view::{Clock, Node, NodeState, Point, Queue, View, Workload};

impl World {
    /// All of it at this moment. `speed` is how fast its time runs beside a watch.
    #[must_use]
    pub fn view(&self, speed: Option<f64>) -> View {
        let done = self.queues.iter().map(|queue| queue.done).sum();
        View {
            title: self.story.title.clone(),
            clock: Clock { seconds: seconds(self.elapsed()), speed, seed: Some(self.seed), drained: self.drained.is_some() },
            queues: self.queues.iter().map(|queue| self.queue(queue)).collect(),
            workloads: self.scaled.iter().filter_map(|scaled| self.workload(scaled)).collect(),
            nodes: self.nodes(),
            cost: self.account.cost(done),
            tally: self.account.tally,
            decisions: self.account.decisions.clone(),
            course: self.account.course.clone(),
        }
    }

    /// How many decisions will not change any more, of those that were ever told.
    #[must_use]
    pub fn settled(&self) -> u64 {
        self.account.settled()
    }

    /// How many decisions were ever told.
    #[must_use]
    pub fn told(&self) -> u64 {
        self.account.told()
    }

    fn queue(&self, queue: &super::Queue) -> Queue {
        Queue {
            name: queue.name.clone(),
            waiting: queue.waiting(),
            in_flight: queue.in_flight,
            arrived: queue.arrived,
            done: queue.done,
            redelivered: queue.redelivered,
            rate: queue.rate(self.now),
            oldest_seconds: queue.oldest(self.now).map(seconds),
            wait_p50_seconds: queue.waited(50).map(seconds),
            wait_p99_seconds: queue.waited(99).map(seconds),
        }
    }

    fn workload(&self, scaled: &super::Scaled) -> Option<Workload> {
        let target = &scaled.object.target;
        let known = self.cluster.workloads.get(target)?;
        let wanted = scaled.demand.as_ref().map_or(known.replicas, |demand| demand.want);
        let of_workload = self.cluster.pods.values().filter(|pod| pod.controller.as_ref() == Some(&known.uid));
        let mut told = Workload {
            name: target.key.to_string(),
            kind: target.kind.to_string(),
            queue: scaled.object.triggers.first().map(|trigger| trigger.queue.clone()).unwrap_or_default(),
            wanted: wanted.0,
            min: scaled.object.policy.min.0,
            max: scaled.object.policy.max.0,
            ..Workload::default()
        };
        for pod in of_workload {
            let count = match (pod.deleting, pod.phase, &pod.node) {
                (true, ..) => &mut told.stopping,
                (false, PodPhase::Running, _) => &mut told.running,
                (false, _, Some(_)) => &mut told.starting,
                (false, _, None) => continue,
            };
            *count += 1;
        }
        told.waiting = wanted.0.saturating_sub(told.running + told.starting);
        Some(told)
    }

    fn nodes(&self) -> Vec<Node> {
        let mut claims: Vec<_> = self.cluster.claims.iter().filter(|(_, claim)| !claim.ended).collect();
        claims.sort_by_key(|(name, claim)| (claim.created, (*name).clone()));
        claims.into_iter().map(|(name, claim)| self.node(name, claim)).collect()
    }

    #[expect(clippy::cast_precision_loss, reason = "millicores are far below 2^52")]
    fn node(&self, name: &str, claim: &Claim) -> Node {
        let machine = claim.machine.as_ref();
        let load = self.cluster.node_of(claim).and_then(|(node, _)| self.cluster.load(node));
        let (pods, asked) = load.map_or((0, 0), |load| (load.working, load.used.cpu.0));
        let cpu = claim.offers().cpu.0;
        let on_demand = machine.map_or(claim.price(), |machine| self.market.on_demand(&machine.instance_type, &machine.zone));
        Node {
            name: name.to_owned(),
            pool: claim.spec.pool.to_string(),
            instance_type: machine.map(|machine| machine.instance_type.to_string()),
            zone: machine.map(|machine| machine.zone.to_string()),
            capacity_type: machine.map(|machine| machine.capacity_type.label().to_owned()),
            price_per_hour: usd_per_hour(claim.price()),
            on_demand_per_hour: usd_per_hour(on_demand),
            state: state(claim),
            pods,
            cpu: cpu as f64 / 1000.0,
            cpu_asked: if cpu > 0 { asked as f64 / cpu as f64 } else { 0.0 },
            age_seconds: seconds(self.now.duration_since(claim.created)),
        }
    }

    /// The point of the course at this moment.
    pub(super) fn point(&self) -> Point {
        let (mut spot, mut on_demand, mut booting) = (0, 0, 0);
        for claim in self.cluster.claims.values().filter(|claim| !claim.ended) {
            let is_spot = claim.machine.as_ref().is_some_and(|machine| machine.capacity_type == CapacityType::Spot);
            match state(claim) {
                NodeState::Ordered | NodeState::Booting => booting += 1,
                _ if is_spot => spot += 1,
                _ => on_demand += 1,
            }
        }
        let workloads: Vec<Workload> = self.scaled.iter().filter_map(|scaled| self.workload(scaled)).collect();
        Point {
            seconds: seconds(self.elapsed()),
            waiting: self.queues.iter().map(super::Queue::waiting).sum(),
            wanted: workloads.iter().map(|workload| workload.wanted).sum(),
            running: workloads.iter().map(|workload| workload.running).sum(),
            spot,
            on_demand,
            booting,
            per_hour: self.account.cost(0).per_hour,
        }
    }
}

fn state(claim: &Claim) -> NodeState {
    match claim {
        claim if claim.interrupted.is_some() => NodeState::Interrupted,
        claim if claim.deleting_since.is_some() => NodeState::Leaving,
        claim if claim.progress.initialized.is_some() => NodeState::Ready,
        claim if claim.machine.is_some() => NodeState::Booting,
        _ => NodeState::Ordered,
    }
}

fn seconds(span: Span) -> f64 {
    // To the millisecond: what is finer is noise of floating point.
    f64::from(i32::try_from(span.as_millis()).unwrap_or(i32::MAX)) / 1000.0
}
