//! What the workloads' controllers, the scheduler, the kubelets and the workers do: pods are made and deleted, bound, started, work and stop.

use std::sync::Arc;

use springtide_core::name::{Key, Name};
use springtide_core::nodes::cluster::{Node, Pod, PodPhase, PodRole};
use springtide_core::nodes::workload::{Template, WorkloadKey};
use springtide_core::{Span, Timestamp};

use super::World;
use super::agenda::{Event, later};
use super::chance::between;
use super::queue::Message;

/// ReplicaSets make some 20 pods a second with the controller manager's usual limits.
const MADE_AT_ONCE: u32 = 5;
const MADE_EVERY: Span = Span::from_millis(250);
/// From a change to the controller's or the scheduler's look at it.
const NOTICED: Span = Span::from_millis(50);
/// From binding to running, where the image is there: containers start within a second or two.
const START: (Span, Span) = (Span::from_millis(800), Span::from_millis(2500));
/// An idle worker ends this long after it was asked to.
const EXIT: Span = Span::from_millis(500);

/// A pod's worker.
#[derive(Debug)]
pub struct Worker {
    /// The queue that it works on.
    pub queue: usize,
    /// What it works on, and since when.
    pub busy: Option<(Message, Timestamp)>,
    /// Its pod's time to stop.
    pub grace: Span,
}

impl World {
    /// The controller of a workload will look at its pods soon.
    pub(super) fn control_soon(&mut self, workload: WorkloadKey) {
        self.agenda.add(later(self.now, NOTICED), Event::Control(workload));
    }

    /// The scheduler will look at waiting pods soon.
    pub(super) fn schedule_soon(&mut self) {
        self.agenda.add(later(self.now, NOTICED), Event::Schedule);
    }

    /// Makes missing pods, some at a time, and deletes those that are too many.
    pub(super) fn control(&mut self, key: WorkloadKey) {
        let Some(workload) = self.cluster.workloads.get(&key).cloned() else { return };
        let alive = self.cluster.counts_of(&workload).alive;
        if alive > workload.replicas.0 {
            for pod in self.surplus(&workload.uid, alive - workload.replicas.0) {
                self.stop(&pod);
            }
        }
        let missing = workload.replicas.0.saturating_sub(alive);
        let Some(Template::Pod { shape, identity, .. }) = self.cluster.templates.get(&workload.template) else { return };
        let (shape, identity) = (*shape, Arc::clone(identity));
        for _ in 0..missing.min(MADE_AT_ONCE) {
            let version = self.next_version();
            let name = Key::new(key.key.namespace.clone(), format!("{}-{version}", key.key.name));
            let pod = Pod {
                uid: format!("pod-{version}").into(),
                version,
                shape,
                identity: Arc::clone(&identity),
                node: None,
                controller: Some(workload.uid.clone()),
                role: PodRole::Work,
                phase: PodPhase::Pending,
                ready: false,
                deleting: false,
                gated: false,
                grace: self.grace.get(&key).copied().unwrap_or_default(),
                created: self.now,
            };
            self.cluster.apply_pod(self.now, name, pod);
        }
        if missing > 0 {
            self.schedule_soon();
            self.turn_soon();
        }
        if missing > MADE_AT_ONCE {
            self.agenda.add(later(self.now, MADE_EVERY), Event::Control(key));
        }
    }

    /// Which pods a ReplicaSet deletes first: those without a node, those that do not run yet, then the youngest.
    fn surplus(&self, owner: &Name, count: u32) -> Vec<Key> {
        let of_owner = |pod: &Pod| pod.counts() && pod.controller.as_ref() == Some(owner);
        let mut pods: Vec<(&Key, &Pod)> = self.cluster.pods.iter().filter(|(_, pod)| of_owner(pod)).collect();
        pods.sort_by_key(|(key, pod)| (pod.node.is_some(), pod.phase == PodPhase::Running, std::cmp::Reverse(pod.created), (*key).clone()));
        pods.into_iter().take(usize::try_from(count).unwrap_or(usize::MAX)).map(|(key, _)| key.clone()).collect()
    }

    /// Asks a pod to stop. A worker finishes the message that it holds, as far as its grace allows.
    pub(super) fn stop(&mut self, key: &Key) {
        let Some(pod) = self.cluster.pods.get(key).filter(|pod| !pod.deleting).cloned() else { return };
        let Some(worker) = self.workers.get(key) else {
            self.remove_pod(key);
            return;
        };
        let (busy, grace) = (worker.busy.is_some(), worker.grace);
        if let Some(queue) = self.queues.get_mut(worker.queue) {
            queue.idle.remove(key);
        }
        let version = self.next_version();
        self.cluster.apply_pod(self.now, key.clone(), Pod { deleting: true, version, ..pod });
        self.agenda.add(later(self.now, if busy { grace } else { EXIT }), Event::Killed { pod: key.clone() });
        self.turn_soon();
    }

