//! What the API server tells: one watch for each kind, in a table. What they say goes into one channel, in the order of each watch.

use std::collections::BTreeSet;

use futures::StreamExt;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod, PodTemplate, ResourceQuota};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::storage::v1::{CSINode, StorageClass};
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use springtide_core::name::Key;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// One thing that was seen.
#[derive(Debug)]
pub enum Seen {
    Pod(Change<Pod>),
    Node(Change<Node>),
    Deployment(Change<Deployment>),
    StatefulSet(Change<StatefulSet>),
    ReplicaSet(Change<ReplicaSet>),
    DaemonSet(Change<DaemonSet>),
    Quota(Change<ResourceQuota>),
    Hpa(Change<HorizontalPodAutoscaler>),
    Namespace(Change<Namespace>),
    Claim(Change<PersistentVolumeClaim>),
    Volume(Change<PersistentVolume>),
    StorageClass(Change<StorageClass>),
    NodeVolumes(Change<CSINode>),
    Budget(Change<PodDisruptionBudget>),
    PodTemplate(Change<PodTemplate>),
    /// An object of a kind of our own crate, not yet typed: one that cannot be read must not stop the others.
    Custom(Custom, Change<DynamicObject>),
}

/// What happened to an object.
#[derive(Debug)]
pub enum Change<K> {
    /// It is like this now.
    Applied(Box<K>),
    /// It is gone; like this when it went.
    Deleted(Box<K>),
    /// A list is complete: whatever is not in it is gone.
    Listed {
        /// Whatever is in it.
        keys: BTreeSet<Key>,
        /// When it was begun: what came into being after that may not be in it.
        since: Instant,
    },
}

/// The kinds of KEDA, Karpenter and the autoscalers in common that are watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Custom {
    ScaledObject,
    TriggerAuthentication,
    ClusterTriggerAuthentication,
    NodePool,
    NodeClaim,
    KwokNodeClass,
    CapacityBuffer,
}

impl Custom {
    /// Those that the workload layer is told by.
    pub const WORKLOADS: &[Self] = &[Self::ScaledObject, Self::TriggerAuthentication, Self::ClusterTriggerAuthentication];
    /// Those that the node layer is told by.
    pub const NODES: &[Self] = &[Self::NodePool, Self::NodeClaim, Self::KwokNodeClass, Self::CapacityBuffer];

    /// The kind's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ScaledObject => "ScaledObject",
            Self::TriggerAuthentication => "TriggerAuthentication",
            Self::ClusterTriggerAuthentication => "ClusterTriggerAuthentication",
            Self::NodePool => "NodePool",
            Self::NodeClaim => "NodeClaim",
            Self::KwokNodeClass => "KWOKNodeClass",
            Self::CapacityBuffer => "CapacityBuffer",
        }
    }

    const fn absence(self) -> Absence {
        match self {
            Self::KwokNodeClass | Self::CapacityBuffer => Absence::Empty,
            _ => Absence::Waits,
        }
    }

    /// Where the API server serves it.
    #[must_use]
    pub fn resource(self) -> ApiResource {
        let kind = self.name();
        let (group, version) = match self {
            Self::ScaledObject | Self::TriggerAuthentication | Self::ClusterTriggerAuthentication => ("keda.sh", "v1alpha1"),
            Self::NodePool | Self::NodeClaim => ("karpenter.sh", "v1"),
            Self::KwokNodeClass => ("karpenter.kwok.sh", "v1alpha1"),
            Self::CapacityBuffer => ("autoscaling.x-k8s.io", "v1beta1"),
        };
        let plural = match self {
            Self::KwokNodeClass => "kwoknodeclasses".to_owned(),
            _ => format!("{}s", kind.to_lowercase()),
        };
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), &plural)
    }
}

/// What was seen, and by which round of watches: what an older round still says is thrown away.
#[derive(Debug)]
pub struct Sighting {
    /// The round.
    pub round: u64,
    /// What was seen.
    pub seen: Seen,
}

