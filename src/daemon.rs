//! The loop: what was seen goes into the state, a turn decides, and what was decided is carried out. The steps of a turn stand in one list.

mod dispatch;
mod inventory;
mod layers;
mod pools;
mod resolve;
mod scaled;
mod standing;
mod state;
mod stores;
mod surroundings;
mod tell;
mod turn;
mod view;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Context;
use jiff::Timestamp;
use springtide_clouds::Cloud;
use springtide_clouds::kwok::{KwokCloud, KwokOptions, KwokPorts};
use springtide_core::name::Key;
use springtide_core::nodes;
use springtide_core::nodes::decide::Options;
use springtide_core::nodes::offer::ClassRef;
use springtide_core::plan::{Action, Plan};
use springtide_scalers::{Polled, Poller, TriggerId};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::dispatch::{Dispatcher, Done};
use self::inventory::Inventory;
use self::layers::Layers;
use self::pools::PoolReports;
use self::resolve::{Resolved, Resolver};
use self::state::State;
use self::tell::Told;
use self::view::{Question, View};
use crate::kube::act::{ActError, Actor, Fact};
use crate::kube::lease::{Leadership, LeaseOptions, compete};
use crate::kube::ports::KubePorts;
use crate::kube::report::{self, Report};
use crate::kube::rivals;
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
    let daemon = Daemon::new(&settings, client, clouds, leadership.clone(), &identity, ready);
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
    client: kube::Client,
    clouds: Arc<[Arc<dyn Cloud>]>,
    ready: Ready,
    state: State,
    options: Options,
    dispatcher: Dispatcher,
    poller: Poller,
    reports: mpsc::UnboundedSender<Report>,
    sightings: mpsc::Receiver<Sighting>,
    sightings_tx: mpsc::Sender<Sighting>,
    watches: JoinSet<()>,
    round: u64,
    polled: mpsc::Receiver<Polled>,
    questions: mpsc::Receiver<Question>,
    owners: BTreeMap<TriggerId, Key>,
    next_trigger: u64,
    done: mpsc::Receiver<Done>,
    resolver: Resolver,
    resolved: mpsc::Receiver<Resolved>,
    offers: mpsc::Receiver<(ClassRef, Result<Vec<nodes::offer::InstanceType>, String>)>,
    offers_tx: mpsc::Sender<(ClassRef, Result<Vec<nodes::offer::InstanceType>, String>)>,
    inventories: mpsc::Receiver<Inventory>,
    inventories_tx: mpsc::Sender<Inventory>,
    counted: Option<Instant>,
    resumed: bool,
    layers: Layers,
    led: bool,
    refreshed: Instant,
    pools: PoolReports,
    told: Told,
}

