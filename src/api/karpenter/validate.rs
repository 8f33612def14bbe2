//! What Karpenter's `RuntimeValidate` and its CRDs refuse in one object. A NodePool with a problem is not used, and its condition ValidationSucceeded says so.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::Taint;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::node_pool::{ConsolidationPolicy, Disruption, DisruptionReason};
use super::requirement::{NodeClassRef, Operator, Requirement};
use super::{KwokNodeClass, NodeClaim, NodePool};
use crate::labels::{self, normalized};
use crate::lenient::Lenient;
use crate::validate::{Problem, annotations, is_label_value, is_qualified_name};

const DURATION: &str = "write hours, minutes and seconds, as in 1h30m";
const NILLABLE: &str = "write hours, minutes and seconds, as in 1h30m, or Never";
/// The CRDs' limit for lists of requirements and for labels of a template.
pub(crate) const REQUIREMENTS: usize = 100;
/// The CRDs' limit for lists of budgets and of reasons.
const BUDGETS: usize = 50;

/// What is wrong with a NodePool.
#[must_use]
pub fn node_pool(pool: &NodePool) -> Vec<Problem> {
    let spec = &pool.spec;
    let mut problems = annotations(&pool.metadata);
    template_labels(&spec.template.metadata.labels, &mut problems);
    let template = &spec.template.spec;
    let at = "spec.template.spec";
    taints(at, &[("taints", &template.taints), ("startupTaints", &template.startup_taints)], &mut problems);
    requirements(&format!("{at}.requirements"), &template.requirements, true, &mut problems);
    node_class_ref(&format!("{at}.nodeClassRef"), &template.node_class_ref, &mut problems);
    problems.extend(unread(&format!("{at}.expireAfter"), template.expire_after.as_ref(), NILLABLE));
    problems.extend(unread(&format!("{at}.terminationGracePeriod"), template.termination_grace_period.as_ref(), DURATION));
    if let Some(rules) = &spec.disruption {
        disruption(rules, &mut problems);
    }
    quantities("spec.limits", &spec.limits, &mut problems);
    if let Some(weight) = spec.weight.filter(|weight| !(1..=100).contains(weight)) {
        problems.push(Problem::new(
            "spec.weight",
            format!("{weight} is not between 1 and 100"),
            "choose a weight from 1 to 100, or leave it out",
        ));
    }
    if let Some(replicas) = spec.replicas {
        if replicas < 0 {
            problems.push(Problem::new("spec.replicas", format!("{replicas} is less than 0"), "set it to 0 or more"));
        }
        if spec.weight.is_some() {
            problems.push(Problem::new("spec.weight", "a pool with replicas has none", "leave out weight or replicas"));
        }
        if spec.limits.keys().any(|name| name != "nodes") {
            problems.push(Problem::new("spec.limits", "a pool with replicas has no limit but nodes", "leave the others out"));
        }
    }
    problems
}

/// What is wrong with a NodeClaim.
#[must_use]
pub fn node_claim(claim: &NodeClaim) -> Vec<Problem> {
    let spec = &claim.spec;
    let mut problems = annotations(&claim.metadata);
    taints("spec", &[("taints", &spec.taints), ("startupTaints", &spec.startup_taints)], &mut problems);
    requirements("spec.requirements", &spec.requirements, false, &mut problems);
    node_class_ref("spec.nodeClassRef", &spec.node_class_ref, &mut problems);
    problems.extend(unread("spec.expireAfter", spec.expire_after.as_ref(), NILLABLE));
    problems.extend(unread("spec.terminationGracePeriod", spec.termination_grace_period.as_ref(), DURATION));
    if let Some(resources) = &spec.resources {
        quantities("spec.resources.requests", &resources.requests, &mut problems);
    }
    problems
}

/// What is wrong with a KWOKNodeClass.
#[must_use]
pub fn kwok_node_class(class: &KwokNodeClass) -> Vec<Problem> {
    let mut problems = annotations(&class.metadata);
    let delay = class.spec.spec.as_ref().and_then(|spec| spec.node_registration_delay.as_ref());
    problems.extend(unread("spec.nodeRegistrationDelay", delay, DURATION));
    problems
}

fn unread<T>(field: &str, value: Option<&Lenient<T>>, remedy: &str) -> Option<Problem> {
    let text = value?.other()?;
    Some(Problem::new(field, format!("{text:?} cannot be understood"), remedy))
}

