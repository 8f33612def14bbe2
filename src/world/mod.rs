//! A world made of structs: queues, workers, machines that boot, a Spot market. The decider that runs in a cluster runs here unchanged.
//!
//! Time and chance are data: a story and a seed tell the same, however fast a watch runs beside it. A plan that breaks a promise ends the world.

mod account;
mod agenda;
mod chance;
mod hands;
mod market;
mod pods;
mod queue;
mod story;
mod turn;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use springtide_core::name::{Key, Name};
use springtide_core::nodes::cluster::Cluster;
use springtide_core::nodes::decide::Memory;
use springtide_core::nodes::offer::{CapacityType, Offers};
use springtide_core::nodes::workload::WorkloadKey;
use springtide_core::plan::ActionKey;
use springtide_core::reading::Reading;
use springtide_core::scale::decide as scale;
use springtide_core::units::Replicas;
use springtide_core::{Span, Timestamp};

use self::account::Account;
use self::agenda::{Agenda, Event, later};
use self::chance::{Chance, between};
use self::market::Market;
use self::pods::Worker;
use self::queue::{Message, Queue};
use self::story::Story;
use crate::manifests::finding::{Finding, Severity};
use crate::manifests::{Fault, Limits, parse};
use crate::objects;
use crate::web::view::Sort;

/// The demo's objects and what happens to them.
const DEMO: (&str, &str) = (include_str!("../../config/demo/cluster.yaml"), include_str!("../../config/demo/story.yaml"));
/// A world begins here, so that its moments are the same each time.
const BEGINNING: Timestamp = Timestamp::constant(1_767_225_600, 0);
/// Turns follow one another no faster than this, as in the daemon.
const BREATH: Span = Span::from_millis(20);
/// Messages of a burst come in steps of this.
const STEP: Span = Span::from_millis(100);
/// A point of the course is taken down this often.
const SAMPLE: Span = Span::from_secs(1);
/// A story that has not ended so long after its last message never will.
const PATIENCE: Span = Span::from_hours(1);

/// What keeps a world from being made or going on.
#[derive(Debug, thiserror::Error)]
pub enum WorldError {
    /// Its manifests cannot be read.
    #[error("the manifests of the world: {error}")]
    Manifests {
        /// Why.
        error: String,
    },
    /// Its story cannot be read.
    #[error("the story of the world: {error}")]
    Story {
        /// Why.
        error: String,
    },
    /// An object that a world has no use for.
    #[error("the manifests of the world: a {kind} has no part in it; remove it")]
    NoPart {
        /// Its kind.
        kind: String,
    },
    /// The decider has broken one of its promises: a defect of ours.
    #[error("{breaches}; this is a defect of the planner: please report it with the seed {seed}")]
    Breach {
        /// Which.
        breaches: String,
        /// The world's seed.
        seed: u64,
    },
    /// It does not come to an end.
    #[error("an hour after its last message, the world of seed {seed} still has {what}")]
    Endless {
        /// What is left.
        what: String,
        /// The world's seed.
        seed: u64,
    },
}

/// Kinds that have a part in a world: the rest comes of itself, or never.
const PLAYED: [&str; 6] = ["Deployment", "KWOKNodeClass", "NodePool", "ScaledObject", "Secret", "TriggerAuthentication"];

/// The objects that a world begins with, from manifests as anybody would apply them.
fn objects_of(manifests: &str) -> Result<objects::Objects, WorldError> {
    let parsed = parse(&"the world".into(), manifests, &Limits::default());
    let wrong = |errors: Vec<String>| if errors.is_empty() { Ok(()) } else { Err(WorldError::Manifests { error: errors.join("; ") }) };
    wrong(parsed.faults.iter().map(|Fault { line, what, remedy, .. }| format!("line {line}: {what}; {remedy}")).collect())?;
    if let Some(other) = parsed.documents.iter().find(|document| !PLAYED.contains(&document.kind.as_str())) {
        return Err(WorldError::NoPart { kind: other.kind.clone() });
    }
    let objects = objects::read(&parsed.documents);
    wrong(objects.findings.iter().filter(|finding| finding.severity == Severity::Problem).map(Finding::to_string).collect())?;
    match objects.passed_over.keys().next() {
        Some(kind) => Err(WorldError::NoPart { kind: kind.clone() }),
        None => Ok(objects),
    }
}

/// A ScaledObject with what is read and remembered of it.
#[derive(Debug)]
struct Scaled {
    object: objects::Scaled,
    queues: Vec<usize>,
    readings: Vec<Option<Reading>>,
    memory: scale::Memory,
    demand: Option<scale::Demand>,
}

/// A world.
#[derive(Debug)]
pub struct World {
    seed: u64,
    now: Timestamp,
    story: Story,
    agenda: Agenda,
    chance: Chance,
    // What the decider knows and remembers.
    cluster: Cluster,
    scaled: Vec<Scaled>,
    wanted: BTreeMap<WorkloadKey, Replicas>,
    offers: Offers,
    memory: Memory,
    on_the_way: BTreeSet<ActionKey>,
    next_turn: Option<Timestamp>,
    turned: Timestamp,
    // What there is.
    queues: Vec<Queue>,
    workers: BTreeMap<Key, Worker>,
    grace: BTreeMap<WorkloadKey, Span>,
    market: Market,
    serial: u64,
    drained: Option<Timestamp>,
    // What is told.
    account: Account,
}

