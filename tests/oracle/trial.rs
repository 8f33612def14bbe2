//! One scene before the scheduler: its plan is carried out, and what the scheduler makes of it is compared with what was planned.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::AddAssign;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::chance::Chance;
use super::market::{Sale, Type};
use super::nodes::{daemon_pods, labels_of, node};
use super::plan::{self, Plan, Started, key, plan};
use super::referee::{Referee, Said};
use super::scene::Scene;
use super::selector::{holds, items, text};
use super::words::{CAPACITY_TYPE, INSTANCE_TYPE, NODE_POOL, RING, TEAM, ZONE, pin};

/// What came of one scene or of many.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// Pods that a plan has a place for.
    pub planned: usize,
    /// Those that the scheduler binds when it may choose no other node.
    pub pinned_bound: usize,
    /// Those of them that it binds in one order of creation and not in another.
    pub in_one_order: usize,
    /// Those that it binds when it may choose.
    pub free_bound: usize,
    /// What the first plan's machines cost, in micro-dollars an hour.
    pub cost: u64,
    /// What those of later plans cost.
    pub later_cost: u64,
    /// Those of the others that it binds after more plans have been carried out.
    pub settled: usize,
    /// Those of the others that another plan has no place for either: it was taken by pods that could have gone elsewhere, or a limit is reached.
    pub left_over: usize,
    /// Pods that a plan calls unschedulable, of which the scheduler was asked.
    pub unschedulable: usize,
    /// Those that it finds no node for either.
    pub unschedulable_agreed: usize,
    /// Pods that the planner does not plan for yet.
    pub beyond: usize,
}

impl AddAssign for Verdict {
    fn add_assign(&mut self, other: Self) {
        self.planned += other.planned;
        self.pinned_bound += other.pinned_bound;
        self.in_one_order += other.in_one_order;
        self.free_bound += other.free_bound;
        self.cost += other.cost;
        self.later_cost += other.later_cost;
        self.settled += other.settled;
        self.left_over += other.left_over;
        self.unschedulable += other.unschedulable;
        self.unschedulable_agreed += other.unschedulable_agreed;
        self.beyond += other.beyond;
    }
}

