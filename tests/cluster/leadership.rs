//! One leads and writes, the others watch; what happens when the leader goes, in order or not.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use kube::api::Api;
use springtide_testbed::Plane;
use tokio::time::Instant;

use super::{PROGRAM, rabbit};
use crate::stage::daemon::Daemon;
use crate::stage::ledger::{DAEMON, until_still, writes_of};
use crate::stage::manifests::{Worker, pool};
use crate::stage::{Queue, Stage};

const MINUTE: Duration = Duration::from_secs(60);
/// The Lease's time in this scene.
const LEASE: Duration = Duration::from_secs(5);
const FLAGS: [&str; 2] = ["--lease-duration", "5s"];
/// The second daemon's user: in the audit log, the two are told apart by it.
const TWIN: &str = "system:serviceaccount:springtide:twin";

/// Another ServiceAccount with the daemon's rights.
fn twin() -> String {
    let binding = |kind: &str, role: &str| {
        let namespace = if kind == "Role" { ", namespace: springtide" } else { "" };
        format!(
            "---
apiVersion: rbac.authorization.k8s.io/v1
kind: {kind}Binding
metadata: {{name: twin-of-{role}{namespace}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: {kind}, name: {role}}}
subjects: [{{kind: ServiceAccount, name: twin, namespace: springtide}}]
"
        )
    };
    let bindings = [("ClusterRole", "springtide"), ("ClusterRole", "springtide-trigger-secrets"), ("Role", "springtide")];
    let account = "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: twin, namespace: springtide}\n".to_owned();
    bindings.iter().fold(account, |all, (kind, role)| all + &binding(kind, role))
}

async fn lease(stage: &Stage) -> Result<LeaseSpec> {
    let lease = Api::<Lease>::namespaced(stage.client.clone(), "springtide").get("springtide").await?;
    lease.spec.context("the Lease says nothing")
}

fn renewed(lease: &LeaseSpec) -> Result<Timestamp> {
    Ok(lease.renew_time.as_ref().context("the Lease has no renewTime")?.0)
}

/// Who wrote, one after the other, without repetitions.
fn reigns(plane: &Plane) -> Result<Vec<String>> {
    let mut users: Vec<String> =
        writes_of(plane, &[DAEMON, TWIN])?.into_iter().filter(|write| write.status < 300).map(|write| write.user).collect();
    users.dedup();
    Ok(users)
}

/// A burst under the present leader, until its last message is done.
async fn burst(stage: &Stage, leader: &Daemon, queue: &Queue, done: u64) -> Result<()> {
    stage.publish(&queue.name, 10).await?;
    let report = tokio::time::timeout(MINUTE, queue.fleet.done(done)).await?;
    ensure!(report.busy_stopped == 0 && report.redelivered == 0, "{} busy workers were stopped:\n{}", report.busy_stopped, leader.tail());
    Ok(())
}

/// A change of leaders may delay a scale-in and never causes one: the cooldown of a minute has hardly begun.
async fn holds_what_it_found(stage: &Stage, user: &str, leader: &Daemon) -> Result<()> {
    // Past its first readings, and at peace with them.
    until_still(&stage.plane, user, 3, MINUTE).await?;
    let deployment = Api::<Deployment>::namespaced(stage.client.clone(), "default").get("orders").await?;
    let replicas = deployment.spec.and_then(|spec| spec.replicas);
    ensure!(replicas == Some(2), "the new leader found 2 replicas in their cooldown and left {replicas:?}:\n{}", leader.tail());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_leads_and_the_next_takes_over() -> Result<()> {
    let rabbit = rabbit().await?;
    let stage = Stage::open(&rabbit, "leadership").await?;
    stage.plane.apply(&pool("1s", "60s")).await?;
    stage.plane.apply(&twin()).await?;
    stage.plane.until_allowed("springtide", "twin", "update", "coordination.k8s.io/leases").await?;
    let twin = stage.plane.kubeconfig_for_service_account("springtide", "twin").await?;
    let queue = stage.queue(&Worker { name: "orders", service_time: Duration::from_millis(300), value: 5, max: 2, cooldown_s: 60 }).await?;
    let broker = rabbit.amqp_address();

    // Only the first leads; the second neither writes nor connects to the broker, while there is work.
    let first = stage.daemon(PROGRAM, &FLAGS).await?;
    first.until_leads(MINUTE).await?;
    let second = Daemon::start(PROGRAM, &twin, stage.plane.folder(), &FLAGS).await?;
    burst(&stage, &first, &queue, 10).await?;
    ensure!(first.connections_to(broker)? == 1, "the leader has {} connections to the broker", first.connections_to(broker)?);
    ensure!(second.connections_to(broker)? == 0, "the standby has {} connections to the broker", second.connections_to(broker)?);
    let written = writes_of(&stage.plane, &[TWIN])?;
    ensure!(written.is_empty(), "the standby has written: {written:?}");
    ensure!(!second.leads().await?, "two daemons lead");

    // The leader stops in order: it gives the Lease back, and the other leads long before the Lease would have run out.
    let begun = Instant::now();
    first.stop().await?;
    second.until_leads(Duration::from_secs(3).saturating_sub(begun.elapsed())).await?;
    println!("after an orderly stop the standby leads in {:?}", begun.elapsed());
    holds_what_it_found(&stage, TWIN, &second).await?;
    burst(&stage, &second, &queue, 20).await?;
    ensure!(second.connections_to(broker)? == 1, "the new leader has {} connections to the broker", second.connections_to(broker)?);

    // The leader is killed: the other waits for the Lease's time, and not much longer.
    let third = stage.daemon(PROGRAM, &FLAGS).await?;
    let begun = Instant::now();
    second.kill()?;
    let last = renewed(&lease(&stage).await?)?;
    // To see the last renewal and to see that it is over, a standby that looks once a second needs up to two seconds more.
    third.until_leads(LEASE + Duration::from_secs(3)).await?;
    println!("after the leader's end the standby leads in {:?}", begun.elapsed());
    let acquired = lease(&stage).await?.acquire_time.context("the Lease has no acquireTime")?.0;
    let waited = Duration::try_from(acquired.duration_since(last))?;
    ensure!(waited >= LEASE, "the Lease was taken {waited:?} after its last renewal, and holds {LEASE:?}");
    holds_what_it_found(&stage, DAEMON, &third).await?;
    burst(&stage, &third, &queue, 30).await?;

    // The last one stops: the Lease lies there for whoever comes.
    third.stop().await?;
    let left = lease(&stage).await?;
    ensure!(left.holder_identity.as_deref() == Some(""), "the Lease was not given back: {left:?}");
    let reigns = reigns(&stage.plane)?;
    ensure!(reigns == [DAEMON, TWIN, DAEMON], "they wrote in turns: {reigns:?}");
    Ok(())
}
