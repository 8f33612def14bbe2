//! The loop: what was seen goes into the state, a turn decides, and what was decided is carried out. The steps of a turn stand in one list.

mod dispatch;
mod inventory;
mod pools;
mod resolve;
mod scaled;
mod state;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Context;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use springtide_clouds::Cloud;
use springtide_clouds::kwok::{KwokCloud, KwokOptions, KwokPorts};
use springtide_core::check;
use springtide_core::name::Key;
use springtide_core::nodes;
use springtide_core::nodes::decide::{EFFORT, as_planned};
use springtide_core::nodes::offer::ClassRef;
use springtide_core::plan::{Action, Plan, Unplaced};
use springtide_core::scale::demand::Present;
use springtide_scalers::{Polled, Poller, TriggerId};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::dispatch::{Dispatcher, Done};
use self::inventory::Inventory;
use self::pools::PoolReports;
use self::resolve::Resolved;
use self::state::State;
use crate::kube::act::{ActError, Actor, Fact};
use crate::kube::lease::{Leadership, LeaseOptions, compete};
use crate::kube::ports::KubePorts;
use crate::kube::report::{self, Note, Report};
use crate::kube::rivals::{self, Rivals};
use crate::kube::watch::{Sighting, all as watch_all};
use crate::settings::{Layer, Settings};
use crate::telemetry::{self, Ready, names};

/// Turns follow one another no faster than this, so that a stream of events is decided on together.
const BREATH: Duration = Duration::from_millis(20);
/// Without any news the cluster is looked at again after this.
const SLOW: Duration = Duration::from_secs(10);
/// What a class can buy is asked for again after this where the answer was an error.
const OFFERS_AGAIN: Duration = Duration::from_secs(5);
/// Secrets and refused templates are asked for again after this.
const REFRESH: Duration = Duration::from_secs(60);
/// Of pods that wait for the same reason so many are told.
const MOST_EVENTS: usize = 10;
/// More sightings than this are not taken in between two turns.
const MOST_NEWS: usize = 10_000;

/// Runs the daemon until it is told to stop.
///
/// # Errors
/// What keeps it from starting, with what to do.
pub async fn run(settings: Settings) -> anyhow::Result<()> {
    telemetry::logs(&settings)?;
    let handle = telemetry::metrics()?;
    let ready = Ready::default();
    telemetry::serve(&settings, handle, Arc::clone(&ready)).await?;
    let client = crate::kube::client(settings.kubeconfig.as_deref()).await?;
    let identity = identity();
    let clouds = clouds(&settings, &client)?;
    let (stop_tx, stop) = watch::channel(false);
    let lease = LeaseOptions {
        namespace: settings.namespace.clone(),
        name: settings.lease_name.clone(),
        identity: identity.clone(),
        duration: settings.lease_duration,
    };
    let (leadership, competing) = compete(client.clone(), lease, stop.clone());
    let daemon = Daemon::new(settings, client, clouds, &identity, ready);
    tracing::info!(%identity, "started");
    daemon.run(leadership, stop_signal()).await;
    stop_tx.send_replace(true);
    competing.await.context("give the Lease back")?;
    tracing::info!("stopped");
    Ok(())
}

fn identity() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}-{}-{:x}", host.trim(), std::process::id(), Timestamp::now().as_millisecond())
}

fn clouds(settings: &Settings, client: &kube::Client) -> anyhow::Result<Arc<[Arc<dyn Cloud>]>> {
    let ports = Arc::new(KubePorts::new(client.clone(), &settings.namespace));
    let types = match &settings.instance_types {
        Some(file) => {
            let bytes = std::fs::read(file).with_context(|| format!("read the instance types from {}", file.display()))?;
            springtide_clouds::catalog::parse(&bytes, &springtide_clouds::catalog::kwok_overhead())
                .with_context(|| format!("understand the instance types in {}", file.display()))?
        }
        None => springtide_clouds::catalog::kwok_types(),
    };
    let ports = KwokPorts { store: Arc::clone(&ports) as _, nodes: Arc::clone(&ports) as _, classes: ports };
    let kwok = KwokCloud::new(ports, types, KwokOptions { refuse_every: settings.kwok_refuse_every }, Arc::new(Timestamp::now));
    Ok(Arc::from([Arc::new(kwok) as Arc<dyn Cloud>]))
}

