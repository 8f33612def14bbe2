//! The manifests of KEDA's manual and of the guides that our users follow, where `SPRINGTIDE_PEER_DATA` names their folder.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::check;

/// What is said of KEDA's manifests beside that a trigger's scaler is not here yet. Each was read and is true: KEDA's own CRDs refuse them too, unless it says otherwise here. What is not
/// in this table is accepted.
const REFUSED: &[(&str, &[&str])] = &[
    // An identity without its provider.
    ("authentication-providers__aws.3.0.yaml", &["spec.podIdentity.provider: it is missing"]),
    // Placeholders in braces, which are maps.
    (
        "authentication-providers__hashicorp-vault.1.1.yaml",
        &[
            "metadata.name: this is a map",
            "spec.scaleTargetRef.name: this is a map",
            "spec.triggers[0].metadata.threshold: is missing",
            "spec.triggers[0].metadata.serverAddress: the given text is no URL",
            "spec.triggers[0].authenticationRef.name: this is a map",
        ],
    ),
    (
        "reference__scaledjob-spec.0.0.yaml",
        &[
            "metadata.name: this is a map",
            "metadata.labels.my-label: this is a map",
            "metadata.annotations[autoscaling.keda.sh/paused]: this is true or false",
            "metadata.annotations.my-annotation: this is a map",
            "spec.triggers: it is empty",
            "spec.jobTargetRef.template: it is empty",
            "spec.envSourceContainerName: this is a map",
        ],
    ),
    // KEDA 1, from the page on leaving it.
    (
        "migration.2.0.yaml",
        &[
            "apiVersion: ScaledObject of keda.k8s.io/v1alpha1 is no longer served",
            "metadata.name: this is a map",
            "spec.triggers: it is empty",
            "spec.scaleType: there is no such field any more",
            "spec.jobTargetRef: a ScaledObject has none",
        ],
    ),
    // Hosts in angle brackets, which KEDA finds out when it asks.
    ("scalers__prometheus.1.0.yaml", &["spec.triggers[0].metadata.serverAddress: the given text is no URL"]),
    ("scalers__prometheus.4.1.yaml", &["spec.triggers[0].metadata.serverAddress: the given text is no URL"]),
    // What is not built yet.
    ("scalers__metrics-api.1.0.yaml", &["spec.triggers[0].metadata.aggregateFromKubeServiceEndpoints: asks each pod"]),
    // Numbers and booleans where texts must be.
    ("scalers__external-push.1.0.yaml", &["spec.triggers[0].metadata.unsafeSsl: this is true or false"]),
    ("scalers__mssql.3.1.yaml", &["spec.triggers[0].metadata.targetValue: this is a number"]),
    ("scalers__postgresql.3.1.yaml", &["spec.triggers[0].metadata.targetQueryValue: this is a number"]),
    ("scalers__pulsar.1.0.yaml", &["spec.triggers[0].metadata.isPartitionedTopic: this is true or false"]),
];

/// Keys that KEDA's manual writes and its scaler does not read.
const NOTICED: &[(&str, &str)] = &[("scalers__rabbitmq-queue.7.1.yaml", "spec.triggers[0].metadata.vHostName: is no parameter")];

fn data() -> Option<PathBuf> {
    let data = std::env::var_os("SPRINGTIDE_PEER_DATA").map(PathBuf::from);
    if data.is_none() {
        println!("SPRINGTIDE_PEER_DATA is not set; the peers' manifests were not checked");
    }
    data
}

fn files(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("the folder");
    let mut names: Vec<String> = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// The type of a trigger that a line says is not served.
fn unserved_type(line: &str) -> Option<&str> {
    let found = line.split_once("no scaler found for type: \"").or_else(|| line.split_once("].type: type \""));
    found.and_then(|(_, kind)| kind.split('"').next())
}

/// Types of triggers that are served here.
fn served() -> BTreeSet<&'static str> {
    springtide_scalers::KINDS.iter().map(|kind| kind.name).collect()
}

#[test]
fn kedas_manual_is_accepted_or_refused_for_a_true_reason() {
    let Some(folder) = data().map(|data| data.join("keda/manifests")) else { return };
    let refused: BTreeMap<&str, &[&str]> = REFUSED.iter().copied().collect();
    let mut wrong = Vec::new();
    let names = files(&folder);
    assert!(names.len() > 100, "only {} manifests", names.len());
    for name in &names {
        let said = check(&folder, &[name]);
        let expected = refused.get(name.as_str()).copied().unwrap_or_default();
        let text = std::fs::read_to_string(folder.join(name)).expect("readable");
        let mut of_types = 0;
        let mut left: Vec<&str> = expected.to_vec();
        for line in said.lines() {
            if let Some(kind) = unserved_type(line) {
                of_types += 1;
                if served().contains(kind) || !text.contains(kind) {
                    wrong.push(format!("{line}: the type is {kind}, which is served or not written"));
                }
            } else if let Some(at) = left.iter().position(|expected| line.contains(&format!(": {expected}"))) {
                left.remove(at);
            } else if !NOTICED.iter().any(|(file, what)| file == name && line.starts_with("notice: ") && line.contains(what)) {
                wrong.push(format!("{line}: is this true? If it is, it belongs in the table"));
            }
        }
        wrong.extend(left.iter().map(|expected| format!("{name}: it is not said that {expected}")));
        let code = if of_types + expected.len() > 0 { 1 } else { 0 };
        if said.code != Some(code) {
            wrong.push(format!("{name}: code {:?} and not {code}: {}", said.code, said.errors));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The guides are accepted as they are, but for triggers whose scaler is not here yet; who serves the nodes is told.
#[test]
fn guides_are_accepted() {
    let Some(folder) = data().map(|data| data.join("guides")) else { return };
    for name in files(&folder) {
        let said = check(&folder, &[&name]);
        for line in said.lines() {
            let of_type = unserved_type(line).is_some_and(|kind| !served().contains(kind));
            let of_policy = line.starts_with("notice: ") && line.contains("underutilized ones are not consolidated yet");
            let of_class =
                line.starts_with("notice: ") && line.contains("nodeClassRef: ") && line.contains("left to the controller that serves it");
            assert!(of_type || of_class || of_policy, "{line}");
        }
    }
}
