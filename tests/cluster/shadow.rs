//! Nothing is written where others are at work, where only a look was asked for, and where there is nothing to do.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Api, ListParams};
use reqwest::Method;
use serde_json::json;
use springtide_api::karpenter::{NodeClaim, NodePool};
use springtide_testbed::{Rabbit, wait_for};

use super::{PROGRAM, rabbit};
use crate::stage::Stage;
use crate::stage::daemon::Daemon;
use crate::stage::ledger::{DAEMON, Write, until_still, writes_of};
use crate::stage::manifests::{Worker, pool};

const MINUTE: Duration = Duration::from_secs(60);
/// The Lease is then renewed each second, which is this scene's clock.
const FLAGS: [&str; 4] = ["--lease-duration", "5s", "--log-level", "info,springtide=debug"];
/// What the daemon logs of an action that it only decided on.
const NOT_DONE: &str = "not done: shadow mode";

/// A Lease as its holder renews it.
fn lease(namespace: &str, name: &str, lasts_s: u32) -> String {
    let now = Timestamp::now();
    format!(
        "apiVersion: v1
kind: Namespace
metadata: {{name: {namespace}}}
---
apiVersion: coordination.k8s.io/v1
kind: Lease
metadata: {{name: {name}, namespace: {namespace}}}
spec: {{holderIdentity: {namespace}-7d9c, leaseDurationSeconds: {lasts_s}, renewTime: '{now:.6}'}}
"
    )
}

fn keda(lasts_s: u32) -> String {
    lease("keda", "operator.keda.sh", lasts_s)
}

fn karpenter(lasts_s: u32) -> String {
    lease("karpenter", "karpenter-leader-election", lasts_s)
}

/// A Deployment of one pod, which somebody else scales; `selector` is a YAML map.
fn plain(name: &str, selector: &str) -> String {
    format!(
        "apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: default}}
spec:
  replicas: 1
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      nodeSelector: {selector}
      containers: [{{name: {name}, image: {name}, resources: {{requests: {{cpu: '1'}}}}}}]
"
    )
}

/// A NodePool of a cloud that we do not serve.
fn foreign_pool() -> String {
    "apiVersion: karpenter.sh/v1
kind: NodePool
metadata: {name: theirs}
spec:
  weight: 100
  template:
    spec:
      nodeClassRef: {group: karpenter.k8s.aws, kind: EC2NodeClass, name: default}
      requirements: []
"
    .to_owned()
}

/// What the daemon wrote, its Lease apart.
fn written(stage: &Stage) -> Result<Vec<Write>> {
    Ok(writes_of(&stage.plane, &[DAEMON])?.into_iter().filter(|write| !write.is_of_lease()).collect())
}

fn of_nodes(write: &Write) -> bool {
    ["nodeclaims", "nodepools", "nodes", "configmaps"].iter().any(|kind| write.resource.starts_with(kind))
}

