//! One ScaledObject as the daemon keeps it: what it asks for, what its triggers read, what was decided, and what its status says.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::{Resource, ResourceExt};
use serde_json::{Value, json};
use springtide_api::conditions::keda::reason;
use springtide_api::keda::ScaledObject;
use springtide_api::labels;
use springtide_api::typed::scaled::{self, BoundTrigger};
use springtide_api::typed::{self};
use springtide_core::name::{Key, Name};
use springtide_core::nodes::workload::WorkloadKey;
use springtide_core::reading::{Activity, Reading};
use springtide_core::reason::{IntentReason, ScaleReason};
use springtide_core::scale::decide::{Active, Demand, Health, Memory, decide};
use springtide_core::scale::demand::Present;
use springtide_core::scale::policy::Policy;
use springtide_core::units::Replicas;
use springtide_scalers::{Polled, TriggerId, conceal};

use crate::kube::report::Note;
use crate::telemetry::names;

/// A ScaledObject.
pub struct Scaled {
    /// The object as it was last seen.
    pub object: ScaledObject,
    /// Its target.
    pub target: WorkloadKey,
    /// What it asks for; none until its triggers were resolved and understood.
    pub policy: Option<Policy>,
    /// Its triggers, in the order of their readings.
    pub triggers: Vec<BoundTrigger<TriggerId>>,
    /// What the triggers read.
    pub readings: Vec<Option<Reading>>,
    /// How often the triggers are read at present.
    periods: Vec<Duration>,
    /// What is wrong with it; nothing is scaled while there is anything.
    pub problems: Vec<String>,
    /// Whether what is wrong may heal without any news: it came of something that is not watched.
    pub may_heal: bool,
    readable: bool,
    /// What others keep it from.
    obstacle: Option<String>,
    /// What was decided last.
    pub demand: Option<Demand>,
    /// What keeps wanted pods from coming.
    pub withheld: Option<IntentReason>,
    /// Whether it has to be decided on again.
    pub dirty: bool,
    uncounted: bool,
    /// The replicas that its target had when it was first decided on.
    first_seen: Option<Replicas>,
    memory: Memory,
    reported: Option<Value>,
    told: Told,
}

/// What was last told by events, so that each is told once.
#[derive(Default, PartialEq, Eq)]
struct Told {
    /// The reason of the condition Ready, and its message where each new one is worth an event.
    ready: Option<(&'static str, String)>,
    withheld: bool,
    shadow: Option<Replicas>,
}

impl Scaled {
    /// A ScaledObject that was seen for the first time.
    #[must_use]
    pub fn new(now: Timestamp, object: ScaledObject) -> Self {
        let mut scaled = Self {
            target: scaled::target(&object),
            object,
            policy: None,
            triggers: Vec::new(),
            readings: Vec::new(),
            periods: Vec::new(),
            problems: Vec::new(),
            may_heal: false,
            readable: true,
            obstacle: None,
            demand: None,
            withheld: None,
            dirty: true,
            uncounted: false,
            first_seen: None,
            memory: Memory::default(),
            reported: None,
            told: Told::default(),
        };
        scaled.begin_anew(now);
        scaled
    }

    /// Forgets what was read, decided and remembered, and begins with what the object's status tells: what a new leader does, whether it was one before or not.
    pub fn begin_anew(&mut self, now: Timestamp) {
        self.readings.iter_mut().for_each(|reading| *reading = None);
        (self.demand, self.withheld, self.first_seen, self.dirty) = (None, None, None, true);
        self.told = Told::default();
        self.remember_status(now);
    }

    fn remember_status(&mut self, now: Timestamp) {
        let status = self.object.status.as_ref();
        // One that was active when last heard of counts as active now: a change of leaders never scales in early.
        let was_active = status.is_some_and(scaled::is_active);
        let last_active = if was_active { Some(now) } else { status.and_then(scaled::last_active) };
        self.reported = status.and_then(|status| serde_json::to_value(status).ok());
        self.memory = Memory::restored(last_active);
    }

