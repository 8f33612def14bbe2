//! The real scheduler on a plane of its own: what is put before it, and what it says.
//!
//! There is neither a controller nor a kubelet: nodes are ready because their objects say so, and a pod is done with once it is bound. Scenes come one after
//! the other, each alone in the cluster. Nothing is guessed about when the scheduler knows or has tried something: it counts what it has been told of and what
//! is in its queues, and these counts are compared with what there is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::{Node, PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind, TypeMeta};
use kube::runtime::watcher::{self, Event};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use springtide_testbed::{Component, Options, Plane};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::plan::key;
use super::scene::namespaces;
use super::selector::text;
use super::words::{NAMESPACES, SYSTEM};

/// So many objects are created at a time: more would change their order.
const AT_A_TIME: usize = 6;
/// A scene of 60 pods takes a second; a machine under load is no failure of what is tested.
const WITHIN: Duration = Duration::from_secs(60);
/// The scheduler's counts can only be asked for.
const ASK_EVERY: Duration = Duration::from_millis(15);
/// How often it has handled an event.
const HANDLED: &str = "scheduler_event_handling_duration_seconds_count";
/// How many pods are in a queue.
const PENDING: &str = "scheduler_pending_pods";

/// Admission that stands in for controllers which are not here, or asks for them: ServiceAccounts, a priority's class, an overhead's class, finalizers of
/// volumes, taints of nodes that are not ready yet.
const ADMISSION_OFF: &str =
    "ServiceAccount,Priority,RuntimeClass,StorageObjectInUseProtection,TaintNodesByCondition,DefaultTolerationSeconds";

/// What the scheduler has said of a pod.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Said {
    /// Where it goes.
    pub node: Option<String>,
    /// Why it cannot go anywhere, as the last try found.
    pub message: Option<String>,
}

/// Pods, by their names.
pub type Seen = BTreeMap<String, Said>;

/// How much of each kind has happened, by the scheduler's names for it.
type Counts = BTreeMap<&'static str, usize>;

/// What a watch of pods tells.
#[derive(Clone, Debug, Default)]
struct Watched {
    pods: Seen,
    happened: Counts,
}

/// How many objects were created and deleted, those that others create included.
#[derive(Clone, Default)]
pub struct Done(Arc<Mutex<Counts>>);

impl Done {
    /// Notes that something has been done.
    pub fn note(&self, what: &'static str, times: usize) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(what).or_default() += times;
    }