async fn until_ready(stage: &Stage, name: &str, pods: i32) -> Result<()> {
    let api = Api::<Deployment>::namespaced(stage.client.clone(), "default");
    let ready = |deployment: &Deployment| deployment.status.as_ref().and_then(|status| status.ready_replicas).unwrap_or(0) == pods;
    wait_for(api, name, &format!("to have {pods} ready pods"), MINUTE, ready).await.map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_written_where_it_is_not_ours_to_write() -> Result<()> {
    let rabbit = rabbit().await?;
    let stage = Stage::open(&rabbit, "shadow").await?;
    for manifest in [pool("1s", "60s"), foreign_pool(), plain("plain", "{}"), plain("foreign", "{karpenter.sh/nodepool: theirs}")] {
        stage.plane.apply(&manifest).await?;
    }
    // Nobody takes the messages: 20 of them are 2 replicas, for good.
    stage.queue_without_workers(&Worker { name: "steady", service_time: Duration::ZERO, value: 10, max: 5, cooldown_s: 1 }).await?;
    stage.publish("steady", 20).await?;

    a_look_writes_nothing(&stage).await?;
    stage.plane.apply(&keda(3600)).await?;
    stage.plane.apply(&karpenter(3600)).await?;
    let daemon = stage.daemon(PROGRAM, &FLAGS).await?;
    others_at_work_are_left_alone(&stage, &daemon).await?;
    a_layer_is_taken_over_when_nobody_is_at_work_in_it(&stage, &daemon).await?;
    pools_of_other_clouds_are_left_alone(&stage).await?;
    // A still cluster, with pods and with messages: nothing but the Lease for ten seconds.
    until_still(&stage.plane, DAEMON, 10, MINUTE).await.context("a still cluster at work")?;
    a_cluster_at_rest_is_still(&stage, &rabbit).await?;
    its_rights_were_enough(&stage, &daemon)?;
    one_who_comes_later_is_seen(&stage, &daemon).await?;
    daemon.stop().await
}

fn its_rights_were_enough(stage: &Stage, daemon: &Daemon) -> Result<()> {
    let refused: Vec<Write> = written(stage)?.into_iter().filter(|write| write.status == 403).collect();
    ensure!(refused.is_empty(), "the API server refused: {refused:#?}");
    let log = daemon.log();
    let refused: Vec<&str> = log.lines().filter(|line| line.contains("forbidden")).collect();
    ensure!(refused.is_empty(), "the API server refused: {refused:#?}");
    Ok(())
}

/// With `--shadow` all is decided and nothing is done.
async fn a_look_writes_nothing(stage: &Stage) -> Result<()> {
    let daemon = stage.daemon(PROGRAM, &[&FLAGS[..], &["--shadow"]].concat()).await?;
    daemon.until_log(0, &[NOT_DONE, "scale Deployment default/steady from 0 to 2"], MINUTE).await?;
    daemon.until_log(0, &[NOT_DONE, "of pool default"], MINUTE).await?;
    // Past the turn that decided so, and a few more.
    until_still(&stage.plane, DAEMON, 3, MINUTE).await?;
    let written = written(stage)?;
    ensure!(written.is_empty(), "--shadow has written: {written:#?}");
    daemon.stop().await
}

async fn others_at_work_are_left_alone(stage: &Stage, daemon: &Daemon) -> Result<()> {
    for (layer, lease) in [("workloads", "keda/operator.keda.sh"), ("nodes", "karpenter/karpenter-leader-election")] {
        daemon.until_log(0, &[layer, "another controller renews its Lease", lease], MINUTE).await?;
    }
    daemon.until_log(0, &[NOT_DONE, "scale Deployment default/steady"], MINUTE).await?;
    daemon.until_log(0, &[NOT_DONE, "of pool default"], MINUTE).await?;
    until_still(&stage.plane, DAEMON, 3, MINUTE).await?;
    let written = written(stage)?;
    ensure!(written.is_empty(), "beside KEDA and Karpenter was written: {written:#?}");
    Ok(())
}

async fn a_layer_is_taken_over_when_nobody_is_at_work_in_it(stage: &Stage, daemon: &Daemon) -> Result<()> {
    // KEDA's holder is gone: its Lease is not renewed any more. Karpenter goes on.
    let log = daemon.log().len();
    stage.plane.apply(&keda(1)).await?;
    stage.until_replicas("steady", 2, MINUTE).await?;
    daemon.until_log(log, &[NOT_DONE, "of pool default"], MINUTE).await?;
    let nodes: Vec<Write> = written(stage)?.into_iter().filter(of_nodes).collect();
    ensure!(nodes.is_empty(), "beside Karpenter was written: {nodes:#?}");

    stage.plane.apply(&karpenter(1)).await?;
    until_ready(stage, "steady", 2).await?;
    until_ready(stage, "plain", 1).await?;
    // What was decided in the shadow is told now.
    let pools = Api::<NodePool>::all(stage.client.clone());
    let ready = |pool: &NodePool| {
        let status = serde_json::to_value(&pool.status).unwrap_or_default();
        let conditions = status.pointer("/conditions").and_then(|all| all.as_array()).cloned().unwrap_or_default();
        conditions.iter().any(|one| one.get("type") == Some(&json!("Ready")) && one.get("status") == Some(&json!("True")))
    };
    wait_for(pools, "default", "to be Ready", Duration::from_secs(20), ready).await?;
    Ok(())
}

async fn pools_of_other_clouds_are_left_alone(stage: &Stage) -> Result<()> {
    let claims = Api::<NodeClaim>::all(stage.client.clone());
    let theirs = claims.list(&ListParams::default().labels("karpenter.sh/nodepool=theirs")).await?.items;
    ensure!(theirs.is_empty(), "{} claims were made of a pool that is not ours", theirs.len());
    let touched: Vec<Write> =
        written(stage)?.into_iter().filter(|write| write.resource.starts_with("nodepools") && write.name == "theirs").collect();
    ensure!(touched.is_empty(), "a pool that is not ours was written: {touched:#?}");
    until_ready(stage, "foreign", 0).await
}

/// All the time, not only at the start, is looked whether others are at work.
async fn one_who_comes_later_is_seen(stage: &Stage, daemon: &Daemon) -> Result<()> {
    let log = daemon.log().len();
    stage.plane.apply(&keda(3600)).await?;
    daemon.until_log(log, &["workloads", "another controller renews its Lease"], MINUTE).await?;
    let before = written(stage)?.len();
    stage.publish("steady", 50).await?;
    daemon.until_metric(r#"springtide_replicas_wanted{namespace="default",scaledObject="steady"} 5"#, MINUTE).await?;
    until_still(&stage.plane, DAEMON, 3, MINUTE).await?;
    let since = written(stage)?.split_off(before);
    ensure!(since.is_empty(), "beside KEDA, which came later, was written: {since:#?}");
    stage.plane.apply(&keda(1)).await?;
    stage.until_replicas("steady", 5, MINUTE).await?;
    until_ready(stage, "steady", 5).await
}

async fn a_cluster_at_rest_is_still(stage: &Stage, rabbit: &Rabbit) -> Result<()> {
    rabbit.manage(Method::DELETE, "queues/shadow/steady/contents", json!({})).await?;
    stage.until_replicas("steady", 0, MINUTE).await?;
    until_still(&stage.plane, DAEMON, 10, MINUTE).await.context("a still cluster at rest")
}
