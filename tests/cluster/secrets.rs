//! Secrets of triggers of every kind, and nothing of them anywhere else: not in the log at its most talkative, not in events, conditions and metrics.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::events::v1::Event;
use kube::api::{Api, ListParams};
use kube::runtime::watcher;
use serde_json::{Value, json};
use springtide_scalers::{KINDS, Kind, Source};
use springtide_testbed::wait_until;

use super::mistakes::loose::ScaledObject;
use super::{PROGRAM, rabbit};
use crate::stage::Stage;
use crate::stage::manifests::Worker;

/// What each secret begins with: nothing else is called so.
const SEED: &str = "zq7seed";

/// Nobody listens there.
const NOWHERE: &str = "127.0.0.1:1";

/// Of each kind one trigger with the secrets that its example has, and one with all that it could be given at a time: some are refused before anything is
/// asked, others fail on the way.
fn objects() -> Vec<String> {
    let mut objects = Vec::new();
    for (nth, kind) in KINDS.iter().enumerate() {
        let secret = kind.all_parameters().filter(|parameter| parameter.secret && parameter.sources.contains(&Source::Auth));
        let all: Vec<(&str, String)> = secret.map(|parameter| (parameter.name, format!("{SEED}-{nth}-{}", parameter.name))).collect();
        let few: Vec<(&str, String)> = kind.example_auth.iter().map(|(key, text)| (*key, seeded(text, nth, key))).collect();
        for (manner, auth) in [("few", few), ("all", all)].into_iter().filter(|(_, auth)| !auth.is_empty()) {
            let name = format!("{}-{manner}", kind.name);
            objects.push(object(kind, &name, auth));
        }
    }
    objects
}

/// An example's text with a secret in it where it has one, and nobody at its address.
fn seeded(text: &str, nth: usize, key: &str) -> String {
    match text.split_once("://") {
        Some((scheme, _)) => format!("{scheme}://user:{SEED}-{nth}-{key}@{NOWHERE}/"),
        None => format!("{SEED}-{nth}-{key}"),
    }
}

fn object(kind: &Kind, name: &str, auth: Vec<(&str, String)>) -> String {
    let is_given = |key: &str| auth.iter().any(|(given, _)| *given == key);
    let nobody = |text: &str| match text.split_once("://") {
        Some((scheme, _)) => format!("{scheme}://{NOWHERE}/"),
        None => text.to_owned(),
    };
    let metadata: BTreeMap<&str, String> =
        kind.example.iter().filter(|(key, _)| !is_given(key)).map(|(key, text)| (*key, nobody(text))).collect();
    let references: Vec<Value> = auth.iter().map(|(key, _)| json!({"parameter": key, "name": name, "key": key})).collect();
    let data: BTreeMap<&str, &String> = auth.iter().map(|(key, text)| (*key, text)).collect();
    let trigger = json!({"type": kind.name, "metadata": metadata, "authenticationRef": {"name": name}});
    [
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": "default"}, "stringData": data}),
        json!({
            "apiVersion": "keda.sh/v1alpha1", "kind": "TriggerAuthentication", "metadata": {"name": name, "namespace": "default"},
            "spec": {"secretTargetRef": references},
        }),
        json!({
            "apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {"name": name, "namespace": "default"},
            "spec": {"scaleTargetRef": {"name": name}, "pollingInterval": 1, "triggers": [trigger]},
        }),
    ]
    .map(|object| object.to_string())
    .join("\n---\n")
        + "\n---\n"
        + &Worker { name, service_time: Duration::ZERO, value: 5, max: 2, cooldown_s: 5 }.deployment(0)
}

/// Whether something is said of it that comes of its triggers.
fn is_told(object: &ScaledObject) -> bool {
    let conditions = object.status.as_ref().and_then(|status| status["conditions"].as_array().cloned()).unwrap_or_default();
    conditions
        .iter()
        .any(|one| one["type"] == "Ready" && one["status"] == "False" && !one["message"].as_str().unwrap_or_default().is_empty())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_are_told_nowhere() -> Result<()> {
    let rabbit = rabbit().await?;
    let stage = Stage::open(&rabbit, "secrets").await?;
    let objects = objects();
    ensure!(objects.len() > KINDS.len() / 2, "few kinds have secrets: {}", objects.len());
    for object in &objects {
        stage.plane.apply(object).await?;
    }
    let daemon = stage.daemon(PROGRAM, &["--lease-duration", "5s", "--log-level", "trace"]).await?;
    let api = Api::<ScaledObject>::namespaced(stage.client.clone(), "default");
    let all_told = |seen: &[&ScaledObject]| seen.len() == objects.len() && seen.iter().all(|object| is_told(object));
    let what = "to be told that their triggers cannot be read";
    let told = wait_until(api, watcher::Config::default(), what, Duration::from_secs(60), all_told).await?;
    let events = Api::<Event>::namespaced(stage.client.clone(), "default").list(&ListParams::default()).await?;
    let metrics = daemon.metrics().await?;
    let log = daemon.log();
    ensure!(log.contains("TRACE"), "the log is not at its most talkative");
    for (place, text) in [
        ("a condition", told.iter().map(|object| serde_json::to_string(&object.status)).collect::<Result<Vec<_>, _>>()?.join("\n")),
        ("an event", serde_json::to_string(&events.items)?),
        ("a metric", metrics),
        ("the log", log),
    ] {
        ensure!(!text.is_empty(), "{place} says nothing");
        if let Some(at) = text.find(SEED) {
            let from = text[..at].rfind('\n').map_or(0, |end| end + 1);
            let line: String = text[from..].chars().take(600).collect();
            anyhow::bail!("{place} tells a secret: {line}");
        }
    }
    daemon.stop().await.context("stop the daemon")
}
