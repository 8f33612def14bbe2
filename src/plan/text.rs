//! A plan for people.

use std::collections::BTreeMap;
use std::fmt;

use super::Planned;

/// As many pods are named of those that share a fate.
const NAMED: usize = 3;

impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.replicas(f)?;
        self.nodes(f)?;
        self.without_node(f)?;
        let totals = &self.totals;
        let waiting = totals.pods + totals.unschedulable;
        match (totals.node_claims, waiting, self.retire.len()) {
            (0, 0, 0) => writeln!(f, "nothing waits for a node, and no node has to go"),
            (0, 0, going) => writeln!(f, "{} to end", counted(going, "node")),
            (0, ..) => writeln!(f, "no node to start; {} of {waiting} waiting pods get a node", totals.pods),
            (start, ..) => writeln!(
                f,
                "{} to start at ${:.4} an hour; {} of {waiting} waiting pods get a node",
                counted(start, "node"),
                totals.price_per_hour,
                totals.pods
            ),
        }
    }
}

impl Planned {
    fn replicas(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        heading(f, "replicas", self.replicas.is_empty())?;
        for one in &self.replicas {
            let change =
                if one.current == one.desired { format!("stay {}", one.current) } else { format!("{} -> {}", one.current, one.desired) };
            writeln!(f, "  {} {}: {change}", one.kind, one.workload)?;
            for reason in &one.reasons {
                writeln!(f, "    {reason}")?;
            }
        }
        heading(f, "replicas that no node is planned for", self.withheld.is_empty())?;
        for one in &self.withheld {
            writeln!(f, "  {}: {}", one.workload, one.reason)?;
        }
        Ok(())
    }

    fn nodes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        heading(f, "nodes to start", self.node_claims.is_empty())?;
        for one in &self.node_claims {
            let more = match one.alternatives.len() {
                0 => String::new(),
                more => format!(" (or {})", counted(more, "other type")),
            };
            writeln!(
                f,
                "  {}: {} {} in {} at ${:.4} an hour for {}{more}",
                one.name,
                one.capacity_type,
                one.instance_type,
                one.zone,
                one.price_per_hour,
                counted(one.pods.len(), "pod")
            )?;
        }
        heading(f, "pods for nodes that are there", self.placements.is_empty())?;
        for one in &self.placements {
            let starting = if one.starting { " (on its way)" } else { "" };
            writeln!(f, "  {}{starting}: {}", one.node, some(&one.pods.iter().map(String::as_str).collect::<Vec<_>>()))?;
        }
        heading(f, "nodes to end", self.retire.is_empty())?;
        for one in &self.retire {
            writeln!(f, "  {}: {}; saves ${:.4} an hour", one.node, one.reason, one.saves_per_hour)?;
        }
        Ok(())
    }

    fn without_node(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        heading(f, "pods without a node", self.unschedulable.is_empty())?;
        let mut by_reason: BTreeMap<&[String], Vec<&str>> = BTreeMap::new();
        for one in &self.unschedulable {
            by_reason.entry(&one.reasons).or_default().push(&one.pod);
        }
        let mut groups: Vec<_> = by_reason.into_iter().collect();
        groups.sort_by(|a, b| b.1.len().cmp(&a.1.len()).then_with(|| a.1.cmp(&b.1)));
        for (reasons, pods) in groups {
            writeln!(f, "  {}", some(&pods))?;
            for reason in reasons {
                writeln!(f, "    {reason}")?;
            }
        }
        Ok(())
    }
}

fn heading(f: &mut fmt::Formatter<'_>, text: &str, is_empty: bool) -> fmt::Result {
    if is_empty { Ok(()) } else { writeln!(f, "{text}:") }
}

fn counted(count: usize, one: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") }
}

/// How many pods, and the first of them.
fn some(pods: &[&str]) -> String {
    let named = pods.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    let more = if pods.len() > NAMED { ", ..." } else { "" };
    format!("{}: {named}{more}", counted(pods.len(), "pod"))
}
