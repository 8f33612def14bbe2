//! What keeps a NodePool from being used: by its own text, by its NodeClass, or by what the cloud sells; and how its conditions and events say so.

use std::collections::{BTreeMap, BTreeSet};

use springtide_api::conditions::karpenter;
use springtide_api::karpenter::NodePool;
use springtide_api::typed;
use springtide_core::name::Name;
use springtide_core::nodes::offer::{ClassRef, InstanceType, Offers};
use springtide_core::nodes::pool::Pool;
use springtide_core::nodes::requirement::{Requirement, Requirements};
use springtide_core::nodes::resources::amount;
use springtide_core::nodes::{CAPACITY_TYPE, ZONE};
use springtide_core::plan::Plan;
use springtide_core::reason::NoNode;

/// A reason, as Karpenter's conditions and events name it, and a sentence.
pub type Because = (&'static str, String);

/// What keeps a pool from being used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    invalid: Option<String>,
    class: Option<Because>,
    other: Option<Because>,
}

impl Standing {
    /// What its own text keeps it from.
    #[must_use]
    pub fn of(object: &NodePool) -> Self {
        let fixed = || {
            let what = "spec.replicas: pools of a fixed size are not run yet; leave it out to have nodes as pods need them";
            ("StaticCapacityNotServed", what.to_owned())
        };
        let other = if object.metadata.deletion_timestamp.is_some() {
            Some(("Terminating", "it is being deleted".to_owned()))
        } else {
            object.spec.replicas.map(|_| fixed())
        };
        Self { invalid: typed::pool::invalid(object), class: None, other }
    }

    /// A text that makes no sense.
    #[must_use]
    pub fn invalid(why: String) -> Self {
        Self { invalid: Some(why), ..Self::default() }
    }

    /// The same, which makes no sense for this reason unless there is another.
    #[must_use]
    pub fn or_invalid(mut self, why: String) -> Self {
        self.invalid.get_or_insert(why);
        self
    }

    /// Its NodeClass is not there, or is there and cannot be read.
    pub fn no_class(&mut self, class: &ClassRef, unread: Option<&str>) {
        let at = "spec.template.spec.nodeClassRef";
        self.class = Some(match unread {
            Some(why) => ("NodeClassNotReady", format!("{at}: NodeClass {class} cannot be read: {why}")),
            None => ("NodeClassNotFound", format!("{at}: NodeClass {class} does not exist; create it or correct the reference")),
        });
    }

    /// An annotation keeps it from being used.
    pub fn shadow(&mut self) {
        self.other.get_or_insert(("Shadow", "it is in shadow mode by annotation".to_owned()));
    }

    /// The API server refuses its claims.
    pub fn refused(&mut self, error: &str) {
        let what = format!("the API server refuses its claims, which is tried again after a minute: {error}");
        self.other.get_or_insert(("NodeClaimsRefused", what));
    }

    /// Looks whether the cloud sells any machine that meets its requirements. What is out of stock for now is sold.
    pub fn compare_with_offers(&mut self, pool: &Pool, offers: &Offers) {
        let types = offers.of(&pool.class);
        if self.unusable().is_some() || types.is_empty() {
            return;
        }
        let mut excluding: BTreeMap<&Name, usize> = BTreeMap::new();
        for kind in types {
            let Some(label) = excluded_by(pool, kind) else { return };
            *excluding.entry(label).or_default() += 1;
        }
        let mut by: Vec<(&Name, usize)> = excluding.into_iter().collect();
        by.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        let list: Vec<String> = by.iter().map(|(label, count)| format!("{label} excludes {count}")).collect();
        let what = format!(
            "spec.template.spec.requirements: none of the {} instance types of {} meets them: {}; widen the requirements",
            types.len(),
            pool.class,
            list.join(", ")
        );
        self.other = Some(("NoCompatibleInstanceTypes", what));
    }

