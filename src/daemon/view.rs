//! What scalers may ask of the cluster: counts of pods, answered by the loop out of the index, and addresses behind Services, which are watched.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use springtide_core::name::{Key, Name};
use springtide_core::nodes::cluster::{Cluster, Pod};
use springtide_core::nodes::selector::Identity;
use springtide_scalers::{Backend, ClusterView, PodQuery, Unit};
use tokio::sync::{mpsc, oneshot};

use crate::kube::endpoints::Endpoints;

/// How many pods there are, asked of the loop.
pub struct Question {
    pods: Vec<PodQuery>,
    answer: oneshot::Sender<Vec<u64>>,
}

/// The cluster for scalers. It can be asked from anywhere.
pub struct View {
    questions: mpsc::Sender<Question>,
    endpoints: Endpoints,
}

impl View {
    /// One whose questions for pods come by the channel.
    #[must_use]
    pub fn new(client: kube::Client) -> (Self, mpsc::Receiver<Question>) {
        let (questions, asked) = mpsc::channel(16);
        (Self { questions, endpoints: Endpoints::new(client) }, asked)
    }
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View").finish_non_exhaustive()
    }
}

#[async_trait]
impl ClusterView for View {
    async fn count(&self, questions: Vec<PodQuery>) -> Result<Vec<u64>, String> {
        let ended = || "the daemon is ending, and counts no more".to_owned();
        let (answer, counts) = oneshot::channel();
        self.questions.send(Question { pods: questions, answer }).await.map_err(|_| ended())?;
        counts.await.map_err(|_| ended())
    }

    async fn backends(&self, service: &Key) -> Result<Vec<Backend>, String> {
        let known = self.endpoints.of(service).await?;
        Ok(known.iter().map(|(address, ports)| Backend { address: address.clone(), ports: ports.iter().copied().collect() }).collect())
    }
}

impl Question {
    /// Answers out of the index, which knows all pods.
    pub fn answer(self, cluster: &Cluster) {
        // Whoever asked may have given up.
        drop(self.answer.send(count(cluster, &self.pods)));
    }
}

/// Pods that have not ended and that no selector tells apart.
#[derive(Default)]
struct Group<'c> {
    pods: u64,
    nodes: BTreeSet<&'c Name>,
}

/// How many there are of each. The pods of a namespace are gone through once, and selectors judge each set of labels once.
fn count(cluster: &Cluster, questions: &[PodQuery]) -> Vec<u64> {
    let mut namespaces: BTreeMap<&Name, Vec<(&Identity, Group<'_>)>> = BTreeMap::new();
    for question in questions {
        namespaces.entry(&question.namespace).or_insert_with(|| groups(cluster, &question.namespace));
    }
    let of = |question: &PodQuery| {
        let all = namespaces.get(&question.namespace).into_iter().flatten();
        let selected = all.filter(|(identity, _)| question.labels.unanswered_by(&identity.labels).is_none()).map(|(_, group)| group);
        match question.unit {
            Unit::Pods => selected.map(|group| group.pods).sum(),
            Unit::Nodes => selected.flat_map(|group| &group.nodes).collect::<BTreeSet<_>>().len().try_into().unwrap_or(u64::MAX),
        }
    };
    questions.iter().map(of).collect()
}

fn groups<'c>(cluster: &'c Cluster, namespace: &Name) -> Vec<(&'c Identity, Group<'c>)> {
    // Pods of one identity mostly share it; where they do not, they are two groups, and the sum is the same.
    let mut groups: BTreeMap<*const Identity, (&Identity, Group<'_>)> = BTreeMap::new();
    let first = Key::new(namespace.clone(), "");
    for (_, pod) in cluster.pods.range(first..).take_while(|(key, _)| key.namespace == *namespace).filter(|(_, pod)| Pod::is_alive(pod)) {
        let (_, group) = groups.entry(Arc::as_ptr(&pod.identity)).or_insert_with(|| (&pod.identity, Group::default()));
        group.pods += 1;
        group.nodes.extend(&pod.node);
    }
    groups.into_values().collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use springtide_api::typed;
    use springtide_core::Timestamp;
    use springtide_core::nodes::requirement::{Operator, Requirement, Requirements};

    use super::*;

    fn see(cluster: &mut Cluster, namespace: &str, name: &str, app: &str, node: &str, phase: &str, version: &str) {
        let object = json!({
            "metadata": {"namespace": namespace, "name": name, "uid": name, "resourceVersion": version, "labels": {"app": app}},
            "spec": {"nodeName": node, "containers": [{"name": "one", "image": "one"}]},
            "status": {"phase": phase},
        });
        let (key, pod) = typed::pod::pod(&serde_json::from_value(object).expect("a pod"), &mut cluster.shapes).expect("understood");
        cluster.apply_pod(Timestamp::UNIX_EPOCH, key, pod);
    }

    fn ask(namespace: &str, operator: Operator, apps: &[&str], unit: Unit) -> PodQuery {
        let mut labels = Requirements::default();
        let wish = Requirement::new(operator, apps.iter().map(|app| Name::from(*app))).expect("a wish");
        labels.add("app".into(), &wish);
        PodQuery { namespace: namespace.into(), labels, unit }
    }

    #[test]
    fn pods_that_have_not_ended_are_counted_in_their_own_namespace() {
        let mut cluster = Cluster::default();
        for (namespace, name, app, node, phase) in [
            ("shop", "a", "web", "n1", "Running"),
            ("shop", "b", "web", "n1", "Running"),
            ("shop", "c", "web", "", "Pending"),
            ("shop", "d", "web", "n2", "Succeeded"),
            ("shop", "e", "web", "n3", "Failed"),
            ("shop", "f", "api", "n4", "Unknown"),
            ("sho", "g", "web", "n5", "Running"),
            ("shop2", "h", "web", "n6", "Running"),
        ] {
            see(&mut cluster, namespace, name, app, node, phase, "1");
        }
        let questions = [
            ask("shop", Operator::In, &["web"], Unit::Pods),
            ask("shop", Operator::In, &["web"], Unit::Nodes),
            ask("shop", Operator::In, &["web", "api"], Unit::Nodes),
            ask("shop", Operator::NotIn, &["web"], Unit::Pods),
            ask("shop", Operator::Exists, &[], Unit::Pods),
            ask("nowhere", Operator::Exists, &[], Unit::Pods),
        ];
        assert_eq!(count(&cluster, &questions), [3, 1, 2, 1, 4, 0]);
        // One ends, and one is gone.
        see(&mut cluster, "shop", "a", "web", "n1", "Succeeded", "2");
        cluster.delete_pod(Timestamp::UNIX_EPOCH, &Key::new("shop", "f"), None);
        assert_eq!(count(&cluster, &questions), [2, 1, 1, 0, 2, 0]);
    }
}