impl World {
    /// The demo's world.
    ///
    /// # Errors
    /// A defect of its files.
    pub fn demo(seed: u64) -> Result<Self, WorldError> {
        let story = serde_saphyr::from_str(DEMO.1).map_err(|error| WorldError::Story { error: error.to_string() })?;
        Self::new(DEMO.0, story, seed)
    }

    /// A world with these objects, in which this happens.
    ///
    /// # Errors
    /// What cannot be read, or has no part in a world.
    pub fn new(manifests: &str, story: Story, seed: u64) -> Result<Self, WorldError> {
        let objects::Objects { cluster, scaled, grace, .. } = objects_of(manifests)?;
        let mut chance = Chance::new(seed);
        let market = Market::new(&story.machines.zones, &mut chance.prices);
        let offers = Offers(cluster.classes.iter().map(|class| (class.clone(), Arc::clone(&market.types))).collect());
        let queues: Vec<Queue> = story.queues.iter().map(|queue| Queue::new(&queue.name)).collect();
        let of_name = |name: &String| {
            let known = story.queues.iter().position(|queue| queue.name == *name);
            known.ok_or_else(|| WorldError::Story { error: format!("there is no queue {name}, which a trigger asks; add it to queues") })
        };
        let scaled = scaled.into_iter().map(|object| {
            let queues = object.triggers.iter().map(|trigger| of_name(&trigger.queue)).collect::<Result<Vec<_>, _>>()?;
            Ok(Scaled { readings: vec![None; queues.len()], queues, object, memory: scale::Memory::default(), demand: None })
        });
        let scaled = scaled.collect::<Result<Vec<_>, WorldError>>()?;
        let mut world = Self {
            seed,
            now: BEGINNING,
            agenda: Agenda::default(),
            chance,
            cluster,
            scaled,
            wanted: BTreeMap::new(),
            offers,
            memory: Memory::default(),
            on_the_way: BTreeSet::new(),
            next_turn: None,
            turned: BEGINNING,
            queues,
            workers: BTreeMap::new(),
            grace,
            market,
            serial: 1,
            drained: None,
            account: Account::new(BEGINNING),
            story,
        };
        world.put_down_the_story();
        Ok(world)
    }

    fn put_down_the_story(&mut self) {
        let at = |span: Span| later(BEGINNING, span);
        for (queue, story) in self.story.queues.iter().enumerate() {
            for arrivals in &story.arrivals {
                let steps = u32::try_from(arrivals.over.0.as_millis() / STEP.as_millis()).unwrap_or(0).max(1);
                let until = |step: u32| u64::from(arrivals.messages) * u64::from(step) / u64::from(steps);
                for step in 0..steps {
                    let messages = u32::try_from(until(step + 1) - until(step)).unwrap_or(0);
                    if messages > 0 {
                        self.agenda.add(
                            at(arrivals.at.0.saturating_add(STEP * i32::try_from(step).unwrap_or(0))),
                            Event::Arrive { queue, messages },
                        );
                    }
                }
            }
        }
        for (number, stock_out) in self.story.stock_outs.iter().enumerate() {
            self.agenda.add(at(stock_out.at.0), Event::StockOut { number });
        }
        for (number, interruption) in self.story.interruptions.iter().enumerate() {
            self.agenda.add(at(interruption.at.0), Event::Interruption { number });
        }
        for scaled in 0..self.scaled.len() {
            self.agenda.add(BEGINNING, Event::Poll { scaled });
        }
        self.agenda.add(BEGINNING, Event::Sample);
    }

    /// Goes on until this long after the beginning, or until all is done, and says whether it is.
    ///
    /// # Errors
    /// The decider has broken a promise, or the world does not come to an end.
    pub fn run_until(&mut self, span: Span) -> Result<bool, WorldError> {
        let until = later(BEGINNING, span);
        while self.drained.is_none() {
            let Some((at, event)) = self.agenda.take(until) else { break };
            self.now = at;
            self.account.at(at);
            self.happen(event)?;
            self.look_whether_drained()?;
        }
        if self.drained.is_none() {
            self.now = self.now.max(until);
            self.account.at(self.now);
        }
        Ok(self.drained.is_some())
    }

    /// How long after the beginning it is.
    #[must_use]
    pub fn elapsed(&self) -> Span {
        self.now.duration_since(BEGINNING)
    }

