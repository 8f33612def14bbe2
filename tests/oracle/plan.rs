//! `springtide plan` asked about a scene, and what it answers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::process::Command;

use super::scene::Scene;
use super::selector::{Labels, text};

/// The program, built with this test.
const PROGRAM: &str = env!("CARGO_BIN_EXE_springtide");

/// Why the planner holds back from a pod of which the scheduler would not: a pool's limit, or nothing in stock.
const HELD_BACK: [&str; 2] = ["has reached its limit of", "stock in"];
/// What the planner says of constraints that it does not know yet.
const NOT_YET: &str = "is not planned for yet";

/// What the program answers.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// Nodes to start.
    pub node_claims: Vec<Started>,
    /// Pods for nodes that are there.
    pub placements: Vec<Placed>,
    /// Pods that get no node.
    pub unschedulable: Vec<Unschedulable>,
}

/// A node to start.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Started {
    /// Its name.
    pub name: String,
    /// Its pool.
    pub node_pool: String,
    /// Its type.
    pub instance_type: String,
    /// Other types that will do.
    pub alternatives: Vec<String>,
    /// Its zone.
    pub zone: String,
    /// How it is paid for.
    pub capacity_type: String,
    /// Labels that its node will have in any case.
    pub labels: Labels,
    /// What its machine must be: rows of a selector.
    pub requirements: Vec<Value>,
    /// What it costs, in dollars an hour.
    price_per_hour: f64,
    /// Its pods.
    pub pods: Vec<String>,
}

/// Pods for a node that is there.
#[derive(Debug, Deserialize)]
pub struct Placed {
    /// The node.
    pub node: String,
    /// The pods.
    pub pods: Vec<String>,
}

/// A pod that gets no node.
#[derive(Debug, Deserialize)]
pub struct Unschedulable {
    /// The pod.
    pub pod: String,
    /// Why.
    pub reasons: Vec<String>,
}

impl Unschedulable {
    fn says(&self, what: &[&str]) -> bool {
        self.reasons.iter().any(|reason| what.iter().any(|what| reason.contains(what)))
    }

    /// Whether the planner could place it and may not.
    pub fn is_held_back(&self) -> bool {
        self.says(&HELD_BACK)
    }

    /// Whether the planner does not know yet what it asks for.
    pub fn is_beyond(&self) -> bool {
        self.says(&[NOT_YET])
    }
}

impl Plan {
    /// What its machines cost, in micro-dollars an hour.
    pub fn cost(&self) -> u64 {
        #[expect(clippy::cast_sign_loss, clippy::cast_possible_truncation, reason = "a few dollars")]
        self.node_claims.iter().map(|claim| (claim.price_per_hour * 1e6).round() as u64).sum()
    }

    /// Where each pod goes that the plan has a place for; nodes to start are called by `node_name`.
    pub fn places(&self, node_name: impl Fn(&str) -> String) -> BTreeMap<String, String> {
        let new = self.node_claims.iter().map(|claim| (node_name(&claim.name), &claim.pods));
        let old = self.placements.iter().map(|placed| (placed.node.clone(), &placed.pods));
        new.chain(old).flat_map(|(node, pods)| pods.iter().map(move |pod| (pod.clone(), node.clone()))).collect()
    }
}

/// The name by which the program speaks of a pod.
pub fn key(pod: &Value) -> String {
    format!("{}/{}", text(&pod["metadata"], "namespace"), text(&pod["metadata"], "name"))
}

/// Whether nobody may schedule a pod yet.
pub fn is_gated(pod: &Value) -> bool {
    pod.pointer("/spec/schedulingGates").is_some()
}

/// Writes a scene into a folder, as files for the program.
pub fn write(scene: &Scene, folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("make the folder {}", folder.display()))?;
    let documents: Result<Vec<String>, _> = scene.objects().iter().map(serde_saphyr::to_string).collect();
    let types: Vec<Value> = scene.market.iter().map(super::market::Type::entry).collect();
    let files = [("scene.yaml", documents?.join("---\n")), ("types.json", serde_json::to_string_pretty(&json!(types))?)];
    for (name, text) in files {
        std::fs::write(folder.join(name), text).with_context(|| format!("write {name} into {}", folder.display()))?;
    }
    Ok(())
}

/// Asks the program. All that it says beside its answer has to be a notice, and each pod that waits has to have exactly one fate.
pub async fn plan(scene: &Scene, folder: &Path) -> Result<Plan> {
    write(scene, folder)?;
    let arguments = ["plan", "-f", "scene.yaml", "--instance-types", "types.json", "-o", "json"];
    let output = Command::new(PROGRAM).args(arguments).current_dir(folder).output().await.context("start the program")?;
    let errors = String::from_utf8_lossy(&output.stderr);
    let told: Vec<&str> = errors.lines().filter(|line| !line.contains("notice: ")).collect();
    ensure!(told.is_empty(), "the program finds {} faults with the scene, the first: {}", told.len(), told[0]);
    ensure!(matches!(output.status.code(), Some(0 | 1)), "the program ends with {}: {errors}", output.status);
    let plan: Plan = serde_json::from_slice(&output.stdout).context("read the program's answer")?;
    each_has_one_fate(scene, &plan)?;
    Ok(plan)
}

fn each_has_one_fate(scene: &Scene, plan: &Plan) -> Result<()> {
    let placed = plan.node_claims.iter().flat_map(|claim| &claim.pods).chain(plan.placements.iter().flat_map(|placed| &placed.pods));
    let mut told: Vec<String> = placed.chain(plan.unschedulable.iter().map(|one| &one.pod)).cloned().collect();
    told.sort();
    let waiting: BTreeSet<String> = scene.waiting.iter().filter(|pod| !is_gated(pod)).map(key).collect();
    ensure!(waiting.iter().eq(&told), "the plan speaks of {told:?}, and what waits is {waiting:?}");
    Ok(())
}

/// A folder for the files of a seed, which stays where its seed fails.
pub fn folder(seed: u64) -> PathBuf {
    std::env::temp_dir().join("springtide-oracle").join(format!("seed-{seed}"))
}