async fn stop_signal() {
    let terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate());
    match terminate {
        Ok(mut terminate) => tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        },
        Err(_) => drop(tokio::signal::ctrl_c().await),
    }
}

struct Daemon {
    settings: Settings,
    client: kube::Client,
    clouds: Arc<[Arc<dyn Cloud>]>,
    ready: Ready,
    state: State,
    dispatcher: Dispatcher,
    poller: Poller,
    reports: mpsc::UnboundedSender<Report>,
    sightings: mpsc::Receiver<Sighting>,
    sightings_tx: mpsc::Sender<Sighting>,
    watches: JoinSet<()>,
    round: u64,
    polled: mpsc::Receiver<Polled>,
    owners: BTreeMap<TriggerId, Key>,
    next_trigger: u64,
    done: mpsc::Receiver<Done>,
    resolved: mpsc::Receiver<Resolved>,
    resolved_tx: mpsc::Sender<Resolved>,
    offers: mpsc::Receiver<(ClassRef, Result<Vec<nodes::offer::InstanceType>, String>)>,
    offers_tx: mpsc::Sender<(ClassRef, Result<Vec<nodes::offer::InstanceType>, String>)>,
    inventories: mpsc::Receiver<Inventory>,
    inventories_tx: mpsc::Sender<Inventory>,
    counted: Option<Instant>,
    resumed: bool,
    left_over: BTreeMap<nodes::shape::ShapeId, String>,
    rivals: watch::Receiver<Option<Rivals>>,
    led: bool,
    refreshed: Instant,
    shadowed: Vec<String>,
    pools: PoolReports,
}

impl Daemon {
    fn new(settings: Settings, client: kube::Client, clouds: Arc<[Arc<dyn Cloud>]>, identity: &str, ready: Ready) -> Self {
        let (sightings_tx, sightings) = mpsc::channel(1024);
        let (polled_tx, polled) = mpsc::channel(1024);
        let (done_tx, done) = mpsc::channel(256);
        let (resolved_tx, resolved) = mpsc::channel(64);
        let (offers_tx, offers) = mpsc::channel(16);
        let (inventories_tx, inventories) = mpsc::channel(4);
        let poller = Poller::new(polled_tx);
        poller.pause_all();
        metrics::gauge!(names::LEADER).set(0.0);
        let mut daemon = Self {
            dispatcher: Dispatcher::new(Actor::new(client.clone(), Arc::clone(&clouds)), done_tx),
            reports: report::start(client.clone(), identity),
            rivals: rivals::look(client.clone()),
            settings,
            client,
            clouds,
            ready,
            state: State::default(),
            poller,
            sightings,
            sightings_tx,
            watches: JoinSet::new(),
            round: 0,
            polled,
            owners: BTreeMap::new(),
            next_trigger: 0,
            done,
            resolved,
            resolved_tx,
            offers,
            offers_tx,
            inventories,
            inventories_tx,
            counted: None,
            resumed: false,
            left_over: BTreeMap::new(),
            led: false,
            refreshed: Instant::now(),
            shadowed: Vec::new(),
            pools: PoolReports::default(),
        };
        daemon.begin_round();
        daemon
    }

