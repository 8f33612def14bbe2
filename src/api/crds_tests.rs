//! That the CRDs on disk are fresh, that the API server can take them, and, where a folder with the peers' CRDs is named, that they are the peers'.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::Value;

use super::*;

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../config/crd"))
}

/// `UPDATE=1` writes; otherwise what is on disk must be what would be written.
#[test]
fn files_are_fresh() {
    let files = rendered().expect("renders");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(folder()).expect("folder");
        for (name, text) in &files {
            std::fs::write(folder().join(name), text).expect("written");
        }
    }
    for (name, text) in &files {
        let present = std::fs::read_to_string(folder().join(name)).unwrap_or_default();
        assert!(present == *text, "config/crd/{name} is stale; run UPDATE=1 cargo test -p springtide-api files_are_fresh");
    }
    let known: BTreeSet<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    for entry in std::fs::read_dir(folder()).expect("folder") {
        let name = entry.expect("entry").file_name();
        assert!(known.contains(name.to_string_lossy().as_ref()), "config/crd/{} is made by nothing", name.to_string_lossy());
    }
}

#[test]
fn text_reads_as_what_was_written() {
    for ((name, text), crd) in rendered().expect("renders").into_iter().zip(crds().expect("made")) {
        let read: CustomResourceDefinition = serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(read, crd, "{name}");
        assert!(serde_json::to_string(&crd).expect("writes").len() < 262_144, "{name} is too large for kubectl apply");
    }
}

