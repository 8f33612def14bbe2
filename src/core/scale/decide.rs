//! One target's turn: activity, then the HPA's mathematics, then what holds replicas back.
//!
//! The order of decisions is KEDA's (`RequestScale`), with the HPA's own between one and many, from one and the same reading.

use serde::{Deserialize, Serialize};

use super::behavior::{History, shape};
use super::demand::{Present, proposal};
use super::policy::{Fallback, FallbackBehavior, Pause, Policy};
use crate::Timestamp;
use crate::name::Name;
use crate::reading::{Activity, Reading};
use crate::reason::ScaleReason;
use crate::units::Replicas;

/// What is wanted for one target, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Demand {
    /// Never fewer than this for now: unfinished messages hold their workers.
    pub floor: Replicas,
    /// As many as this.
    pub want: Replicas,
    /// Never more than this.
    pub ceiling: Replicas,
    /// Whether any trigger is active.
    pub activity: Active,
    /// Whether triggers could be read.
    pub health: Health,
    /// Whether fallback replicas are in force.
    pub fallback: bool,
    /// Why.
    pub reasons: Vec<ScaleReason>,
    /// When time alone may change this.
    pub look_again: Option<Timestamp>,
}

/// Activity of a target's triggers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Active {
    Yes,
    No,
    Unknown,
}

/// Whether a target's triggers could be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Health {
    AllRead,
    SomeFail,
    AllFail,
    NotRead,
}

/// What is remembered of a target from turn to turn.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// When a trigger was last active.
    pub last_active: Option<Timestamp>,
    history: Option<History>,
    wrote: Option<(Timestamp, Replicas, Replicas)>,
}

impl Memory {
    /// What a start finds in the object's status: the time of the last activity, or now where it was active when last heard of.
    #[must_use]
    pub const fn restored(last_active: Option<Timestamp>) -> Self {
        Self { last_active, history: None, wrote: None }
    }
}

/// Decides for one target. `readings` stand in the order of the policy's triggers; none is one that has not been read yet.
#[must_use]
pub fn decide(now: Timestamp, policy: &Policy, present: Present, readings: &[Option<Reading>], mut memory: Memory) -> (Demand, Memory) {
    let mut history = memory.history.take().unwrap_or_else(|| History::starting(now, present.replicas));
    if let Some((at, from, to)) = memory.wrote.take()
        && to == present.replicas
    {
        history.changed(at, from, to);
    }
    let mut turn = Turn { now, policy, present, readings, reasons: Vec::new(), look_again: None };
    let health = turn.health();
    let active = turn.activity(&mut memory);
    let (fallback, wanted) = turn.wanted(health, active, &memory, &mut history);
    let (floor, held) = turn.hold_busy(wanted);
    let want = turn.obey_pause(held);
    if want != present.replicas {
        memory.wrote = Some((now, present.replicas, want));
    }
    memory.history = Some(history);
    let Turn { reasons, look_again, .. } = turn;
    (Demand { floor, want, ceiling: policy.max, activity: active, health, fallback, reasons, look_again }, memory)
}

struct Turn<'a> {
    now: Timestamp,
    policy: &'a Policy,
    present: Present,
    readings: &'a [Option<Reading>],
    reasons: Vec<ScaleReason>,
    look_again: Option<Timestamp>,
}

