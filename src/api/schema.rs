//! Parts of the CRDs' schemas that do not follow from a Rust type alone: Kubernetes' own types inside of ours, patterns, and rules in CEL.
//!
//! Patterns and rules are those of the peers' CRDs, so that the same objects are accepted and refused.

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscalerBehavior;
use k8s_openapi::api::batch::v1::JobSpec;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

/// A quantity of Kubernetes.
pub(crate) const QUANTITY: &str =
    r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$";
/// The key of a label, with or without a domain.
const QUALIFIED_NAME: &str =
    r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*(\/))?([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$";
/// The value of a label.
const LABEL_VALUE: &str = r"^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$";

/// Amounts by name.
pub(crate) fn quantities(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "additionalProperties": quantity() })
}

/// A number or a text. Which types those are is written in at the end, by `crds`, as kube's derive takes types out of alternatives.
fn quantity() -> Value {
    json!({ "pattern": QUANTITY, "x-kubernetes-int-or-string": true })
}

/// Labels of a template: Karpenter keeps its own domain and two labels for itself.
pub(crate) fn template_labels(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "additionalProperties": { "type": "string", "maxLength": 63, "pattern": LABEL_VALUE },
        "maxProperties": 100,
        "x-kubernetes-map-type": "atomic",
        "x-kubernetes-validations": [
            {
                "message": "label domain \"karpenter.sh\" is restricted",
                "rule": r#"self.all(x, x in ["karpenter.sh/capacity-type", "karpenter.sh/nodepool"] || !x.find("^([^/]+)").endsWith("karpenter.sh"))"#,
            },
            { "message": "label \"karpenter.sh/nodepool\" is restricted", "rule": r#"self.all(x, x != "karpenter.sh/nodepool")"# },
            { "message": "label \"kubernetes.io/hostname\" is restricted", "rule": r#"self.all(x, x != "kubernetes.io/hostname")"# },
        ],
    })
}

/// Taints.
pub(crate) fn taints(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "x-kubernetes-list-type": "atomic",
        "items": {
            "type": "object",
            "required": ["effect", "key"],
            "properties": {
                "effect": { "type": "string", "enum": ["NoSchedule", "PreferNoSchedule", "NoExecute"] },
                "key": { "type": "string", "minLength": 1, "pattern": QUALIFIED_NAME },
                "timeAdded": { "type": "string", "format": "date-time" },
                "value": { "type": "string", "pattern": QUALIFIED_NAME },
            },
        },
    })
}

/// Requirements of a NodePool's template, which may not speak of pools.
pub(crate) fn pool_requirements(generator: &mut SchemaGenerator) -> Schema {
    requirements(generator, &[("karpenter.sh/nodepool", "label \"karpenter.sh/nodepool\" is restricted")])
}

/// Requirements of a NodeClaim, which name its pool.
pub(crate) fn claim_requirements(generator: &mut SchemaGenerator) -> Schema {
    requirements(generator, &[])
}

fn requirements(generator: &mut SchemaGenerator, banned: &[(&str, &str)]) -> Schema {
    let mut item = crate::karpenter::Requirement::json_schema(generator).to_value();
    let mut rules = vec![json!({
        "message": "label domain \"karpenter.sh\" is restricted",
        "rule": r#"self in ["karpenter.sh/capacity-type", "karpenter.sh/nodepool"] || !self.find("^([^/]+)").endsWith("karpenter.sh")"#,
    })];
    for (label, message) in banned.iter().chain(&[("kubernetes.io/hostname", "label \"kubernetes.io/hostname\" is restricted")]) {
        rules.push(json!({ "message": message, "rule": format!("self != {label:?}") }));
    }
    if let Some(key) = item.pointer_mut("/properties/key").and_then(Value::as_object_mut) {
        key.insert("maxLength".into(), 316.into());
        key.insert("pattern".into(), QUALIFIED_NAME.into());
        key.insert("x-kubernetes-validations".into(), rules.into());
    }
    if let Some(values) = item.pointer_mut("/properties/values").and_then(Value::as_object_mut) {
        values.insert("x-kubernetes-list-type".into(), "atomic".into());
    }
    if let Some(least) = item.pointer_mut("/properties/minValues").and_then(Value::as_object_mut) {
        least.remove("format");
    }
    json_schema!({
        "type": "array",
        "maxItems": 100,
        "x-kubernetes-list-type": "atomic",
        "x-kubernetes-validations": [
            {
                "message": "requirements with operator 'In' must have a value defined",
                "rule": "self.all(x, x.operator == 'In' ? x.values.size() != 0 : true)",
            },
            {
                "message": "requirements operator 'Gt', 'Lt', 'Gte', or 'Lte' must have a single positive integer value",
                "rule": "self.all(x, (x.operator == 'Gt' || x.operator == 'Lt' || x.operator == 'Gte' || x.operator == 'Lte') ? \
                         (x.values.size() == 1 && int(x.values[0]) >= 0) : true)",
            },
            {
                "message": "requirements with 'minValues' must have at least that many values specified in the 'values' field",
                "rule": "self.all(x, (x.operator == 'In' && has(x.minValues)) ? x.values.size() >= x.minValues : true)",
            },
        ],
        "items": item,
    })
}

