//! Mistakes that people make: each is told on the object that has it, with what to do, and the object beside it goes on.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams};
use serde_json::{Value, json};
use springtide_api::karpenter::{NodeClaim, NodePool};
use springtide_api::keda::ScaledObject;
use springtide_testbed::wait_for;

use super::{PROGRAM, rabbit};
use crate::stage::Stage;
use crate::stage::manifests::{Worker, neighbours, pool};

const MINUTE: Duration = Duration::from_secs(60);
/// What is corrected in an object that is watched has its effect within this.
const SOON: Duration = Duration::from_secs(10);
/// The password in the broker's URL that must not be told.
const WRONG: &str = "not-the-word";

/// A mistake: the ScaledObject's name, what differs from a good one, and what its condition Ready says.
struct Mistake {
    name: &'static str,
    target: &'static str,
    trigger: String,
    reason: &'static str,
    says: &'static [&'static str],
}

fn mistake(name: &'static str, trigger: &str, reason: &'static str, says: &'static [&'static str]) -> Mistake {
    Mistake { name, target: "", trigger: trigger.to_owned(), reason, says }
}

/// A trigger of this queue with this authentication.
fn with(authentication: &str) -> String {
    format!(
        "{{type: rabbitmq, metadata: {{queueName: good, mode: QueueLength, value: '5'}}, authenticationRef: {{name: {authentication}}}}}"
    )
}

fn mistakes() -> Vec<Mistake> {
    const CHECK: &str = "ScaledObjectCheckFailed";
    const TRIGGER: &str = "TriggerError";
    let good = with("rabbitmq");
    let closed =
        "{type: rabbitmq, metadata: {host: 'amqp://guest:not-the-word@127.0.0.1:1/', queueName: good, mode: QueueLength, value: '5'}}";
    let unnamed = "{type: rabbitmq, metadata: {mode: QueueLength, value: '5'}, authenticationRef: {name: rabbitmq}}";
    let of = |name, target, says| Mistake { name, target, trigger: good.clone(), reason: CHECK, says };
    vec![
        mistake(
            "unknown-type",
            &good.replace("type: rabbitmq", "type: rabitmq"),
            CHECK,
            &["spec.triggers[0].type", "rabitmq", "use one of"],
        ),
        mistake("missing-key", unnamed, CHECK, &["spec.triggers[0].queueName", "missing"]),
        mistake("closed-port", closed, TRIGGER, &["127.0.0.1:1", "check that the address is right"]),
        mistake("wrong-password", &with("wrong-password"), TRIGGER, &["refuses the login", "check user name"]),
        mistake(
            "no-secret",
            &with("no-secret"),
            CHECK,
            &["TriggerAuthentication no-secret", "Secret default/nowhere does not exist", "create it"],
        ),
        mistake("no-key", &with("no-key"), CHECK, &["Secret default/rabbitmq has no key `url`", "add it"]),
        mistake(
            "no-auth",
            &with("later"),
            CHECK,
            &["spec.triggers[0].authenticationRef", "TriggerAuthentication later does not exist", "create it"],
        ),
        of("no-target", "{name: absent}", &["spec.scaleTargetRef", "Deployment default/absent does not exist", "create it"]),
        of(
            "odd-target",
            "{apiVersion: apps/v1, kind: DaemonSet, name: agent}",
            &["spec.scaleTargetRef.kind", "DaemonSet is not scaled", "use one of"],
        ),
        of("with-hpa", "", &["default/with-hpa", "managed by the hpa 'default/theirs'", "delete the HorizontalPodAutoscaler"]),
        of("a-younger", "{name: z-elder}", &["default/z-elder", "managed by the ScaledObject 'default/z-elder'", "delete one of the two"]),
    ]
}

fn deployment(name: &str) -> String {
    format!(
        "apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: default}}
spec:
  replicas: 0
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec: {{containers: [{{name: worker, image: worker, resources: {{requests: {{cpu: '1'}}}}}}]}}
---
"
    )
}

/// A ScaledObject; `target` is a YAML map.
fn scaled_object(name: &str, target: &str, trigger: &str) -> String {
    format!(
        "apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {{name: {name}, namespace: default}}
spec: {{scaleTargetRef: {target}, pollingInterval: 1, cooldownPeriod: 1, triggers: [{trigger}]}}
---
"
    )
}

impl Mistake {
    fn yaml(&self) -> String {
        if self.target.is_empty() {
            deployment(self.name) + &scaled_object(self.name, &format!("{{name: {}}}", self.name), &self.trigger)
        } else {
            scaled_object(self.name, self.target, &self.trigger)
        }
    }
}

/// A TriggerAuthentication for the parameter host.
fn authentication(name: &str, secret: &str, key: &str) -> String {
    format!(
        "apiVersion: keda.sh/v1alpha1
kind: TriggerAuthentication
metadata: {{name: {name}, namespace: default}}
spec: {{secretTargetRef: [{{parameter: host, name: {secret}, key: {key}}}]}}
---
"
    )
}