impl Turn<'_> {
    fn health(&mut self) -> Health {
        let (mut read, mut failed) = (0, 0);
        for (trigger, reading) in self.policy.triggers.iter().zip(self.readings) {
            match reading {
                Some(Reading::Value(_)) => read += 1,
                Some(reading) => {
                    failed += 1;
                    let error = reading.failure().map_or("", |(error, _)| error).to_owned();
                    self.reasons.push(ScaleReason::ReadFailed { trigger: trigger.name.clone(), error });
                }
                None => {}
            }
        }
        match (read, failed) {
            (0, 0) => Health::NotRead,
            (0, _) => Health::AllFail,
            (read, _) if read == self.policy.triggers.len() => Health::AllRead,
            _ => Health::SomeFail,
        }
    }

    fn activity(&mut self, memory: &mut Memory) -> Active {
        let mut triggers: Vec<Name> = Vec::new();
        let mut known = true;
        for (trigger, reading) in self.policy.triggers.iter().zip(self.readings) {
            let Some(Reading::Value(sample)) = reading else {
                known = false;
                continue;
            };
            let active = match sample.activity {
                Activity::Compare => sample.metric > trigger.activation,
                Activity::Known(active) => active,
            };
            if active {
                triggers.push(trigger.name.clone());
                memory.last_active = memory.last_active.max(Some(sample.as_of));
            }
        }
        if self.policy.forced {
            memory.last_active = Some(self.now);
            self.reasons.push(ScaleReason::Forced);
            return Active::Yes;
        }
        match (triggers.is_empty(), known) {
            (false, _) => {
                self.reasons.push(ScaleReason::Active { triggers });
                Active::Yes
            }
            (true, true) => {
                self.reasons.push(ScaleReason::Inactive);
                Active::No
            }
            (true, false) => Active::Unknown,
        }
    }

    /// The replicas by activity and metrics, and whether they are fallback's.
    fn wanted(&mut self, health: Health, active: Active, memory: &Memory, history: &mut History) -> (bool, Replicas) {
        let present = self.present.replicas;
        if health == Health::NotRead {
            self.reasons.push(ScaleReason::Unread);
            return (false, present);
        }
        let fallback = self.readings.iter().flatten().filter_map(|reading| self.fallback(reading)).max();
        if let Some(replicas) = fallback {
            self.reasons.push(ScaleReason::Fallback { replicas });
        }
        // Fallback replicas are a wish like a metric's, and as good a reason to be awake.
        let active = if fallback.is_some_and(|replicas| replicas.0 > 0) { Active::Yes } else { active };
        match active {
            Active::Yes => {
                let sleeping = present.0 == 0 || self.policy.idle.is_some() && present < self.policy.min;
                let base = if sleeping { self.policy.floor() } else { present };
                (fallback.is_some(), self.by_metrics(base, history))
            }
            Active::No | Active::Unknown if present.0 == 0 => (fallback.is_some(), self.at_rest()),
            Active::No => (fallback.is_some(), self.cooling(memory, history)),
            Active::Unknown if fallback.is_some() => (true, self.cooling(memory, history)),
            Active::Unknown => {
                self.reasons.push(ScaleReason::HeldByFailure);
                (false, self.by_metrics(present, history).max(present))
            }
        }
    }

    /// Nothing is active and there are no replicas: `min`, where that is more.
    fn at_rest(&mut self) -> Replicas {
        let rest = self.policy.idle.unwrap_or(self.policy.min);
        if rest.0 > 0 {
            self.reasons.push(ScaleReason::AtMinimum { min: rest });
        }
        rest.max(self.present.replicas)
    }

    /// Nothing is active and there are replicas: they stay as the metrics say until the cooldown is over.
    fn cooling(&mut self, memory: &Memory, history: &mut History) -> Replicas {
        let present = self.present.replicas;
        let rest = self.policy.idle.unwrap_or(self.policy.min);
        let goes_to_rest = self.policy.idle.is_some_and(|idle| present > idle) || self.policy.min.0 == 0;
        if goes_to_rest {
            let until = match memory.last_active {
                Some(last) => last.checked_add(self.policy.cooldown),
                None => self.policy.created.checked_add(self.policy.initial_cooldown),
            };
            match until {
                Ok(until) if until > self.now => {
                    self.look_again = Some(until);
                    self.reasons.push(ScaleReason::Cooldown { until });
                }
                _ => return rest,
            }
        } else if self.policy.idle.is_some() {
            return present;
        }
        self.by_metrics(present, history)
    }

    fn by_metrics(&mut self, base: Replicas, history: &mut History) -> Replicas {
        let Policy { min, max, .. } = *self.policy;
        if base > max {
            self.reasons.push(ScaleReason::AtMaximum { wanted: base, max });
            return max;
        }
        if base < min {
            self.reasons.push(ScaleReason::AtMinimum { min });
            return min;
        }
        let (mut most, mut invalid) = (None::<Replicas>, false);
        let present = Present { replicas: base, ..self.present };
        for (trigger, reading) in self.policy.triggers.iter().zip(self.readings) {
            let Some(Reading::Value(sample)) = reading else {
                match reading.as_ref().and_then(|reading| self.fallback(reading)) {
                    Some(replicas) => most = most.max(Some(replicas)),
                    None => invalid = true,
                }
                continue;
            };
            let target = sample.target.unwrap_or(trigger.target);
            let wants = proposal(trigger.kind, target, sample.metric, present, self.policy.tolerances());
            self.reasons.push(ScaleReason::Metric { trigger: trigger.name.clone(), value: sample.metric, target, wants: wants.replicas });
            if wants.within_tolerance {
                self.reasons.push(ScaleReason::WithinTolerance);
            }
            most = most.max(Some(wants.replicas));
        }
        match most {
            Some(desired) if !(invalid && desired < base) => self.within_bounds(base, desired, history),
            _ => {
                self.reasons.push(ScaleReason::HeldByFailure);
                base
            }
        }
    }

    fn within_bounds(&mut self, base: Replicas, desired: Replicas, history: &mut History) -> Replicas {
        shape(self.now, self.policy, base, desired, history, &mut self.reasons)
    }

    /// The replicas that stand in for a trigger which has failed too often.
    fn fallback(&self, reading: &Reading) -> Option<Replicas> {
        let Fallback { after_failures, replicas, behavior } = self.policy.fallback?;
        let failing = reading.failure().is_some_and(|(_, failures)| failures > after_failures);
        let present = self.present.replicas;
        failing.then_some(match behavior {
            FallbackBehavior::Static => replicas,
            FallbackBehavior::CurrentReplicas => present,
            FallbackBehavior::CurrentReplicasIfHigher => present.max(replicas),
            FallbackBehavior::CurrentReplicasIfLower => present.min(replicas),
        })
    }

    /// Messages in flight hold as many workers as carry them, unless the maximum demands fewer.
    fn hold_busy(&mut self, wanted: Replicas) -> (Replicas, Replicas) {
        let in_flight: u64 = self.readings.iter().flatten().filter_map(Reading::last).filter_map(|sample| sample.in_flight).sum();
        let carried = Replicas(u32::try_from(in_flight).unwrap_or(u32::MAX)).min(self.present.replicas).min(self.policy.max);
        if wanted < carried {
            self.reasons.push(ScaleReason::InFlight { messages: in_flight });
        }
        (carried, wanted.max(carried))
    }

    fn obey_pause(&mut self, wanted: Replicas) -> Replicas {
        let present = self.present.replicas;
        match self.policy.pause {
            Pause::None => wanted,
            Pause::All => {
                self.reasons.push(ScaleReason::Paused);
                present
            }
            Pause::At(replicas) => {
                self.reasons.push(ScaleReason::PausedAt { replicas });
                replicas
            }
            Pause::ScaleIn if wanted < present => {
                self.reasons.push(ScaleReason::ScaleInPaused);
                present
            }
            Pause::ScaleOut if wanted > present => {
                self.reasons.push(ScaleReason::ScaleOutPaused);
                present
            }
            Pause::ScaleIn | Pause::ScaleOut => wanted,
        }
    }
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
