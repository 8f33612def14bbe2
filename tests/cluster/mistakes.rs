//! Mistakes that people make: each is a condition and an event on the object that has it, with what to do; the object beside it goes on; and what is corrected
//! heals by itself.

pub(super) mod loose;
mod node_pools;
mod scaled_objects;
mod unreadable;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::events::v1::Event;
use kube::api::{Api, DeleteParams};
use kube::runtime::watcher;
use serde_json::{Value, json};
use springtide_testbed::{TcpProxy, wait_for, wait_until};

use self::loose::{NodePool, ScaledObject};
use super::{PROGRAM, rabbit};
use crate::stage::manifests::{Worker, neighbours, pool};
use crate::stage::{Queue, Stage};

const MINUTE: Duration = Duration::from_secs(60);
/// What is wrong is told, and what is corrected has its effect, within this; also what is not watched, as a Secret.
const SOON: Duration = Duration::from_secs(20);
/// The password in the broker's URL that must not be told.
const WRONG: &str = "not-the-word";

/// A mistake: who has it, what is told of it, and what puts it right.
struct Mistake {
    kind: Kind,
    name: &'static str,
    /// What is applied: the object, and what it needs to be right but for the mistake.
    yaml: String,
    /// The condition: type, status, reason.
    condition: [&'static str; 3],
    /// Reason of the event.
    event: &'static str,
    /// What the messages of both hold.
    says: Vec<String>,
    right: Right,
    /// The condition once it is right.
    healed: [&'static str; 3],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    ScaledObject,
    NodePool,
}

/// What puts a mistake right.
enum Right {
    Apply(String),
    DeleteAutoscaler(&'static str),
    DeleteScaledObject(&'static str),
    StartBroker,
}

/// What a condition of an object says: its status, its reason, its message.
fn condition(status: Option<&Value>, kind: &str) -> [String; 3] {
    let all = status.and_then(|status| status.pointer("/conditions")).and_then(Value::as_array).cloned().unwrap_or_default();
    let found = all.iter().find(|one| one.get("type") == Some(&json!(kind)));
    ["status", "reason", "message"].map(|field| found.and_then(|one| one.get(field)).and_then(Value::as_str).unwrap_or_default().to_owned())
}

/// Waits until an object's condition is this and its message holds these texts, and answers with the message.
async fn until_condition(stage: &Stage, kind: Kind, name: &str, wanted: [&str; 3], says: &[String], within: Duration) -> Result<String> {
    let [of, status, reason] = wanted;
    let is = |told: &[String; 3]| told[..2] == [status, reason] && says.iter().all(|words| told[2].contains(words.as_str()));
    let what = format!("to have the condition {of}={status} with reason {reason} and {says:?}");
    let [_, _, message] = match kind {
        Kind::ScaledObject => {
            let told = |object: &ScaledObject| condition(object.status.as_ref(), of);
            let api = Api::namespaced(stage.client.clone(), "default");
            told(&wait_for(api, name, &what, within, |object| is(&told(object))).await?)
        }
        Kind::NodePool => {
            let told = |object: &NodePool| condition(object.status.as_ref(), of);
            told(&wait_for(Api::all(stage.client.clone()), name, &what, within, |object| is(&told(object))).await?)
        }
    };
    Ok(message)
}

/// Waits until an event about an object has this reason and its note holds these texts, and answers with the note. Events of objects without a namespace lie in
/// the default one.
async fn until_event(stage: &Stage, kind: &str, name: &str, reason: &str, says: &[String], within: Duration) -> Result<String> {
    let is = |event: &Event| {
        let about = event.regarding.clone().unwrap_or_default();
        let note = event.note.clone().unwrap_or_default();
        about.kind.as_deref() == Some(kind)
            && about.name.as_deref().is_some_and(|known| known.starts_with(name))
            && event.reason.as_deref() == Some(reason)
            && says.iter().all(|words| note.contains(words.as_str()))
    };
    let api = Api::<Event>::namespaced(stage.client.clone(), "default");
    let what = format!("to be about {kind} {name} with reason {reason} and {says:?}");
    let found = wait_until(api, watcher::Config::default(), &what, within, |events| events.iter().any(|event| is(event))).await?;
    Ok(found.into_iter().find(|event| is(event)).and_then(|event| event.note).unwrap_or_default())
}

impl Mistake {
    /// Waits until it is told as it should be, and says what is told.
    async fn until_told(&self, stage: &Stage) -> Result<()> {
        let message = until_condition(stage, self.kind, self.name, self.condition, &self.says, SOON).await?;
        let note = until_event(stage, &format!("{:?}", self.kind), self.name, self.event, &self.says, SOON).await?;
        let [of, status, reason] = self.condition;
        println!("{}: {of}={status} {reason}: {message}\n    event {}: {note}", self.name, self.event);
        ensure!(!message.contains(WRONG) && !note.contains(WRONG), "{} tells the password: {message:?}, {note:?}", self.name);
        Ok(())
    }

    async fn put_right(&self, stage: &Stage, broker: &TcpProxy) -> Result<()> {
        match &self.right {
            Right::Apply(yaml) => drop(stage.plane.apply(yaml).await?),
            Right::DeleteAutoscaler(name) => {
                let api = Api::<HorizontalPodAutoscaler>::namespaced(stage.client.clone(), "default");
                api.delete(name, &DeleteParams::default()).await?;
            }
            Right::DeleteScaledObject(name) => {
                let api = Api::<ScaledObject>::namespaced(stage.client.clone(), "default");
                api.delete(name, &DeleteParams::default()).await?;
            }
            Right::StartBroker => broker.open(),
        }
        Ok(())
    }

    /// How long its correction may take to be seen. A broker that was away is asked for again after pauses of up to 30 s.
    fn heals_within(&self) -> Duration {
        if matches!(self.right, Right::StartBroker) { MINUTE } else { SOON }
    }
}

fn deployment(name: &str, replicas: u32, more: &str) -> String {
    format!(
        "apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: default}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec: {{{more}containers: [{{name: worker, image: worker, resources: {{requests: {{cpu: '1'}}}}}}]}}
---
"
    )
}

/// All that is wrong with what is told of these mistakes.
async fn all_told(stage: &Stage, all: &[Mistake]) -> Vec<String> {
    let mut wrong = Vec::new();
    for mistake in all {
        if let Err(error) = mistake.until_told(stage).await {
            wrong.push(format!("{}: {error:#}", mistake.name));
        }
    }
    wrong
}

/// Puts all of them right at once, and waits until each has healed. Says which have not.
async fn all_healed(stage: &Stage, all: &[Mistake], broker: &TcpProxy) -> Result<Vec<String>> {
    for mistake in all {
        mistake.put_right(stage, broker).await.with_context(|| format!("put {} right", mistake.name))?;
    }
    let mut wrong = Vec::new();
    for mistake in all {
        let healed = until_condition(stage, mistake.kind, mistake.name, mistake.healed, &[], mistake.heals_within()).await;
        if let Err(error) = healed {
            wrong.push(format!("{} was put right: {error:#}", mistake.name));
        }
    }
    Ok(wrong)
}

/// The queue that is served beside the mistakes: its messages are done, nobody is stopped at work, and then its workers go.
async fn goes_on(stage: &Stage, good: &Queue, done: u64) -> Result<()> {
    stage.publish(&good.name, 20).await?;
    let report = tokio::time::timeout(MINUTE, good.fleet.done(done)).await.context("the messages of the good queue are not done")?;
    ensure!(report.busy_stopped == 0, "{} busy workers were stopped", report.busy_stopped);
    until_condition(stage, Kind::ScaledObject, &good.name, ["Ready", "True", "ScaledObjectReady"], &[], SOON).await?;
    // Messages that came while they go would be taken by workers that are on their way out.
    let of_queue = watcher::Config::default().labels(&format!("app={}", good.name));
    let pods = Api::<Pod>::namespaced(stage.client.clone(), "default");
    wait_until(pods, of_queue, "to be gone", MINUTE, |pods| pods.is_empty()).await.map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mistake_is_told_where_it_is_and_harms_nobody_else() -> Result<()> {
    let rabbit = rabbit().await?;
    let stage = Stage::open(&rabbit, "mistakes").await?;
    told_and_healed(&stage, rabbit.amqp_address()).await
}

/// The same with the peers' own CRDs, which must accept all that is written: runs where `SPRINGTIDE_PEER_DATA` names a folder with them in `keda/crds` and
/// `karpenter/crds`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mistakes_are_told_under_the_peers_crds() -> Result<()> {
    let Some(data) = std::env::var_os("SPRINGTIDE_PEER_DATA").map(std::path::PathBuf::from) else {
        println!("SPRINGTIDE_PEER_DATA is not set; nothing was run under the peers' CRDs");
        return Ok(());
    };
    let rabbit = rabbit().await?;
    let stage = Stage::open_with_peers_crds(&rabbit, "peers-crds", &data).await?;
    told_and_healed(&stage, rabbit.amqp_address()).await
}

/// The whole scene: the mistakes of all kinds, one queue beside them, and what heals.
async fn told_and_healed(stage: &Stage, broker: std::net::SocketAddr) -> Result<()> {
    stage.plane.apply(&pool("1s", "5s")).await?;
    let good = stage.queue(&Worker { name: "good", service_time: Duration::from_millis(500), value: 5, max: 2, cooldown_s: 5 }).await?;
    // With a DaemonSet that is there and is no target.
    stage.plane.apply(&neighbours()).await?;
    let broker = TcpProxy::start(broker).await?;
    let through_proxy = stage.amqp.replace(stage.amqp_address()?, &broker.address().to_string());
    broker.close();
    stage.plane.apply(&scaled_objects::around(&stage.amqp)).await?;
    let _daemon = stage.daemon(PROGRAM, &["--lease-duration", "5s"]).await?;
    goes_on(stage, &good, 20).await?;

    let all: Vec<Mistake> = scaled_objects::all(&stage.amqp, &through_proxy).into_iter().chain(node_pools::all()).collect();
    stage.plane.apply(&all.iter().map(|mistake| mistake.yaml.as_str()).collect::<String>()).await?;
    let mut wrong = all_told(stage, &all).await;
    wrong.extend(node_pools::pods_are_told(stage).await.err().map(|error| format!("{error:#}")));

    // The good one scales all the same, and so does the elder of two; nothing else does.
    goes_on(stage, &good, 40).await?;
    until_condition(stage, Kind::ScaledObject, "elder", ["Ready", "True", "ScaledObjectReady"], &[], SOON).await?;
    let deployments = Api::<Deployment>::namespaced(stage.client.clone(), "default");
    for mistake in all.iter().filter(|mistake| mistake.kind == Kind::ScaledObject) {
        if let Some(found) = deployments.get_opt(mistake.name).await? {
            ensure!(found.metadata.generation == Some(1), "Deployment {} was changed, though its ScaledObject is wrong", mistake.name);
        }
    }
    node_pools::nothing_is_bought(stage).await?;

    wrong.extend(all_healed(stage, &all, &broker).await?);
    wrong.extend(node_pools::pods_run(stage).await.err().map(|error| format!("{error:#}")));
    goes_on(stage, &good, 60).await?;
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}
