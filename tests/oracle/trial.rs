//! One scene before the scheduler: its plan is carried out, and what the scheduler makes of it is compared with what was planned.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::AddAssign;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::chance::Chance;
use super::nodes::{daemon_pods, labels_of, node};
use super::plan::{self, Plan, Started, key, plan};
use super::referee::{Referee, Said};
use super::scene::Scene;
use super::selector::text;
use super::words::{NODE_POOL, pin};

/// What came of one scene or of many.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// Pods that a plan has a place for.
    pub planned: usize,
    /// Those that the scheduler binds when it may choose no other node.
    pub pinned_bound: usize,
    /// Those that it binds when it may choose.
    pub free_bound: usize,
    /// Those of the others that it binds after a second plan has been carried out.
    pub settled: usize,
    /// Those of the others that a second plan may not buy anything for.
    pub held_back: usize,
    /// Pods that a plan calls unschedulable, of which the scheduler was asked.
    pub unschedulable: usize,
    /// Those that it finds no node for either.
    pub unschedulable_agreed: usize,
    /// Pods that the planner does not plan for yet.
    pub beyond: usize,
    /// What is wrong, a line each.
    pub failures: Vec<String>,
}

impl AddAssign for Verdict {
    fn add_assign(&mut self, other: Self) {
        self.planned += other.planned;
        self.pinned_bound += other.pinned_bound;
        self.free_bound += other.free_bound;
        self.settled += other.settled;
        self.held_back += other.held_back;
        self.unschedulable += other.unschedulable;
        self.unschedulable_agreed += other.unschedulable_agreed;
        self.beyond += other.beyond;
        self.failures.extend(other.failures);
    }
}

/// Which plan of a scene.
#[derive(Clone, Copy, Debug)]
enum Turn {
    First,
    Second,
}

/// A scene with its plan.
pub struct Trial {
    scene: Scene,
    plan: Plan,
    /// Where each pod was planned to go.
    places: BTreeMap<String, String>,
    /// Nodes that the plan starts.
    started: Vec<Value>,
}

impl Trial {
    /// Asks for the plan of a scene.
    pub async fn of(scene: Scene) -> Result<Self> {
        let plan = plan(&scene, &plan::folder(scene.seed)).await?;
        let places = plan.places(|claim| node_name(scene.seed, Turn::First, claim));
        let started = plan.node_claims.iter().map(|claim| start(&scene, Turn::First, claim)).collect::<Result<_>>()?;
        Ok(Self { scene, plan, places, started })
    }

    /// Puts everything before the scheduler.
    pub async fn hear(&self, referee: &Referee) -> Result<Verdict> {
        let beyond = self.plan.unschedulable.iter().filter(|one| one.is_beyond()).count();
        let mut verdict = Verdict { planned: self.places.len(), beyond, ..Verdict::default() };
        let nodes = [&self.scene.nodes[..], &self.started].concat();
        referee.create(&self.scene.running).await?;
        referee.create(&self.daemons_to_come(&nodes)).await?;
        referee.create_nodes(&nodes).await?;
        referee.create(&self.scene.volumes).await?;
        let mut planned: Vec<Value> = self.scene.waiting.iter().filter(|pod| self.places.contains_key(&key(pod))).cloned().collect();
        Chance::of(self.scene.seed, "order of pods", 0).shuffle(&mut planned);
        self.free(referee, &planned, &mut verdict).await.context("with pods that may go where they like")?;
        referee.remove(&planned, &self.scene.volumes).await?;
        referee.create(&self.scene.volumes).await?;
        self.pinned(referee, &planned, &mut verdict).await.context("with pods that may go to one node")?;
        self.refused(referee, &mut verdict).await.context("with pods that get no node")?;
        referee.clear().await?;
        Ok(verdict)
    }

    /// DaemonSets' pods of these nodes that the scene does not have yet.
    fn daemons_to_come(&self, nodes: &[Value]) -> Vec<Value> {
        let there: BTreeSet<String> = self.scene.running.iter().map(key).collect();
        let all = nodes.iter().flat_map(|node| daemon_pods(&self.scene.daemons, node));
        all.filter(|pod| !there.contains(&key(pod))).collect()
    }