    async fn run(mut self, mut leadership: Leadership, stop: impl Future<Output = ()>) {
        tokio::pin!(stop);
        let mut next = Instant::now();
        let mut turned = next - BREATH;
        loop {
            tokio::select! {
                () = &mut stop => return,
                _ = leadership.changed() => {}
                Some(sighting) = self.sightings.recv() => self.see(sighting),
                Some(polled) = self.polled.recv() => self.read(polled),
                Some(done) = self.done.recv() => self.learn(done),
                Some(resolved) = self.resolved.recv() => self.bind(resolved),
                Some((class, offers)) = self.offers.recv() => self.offer(class, offers),
                Some(inventory) = self.inventories.recv() => self.compare(inventory),
                () = tokio::time::sleep_until(next) => {}
            }
            tokio::time::sleep_until(turned + BREATH).await;
            self.take_in_all_news();
            let leads = leadership.borrow().is_some_and(|until| until > Instant::now());
            next = self.turn(leads);
            turned = Instant::now();
        }
    }

    fn take_in_all_news(&mut self) {
        for _ in 0..MOST_NEWS {
            if let Ok(done) = self.done.try_recv() {
                self.learn(done);
            } else if let Ok(sighting) = self.sightings.try_recv() {
                self.see(sighting);
            } else if let Ok(polled) = self.polled.try_recv() {
                self.read(polled);
            } else if let Ok(resolved) = self.resolved.try_recv() {
                self.bind(resolved);
            } else {
                return;
            }
        }
    }

    /// Watches are begun anew with each leadership: what a standby has seen may lag behind what the leader before it wrote.
    fn begin_round(&mut self) {
        self.round += 1;
        self.state.begin_round();
        self.watches = watch_all(&self.client, self.round, &self.sightings_tx);
    }

    fn see(&mut self, sighting: Sighting) {
        if sighting.round == self.round {
            self.state.see(Timestamp::now(), sighting.seen);
        }
    }

    fn compare(&mut self, inventory: Inventory) {
        if self.led && self.state.is_complete() && self.may_write(Layer::Nodes) {
            inventory.compare(&mut self.state.cluster, &self.state.unreadable_claims);
        }
    }

    fn read(&mut self, polled: Polled) {
        let Some(scaled) = self.owners.get(&polled.id).and_then(|key| self.state.scaled.get_mut(key)) else { return };
        scaled.read(polled.id, polled.reading);
    }

    fn learn(&mut self, done: Done) {
        self.dispatcher.ended(&done);
        let kind = done.action.kind();
        let result = if done.result.is_ok() { "ok" } else { "failed" };
        metrics::counter!(names::ACTIONS, "kind" => kind, "result" => result).increment(1);
        if let Action::Scale { workload, from, to, .. } = &done.action {
            if let Some(known) = self.state.cluster.workloads.get_mut(workload) {
                known.writing = None;
            }
            for scaled in self.state.scaled.values_mut().filter(|scaled| scaled.target == *workload) {
                scaled.dirty = true;
                let landed = |fact: &Fact| matches!(fact, Fact::Scaled { replicas, .. } if replicas == to);
                if done.result.as_ref().is_ok_and(|facts| facts.iter().any(landed)) {
                    let note = scaled.scaled_note(from.0, to.0);
                    drop(self.reports.send(Report::Event { about: Box::new(scaled.reference()), note }));
                }
            }
        }
        match done.result {
            Ok(facts) => {
                tracing::info!(action = %done.action, "done");
                for fact in facts {
                    self.state.learn(Timestamp::now(), fact);
                }
            }
            Err(error) => {
                tracing::warn!(action = %done.action, %error, "failed and will be tried again");
                // A claim that the API server refuses will be refused again: its pods are planned anew.
                let refused = matches!(error, ActError::Kube { code: 400..=499, .. })
                    && !matches!(error, ActError::Kube { code: 408 | 409 | 429, .. });
                if let (true, Action::CreateClaim { name, spec }) = (refused, &done.action) {
                    self.state.cluster.delete_claim(name, None);
                    self.state.refused_pools.insert(spec.pool.clone(), (error.to_string(), Instant::now()));
                    self.state.refresh_pools();
                }
            }
        }
    }

