//! What a pod of a template would look like once admission has had its say: a dry run, which creates nothing.

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec, Volume};
use kube::Client;
use kube::api::{Api, ObjectMeta, PostParams};
use springtide_api::typed::workload::claimed;
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
    let Some((template, claimed)) = template(client, workload).await? else {
        return Ok(Probed::Refused("it has no pod template that is known".to_owned()));
    };
    // Claims that are made with the pod are written into it by its controller, after the template: they are no part of what is asked.
    let made_of = |mut template: PodTemplateSpec| {
        template.spec.get_or_insert_default().volumes.get_or_insert_default().extend(claimed);
        Probed::Pod(Box::new(template))
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
        Ok(pod) => Ok(made_of(PodTemplateSpec { metadata: Some(pod.metadata), spec: pod.spec })),
        // A quota that is full says nothing of what the pod looks like; how much room it leaves is counted elsewhere.
        Err(kube::Error::Api(status)) if status.code == 403 && status.message.contains("exceeded quota") => Ok(made_of(template)),
        Err(kube::Error::Api(status)) if (400..500).contains(&status.code) && status.code != 429 && status.code != 408 => {
            Ok(Probed::Refused(status.message.clone()))
        }
        Err(error) => Err(error),
    }
}

/// A template, and volumes for the claims that its controller makes with each pod.
async fn template(client: &Client, workload: &WorkloadKey) -> Result<Option<(PodTemplateSpec, Vec<Volume>)>, kube::Error> {
    let (namespace, name) = (&*workload.key.namespace, &*workload.key.name);
    let alone = |template| (template, Vec::new());
    Ok(match workload.kind.as_str() {
        "Deployment" => Api::<Deployment>::namespaced(client.clone(), namespace).get(name).await?.spec.map(|spec| alone(spec.template)),
        "StatefulSet" => Api::<StatefulSet>::namespaced(client.clone(), namespace).get(name).await?.spec.map(|spec| {
            let claimed = claimed(spec.volume_claim_templates.as_deref().unwrap_or_default());
            (spec.template, claimed)
        }),
        "ReplicaSet" => {
            Api::<ReplicaSet>::namespaced(client.clone(), namespace).get(name).await?.spec.and_then(|spec| spec.template).map(alone)
        }
        _ => None,
    })
}
