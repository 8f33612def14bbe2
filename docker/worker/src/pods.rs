//! Which pods run, from a Deployment's watch.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use futures::future::ready;
use futures::stream::{self, BoxStream, StreamExt as _};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1 as core;
use kube::core::Selector;
use kube::runtime::watcher::{self, watcher};
use kube::{Api, Client};
use tokio::sync::mpsc;
use tokio::time::sleep;
use tracing::warn;

use crate::error::Error;

/// Pause after a failed list or watch, and before a Deployment that is not there is asked for again.
const RETRY: Duration = Duration::from_secs(1);
/// Kubernetes' own default for terminationGracePeriodSeconds.
const DEFAULT_GRACE: Duration = Duration::from_secs(30);

/// Where a fleet learns of pods: a watch with [`pods_of`], or any stream of a test's making.
pub type Pods = BoxStream<'static, PodEvent>;

/// What is learned of pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PodEvent {
    /// A pod is there and like this.
    Seen(Pod),
    /// The pod of this UID is not there any more.
    Gone(String),
    /// These are all pods; others are not there any more.
    All(Vec<Pod>),
}

/// What a worker has to know of its pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Its UID: another pod of the same name is another pod.
    pub uid: String,
    /// `namespace/name`, for people.
    pub name: String,
    /// How far it is.
    pub stage: Stage,
    /// How long it may take to stop.
    pub grace: Duration,
}

/// How far a pod is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It does not run yet, or not any more.
    NotRunning,
    /// It runs, and nobody has told it to stop.
    Running,
    /// It has a deletionTimestamp.
    Terminating,
}

impl From<&core::Pod> for Pod {
    fn from(pod: &core::Pod) -> Self {
        let meta = &pod.metadata;
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        let stage = match (&meta.deletion_timestamp, phase) {
            (Some(_), _) => Stage::Terminating,
            (None, Some("Running")) => Stage::Running,
            (None, _) => Stage::NotRunning,
        };
        // What the deletion asked for goes before what the pod asked for.
        let asked = pod.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds);
        let grace = meta.deletion_grace_period_seconds.or(asked).and_then(|seconds| u64::try_from(seconds).ok());
        Self {
            uid: meta.uid.clone().unwrap_or_default(),
            name: format!("{}/{}", meta.namespace.as_deref().unwrap_or_default(), meta.name.as_deref().unwrap_or_default()),
            stage,
            grace: grace.map_or(DEFAULT_GRACE, Duration::from_secs),
        }
    }
}

/// A Deployment, as `NAMESPACE/NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeploymentName {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl FromStr for DeploymentName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text.split_once('/') {
            Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
                Ok(Self { namespace: namespace.into(), name: name.into() })
            }
            _ => Err(Error::DeploymentName { given: text.into() }),
        }
    }
}

impl fmt::Display for DeploymentName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.namespace, self.name)
    }
}

/// Pods that the caller makes up: for tests, and for a worker that is a process of its own.
#[must_use]
pub fn pods_by_hand() -> (mpsc::UnboundedSender<PodEvent>, Pods) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let pods = stream::unfold(receiver, |mut receiver| async { receiver.recv().await.map(|event| (event, receiver)) });
    (sender, pods.boxed())
}

/// The pods that a Deployment's selector selects. It goes on for ever: while the API server is away nothing is said, so what was known stays.
#[must_use]
pub fn pods_of(client: Client, deployment: DeploymentName) -> Pods {
    let api: Api<core::Pod> = Api::namespaced(client.clone(), &deployment.namespace);
    stream::once(selector(client, deployment))
        .flat_map(move |selector| watch(api.clone(), watcher::Config::default().labels_from(&selector)))
        .boxed()
}

/// The Deployment's selector, which cannot change later. Waits until there is one.
async fn selector(client: Client, deployment: DeploymentName) -> Selector {
    let api: Api<Deployment> = Api::namespaced(client, &deployment.namespace);
    let mut told = false;
    loop {
        let trouble = match api.get(&deployment.name).await {
            Ok(found) => match found.spec.unwrap_or_default().selector.try_into() {
                Ok(selector) => return selector,
                Err(error) => format!("its selector is not understood: {error}"),
            },
            // The API server's own sentence; the client's text around it repeats it twice.
            Err(kube::Error::Api(status)) => status.message,
            Err(error) => error.to_string(),
        };
        if !told {
            warn!(%deployment, trouble, "cannot read the Deployment; trying on");
            told = true;
        }
        sleep(RETRY).await;
    }
}

