//! The shape of objects, as schemas: those of our CRDs, and of the kinds of Kubernetes that are scaled or that scale. For who checks files without a cluster.

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::Value;

use crate::crds::{CrdError, crds};

/// One kind and its shape.
#[derive(Debug, Clone)]
pub struct Structure {
    /// `group/version`, or the version alone.
    pub api_version: String,
    /// The kind.
    pub kind: String,
    /// An OpenAPI v3 schema without references. Metadata is not in it, nor what is in the status.
    pub schema: Value,
}

/// The shapes of all kinds whose shape is known.
///
/// # Errors
/// A CRD that cannot be made, which the tests rule out.
pub fn structures() -> Result<Vec<Structure>, CrdError> {
    let mut all = Vec::new();
    for crd in crds()? {
        for version in &crd.spec.versions {
            let schema = version.schema.as_ref().and_then(|schema| schema.open_api_v3_schema.as_ref());
            let schema = serde_json::to_value(schema)
                .map_err(|source| CrdError::Finish { name: crd.metadata.name.clone().unwrap_or_default(), source })?;
            all.push(Structure {
                api_version: format!("{}/{}", crd.spec.group, version.name),
                kind: crd.spec.names.kind.clone(),
                schema: bare(schema),
            });
        }
    }
    let mut generator = SchemaSettings::openapi3().with(|settings| settings.inline_subschemas = true).into_generator();
    all.extend([
        of_kubernetes::<Deployment>("apps/v1", "Deployment", &mut generator),
        of_kubernetes::<StatefulSet>("apps/v1", "StatefulSet", &mut generator),
        of_kubernetes::<ReplicaSet>("apps/v1", "ReplicaSet", &mut generator),
        of_kubernetes::<HorizontalPodAutoscaler>("autoscaling/v2", "HorizontalPodAutoscaler", &mut generator),
    ]);
    Ok(all)
}

fn of_kubernetes<T: JsonSchema>(api_version: &str, kind: &str, generator: &mut SchemaGenerator) -> Structure {
    let mut schema = T::json_schema(generator).to_value();
    crate::schema::as_in_a_crd(&mut schema);
    Structure { api_version: api_version.to_owned(), kind: kind.to_owned(), schema: bare(schema) }
}

/// Without what is the same for all kinds, and without what only a controller writes.
fn bare(mut schema: Value) -> Value {
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        for name in ["apiVersion", "kind", "metadata", "status"] {
            properties.remove(name);
        }
    }
    if let Some(required) = schema.get_mut("required").and_then(Value::as_array_mut) {
        required.retain(|name| !matches!(name.as_str(), Some("apiVersion" | "kind" | "metadata" | "status")));
    }
    schema
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_complete_and_refer_to_nothing() {
        let all = structures().expect("they can be made");
        assert_eq!(all.len(), 11);
        for Structure { api_version, kind, schema } in all {
            let text = schema.to_string();
            assert!(!text.contains("\"$ref\""), "{api_version} {kind} refers to something");
            assert!(schema.pointer("/properties/spec").is_some(), "{api_version} {kind} has no spec: {text}");
        }
    }
}
