//! Makes volumes where the scheduler has chosen a node for their first pod, as a storage driver would.

use anyhow::{Context, Result};
use futures::StreamExt;
use k8s_openapi::api::core::v1::{Node, PersistentVolume, PersistentVolumeClaim};
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self};
use kube::{Client, ResourceExt};
use serde_json::json;

use super::referee::Done;
use super::volumes::volume;
use super::words::{HOSTNAME, ZONE};

/// Where the scheduler says which node it has chosen.
const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";

/// Serves all claims of a cluster for as long as it is there.
pub async fn make(client: Client, done: Done) {
    let claims: Api<PersistentVolumeClaim> = Api::all(client.clone());
    let mut changes = std::pin::pin!(watcher::watcher(claims, watcher::Config::default()).default_backoff().applied_objects());
    while let Some(change) = changes.next().await {
        let Ok(claim) = change else { continue };
        let is_bound = claim.spec.as_ref().is_some_and(|spec| spec.volume_name.is_some());
        if let Some(node) = claim.annotations().get(SELECTED_NODE).filter(|_| !is_bound)
            && let Err(error) = serve(&client, &done, &claim, node).await
        {
            // The scene may be over; where it is not, its pod stays pending and is told of.
            eprintln!("oracle: no volume for {}: {error:#}", claim.name_any());
        }
    }
}

async fn serve(client: &Client, done: &Done, claim: &PersistentVolumeClaim, node: &str) -> Result<()> {
    let (name, namespace) = (claim.name_any(), claim.namespace().unwrap_or_default());
    let node = Api::<Node>::all(client.clone()).get(node).await.context("read the node")?;
    let label = |key: &str| node.labels().get(key).cloned();
    // A machine without a zone has its own disks.
    let key = if label(ZONE).is_some() { ZONE } else { HOSTNAME };
    let row = json!({"key": key, "operator": "In", "values": [label(key).unwrap_or_default()]});
    let volume_name = format!("made-{}", claim.uid().unwrap_or_default());
    let made: PersistentVolume = serde_json::from_value(volume(&volume_name, &namespace, &name, &row))?;
    Api::all(client.clone()).create(&PostParams::default(), &made).await.context("create the volume")?;
    done.note("PersistentVolumeAdd", 1);
    let bound = json!({"metadata": {"annotations": {"pv.kubernetes.io/bind-completed": "yes"}}, "spec": {"volumeName": volume_name}});
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), &namespace);
    claims.patch(&name, &PatchParams::default(), &Patch::Merge(bound)).await.context("bind the claim").map(drop)
}