    /// A pod is no more; what it worked on goes back.
    pub(super) fn remove_pod(&mut self, key: &Key) {
        if let Some(worker) = self.workers.remove(key)
            && let Some(queue) = self.queues.get_mut(worker.queue)
        {
            queue.idle.remove(key);
            if let Some((message, _)) = worker.busy {
                queue.give_back(message);
                self.hand_out(worker.queue);
            }
        }
        let owner = self.cluster.pods.get(key).and_then(|pod| pod.controller.clone());
        self.cluster.delete_pod(self.now, key, None);
        let workload =
            self.cluster.workloads.iter().find(|(_, workload)| Some(&workload.uid) == owner.as_ref()).map(|(key, _)| key.clone());
        if let Some(workload) = workload {
            self.control_soon(workload);
        }
        self.schedule_soon();
        self.turn_soon();
    }

    /// Binds waiting pods: of the nodes with room, each goes to the one that is least asked for, as kube-scheduler does by default.
    pub(super) fn schedule(&mut self) {
        let waiting: Vec<Key> = self.cluster.waiting().values().flatten().cloned().collect();
        for key in waiting {
            let Some(pod) = self.cluster.pods.get(&key).cloned() else { continue };
            let Some(node) = self.least_asked(&pod) else { continue };
            let version = self.next_version();
            self.cluster.apply_pod(self.now, key.clone(), Pod { node: Some(node), version, ..pod });
            let start = between(&mut self.chance.starts, START.0, START.1);
            self.agenda.add(later(self.now, start), Event::Started { pod: key });
            self.turn_soon();
        }
    }

    fn least_asked(&self, pod: &Pod) -> Option<Name> {
        let shape = self.cluster.shapes.get(pod.shape);
        let asked = |(name, node): (&Name, &Node)| {
            let used = self.cluster.load(name).map(|load| load.used.clone()).unwrap_or_default();
            let mut free = node.allocatable.clone();
            free.take(&used, 1);
            let fits = node.ready && !node.deleting && shape.may_run_on(&node.labels, &node.taints) && shape.requests.fits(&free);
            fits.then(|| (used.cpu.0 * 1000 / node.allocatable.cpu.0.max(1), name.clone()))
        };
        self.cluster.nodes.iter().filter_map(asked).min().map(|(_, name)| name)
    }

    /// A pod runs, and its worker asks for a message.
    pub(super) fn started(&mut self, key: Key) {
        let Some(pod) = self.cluster.pods.get(&key).filter(|pod| !pod.deleting).cloned() else { return };
        let owner = pod.controller.clone();
        let scaled = self.scaled.iter().find(|scaled| {
            let workload = self.cluster.workloads.get(&scaled.object.target);
            workload.is_some_and(|workload| Some(&workload.uid) == owner.as_ref())
        });
        let Some((queue, target)) = scaled.and_then(|scaled| Some((*scaled.queues.first()?, scaled.object.target.clone()))) else { return };
        let grace = self.grace.get(&target).copied().unwrap_or_default();
        let version = self.next_version();
        self.cluster.apply_pod(self.now, key.clone(), Pod { phase: PodPhase::Running, ready: true, version, ..pod });
        self.workers.insert(key.clone(), Worker { queue, busy: None, grace });
        if let Some(queue) = self.queues.get_mut(queue) {
            queue.idle.insert(key);
        }
        self.hand_out(queue);
        self.turn_soon();
    }

    /// Messages that wait go to workers that wait.
    pub(super) fn hand_out(&mut self, at: usize) {
        let Some(queue) = self.queues.get_mut(at) else { return };
        while let Some(key) = queue.idle.first().cloned() {
            let Some(message) = queue.take() else { return };
            queue.idle.remove(&key);
            if let Some(worker) = self.workers.get_mut(&key) {
                worker.busy = Some((message, self.now));
            }
            self.agenda.add(later(self.now, message.service), Event::Finished { pod: key });
        }
    }

    /// A worker has finished its message, and asks for the next or ends.
    pub(super) fn finished(&mut self, key: Key) {
        // One that was killed meanwhile has finished nothing: its name is never given again.
        let Some(worker) = self.workers.get_mut(&key) else { return };
        let at = worker.queue;
        let (Some((message, since)), Some(queue)) = (worker.busy.take(), self.queues.get_mut(at)) else { return };
        queue.finish(self.now, since.duration_since(message.arrived));
        if self.cluster.pods.get(&key).is_some_and(|pod| pod.deleting) {
            self.remove_pod(&key);
        } else {
            queue.idle.insert(key);
            self.hand_out(at);
        }
    }
}
