//! What a pod of a template would look like once admission has had its say: a dry run, which creates nothing.

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};
use kube::Client;
use kube::api::{Api, ObjectMeta, PostParams};
use springtide_core::nodes::workload::WorkloadKey;

/// The answer.
#[derive(Debug)]
pub enum Probed {
    /// It would look like this: its labels and its specification.
    Pod(Box<PodTemplateSpec>),
    /// It would be refused, with this message.
    Refused(String),
}

/// Asks for the present template of a workload.
///
/// # Errors
/// The API server did not answer the question.
pub async fn ask(client: &Client, workload: &WorkloadKey) -> Result<Probed, kube::Error> {
    let Some(template) = template(client, workload).await? else {
        return Ok(Probed::Refused("it has no pod template that is known".to_owned()));
    };
    let meta = template.metadata.clone().unwrap_or_default();
    let pod = Pod {
        metadata: ObjectMeta {
            generate_name: Some(format!("{}-", workload.key.name)),
            labels: meta.labels,
            annotations: meta.annotations,
            ..ObjectMeta::default()
        },
        spec: template.spec.clone(),
        status: None,
    };
    let api = Api::<Pod>::namespaced(client.clone(), &workload.key.namespace);
    match api.create(&PostParams { dry_run: true, field_manager: None }, &pod).await {
        Ok(pod) => Ok(Probed::Pod(Box::new(PodTemplateSpec { metadata: Some(pod.metadata), spec: pod.spec }))),
        // A quota that is full says nothing of what the pod looks like; how much room it leaves is counted elsewhere.
        Err(kube::Error::Api(status)) if status.code == 403 && status.message.contains("exceeded quota") => {
            Ok(Probed::Pod(Box::new(template)))
        }
        Err(kube::Error::Api(status)) if (400..500).contains(&status.code) && status.code != 429 && status.code != 408 => {
            Ok(Probed::Refused(status.message.clone()))
        }
        Err(error) => Err(error),
    }
}

async fn template(client: &Client, workload: &WorkloadKey) -> Result<Option<PodTemplateSpec>, kube::Error> {
    let (namespace, name) = (&*workload.key.namespace, &*workload.key.name);
    Ok(match workload.kind.as_str() {
        "Deployment" => Api::<Deployment>::namespaced(client.clone(), namespace).get(name).await?.spec.map(|spec| spec.template),
        "StatefulSet" => Api::<StatefulSet>::namespaced(client.clone(), namespace).get(name).await?.spec.map(|spec| spec.template),
        "ReplicaSet" => Api::<ReplicaSet>::namespaced(client.clone(), namespace).get(name).await?.spec.and_then(|spec| spec.template),
        _ => None,
    })
}