/// Why a pool may not set or ask for a label: Karpenter keeps it for itself.
fn restricted(key: &str) -> Option<&'static str> {
    let domain = key.split_once('/').map_or("", |(domain, _)| domain);
    match key {
        labels::CAPACITY_TYPE => None,
        labels::NODE_POOL => Some("every node has the name of its own pool"),
        labels::HOSTNAME => Some("every node has a name of its own"),
        _ if domain == "karpenter.sh" || domain.ends_with(".karpenter.sh") => {
            Some("the domain karpenter.sh is kept for Karpenter's own labels")
        }
        _ => None,
    }
}

fn template_labels(map: &BTreeMap<String, String>, problems: &mut Vec<Problem>) {
    let field = "spec.template.metadata.labels";
    if map.len() > REQUIREMENTS {
        problems.push(Problem::new(field, format!("there are {} labels", map.len()), format!("use {REQUIREMENTS} at most")));
    }
    for (key, value) in map {
        let field = format!("{field}[{key}]");
        if let Some(why) = restricted(key) {
            problems.push(Problem::new(&field, why, "use a label of your own"));
        } else if !is_qualified_name(key) {
            problems.push(Problem::new(&field, "this is no key of a label", "write domain/name, or a name of letters, digits, -, _ and ."));
        }
        if !is_label_value(value) {
            problems.push(Problem::new(&field, format!("{value:?} is no value of a label"), "use up to 63 letters, digits, -, _ and ."));
        }
    }
}

/// A key may have one taint of each effect, over both lists.
fn taints(at: &str, lists: &[(&str, &Vec<Taint>)], problems: &mut Vec<Problem>) {
    let mut seen = BTreeSet::new();
    for (name, list) in lists {
        for (index, taint) in list.iter().enumerate() {
            let field = |rest: &str| format!("{at}.{name}[{index}].{rest}");
            if !is_qualified_name(&taint.key) {
                let what = format!("{:?} is no key of a taint", taint.key);
                problems.push(Problem::new(field("key"), what, "write domain/name, or a name of letters, digits, -, _ and ."));
            }
            if let Some(value) = taint.value.as_deref().filter(|value| !value.is_empty() && !is_qualified_name(value)) {
                problems.push(Problem::new(field("value"), format!("{value:?} is no value of a taint"), "use letters, digits, -, _ and ."));
            }
            if !matches!(taint.effect.as_str(), "NoSchedule" | "PreferNoSchedule" | "NoExecute") {
                let what = format!("{:?} is unknown", taint.effect);
                problems.push(Problem::new(field("effect"), what, "write NoSchedule, PreferNoSchedule or NoExecute"));
            }
            if !seen.insert((&taint.key, &taint.effect)) {
                let what = format!("there is another taint {} with the effect {}", taint.key, taint.effect);
                problems.push(Problem::new(format!("{at}.{name}[{index}]"), what, "leave one of them out"));
            }
        }
    }
}

fn requirements(at: &str, list: &[Requirement], of_pool: bool, problems: &mut Vec<Problem>) {
    if list.len() > REQUIREMENTS {
        problems.push(Problem::new(at, format!("there are {} requirements", list.len()), format!("use {REQUIREMENTS} at most")));
    }
    for (index, one) in list.iter().enumerate() {
        let at = format!("{at}[{index}]");
        let key = normalized(&one.key);
        // A claim names the pool that it belongs to.
        if let Some(why) = restricted(key).filter(|_| of_pool || key != labels::NODE_POOL) {
            problems.push(Problem::new(format!("{at}.key"), why, "use a label of your own"));
        } else if !is_qualified_name(key) {
            let what = format!("{:?} is no key of a label", one.key);
            problems.push(Problem::new(format!("{at}.key"), what, "write domain/name, or a name of letters, digits, -, _ and ."));
        }
        requirement(&at, one, problems);
    }
}

fn requirement(at: &str, one: &Requirement, problems: &mut Vec<Problem>) {
    let field = format!("{at}.values");
    for value in one.values.iter().filter(|value| !is_label_value(value)) {
        problems.push(Problem::new(&field, format!("{value:?} is no value of a label"), "use up to 63 letters, digits, -, _ and ."));
    }
    if let Some(least) = one.min_values.filter(|least| !(1..=50).contains(least)) {
        problems.push(Problem::new(format!("{at}.minValues"), format!("{least} is not between 1 and 50"), "choose a number from 1 to 50"));
    }
    let Some(operator) = one.operator.known() else {
        let what = format!("{:?} is unknown", one.operator.to_string());
        problems.push(Problem::new(format!("{at}.operator"), what, format!("write one of {}", Operator::WORDS.join(", "))));
        return;
    };
    match operator {
        Operator::In => {
            if one.values.is_empty() {
                problems.push(Problem::new(&field, "In needs a value", "list the values that will do"));
            }
            let distinct: BTreeSet<&String> = one.values.iter().collect();
            let distinct = i64::try_from(distinct.len()).unwrap_or(i64::MAX);
            if let Some(least) = one.min_values.filter(|least| *least > distinct) {
                let what = format!("minValues asks for {least} values and there are {distinct}");
                problems.push(Problem::new(&field, what, "list more values or lower minValues"));
            }
            let known = |value: &String| matches!(value.as_str(), "spot" | "on-demand" | "reserved");
            if normalized(&one.key) == labels::CAPACITY_TYPE && !one.values.is_empty() && !one.values.iter().any(known) {
                problems.push(Problem::new(&field, "none of these is a way to pay for a machine", "write spot, on-demand or reserved"));
            }
        }
        Operator::Gt | Operator::Lt | Operator::Gte | Operator::Lte => {
            let number = |text: &String| text.parse::<i64>().is_ok_and(|number| number >= 0);
            if one.values.len() != 1 || !one.values.iter().all(number) {
                problems.push(Problem::new(&field, format!("{operator} needs exactly one whole number"), "write one number, 0 or more"));
            }
        }
        Operator::NotIn | Operator::Exists | Operator::DoesNotExist => {}
    }
}

