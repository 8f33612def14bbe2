//! Objects as tests use them: apply a manifest, wait until something holds. Waiting watches; nothing here sleeps.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use futures::StreamExt;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::discovery::{Scope, pinned_kind};
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, wait};
use kube::{Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// The field manager of what tests apply.
const MANAGER: &str = "testbed";

/// How long a new CustomResourceDefinition may take to be served.
const ESTABLISHED_WITHIN: Duration = Duration::from_secs(30);

/// Applies each document of a YAML text by server-side apply. A `status` is written too, as far as the kind has it as a subresource.
pub async fn apply(client: &Client, yaml: &str) -> Result<Vec<DynamicObject>> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(yaml).context("the manifest is no YAML")?;
    let mut applied = Vec::with_capacity(documents.len());
    // Documents that hold only a comment are null.
    for document in documents.into_iter().filter(|document| !document.is_null()) {
        let object: DynamicObject = serde_json::from_value(document).context("a document of the manifest is no Kubernetes object")?;
        applied.push(apply_one(client, object).await?);
    }
    Ok(applied)
}

async fn apply_one(client: &Client, object: DynamicObject) -> Result<DynamicObject> {
    let types = object.types.clone().context("a document of the manifest has no apiVersion and kind")?;
    let name = object.metadata.name.clone().with_context(|| format!("a {} of the manifest has no name", types.kind))?;
    let what = format!("{}/{name}", types.kind);
    let kind = GroupVersionKind::try_from(&types).with_context(|| format!("{what}: {:?} is no apiVersion", types.api_version))?;
    let (resource, capabilities) = pinned_kind(client, &kind)
        .await
        .with_context(|| format!("{what}: the server does not know {}; apply its CRD first", types.api_version))?;
    let api: Api<DynamicObject> = match capabilities.scope {
        Scope::Cluster => Api::all_with(client.clone(), &resource),
        Scope::Namespaced => Api::namespaced_with(client.clone(), object.metadata.namespace.as_deref().unwrap_or("default"), &resource),
    };
    let params = PatchParams::apply(MANAGER).force();
    let mut applied = api.patch(&name, &params, &Patch::Apply(&object)).await.with_context(|| format!("cannot apply {what}"))?;
    if let Some(status) = object.data.get("status").filter(|status| !status.is_null()) {
        let patch = Patch::Merge(json!({"status": status}));
        applied =
            api.patch_status(&name, &PatchParams::default(), &patch).await.with_context(|| format!("cannot write the status of {what}"))?;
    }
    if types.kind == "CustomResourceDefinition" {
        let api: Api<CustomResourceDefinition> = Api::all(client.clone());
        wait_for(api, &name, "to be established", ESTABLISHED_WITHIN, |definition| {
            wait::Condition::matches_object(&wait::conditions::is_crd_established(), Some(definition))
        })
        .await?;
    }
    Ok(applied)
}

/// Waits until the object of this name is there and `holds`; the error shows the object as it was last seen.
pub async fn wait_for<K>(api: Api<K>, name: &str, what: &str, within: Duration, holds: impl Fn(&K) -> bool) -> Result<K>
where
    K: Resource<DynamicType: Default> + Clone + DeserializeOwned + Serialize + Debug + Send + 'static,
{
    let mut last = None;
    let watching = async {
        let mut states = std::pin::pin!(watcher::watch_object(api, name).default_backoff());
        while let Some(state) = states.next().await {
            // The watcher tries again by itself.
            let Ok(state) = state else { continue };
            if let Some(object) = state.as_ref().filter(|object| holds(object)) {
                return Ok(object.clone());
            }
            last = state;
        }
        Err(anyhow!("the watch of {name} ended"))
    };
    match tokio::time::timeout(within, watching).await {
        Ok(result) => result,
        Err(_) => {
            bail!("waited {within:?} for {} {name} {what}; last seen: {}", K::kind(&K::DynamicType::default()), shown(last.as_ref())?)
        }
    }
}

/// Waits until no object of this name is there.
pub async fn wait_gone<K>(api: Api<K>, name: &str, within: Duration) -> Result<()>
where
    K: Resource<DynamicType: Default> + Clone + DeserializeOwned + Serialize + Debug + Send + 'static,
{
    wait_until(api, watcher::Config::default().fields(&format!("metadata.name={name}")), "to be gone", within, |objects| objects.is_empty())
        .await
        .map(drop)
}

/// Waits until all objects that `selected` lets through, taken together, satisfy `holds`; the error names those last seen.
pub async fn wait_until<K>(
    api: Api<K>,
    selected: watcher::Config,
    what: &str,
    within: Duration,
    holds: impl Fn(&[&K]) -> bool,
) -> Result<Vec<K>>
where
    K: Resource<DynamicType: Default> + Clone + DeserializeOwned + Serialize + Debug + Send + 'static,
{
    let mut seen: BTreeMap<(String, String), K> = BTreeMap::new();
    let watching = async {
        let mut events = std::pin::pin!(watcher::watcher(api, selected).default_backoff());
        let mut listed = false;
        while let Some(event) = events.next().await {
            // The watcher tries again by itself.
            match event {
                Ok(Event::Init) => (listed, seen) = (false, BTreeMap::new()),
                Ok(Event::InitApply(object) | Event::Apply(object)) => drop(seen.insert(key(&object), object)),
                Ok(Event::Delete(object)) => drop(seen.remove(&key(&object))),
                Ok(Event::InitDone) => listed = true,
                Err(_) => continue,
            }
            if listed && holds(&seen.values().collect::<Vec<_>>()) {
                return Ok(());
            }
        }
        Err(anyhow!("the watch ended"))
    };
    match tokio::time::timeout(within, watching).await {
        Ok(result) => result?,
        Err(_) => {
            let names: Vec<String> = seen.keys().map(|(namespace, name)| format!("{namespace}/{name}")).collect();
            let types = K::DynamicType::default();
            let kind = K::kind(&types);
            bail!("waited {within:?} for objects of kind {kind} {what}; last seen, {}: {}", names.len(), names.join(" "))
        }
    }
    Ok(seen.into_values().collect())
}

fn key<K: Resource>(object: &K) -> (String, String) {
    (object.namespace().unwrap_or_default(), object.name_any())
}

fn shown<K: Serialize>(object: Option<&K>) -> Result<String> {
    object.map_or(Ok("nothing of this name".to_owned()), |object| Ok(serde_json::to_string_pretty(object)?))
}