impl Daemon {
    fn new(
        settings: &Settings,
        client: kube::Client,
        clouds: Arc<[Arc<dyn Cloud>]>,
        leadership: Leadership,
        identity: &str,
        ready: Ready,
    ) -> Self {
        let (sightings_tx, sightings) = mpsc::channel(1024);
        let (polled_tx, polled) = mpsc::channel(1024);
        let (done_tx, done) = mpsc::channel(256);
        let (resolved_tx, resolved) = mpsc::channel(64);
        let (offers_tx, offers) = mpsc::channel(16);
        let (inventories_tx, inventories) = mpsc::channel(4);
        let (view, questions) = View::new(client.clone());
        let poller = Poller::with_options(polled_tx, springtide_scalers::Options { cluster: Some(Arc::new(view)), ..Default::default() });
        poller.pause_all();
        metrics::gauge!(names::LEADER).set(0.0);
        let mut daemon = Self {
            dispatcher: Dispatcher::new(Actor::new(client.clone(), Arc::clone(&clouds)), done_tx),
            reports: report::start(client.clone(), leadership, identity),
            layers: Layers::new(settings, rivals::look(client.clone())),
            resolver: Resolver::new(client.clone(), &settings.namespace, settings.identities.around(), resolved_tx),
            client,
            clouds,
            ready,
            state: State::default(),
            options: settings.planning.into(),
            poller,
            sightings,
            sightings_tx,
            watches: JoinSet::new(),
            round: 0,
            polled,
            questions,
            owners: BTreeMap::new(),
            next_trigger: 0,
            done,
            resolved,
            offers,
            offers_tx,
            inventories,
            inventories_tx,
            counted: None,
            resumed: false,
            led: false,
            refreshed: Instant::now(),
            pools: PoolReports::default(),
            told: Told::default(),
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
                // It waits until all pods are known, and changes nothing, so that there is nothing to decide after it.
                Some(question) = self.questions.recv(), if self.state.is_complete() => {
                    question.answer(&self.state.cluster);
                    continue;
                }
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
        self.watches = watch_all(&self.client, &self.layers.kinds(), self.round, &self.sightings_tx);
        self.state.begin_round(self.watches.len());
    }

    fn see(&mut self, sighting: Sighting) {
        if sighting.round == self.round {
            self.state.see(Timestamp::now(), sighting.seen);
        }
    }

    fn compare(&mut self, inventory: Inventory) {
        if self.led && self.state.is_complete() && self.layers.may_write(Layer::Nodes) {
            let unreadable = self.state.unreadable_claims();
            inventory.compare(&mut self.state.cluster, &unreadable);
        }
    }

    fn read(&mut self, polled: Polled) {
        let Some(scaled) = self.owners.get(&polled.id).and_then(|key| self.state.scaled.get_mut(key)) else { return };
        scaled.read(polled);
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
            // Of two that name one target, only the one that may scale it has done so.
            for scaled in self.state.scaled.values_mut().filter(|scaled| scaled.target == *workload && scaled.may_scale()) {
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
        self.resolver.ended(&resolved.key);
        let Some(scaled) = self.state.scaled.get_mut(&resolved.key) else { return };
        // Where the API server did not answer, what was bound before stays; the next refresh asks again.
        if scaled.object.metadata.generation != resolved.generation || resolved.unanswered && scaled.policy.is_some() {
            return;
        }
        scaled.may_heal = resolved.asked || resolved.unanswered;
        let bound = resolve::bind(scaled, resolved, &mut self.next_trigger);
        let pace = bound.pace;
        for (id, trigger) in bound.set {
            self.owners.insert(id, scaled.key());
            self.poller.set(id, trigger, pace);
        }
        for id in scaled.bind(bound.result) {
            self.owners.remove(&id);
            self.poller.remove(id);
        }
    }

    fn offer(&mut self, class: ClassRef, offers: Result<Vec<nodes::offer::InstanceType>, String>) {
        match offers {
            Ok(types) => {
                self.state.offers.0.insert(class, Arc::new(types));
                self.state.refresh_pools();
            }
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
        let complete = self.state.is_complete() && self.layers.are_known();
        self.ready.store(self.state.is_complete(), Ordering::Relaxed);
        self.follow_up();
        if !leads || !complete {
            return begun + SLOW;
        }
        let now = Timestamp::now();
        self.look_after_machines(begun);
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
        drop(self.reports.send(Report::Forget));
        if leads {
            tracing::info!("this process leads");
            self.counted = None;
            self.resumed = false;
            // What was to be told and was not is told now.
            self.pools = PoolReports::default();
            self.told = Told::default();
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

    /// Once in each leadership what was begun at the clouds is gone on with, and now and then machines are compared with claims.
    fn look_after_machines(&mut self, begun: Instant) {
        if !self.layers.may_write(Layer::Nodes) {
            return;
        }
        if !std::mem::replace(&mut self.resumed, true) {
            self.resume_clouds();
        }
        if self.counted.is_none_or(|counted| counted.elapsed() > inventory::EVERY) {
            self.counted = Some(begun);
            inventory::take(&self.clouds, &self.inventories_tx);
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
        let dropped = news.dropped.iter().flat_map(|scaled| &scaled.triggers).map(|trigger| trigger.id);
        for id in dropped.chain(news.unbound) {
            self.owners.remove(&id);
            self.poller.remove(id);
        }
        let mut unresolved = news.unresolved;
        self.state.news.unresolved = if self.state.is_complete() {
            if self.led {
                let failing = self.state.scaled.iter().filter(|(_, scaled)| scaled.fails_and_may_heal()).map(|(key, _)| key);
                unresolved.extend(self.resolver.due(failing));
            }
            self.resolver.begin(unresolved, &self.state.scaled, &self.state.auths)
        } else {
            unresolved
        };
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

    fn next_turn(&mut self, begun: Instant, now: Timestamp, plan: &Plan) -> Instant {
        let of_scaled = self.state.scaled.values().filter_map(|scaled| scaled.demand.as_ref()?.look_again);
        let due = of_scaled.chain(plan.look_again).filter(|due| *due > now).min();
        let wait = due.and_then(|due| Duration::try_from(due.duration_since(now)).ok()).unwrap_or(SLOW);
        let next = begun + wait.clamp(BREATH, SLOW);
        let retries = [self.dispatcher.next_retry(), self.resolver.next()].into_iter().flatten();
        retries.fold(next, |next, retry| next.min(retry.max(begun + BREATH)))
    }
}