fn watch(api: Api<core::Pod>, config: watcher::Config) -> impl futures::Stream<Item = PodEvent> + Send {
    let learned = watcher(api, config).scan(Watched::default(), |watched, event| ready(Some(watched.learn(event))));
    learned.filter_map(|learned| async {
        match learned {
            Learned::Event(event) => Some(event),
            Learned::Nothing => None,
            Learned::Failed => {
                sleep(RETRY).await;
                None
            }
        }
    })
}

/// What a watch has said so far.
#[derive(Default)]
struct Watched {
    /// A list that is not whole yet.
    listed: Vec<Pod>,
    /// Whether it failed last, so that an outage is told once.
    failing: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Learned {
    Event(PodEvent),
    Nothing,
    Failed,
}

impl Watched {
    fn learn(&mut self, event: watcher::Result<watcher::Event<core::Pod>>) -> Learned {
        let event = match event {
            Ok(event) => event,
            Err(error) => {
                if !self.failing {
                    warn!(%error, "the watch of pods failed; the pods known so far go on working");
                }
                self.failing = true;
                return Learned::Failed;
            }
        };
        // A list that has only begun may fail yet.
        self.failing &= matches!(event, watcher::Event::Init);
        match event {
            watcher::Event::Init => {
                self.listed.clear();
                Learned::Nothing
            }
            watcher::Event::InitApply(pod) => {
                self.listed.push(Pod::from(&pod));
                Learned::Nothing
            }
            watcher::Event::InitDone => Learned::Event(PodEvent::All(std::mem::take(&mut self.listed))),
            watcher::Event::Apply(pod) => Learned::Event(PodEvent::Seen(Pod::from(&pod))),
            watcher::Event::Delete(pod) => Learned::Event(PodEvent::Gone(Pod::from(&pod).uid)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(json: serde_json::Value) -> Pod {
        Pod::from(&serde_json::from_value::<core::Pod>(json).unwrap())
    }

    #[test]
    fn stages_and_grace_come_from_the_object() {
        let plain = serde_json::json!({"metadata": {"uid": "u", "namespace": "ns", "name": "a"}, "status": {"phase": "Running"}});
        assert_eq!(pod(plain.clone()), Pod { uid: "u".into(), name: "ns/a".into(), stage: Stage::Running, grace: DEFAULT_GRACE });
        let mut leaving = plain.clone();
        leaving["metadata"]["deletionTimestamp"] = "2026-11-21T04:05:06Z".into();
        leaving["metadata"]["deletionGracePeriodSeconds"] = 5.into();
        leaving["spec"] = serde_json::json!({"containers": [], "terminationGracePeriodSeconds": 60});
        assert_eq!(pod(leaving.clone()).grace, Duration::from_secs(5));
        assert_eq!(pod(leaving).stage, Stage::Terminating);
        for phase in ["Pending", "Succeeded", "Failed", "Unknown"] {
            let mut other = plain.clone();
            other["status"]["phase"] = phase.into();
            assert_eq!(pod(other).stage, Stage::NotRunning, "{phase}");
        }
    }

    #[test]
    fn a_list_is_told_when_it_is_whole() {
        let object: core::Pod =
            serde_json::from_value(serde_json::json!({"metadata": {"uid": "u", "namespace": "ns", "name": "a"}})).unwrap();
        let mut watched = Watched::default();
        assert_eq!(watched.learn(Ok(watcher::Event::Init)), Learned::Nothing);
        assert_eq!(watched.learn(Ok(watcher::Event::InitApply(object.clone()))), Learned::Nothing);
        // A list that fails half-way is begun anew.
        assert_eq!(watched.learn(Err(watcher::Error::NoResourceVersion)), Learned::Failed);
        assert_eq!(watched.learn(Ok(watcher::Event::Init)), Learned::Nothing);
        assert_eq!(watched.learn(Ok(watcher::Event::InitApply(object.clone()))), Learned::Nothing);
        assert_eq!(watched.learn(Ok(watcher::Event::InitDone)), Learned::Event(PodEvent::All(vec![Pod::from(&object)])));
        assert_eq!(watched.learn(Ok(watcher::Event::Delete(object))), Learned::Event(PodEvent::Gone("u".into())));
    }

    #[test]
    fn a_deployment_has_a_namespace_and_a_name() {
        assert_eq!("jobs/mailer".parse::<DeploymentName>().unwrap().to_string(), "jobs/mailer");
        for text in ["mailer", "/mailer", "jobs/", "a/b/c", ""] {
            assert!(text.parse::<DeploymentName>().is_err(), "{text}");
        }
    }
}