    /// All that keeps it from being used.
    #[must_use]
    pub fn unusable(&self) -> Option<String> {
        let class = self.class.as_ref().map(|(_, what)| what);
        let other = self.other.as_ref().map(|(_, what)| what);
        let all: Vec<&str> = [self.invalid.as_ref(), class, other].into_iter().flatten().map(String::as_str).collect();
        (!all.is_empty()).then(|| all.join("; "))
    }

    /// The condition ValidationSucceeded, where it does not hold.
    #[must_use]
    pub fn validation(&self) -> Option<Because> {
        self.invalid.clone().map(|what| ("NodePoolValidationFailed", what))
    }

    /// The condition NodeClassReady, where it does not hold.
    #[must_use]
    pub fn node_class(&self) -> Option<Because> {
        self.class.clone()
    }

    /// The condition Ready, where it does not hold. Where another condition is the reason it names that one first, as Karpenter does.
    #[must_use]
    pub fn readiness(&self) -> Option<Because> {
        let validation = self.invalid.iter().map(|what| format!("{}=False: {what}", karpenter::VALIDATION_SUCCEEDED));
        let class = self.class.iter().map(|(_, what)| format!("{}=False: {what}", karpenter::NODE_CLASS_READY));
        let dependents: Vec<String> = validation.chain(class).collect();
        if dependents.is_empty() { self.other.clone() } else { Some(("UnhealthyDependents", dependents.join(", "))) }
    }

    /// What events say of it, by Karpenter's reasons of events where it has one.
    pub fn events(&self) -> impl Iterator<Item = Because> + '_ {
        let class = self.class.iter().map(|(_, what)| ("NodeClassNotReady", what.clone()));
        // What somebody wanted is no news to them.
        let other = self.other.iter().filter(|(reason, _)| !matches!(*reason, "Terminating" | "Shadow")).cloned();
        self.validation().into_iter().chain(class).chain(other)
    }
}

/// The label for which this type is nothing for the pool; none where the pool may buy it.
fn excluded_by<'a>(pool: &'a Pool, kind: &'a InstanceType) -> Option<&'a Name> {
    if let Some(label) = pool.wishes.conflict_with(&kind.labels) {
        return Some(label);
    }
    let mut excluding = None;
    for offering in kind.offerings.iter().filter(|offering| offering.available) {
        let place = Requirements(BTreeMap::from([
            (ZONE.into(), Requirement::is(offering.zone.clone())),
            (CAPACITY_TYPE.into(), Requirement::is(offering.capacity_type.label().into())),
        ]));
        let label = pool.wishes.conflict_with(&place)?;
        excluding = excluding.or_else(|| pool.wishes.0.get_key_value(label.as_str()).map(|(label, _)| label));
    }
    // A type without any offering is sold to nobody, and no requirement is the reason.
    excluding.or_else(|| kind.labels.0.keys().next())
}

/// The limits that keep waiting pods from getting a node, by pool: the reason for the condition, the limits' names, and what it says.
#[must_use]
pub fn limits_reached(plan: &Plan) -> BTreeMap<&Name, (BTreeSet<&Name>, String)> {
    let mut least: BTreeMap<(&Name, &Name), (i64, i64, i64)> = BTreeMap::new();
    for reason in plan.unplaced.iter().flat_map(|unplaced| &unplaced.reasons) {
        if let NoNode::Limit { pool, resource, used, limit, least: needs } = reason {
            let known = least.entry((pool, resource)).or_insert((*used, *limit, *needs));
            known.2 = known.2.min(*needs);
        }
    }
    let mut reached: BTreeMap<&Name, (BTreeSet<&Name>, String)> = BTreeMap::new();
    for ((pool, resource), (used, limit, needs)) in least {
        let (names, text) = reached.entry(pool).or_default();
        names.insert(resource);
        let [used_text, limit, needs_text, enough] = [used, limit, needs, used.saturating_add(needs)].map(|n| amount(resource, n));
        let begin = if text.is_empty() { "" } else { "; " };
        text.push_str(&format!(
            "{begin}spec.limits.{resource}: {used_text} of {limit} are used, and the smallest machine that pods wait for would add {needs_text}; \
             raise it to {enough} or more, or free some of it"
        ));
    }
    reached
}
