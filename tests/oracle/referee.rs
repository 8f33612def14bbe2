//! The real scheduler on a plane of its own: what is put before it, and what it says.
//!
//! There is neither a controller nor a kubelet: nodes are ready because their objects say so, and a pod is done with once it is bound. Scenes come one after
//! the other, each alone in the cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::{Node, PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::runtime::watcher::{self, Event};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use springtide_testbed::{Component, Options, Plane};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::plan::key;
use super::scene::namespaces;
use super::selector::text;
use super::words::{NAMESPACES, SYSTEM, pin};

/// So many objects are created at a time: more would change their order.
const AT_A_TIME: usize = 6;
/// A scene of 60 pods takes a second; a machine under load is no failure of what is tested.
const WITHIN: Duration = Duration::from_secs(60);
/// The scheduler's counts can only be asked for.
const ASK_EVERY: Duration = Duration::from_millis(15);
/// What keeps the probe pending.
const NOBODY_HAS: &str = "nobody.example.com/has";

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

type Seen = BTreeMap<String, Said>;

/// The scheduler and its cluster.
pub struct Referee {
    plane: Plane,
    client: Client,
    seen: watch::Receiver<Seen>,
}

impl Referee {
    /// Starts a plane whose scheduler tries again at once and takes no pod's place for another.
    pub async fn start() -> Result<Self> {
        let configuration = json!({
            // A plan promises that there is room, not that somebody can be sent away.
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
        let (sender, seen) = watch::channel(Seen::new());
        tokio::spawn(follow(client.clone(), sender));
        tokio::spawn(super::disks::make(client.clone()));
        let referee = Self { plane, client, seen };
        referee.create(&namespaces().collect::<Vec<_>>()).await?;
        Ok(referee)
    }

    /// Creates objects, nearly in their order.
    pub async fn create(&self, objects: &[Value]) -> Result<()> {
        let creations = objects.iter().map(|object| async move {
            let kind = text(object, "kind");
            let gvk =
                GroupVersionKind::try_from(&kube::core::TypeMeta { api_version: text(object, "apiVersion").into(), kind: kind.into() })?;
            let resource = ApiResource::from_gvk(&gvk);
            let metadata = &object["metadata"];
            let api: Api<DynamicObject> = match text(metadata, "namespace") {
                "" => Api::all_with(self.client.clone(), &resource),
                namespace => Api::namespaced_with(self.client.clone(), namespace, &resource),
            };
            let object: DynamicObject = serde_json::from_value(object.clone())?;
            let name = object.name_any();
            api.create(&PostParams::default(), &object).await.map(drop).with_context(|| format!("create {kind} {name}"))
        });
        futures::stream::iter(creations).buffered(AT_A_TIME).try_collect().await
    }

    /// Creates nodes and waits until the scheduler knows all of them, and knows of all that was deleted before that it is gone.
    pub async fn create_nodes(&self, nodes: &[Value]) -> Result<()> {
        // One after the other where it matters: the last one is the newest.
        let Some((last, others)) = nodes.split_last() else { return Ok(()) };
        self.create(others).await?;
        self.create(std::slice::from_ref(last)).await?;
        let name = text(&last["metadata"], "name");
        let probe = probe(&format!("sees-{name}"), &pin(name));
        self.create(std::slice::from_ref(&probe)).await?;
        let key = key(&probe);
        self.until(&format!("the scheduler sees node {name}"), |seen| seen.get(&key).is_some_and(|said| said.node.is_some())).await?;
        self.remove_pod(&probe).await
    }

    /// Creates pods and waits until the scheduler has nothing more to say of them: each is bound, or was tried in vain since the last thing that happened.
    pub async fn judge(&self, pods: &[Value]) -> Result<Seen> {
        self.create(pods).await?;
        self.judge_again(pods.iter().map(key).collect()).await
    }

    /// The same for pods that are there.
    pub async fn judge_again(&self, keys: BTreeSet<String>) -> Result<Seen> {
        let is_told = |said: &Said| said.node.is_some() || said.message.is_some();
        let told = |seen: &Seen| keys.iter().all(|key| seen.get(key).is_some_and(is_told));
        let deadline = Instant::now() + WITHIN;
        loop {
            self.until("the scheduler tries all pods", told).await?;
            let before = self.of(&keys);
            if before.values().all(|said| said.node.is_some()) {
                return Ok(before);
            }
            self.until_quiet(deadline).await?;
            // It has taken in all that happened before this pod was created, by the time that it has tried this pod.
            let probe = probe("asks-nothing", NOBODY_HAS);
            self.create(std::slice::from_ref(&probe)).await?;
            let probe_key = key(&probe);
            self.until("the scheduler tries a probe", |seen| seen.get(&probe_key).is_some_and(is_told)).await?;
            self.until_quiet(deadline).await?;
            let bound = |seen: &Seen| seen.values().filter(|said| said.node.is_some()).count();
            let after = self.of(&keys);
            self.remove_pod(&probe).await?;
            if bound(&before) == bound(&after) {
                return Ok(after);
            }
        }
    }

    /// Deletes pods, and waits until they are gone.
    pub async fn remove(&self, pods: &[Value]) -> Result<()> {
        let deletions = pods.iter().map(|pod| self.remove_pod(pod));
        futures::stream::iter(deletions).buffer_unordered(AT_A_TIME).try_collect().await
    }

    /// Deletes nodes. The scheduler learns of it a moment later.
    pub async fn remove_nodes(&self, nodes: &[Value]) -> Result<()> {
        let api: Api<Node> = Api::all(self.client.clone());
        for node in nodes {
            let name = text(&node["metadata"], "name");
            api.delete(name, &DeleteParams::default()).await.with_context(|| format!("delete node {name}"))?;
        }
        Ok(())
    }

    /// Deletes everything of a scene.
    pub async fn clear(&self) -> Result<()> {
        let at_once = DeleteParams::default().grace_period(0);
        let all = ListParams::default();
        for namespace in NAMESPACES.map(|(name, _)| name).into_iter().chain([SYSTEM]) {
            let pods: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
            pods.delete_collection(&at_once, &all).await.with_context(|| format!("delete the pods of {namespace}"))?;
        }
        Api::<Node>::all(self.client.clone()).delete_collection(&at_once, &all).await.context("delete the nodes")?;
        self.remove_volumes().await?;
        self.until("all pods go", BTreeMap::is_empty).await
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

    async fn remove_pod(&self, pod: &Value) -> Result<()> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), text(&pod["metadata"], "namespace"));
        let (name, key) = (text(&pod["metadata"], "name"), key(pod));
        pods.delete(name, &DeleteParams::default().grace_period(0)).await.with_context(|| format!("delete pod {key}"))?;
        self.until(&format!("pod {key} goes"), |seen| !seen.contains_key(&key)).await
    }