    /// Its name.
    #[must_use]
    pub fn key(&self) -> Key {
        typed::key(&self.object.metadata)
    }

    /// Takes in a newer version of the object. Says whether its triggers have to be resolved anew.
    pub fn update(&mut self, now: Timestamp, object: ScaledObject) -> bool {
        if typed::version(&object.metadata) < typed::version(&self.object.metadata) {
            return false;
        }
        let changed = object.metadata.generation != self.object.metadata.generation
            || object.metadata.annotations != self.object.metadata.annotations;
        let other = object.metadata.uid != self.object.metadata.uid || scaled::target(&object) != self.target;
        if object.metadata.generation != self.object.metadata.generation || other {
            // Nothing is decided by the old text: its triggers may be others.
            self.policy = None;
        }
        self.target = scaled::target(&object);
        self.object = object;
        self.readable |= changed || other;
        self.dirty |= changed;
        if other {
            self.begin_anew(now);
        }
        if self.demand.is_none() {
            // Nothing was decided here yet: whoever leads keeps the status, and it is what we would begin with.
            self.remember_status(now);
        }
        changed || other
    }

    /// Takes in that it exists and cannot be read, and why. Returns the triggers that it no longer has.
    pub fn cannot_read(&mut self, why: String) -> Vec<TriggerId> {
        self.readable = false;
        self.may_heal = false;
        self.bind(Err(vec![why]))
    }

    /// Whether there is anything to resolve.
    #[must_use]
    pub const fn can_be_read(&self) -> bool {
        self.readable
    }

    /// Whether it fails for want of something that is not watched, and that may be put right without any news: a Secret, for example.
    #[must_use]
    pub fn fails_and_may_heal(&self) -> bool {
        let unread = self.demand.as_ref().is_some_and(|demand| matches!(demand.health, Health::AllFail | Health::SomeFail));
        self.may_heal && (unread || !self.problems.is_empty())
    }

    /// Whether one of its triggers refers to this authentication.
    #[must_use]
    pub fn uses(&self, auth: &Key) -> bool {
        let namespace = self.key().namespace;
        scaled::authentications(&self.object)
            .any(|(name, of_cluster)| auth.name == name && auth.namespace == if of_cluster { "" } else { namespace.as_str() })
    }

    /// Takes in what its triggers resolved to. Returns the triggers that it no longer has.
    pub fn bind(&mut self, bound: Result<(Policy, Vec<BoundTrigger<TriggerId>>), Vec<String>>) -> Vec<TriggerId> {
        let old: Vec<TriggerId> = self.triggers.iter().map(|trigger| trigger.id).collect();
        self.dirty = true;
        self.periods.clear();
        match bound {
            Ok((policy, triggers)) => {
                // A trigger that has not changed keeps its reading, so that a change of another setting does not blind us for a while.
                let readings = triggers.iter().map(|new| {
                    let same = self.triggers.iter().position(|known| known.id == new.id);
                    same.and_then(|i| self.readings.get(i).cloned().flatten())
                });
                self.readings = readings.collect();
                (self.policy, self.triggers, self.problems) = (Some(policy), triggers, Vec::new());
            }
            Err(problems) => {
                // Conditions and events are read by many.
                let problems = problems.iter().map(|problem| conceal(problem).into_owned()).collect();
                (self.policy, self.triggers, self.readings, self.problems) = (None, Vec::new(), Vec::new(), problems);
                self.demand = None;
            }
        }
        old.into_iter().filter(|id| !self.triggers.iter().any(|trigger| trigger.id == *id)).collect()
    }

    /// Takes in a reading.
    pub fn read(&mut self, polled: Polled) {
        let at = self.triggers.iter().position(|trigger| trigger.id == polled.id);
        if let Some((at, slot)) = at.and_then(|at| Some((at, self.readings.get_mut(at)?))) {
            *slot = Some(polled.reading);
            self.periods.resize(self.triggers.len(), Duration::ZERO);
            self.periods[at] = polled.period;
            (self.dirty, self.uncounted) = (true, true);
        }
    }