/// What is wrong about a scene's plan: for each workload and mistake the first of its pods, and how many more there are.
#[derive(Debug, Default)]
pub struct Failures(BTreeMap<(String, Mistake), (String, usize)>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Mistake {
    OfFirstPlan,
    OfLaterPlan,
    Refused,
}

impl Failures {
    fn add(&mut self, pod: &str, mistake: Mistake, what: impl FnOnce() -> String) {
        let (workload, _) = pod.rsplit_once('-').unwrap_or((pod, ""));
        self.0.entry((workload.to_owned(), mistake)).and_modify(|(_, more)| *more += 1).or_insert_with(|| (what(), 0));
    }

    /// A line each.
    pub fn lines(&self) -> Vec<String> {
        let more = |count: &usize| if *count > 0 { format!(" (and {count} more like it)") } else { String::new() };
        self.0.values().map(|(what, count)| format!("{what}{}", more(count))).collect()
    }
}

/// So many plans follow the first one, each for what the scheduler made of those before.
const TURNS: usize = 4;

/// Nodes beside those of the scene and of its first plan, with their DaemonSets' pods.
#[derive(Debug, Default)]
struct Spare {
    nodes: Vec<Value>,
    daemons: Vec<Value>,
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
        let places = plan.places(|claim| node_name(scene.seed, 0, claim));
        let started = start_all(&scene, 0, &plan)?;
        Ok(Self { scene, plan, places, started })
    }

    /// Puts everything before the scheduler.
    pub async fn hear(&self, referee: &Referee) -> Result<(Verdict, Failures)> {
        let beyond = self.plan.unschedulable.iter().filter(|one| one.is_beyond()).count();
        let mut verdict = Verdict { planned: self.places.len(), cost: self.plan.cost(), beyond, ..Verdict::default() };
        let mut failures = Failures::default();
        let nodes = [&self.scene.nodes[..], &self.started].concat();
        referee.create(&self.scene.running).await?;
        referee.create(&self.daemons_to_come(&nodes)).await?;
        referee.create(&nodes).await?;
        referee.create(&self.scene.volumes).await?;
        let mut planned: Vec<Value> = self.scene.waiting.iter().filter(|pod| self.places.contains_key(&key(pod))).cloned().collect();
        Chance::of(self.scene.seed, "order of pods", 0).shuffle(&mut planned);
        self.free(referee, &planned, &mut verdict, &mut failures).await.context("with pods that may go where they like")?;
        referee.remove(&planned).await?;
        self.renew_volumes(referee).await?;
        self.pinned(referee, &planned, &mut verdict, &mut failures).await.context("with pods that may go to one node")?;
        // Where others are not as planned, a pod without a place may well find one.
        if verdict.pinned_bound == verdict.planned {
            self.refused(referee, &self.plan, 0, &mut verdict, &mut failures).await.context("with pods that get no node")?;
        }
        referee.clear().await?;
        Ok((verdict, failures))
    }

    /// DaemonSets' pods of these nodes that the scene does not have yet.
    fn daemons_to_come(&self, nodes: &[Value]) -> Vec<Value> {
        let there: BTreeSet<String> = self.scene.running.iter().map(key).collect();
        let all = nodes.iter().flat_map(|node| daemon_pods(&self.scene.daemons, node));
        all.filter(|pod| !there.contains(&key(pod))).collect()
    }

    async fn pinned(&self, referee: &Referee, planned: &[Value], verdict: &mut Verdict, failures: &mut Failures) -> Result<()> {
        let pinned: Vec<Value> = planned.iter().map(|pod| pinned_to(pod, &self.places[&key(pod)])).collect();
        let said = referee.judge(&pinned).await?;
        let bound = said.values().filter(|said| said.node.is_some()).count();
        if bound == said.len() {
            verdict.pinned_bound += bound;
            return Ok(());
        }
        // Spreading and affinity look at who is there when a pod comes: once more with those workloads first of which pods were left over.
        let workload = |pod: &Value| text(&pod["metadata"]["labels"], "app").to_owned();
        let late: BTreeSet<String> = pinned.iter().filter(|pod| said[&key(pod)].node.is_none()).map(workload).collect();
        let open: BTreeSet<String> = said.into_iter().filter(|(_, said)| said.node.is_none()).map(|(pod, _)| pod).collect();
        let (first, then): (Vec<Value>, Vec<Value>) = pinned.into_iter().partition(|pod| late.contains(&workload(pod)));
        referee.remove(&[&first[..], &then].concat()).await?;
        self.renew_volumes(referee).await?;
        let mut said = referee.judge(&first).await?;
        said.extend(referee.judge(&then).await?);
        let again: Vec<Value> = first.iter().filter(|pod| said[&key(pod)].node.is_none()).cloned().collect();
        said.extend(referee.judge_again(&again).await?);
        for (pod, said) in said {
            if said.node.is_some() {
                verdict.pinned_bound += 1;
                verdict.in_one_order += usize::from(open.contains(&pod));
            } else {
                let (place, message) = (&self.places[&pod], said.message.unwrap_or_default());
                failures.add(&pod, Mistake::OfFirstPlan, || format!("pod {pod} was planned for {place}, and does not go there: {message}"));
            }
        }
        Ok(())
    }

    /// What was bound or made for pods that are gone is made anew.
    async fn renew_volumes(&self, referee: &Referee) -> Result<()> {
        if self.scene.volumes.is_empty() {
            return Ok(());
        }
        referee.remove_volumes().await?;
        referee.create(&self.scene.volumes).await
    }

    async fn free(&self, referee: &Referee, planned: &[Value], verdict: &mut Verdict, failures: &mut Failures) -> Result<()> {
        let mut said = referee.judge(planned).await?;
        verdict.free_bound += said.values().filter(|said| said.node.is_some()).count();
        let mut scene = self.scene.clone();
        scene.running.extend(self.daemons_to_come(&[&scene.nodes[..], &self.started].concat()));
        scene.nodes.extend(self.started.iter().cloned());
        scene.waiting = planned.to_vec();
        let mut more = Spare::default();
        for turn in 1..=TURNS {
            bind(&mut scene, &said);
            if scene.waiting.is_empty() {
                break;
            }
            let again = plan(&scene, &plan::folder(scene.seed).join(format!("turn-{turn}"))).await?;
            verdict.later_cost += again.cost();
            let started = start_all(&scene, turn, &again)?;
            let daemons: Vec<Value> = started.iter().flat_map(|node| daemon_pods(&scene.daemons, node)).collect();
            referee.create(&daemons).await?;
            referee.create(&started).await?;
            let places = again.places(|claim| node_name(scene.seed, turn, claim));
            scene.running.extend(daemons.iter().cloned());
            scene.nodes.extend(started.iter().cloned());
            more.daemons.extend(daemons);
            more.nodes.extend(started);
            let open: Vec<Value> = scene.waiting.iter().filter(|pod| places.contains_key(&key(pod))).cloned().collect();
            said = referee.judge_again(&open).await?;
            let settled = said.values().filter(|said| said.node.is_some()).count();
            verdict.settled += settled;
            if settled == 0 || turn == TURNS {
                for (pod, said) in said.iter().filter(|(_, said)| said.node.is_none()) {
                    let (first, last, message) = (&self.places[pod], &places[pod], said.message.as_deref().unwrap_or_default());
                    let what = || format!("pod {pod} was planned for {first}, then for {last}, and still waits: {message}");
                    failures.add(pod, Mistake::OfLaterPlan, what);
                }
            }
            // What was meant for a pod may have been taken by one that could have gone elsewhere. Then it waits, and the scheduler has to see that too.
            verdict.left_over += again.unschedulable.len();
            let spare = self.refused(referee, &again, turn, &mut Verdict::default(), failures).await?;
            referee.remove(&spare.daemons).await?;
            referee.remove_nodes(&spare.nodes).await?;
            scene.waiting = open;
            if settled == 0 {
                break;
            }
        }
        referee.remove(&more.daemons).await?;
        referee.remove_nodes(&more.nodes).await
    }

    /// What a plan calls unschedulable stays so, with an empty node of each kind that could be bought: those are left there.
    async fn refused(&self, referee: &Referee, plan: &Plan, turn: usize, verdict: &mut Verdict, failures: &mut Failures) -> Result<Spare> {
        let asked = plan.unschedulable.iter().filter(|one| !one.is_held_back() && !one.is_beyond());
        let reasons: BTreeMap<&str, &[String]> = asked.map(|one| (one.pod.as_str(), &one.reasons[..])).collect();
        if reasons.is_empty() {
            return Ok(Spare::default());
        }
        let nodes = self.one_of_each(turn);
        let daemons: Vec<Value> = nodes.iter().flat_map(|node| daemon_pods(&self.scene.daemons, node)).collect();
        referee.create(&daemons).await?;
        referee.create(&nodes).await?;
        let labels: BTreeMap<&str, String> = nodes.iter().map(|node| (text(&node["metadata"], "name"), shown(node))).collect();
        let refused: Vec<Value> = self.scene.waiting.iter().filter(|pod| reasons.contains_key(&*key(pod))).cloned().collect();
        // After the first turn they are there already.
        let said = if turn == 0 { referee.judge(&refused).await? } else { referee.judge_again(&refused).await? };
        for (pod, said) in said {
            verdict.unschedulable += 1;
            match said.node {
                None => verdict.unschedulable_agreed += 1,
                Some(node) => {
                    let reasons = reasons.get(&*pod).map(|reasons| reasons.join("; ")).unwrap_or_default();
                    let labels = labels.get(&*node).map_or("which was there", String::as_str);
                    let what = || format!("pod {pod} gets no node ({reasons}), and goes to {node}, {labels}");
                    failures.add(&pod, Mistake::Refused, what);
                }
            }
        }
        Ok(Spare { nodes, daemons })
    }

    /// An empty node of each kind that a pool could buy.
    fn one_of_each(&self, turn: usize) -> Vec<Value> {
        let mut nodes = Vec::new();
        for pool in &self.scene.pools {
            for (kind, sale) in pool.goods(&self.scene.market) {
                for choice in pool.choices() {
                    let mut labels = kind.labels(sale.zone, sale.capacity_type);
                    labels.extend(choice);
                    let name = node_name(self.scene.seed, turn, &format!("spare-{}", nodes.len()));
                    nodes.push(node(&name, labels, &pool.taints, &kind.allocatable()));
                }
            }
        }
        if nodes.is_empty() {
            // Without any node the scheduler takes each try for an error, and repeats it without end: one that has no place for a pod.
            let name = node_name(self.scene.seed, turn, "spare");
            nodes.push(node(&name, BTreeMap::new(), &[], &json!({"cpu": "1", "memory": "1Gi", "pods": "0"})));
        }
        nodes
    }
}