/// Starts the watches of Kubernetes' own kinds and of these. They end with the set; its size is how many first lists have to come before anything is decided.
#[must_use]
pub fn all(client: &Client, kinds: &[Custom], round: u64, tx: &mpsc::Sender<Sighting>) -> JoinSet<()> {
    let set = JoinSet::new();
    let mut watch = Watches { set, client, round, tx };
    watch.all(Seen::Pod);
    watch.all(Seen::Node);
    watch.all(Seen::Deployment);
    watch.all(Seen::StatefulSet);
    watch.all(Seen::ReplicaSet);
    watch.all(Seen::DaemonSet);
    watch.all(Seen::Quota);
    watch.all(Seen::Hpa);
    // Who plans no nodes need not know what bears on where pods go.
    if kinds.iter().any(|kind| Custom::NODES.contains(kind)) {
        watch.all(Seen::Namespace);
        watch.all(Seen::Claim);
        watch.all(Seen::Volume);
        watch.all(Seen::StorageClass);
        watch.all(Seen::NodeVolumes);
        watch.all(Seen::Budget);
        watch.all(Seen::PodTemplate);
    }
    for kind in kinds.iter().copied() {
        let api = Api::<DynamicObject>::all_with(client.clone(), &kind.resource());
        let sink = watch.sink();
        watch.set.spawn(follow(api, kind.name(), kind.absence(), sink, move |change| Seen::Custom(kind, change)));
    }
    watch.set
}

/// Watches in the making.
struct Watches<'a> {
    set: JoinSet<()>,
    client: &'a Client,
    round: u64,
    tx: &'a mpsc::Sender<Sighting>,
}

impl Watches<'_> {
    /// Begins to watch all objects of one of Kubernetes' own kinds, which every API server serves.
    fn all<K>(&mut self, wrap: fn(Change<K>) -> Seen)
    where
        K: Resource<DynamicType = ()> + k8s_openapi::Resource + Clone + DeserializeOwned + std::fmt::Debug + Send + 'static,
    {
        let sink = self.sink();
        self.set.spawn(follow(Api::<K>::all(self.client.clone()), K::KIND, Absence::Waits, sink, wrap));
    }

    fn sink(&self) -> Sink {
        Sink { round: self.round, tx: self.tx.clone() }
    }
}

struct Sink {
    round: u64,
    tx: mpsc::Sender<Sighting>,
}

/// What it means that the API server does not serve a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Absence {
    /// Nothing is decided until it does.
    Waits,
    /// There are no such objects: a cluster has the NodeClasses of its own cloud alone, and buffers only if somebody brought them.
    Empty,
}

async fn follow<K>(api: Api<K>, kind: &'static str, absence: Absence, sink: Sink, wrap: impl Fn(Change<K>) -> Seen)
where
    K: Resource + Clone + DeserializeOwned + std::fmt::Debug + Send + 'static,
{
    let mut events = watcher(api, watcher::Config::default()).default_backoff().boxed();
    let mut listed = BTreeSet::new();
    let mut since = Instant::now();
    let mut absent = false;
    while let Some(event) = events.next().await {
        let change = match event {
            Ok(watcher::Event::Apply(object)) => Change::Applied(Box::new(object)),
            Ok(watcher::Event::Delete(object)) => Change::Deleted(Box::new(object)),
            Ok(watcher::Event::Init) => {
                listed.clear();
                since = Instant::now();
                continue;
            }
            Ok(watcher::Event::InitApply(object)) => {
                listed.insert(Key::new(object.namespace().unwrap_or_default(), object.name_any()));
                Change::Applied(Box::new(object))
            }
            Ok(watcher::Event::InitDone) => {
                absent = false;
                Change::Listed { keys: std::mem::take(&mut listed), since }
            }
            // Asked again with a back-off, so that a kind which is installed later is seen.
            Err(watcher::Error::InitialListFailed(kube::Error::Api(status))) if status.code == 404 && absence == Absence::Empty => {
                if std::mem::replace(&mut absent, true) {
                    continue;
                }
                tracing::info!(kind, "the API server does not serve this kind: there are no such objects");
                Change::Listed { keys: BTreeSet::new(), since }
            }
            Err(error) => {
                tracing::warn!(kind, %error, "a watch broke off and is begun again");
                continue;
            }
        };
        if sink.tx.send(Sighting { round: sink.round, seen: wrap(change) }).await.is_err() {
            return;
        }
    }
}
