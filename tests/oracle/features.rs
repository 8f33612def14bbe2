//! Which constraints a scene may have.

use anyhow::{Context, Result};

/// A set of features.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features(u32);

/// What each is called.
const NAMES: [(&str, Features); 13] = [
    ("labels", Features::LABELS),
    ("taints", Features::TAINTS),
    ("preferences", Features::PREFERENCES),
    ("containers", Features::CONTAINERS),
    ("extended", Features::EXTENDED),
    ("priorities", Features::PRIORITIES),
    ("daemons", Features::DAEMONS),
    ("limits", Features::LIMITS),
    ("spread", Features::SPREAD),
    ("affinity", Features::AFFINITY),
    ("anti-affinity", Features::ANTI_AFFINITY),
    ("ports", Features::PORTS),
    ("volumes", Features::VOLUMES),
];

impl Features {
    /// Requests alone, with nodes that are there.
    pub const NONE: Self = Self(0);
    /// Node selectors and required node affinity, and pools with labels of their own.
    pub const LABELS: Self = Self(1);
    /// Taints of pools and nodes, and tolerations.
    pub const TAINTS: Self = Self(1 << 1);
    /// What is only preferred: node affinity, pod affinity and anti-affinity, spreading.
    pub const PREFERENCES: Self = Self(1 << 2);
    /// Init containers, sidecars, overhead, requests of a whole pod, limits that stand for requests.
    pub const CONTAINERS: Self = Self(1 << 3);
    /// Extended resources and local storage.
    pub const EXTENDED: Self = Self(1 << 4);
    /// Priorities, and pods that are gated.
    pub const PRIORITIES: Self = Self(1 << 5);
    /// DaemonSets.
    pub const DAEMONS: Self = Self(1 << 6);
    /// Limits of pools.
    pub const LIMITS: Self = Self(1 << 7);
    /// Topology spread constraints that must hold.
    pub const SPREAD: Self = Self(1 << 8);
    /// Pod affinity that must hold.
    pub const AFFINITY: Self = Self(1 << 9);
    /// Pod anti-affinity that must hold.
    pub const ANTI_AFFINITY: Self = Self(1 << 10);
    /// Host ports.
    pub const PORTS: Self = Self(1 << 11);
    /// Persistent volumes.
    pub const VOLUMES: Self = Self(1 << 12);

    /// All of them.
    pub const ALL: Self = Self((1 << 13) - 1);

    /// All of both.
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether this one is among them.
    pub const fn has(self, one: Self) -> bool {
        self.0 & one.0 != 0
    }

    /// From names with commas between them; `all` is all of them.
    pub fn parse(text: &str) -> Result<Self> {
        text.split(',').filter(|name| !name.is_empty()).try_fold(Self::NONE, |sum, name| {
            if name == "all" {
                return Ok(Self::ALL);
            }
            let known = || NAMES.map(|(name, _)| name).join(", ");
            let (_, one) = NAMES.iter().find(|(known, _)| *known == name).with_context(|| format!("`{name}` is none of {}", known()))?;
            Ok(sum.with(*one))
        })
    }
}