/// A claim's name follows from its pool and the moment: nodes of different scenes and turns have to be called differently.
fn node_name(seed: u64, turn: usize, claim: &str) -> String {
    format!("s{seed}-{claim}{}", if turn == 0 { String::new() } else { format!("-{turn}") })
}

/// Takes over where pods were bound.
fn bind(scene: &mut Scene, said: &BTreeMap<String, Said>) {
    for mut pod in std::mem::take(&mut scene.waiting) {
        match said.get(&key(&pod)).and_then(|said| said.node.as_ref()) {
            Some(node) => {
                pod["spec"]["nodeName"] = json!(node);
                scene.running.push(pod);
            }
            None => scene.waiting.push(pod),
        }
    }
}

/// The nodes that a plan starts.
fn start_all(scene: &Scene, turn: usize, plan: &Plan) -> Result<Vec<Value>> {
    plan.node_claims.iter().enumerate().map(|(number, claim)| start(scene, turn, number, claim)).collect()
}

/// The node that a plan starts. What was planned may be out of stock: then another of the types is bought, which has to do as well.
fn start(scene: &Scene, turn: usize, number: usize, claim: &Started) -> Result<Value> {
    let pool =
        scene.pools.iter().find(|pool| pool.name == claim.node_pool).with_context(|| format!("there is no pool {}", claim.node_pool))?;
    let mut goods = pool.goods(&scene.market);
    goods.retain(|(_, sale)| (sale.zone, sale.capacity_type) == (&claim.zone, &claim.capacity_type));
    let first = goods.iter().find(|(kind, _)| kind.name == claim.instance_type);
    let first = first.with_context(|| format!("pool {} may not buy what was planned: {claim:?}", pool.name))?;
    let others: Vec<&(&Type, &Sale)> = goods.iter().filter(|(kind, _)| claim.alternatives.iter().any(|name| name == kind.name)).collect();
    let mut chance = Chance::of(scene.seed, "out of stock", number);
    let (kind, sale) = if !others.is_empty() && chance.one_in(4) { chance.pick(&others) } else { first };
    let mut labels = claim.labels.clone();
    for row in &claim.requirements {
        // Of a label of the pool's own with several values the node gets one.
        if let Some(value) = items(row, "values").first().filter(|_| text(row, "operator") == "In") {
            labels.entry(text(row, "key").to_owned()).or_insert_with(|| value.as_str().unwrap_or_default().to_owned());
        }
    }
    labels.extend(kind.labels(sale.zone, sale.capacity_type));
    labels.insert(NODE_POOL.to_owned(), pool.name.to_owned());
    let wrong = claim.requirements.iter().find(|row| !holds(row, &labels));
    ensure!(wrong.is_none(), "claim {} asks for {wrong:?}, and {} has {labels:?}", claim.name, kind.name);
    Ok(node(&node_name(scene.seed, turn, &claim.name), labels, &pool.taints, &kind.allocatable()))
}

/// What sets a node apart from others.
fn shown(node: &Value) -> String {
    let labels = labels_of(node);
    let told = [NODE_POOL, INSTANCE_TYPE, ZONE, CAPACITY_TYPE, TEAM, RING].iter().filter_map(|key| labels.get(*key).map(String::as_str));
    told.collect::<Vec<_>>().join(" ")
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
