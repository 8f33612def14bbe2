//! Whether a node's labels and taints let a pod in: Kubernetes' rules once more, for DaemonSets' pods, which no scheduler chooses a node for, and for pools.

use std::collections::BTreeMap;

use serde_json::Value;

/// Labels of a node.
pub type Labels = BTreeMap<String, String>;

/// The taints that the DaemonSet controller makes its pods tolerate, with their effects.
const BORNE_BY_DAEMONS: [(&str, &str); 6] = [
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
];

/// Whether a DaemonSet whose pods have this specification has one on a node with these labels and taints.
pub fn runs_daemon(spec: &Value, labels: &Labels, taints: &[Value]) -> bool {
    let borne = |taint: &Value| BORNE_BY_DAEMONS.contains(&(text(taint, "key"), text(taint, "effect")));
    let kept_off = |taint: &&Value| !borne(taint) && text(taint, "effect") != "PreferNoSchedule" && !tolerates(spec, taint);
    selects(spec, labels) && !taints.iter().any(|taint| kept_off(&taint))
}

/// Whether a row of a selector (key, operator, values) holds for these labels.
pub fn holds(row: &Value, labels: &Labels) -> bool {
    let values: Vec<&str> = items(row, "values").iter().filter_map(Value::as_str).collect();
    let value = labels.get(text(row, "key"));
    let number = |text: &str| text.parse::<i64>().ok();
    let compared = value.and_then(|value| number(value)).zip(values.first().and_then(|bound| number(bound)));
    let compares = |holds: fn(&i64, &i64) -> bool| compared.is_some_and(|(value, bound)| holds(&value, &bound));
    match text(row, "operator") {
        "In" => value.is_some_and(|value| values.contains(&value.as_str())),
        "NotIn" => value.is_none_or(|value| !values.contains(&value.as_str())),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => compares(i64::gt),
        "Lt" => compares(i64::lt),
        "Gte" => compares(i64::ge),
        "Lte" => compares(i64::le),
        _ => false,
    }
}

/// The items of a list field; none where there is no such list.
pub fn items<'a>(object: &'a Value, field: &str) -> &'a [Value] {
    object.get(field).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// A text field; empty where there is none.
pub fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn selects(spec: &Value, labels: &Labels) -> bool {
    let selector = spec.get("nodeSelector").and_then(Value::as_object).into_iter().flatten();
    let selected = selector.into_iter().all(|(key, value)| labels.get(key).map(String::as_str) == value.as_str());
    let required = spec.pointer("/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution");
    let is_met =
        |term: &Value| !items(term, "matchExpressions").is_empty() && items(term, "matchExpressions").iter().all(|row| holds(row, labels));
    selected && required.is_none_or(|required| items(required, "nodeSelectorTerms").iter().any(is_met))
}

fn tolerates(spec: &Value, taint: &Value) -> bool {
    items(spec, "tolerations").iter().any(|toleration| {
        let (key, effect) = (text(toleration, "key"), text(toleration, "effect"));
        (key.is_empty() || key == text(taint, "key"))
            && (effect.is_empty() || effect == text(taint, "effect"))
            && (text(toleration, "operator") == "Exists" || text(toleration, "value") == text(taint, "value"))
    })
}
