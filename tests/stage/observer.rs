//! What happened, seen from outside by watches: claims, machines and pods, with times.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Result, bail};
use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Node, Pod};
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// The life of one object, as it was seen.
#[derive(Debug, Clone, Default)]
pub struct Life {
    /// When it was first seen.
    pub seen: Option<Timestamp>,
    /// When it came to be what it is for: a claim launched, a pod running.
    pub begun: Option<Timestamp>,
    /// When it was first seen without existing any more.
    pub gone: Option<Timestamp>,
    /// What it costs, in USD an hour, where it says so.
    pub price: f64,
    /// The node of a pod, and the one that a claim has become, by name.
    pub place: Option<String>,
}

/// What an object says of itself.
#[derive(Default)]
struct Look {
    begun: bool,
    price: f64,
    place: Option<String>,
}

/// All lives, by kind and name.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// NodeClaims.
    pub claims: BTreeMap<String, Life>,
    /// Machines, by the kwok cloud's own records.
    pub machines: BTreeMap<String, Life>,
    /// Nodes of ours.
    pub nodes: BTreeMap<String, Life>,
    /// Pods of queues' Deployments, by name.
    pub pods: BTreeMap<String, Life>,
    /// The most machines that existed at one time.
    pub machines_peak: usize,
}

impl Seen {
    /// How many of these exist.
    pub fn alive(lives: &BTreeMap<String, Life>) -> usize {
        lives.values().filter(|life| life.gone.is_none()).count()
    }

    /// All pods of this Deployment, also those that are gone.
    pub fn pods_of(&self, deployment: &str) -> impl Iterator<Item = &Life> {
        let prefix = format!("{deployment}-");
        self.pods.iter().filter(move |(name, _)| name.starts_with(&prefix)).map(|(_, life)| life)
    }

    /// Pods of this Deployment that run now.
    pub fn running(&self, deployment: &str) -> usize {
        self.pods_of(deployment).filter(|life| life.begun.is_some() && life.gone.is_none()).count()
    }
}

/// Watches until it is dropped.
pub struct Observer {
    seen: Arc<Mutex<Seen>>,
    changed: watch::Receiver<u64>,
    _watches: JoinSet<()>,
}

impl Observer {
    /// Begins to watch.
    pub fn start(client: &Client) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (tx, changed) = watch::channel(0);
        let mut watches = JoinSet::new();
        let claims = ApiResource::from_gvk(&GroupVersionKind::gvk("karpenter.sh", "v1", "NodeClaim"));
        let tx = Arc::new(tx);
        let note = |seen: &Arc<Mutex<Seen>>, tx: &Arc<watch::Sender<u64>>| (Arc::clone(seen), Arc::clone(tx));
        watches.spawn(follow(
            Api::<DynamicObject>::all_with(client.clone(), &claims),
            watcher::Config::default(),
            note(&seen, &tx),
            |s| &mut s.claims,
            claim,
        ));
        let records = watcher::Config::default().labels("springtide.dev/kwok-machine=true");
        watches.spawn(follow(
            Api::<ConfigMap>::namespaced(client.clone(), "springtide"),
            records,
            note(&seen, &tx),
            |s| &mut s.machines,
            |_| Look { begun: true, ..Look::default() },
        ));
        let ours = watcher::Config::default().labels("karpenter.sh/nodepool");
        watches.spawn(follow(
            Api::<Node>::all(client.clone()),
            ours,
            note(&seen, &tx),
            |s| &mut s.nodes,
            |_| Look { begun: true, ..Look::default() },
        ));
        let pods = Api::<Pod>::namespaced(client.clone(), "default");
        watches.spawn(follow(pods, watcher::Config::default(), note(&seen, &tx), |s| &mut s.pods, pod));
        Self { seen, changed, _watches: watches }
    }

    /// What was seen so far.
    pub fn seen(&self) -> Seen {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until what was seen is like this.
    pub async fn until(&self, what: &str, within: Duration, holds: impl Fn(&Seen) -> bool) -> Result<Seen> {
        let mut changed = self.changed.clone();
        let waiting = async {
            loop {
                let seen = self.seen();
                if holds(&seen) {
                    return seen;
                }
                if changed.changed().await.is_err() {
                    return seen;
                }
            }
        };
        match tokio::time::timeout(within, waiting).await {
            Ok(seen) => Ok(seen),
            Err(_) => {
                let seen = self.seen();
                let count = |lives: &BTreeMap<String, Life>| (Seen::alive(lives), lives.len());
                bail!(
                    "waited {within:?} until {what}; of claims, machines, nodes and pods there are, and were ever: {:?} {:?} {:?} {:?}",
                    count(&seen.claims),
                    count(&seen.machines),
                    count(&seen.nodes),
                    count(&seen.pods)
                )
            }
        }
    }
}