    fn counts(&self) -> Counts {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The scheduler and its cluster.
pub struct Referee {
    plane: Plane,
    client: Client,
    /// For what the scheduler counts.
    asker: reqwest::Client,
    watched: watch::Receiver<Watched>,
    done: Done,
}

impl Referee {
    /// Starts a plane whose scheduler tries again soon and sends nobody away.
    pub async fn start() -> Result<Self> {
        let configuration = json!({
            // A plan promises that there is room, not that somebody can be made to leave.
            "profiles": [{"schedulerName": "default-scheduler", "plugins": {"postFilter": {"disabled": [{"name": "DefaultPreemption"}]}}}],
            "podInitialBackoffSeconds": 1,
            "podMaxBackoffSeconds": 1,
        });
        let options = Options {
            api_server_flags: vec![format!("--disable-admission-plugins={ADMISSION_OFF}"), "--delete-collection-workers=4".into()],
            scheduler_configuration: configuration.as_object().cloned().unwrap_or_default(),
            without: vec![Component::ControllerManager, Component::Kwok],
            ..Options::default()
        };
        let plane = Plane::start(options).await?;
        let client = plane.client().await?;
        let authority = reqwest::Certificate::from_pem(&std::fs::read(plane.certificate_authority())?)?;
        let asker = reqwest::Client::builder().tls_certs_only([authority]).no_proxy().timeout(WITHIN).build()?;
        let (sender, watched) = watch::channel(Watched::default());
        let done = Done::default();
        tokio::spawn(follow(client.clone(), sender));
        tokio::spawn(super::disks::make(client.clone(), done.clone()));
        let referee = Self { plane, client, asker, watched, done };
        referee.create(&namespaces().collect::<Vec<_>>()).await?;
        Ok(referee)
    }

    /// Creates objects, nearly in their order.
    pub async fn create(&self, objects: &[Value]) -> Result<()> {
        futures::stream::iter(objects.iter().map(|object| self.create_one(object))).buffered(AT_A_TIME).try_collect().await
    }

    async fn create_one(&self, object: &Value) -> Result<()> {
        let kind = text(object, "kind");
        let types = TypeMeta { api_version: text(object, "apiVersion").to_owned(), kind: kind.to_owned() };
        let resource = ApiResource::from_gvk(&GroupVersionKind::try_from(&types)?);
        let api: Api<DynamicObject> = match text(&object["metadata"], "namespace") {
            "" => Api::all_with(self.client.clone(), &resource),
            namespace => Api::namespaced_with(self.client.clone(), namespace, &resource),
        };
        let object: DynamicObject = serde_json::from_value(object.clone())?;
        api.create(&PostParams::default(), &object).await.with_context(|| format!("create {kind} {}", object.name_any()))?;
        let happens = match kind {
            "Node" => Some("NodeAdd"),
            "StorageClass" => Some("storage.k8s.io/StorageClassAdd"),
            "PersistentVolume" => Some("PersistentVolumeAdd"),
            "PersistentVolumeClaim" => Some("PersistentVolumeClaimAdd"),
            // Pods are counted as they are seen; namespaces are not counted.
            _ => None,
        };
        happens.into_iter().for_each(|happens| self.done.note(happens, 1));
        Ok(())
    }

    /// Creates pods and waits until the scheduler has nothing more to say of them: each is bound, or was tried in vain after the last of them was.
    pub async fn judge(&self, pods: &[Value]) -> Result<Seen> {
        // It has to know the nodes and volumes that are there, and that others are gone.
        self.until_settled(&[]).await?;
        self.create(pods).await?;
        let mut said = self.until_settled(pods).await?;
        let mut before = 0;
        // Its queue passes over some pods that may go somewhere by now, such as those near others of a selected namespace (1.34): they are tried anew.
        while (before + 1..said.len()).contains(&bound(&said)) {
            before = bound(&said);
            let open: Vec<Value> = pods.iter().filter(|pod| said[&key(pod)].node.is_none()).cloned().collect();
            self.remove(&open).await?;
            self.create(&open).await?;
            said = self.until_settled(pods).await?;
        }
        Ok(said)
    }

    /// The same for pods that are there and were tried in vain.
    pub async fn judge_again(&self, pods: &[Value]) -> Result<Seen> {
        // What has happened since may have set off new tries, which have to come to their end first.
        let mut said = self.until_settled(pods).await?;
        let open: Vec<Value> = pods.iter().filter(|pod| said[&key(pod)].node.is_none()).cloned().collect();
        self.remove(&open).await?;
        said.extend(self.judge(&open).await?);
        Ok(said)
    }

    /// Deletes pods, and waits until they are gone.
    pub async fn remove(&self, pods: &[Value]) -> Result<()> {
        let deletions = pods.iter().map(|pod| async move {
            let api: Api<Pod> = Api::namespaced(self.client.clone(), text(&pod["metadata"], "namespace"));
            let name = text(&pod["metadata"], "name");
            api.delete(name, &DeleteParams::default().grace_period(0)).await.with_context(|| format!("delete pod {name}")).map(drop)
        });
        futures::stream::iter(deletions).buffer_unordered(AT_A_TIME).try_collect::<()>().await?;
        let keys: Vec<String> = pods.iter().map(key).collect();
        self.until("pods are gone", |watched| !keys.iter().any(|key| watched.pods.contains_key(key))).await
    }

    /// Deletes nodes.
    pub async fn remove_nodes(&self, nodes: &[Value]) -> Result<()> {
        let api: Api<Node> = Api::all(self.client.clone());
        for node in nodes {
            let name = text(&node["metadata"], "name");
            api.delete(name, &DeleteParams::default()).await.with_context(|| format!("delete node {name}"))?;
            self.done.note("NodeDelete", 1);
        }
        Ok(())
    }

    /// Deletes all volumes with their claims and classes: what was bound or made is made anew.
    pub async fn remove_volumes(&self) -> Result<()> {
        let (at_once, all) = (DeleteParams::default(), ListParams::default());
        for (namespace, _) in NAMESPACES {
            let claims: Api<PersistentVolumeClaim> = Api::namespaced(self.client.clone(), namespace);
            claims.delete_collection(&at_once, &all).await.context("delete the volume claims")?;
        }
        Api::<PersistentVolume>::all(self.client.clone()).delete_collection(&at_once, &all).await.context("delete the volumes")?;
        let classes: Api<StorageClass> = Api::all(self.client.clone());
        classes.delete_collection(&at_once, &all).await.context("delete the storage classes").map(drop)
    }

    /// Deletes everything of a scene.
    pub async fn clear(&self) -> Result<()> {
        let (at_once, all) = (DeleteParams::default().grace_period(0), ListParams::default());
        for namespace in NAMESPACES.map(|(name, _)| name).into_iter().chain([SYSTEM]) {
            let pods: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
            pods.delete_collection(&at_once, &all).await.with_context(|| format!("delete the pods of {namespace}"))?;
        }
        Api::<Node>::all(self.client.clone()).delete_collection(&at_once, &all).await.context("delete the nodes")?;
        let counts = self.done.counts();
        let count = |what: &str| counts.get(what).copied().unwrap_or_default();
        self.done.note("NodeDelete", count("NodeAdd") - count("NodeDelete"));
        self.remove_volumes().await?;
        self.until("all pods are gone", |watched| watched.pods.is_empty()).await
    }

    async fn until(&self, what: &str, holds: impl Fn(&Watched) -> bool) -> Result<()> {
        let waited = tokio::time::timeout(WITHIN, self.watched.clone().wait_for(|watched| holds(watched))).await.map(|seen| seen.map(drop));
        match waited {
            Ok(seen) => seen.with_context(|| format!("the watch of pods has ended while waiting until {what}")),
            Err(_) => bail!("waited {WITHIN:?} until {what}; there are {:?}", self.watched.borrow().pods),
        }
    }

    /// Waits until the scheduler has taken in all that has happened and will try none of its pods again by itself, and has seen each of these.
    async fn until_settled(&self, pods: &[Value]) -> Result<Seen> {
        let keys: BTreeSet<String> = pods.iter().map(key).collect();
        let is_told = |said: &Said| said.node.is_some() || said.message.is_some();
        self.until("all pods were tried", |watched| keys.iter().all(|key| watched.pods.get(key).is_some_and(is_told))).await?;
        let deadline = Instant::now() + WITHIN;
        let mut asking = interval(ASK_EVERY);
        asking.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut was_settled = false;
        loop {
            asking.tick().await;
            let metrics = self.metrics().await.context("ask kube-scheduler what it counts")?;
            let wrong = self.unsettled(&counts(&metrics)?)?;
            // What it counts is not read at one moment: what was right twice was right in between.
            if wrong.is_none() && was_settled {
                let seen = &self.watched.borrow().pods;
                return Ok(keys.into_iter().map(|key| (key.clone(), seen.get(&key).cloned().unwrap_or_default())).collect());
            }
            was_settled = wrong.is_none();
            ensure!(Instant::now() < deadline, "the scheduler finds no rest within {WITHIN:?}: {}", wrong.unwrap_or_default());
        }
    }

    async fn metrics(&self) -> Result<String> {
        Ok(self.asker.get(self.plane.scheduler_metrics_url()).send().await?.error_for_status()?.text().await?)
    }

    /// What the scheduler has still to do.
    fn unsettled(&self, counts: &BTreeMap<&str, usize>) -> Result<Option<String>> {
        let watched = self.watched.borrow();
        let mut happened = self.done.counts();
        happened.extend(&watched.happened);
        for (event, times) in happened {
            let handled = counts.get(&*format!("{HANDLED}{{event=\"{event}\"}}")).copied().unwrap_or(0);
            if handled != times {
                return Ok(Some(format!("{event} has happened {times} times, and it knows of {handled}")));
            }
        }
        let open = watched.pods.values().filter(|said| said.node.is_none()).count();
        for (queue, expected) in [("active", 0), ("backoff", 0), ("unschedulable", open)] {
            let pending = counts.get(&*format!("{PENDING}{{queue=\"{queue}\"}}")).copied();
            let pending = pending.with_context(|| format!("kube-scheduler tells nothing of its queue {queue}"))?;
            if pending != expected {
                return Ok(Some(format!("{open} pods are not bound, and {pending} are in its queue {queue}")));
            }
        }
        Ok(None)
    }
}

/// What the scheduler counts of events and of its queues, of a text that has thousands of other lines.
fn counts(metrics: &str) -> Result<BTreeMap<&str, usize>> {
    let lines = metrics.lines().filter(|line| line.starts_with(HANDLED) || line.starts_with(PENDING));
    let number = |text: &str| text.parse().with_context(|| format!("`{text}` is no count"));
    lines.filter_map(|line| line.rsplit_once(' ')).map(|(name, text)| Ok((name, number(text)?))).collect()
}

fn bound(said: &Seen) -> usize {
    said.values().filter(|said| said.node.is_some()).count()
}

/// Keeps what is known of pods; it ends with the plane.
async fn follow(client: Client, watched: watch::Sender<Watched>) {
    let mut events = std::pin::pin!(watcher::watcher(Api::<Pod>::all(client), watcher::Config::default()));
    // The watcher tries again by itself.
    while let Some(event) = events.next().await {
        if watched.is_closed() {
            return;
        }
        match event {
            Ok(Event::Apply(pod) | Event::InitApply(pod)) => watched.send_modify(|watched| watched.take(&pod)),
            Ok(Event::Delete(pod)) => watched.send_modify(|watched| watched.forget(&pod)),
            Ok(Event::Init | Event::InitDone) | Err(_) => {}
        }
    }
}

impl Watched {
    fn take(&mut self, pod: &Pod) {
        let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
        let refused = conditions.into_iter().find(|condition| condition.type_ == "PodScheduled" && condition.status == "False");
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
        let said = Said { node, message: refused.map(|condition| condition.message.clone().unwrap_or_default()) };
        let is_bound = said.node.is_some();
        match self.pods.insert(name_of(pod), said) {
            None if is_bound => self.count("AssignedPodAdd"),
            None => self.count("UnschedulablePodAdd"),
            // For its queue a pod that is bound is gone.
            Some(before) if is_bound && before.node.is_none() => {
                self.count("UnschedulablePodDelete");
                self.count("AssignedPodAdd");
            }
            Some(_) => {}
        }
    }

    fn forget(&mut self, pod: &Pod) {
        match self.pods.remove(&name_of(pod)) {
            Some(said) if said.node.is_some() => self.count("AssignedPodDelete"),
            Some(_) => self.count("UnschedulablePodDelete"),
            None => {}
        }
    }

    fn count(&mut self, what: &'static str) {
        *self.happened.entry(what).or_default() += 1;
    }
}

fn name_of(pod: &Pod) -> String {
    format!("{}/{}", pod.namespace().unwrap_or_default(), pod.name_any())
}