    /// Whether its target's replicas differ from those that were decided.
    #[must_use]
    pub fn saw(&self, replicas: Replicas) -> bool {
        self.demand.as_ref().is_none_or(|demand| demand.want != replicas)
    }

    /// Takes in what others keep it from: its target is missing, or somebody else scales it.
    pub fn set_obstacle(&mut self, has_target: bool, conflict: Option<&String>) {
        let obstacle = match conflict {
            Some(conflict) => Some(conflict.clone()),
            None if !has_target && self.readable && scaled::has_known_target(&self.object) => {
                Some(format!("spec.scaleTargetRef: {} does not exist; create it or correct the reference", self.target))
            }
            None => None,
        };
        if self.obstacle != obstacle {
            self.obstacle = obstacle;
            self.dirty = true;
        }
    }

    /// Whether nothing is wrong with it.
    #[must_use]
    pub fn may_scale(&self) -> bool {
        self.policy.is_some() && self.obstacle.is_none() && self.problems.is_empty()
    }

    /// Whether it is to be decided on and left alone.
    #[must_use]
    pub fn is_shadow(&self) -> bool {
        self.object.annotations().get(labels::MODE).is_some_and(|mode| mode == "shadow")
    }

    /// Whether KEDA's finalizer is on it.
    #[must_use]
    pub fn has_finalizer(&self) -> bool {
        self.object.finalizers().iter().any(|finalizer| finalizer == labels::KEDA_FINALIZER)
    }

    /// The autoscaler that KEDA made for it, where that is still there.
    #[must_use]
    pub fn left_autoscaler(&self, autoscalers: &BTreeMap<Key, WorkloadKey>) -> Option<Key> {
        let key = self.key();
        let left = Key::new(key.namespace, format!("{}{}", labels::KEDA_HPA_PREFIX, key.name));
        autoscalers.get(&left).is_some_and(|target| *target == self.target).then_some(left)
    }

    /// Counts what was read and decided, once for each reading and decision.
    pub fn count(&mut self) {
        if !std::mem::take(&mut self.uncounted) {
            return;
        }
        let (namespace, name) = (self.object.namespace().unwrap_or_default(), self.object.name_any());
        if let Some(demand) = &self.demand {
            metrics::gauge!(names::REPLICAS_WANTED, "namespace" => namespace.clone(), "scaledObject" => name.clone())
                .set(f64::from(demand.want.0));
        }
        for (i, (trigger, reading)) in self.triggers.iter().zip(&self.readings).enumerate() {
            let labels = [("namespace", namespace.clone()), ("scaledObject", name.clone()), ("metric", trigger.metric.to_string())];
            if let Some(period) = self.periods.get(i).filter(|period| !period.is_zero()) {
                metrics::gauge!(names::SCALER_PERIOD, &labels).set(period.as_secs_f64());
            }
            match reading {
                Some(Reading::Value(sample)) => {
                    #[expect(clippy::cast_precision_loss, reason = "a gauge is a double")]
                    metrics::gauge!(names::SCALER_VALUE, &labels).set(sample.metric.0 as f64 / 1000.0);
                    let active = match sample.activity {
                        Activity::Compare => sample.metric > trigger.activation,
                        Activity::Known(active) => active,
                    };
                    metrics::gauge!(names::SCALER_ACTIVE, &labels).set(f64::from(u8::from(active)));
                }
                Some(_) => metrics::counter!(names::SCALER_ERRORS, &labels).increment(1),
                None => {}
            }
        }
    }

    /// Whether it is news that these replicas would be written, were it not for shadow mode.
    pub fn is_news_in_shadow(&mut self, replicas: Replicas) -> bool {
        self.told.shadow.replace(replicas) != Some(replicas)
    }

