//! What keeps a NodePool from being used: by its own text, by its NodeClass, or by what the cloud sells; and how its conditions and events say so.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use springtide_api::conditions::karpenter;
use springtide_api::karpenter::NodePool;
use springtide_api::{labels, typed};
use springtide_core::name::{Key, Name};
use springtide_core::nodes::offer::{ClassRef, InstanceType, Offers};
use springtide_core::nodes::pool::Pool;
use springtide_core::nodes::requirement::{Requirement, Requirements};
use springtide_core::nodes::resources::amount;
use springtide_core::nodes::{CAPACITY_TYPE, ZONE};
use springtide_core::plan::Plan;
use springtide_core::reason::NoNode;

use super::state::State;
use crate::kube::watch::Custom;

/// The kind of NodeClass that is served.
const KIND: &str = "KWOKNodeClass";

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
            None if class.kind != KIND => {
                let remedy = format!("create the NodePool anew with {KIND}, as the kind of one that exists cannot be changed");
                let what = format!("{at}.kind: {} has no kind {} that is served; {remedy}", class.group, class.kind);
                ("NodeClassNotFound", what)
            }
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

/// A pool whose claims were refused is tried again after this.
const REFUSED_FOR: Duration = Duration::from_secs(60);

impl State {
    /// Pools depend on their NodeClass and on what it sells: any of them may come first.
    pub fn refresh_pools(&mut self) {
        for (name, object) in &self.pools {
            let class = typed::pool::class(&object.spec.template.spec.node_class_ref);
            if class.group != labels::KWOK_GROUP {
                self.cluster.pools.remove(name);
                self.standings.remove(name);
                if self.foreign.insert(name.clone()) {
                    tracing::info!(pool = %name, %class, "no cloud here serves its NodeClass: the pool is left alone");
                }
                continue;
            }
            self.foreign.remove(name);
            let unread = |kind: Custom, name: &Name| {
                self.unreadable.get(&(kind, Key::new("", name.clone()))).map(|unreadable| unreadable.why.as_str())
            };
            let is_shadow =
                object.metadata.annotations.as_ref().and_then(|notes| notes.get(labels::MODE)).is_some_and(|mode| mode == "shadow");
            if is_shadow {
                self.shadow_pools.insert(name.clone());
            } else {
                self.shadow_pools.remove(name);
            }
            let (mut pool, mut standing) = match (unread(Custom::NodePool, name), typed::pool::pool(object)) {
                (None, Ok(pool)) => (pool, Standing::of(object)),
                (None, Err(unclear)) => {
                    let why = unclear.to_string();
                    (typed::pool::unusable_pool(object, why.clone()), Standing::of(object).or_invalid(why))
                }
                (Some(why), _) => {
                    let why = format!("it cannot be read: {why}");
                    (typed::pool::unusable_pool(object, why.clone()), Standing::invalid(why))
                }
            };
            if !self.cluster.classes.contains(&pool.class) {
                standing.no_class(&pool.class, unread(Custom::KwokNodeClass, &pool.class.name));
            }
            if is_shadow {
                standing.shadow();
            }
            if let Some((error, _)) = self.refused_pools.get(name).filter(|(_, since)| since.elapsed() < REFUSED_FOR) {
                standing.refused(error);
            }
            standing.compare_with_offers(&pool, &self.offers);
            pool.unusable = standing.unusable().or(pool.unusable);
            self.standings.insert(name.clone(), standing);
            self.cluster.pools.insert(name.clone(), pool);
        }
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

#[cfg(test)]
mod tests {
    use springtide_core::plan::Unplaced;

    use super::*;

    #[test]
    fn limits_are_told_by_pool_with_what_to_raise_them_to() {
        let mut shapes = springtide_core::nodes::shape::Shapes::default();
        let shape = shapes.intern(springtide_core::nodes::shape::Shape::default());
        let limit = |pool: &str, resource: &str, used, limit, least| NoNode::Limit {
            pool: pool.into(),
            resource: resource.into(),
            used,
            limit,
            least,
        };
        let reasons = vec![limit("a", "cpu", 3_500, 4_000, 4_000), limit("a", "cpu", 3_500, 4_000, 2_000), limit("b", "nodes", 1, 1, 1)];
        let plan = Plan { unplaced: vec![Unplaced { shape, count: 1, reasons }], ..Plan::default() };
        let told: Vec<(String, String)> = limits_reached(&plan).into_iter().map(|(pool, (_, text))| (pool.to_string(), text)).collect();
        let expected = [
            (
                "a",
                "spec.limits.cpu: 3500m of 4 are used, and the smallest machine that pods wait for would add 2; raise it to 5500m or more, or free some of it",
            ),
            (
                "b",
                "spec.limits.nodes: 1 of 1 are used, and the smallest machine that pods wait for would add 1; raise it to 2 or more, or free some of it",
            ),
        ];
        assert_eq!(told, expected.map(|(pool, text)| (pool.to_owned(), text.to_owned())));
    }

    #[test]
    fn what_keeps_a_pool_from_being_used_is_told_by_the_condition_that_it_belongs_to() {
        let class = |kind: &str| ClassRef { group: "karpenter.kwok.sh".into(), kind: kind.into(), name: "default".into() };
        let mut missing = Standing::default();
        missing.no_class(&class(KIND), None);
        let (reason, text) = missing.readiness().expect("not ready");
        assert_eq!(reason, "UnhealthyDependents");
        assert!(
            text.starts_with("NodeClassReady=False: spec.template.spec.nodeClassRef: NodeClass KWOKNodeClass/default does not exist"),
            "{text}"
        );
        assert_eq!(missing.node_class().map(|(reason, _)| reason), Some("NodeClassNotFound"));
        assert!(missing.validation().is_none());
        let mut misspelt = Standing::default();
        misspelt.no_class(&class("KwokNodeClass"), None);
        assert!(
            misspelt
                .unusable()
                .is_some_and(|text| text.contains("no kind KwokNodeClass that is served; create the NodePool anew with KWOKNodeClass"))
        );
        let mut wished = Standing::default();
        wished.shadow();
        assert_eq!((wished.events().count(), wished.unusable().is_some()), (0, true));
    }
}
