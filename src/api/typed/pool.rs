//! NodePools as the planner sees them.

use std::collections::BTreeMap;

use serde_json::Value;
use springtide_core::name::Name;
use springtide_core::nodes::NODE_POOL;
use springtide_core::nodes::offer::ClassRef;
use springtide_core::nodes::pool as core;
use springtide_core::nodes::requirement::{Labels, Requirement, Requirements};

use super::{Unclear, amounts, key, labels, salvaged, uid};
use crate::hash;
use crate::karpenter::node_pool::{Budget, ConsolidationPolicy, DisruptionReason};
use crate::karpenter::{self, BudgetNodes, NodeClassRef, NodePool, validate};
use crate::labels::normalized;
use crate::lenient::Lenient;
use crate::typed::node::taint;
use crate::validate::Problem;

/// A NodePool. One that is wrong in any way is there, and says why it cannot be used.
///
/// # Errors
/// What about it cannot be understood at all.
pub fn pool(object: &NodePool) -> Result<core::Pool, Unclear> {
    let spec = &object.spec;
    let template = &spec.template;
    let name = key(&object.metadata).name;
    let labels = labels(Some(&template.metadata.labels));
    let mut wishes = requirements(&template.spec.requirements)?;
    for (label, value) in &labels {
        wishes.add(label.clone(), &Requirement::is(value.clone()));
    }
    wishes.add(NODE_POOL.into(), &Requirement::is(name.clone()));
    let mut limits = core::Limits::default();
    for (resource, amount) in amounts(Some(&spec.limits), "spec.limits")? {
        if resource == "nodes" {
            limits.nodes = u32::try_from(amount).ok();
        } else {
            limits.resources.insert(resource, amount);
        }
    }
    Ok(core::Pool {
        uid: uid(&object.metadata),
        unusable: unusable(object),
        weight: u32::try_from(spec.weight()).unwrap_or(0),
        wishes,
        labels,
        annotations: super::labels(Some(&template.metadata.annotations)),
        taints: template.spec.taints.iter().filter_map(taint).collect(),
        startup_taints: template.spec.startup_taints.iter().filter_map(taint).collect(),
        class: class(&template.spec.node_class_ref),
        limits,
        disruption: core::Disruption {
            consolidate_after: spec.consolidate_after(),
            policy: match spec.consolidation_policy() {
                ConsolidationPolicy::WhenEmpty => core::ConsolidationPolicy::WhenEmpty,
                ConsolidationPolicy::WhenEmptyOrUnderutilized => core::ConsolidationPolicy::WhenEmptyOrUnderutilized,
                ConsolidationPolicy::Balanced => core::ConsolidationPolicy::Balanced,
            },
            budgets: spec.budgets().iter().map(budget).collect(),
        },
        expire_after: template.spec.expire_after(),
        termination_grace_period: template.spec.termination_grace_period(),
        hash: hash::of(template).into(),
        name,
    })
}

/// What keeps it from being used by itself.
fn unusable(object: &NodePool) -> Option<String> {
    if object.metadata.deletion_timestamp.is_some() {
        return Some("it is being deleted".to_owned());
    }
    let problems: Vec<String> = unserved(object).iter().map(ToString::to_string).chain(invalid(object)).collect();
    (!problems.is_empty()).then(|| problems.join("; "))
}

/// What a pool may ask for and this version does not do.
#[must_use]
pub fn unserved(object: &NodePool) -> Vec<Problem> {
    let fixed = || Problem::new("spec.replicas", "pools of a fixed size are not run yet", "leave it out, and use limits instead");
    object.spec.replicas.map(|_| fixed()).into_iter().collect()
}

/// What of a NodePool makes no sense, whatever else there is in the cluster: what its condition ValidationSucceeded says.
#[must_use]
pub fn invalid(object: &NodePool) -> Option<String> {
    let problems: Vec<String> = validate::node_pool(object).iter().chain(&contradictions(object)).map(ToString::to_string).collect();
    (!problems.is_empty()).then(|| problems.join("; "))
}

