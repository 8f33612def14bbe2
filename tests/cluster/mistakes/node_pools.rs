//! Mistakes in NodePools, and what the pods say that wait for them.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use springtide_api::karpenter::NodeClaim;
use springtide_testbed::wait_for;

use super::{Kind, MINUTE, Mistake, Right, SOON, deployment, until_event};
use crate::stage::Stage;
use crate::stage::manifests::pool;

/// Pools that nothing can be bought of.
const UNUSABLE: [&str; 3] = ["torn", "homeless", "unmatched"];

/// A pool under another name, with another class, more requirements, and limits.
pub fn named(name: &str, class: &str, requirement: &str, limits: &str) -> String {
    let whole = pool("1s", "60s");
    let (_, good) = whole.split_once("---\n").unwrap_or_default();
    let renamed = good.replacen("metadata: {name: default}", &format!("metadata: {{name: {name}}}"), 1);
    let classed = renamed.replace("kind: KWOKNodeClass, name: default", &format!("kind: KWOKNodeClass, name: {class}"));
    let limited = if limits.is_empty() { String::new() } else { format!("  limits: {limits}\n") };
    let narrowed = classed.replace("      requirements:\n", &format!("      requirements:\n{requirement}"));
    format!("{narrowed}{limited}---\n")
}

/// So many pods that may only go to this pool.
fn pods(pool: &str, count: u32) -> String {
    deployment(pool, count, &format!("nodeSelector: {{karpenter.sh/nodepool: {pool}}}, "))
}

fn mistake(name: &'static str, yaml: String, condition: [&'static str; 3], event: &'static str, right: String, says: &[&str]) -> Mistake {
    let [kind, _, _] = condition;
    Mistake {
        kind: Kind::NodePool,
        name,
        yaml,
        condition,
        event,
        says: says.iter().map(|text| (*text).to_owned()).collect(),
        right: Right::Apply(right),
        healed: [kind, "True", kind],
    }
}

/// All of them, each with pods that wait for it.
pub fn all() -> Vec<Mistake> {
    let arm = "        - {key: kubernetes.io/arch, operator: In, values: [arm64]}\n";
    let huge = "        - {key: karpenter.kwok.sh/instance-cpu, operator: Gt, values: ['100000']}\n";
    let right = |name: &str| named(name, "default", "", "");
    let absent =
        "apiVersion: karpenter.kwok.sh/v1alpha1\nkind: KWOKNodeClass\nmetadata: {name: absent}\nspec: {nodeRegistrationDelay: 1s}\n---\n";
    vec![
        mistake(
            "torn",
            named("torn", "default", arm, "") + &pods("torn", 1),
            ["ValidationSucceeded", "False", "NodePoolValidationFailed"],
            "NodePoolValidationFailed",
            right("torn"),
            &[
                "spec.template.spec.requirements[1]: kubernetes.io/arch In [amd64]",
                "contradicts spec.template.spec.requirements[0], which says In [arm64]",
                "correct or remove one of them",
            ],
        ),
        mistake(
            "homeless",
            named("homeless", "absent", "", "") + &pods("homeless", 1),
            ["NodeClassReady", "False", "NodeClassNotFound"],
            "NodeClassNotReady",
            absent.to_owned(),
            &["spec.template.spec.nodeClassRef", "NodeClass KWOKNodeClass/absent does not exist", "create it"],
        ),
        mistake(
            "unmatched",
            named("unmatched", "default", huge, "") + &pods("unmatched", 1),
            ["Ready", "False", "NoCompatibleInstanceTypes"],
            "NoCompatibleInstanceTypes",
            right("unmatched"),
            &["spec.template.spec.requirements", "none of the 144 instance types", "karpenter.kwok.sh/instance-cpu excludes 1", "widen"],
        ),
        // A machine of two cores has room for one of these pods, beside what is its own.
        mistake(
            "limited",
            named("limited", "default", "", "{cpu: '2'}") + &pods("limited", 3),
            ["Ready", "True", "LimitsReached"],
            "LimitsReached",
            named("limited", "default", "", "{cpu: '100'}"),
            &["spec.limits.cpu: 2 of 2 are used", "would add 2", "raise it to 4 or more"],
        ),
        mistake(
            "few",
            named("few", "default", "        - {key: karpenter.kwok.sh/instance-cpu, operator: In, values: ['2']}\n", "{nodes: '1'}")
                + &pods("few", 2),
            ["Ready", "True", "LimitsReached"],
            "LimitsReached",
            named("few", "default", "", "{nodes: '9'}"),
            &["spec.limits.nodes: 1 of 1 are used", "raise it to 2 or more"],
        ),
    ]
}

/// Waits until the pods that wait say why.
pub async fn pods_are_told(stage: &Stage) -> Result<()> {
    let told = [
        (
            "limited-",
            "pool limited has reached its limit of cpu: 2 of 2 are used",
            "raise spec.limits.cpu of NodePool limited to 4 or more",
        ),
        ("few-", "pool few has reached its limit of nodes: 1 of 1 are used", "raise spec.limits.nodes of NodePool few to 2 or more"),
        ("torn-", "pool torn cannot be used", "kubernetes.io/arch"),
        ("homeless-", "pool homeless cannot be used", "create it"),
        ("unmatched-", "pool unmatched cannot be used", "widen the requirements"),
    ];
    for (pods, what, remedy) in told {
        let note = until_event(stage, "Pod", pods, "FailedScheduling", &[what.to_owned(), remedy.to_owned()], SOON).await?;
        println!("{pods}*: event FailedScheduling: {note}");
    }
    Ok(())
}

/// Nothing was bought of pools that cannot be used, and their pods wait.
pub async fn nothing_is_bought(stage: &Stage) -> Result<()> {
    let pods = Api::<Pod>::namespaced(stage.client.clone(), "default");
    let claims = Api::<NodeClaim>::all(stage.client.clone());
    for name in UNUSABLE {
        let waiting = pods.list(&ListParams::default().labels(&format!("app={name}"))).await?.items;
        let phases: Vec<_> = waiting.iter().filter_map(|pod| pod.status.as_ref()?.phase.as_deref()).collect();
        ensure!(phases == ["Pending"], "the pods of pool {name} are {phases:?}");
        let made = claims.list(&ListParams::default().labels(&format!("karpenter.sh/nodepool={name}"))).await?.items;
        ensure!(made.is_empty(), "claims were made of pool {name}: {:?}", made.iter().map(ResourceExt::name_any).collect::<Vec<_>>());
    }
    Ok(())
}

/// Waits until all pods run, once the pools are right.
pub async fn pods_run(stage: &Stage) -> Result<()> {
    for (name, count) in UNUSABLE.map(|name| (name, 1)).into_iter().chain([("limited", 3), ("few", 2)]) {
        let deployments = Api::<Deployment>::namespaced(stage.client.clone(), "default");
        let ready = |deployment: &Deployment| deployment.status.as_ref().and_then(|status| status.ready_replicas) == Some(count);
        wait_for(deployments, name, "to have all of its pods", MINUTE, ready).await.context("pools that were put right")?;
    }
    Ok(())
}
