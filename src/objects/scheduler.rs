//! What a KubeSchedulerConfiguration says of pods that do not say it themselves: over what they are spread.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::TopologySpreadConstraint;
use serde::Deserialize;
use serde_json::Value;
use springtide_api::Problem;

/// The kind. Its objects have no name: a scheduler reads one file.
pub const KIND: &str = "KubeSchedulerConfiguration";
/// The scheduler that pods get which name none.
pub const DEFAULT: &str = "default-scheduler";

/// As much of a configuration as speaks of pods.
#[derive(Debug, Deserialize)]
pub struct Configuration {
    #[serde(default)]
    profiles: Vec<Profile>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Profile {
    scheduler_name: Option<String>,
    #[serde(default)]
    plugin_config: Vec<PluginConfig>,
}

#[derive(Debug, Deserialize)]
struct PluginConfig {
    #[serde(default)]
    name: String,
    #[serde(default)]
    args: Value,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SpreadArgs {
    #[serde(default)]
    default_constraints: Vec<TopologySpreadConstraint>,
    defaulting_type: Option<String>,
}

impl Configuration {
    /// The constraints that pods of each scheduler get which have none of their own.
    ///
    /// # Errors
    /// What the scheduler would refuse.
    pub fn defaults(&self) -> Result<BTreeMap<String, Vec<TopologySpreadConstraint>>, Problem> {
        let mut all = BTreeMap::new();
        for (i, profile) in self.profiles.iter().enumerate() {
            let name = profile.scheduler_name.as_deref().filter(|name| !name.is_empty()).unwrap_or(DEFAULT);
            for (j, config) in profile.plugin_config.iter().enumerate().filter(|(_, config)| config.name == "PodTopologySpread") {
                all.insert(name.to_owned(), constraints(&config.args, &format!("profiles[{i}].pluginConfig[{j}].args"))?);
            }
        }
        Ok(all)
    }
}

fn constraints(args: &Value, field: &str) -> Result<Vec<TopologySpreadConstraint>, Problem> {
    if args.is_null() {
        return Ok(Vec::new());
    }
    let args = SpreadArgs::deserialize(args).map_err(|error| Problem::new(field, error.to_string(), "write what this field can hold"))?;
    // The scheduler's own list, which is what it takes where this is not `List`, only says what would be good to have.
    if !args.default_constraints.is_empty() && args.defaulting_type.as_deref() != Some("List") {
        let what = "there are defaultConstraints, which count for the type List alone";
        return Err(Problem::new(format!("{field}.defaultingType"), what, "write List"));
    }
    if let Some(i) = args.default_constraints.iter().position(|constraint| constraint.label_selector.is_some()) {
        let what = "the selector of a default follows from the pod's owner and services";
        return Err(Problem::new(format!("{field}.defaultConstraints[{i}].labelSelector"), what, "remove it"));
    }
    Ok(args.default_constraints)
}