/// Requirements that no machine can answer: rows that ask of a label what cannot be had together with what an earlier row or the template's label says. Each
/// with the later row's field; rows that cannot be understood are passed over, as `validate` speaks of them.
#[must_use]
pub fn contradictions(object: &NodePool) -> Vec<Problem> {
    struct Asked {
        all: Requirement,
        rows: Vec<(String, String, Requirement)>,
    }
    let template = &object.spec.template;
    let mut asked: BTreeMap<&str, Asked> = BTreeMap::new();
    let mut problems = Vec::new();
    for (label, value) in &template.metadata.labels {
        let wish = Requirement::is(value.as_str().into());
        let row = (format!("spec.template.metadata.labels[{label}]"), format!("`{value}`"), wish.clone());
        asked.insert(normalized(label), Asked { all: wish, rows: vec![row] });
    }
    // As many as a pool may have; of more, `validate` says that there are too many.
    for (i, row) in template.spec.requirements.iter().take(validate::REQUIREMENTS).enumerate() {
        let Ok(wish) = super::pod::requirement(&row.operator.to_string(), &row.values) else { continue };
        let at = format!("spec.template.spec.requirements[{i}]");
        let text = if row.values.is_empty() { row.operator.to_string() } else { format!("{} [{}]", row.operator, row.values.join(", ")) };
        let Some(known) = asked.get_mut(normalized(&row.key)) else {
            asked.insert(normalized(&row.key), Asked { all: wish.clone(), rows: vec![(at, text, wish)] });
            continue;
        };
        let agree = |a: &Requirement, b: &Requirement| a.meets(b) || a.allows_absence() && b.allows_absence();
        if agree(&known.all, &wish) {
            known.all = known.all.and(&wish);
            known.rows.push((at, text, wish));
            continue;
        }
        // The row with which it cannot be: by itself, or together with those before that one.
        let mut all = wish;
        for (place, said, earlier) in &known.rows {
            if !agree(earlier, &all) {
                let what = format!("{} {text} contradicts {place}, which says {said}: no machine can be both", row.key);
                problems.push(Problem::new(at, what, "correct or remove one of them"));
                break;
            }
            all = all.and(earlier);
        }
    }
    problems
}

/// What is left of a NodePool that cannot be read: who it is, its NodeClass and its status, where that can be read.
#[must_use]
pub fn salvage(object: &Value) -> NodePool {
    let mut pool = NodePool { metadata: salvaged(object, "/metadata"), status: salvaged(object, "/status"), ..NodePool::default() };
    pool.spec.template.spec.node_class_ref = salvaged(object, "/spec/template/spec/nodeClassRef");
    pool
}

/// A pool that is there and cannot be used. Its nodes stay: by which rules they may go is not known.
#[must_use]
pub fn unusable_pool(object: &NodePool, why: String) -> core::Pool {
    core::Pool {
        name: key(&object.metadata).name,
        uid: uid(&object.metadata),
        unusable: Some(why),
        weight: 0,
        wishes: Requirements::default(),
        labels: Labels::default(),
        annotations: Labels::default(),
        taints: Vec::new(),
        startup_taints: Vec::new(),
        class: class(&object.spec.template.spec.node_class_ref),
        limits: core::Limits::default(),
        disruption: core::Disruption { consolidate_after: None, policy: core::ConsolidationPolicy::WhenEmpty, budgets: Vec::new() },
        expire_after: None,
        termination_grace_period: None,
        hash: hash::of(&object.spec.template).into(),
    }
}

/// A NodeClass by its reference.
#[must_use]
pub fn class(reference: &NodeClassRef) -> ClassRef {
    ClassRef { group: (&reference.group).into(), kind: (&reference.kind).into(), name: (&reference.name).into() }
}

/// Wishes of a pool or claim.
///
/// # Errors
/// An operator that does not exist, or values that do not go with it.
pub fn requirements(rows: &[karpenter::Requirement]) -> Result<Requirements, Unclear> {
    let mut wishes = Requirements::default();
    for (i, row) in rows.iter().enumerate() {
        let wish = super::pod::requirement(&row.operator.to_string(), &row.values);
        let mut wish = wish.map_err(|what| Unclear::new(format!("spec.template.spec.requirements[{i}]"), what))?;
        wish.min_values = row.min_values.and_then(|n| u32::try_from(n).ok());
        wishes.add(Name::from(&row.key), &wish);
    }
    Ok(wishes)
}

fn budget(budget: &Budget) -> core::Budget {
    let reasons = budget.reasons.as_ref().map(|_| {
        [
            (DisruptionReason::Empty, core::DisruptionReason::Empty),
            (DisruptionReason::Underutilized, core::DisruptionReason::Underutilized),
            (DisruptionReason::Drifted, core::DisruptionReason::Drifted),
        ]
        .into_iter()
        .filter_map(|(theirs, ours)| budget.covers(theirs).then_some(ours))
        .collect()
    });
    // A schedule without a duration that can be read never opens, and so stops all disruption.
    let window = budget.schedule.as_ref().map(|schedule| match budget.duration.as_ref().and_then(Lenient::known) {
        Some(duration) => core::Window { schedule: schedule.clone(), duration: duration.0 },
        None => core::Window { schedule: String::new(), duration: springtide_core::Span::ZERO },
    });
    let nodes = match budget.nodes() {
        BudgetNodes::Percent(share) => core::BudgetNodes::Percent(share),
        BudgetNodes::Count(count) => core::BudgetNodes::Count(count),
    };
    core::Budget { nodes, reasons, window }
}

#[cfg(test)]
#[path = "pool_tests.rs"]
mod tests;