    fn happen(&mut self, event: Event) -> Result<(), WorldError> {
        match event {
            Event::Turn => return self.turn(),
            Event::Poll { scaled } => self.poll(scaled),
            Event::Arrive { queue, messages } => self.arrive(queue, messages),
            Event::Landed(action) => self.land(*action),
            Event::Control(workload) => self.control(workload),
            Event::Schedule => self.schedule(),
            Event::Started { pod } => self.started(pod),
            Event::Finished { pod } => self.finished(pod),
            Event::Killed { pod } => self.killed(&pod),
            Event::Joined { claim } => self.joined(&claim),
            Event::Ready { claim } => self.ready(&claim),
            Event::StockOut { number } => self.sell_out(number),
            Event::Interruption { number } => self.interrupt(number),
            Event::TakenAway { claim } => self.end_machine(&claim),
            Event::Sample => self.sample(),
        }
        Ok(())
    }

    fn poll(&mut self, number: usize) {
        let Some(scaled) = self.scaled.get_mut(number) else { return };
        for (reading, queue) in scaled.readings.iter_mut().zip(&scaled.queues) {
            *reading = self.queues.get(*queue).map(|queue| queue.reading(self.now));
        }
        self.agenda.add(later(self.now, scaled.object.interval), Event::Poll { scaled: number });
        self.turn_soon();
    }

    fn arrive(&mut self, at: usize, messages: u32) {
        let (Some(queue), Some(story)) = (self.queues.get_mut(at), self.story.queues.get(at)) else { return };
        for arrivals in story.arrivals.iter().filter(|arrivals| later(BEGINNING, arrivals.at.0) == self.now) {
            let over = arrivals.over.0.as_secs();
            let what = format!("{} messages begin to come into queue {}", arrivals.messages, story.name);
            self.account.tell(Sort::World, what, format!("all of them within {over} s"));
        }
        for _ in 0..messages {
            let service = between(&mut self.chance.service, story.service.0.0, story.service.1.0);
            queue.put(Message { arrived: self.now, service });
        }
        self.hand_out(at);
    }

    fn killed(&mut self, pod: &Key) {
        if self.workers.contains_key(pod) {
            self.remove_pod(pod);
        }
    }

    fn sell_out(&mut self, number: usize) {
        let Some(stock_out) = self.story.stock_outs.get(number) else { return };
        let until = later(self.now, stock_out.lasting.0);
        // Nobody is told: whoever asks finds out.
        self.market.sell_out(stock_out.offerings, self.now, until);
    }

    fn interrupt(&mut self, number: usize) {
        let Some(interruption) = self.story.interruptions.get(number) else { return };
        let ready = |claim: &springtide_core::nodes::claim::Claim| {
            let spot = claim.machine.as_ref().is_some_and(|machine| machine.capacity_type == CapacityType::Spot);
            spot && claim.progress.initialized.is_some() && !claim.is_going()
        };
        let mut candidates: Vec<Name> =
            self.cluster.claims.iter().filter(|(_, claim)| ready(claim)).map(|(name, _)| name.clone()).collect();
        self.chance.fate.shuffle(&mut candidates);
        let (notice, end) = (self.story.machines.notice.0, later(self.now, self.story.machines.notice.0));
        for name in candidates.into_iter().take(interruption.machines) {
            self.account.tally.interruptions += 1;
            if let Some(machine) = self.cluster.claims.get(&name).and_then(|claim| claim.machine.clone()) {
                let what = format!("the cloud takes back spot {} in zone {}", machine.instance_type, machine.zone);
                self.account.tell(
                    Sort::Interruption,
                    what,
                    format!("in {} s; its pods get another place before they stop", notice.as_secs()),
                );
            }
            self.change_claim(&name, |claim| claim.interrupted = Some(end));
            self.agenda.add(end, Event::TakenAway { claim: name });
        }
        self.turn_soon();
    }

    fn sample(&mut self) {
        let point = self.point();
        self.account.sample(point);
        self.agenda.add(later(self.now, SAMPLE), Event::Sample);
    }

    fn look_whether_drained(&mut self) -> Result<(), WorldError> {
        let last = later(BEGINNING, self.story.last_arrival());
        if self.now <= last {
            return Ok(());
        }
        let messages = self.queues.iter().map(|queue| queue.waiting() + queue.in_flight).sum::<u64>();
        let (pods, machines) = (self.cluster.pods.len(), self.cluster.claims.len());
        if messages == 0 && pods == 0 && machines == 0 && self.on_the_way.is_empty() {
            self.drained = Some(self.now);
            self.account.tell(Sort::World, "all messages are done, and the last machine is gone".to_owned(), String::new());
            let point = self.point();
            self.account.course.push(point);
        } else if self.now > later(last, PATIENCE) {
            let what = format!("{messages} messages, {pods} pods, {machines} machines");
            return Err(WorldError::Endless { what, seed: self.seed });
        }
        Ok(())
    }

    /// The decider has a turn soon: at once, or a breath after the last one.
    fn turn_soon(&mut self) {
        self.turn_at(later(self.turned, BREATH).max(self.now));
    }

    fn turn_at(&mut self, at: Timestamp) {
        if self.next_turn.is_none_or(|next| at < next) {
            self.next_turn = Some(at);
            self.agenda.add(at, Event::Turn);
        }
    }

    fn next_version(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }
}

#[cfg(test)]
mod tests;
