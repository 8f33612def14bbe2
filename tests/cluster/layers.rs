//! One layer without the other: what the other one is told by need not even exist.

use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::Api;
use springtide_testbed::wait_for;

use super::{PROGRAM, rabbit};
use crate::stage::Stage;
use crate::stage::manifests::{Worker, pool, secret, system_node};

const MINUTE: Duration = Duration::from_secs(60);

/// The CRDs of one group of API groups.
fn crds(group: &str) -> Result<Vec<String>> {
    let all = springtide_api::crds::rendered()?.into_iter().map(|(_, crd)| crd);
    Ok(all.filter(|crd| crd.contains(&format!("group: {group}"))).collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workloads_are_scaled_in_a_cluster_that_knows_no_node_pools() -> Result<()> {
    let rabbit = rabbit().await?;
    let stage = Stage::open_with(&rabbit, "workloads", crds("keda.sh")?).await?;
    stage.plane.apply(&secret(&stage.amqp)).await?;
    stage.queue_without_workers(&Worker { name: "good", service_time: Duration::ZERO, value: 5, max: 2, cooldown_s: 5 }).await?;
    let _daemon = stage.daemon(PROGRAM, &["--layers", "workloads", "--lease-duration", "5s"]).await?;
    stage.publish("good", 20).await?;
    stage.until_replicas("good", 2, MINUTE).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_are_started_in_a_cluster_that_knows_no_scaled_objects() -> Result<()> {
    let rabbit = rabbit().await?;
    let stage = Stage::open_with(&rabbit, "nodes", crds("karpenter")?).await?;
    stage.plane.apply(&(system_node() + "---\n" + &pool("1s", "5s"))).await?;
    let waiting = Worker { name: "waiting", service_time: Duration::ZERO, value: 1, max: 1, cooldown_s: 1 }.deployment(2);
    stage.plane.apply(&waiting).await?;
    let _daemon = stage.daemon(PROGRAM, &["--layers", "nodes", "--lease-duration", "5s"]).await?;
    let deployments = Api::<Deployment>::namespaced(stage.client.clone(), "default");
    let served = |deployment: &Deployment| deployment.status.as_ref().and_then(|status| status.ready_replicas) == Some(2);
    wait_for(deployments, "waiting", "to have its pods", MINUTE, served).await.context("nodes for pods that wait").map(drop)
}

/// A look at a cluster of another cloud: it has KEDA's and Karpenter's kinds, and none of ours.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_look_needs_no_definition_of_our_own() -> Result<()> {
    let rabbit = rabbit().await?;
    let kinds = [crds("keda.sh")?, crds("karpenter.sh")?].concat();
    let stage = Stage::open_with(&rabbit, "look", kinds).await?;
    stage.plane.apply(&secret(&stage.amqp)).await?;
    stage.queue_without_workers(&Worker { name: "good", service_time: Duration::ZERO, value: 5, max: 2, cooldown_s: 5 }).await?;
    let daemon = stage.daemon(PROGRAM, &["--shadow", "--lease-duration", "5s"]).await?;
    daemon.until_log(0, &["the API server does not serve this kind", "KWOKNodeClass"], MINUTE).await?;
    stage.publish("good", 20).await?;
    // At the usual level of the log, and with the reason.
    daemon.until_log(0, &["not done: shadow mode", "scale Deployment default/good from 0 to 2", "against a target of 5"], MINUTE).await?;
    daemon.stop().await
}