    /// A reference to it, for events.
    #[must_use]
    pub fn reference(&self) -> ObjectReference {
        self.object.object_ref(&())
    }

    /// Decides on it, where its target is like this.
    pub fn decide(&mut self, now: Timestamp, present: Present) {
        let Some(policy) = &self.policy else { return };
        self.first_seen.get_or_insert(present.replicas);
        let (demand, memory) = decide(now, policy, present, &self.readings, std::mem::take(&mut self.memory));
        self.memory = memory;
        self.demand = Some(demand);
        self.dirty = false;
    }

    /// The status as it should be now, where that differs from what was last written.
    pub fn status(&mut self, now: Timestamp) -> Option<Value> {
        let unread = self.demand.as_ref().is_none_or(|demand| demand.health == Health::NotRead);
        if unread && self.reported.is_some() && self.problems.is_empty() && self.obstacle.is_none() {
            // What was said before stays until there is something to say.
            return None;
        }
        let status = self.wanted_status(now);
        let known = self.reported.as_ref();
        let differs = status.as_object().is_some_and(|fields| {
            fields.iter().any(|(key, value)| known.and_then(|known| known.get(key)).unwrap_or(&Value::Null) != value)
        });
        if !differs {
            return None;
        }
        let patch = json!({ "status": status });
        match (&mut self.reported, status) {
            (Some(Value::Object(known)), Value::Object(new)) => known.extend(new),
            (known, new) => *known = Some(new),
        }
        Some(patch)
    }

    fn wanted_status(&self, now: Timestamp) -> Value {
        let known = |field: &str| self.reported.as_ref().and_then(|status| status.get(field)).cloned();
        let original =
            known("originalReplicaCount").filter(|value| !value.is_null()).or_else(|| self.first_seen.map(|replicas| json!(replicas.0)));
        let was_active = self.reported.as_ref().and_then(|status| status.pointer("/conditions")).is_some_and(|all| {
            all.as_array().into_iter().flatten().any(|c| c.get("type") == Some(&json!("Active")) && c.get("status") == Some(&json!("True")))
        });
        let is_active = self.demand.as_ref().is_some_and(|demand| demand.activity == Active::Yes);
        // Written on edges only: between them, Active=True says that it was active until now.
        let last_active = match (was_active, is_active) {
            (false, true) => Some(json!(format!("{now:.0}"))),
            (true, false) => Some(json!(format!("{:.0}", self.memory.last_active.unwrap_or(now)))),
            _ => known("lastActiveTime"),
        };
        let names: Vec<&Name> = self.triggers.iter().map(|trigger| &trigger.metric).collect();
        json!({
            "scaleTargetKind": scaled::target_kind(&self.object),
            "scaleTargetGVKR": scaled::target_gvkr(&self.object),
            "externalMetricNames": names,
            "originalReplicaCount": original,
            "lastActiveTime": last_active,
            "conditions": self.conditions(),
            "triggersTypes": scaled::trigger_types(&self.object),
            "authenticationsTypes": scaled::authentication_names(&self.object),
        })
    }

    fn conditions(&self) -> Value {
        let condition = |kind: &str, status: &str, reason: &str, message: String| json!({ "type": kind, "status": status, "reason": reason, "message": message });
        let (ready, ready_reason, ready_message) = self.readiness();
        let demand = self.demand.as_ref();
        let cooling = demand.is_some_and(|d| d.reasons.iter().any(|reason| matches!(reason, ScaleReason::Cooldown { .. })));
        let (active, active_reason) = match demand.map(|d| d.activity) {
            Some(Active::Yes) => ("True", "ScalerActive"),
            Some(Active::No) if cooling => ("False", "ScalerCooldown"),
            Some(Active::No) => ("False", "ScalerNotActive"),
            Some(Active::Unknown) | None => ("Unknown", "UnknownState"),
        };
        let active_message = match active {
            "True" => "Scaling is performed because triggers are active",
            "False" => "Scaling is not performed because triggers are not active",
            _ => "No trigger has been read yet",
        };
        let fallback = if demand.is_some_and(|d| d.fallback) { ("True", "FallbackExists") } else { ("False", "NoFallbackFound") };
        let paused = if scaled::is_paused(&self.object) { ("True", "ScaledObjectPaused") } else { ("False", "ScaledObjectUnpaused") };
        json!([
            condition("Ready", ready, ready_reason, ready_message),
            condition("Active", active, active_reason, active_message.to_owned()),
            condition("Fallback", fallback.0, fallback.1, String::new()),
            condition("Paused", paused.0, paused.1, String::new()),
        ])
    }

