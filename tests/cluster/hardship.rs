//! A watch that lags, a cloud that refuses, a quota that refuses, an API server that is away.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use springtide_testbed::HttpProxy;

use super::{PROGRAM, rabbit};
use crate::stage::Stage;
use crate::stage::daemon::Daemon;
use crate::stage::manifests::{Worker, pool, quota};
use crate::stage::observer::{Observer, Seen};

const MINUTE: Duration = Duration::from_secs(60);

/// Pods of 1 CPU on machines of at most 4, so that a burst needs several.
fn small_machines() -> String {
    pool("5s", "5s").replace(
        "        - {key: karpenter.sh/capacity-type",
        "        - {key: karpenter.kwok.sh/instance-cpu, operator: In, values: ['4']}\n        - {key: karpenter.sh/capacity-type",
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neither_a_lagging_watch_nor_a_refusing_cloud_starts_a_machine_too_many() -> Result<()> {
    let rabbit = rabbit().await?;
    let stage = Stage::open(&rabbit, "lag").await?;
    stage.plane.apply(&small_machines()).await?;
    let queue = stage.queue(&Worker { name: "lag", service_time: Duration::from_secs(2), value: 5, max: 12, cooldown_s: 5 }).await?;
    let proxy = HttpProxy::start(&stage.plane).await?;
    let kubeconfig = stage.plane.kubeconfig_for_service_account_at("springtide", "springtide", &proxy.url()).await?;
    let daemon = Daemon::start(PROGRAM, &kubeconfig, stage.plane.folder(), &["--kwok-refuse-every", "3"]).await?;
    proxy.delay_watches(Duration::from_secs(5));
    let observer = Observer::start(&stage.client);

    stage.publish("lag", 60).await?;
    observer.until("all workers run", MINUTE, |seen| seen.running("lag") == 12).await?;
    let report = tokio::time::timeout(MINUTE, queue.fleet.done(60)).await?;
    ensure!(report.busy_stopped == 0 && report.redelivered == 0, "{} busy workers were stopped", report.busy_stopped);
    stage.until_replicas("lag", 0, MINUTE).await?;
    let seen = observer
        .until("no machine is left", MINUTE, |seen| {
            Seen::alive(&seen.machines) == 0 && Seen::alive(&seen.claims) == 0 && Seen::alive(&seen.nodes) == 0
        })
        .await?;
    // 12 workers of 1 CPU, 3 on each machine of 4 CPUs.
    ensure!(seen.claims.len() == 4, "{} claims were made where 4 were planned\n{}", seen.claims.len(), daemon.tail());
    ensure!(seen.machines.len() == 4, "{} machines were started where 4 were planned", seen.machines.len());
    ensure!(daemon.log().contains("out of stock"), "the cloud refused nothing: the scene proves nothing");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_machine_is_started_for_pods_that_a_quota_refuses() -> Result<()> {
    let rabbit = rabbit().await?;
    let stage = Stage::open(&rabbit, "quota").await?;
    stage.plane.apply(&small_machines()).await?;
    stage.plane.apply(&quota(6)).await?;
    let queue = stage.queue(&Worker { name: "many", service_time: Duration::from_secs(2), value: 5, max: 12, cooldown_s: 5 }).await?;
    let _daemon = stage.daemon(PROGRAM, &[]).await?;
    let observer = Observer::start(&stage.client);

    stage.publish("many", 60).await?;
    observer.until("6 workers run", MINUTE, |seen| seen.running("many") == 6).await?;
    let object = kube::api::ApiResource::from_gvk(&kube::api::GroupVersionKind::gvk("keda.sh", "v1alpha1", "ScaledObject"));
    let api = kube::Api::<kube::api::DynamicObject>::namespaced_with(stage.client.clone(), "default", &object);
    let scaled = api.get("many").await?;
    let says = serde_json::to_string(scaled.data.pointer("/status/conditions").context("the ScaledObject has no conditions")?)?;
    ensure!(
        says.contains("ResourceQuota few") || says.contains("cannot create pods"),
        "the ScaledObject does not say why pods are missing: {says}"
    );
    tokio::time::timeout(MINUTE, queue.fleet.done(60)).await?;
    stage.until_replicas("many", 0, MINUTE).await?;
    let seen =
        observer.until("no machine is left", MINUTE, |seen| Seen::alive(&seen.machines) == 0 && Seen::alive(&seen.claims) == 0).await?;
    ensure!(seen.machines.len() == 2, "{} machines were started where 6 pods of 1 CPU need 2 of 4 CPUs", seen.machines.len());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_daemon_outlives_an_outage_of_the_api_server_and_scales_nothing_in() -> Result<()> {
    let rabbit = rabbit().await?;
    let stage = Stage::open(&rabbit, "outage").await?;
    stage.plane.apply(&small_machines()).await?;
    let queue = stage.queue(&Worker { name: "steady", service_time: Duration::from_secs(2), value: 5, max: 6, cooldown_s: 10 }).await?;
    // A short Lease, so that it is lost within the outage.
    let mut daemon = stage.daemon(PROGRAM, &["--lease-duration", "6s"]).await?;
    let observer = Observer::start(&stage.client);

    stage.publish("steady", 60).await?;
    observer.until("all workers run", MINUTE, |seen| seen.running("steady") == 6).await?;
    stage.plane.stop_api_server();
    // The outage itself is what is waited for.
    tokio::time::sleep(Duration::from_secs(12)).await;
    stage.plane.start_api_server().await?;
    let report = tokio::time::timeout(MINUTE, queue.fleet.done(60)).await?;
    ensure!(report.busy_stopped == 0, "{} busy workers were stopped", report.busy_stopped);
    stage.until_replicas("steady", 0, MINUTE).await?;
    observer.until("no machine is left", MINUTE, |seen| Seen::alive(&seen.machines) == 0 && Seen::alive(&seen.claims) == 0).await?;
    ensure!(daemon.is_alive(), "the daemon has ended:\n{}", daemon.tail());
    ensure!(daemon.log().contains("leadership lost"), "the Lease was not lost: the scene proves less than it should");
    daemon.stop().await
}