fn node_class_ref(at: &str, reference: &NodeClassRef, problems: &mut Vec<Problem>) {
    for (name, text) in [("group", &reference.group), ("kind", &reference.kind), ("name", &reference.name)] {
        if text.is_empty() {
            problems.push(Problem::new(
                format!("{at}.{name}"),
                "it is empty",
                "name a NodeClass, as in karpenter.k8s.aws, EC2NodeClass, default",
            ));
        }
    }
    if reference.group.contains('/') {
        let what = format!("{:?} is no group", reference.group);
        problems.push(Problem::new(format!("{at}.group"), what, "write the group without a version"));
    }
}

fn disruption(rules: &Disruption, problems: &mut Vec<Problem>) {
    problems.extend(unread("spec.disruption.consolidateAfter", rules.consolidate_after.as_ref(), NILLABLE));
    let words = format!("write one of {}", ConsolidationPolicy::WORDS.join(", "));
    problems.extend(unread("spec.disruption.consolidationPolicy", rules.consolidation_policy.as_ref(), &words));
    let budgets = rules.budgets.as_deref().unwrap_or_default();
    if budgets.len() > BUDGETS {
        problems.push(Problem::new("spec.disruption.budgets", format!("there are {}", budgets.len()), format!("use {BUDGETS} at most")));
    }
    for (index, budget) in budgets.iter().enumerate() {
        let field = |name: &str| format!("spec.disruption.budgets[{index}].{name}");
        problems.extend(unread(&field("nodes"), Some(&budget.nodes), "write a number of nodes, or a percentage from 0% to 100%"));
        problems.extend(unread(&field("duration"), budget.duration.as_ref(), "write hours and minutes, as in 1h30m"));
        for reason in budget.reasons.iter().flatten() {
            let words = format!("write one of {}", DisruptionReason::WORDS.join(", "));
            problems.extend(unread(&field("reasons"), Some(reason), &words));
        }
        if let Some(schedule) = budget.schedule.as_deref().filter(|schedule| !is_schedule(schedule)) {
            let what = format!("{schedule:?} is no schedule");
            problems.push(Problem::new(field("schedule"), what, "write five fields as for cron, in UTC, or for example @daily"));
        }
        match (&budget.schedule, &budget.duration) {
            (Some(_), None) => problems.push(Problem::new(field("schedule"), "it needs a duration", "say for how long it is in force")),
            (None, Some(_)) => problems.push(Problem::new(field("duration"), "it needs a schedule", "say from when on it is in force")),
            _ => {}
        }
    }
}

/// Whether a text has the shape of a cron schedule: a macro, or five fields of the characters that fields are made of.
#[must_use]
pub fn is_schedule(text: &str) -> bool {
    if let Some(name) = text.strip_prefix('@') {
        return matches!(name, "annually" | "yearly" | "monthly" | "weekly" | "daily" | "midnight" | "hourly");
    }
    let fields: Vec<&str> = text.split_ascii_whitespace().collect();
    let is_field = |field: &&str| field.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"*/,-?#".contains(&byte));
    fields.len() == 5 && fields.iter().all(is_field)
}

fn quantities(at: &str, map: &BTreeMap<String, Quantity>, problems: &mut Vec<Problem>) {
    for (name, Quantity(text)) in map {
        if let Err(error) = crate::quantity::milli(text) {
            let text = error.to_string();
            let (what, remedy) = text.split_once("; ").unwrap_or((&text, "write a quantity of Kubernetes"));
            problems.push(Problem::new(format!("{at}.{name}"), what, remedy));
        }
    }
}

#[cfg(test)]
#[path = "validate_tests.rs"]
mod tests;