fn secret(name: &str, key: &str, url: &str) -> String {
    format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}, namespace: default}}\nstringData: {{{key}: '{url}'}}\n---\n")
}

const HPA: &str = "apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: theirs, namespace: default}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: with-hpa}
  maxReplicas: 3
  metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 50}}}]
";

/// The condition Ready of a status: what it is, its reason, its message.
fn ready(status: &Value) -> [String; 3] {
    let all = status.pointer("/conditions").and_then(Value::as_array);
    let found = all.into_iter().flatten().find(|one| one.get("type") == Some(&json!("Ready")));
    ["status", "reason", "message"].map(|field| found.and_then(|one| one.get(field)).and_then(Value::as_str).unwrap_or_default().to_owned())
}

/// Waits until a ScaledObject's condition Ready has this status and reason, and answers with its message.
async fn until_told(stage: &Stage, name: &str, status: &str, reason: &str, within: Duration) -> Result<String> {
    let api = Api::<ScaledObject>::namespaced(stage.client.clone(), "default");
    let told = |object: &ScaledObject| ready(&serde_json::to_value(&object.status).unwrap_or_default());
    let is = |object: &ScaledObject| told(object)[..2] == [status, reason];
    let found = wait_for(api, name, &format!("to be Ready={status} with reason {reason}"), within, is).await?;
    let [_, _, message] = told(&found);
    Ok(message)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mistake_is_told_where_it_is_and_harms_nobody_else() -> Result<()> {
    let rabbit = rabbit().await?;
    let stage = Stage::open(&rabbit, "mistakes").await?;
    stage.plane.apply(&pool("1s", "60s")).await?;
    let good = stage.queue(&Worker { name: "good", service_time: Duration::from_millis(500), value: 5, max: 2, cooldown_s: 5 }).await?;
    let wrong = secret("wrong-password", "host", &stage.amqp.replace("guest:guest@", &format!("guest:{WRONG}@")));
    let authentications = [("wrong-password", "wrong-password", "host"), ("no-secret", "nowhere", "host"), ("no-key", "rabbitmq", "url")];
    let around: String = authentications.iter().map(|(name, secret, key)| authentication(name, secret, key)).collect();
    let elder = deployment("z-elder") + &scaled_object("z-elder", "{name: z-elder}", &with("rabbitmq"));
    // With a DaemonSet that is there and is no target.
    for manifest in [around + &wrong, elder, HPA.to_owned(), neighbours()] {
        stage.plane.apply(&manifest).await?;
    }
    let _daemon = stage.daemon(PROGRAM, &["--lease-duration", "5s"]).await?;
    until_told(&stage, "z-elder", "True", "ScaledObjectReady", MINUTE).await?;
    // The API server tells ages in whole seconds, so one has to pass until another object is younger.
    tokio::time::sleep(Duration::from_secs(1)).await;

    // What is wrong is told, on each object what is its own.
    let all = mistakes();
    stage.plane.apply(&all.iter().map(Mistake::yaml).collect::<String>()).await?;
    let mut wrong = Vec::new();
    for Mistake { name, reason, says, .. } in &all {
        match until_told(&stage, name, "False", reason, SOON).await {
            Ok(message) if message.contains(WRONG) => wrong.push(format!("{name} tells the password: {message:?}")),
            Ok(message) if *name == "odd-target" && message.contains("does not exist") => {
                wrong.push(format!("{name} exists, and it says {message:?}"))
            }
            Ok(message) if says.iter().all(|words| message.contains(words)) => println!("{name}: {message}"),
            Ok(message) => wrong.push(format!("{name} says {message:?}, and should say {says:?}")),
            Err(error) => wrong.push(format!("{name}: {error:#}")),
        }
    }

    // The good one scales all the same, and so does the elder of two; nothing else does.
    stage.publish("good", 20).await?;
    let report = tokio::time::timeout(MINUTE, good.fleet.done(20)).await?;
    ensure!(report.busy_stopped == 0, "{} busy workers were stopped", report.busy_stopped);
    for name in ["good", "z-elder"] {
        until_told(&stage, name, "True", "ScaledObjectReady", SOON).await?;
    }
    let deployments = Api::<Deployment>::namespaced(stage.client.clone(), "default");
    for Mistake { name, .. } in all.iter().filter(|mistake| mistake.target.is_empty()) {
        let scaled = deployments.get(name).await?.metadata.generation;
        ensure!(scaled == Some(1), "Deployment {name} was changed, though its ScaledObject is wrong");
    }

    what_is_corrected_heals(&stage).await?;
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// What is corrected in an object that is watched heals at once. Secrets are not watched: they are read again with whoever refers to them.
async fn what_is_corrected_heals(stage: &Stage) -> Result<()> {
    let healed = async |name: &str| until_told(stage, name, "True", "ScaledObjectReady", SOON).await.map(drop);
    stage.plane.apply(&scaled_object("unknown-type", "{name: unknown-type}", &with("rabbitmq"))).await?;
    healed("unknown-type").await.context("a ScaledObject that was corrected")?;
    stage.plane.apply(&deployment("absent")).await?;
    healed("no-target").await.context("a target that was created")?;
    stage.plane.apply(&authentication("later", "rabbitmq", "host")).await?;
    healed("no-auth").await.context("a TriggerAuthentication that was created")?;
    stage.plane.apply(&authentication("no-key", "rabbitmq", "host")).await?;
    healed("no-key").await.context("a TriggerAuthentication that was corrected")?;
    stage.plane.apply(&(secret("corrected", "host", &stage.amqp) + &authentication("wrong-password", "corrected", "host"))).await?;
    healed("wrong-password").await.context("a password that was corrected")?;
    Api::<HorizontalPodAutoscaler>::namespaced(stage.client.clone(), "default").delete("theirs", &DeleteParams::default()).await?;
    healed("with-hpa").await.context("an HPA that was deleted")?;
    Api::<ScaledObject>::namespaced(stage.client.clone(), "default").delete("z-elder", &DeleteParams::default()).await?;
    healed("a-younger").await.context("the younger of two, once the elder is gone")
}

/// A pool under another name, with another class or more requirements.
fn wrong_pool(name: &str, class: &str, requirement: &str) -> String {
    let whole = pool("1s", "60s");
    let (_, good) = whole.split_once("---\n").unwrap_or_default();
    let named = good.replacen("metadata: {name: default}", &format!("metadata: {{name: {name}}}"), 1);
    let classed = named.replace("kind: KWOKNodeClass, name: default", &format!("kind: KWOKNodeClass, name: {class}"));
    classed.replace("      requirements:\n", &format!("      requirements:\n{requirement}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_that_cannot_be_used_says_why() -> Result<()> {
    let rabbit = rabbit().await?;
    let stage = Stage::open(&rabbit, "pools").await?;
    stage.plane.apply(&pool("1s", "60s")).await?;
    stage.plane.apply(&wrong_pool("homeless", "absent", "")).await?;
    stage.plane.apply(&wrong_pool("torn", "default", "        - {key: kubernetes.io/arch, operator: In, values: [arm64]}\n")).await?;
    for name in ["homeless", "torn", "default"] {
        let selected = format!("    spec: {{nodeSelector: {{karpenter.sh/nodepool: {name}}}, containers:");
        stage.plane.apply(&deployment(name).replace("    spec: {containers:", &selected).replace("replicas: 0", "replicas: 1")).await?;
    }
    let daemon = stage.daemon(PROGRAM, &["--lease-duration", "5s"]).await?;

    // The good pool serves its pod; those of the others wait, and nothing is started for them.
    let deployments = Api::<Deployment>::namespaced(stage.client.clone(), "default");
    let served = |deployment: &Deployment| deployment.status.as_ref().and_then(|status| status.ready_replicas) == Some(1);
    wait_for(deployments, "default", "to have its pod", MINUTE, served).await?;
    let pods = Api::<Pod>::namespaced(stage.client.clone(), "default");
    let claims = Api::<NodeClaim>::all(stage.client.clone());
    for name in ["homeless", "torn"] {
        let waiting = pods.list(&ListParams::default().labels(&format!("app={name}"))).await?.items;
        let phases: Vec<_> = waiting.iter().filter_map(|pod| pod.status.as_ref()?.phase.as_deref()).collect();
        ensure!(phases == ["Pending"], "the pods of pool {name} are {phases:?}");
        let made = claims.list(&ListParams::default().labels(&format!("karpenter.sh/nodepool={name}"))).await?.items;
        ensure!(made.is_empty(), "claims were made of pool {name}: {:?}", made.iter().map(ResourceExt::name_any).collect::<Vec<_>>());
    }

    // The pool says what is wrong with it, and the log says why the pods wait.
    let pools = Api::<NodePool>::all(stage.client.clone());
    let told = |pool: &NodePool| ready(&serde_json::to_value(&pool.status).unwrap_or_default());
    let homeless = wait_for(pools, "homeless", "to be Ready=False", SOON, |pool| told(pool)[0] == "False").await?;
    let [_, _, message] = told(&homeless);
    ensure!(message.contains("absent does not exist") && message.contains("create it"), "the pool without a NodeClass says {message:?}");
    daemon.until_log(0, &["homeless", "absent does not exist"], SOON).await.context("why the pod of the pool without a NodeClass waits")?;
    daemon.until_log(0, &["torn", "kubernetes.io/arch"], SOON).await.context("why the pod of the pool that contradicts itself waits")?;
    Ok(())
}
