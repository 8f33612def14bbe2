//! The decider's turn in a world: the same functions in the same order as in the daemon.

use springtide_core::check::check;
use springtide_core::nodes::decide::{Options, as_planned, decide};
use springtide_core::plan::Action;
use springtide_core::scale::demand::Present;
use springtide_core::units::Replicas;

use super::World;
use super::WorldError;
use super::scale;

impl World {
    /// Decides, and begins what was decided.
    pub(super) fn turn(&mut self) -> Result<(), WorldError> {
        // Turns that were put down and then overtaken by an earlier one are none.
        if self.next_turn != Some(self.now) {
            return Ok(());
        }
        (self.next_turn, self.turned) = (None, self.now);
        // Replicas come before nodes, so that a node is planned in the turn in which its pods are first wanted.
        let scales = self.decide_replicas();
        let memory = std::mem::take(&mut self.memory);
        self.cluster.classify(self.now);
        let (plan, memory) = decide(self.now, &self.cluster, &self.wanted, &self.offers, Options::default(), memory);
        self.memory = memory;
        let breaches = check(self.now, &self.cluster, &self.wanted, &self.offers, &plan);
        if !breaches.is_empty() {
            let breaches = breaches.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
            return Err(WorldError::Breach { breaches, seed: self.seed });
        }
        let new = as_planned(&plan, &self.cluster, self.now);
        self.account.decided(&scales, &plan, &new);
        for (name, claim) in new {
            self.cluster.apply_claim(name, claim);
        }
        let look_again = self.scaled.iter().filter_map(|scaled| scaled.demand.as_ref()?.look_again).chain(plan.look_again).min();
        for action in scales {
            if let Action::Scale { workload, to, .. } = &action {
                let (workload, to) = (workload.clone(), *to);
                if self.begin(action)
                    && let Some(known) = self.cluster.workloads.get_mut(&workload)
                {
                    known.writing = Some(to);
                }
            }
        }
        for action in plan.actions {
            self.begin(action);
        }
        if let Some(at) = look_again {
            self.turn_at(at.max(super::later(self.now, super::BREATH)));
        }
        Ok(())
    }

    fn decide_replicas(&mut self) -> Vec<Action> {
        let mut actions = Vec::new();
        for scaled in &mut self.scaled {
            let Some(workload) = self.cluster.workloads.get(&scaled.object.target) else { continue };
            if workload.writing.is_some() {
                continue;
            }
            let counts = self.cluster.counts_of(workload);
            let present = Present { replicas: workload.replicas, existing: Replicas(counts.alive), ready: Replicas(counts.ready) };
            let memory = std::mem::take(&mut scaled.memory);
            let (demand, memory) = scale::decide(self.now, &scaled.object.policy, present, &scaled.readings, memory);
            scaled.memory = memory;
            self.wanted.insert(scaled.object.target.clone(), demand.want);
            if demand.want != workload.replicas {
                actions.push(Action::Scale {
                    workload: scaled.object.target.clone(),
                    version: workload.version,
                    from: workload.replicas,
                    to: demand.want,
                    reasons: demand.reasons.clone(),
                });
            }
            scaled.demand = Some(demand);
        }
        actions
    }
}
