//! NodePools as the planner sees them: what their machines may be, how many, and when they may be taken away.

use std::str::FromStr;

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::offer::ClassRef;
use super::requirement::{Labels, Requirements};
use super::resources::Resources;
use super::taint::Taint;
use crate::name::Name;
use crate::{Span, Timestamp};

/// A NodePool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    /// Its name.
    pub name: Name,
    /// Its UID, for owner references.
    pub uid: Name,
    /// Why it cannot be used, where it cannot: invalid, being deleted, its NodeClass missing or not ready, of a kind that we do not serve.
    pub unusable: Option<String>,
    /// Higher goes first.
    pub weight: u32,
    /// What its machines must be; the template's labels included.
    pub wishes: Requirements,
    /// Labels that its nodes get.
    pub labels: Labels,
    /// Annotations that its nodes get.
    pub annotations: Labels,
    /// Taints that its nodes keep.
    pub taints: Vec<Taint>,
    /// Taints that its nodes start with and that somebody else takes away.
    pub startup_taints: Vec<Taint>,
    /// What kind of machine, in the cloud's words.
    pub class: ClassRef,
    /// The most that its machines may have together; a resource that is not set has no limit.
    pub limits: Limits,
    /// When its nodes may be taken away.
    pub disruption: Disruption,
    /// Nodes live no longer than this.
    pub expire_after: Option<Span>,
    /// Draining takes no longer than this.
    pub termination_grace_period: Option<Span>,
    /// The hash of the template, to recognise drift.
    pub hash: Name,
}

/// Upper bounds for what a pool's machines have together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// How many nodes.
    pub nodes: Option<u32>,
    /// Amounts by Kubernetes' name of the resource, in the units of [`Resources::get`].
    pub resources: std::collections::BTreeMap<Name, i64>,
}

impl Limits {
    /// The first limit that `used` together with one more machine of `capacity` would exceed.
    #[must_use]
    pub fn exceeded_by(&self, used: &Resources, nodes: u32, capacity: &Resources) -> Option<Name> {
        if self.nodes.is_some_and(|most| nodes >= most) {
            return Some("nodes".into());
        }
        self.resources.iter().find(|(name, most)| used.get(name).saturating_add(capacity.get(name)) > **most).map(|(name, _)| name.clone())
    }
}

/// When nodes of a pool may be taken away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disruption {
    /// Quiet time after the last change of its pods before a node may go; none is never.
    pub consolidate_after: Option<Span>,
    /// Which nodes may go.
    pub policy: ConsolidationPolicy,
    /// How many may go at a time.
    pub budgets: Vec<Budget>,
}

/// Which nodes consolidation looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are Karpenter's own")]
pub enum ConsolidationPolicy {
    WhenEmpty,
    WhenEmptyOrUnderutilized,
    Balanced,
}

/// Why a node is taken away by our own choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are Karpenter's own")]
pub enum DisruptionReason {
    Empty,
    Underutilized,
    Drifted,
}

/// How many nodes may go at the same time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// How many.
    pub nodes: BudgetNodes,
    /// For which reasons; none is all.
    pub reasons: Option<Vec<DisruptionReason>>,
    /// When it holds; none is always.
    pub window: Option<Window>,
}

/// The size of a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum BudgetNodes {
    /// So many nodes.
    Count(u32),
    /// Such a share of the pool's nodes, rounded up.
    Percent(u32),
}

/// A recurring stretch of time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// A cron schedule in UTC. One that cannot be read stops all disruption (it fails closed), as in Karpenter.
    pub schedule: String,
    /// How long it holds after each hit.
    pub duration: Span,
}

impl Window {
    /// Whether it holds at `now`; none where the schedule cannot be read.
    #[must_use]
    pub fn is_open(&self, now: Timestamp) -> Option<bool> {
        let schedule = croner::Cron::from_str(&self.schedule).ok()?;
        let from = now.checked_sub(self.duration).ok()?.to_zoned(TimeZone::UTC);
        let hit = schedule.find_next_occurrence(&from, false).ok()?;
        Some(hit.timestamp() <= now)
    }
}

impl Disruption {
    /// How many nodes may be on their way out at a time for this reason, of `total` nodes: the least of the budgets that hold now; no budget, no bound.
    #[must_use]
    pub fn allowed(&self, reason: DisruptionReason, total: u32, now: Timestamp) -> u32 {
        self.budgets
            .iter()
            .filter(|budget| budget.reasons.as_ref().is_none_or(|reasons| reasons.contains(&reason)))
            .filter_map(|budget| match budget.window.as_ref().map(|window| window.is_open(now)) {
                None | Some(Some(true)) => Some(match budget.nodes {
                    BudgetNodes::Count(count) => count,
                    BudgetNodes::Percent(percent) => {
                        u32::try_from((u64::from(total) * u64::from(percent)).div_ceil(100)).unwrap_or(u32::MAX)
                    }
                }),
                Some(Some(false)) => None,
                Some(None) => Some(0),
            })
            .min()
            .unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_budget_that_holds_wins_and_percentages_round_up() {
        let budget = |nodes, reasons: Option<Vec<DisruptionReason>>| Budget { nodes, reasons, window: None };
        let disruption = Disruption {
            consolidate_after: None,
            policy: ConsolidationPolicy::WhenEmpty,
            budgets: vec![budget(BudgetNodes::Percent(10), None), budget(BudgetNodes::Count(0), Some(vec![DisruptionReason::Drifted]))],
        };
        let allowed = |reason, total| disruption.allowed(reason, total, Timestamp::UNIX_EPOCH);
        assert_eq!(allowed(DisruptionReason::Empty, 2), 1);
        assert_eq!(allowed(DisruptionReason::Empty, 11), 2);
        assert_eq!(allowed(DisruptionReason::Empty, 0), 0);
        assert_eq!(allowed(DisruptionReason::Drifted, 11), 0);
    }

    #[test]
    fn a_window_holds_for_its_duration_after_each_hit_and_a_broken_one_stops_everything() {
        let window = |schedule: &str| Window { schedule: schedule.to_owned(), duration: Span::from_hours(2) };
        let at = |text: &str| text.parse::<Timestamp>().expect("a time");
        assert_eq!(window("0 9 * * *").is_open(at("2026-03-01T10:59:00Z")), Some(true));
        assert_eq!(window("0 9 * * *").is_open(at("2026-03-01T09:00:00Z")), Some(true));
        assert_eq!(window("0 9 * * *").is_open(at("2026-03-01T11:01:00Z")), Some(false));
        assert_eq!(window("@daily").is_open(at("2026-03-01T01:00:00Z")), Some(true));
        let broken = Budget { nodes: BudgetNodes::Count(5), reasons: None, window: Some(window("whenever")) };
        let disruption = Disruption { consolidate_after: None, policy: ConsolidationPolicy::WhenEmpty, budgets: vec![broken] };
        assert_eq!(disruption.allowed(DisruptionReason::Empty, 10, Timestamp::UNIX_EPOCH), 0);
    }
}
