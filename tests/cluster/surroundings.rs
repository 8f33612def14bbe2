//! Triggers that ask the cluster itself: one workload follows the pods of another, and the pods behind a Service are asked one by one.

use std::net::{IpAddr, UdpSocket};
use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::events::v1::Event;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use kube::runtime::watcher;
use serde_json::json;
use springtide_testbed::wait_until;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::{PROGRAM, rabbit};
use crate::stage::Stage;
use crate::stage::manifests::Worker;

const MINUTE: Duration = Duration::from_secs(60);

/// A Deployment without pods, and a ScaledObject that scales it at once by this trigger, a YAML map.
fn follower(name: &str, trigger: &str) -> String {
    let deployment = Worker { name, service_time: Duration::ZERO, value: 1, max: 10, cooldown_s: 1 }.deployment(0);
    format!(
        "{deployment}---
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {{name: {name}, namespace: default}}
spec:
  scaleTargetRef: {{name: {name}}}
  pollingInterval: 1
  cooldownPeriod: 1
  maxReplicaCount: 10
  advanced:
    horizontalPodAutoscalerConfig:
      behavior:
        scaleUp: {{stabilizationWindowSeconds: 0, policies: [{{type: Pods, value: 100, periodSeconds: 1}}]}}
        scaleDown: {{stabilizationWindowSeconds: 0, policies: [{{type: Pods, value: 100, periodSeconds: 1}}]}}
  triggers: [{trigger}]
---
"
    )
}

/// A pod that nobody controls, on a node whose kubelet nobody plays: what becomes of it is the scene's to say.
fn pod(name: &str, app: &str, node: &str) -> String {
    let node = if node.is_empty() { String::new() } else { format!("nodeName: {node}, ") };
    format!(
        "apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: default, labels: {{app: {app}}}}}
spec: {{{node}containers: [{{name: one, image: one}}]}}
---
"
    )
}

fn node(name: &str) -> String {
    format!("apiVersion: v1\nkind: Node\nmetadata: {{name: {name}}}\n---\n")
}

/// A plane that knows ScaledObjects.
async fn stage(name: &str) -> Result<Stage> {
    let rabbit = rabbit().await?;
    let crds = springtide_api::crds::rendered()?.into_iter().map(|(_, crd)| crd).filter(|crd| crd.contains("group: keda.sh")).collect();
    Stage::open_with(&rabbit, name, crds).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_workload_follows_the_pods_of_another() -> Result<()> {
    let stage = stage("followers").await?;
    let _daemon = stage.daemon(PROGRAM, &["--layers", "workloads", "--lease-duration", "5s"]).await?;
    let followers = [
        follower("pods", "{type: kubernetes-workload, metadata: {podSelector: 'app in (leader, vice),!retired', value: '1'}}"),
        follower("hosts", "{type: kubernetes-workload, metadata: {podSelector: app=leader, value: '1', groupByNode: 'true'}}"),
    ];
    let pods = [
        pod("one", "leader", "a"),
        pod("two", "leader", "a"),
        pod("three", "leader", "b"),
        pod("four", "vice", ""),
        pod("five", "other", "c"),
    ];
    let nodes = ["a", "b", "c"].map(node);
    stage.plane.apply(&[nodes.concat(), pods.concat(), followers.concat()].concat()).await?;
    let are = async |pods: i32, hosts: i32| {
        stage.until_replicas("pods", pods, MINUTE).await?;
        stage.until_replicas("hosts", hosts, MINUTE).await
    };
    are(4, 2).await.context("pods that wait count, and so do those on nodes")?;

    stage.plane.apply(&(pod("six", "leader", "c") + &pod("seven", "vice", ""))).await?;
    are(6, 3).await.context("there are more")?;

    // Those that have ended do not count, although they are there, nor does one that is labelled otherwise.
    let api = Api::<Pod>::namespaced(stage.client.clone(), "default");
    for (name, phase) in [("three", "Succeeded"), ("six", "Failed")] {
        let ended = Patch::Merge(json!({"status": {"phase": phase}}));
        api.patch_status(name, &PatchParams::default(), &ended).await.context("end a pod")?;
    }
    api.patch("seven", &PatchParams::default(), &Patch::Merge(json!({"metadata": {"labels": {"retired": "true"}}}))).await?;
    are(3, 1).await.context("two have ended, and one is retired")?;

    for name in ["one", "two", "four"] {
        api.delete(name, &DeleteParams::default().grace_period(0)).await?;
    }
    are(0, 0).await.context("none is left")
}

/// An address of this machine that an EndpointSlice may have: any but loopback.
fn own_address() -> Option<IpAddr> {
    // Nothing is sent: the machine only says which of its addresses it would send from.
    let socket = UdpSocket::bind(("0.0.0.0", 0)).ok()?;
    socket.connect(("198.51.100.1", 9)).ok()?;
    socket.local_addr().ok().map(|address| address.ip()).filter(|address| !address.is_loopback() && !address.is_unspecified())
}

/// Answers every request with this number.
async fn serve(listener: TcpListener, number: u32) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let body = json!({ "waiting": number }).to_string();
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
        tokio::spawn(async move {
            let mut request = [0; 4096];
            drop(stream.read(&mut request).await);
            drop(stream.write_all(answer.as_bytes()).await);
        });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pods_behind_a_service_are_asked() -> Result<()> {
    let stage = stage("behind").await?;
    let _daemon = stage.daemon(PROGRAM, &["--layers", "workloads", "--lease-duration", "5s"]).await?;
    let trigger = "{type: metrics-api, metadata: {url: 'http://orders.default/stats', valueLocation: waiting, targetValue: '2', \
                   aggregateFromKubeServiceEndpoints: 'true', aggregationType: sum}}";
    stage.plane.apply(&follower("workers", trigger)).await?;
    // That nothing is there yet is told, and is no reason to do anything.
    let told = |event: &&Event| event.note.as_deref().is_some_and(|note| note.contains("there is none that is ready"));
    let events = Api::<Event>::namespaced(stage.client.clone(), "default");
    wait_until(events, watcher::Config::default(), "to tell that no pod is ready", MINUTE, |events| events.iter().any(told)).await?;

    let Some(address) = own_address() else {
        println!("this machine has no address but loopback, which no EndpointSlice may have; no pod was asked");
        return Ok(());
    };
    let listener = TcpListener::bind((address, 0)).await.context("listen for requests to a pod")?;
    let (port, family) = (listener.local_addr()?.port(), if address.is_ipv4() { "IPv4" } else { "IPv6" });
    tokio::spawn(serve(listener, 7));
    let slice = format!(
        "apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: orders-1, namespace: default, labels: {{kubernetes.io/service-name: orders}}}}
addressType: {family}
endpoints: [{{addresses: ['{address}'], conditions: {{ready: true}}}}]
ports: [{{name: http, port: {port}, protocol: TCP}}]
"
    );
    stage.plane.apply(&slice).await?;
    stage.until_replicas("workers", 4, MINUTE).await
}