/// Conditions of NodePools and NodeClasses, which always have a reason.
pub(crate) fn conditions(generator: &mut SchemaGenerator) -> Schema {
    let reason = json!({ "type": "string", "minLength": 1, "maxLength": 1024, "pattern": r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$" });
    conditions_with(generator, &reason, &["lastTransitionTime", "message", "reason", "status", "type"])
}

/// Conditions of NodeClaims, which Karpenter also writes without one.
pub(crate) fn claim_conditions(generator: &mut SchemaGenerator) -> Schema {
    let reason = json!({ "type": "string", "maxLength": 1024, "pattern": r"^([A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?|)$" });
    conditions_with(generator, &reason, &["lastTransitionTime", "status", "type"])
}

/// Reading a condition asks for less than the API server does, so what is required is said here.
fn conditions_with(generator: &mut SchemaGenerator, reason: &Value, required: &[&str]) -> Schema {
    let mut item = crate::conditions::Condition::json_schema(generator).to_value();
    if let Some(item) = item.as_object_mut() {
        item.insert("required".into(), required.into());
    }
    if let Some(properties) = item.pointer_mut("/properties").and_then(Value::as_object_mut) {
        properties.insert("reason".into(), reason.clone());
        if let Some(message) = properties.get_mut("message").and_then(Value::as_object_mut) {
            message.remove("default");
        }
    }
    json_schema!({ "type": "array", "items": item })
}

/// How fast replicas may be added and removed. The bounds of the window are those that KEDA adds to its CRD.
pub(crate) fn behavior(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = HorizontalPodAutoscalerBehavior::json_schema(generator).to_value();
    as_in_a_crd(&mut schema);
    for direction in ["scaleDown", "scaleUp"] {
        if let Some(window) = schema.pointer_mut(&format!("/properties/{direction}/properties/stabilizationWindowSeconds"))
            && let Some(window) = window.as_object_mut()
        {
            window.insert("minimum".into(), 0.into());
            window.insert("maximum".into(), 3600.into());
        }
    }
    from_value(schema)
}

/// A Job's specification. Written out as the API server knows it but without its manual, which is ten times longer and would make the CRD too large for
/// `kubectl apply`.
pub(crate) fn job(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = JobSpec::json_schema(generator).to_value();
    as_in_a_crd(&mut schema);
    from_value(schema)
}

fn from_value(value: Value) -> Schema {
    // An object is always a schema; anything else would be a change of k8s-openapi's, and a schema that takes everything is the safe answer to it.
    Schema::try_from(value).unwrap_or_else(|_| json_schema!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true }))
}

/// What of an object's metadata can be set in a template.
fn template_metadata() -> Value {
    let texts = json!({ "type": "object", "additionalProperties": { "type": "string" } });
    json!({
        "type": "object",
        "properties": {
            "annotations": texts,
            "finalizers": { "type": "array", "items": { "type": "string" } },
            "labels": texts,
            "name": { "type": "string" },
            "namespace": { "type": "string" },
        },
    })
}

/// Takes descriptions out, leaves of metadata what can be set in a template, and says of quantities what text they may be. Of the types that are a number or
/// a text, only ports and the shares of a rollout are no quantities.
pub(crate) fn as_in_a_crd(schema: &mut Value) {
    if schema.pointer("/properties/managedFields").is_some() {
        *schema = template_metadata();
    }
    let Some(object) = schema.as_object_mut() else { return };
    if object.get("description").is_some_and(Value::is_string) {
        object.remove("description");
    }
    for (key, child) in object.iter_mut() {
        match child {
            Value::Object(properties) if key == "properties" => {
                for (name, property) in properties.iter_mut() {
                    as_in_a_crd(property);
                    int_or_string(name, property);
                }
            }
            Value::Object(_) => {
                as_in_a_crd(child);
                int_or_string(key, child);
            }
            Value::Array(children) => children.iter_mut().for_each(as_in_a_crd),
            _ => {}
        }
    }
}

fn int_or_string(name: &str, schema: &mut Value) {
    if schema.get("x-kubernetes-int-or-string") != Some(&Value::Bool(true)) {
        return;
    }
    let mut written: Map<String, Value> = quantity().as_object().cloned().unwrap_or_default();
    if matches!(name, "port" | "maxSurge" | "maxUnavailable") {
        written.remove("pattern");
    }
    *schema = Value::Object(written);
}