/// The rules of structural schemas, as far as types could break them.
#[test]
fn schemas_are_structural() {
    fn walk(path: &str, schema: &Value, nested: bool, problems: &mut Vec<String>) {
        let Some(object) = schema.as_object() else {
            problems.push(format!("{path}: not a schema"));
            return;
        };
        let has = |key: &str| object.contains_key(key);
        if nested {
            for key in ["description", "type", "default", "additionalProperties", "nullable"] {
                if has(key) && !(object.len() == 1 && key == "type") {
                    problems.push(format!("{path}: {key} inside of anyOf"));
                }
            }
        } else if !has("type") && !has("x-kubernetes-int-or-string") && !has("x-kubernetes-preserve-unknown-fields") {
            problems.push(format!("{path}: no type"));
        }
        if has("properties") && has("additionalProperties") {
            problems.push(format!("{path}: properties beside additionalProperties"));
        }
        for key in ["$ref", "definitions", "const", "uniqueItems", "oneOf", "allOf", "not", "$defs"] {
            if has(key) {
                problems.push(format!("{path}: {key}"));
            }
        }
        if let Some(format) = object.get("format").and_then(Value::as_str)
            && !["int32", "int64", "date-time", "double", "byte"].contains(&format)
        {
            problems.push(format!("{path}: format {format}"));
        }
        for (name, child) in object.get("properties").and_then(Value::as_object).into_iter().flatten() {
            walk(&format!("{path}.{name}"), child, false, problems);
        }
        for key in ["items", "additionalProperties"] {
            if let Some(child) = object.get(key) {
                walk(&format!("{path}.{key}"), child, false, problems);
            }
        }
        for child in object.get("anyOf").and_then(Value::as_array).into_iter().flatten() {
            walk(&format!("{path}.anyOf"), child, true, problems);
        }
    }
    let mut problems = Vec::new();
    for crd in crds().expect("made") {
        let value = serde_json::to_value(&crd).expect("writes");
        let schema = value.pointer("/spec/versions/0/schema/openAPIV3Schema").expect("schema");
        walk(&crd.spec.names.kind, schema, false, &mut problems);
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// Where ours say more or less than the peers', and why: what the path contains, what it ends with.
const DELIBERATE: &[(&str, &str)] = &[
    // The peer puts these on the list, where they say nothing; on the items they would refuse values that it accepts.
    (".requirements.", ".properties.values.maxLength"),
    (".requirements.", ".properties.values.pattern"),
    // k8s-openapi does not know how lists merge under server-side apply: they are replaced as a whole, as the peer's mostly are too.
    (".jobTargetRef.", ".x-kubernetes-list-type"),
    (".jobTargetRef.", ".x-kubernetes-list-map-keys"),
    (".jobTargetRef.", ".x-kubernetes-map-type"),
    (".behavior.", ".policies.x-kubernetes-list-type"),
    // Kubernetes fills its own defaults in when a Job is created, and refuses references without a name.
    (".jobTargetRef.", ".default"),
    (".jobTargetRef.", ".required"),
    // Fields of a Kubernetes newer than the one that our types know.
    (".jobTargetRef.", ".userAnnotations"),
    (".jobTargetRef.", ".workloadRef"),
    // KEDA adds these bounds when it is released.
    (".behavior.", ".stabilizationWindowSeconds.minimum"),
    (".behavior.", ".stabilizationWindowSeconds.maximum"),
    // A ScaledJob without a specification is nothing that anybody could run.
    ("ScaledJob.", ".openAPIV3Schema.required"),
];

/// Runs where `SPRINGTIDE_PEER_DATA` names a folder with the peers' CRDs in `keda/crds` and `karpenter/crds`.
#[test]
fn crds_are_the_peers() {
    let Some(data) = std::env::var_os("SPRINGTIDE_PEER_DATA").map(PathBuf::from) else {
        println!("SPRINGTIDE_PEER_DATA is not set; the peers' CRDs were not compared");
        return;
    };
    let mut differences = Vec::new();
    for ((file, _), crd) in rendered().expect("renders").into_iter().zip(crds().expect("made")) {
        let path = [data.join("keda/crds").join(&file), data.join("karpenter/crds").join(&file)].into_iter().find(|path| path.exists());
        let text = std::fs::read_to_string(path.unwrap_or_else(|| panic!("{file} is not there"))).expect("readable");
        let theirs: Value = serde_saphyr::from_str(&text).expect("YAML");
        let mut ours = serde_json::to_value(&crd).expect("writes");
        whole_numbers(&mut ours);
        compare(&crd.spec.names.kind, &ours["spec"], &theirs["spec"], &mut differences);
    }
    let deliberate = |path: &str| DELIBERATE.iter().any(|(part, end)| path.contains(part) && path.ends_with(end));
    differences.retain(|line: &String| !line.split(": ").next().is_some_and(deliberate));
    assert!(differences.is_empty(), "{} differences\n{}", differences.len(), differences.join("\n"));
}

fn compare(path: &str, ours: &Value, theirs: &Value, out: &mut Vec<String>) {
    match (ours, theirs) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for key in keys {
                // What a field means is said in our own words.
                let described = |map: &serde_json::Map<String, Value>| map.get(key).is_some_and(Value::is_string);
                if key == "description" && (described(a) || described(b)) {
                    continue;
                }
                let at = format!("{path}.{key}");
                match (a.get(key), b.get(key)) {
                    (Some(x), Some(y)) => compare(&at, x, y, out),
                    (Some(x), None) => out.push(format!("{at}: only ours: {x}")),
                    (None, Some(y)) => out.push(format!("{at}: only theirs: {y}")),
                    (None, None) => {}
                }
            }
        }
        (Value::Array(a), Value::Array(b)) => {
            // `required` and `enum` are sets.
            let sorted = |list: &[Value]| {
                let mut texts: Vec<String> = list.iter().map(Value::to_string).collect();
                texts.sort();
                texts
            };
            let is_set = path.ends_with(".required") || path.ends_with(".enum");
            if is_set && sorted(a) != sorted(b) || !is_set && a.len() != b.len() {
                out.push(format!("{path}: ours {ours}, theirs {theirs}"));
            } else if !is_set {
                for (at, (x, y)) in a.iter().zip(b).enumerate() {
                    compare(&format!("{path}[{at}]"), x, y, out);
                }
            }
        }
        _ if ours == theirs => {}
        _ => out.push(format!("{path}: ours {ours}, theirs {theirs}")),
    }
}