/// What the machines of all claims cost: price times the time from the launch to the object's end.
pub fn cost_usd(claims: &BTreeMap<String, Life>, now: Timestamp) -> f64 {
    let hours = |life: &Life| life.begun.map_or(0.0, |begun| life.gone.unwrap_or(now).duration_since(begun).as_secs_f64() / 3600.0);
    claims.values().map(|life| life.price * hours(life)).sum()
}

fn claim(object: &DynamicObject) -> Look {
    let begun = object.data.pointer("/status/conditions").and_then(|all| all.as_array()).is_some_and(|all| {
        all.iter()
            .any(|c| c.get("type").and_then(|t| t.as_str()) == Some("Launched") && c.get("status").and_then(|s| s.as_str()) == Some("True"))
    });
    let price = object.labels().get("eks-node-viewer/instance-price").and_then(|text| text.parse().ok()).unwrap_or(0.0);
    let place = object.data.pointer("/status/nodeName").and_then(|name| name.as_str()).map(str::to_owned);
    Look { begun, price, place }
}

fn pod(pod: &Pod) -> Look {
    let begun = pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running");
    Look { begun, price: 0.0, place: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()) }
}

async fn follow<K>(
    api: Api<K>,
    selected: watcher::Config,
    (seen, tx): (Arc<Mutex<Seen>>, Arc<watch::Sender<u64>>),
    lives: fn(&mut Seen) -> &mut BTreeMap<String, Life>,
    look: fn(&K) -> Look,
) where
    K: Resource + Clone + DeserializeOwned + std::fmt::Debug + Send + 'static,
{
    let mut events = watcher(api, selected).default_backoff().boxed();
    let mut listed: Vec<String> = Vec::new();
    while let Some(event) = events.next().await {
        let now = Timestamp::now();
        let mut all = seen.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Ok(watcher::Event::Init) => listed.clear(),
            Ok(watcher::Event::InitDone) => {
                let gone = |name: &String| !listed.contains(name);
                lives(&mut all)
                    .iter_mut()
                    .filter(|(name, life)| life.gone.is_none() && gone(name))
                    .for_each(|(_, life)| life.gone = Some(now));
            }
            Ok(watcher::Event::Apply(object) | watcher::Event::InitApply(object)) => {
                let name = object.name_any();
                listed.push(name.clone());
                let Look { begun, price, place } = look(&object);
                let life = lives(&mut all).entry(name).or_default();
                life.seen = life.seen.or(Some(now));
                life.gone = None;
                if begun {
                    life.begun = life.begun.or(Some(now));
                }
                if price > 0.0 {
                    life.price = price;
                }
                life.place = place.or(life.place.take());
            }
            Ok(watcher::Event::Delete(object)) => {
                if let Some(life) = lives(&mut all).get_mut(&object.name_any()) {
                    life.gone = Some(now);
                }
            }
            Err(_) => {}
        }
        all.machines_peak = all.machines_peak.max(Seen::alive(&all.machines));
        drop(all);
        tx.send_modify(|n| *n += 1);
    }
}
