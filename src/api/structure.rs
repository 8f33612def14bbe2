//! The shape of objects, as schemas: those of our CRDs, and of the kinds of Kubernetes that are scaled or that scale. For who checks files without a cluster.

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};
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

/// The shapes of these kinds, as far as they are known. Making one takes up to ten milliseconds, so those that nobody asks for are not made.
///
/// # Errors
/// A CRD that cannot be made, which the tests rule out.
pub fn structures(wanted: impl Fn(&str) -> bool) -> Result<Vec<Structure>, CrdError> {
    let mut all = Vec::new();
    for crd in crds()?.into_iter().filter(|crd| wanted(&crd.spec.names.kind)) {
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
    let makers: [(&str, &str, Maker); 4] = [
        ("apps/v1", "Deployment", Deployment::json_schema),
        ("apps/v1", "StatefulSet", StatefulSet::json_schema),
        ("apps/v1", "ReplicaSet", ReplicaSet::json_schema),
        ("autoscaling/v2", "HorizontalPodAutoscaler", HorizontalPodAutoscaler::json_schema),
    ];
    for (api_version, kind, make) in makers.into_iter().filter(|(_, kind, _)| wanted(kind)) {
        let mut schema = make(&mut generator).to_value();
        crate::schema::as_in_a_crd(&mut schema);
        all.push(Structure { api_version: api_version.to_owned(), kind: kind.to_owned(), schema: bare(schema) });
    }
    Ok(all)
}

type Maker = fn(&mut SchemaGenerator) -> Schema;

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
        let all = structures(|_| true).expect("they can be made");
        assert_eq!(all.len(), 11);
        for Structure { api_version, kind, schema } in all {
            let text = schema.to_string();
            assert!(!text.contains("\"$ref\""), "{api_version} {kind} refers to something");
            assert!(schema.pointer("/properties/spec").is_some(), "{api_version} {kind} has no spec: {text}");
        }
    }
}