    fn bind(&mut self, resolved: Resolved) {
        let Some(scaled) = self.state.scaled.get_mut(&resolved.key) else { return };
        // Where the API server did not answer, what was bound before stays; the next refresh asks again.
        if scaled.object.metadata.generation != resolved.generation || resolved.unanswered && scaled.policy.is_some() {
            return;
        }
        let bound = resolve::bind(scaled, resolved, &mut self.next_trigger);
        let interval = bound.interval;
        for (id, trigger) in bound.set {
            self.owners.insert(id, scaled.key());
            self.poller.set(id, trigger, interval);
        }
        for id in scaled.bind(bound.result) {
            self.owners.remove(&id);
            self.poller.remove(id);
        }
    }

    fn offer(&mut self, class: ClassRef, offers: Result<Vec<nodes::offer::InstanceType>, String>) {
        match offers {
            Ok(types) => drop(self.state.offers.0.insert(class, Arc::new(types))),
            Err(error) => {
                tracing::warn!(%class, error, "what can be bought is not known");
                if self.state.cluster.classes.contains(&class) {
                    self.state.news.classes.insert(class);
                }
            }
        }
    }

    /// One turn. Returns when the next one is due, news apart.
    fn turn(&mut self, leads: bool) -> Instant {
        let begun = Instant::now();
        self.change_role(leads);
        let complete = self.state.is_complete() && self.rivals.borrow().is_some();
        self.ready.store(self.state.is_complete(), Ordering::Relaxed);
        self.follow_up();
        if !leads || !complete {
            return begun + SLOW;
        }
        let now = Timestamp::now();
        if !self.resumed && self.may_write(Layer::Nodes) {
            self.resumed = true;
            self.resume_clouds();
        }
        if self.counted.is_none_or(|counted| counted.elapsed() > inventory::EVERY) && self.may_write(Layer::Nodes) {
            self.counted = Some(begun);
            inventory::take(&self.clouds, &self.inventories_tx);
        }
        // Replicas come before nodes, so that intent is planned for in the same turn; reports come last, of what was decided.
        let scales = self.decide_replicas(now);
        let plan = self.decide_nodes(now);
        self.carry_out(now, scales, &plan);
        self.report(now, &plan);
        metrics::histogram!(names::TURN_SECONDS).record(begun.elapsed().as_secs_f64());
        self.next_turn(begun, now, &plan)
    }

    fn change_role(&mut self, leads: bool) {
        if leads == self.led {
            return;
        }
        self.led = leads;
        metrics::gauge!(names::LEADER).set(if leads { 1.0 } else { 0.0 });
        if leads {
            tracing::info!("this process leads");
            self.counted = None;
            self.resumed = false;
            // What was read and remembered before may be old, or another's: a leader begins with what the objects tell.
            let now = Timestamp::now();
            self.state.scaled.values_mut().for_each(|scaled| scaled.begin_anew(now));
            self.state.memory = nodes::decide::Memory::default();
            // What was only planned then may have been served by another since.
            self.state.cluster.claims.retain(|_, claim| claim.uid.is_some());
            self.begin_round();
            self.poller.resume_all();
        } else {
            tracing::info!("this process stands by");
            self.poller.pause_all();
        }
    }

