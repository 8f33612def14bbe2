//! Objects that cannot be read at all: a schema that is looser than ours, as one of an older or newer version may be, lets them through.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, PostParams};
use serde_json::json;
use tokio::time::Instant;

use super::scaled_objects::{authentication, good, scaled_object, trigger};
use super::{Kind, SOON, goes_on, node_pools, until_condition, until_event};
use crate::cluster::{PROGRAM, rabbit};
use crate::stage::Stage;
use crate::stage::manifests::{Worker, pool, system_node};

/// Lets anything pass in one field of a kind.
async fn loosen(stage: &Stage, name: &str, field: &str) -> Result<()> {
    let api = Api::<CustomResourceDefinition>::all(stage.client.clone());
    let definition = api.get(name).await?;
    let mut changed = serde_json::to_value(&definition)?;
    let at = format!("/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/{field}");
    *changed.pointer_mut(&at).with_context(|| format!("{name} has no {at}"))? = json!({ "x-kubernetes-preserve-unknown-fields": true });
    api.replace(name, &PostParams::default(), &serde_json::from_value(changed)?).await?;
    Ok(())
}

/// Applies what the looser schema allows: the API server tells nobody when it has begun to obey it.
async fn apply_when_allowed(stage: &Stage, yaml: &str) -> Result<()> {
    let deadline = Instant::now() + SOON;
    let mut every = tokio::time::interval(Duration::from_millis(200));
    loop {
        every.tick().await;
        match stage.plane.apply(yaml).await {
            Ok(_) => return Ok(()),
            Err(error) if Instant::now() > deadline => return Err(error),
            Err(_) => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_that_cannot_be_read_says_so_and_is_not_acted_on() -> Result<()> {
    let rabbit = rabbit().await?;
    let stage = Stage::open(&rabbit, "unreadable").await?;
    loosen(&stage, "scaledobjects.keda.sh", "cooldownPeriod").await?;
    loosen(&stage, "triggerauthentications.keda.sh", "secretTargetRef").await?;
    loosen(&stage, "nodepools.karpenter.sh", "template/properties/spec/properties/startupTaints").await?;
    stage.plane.apply(&system_node()).await?;
    stage.plane.apply(&pool("1s", "5s")).await?;
    stage.plane.apply(&(good("odd") + &node_pools::named("odd", "default", "", ""))).await?;
    let queue = stage.queue(&Worker { name: "good", service_time: Duration::from_millis(500), value: 5, max: 2, cooldown_s: 5 }).await?;
    let _daemon = stage.daemon(PROGRAM, &["--lease-duration", "5s"]).await?;
    let ready = ["Ready", "True", "ScaledObjectReady"];
    until_condition(&stage, Kind::ScaledObject, "odd", ready, &[], SOON).await?;

    // New versions that make no sense, each of an object that was fine.
    let texts = |all: &[&str]| all.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let soon = scaled_object("odd", "{name: odd}", &trigger("rabbitmq")).replace("cooldownPeriod: 1", "cooldownPeriod: soon");
    apply_when_allowed(&stage, &soon).await.context("a ScaledObject whose cooldownPeriod is a word")?;
    let says = texts(&["spec.cooldownPeriod", "invalid type: string \"soon\"", "correct it"]);
    let failed = ["Ready", "False", "ScaledObjectCheckFailed"];
    println!("odd: {}", until_condition(&stage, Kind::ScaledObject, "odd", failed, &says, SOON).await?);
    until_event(&stage, "ScaledObject", "odd", "ScaledObjectCheckFailed", &says, SOON).await?;

    let taints =
        node_pools::named("odd", "default", "", "").replace("      requirements:", "      startupTaints: none\n      requirements:");
    apply_when_allowed(&stage, &taints).await.context("a NodePool whose startupTaints are a word")?;
    let says = texts(&["it cannot be read", "spec.template.spec.startupTaints", "invalid type: string \"none\"", "correct it"]);
    let invalid = ["ValidationSucceeded", "False", "NodePoolValidationFailed"];
    println!("odd: {}", until_condition(&stage, Kind::NodePool, "odd", invalid, &says, SOON).await?);
    until_event(&stage, "NodePool", "odd", "NodePoolValidationFailed", &says, SOON).await?;

    let word = authentication("odd", "rabbitmq", "host").replace("[{parameter: host, name: rabbitmq, key: host}]", "rabbitmq");
    apply_when_allowed(&stage, &word).await.context("a TriggerAuthentication whose secretTargetRef is a word")?;
    let says = texts(&["it cannot be read", "spec.secretTargetRef", "invalid type: string \"rabbitmq\"", "correct it"]);
    println!("odd: {}", until_event(&stage, "TriggerAuthentication", "odd", "TriggerAuthenticationFailed", &says, SOON).await?);
    stage.plane.apply(&(good("refers").replace("authenticationRef: {name: rabbitmq}", "authenticationRef: {name: odd}"))).await?;
    let says = texts(&["spec.triggers[0].authenticationRef", "TriggerAuthentication odd cannot be read", "spec.secretTargetRef"]);
    until_condition(&stage, Kind::ScaledObject, "refers", failed, &says, SOON).await?;

    // The queue is full for all of them, and only the good one scales.
    goes_on(&stage, &queue, 20).await?;
    for name in ["odd", "refers"] {
        let found = Api::<Deployment>::namespaced(stage.client.clone(), "default").get(name).await?;
        ensure!(found.metadata.generation == Some(1), "Deployment {name} was scaled by a text that is not there any more");
    }

    stage.plane.apply(&(good("odd") + &node_pools::named("odd", "default", "", "") + &authentication("odd", "rabbitmq", "host"))).await?;
    until_condition(&stage, Kind::ScaledObject, "odd", ready, &[], SOON).await.context("a ScaledObject that can be read again")?;
    until_condition(&stage, Kind::NodePool, "odd", ["Ready", "True", "Ready"], &[], SOON)
        .await
        .context("a NodePool that can be read again")?;
    until_condition(&stage, Kind::ScaledObject, "refers", ready, &[], SOON)
        .await
        .context("a TriggerAuthentication that can be read again")?;
    Ok(())
}
