//! A cluster of a few pods and addresses for tests.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use serde::Deserialize;
use springtide_core::name::Key;
use springtide_core::nodes::requirement::Labels;

use super::{Backend, ClusterView, PodQuery, Unit};

/// A pod: its namespace, its labels, its node if it has one, and its phase.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pod {
    namespace: String,
    labels: BTreeMap<String, String>,
    #[serde(default)]
    node: String,
    phase: String,
}

impl Pod {
    /// With labels in the words of a line, `key=value key=value`.
    pub(crate) fn new(namespace: &str, labels: &str, node: &str, phase: &str) -> Self {
        let labels = labels.split_whitespace().filter_map(|pair| pair.split_once('='));
        let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        Self { namespace: namespace.to_owned(), labels, node: node.to_owned(), phase: phase.to_owned() }
    }

    fn answers(&self, question: &PodQuery) -> bool {
        let labels: Labels = self.labels.iter().map(|(key, value)| (key.as_str().into(), value.as_str().into())).collect();
        let ended = matches!(self.phase.as_str(), "Succeeded" | "Failed");
        !ended && self.namespace == question.namespace.as_str() && question.labels.unanswered_by(&labels).is_none()
    }
}

/// The cluster, with a record of what was asked.
#[derive(Debug, Default)]
pub(crate) struct View {
    pods: Vec<Pod>,
    backends: BTreeMap<Key, Vec<Backend>>,
    trouble: Option<String>,
    asked: Mutex<Vec<Vec<PodQuery>>>,
}

impl View {
    /// Of these pods.
    pub(crate) fn of(pods: impl IntoIterator<Item = Pod>) -> Self {
        Self { pods: pods.into_iter().collect(), ..Self::default() }
    }

    /// With these addresses behind a Service.
    pub(crate) fn serving(service: Key, backends: Vec<Backend>) -> Self {
        Self { backends: [(service, backends)].into(), ..Self::default() }
    }

    /// One that gives no answer but this.
    pub(crate) fn failing(trouble: &str) -> Self {
        Self { trouble: Some(trouble.to_owned()), ..Self::default() }
    }

    /// The questions for counts so far.
    pub(crate) fn asked(&self) -> Vec<Vec<PodQuery>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn or_trouble<T>(&self, answer: T) -> Result<T, String> {
        self.trouble.clone().map_or(Ok(answer), Err)
    }
}

#[async_trait]
impl ClusterView for View {
    async fn count(&self, questions: Vec<PodQuery>) -> Result<Vec<u64>, String> {
        let count = |question: &PodQuery| {
            let pods = self.pods.iter().filter(|pod| pod.answers(question));
            let count = match question.unit {
                Unit::Pods => pods.count(),
                Unit::Nodes => pods.map(|pod| &pod.node).filter(|node| !node.is_empty()).collect::<BTreeSet<_>>().len(),
            };
            u64::try_from(count).expect("few")
        };
        let counts = questions.iter().map(count).collect();
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(questions);
        self.or_trouble(counts)
    }

    async fn backends(&self, service: &Key) -> Result<Vec<Backend>, String> {
        self.or_trouble(self.backends.get(service).cloned().unwrap_or_default())
    }
}