    /// Goes on with whatever was begun at the clouds.
    fn resume_clouds(&self) {
        for cloud in &*self.clouds {
            let cloud = Arc::clone(cloud);
            tokio::spawn(async move {
                while let Err(error) = cloud.resume().await {
                    tracing::warn!(%error, "what was begun at the cloud is not known yet");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            });
        }
    }

    /// Asks for what is not in any watch: secrets of triggers, offers of classes.
    fn follow_up(&mut self) {
        if self.refreshed.elapsed() > REFRESH {
            self.refreshed = Instant::now();
            self.state.forget_refused_templates();
            self.state.refresh_pools();
            self.state.news.unresolved.extend(self.state.scaled.keys().cloned());
        }
        let news = std::mem::take(&mut self.state.news);
        for (kind, key, error) in news.unreadable {
            tracing::warn!(?kind, object = %key, error, "an object cannot be read and is left alone");
        }
        for scaled in news.dropped {
            for trigger in &scaled.triggers {
                self.owners.remove(&trigger.id);
                self.poller.remove(trigger.id);
            }
        }
        if self.state.is_complete() {
            for key in news.unresolved {
                if let Some(scaled) = self.state.scaled.get(&key) {
                    resolve::start(&self.client, &self.settings.namespace, scaled, &self.state.auths, self.resolved_tx.clone());
                }
            }
        } else {
            self.state.news.unresolved = news.unresolved;
        }
        for class in news.classes {
            let serves = |cloud: &&Arc<dyn Cloud>| class.group == cloud.kind().0 && class.kind == cloud.kind().1;
            if let Some(cloud) = self.clouds.iter().find(serves).cloned() {
                let tx = self.offers_tx.clone();
                tokio::spawn(async move {
                    let offers = cloud.offers(&class).await.map_err(|error| format!("{:#}", anyhow::Error::from(error)));
                    if offers.is_err() {
                        tokio::time::sleep(OFFERS_AGAIN).await;
                    }
                    drop(tx.send((class, offers)).await);
                });
            }
        }
    }

    fn decide_replicas(&mut self, now: Timestamp) -> Vec<Action> {
        let conflicts = resolve::conflicts(&self.state);
        let writes = self.may_write(Layer::Workloads);
        let drives_nodes = writes || !self.may_write(Layer::Nodes);
        let mut actions = Vec::new();
        // Made anew each turn: what nobody wants any more is not in it.
        let mut wanted = BTreeMap::new();
        for (key, scaled) in &mut self.state.scaled {
            if scaled.object.metadata.deletion_timestamp.is_some() {
                if scaled.has_finalizer() && !scaled.is_shadow() {
                    actions.push(Action::ReleaseScaled { object: key.clone() });
                }
                continue;
            }
            let workload = self.state.cluster.workloads.get(&scaled.target);
            scaled.set_obstacle(workload.is_some(), conflicts.get(key));
            let Some(workload) = workload.filter(|_| scaled.may_scale()) else { continue };
            if let Some(autoscaler) = scaled.left_autoscaler(&self.state.hpas).filter(|_| !scaled.is_shadow()) {
                actions.push(Action::RemoveAutoscaler { autoscaler });
            }
            // Replicas that nobody will write are no reason to start nodes, unless nodes are only thought of too.
            let drives = drives_nodes && !scaled.is_shadow();
            let due = scaled.demand.as_ref().and_then(|demand| demand.look_again).is_some_and(|due| due <= now);
            if workload.writing.is_some() || !(scaled.dirty || due || scaled.saw(workload.replicas)) {
                wanted.extend(scaled.demand.as_ref().filter(|_| drives).map(|demand| (scaled.target.clone(), demand.want)));
                continue;
            }
            let counts = self.state.cluster.counts_of(workload);
            scaled.decide(
                now,
                Present { replicas: workload.replicas, existing: workload.existing, ready: springtide_core::units::Replicas(counts.ready) },
            );
            let Some(demand) = &scaled.demand else { continue };
            let (want, reasons) = (demand.want, demand.reasons.clone());
            if drives {
                wanted.insert(scaled.target.clone(), want);
            }
            if want != workload.replicas && (scaled.is_shadow() || !writes) {
                if scaled.is_news_in_shadow(want) {
                    let action = format!("scale {} from {} to {want}", scaled.target, workload.replicas);
                    tracing::info!(scaled_object = %key, action, "not done: shadow mode");
                }
            } else if want != workload.replicas {
                actions.push(Action::Scale {
                    workload: scaled.target.clone(),
                    version: workload.version,
                    from: workload.replicas,
                    to: want,
                    reasons,
                });
            }
        }
        self.state.wanted = wanted;
        actions
    }

    fn decide_nodes(&mut self, now: Timestamp) -> Plan {
        let memory = std::mem::take(&mut self.state.memory);
        let (mut plan, memory) = nodes::decide::decide(now, &self.state.cluster, &self.state.wanted, &self.state.offers, EFFORT, memory);
        self.state.memory = memory;
        // A plan that breaks a promise is a defect of ours: what it breaks it with is not done, and the rest is.
        let breaches = check::check(now, &self.state.cluster, &self.state.wanted, &self.state.offers, &plan);
        for breach in &breaches {
            tracing::error!(%breach, "a plan was refused in part: this is a defect of the planner");
        }
        let refused: BTreeSet<usize> = breaches.into_iter().flat_map(|breach| breach.actions).collect();
        let mut at = 0..;
        plan.actions.retain(|_| at.next().is_none_or(|i| !refused.contains(&i)));
        plan
    }

    fn carry_out(&mut self, now: Timestamp, scales: Vec<Action>, plan: &Plan) {
        let workloads = self.may_write(Layer::Workloads);
        let nodes = self.may_write(Layer::Nodes);
        for action in scales {
            if !workloads {
                tracing::debug!(%action, "not done: shadow mode");
                continue;
            }
            if !matches!(action, Action::Scale { .. }) {
                self.dispatcher.begin(&action, None);
            } else if let Action::Scale { workload, to, .. } = &action
                && self.dispatcher.begin(&action, None)
                && let Some(known) = self.state.cluster.workloads.get_mut(workload)
            {
                known.writing = Some(*to);
            }
        }
        if nodes {
            for (name, claim) in as_planned(plan, &self.state.cluster, now) {
                self.state.cluster.apply_claim(name, claim);
            }
        }
        for action in &plan.actions {
            if nodes && !self.is_in_shadow(action) || matches!(action, Action::Probe { .. }) {
                let claim = action.claim().and_then(|name| self.state.cluster.claims.get(name));
                self.dispatcher.begin(action, claim);
            } else {
                tracing::debug!(%action, "not done: shadow mode");
            }
        }
    }

    /// Whether an action is about a node of a pool that is in shadow mode by annotation.
    fn is_in_shadow(&self, action: &Action) -> bool {
        let cluster = &self.state.cluster;
        let of_claim = action.claim().and_then(|name| cluster.claims.get(name)).map(|claim| &claim.spec.pool);
        let of_node = || action.node().and_then(|name| cluster.nodes.get(name)).and_then(|node| node.labels.get(nodes::NODE_POOL));
        of_claim.or_else(of_node).is_some_and(|pool| self.state.shadow_pools.contains(pool))
    }

    /// Whether this layer writes: it is ours to run, nobody else is at work in it, and it is not in shadow mode.
    fn may_write(&mut self, layer: Layer) -> bool {
        let rivals = self.rivals.borrow().clone().unwrap_or_default();
        let (name, rival) = match layer {
            Layer::Workloads => ("workloads", rivals.keda),
            Layer::Nodes => ("nodes", rivals.karpenter),
        };
        let why = if !self.settings.layers.contains(&layer) {
            Some(format!("{name}: not among --layers"))
        } else if self.settings.shadow {
            Some(format!("{name}: --shadow"))
        } else {
            rival.map(|lease| format!("{name}: another controller renews its Lease {lease}"))
        };
        self.shadowed.retain(|known| !known.starts_with(name) || Some(known) == why.as_ref());
        if let Some(why) = &why
            && !self.shadowed.contains(why)
        {
            tracing::info!(layer = name, reason = why, "this layer is in shadow mode: it decides and writes nothing");
            self.shadowed.push(why.clone());
        }
        why.is_none()
    }

    fn report(&mut self, now: Timestamp, plan: &Plan) {
        self.explain_left_over(plan);
        let holdings = pools::holdings(&self.state.cluster);
        for (pool, held) in &holdings {
            metrics::gauge!(names::NODES, "nodepool" => pool.to_string()).set(f64::from(held.machines));
            #[expect(clippy::cast_precision_loss, reason = "a price is far below 2^52 millionths of a dollar")]
            metrics::gauge!(names::PRICE, "nodepool" => pool.to_string()).set(held.price as f64 / 1e6);
        }
        metrics::gauge!(names::UNPLACED).set(plan.unplaced.iter().map(|unplaced| f64::from(unplaced.count)).sum::<f64>());
        let pool_reports = self.pools.changes(now, &self.state, &holdings);
        if self.may_write(Layer::Nodes) {
            pool_reports.into_iter().for_each(|report| drop(self.reports.send(report)));
        }
        let writes = self.may_write(Layer::Workloads);
        for (key, scaled) in &mut self.state.scaled {
            scaled.withheld = plan.withheld.iter().find(|(workload, _)| *workload == scaled.target).map(|(_, reason)| reason.clone());
            scaled.count();
            if !writes {
                continue;
            }
            if let Some(patch) = scaled.status(now) {
                drop(self.reports.send(Report::Status { kind: crate::kube::watch::Custom::ScaledObject, key: key.clone(), patch }));
            }
            let about = scaled.reference();
            for note in scaled.notes() {
                drop(self.reports.send(Report::Event { about: Box::new(about.clone()), note }));
            }
        }
    }

    /// Says why pods get no node: in the log and at the pods, once for each reason.
    fn explain_left_over(&mut self, plan: &Plan) {
        let writes = self.may_write(Layer::Nodes);
        let why = |unplaced: &Unplaced| unplaced.reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        let now: BTreeMap<_, _> = plan.unplaced.iter().map(|unplaced| (unplaced.shape, why(unplaced))).collect();
        for unplaced in &plan.unplaced {
            let Some(text) = now.get(&unplaced.shape).filter(|text| self.left_over.get(&unplaced.shape) != Some(*text)) else { continue };
            let waiting = self.state.cluster.waiting().get(&unplaced.shape);
            let first = waiting.and_then(|pods| pods.first()).map_or_else(|| "pods that are wanted".to_owned(), ToString::to_string);
            tracing::info!(pods = unplaced.count, first, reason = text, "no node for pods");
            for key in waiting.into_iter().flatten().take(MOST_EVENTS) {
                let Some(pod) = self.state.cluster.pods.get(key) else { continue };
                let about = ObjectReference {
                    api_version: Some("v1".to_owned()),
                    kind: Some("Pod".to_owned()),
                    name: Some(key.name.to_string()),
                    namespace: Some(key.namespace.to_string()),
                    uid: Some(pod.uid.to_string()),
                    ..ObjectReference::default()
                };
                let note = Note { warning: true, reason: "FailedScheduling", action: "Plan", message: text.clone() };
                if writes {
                    drop(self.reports.send(Report::Event { about: Box::new(about), note }));
                }
            }
        }
        self.left_over = now;
    }

    fn next_turn(&mut self, begun: Instant, now: Timestamp, plan: &Plan) -> Instant {
        let of_scaled = self.state.scaled.values().filter_map(|scaled| scaled.demand.as_ref()?.look_again);
        let due = of_scaled.chain(plan.look_again).filter(|due| *due > now).min();
        let wait = due.and_then(|due| Duration::try_from(due.duration_since(now)).ok()).unwrap_or(SLOW);
        let next = begun + wait.clamp(BREATH, SLOW);
        self.dispatcher.next_retry().map_or(next, |retry| next.min(retry.max(begun + BREATH)))
    }
}
