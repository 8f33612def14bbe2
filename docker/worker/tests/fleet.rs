//! A fleet with pods and a queue of the test's making, in paused time.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use springtide_worker::{
    Broker, Cause, Delivery, Error, Event, Fleet, FleetOptions, Grace, Happening, Left, Pod, PodEvent, Report, Settled, Stage,
    Subscription, pods_by_hand,
};
use tokio::sync::{Notify, mpsc};
use tokio::time::{advance, sleep};

const SERVICE: Duration = Duration::from_secs(10);

/// A queue in memory that can be made to fail.
#[derive(Clone, Default)]
struct Queue(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    ready: VecDeque<Delivery>,
    acknowledged: Vec<String>,
    consumers: usize,
    /// Nobody can consume.
    down: bool,
    /// Raised by an outage: consumers of an earlier life have ended.
    life: u32,
    /// The next acknowledgement is answered like this; it arrives only if the flag says so.
    next_settled: Option<(Settled, bool)>,
}

impl Queue {
    fn with(messages: u32) -> Self {
        let queue = Self::default();
        queue.state().ready = (0..messages).map(|number| Delivery { message: Some(format!("m-{number}")), redelivered: false }).collect();
        queue
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap()
    }

    fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.0.changed.notify_waiters();
    }

    fn outage(&self, down: bool) {
        self.set(|state| {
            state.down = down;
            state.life += u32::from(down);
        });
    }
}

#[async_trait]
impl Broker for Queue {
    async fn subscribe(&self, _worker: &str) -> Result<Box<dyn Subscription>, Error> {
        let mut state = self.state();
        if state.down {
            return Err(Error::ConnectInTime { broker: "fake".into(), seconds: 0 });
        }
        state.consumers += 1;
        Ok(Box::new(Consumer { queue: self.clone(), life: state.life, held: None, taking: true }))
    }
}

struct Consumer {
    queue: Queue,
    life: u32,
    held: Option<Delivery>,
    taking: bool,
}

impl Consumer {
    fn put_back(&mut self) {
        if let Some(mut delivery) = self.held.take() {
            delivery.redelivered = true;
            self.queue.set(|state| state.ready.push_front(delivery));
        }
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.put_back();
        self.queue.set(|state| state.consumers -= 1);
    }
}

#[async_trait]
impl Subscription for Consumer {
    async fn next(&mut self) -> Result<Delivery, Error> {
        loop {
            let queue = self.queue.clone();
            let changed = queue.0.changed.notified();
            {
                let mut state = self.queue.0.state.lock().unwrap();
                if state.life != self.life {
                    return Err(Error::Consume { queue: "fake".into(), source: None });
                }
                assert!(self.taking, "asked for a message after it was told to take no more");
                if self.held.is_none()
                    && let Some(delivery) = state.ready.pop_front()
                {
                    self.held = Some(delivery.clone());
                    return Ok(delivery);
                }
            }
            changed.await;
        }
    }

    async fn stop_taking(&mut self) {
        self.taking = false;
    }

    async fn acknowledge(&mut self) -> Settled {
        let mut state = self.queue.0.state.lock().unwrap();
        if state.life != self.life {
            return Settled::Lost;
        }
        let (settled, arrives) = state.next_settled.take().unwrap_or((Settled::Done, true));
        if arrives && let Some(delivery) = self.held.take() {
            state.acknowledged.extend(delivery.message);
        }
        settled
    }

    async fn give_back(&mut self) {
        self.put_back();
        self.taking = false;
    }

    async fn close(&mut self) {
        self.put_back();
    }
}

struct Scene {
    queue: Queue,
    pods: mpsc::UnboundedSender<PodEvent>,
    events: mpsc::UnboundedReceiver<Event>,
    fleet: Fleet,
}

fn scene(messages: u32, grace: Grace) -> Scene {
    let queue = Queue::with(messages);
    let (pods, source) = pods_by_hand();
    let mut options = FleetOptions::new(SERVICE).with_grace(grace);
    let events = options.listen();
    let fleet = Fleet::start_with(source, Arc::new(queue.clone()), options);
    Scene { queue, pods, events, fleet }
}