    async fn pinned(&self, referee: &Referee, planned: &[Value], verdict: &mut Verdict) -> Result<()> {
        let pinned: Vec<Value> = planned.iter().map(|pod| pinned_to(pod, &self.places[&key(pod)])).collect();
        for (pod, said) in referee.judge(&pinned).await? {
            match said {
                Said { node: Some(_), .. } => verdict.pinned_bound += 1,
                Said { message, .. } => {
                    let message = message.unwrap_or_default();
                    verdict.failures.push(format!("pod {pod} was planned for {}, and does not go there: {message}", self.places[&pod]));
                }
            }
        }
        Ok(())
    }

    async fn free(&self, referee: &Referee, planned: &[Value], verdict: &mut Verdict) -> Result<()> {
        let said = referee.judge(planned).await?;
        let open: Vec<&String> = said.iter().filter(|(_, said)| said.node.is_none()).map(|(pod, _)| pod).collect();
        verdict.free_bound += said.len() - open.len();
        if open.is_empty() {
            return Ok(());
        }
        let (scene, places) = self.as_bound(planned, &said);
        let second = plan(&scene, &plan::folder(scene.seed).join("second")).await?;
        verdict.held_back += second.unschedulable.iter().filter(|one| one.is_held_back()).count();
        for one in second.unschedulable.iter().filter(|one| !one.is_held_back()) {
            verdict.failures.push(format!("pod {} has no place in the second plan: {}", one.pod, one.reasons.join("; ")));
        }
        let started: Vec<Value> = second.node_claims.iter().map(|claim| start(&scene, Turn::Second, claim)).collect::<Result<_>>()?;
        let daemons: Vec<Value> = started.iter().flat_map(|node| daemon_pods(&scene.daemons, node)).collect();
        referee.create(&daemons).await?;
        referee.create_nodes(&started).await?;
        let of_second = second.places(|claim| node_name(scene.seed, Turn::Second, claim));
        for (pod, said) in referee.judge_again(of_second.keys().cloned().collect()).await? {
            if said.node.is_some() {
                verdict.settled += 1;
            } else {
                let message = said.message.unwrap_or_default();
                let (first, second) = (&places[&pod], &of_second[&pod]);
                verdict.failures.push(format!("pod {pod} was planned for {first}, then for {second}, and still waits: {message}"));
            }
        }
        Ok(())
    }

    /// The scene as it is after the scheduler's own choice, and where its pods were planned to go.
    fn as_bound(&self, planned: &[Value], said: &BTreeMap<String, Said>) -> (Scene, &BTreeMap<String, String>) {
        let mut scene = self.scene.clone();
        scene.nodes.extend(self.started.iter().cloned());
        scene.running.extend(self.daemons_to_come(&scene.nodes));
        scene.waiting = Vec::new();
        for pod in planned {
            match said.get(&key(pod)).and_then(|said| said.node.as_ref()) {
                Some(node) => {
                    let mut pod = pod.clone();
                    pod["spec"]["nodeName"] = json!(node);
                    scene.running.push(pod);
                }
                None => scene.waiting.push(pod.clone()),
            }
        }
        (scene, &self.places)
    }

