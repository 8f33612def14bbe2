//! The objects that a world begins with, read from manifests as anybody would apply them.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Secret;
use serde::de::DeserializeOwned;
use serde_json::Value;
use springtide_api::karpenter::{KwokNodeClass, NodePool};
use springtide_api::keda::{ScaledObject, TriggerAuthentication};
use springtide_api::typed::scaled::{self, BoundTrigger};
use springtide_api::typed::{self, Unclear};
use springtide_core::Span;
use springtide_core::name::{Key, Name};
use springtide_core::nodes::cluster::Cluster;
use springtide_core::nodes::offer::ClassRef;
use springtide_core::nodes::workload::{Template, Workload, WorkloadKey};
use springtide_core::scale::policy::Policy;
use springtide_scalers::{AuthParams, ResolvedEnv};

use super::WorldError;

/// A ScaledObject as far as a world plays it.
#[derive(Debug)]
pub struct Scaled {
    /// What it scales.
    pub target: WorkloadKey,
    /// How.
    pub policy: Policy,
    /// The queue that each of its triggers asks.
    pub queues: Vec<String>,
    /// How often.
    pub interval: Span,
}

/// What manifests came to.
#[derive(Debug, Default)]
pub struct Objects {
    /// The index with its pools, workloads and templates.
    pub cluster: Cluster,
    /// What is scaled.
    pub scaled: Vec<Scaled>,
    /// How long a pod of each workload may take to stop.
    pub grace: BTreeMap<WorkloadKey, Span>,
}

/// Kubernetes' own time for a pod to stop.
const GRACE_S: i64 = 30;

/// Reads manifests.
///
/// # Errors
/// What cannot be read, or has no part in a world.
pub fn read(text: &str) -> Result<Objects, WorldError> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).map_err(|error| WorldError::Manifests { error: error.to_string() })?;
    let mut objects = Objects::default();
    let (mut scaled, mut auths, mut secrets) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
    for document in documents.into_iter().filter(|document| !document.is_null()) {
        let kind = document.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
        match kind.as_str() {
            "Deployment" => objects.add_deployment(&typed::<Deployment>(document)?)?,
            "ScaledObject" => scaled.push(typed::<ScaledObject>(document)?),
            "TriggerAuthentication" => {
                let auth = typed::<TriggerAuthentication>(document)?;
                auths.insert(typed::key(&auth.metadata), auth.spec);
            }
            "Secret" => {
                let secret = typed::<Secret>(document)?;
                secrets.insert(typed::key(&secret.metadata), secret.string_data.unwrap_or_default());
            }
            "NodePool" => {
                let pool = typed::pool::pool(&typed::<NodePool>(document)?).map_err(unclear(&kind))?;
                objects.cluster.pools.insert(pool.name.clone(), pool);
            }
            "KWOKNodeClass" => {
                let class = typed::key(&typed::<KwokNodeClass>(document)?.metadata).name;
                let class = ClassRef { group: "karpenter.kwok.sh".into(), kind: kind.into(), name: class };
                objects.cluster.classes.insert(class);
            }
            _ => return Err(WorldError::NoPart { kind }),
        }
    }
    for object in scaled {
        let parameters = |auth: &Key| -> AuthParams {
            let spec = auths.get(auth).map_or(&[][..], |spec| &spec.secret_target_ref);
            let value = |name: &str, key: &str| secrets.get(&Key::new(auth.namespace.clone(), name))?.get(key).cloned();
            spec.iter()
                .filter_map(|reference| Some((reference.parameter.clone(), value(&reference.name, &reference.key)?.into())))
                .collect()
        };
        objects.scaled.push(bind(&object, parameters)?);
    }
    Ok(objects)
}

fn typed<T: DeserializeOwned>(document: Value) -> Result<T, WorldError> {
    serde_json::from_value(document).map_err(|error| WorldError::Manifests { error: error.to_string() })
}

fn unclear(kind: &str) -> impl Fn(Unclear) -> WorldError + '_ {
    move |error| WorldError::Manifests { error: format!("{kind}: {error}") }
}

fn bind(object: &ScaledObject, parameters: impl Fn(&Key) -> AuthParams) -> Result<Scaled, WorldError> {
    let key = typed::key(&object.metadata);
    let wrong = |problems: Vec<String>| WorldError::Manifests { error: format!("ScaledObject {key}: {}", problems.join("; ")) };
    let (mut bound, mut queues) = (Vec::new(), Vec::new());
    for (i, trigger) in object.spec.triggers.iter().enumerate() {
        let auth = scaled::authentication(trigger).map(|(name, _)| Key::new(key.namespace.clone(), name));
        let found = auth.map(|auth| parameters(&auth)).unwrap_or_default();
        let typed = springtide_scalers::parse(&trigger.kind, &trigger.metadata, &found, &ResolvedEnv::new())
            .map_err(|problems| wrong(problems.iter().map(ToString::to_string).collect()))?;
        queues.push(trigger.metadata.get("queueName").cloned().unwrap_or_default());
        let metric = scaled::metric_name(i, &typed.metric_name);
        bound.push(BoundTrigger { id: i, metric, target: typed.target, activation: typed.activation });
    }
    Ok(Scaled {
        target: scaled::target(object),
        policy: scaled::policy(object, &bound).map_err(wrong)?,
        queues,
        interval: object.spec.polling_interval().max(Span::from_secs(1)),
    })
}

impl Objects {
    fn add_deployment(&mut self, object: &Deployment) -> Result<(), WorldError> {
        let (key, workload) = typed::workload::deployment(object);
        let pod = object.spec.as_ref().and_then(|spec| spec.template.spec.clone()).unwrap_or_default();
        let shape = self.cluster.shapes.intern(typed::pod::shape(&pod).map_err(unclear("Deployment"))?);
        let limits = typed::pod::limits(&pod).map_err(unclear("Deployment"))?;
        let template: Name = format!("template-of-{}", key.key).into();
        self.cluster.templates.insert(template.clone(), Template::Pod { shape, limits });
        self.grace.insert(key.clone(), Span::from_secs(pod.termination_grace_period_seconds.unwrap_or(GRACE_S)));
        // What an API server would have filled in.
        let workload = Workload { uid: format!("uid-{}", key.key).into(), version: 1, template, ..workload };
        self.cluster.apply_workload(key, workload);
        Ok(())
    }
}