    fn readiness(&self) -> (&'static str, &'static str, String) {
        if !self.problems.is_empty() || self.obstacle.is_some() {
            let all: Vec<&str> = self.problems.iter().chain(&self.obstacle).map(String::as_str).collect();
            return ("False", reason::SCALED_OBJECT_CHECK_FAILED, all.join("; "));
        }
        let Some(demand) = &self.demand else { return ("Unknown", "", "Its triggers have not been read yet".to_owned()) };
        let failures = || {
            let texts = demand.reasons.iter().filter(|reason| matches!(reason, ScaleReason::ReadFailed { .. })).map(ToString::to_string);
            texts.collect::<Vec<_>>().join("; ")
        };
        match demand.health {
            Health::AllFail => ("False", reason::TRIGGER_ERROR, failures()),
            Health::SomeFail => ("Unknown", reason::PARTIAL_TRIGGER_ERROR, failures()),
            Health::NotRead => ("Unknown", "", "Its triggers have not been read yet".to_owned()),
            Health::AllRead => match &self.withheld {
                Some(reason) => ("True", reason::SCALED_OBJECT_READY, format!("{reason}")),
                None => ("True", reason::SCALED_OBJECT_READY, "ScaledObject is defined correctly and is ready for scaling".to_owned()),
            },
        }
    }

    /// What has happened since it was last asked.
    pub fn notes(&mut self) -> Vec<Note> {
        let (_, reason, message) = self.readiness();
        let mut notes = Vec::new();
        let note = |warning, reason, message: String| Note { warning, reason, action: "Scale", message };
        let ready = match reason {
            reason::SCALED_OBJECT_READY => Some((reason, String::new())),
            // Another mistake is news; another failure of the same trigger is not.
            reason::SCALED_OBJECT_CHECK_FAILED => Some((reason, message.clone())),
            reason::TRIGGER_ERROR | reason::PARTIAL_TRIGGER_ERROR => Some((reason, String::new())),
            _ => None,
        };
        if let Some(ready) = ready.filter(|ready| self.told.ready.as_ref() != Some(ready)) {
            notes.push(match ready.0 {
                reason::SCALED_OBJECT_READY => note(false, reason, "ScaledObject is ready for scaling".to_owned()),
                reason::SCALED_OBJECT_CHECK_FAILED => note(true, reason, message),
                _ => note(true, "KEDAScalerFailed", message),
            });
            self.told.ready = Some(ready);
        }
        if let Some(reason) = self.withheld.as_ref().filter(|_| !self.told.withheld) {
            notes.push(note(true, "PodsWithheld", reason.to_string()));
        }
        self.told.withheld = self.withheld.is_some();
        notes
    }

    /// What an event says of a scale write that has landed.
    #[must_use]
    pub fn scaled_note(&self, from: u32, to: u32) -> Note {
        let (kind, key) = (&self.target.kind, &self.target.key);
        let why = self.demand.iter().flat_map(|demand| &demand.reasons).map(ToString::to_string).collect::<Vec<_>>().join("; ");
        let reason = if to == 0 {
            "KEDAScaleTargetDeactivated"
        } else if from == 0 {
            "KEDAScaleTargetActivated"
        } else {
            "ScaleTargetScaled"
        };
        Note { warning: false, reason, action: "Scale", message: format!("Scaled {kind} {key} from {from} to {to}: {why}") }
    }
}
