//! The CustomResourceDefinitions of all kinds, made from their types, and their text in `config/crd/`.
//!
//! kube's derive gives the skeleton; what it does not know of the API server's rules, or spells otherwise than the peers, is put right here.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::Value;

use crate::karpenter::{KwokNodeClass, NodeClaim, NodePool};
use crate::keda::{ClusterTriggerAuthentication, ScaledJob, ScaledObject, TriggerAuthentication};

/// A CRD could not be written down.
#[derive(Debug, thiserror::Error)]
pub enum CrdError {
    /// The derived definition does not survive the finishing touches.
    #[error("finishing the CRD {name} failed")]
    Finish {
        /// Its name.
        name: String,
        /// Why.
        source: serde_json::Error,
    },
    /// It cannot be written as YAML.
    #[error("writing the CRD {name} as YAML failed")]
    Render {
        /// Its name.
        name: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// The definitions of all kinds, sorted by name.
///
/// # Errors
/// A definition that cannot be finished, which the tests rule out for the types as they are.
pub fn crds() -> Result<Vec<CustomResourceDefinition>, CrdError> {
    let mut all = vec![
        ScaledObject::crd(),
        ScaledJob::crd(),
        TriggerAuthentication::crd(),
        ClusterTriggerAuthentication::crd(),
        NodePool::crd(),
        NodeClaim::crd(),
        KwokNodeClass::crd(),
    ];
    all.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
    all.into_iter().map(finished).collect()
}

/// File name and text of each definition: `keda.sh_scaledobjects.yaml` and so on.
///
/// # Errors
/// A definition that cannot be finished or written, which the tests rule out for the types as they are.
pub fn rendered() -> Result<Vec<(String, String)>, CrdError> {
    let head = "# Made from the types in src/api by `cargo xtask gen`. Do not edit.\n";
    crds()?
        .into_iter()
        .map(|crd| {
            let name = || crd.metadata.name.clone().unwrap_or_default();
            let mut value = serde_json::to_value(&crd).map_err(|source| CrdError::Finish { name: name(), source })?;
            whole_numbers(&mut value);
            let text = serde_saphyr::to_string(&value).map_err(|source| CrdError::Render { name: name(), source: Box::new(source) })?;
            Ok((format!("{}_{}.yaml", crd.spec.group, crd.spec.names.plural), format!("{head}{text}")))
        })
        .collect()
}

fn finished(mut crd: CustomResourceDefinition) -> Result<CustomResourceDefinition, CrdError> {
    crd.spec.names.list_kind = Some(format!("{}List", crd.spec.names.kind));
    let name = crd.metadata.name.clone().unwrap_or_default();
    let again = |source| CrdError::Finish { name: name.clone(), source };
    let mut value = serde_json::to_value(&crd).map_err(again)?;
    if let Some(versions) = value.pointer_mut("/spec/versions").and_then(Value::as_array_mut) {
        for version in versions {
            if let Some(schema) = version.pointer_mut("/schema/openAPIV3Schema") {
                finish_root(schema);
                finish(schema);
            }
        }
    }
    serde_json::from_value(value).map_err(again)
}

/// The API server knows these three fields of every object, and has no use for a title.
fn finish_root(schema: &mut Value) {
    if let Some(root) = schema.as_object_mut() {
        root.remove("title");
    }
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        for (name, kind) in [("apiVersion", "string"), ("kind", "string"), ("metadata", "object")] {
            properties.insert(name.to_owned(), serde_json::json!({ "type": kind }));
        }
    }
}

/// Takes out what the peers' CRDs do not have, and spells a number or a text as they do. Without `nullable`, the API server prunes nulls and fills in defaults,
/// which is how objects of the peers were admitted.
fn finish(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            if object.get("nullable").is_some_and(Value::is_boolean) {
                object.remove("nullable");
            }
            if let Some(words) = object.get_mut("enum").and_then(Value::as_array_mut) {
                words.retain(|word| !word.is_null());
            }
            if object.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true)) {
                object.insert("anyOf".to_owned(), serde_json::json!([{ "type": "integer" }, { "type": "string" }]));
            }
            object.values_mut().for_each(finish);
        }
        Value::Array(items) => items.iter_mut().for_each(finish),
        _ => {}
    }
}

/// Bounds are floating point numbers in a definition, and whole ones wherever we have any.
fn whole_numbers(value: &mut Value) {
    match value {
        Value::Number(number) => {
            let text = number.to_string();
            if let Some(whole) = text.strip_suffix(".0").and_then(|text| text.parse::<i64>().ok()) {
                *value = whole.into();
            }
        }
        Value::Object(object) => object.values_mut().for_each(whole_numbers),
        Value::Array(items) => items.iter_mut().for_each(whole_numbers),
        _ => {}
    }
}

#[cfg(test)]
#[path = "crds_tests.rs"]
mod tests;