fn pod(name: &str, stage: Stage) -> Pod {
    Pod { uid: format!("uid-{name}"), name: format!("ns/{name}"), stage, grace: Duration::from_secs(30) }
}

impl Scene {
    async fn tell(&self, event: PodEvent) {
        self.pods.send(event).unwrap();
        self.settle().await;
    }

    async fn pod(&self, name: &str, stage: Stage) {
        self.tell(PodEvent::Seen(pod(name, stage))).await;
    }

    /// Lets everything happen that needs no time; with paused time, it takes a millisecond of it.
    async fn settle(&self) {
        sleep(Duration::from_millis(1)).await;
    }

    /// The fleet stops, and its report equals the sum of its events.
    async fn end(mut self) -> (Report, Vec<Event>) {
        let report = self.fleet.stop().await;
        let mut events = Vec::new();
        while let Some(event) = self.events.recv().await {
            events.push(event);
        }
        assert_eq!(Report::of(&events), report);
        assert_eq!(self.queue.state().consumers, 0, "a consumer was left");
        (report, events)
    }
}

#[tokio::test(start_paused = true)]
async fn only_running_pods_work_and_each_holds_one_message_for_its_whole_time() {
    let scene = scene(5, Grace::GiveBack);
    scene.pod("waiting", Stage::NotRunning).await;
    assert_eq!(scene.fleet.report().pods_started, 0);
    for name in ["a", "b"] {
        scene.pod(name, Stage::Running).await;
    }
    let report = scene.fleet.report();
    assert_eq!((report.pods_working, report.held, report.taken), (2, 2, 2));
    advance(SERVICE - Duration::from_millis(10)).await;
    scene.settle().await;
    assert_eq!(scene.queue.state().acknowledged.len(), 0, "acknowledged too early");
    scene.fleet.done(5).await;
    let (report, events) = scene.end().await;
    assert_eq!((report.done, report.redelivered, report.held_peak, report.pods_working_peak), (5, 0, 2, 2));
    assert_eq!((report.busy_stopped, report.idle_stopped, report.given_back_at_exit), (0, 0, 0));
    // Each message was held for the service time, to the timer's millisecond.
    for acked in events.iter().filter(|event| matches!(event.happening, Happening::Acked { .. })) {
        let Happening::Acked { message } = &acked.happening else { continue };
        let took =
            events.iter().find(|event| matches!(&event.happening, Happening::Took { message: taken, .. } if taken == message)).unwrap();
        let held = acked.time.since(took.time);
        assert!(held >= SERVICE && held < SERVICE + Duration::from_millis(5), "{held:?}");
        assert_eq!(acked.pod, took.pod);
    }
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_stops_gives_its_message_back_at_once_and_is_counted_once() {
    let scene = scene(1, Grace::GiveBack);
    scene.pod("busy", Stage::Running).await;
    scene.pod("idle", Stage::Running).await;
    scene.pod("busy", Stage::Terminating).await;
    scene.tell(PodEvent::Gone("uid-busy".into())).await;
    // The other pod has the message now.
    let report = scene.fleet.report();
    assert_eq!((report.busy_stopped, report.redelivered, report.held), (1, 1, 1));
    scene.fleet.done(1).await;
    scene.tell(PodEvent::Gone("uid-idle".into())).await;
    let (report, events) = scene.end().await;
    assert_eq!((report.busy_stopped, report.idle_stopped, report.done, report.taken), (1, 1, 1, 2));
    let stops: Vec<_> = events
        .iter()
        .filter_map(|event| if let Happening::Stopped { cause, left, .. } = event.happening { Some((cause, left)) } else { None })
        .collect();
    assert_eq!(stops, [(Cause::Terminating, Left::GivenBack), (Cause::Vanished, Left::Idle)]);
}

#[tokio::test(start_paused = true)]
async fn a_list_stops_pods_that_vanished_unseen_and_keeps_the_others() {
    let scene = scene(2, Grace::GiveBack);
    scene.tell(PodEvent::All(vec![pod("a", Stage::Running), pod("b", Stage::Running)])).await;
    scene.tell(PodEvent::All(vec![pod("b", Stage::Running), pod("c", Stage::Running)])).await;
    let report = scene.fleet.report();
    assert_eq!((report.pods_started, report.pods_working, report.busy_stopped, report.held), (3, 2, 1, 2));
    let (report, _) = scene.end().await;
    assert_eq!((report.given_back_at_exit, report.done), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn with_grace_a_message_is_finished_even_if_the_pod_is_gone_and_none_is_taken_after_it() {
    let scene = scene(2, Grace::Finish);
    scene.pod("a", Stage::Running).await;
    scene.pod("a", Stage::Terminating).await;
    // Simulated nodes remove a pod at once; its worker is still in its grace period.
    scene.tell(PodEvent::Gone("uid-a".into())).await;
    assert_eq!(scene.fleet.report().held, 1);
    let report = scene.fleet.vacated().await;
    assert_eq!((report.done, report.finished_stopped, report.busy_stopped, report.taken), (1, 1, 0, 1));
    let (report, _) = scene.end().await;
    assert_eq!((report.done, report.held), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn with_too_little_grace_the_message_goes_back_at_its_end() {
    let mut scene = scene(1, Grace::Finish);
    scene.pod("a", Stage::Running).await;
    let leaving = Pod { grace: Duration::from_secs(4), ..pod("a", Stage::Terminating) };
    scene.tell(PodEvent::Seen(leaving)).await;
    let report = scene.fleet.vacated().await;
    assert_eq!((report.done, report.finished_stopped, report.busy_stopped), (0, 0, 1));
    assert_eq!(scene.queue.state().ready.len(), 1);
    let mut last = None;
    while let Ok(event) = scene.events.try_recv() {
        last = Some(event);
    }
    let held = last.unwrap().time.since(report.first_taken.unwrap());
    assert!(held >= Duration::from_secs(4) && held < Duration::from_millis(4_010), "{held:?}");
}

#[tokio::test(start_paused = true)]
async fn an_outage_loses_no_count_and_work_goes_on_after_it() {
    let scene = scene(2, Grace::GiveBack);
    scene.pod("a", Stage::Running).await;
    scene.queue.outage(true);
    scene.settle().await;
    assert_eq!((scene.fleet.report().lost, scene.fleet.report().held), (1, 0));
    // A pod that comes and one that goes during the outage are seen too.
    scene.pod("b", Stage::Running).await;
    scene.pod("a", Stage::Terminating).await;
    sleep(Duration::from_secs(60)).await;
    scene.queue.outage(false);
    scene.fleet.done(2).await;
    let (report, _) = scene.end().await;
    assert_eq!((report.done, report.taken, report.redelivered, report.lost), (2, 3, 1, 1));
    assert_eq!((report.idle_stopped, report.busy_stopped), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn an_acknowledgement_that_was_lost_comes_back_and_one_that_arrived_does_not() {
    let scene = scene(2, Grace::GiveBack);
    scene.queue.set(|state| state.next_settled = Some((Settled::Unsure, false)));
    scene.pod("a", Stage::Running).await;
    let report = scene.fleet.done(2).await;
    assert_eq!((report.done, report.unsure, report.redelivered, report.taken), (2, 0, 1, 3));
    scene.queue.set(|state| {
        state.ready.push_back(Delivery { message: Some("m-2".into()), redelivered: false });
        state.next_settled = Some((Settled::Unsure, true));
    });
    let report = scene.fleet.done(3).await;
    assert_eq!((report.done, report.unsure), (2, 1));
    let (_, _) = scene.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_runs_again_works_again() {
    let scene = scene(1, Grace::GiveBack);
    scene.pod("a", Stage::Running).await;
    scene.pod("a", Stage::NotRunning).await;
    scene.pod("a", Stage::Running).await;
    assert_eq!((scene.fleet.report().pods_started, scene.fleet.report().held), (2, 1));
    let (report, _) = scene.end().await;
    assert_eq!((report.busy_stopped, report.given_back_at_exit), (1, 1));
}