    fn of(&self, keys: &BTreeSet<String>) -> Seen {
        let seen = self.seen.borrow();
        keys.iter().map(|key| (key.clone(), seen.get(key).cloned().unwrap_or_default())).collect()
    }

    async fn until(&self, what: &str, holds: impl Fn(&Seen) -> bool) -> Result<()> {
        let mut seen = self.seen.clone();
        let waited = tokio::time::timeout(WITHIN, seen.wait_for(holds)).await;
        match waited {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => bail!("the watch of pods has ended while waiting until {what}"),
            Err(_) => {
                let seen = self.seen.borrow();
                let open: Vec<String> =
                    seen.iter().filter(|(_, said)| said.node.is_none()).map(|(key, said)| format!("{key} {said:?}")).collect();
                bail!("waited {WITHIN:?} until {what}; not bound are {}", open.join("; "))
            }
        }
    }

    /// Waits until none of the pods in the scheduler's queues is to be tried again soon.
    async fn until_quiet(&self, deadline: Instant) -> Result<()> {
        let mut asking = interval(ASK_EVERY);
        asking.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            asking.tick().await;
            let metrics = self.plane.scheduler_metrics().await?;
            let open = self.seen.borrow().values().filter(|said| said.node.is_none()).count();
            let queue = |name: &str| pending(&metrics, name);
            if queue("active")? == 0 && queue("backoff")? == 0 && queue("unschedulable")? == open {
                return Ok(());
            }
            let queues = || metrics.lines().filter(|line| line.starts_with("scheduler_pending_pods")).collect::<Vec<_>>().join(", ");
            ensure!(
                Instant::now() < deadline,
                "the scheduler finds no rest within {WITHIN:?}: {open} pods are not bound, and it has {}",
                queues()
            );
        }
    }
}

/// How many pods are in one of the scheduler's queues.
fn pending(metrics: &str, queue: &str) -> Result<usize> {
    let line = metrics.lines().find_map(|line| line.strip_prefix(&format!("scheduler_pending_pods{{queue=\"{queue}\"}} ")));
    let count = line.with_context(|| format!("kube-scheduler tells nothing of its queue {queue}"))?;
    count.parse().with_context(|| format!("`{count}` is no count of pods"))
}

/// A pod that asks for one of a resource and for nothing else, and comes after all others.
fn probe(name: &str, resource: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": SYSTEM},
        "spec": {
            "priority": -1_000_000,
            "tolerations": [{"operator": "Exists"}],
            "containers": [{"name": "probe", "image": "probe", "resources": {"limits": {resource: "1"}}}],
        },
    })
}

/// Keeps what is known of pods; it ends with the plane.
async fn follow(client: Client, seen: watch::Sender<Seen>) {
    let mut events = std::pin::pin!(watcher::watcher(Api::<Pod>::all(client), watcher::Config::default()));
    let key = |pod: &Pod| format!("{}/{}", pod.namespace().unwrap_or_default(), pod.name_any());
    // The watcher tries again by itself.
    while let Some(event) = events.next().await {
        if seen.is_closed() {
            return;
        }
        match event {
            Ok(Event::Apply(pod) | Event::InitApply(pod)) => seen.send_modify(|all| drop(all.insert(key(&pod), said(&pod)))),
            Ok(Event::Delete(pod)) => seen.send_modify(|all| drop(all.remove(&key(&pod)))),
            Ok(Event::Init) => seen.send_modify(BTreeMap::clear),
            Ok(Event::InitDone) | Err(_) => {}
        }
    }
}

fn said(pod: &Pod) -> Said {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let refused = conditions.into_iter().find(|condition| condition.type_ == "PodScheduled" && condition.status == "False");
    Said {
        node: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()),
        message: refused.map(|condition| condition.message.clone().unwrap_or_default()),
    }
}
