//! How nodes are planned: flags and `SPRINGTIDE_*` variables that the daemon and `springtide plan` share.

use clap::Args;
use springtide_core::nodes::decide::Options;

/// How nodes are planned, by the names that Karpenter has for it.
#[derive(Debug, Clone, Copy, Args)]
pub struct Planning {
    /// Whether nodes are started for the sake of what pods only prefer.
    #[arg(long, env = "SPRINGTIDE_PREFERENCE_POLICY", default_value = "Respect")]
    pub preference_policy: PreferencePolicy,

    /// Whether minValues of NodePools give way where no node could be started otherwise.
    #[arg(long, env = "SPRINGTIDE_MIN_VALUES_POLICY", default_value = "Strict")]
    pub min_values_policy: MinValuesPolicy,
}

/// What preferences of pods are to the planner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "PascalCase")]
pub enum PreferencePolicy {
    /// They hold where they can.
    Respect,
    /// They are left to the scheduler.
    Ignore,
}

/// What minValues of NodePools are to the planner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "PascalCase")]
pub enum MinValuesPolicy {
    /// They hold.
    Strict,
    /// They give way where no node could be started otherwise.
    BestEffort,
}

impl From<Planning> for Options {
    fn from(planning: Planning) -> Self {
        Self {
            ignore_preferences: planning.preference_policy == PreferencePolicy::Ignore,
            relax_min_values: planning.min_values_policy == MinValuesPolicy::BestEffort,
            ..Self::default()
        }
    }
}