    /// What the plan calls unschedulable stays so, with an empty node of each kind that could be bought.
    async fn refused(&self, referee: &Referee, verdict: &mut Verdict) -> Result<()> {
        let asked = self.plan.unschedulable.iter().filter(|one| !one.is_held_back() && !one.is_beyond());
        let reasons: BTreeMap<&str, &[String]> = asked.map(|one| (one.pod.as_str(), &one.reasons[..])).collect();
        if reasons.is_empty() {
            return Ok(());
        }
        let nodes = self.one_of_each();
        let daemons: Vec<Value> = nodes.iter().flat_map(|node| daemon_pods(&self.scene.daemons, node)).collect();
        referee.create(&daemons).await?;
        referee.create_nodes(&nodes).await?;
        let labels: BTreeMap<&str, String> =
            nodes.iter().map(|node| (text(&node["metadata"], "name"), format!("{:?}", labels_of(node)))).collect();
        let refused: Vec<Value> = self.scene.waiting.iter().filter(|pod| reasons.contains_key(&*key(pod))).cloned().collect();
        for (pod, said) in referee.judge(&refused).await? {
            verdict.unschedulable += 1;
            match said.node {
                None => verdict.unschedulable_agreed += 1,
                Some(node) => {
                    let like = labels.get(&*node).map_or_else(String::new, |labels| format!(", a new one with {labels}"));
                    let reasons = reasons.get(&*pod).map(|reasons| reasons.join("; ")).unwrap_or_default();
                    verdict.failures.push(format!("pod {pod} gets no node ({reasons}), and goes to {node}{like}"));
                }
            }
        }
        Ok(())
    }

    /// An empty node of each kind that a pool could buy.
    fn one_of_each(&self) -> Vec<Value> {
        let mut nodes = Vec::new();
        for pool in &self.scene.pools {
            for (kind, sale) in pool.goods(&self.scene.market) {
                for choice in pool.choices() {
                    let mut labels = kind.labels(sale.zone, sale.capacity_type);
                    labels.extend(choice);
                    let name = format!("s{}-spare-{}", self.scene.seed, nodes.len());
                    nodes.push(node(&name, labels, &pool.taints, &kind.allocatable()));
                }
            }
        }
        nodes
    }
}

/// A claim's name follows from its pool and the moment: nodes of different scenes and plans have to be called differently.
fn node_name(seed: u64, turn: Turn, claim: &str) -> String {
    match turn {
        Turn::First => format!("s{seed}-{claim}"),
        Turn::Second => format!("s{seed}-{claim}-again"),
    }
}

/// The node that a plan starts, as the pool and the type say; the plan is believed in labels alone that these leave open.
fn start(scene: &Scene, turn: Turn, claim: &Started) -> Result<Value> {
    let pool =
        scene.pools.iter().find(|pool| pool.name == claim.node_pool).with_context(|| format!("there is no pool {}", claim.node_pool))?;
    let goods = pool.goods(&scene.market);
    let bought = (claim.instance_type.as_str(), claim.zone.as_str(), claim.capacity_type.as_str());
    let found = goods.iter().find(|(kind, sale)| (kind.name, sale.zone, sale.capacity_type) == bought);
    let (kind, sale) = found.with_context(|| format!("pool {} may not buy what was planned: {claim:?}", pool.name))?;
    let mut known = kind.labels(sale.zone, sale.capacity_type);
    known.insert(NODE_POOL.to_owned(), pool.name.to_owned());
    for (key, value) in &known {
        let told = claim.labels.get(key);
        ensure!(told == Some(value), "node {} is to have {key}={told:?}, and has {value}", claim.name);
    }
    let mut choices = pool.choices();
    // A pool that asks only that a label exists, or is not this, says nothing about what it will be.
    choices.push(known.clone());
    let rest: super::selector::Labels =
        claim.labels.iter().filter(|(key, _)| !known.contains_key(*key)).map(|(key, value)| (key.clone(), value.clone())).collect();
    ensure!(
        choices.iter().any(|choice| rest.iter().all(|(key, value)| choice.get(key) == Some(value))),
        "pool {} has no node with {rest:?}",
        pool.name
    );
    known.extend(rest);
    Ok(node(&node_name(scene.seed, turn, &claim.name), known, &pool.taints, &kind.allocatable()))
}

/// The pod, which can go to this node alone.
fn pinned_to(pod: &Value, node: &str) -> Value {
    let mut pod = pod.clone();
    pod["spec"]["containers"][0]["resources"]["limits"][pin(node)] = json!("1");
    if let Some(requests) = pod.pointer_mut("/spec/containers/0/resources/requests").filter(|requests| requests.is_object()) {
        requests[pin(node)] = json!("1");
    }
    pod
}
