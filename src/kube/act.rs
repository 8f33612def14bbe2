//! Carries out what was decided: one match, one call for each arm, each of them idempotent. Chooses nothing.
//!
//! Every answer comes back as facts, so that the next turn knows of it before any watch tells.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{Node, Pod, Taint};
use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams, PostParams, Preconditions,
};
use kube::core::Status;
use kube::{Client, ResourceExt};
use serde_json::json;
use springtide_api::labels;
use springtide_clouds::{Cloud, CreateError, Ending, Order};
use springtide_core::name::{Key, Name};
use springtide_core::nodes::claim::{Claim, Machine};
use springtide_core::nodes::offer::OfferingKey;
use springtide_core::nodes::workload::WorkloadKey;
use springtide_core::plan::Action;
use springtide_core::units::Replicas;

use super::claims;
use super::probe::{self, Probed};
use super::watch::{Change, Custom, Seen};

/// Longer than this no call is waited for; what it did is then unknown, and is asked for again by the same name. A call that is begun at the end of a leadership
/// is over before another may lead: leadership ends at 0.7 of a Lease's 15 s.
const PATIENCE: Duration = Duration::from_secs(4);

/// What is known after an action.
#[derive(Debug)]
pub enum Fact {
    /// An object as the API server answered with it.
    Seen(Seen),
    /// The replicas of a target as they are now.
    Scaled {
        /// The target.
        workload: WorkloadKey,
        /// Its resource version.
        version: u64,
        /// Its replicas.
        replicas: Replicas,
    },
    /// A cloud has sold a machine.
    Bought {
        /// For this claim.
        claim: Name,
        /// The machine.
        machine: Box<Machine>,
    },
    /// A cloud is out of stock.
    OutOfStock {
        /// Of these.
        refused: Vec<OfferingKey>,
    },
    /// What a pod of a template looks like.
    Template {
        /// Whose.
        workload: WorkloadKey,
        /// The template's hash.
        hash: Name,
        /// The answer.
        probed: Probed,
    },
    /// The machine of a claim is no more.
    Ended {
        /// The claim.
        claim: Name,
    },
    /// The pods of a node were listed, past any watch.
    Inspected {
        /// The node.
        node: Name,
        /// Its pods, all of them.
        pods: Vec<Pod>,
        /// When.
        at: Timestamp,
    },
}

/// Why an action did not come to its end. It is tried again, later each time.
#[derive(Debug, thiserror::Error)]
pub enum ActError {
    /// The API server refused or could not be reached.
    #[error("{operation}: {message}")]
    Kube {
        /// What was being done.
        operation: &'static str,
        /// The answer.
        message: String,
        /// The HTTP status, or 0 where there was no answer.
        code: u16,
    },
    /// The cloud could not do it.
    #[error("{operation}: {message}")]
    Cloud {
        /// What was being done.
        operation: &'static str,
        /// The answer.
        message: String,
    },
    /// No answer within the time for it.
    #[error("no answer within {} s", PATIENCE.as_secs())]
    NoAnswer,
}

/// Whoever carries out actions.
#[derive(Clone)]
pub struct Actor {
    client: Client,
    clouds: Arc<[Arc<dyn Cloud>]>,
}

impl Actor {
    /// With this client and these clouds.
    #[must_use]
    pub fn new(client: Client, clouds: Arc<[Arc<dyn Cloud>]>) -> Self {
        Self { client, clouds }
    }

    /// Carries out one action. `claim` is the claim that it concerns, as the index knows it.
    ///
    /// # Errors
    /// Whatever kept it from coming to its end; nothing is half known: a later try does the rest.
    pub async fn act(&self, action: Action, claim: Option<Claim>) -> Result<Vec<Fact>, ActError> {
        tokio::time::timeout(PATIENCE, self.dispatch(action, claim)).await.unwrap_or(Err(ActError::NoAnswer))
    }

    async fn dispatch(&self, action: Action, claim: Option<Claim>) -> Result<Vec<Fact>, ActError> {
        match action {
            Action::Scale { workload, version, to, .. } => self.scale(workload, version, to).await,
            Action::RemoveAutoscaler { autoscaler } => self.remove_autoscaler(&autoscaler).await,
            Action::ReleaseScaled { object } => self.release_scaled(&object).await,
            Action::Probe { workload, template } => {
                let probed = probe::ask(&self.client, &workload).await.map_err(kube_error("ask what a pod looks like"))?;
                Ok(vec![Fact::Template { workload, hash: template, probed }])
            }
            Action::CreateClaim { name, spec } => self.create_claim(&name, &spec).await,
            Action::Launch { claim: name, uid, offerings } => self.launch(name, uid, offerings, claim).await,
            Action::RecordLaunch { claim: name, machine, .. } => {
                self.patch_claim(&name, &claims::launched(&machine, Timestamp::now()), Some(&claims::labels_of(&machine))).await
            }
            Action::Register { claim: name, node } => self.register(&name, &node, claim).await,
            Action::RecordRegistration { claim: name, node } => {
                self.patch_claim(&name, &claims::registered(&node, Timestamp::now()), None).await
            }
            Action::Initialize { node, .. } => {
                let patch = json!({ "metadata": { "labels": { labels::NODE_INITIALIZED: "true" } } });
                self.patch_node(&node, "mark a node as initialized", &patch).await
            }
            Action::RecordInitialization { claim: name } => self.patch_claim(&name, &claims::initialized(Timestamp::now()), None).await,
            Action::Cordon { node, .. } => self.taint(&node, true).await,
            Action::Uncordon { node } => self.taint(&node, false).await,
            Action::Inspect { node } => self.inspect(node).await,
            Action::DeleteClaim { claim: name, uid, .. } => self.delete_claim(&name, &uid).await,
            Action::Evict { pod, uid } => self.evict(&pod, &uid).await,
            Action::Terminate { claim: name, provider_id } => self.terminate(name, provider_id, claim).await,
            Action::RemoveNode { node } => self.remove_node(&node).await,
            Action::ReleaseClaim { claim: name, .. } => self.release_claim(&name).await,
        }
    }

    async fn scale(&self, workload: WorkloadKey, version: u64, to: Replicas) -> Result<Vec<Fact>, ActError> {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("apps", "v1", &workload.kind));
        let api = Api::<DynamicObject>::namespaced_with(self.client.clone(), &workload.key.namespace, &resource);
        let patch = json!({ "metadata": { "resourceVersion": version.to_string() }, "spec": { "replicas": to.0 } });
        let scale = match api.patch_scale(&workload.key.name, &PatchParams::default(), &Patch::Merge(patch)).await {
            // It has changed since: what it is now goes into the next turn.
            Err(kube::Error::Api(status)) if status.code == 409 => api.get_scale(&workload.key.name).await,
            answer => answer,
        }
        .map_err(kube_error("write the replicas"))?;
        let replicas = scale.spec.and_then(|spec| spec.replicas).and_then(|n| u32::try_from(n).ok()).unwrap_or(0);
        let version = scale.metadata.resource_version.and_then(|version| version.parse().ok()).unwrap_or(0);
        Ok(vec![Fact::Scaled { workload, version, replicas: Replicas(replicas) }])
    }

    async fn remove_autoscaler(&self, key: &Key) -> Result<Vec<Fact>, ActError> {
        let api = Api::<HorizontalPodAutoscaler>::namespaced(self.client.clone(), &key.namespace);
        match api.delete(&key.name, &DeleteParams::default()).await {
            Ok(_) => Ok(Vec::new()),
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(Vec::new()),
            Err(error) => Err(kube_error("delete a HorizontalPodAutoscaler")(error)),
        }
    }

    async fn release_scaled(&self, key: &Key) -> Result<Vec<Fact>, ActError> {
        let api = Api::<DynamicObject>::namespaced_with(self.client.clone(), &key.namespace, &Custom::ScaledObject.resource());
        let Some(object) = api.get_opt(&key.name).await.map_err(kube_error("read a ScaledObject"))? else { return Ok(Vec::new()) };
        let rest: Vec<String> = object.finalizers().iter().filter(|f| *f != labels::KEDA_FINALIZER).cloned().collect();
        let patch = json!({ "metadata": { "resourceVersion": object.resource_version(), "finalizers": rest } });
        match api.patch(&key.name, &PatchParams::default(), &Patch::Merge(patch)).await {
            Ok(_) => Ok(Vec::new()),
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(Vec::new()),
            Err(error) => Err(kube_error("release a ScaledObject")(error)),
        }
    }

    async fn create_claim(&self, name: &Name, spec: &springtide_core::nodes::claim::ClaimSpec) -> Result<Vec<Fact>, ActError> {
        let api = self.claims();
        let pool = Api::<DynamicObject>::all_with(self.client.clone(), &Custom::NodePool.resource());
        let owner = pool.get_opt(&spec.pool).await.map_err(kube_error("read the NodePool of a claim"))?;
        let object = claims::new_object(name, spec, owner.as_ref());
        let created = match api.create(&PostParams::default(), &object).await {
            Err(kube::Error::Api(status)) if status.is_already_exists() => api.get(name).await,
            answer => answer,
        };
        created.map(claim_seen).map_err(kube_error("create a NodeClaim"))
    }

    async fn launch(&self, name: Name, uid: Name, offerings: Vec<OfferingKey>, claim: Option<Claim>) -> Result<Vec<Fact>, ActError> {
        let Some(claim) = claim else { return Ok(Vec::new()) };
        let cloud = self.cloud(&claim)?;
        let order = Order {
            claim: name.clone(),
            uid,
            class: claim.spec.class.clone(),
            offerings,
            labels: claim.spec.labels.clone(),
            taints: claim.spec.taints.clone(),
            startup_taints: claim.spec.startup_taints.clone(),
        };
        match cloud.create(&order).await {
            Ok(machine) => Ok(vec![Fact::Bought { claim: name, machine: Box::new(machine) }]),
            Err(CreateError::OutOfStock { refused }) => Ok(vec![Fact::OutOfStock { refused }]),
            Err(error) => Err(cloud_error("buy a machine")(error)),
        }
    }

    async fn register(&self, name: &Name, node: &Name, claim: Option<Claim>) -> Result<Vec<Fact>, ActError> {
        let Some(claim) = claim else { return Ok(Vec::new()) };
        let api = Api::<Node>::all(self.client.clone());
        let object = api.get(node).await.map_err(kube_error("read a node"))?;
        let patch = claims::registration(name, &claim, &object);
        self.patch_node(node, "register a node", &patch).await
    }

    async fn taint(&self, node: &Name, on: bool) -> Result<Vec<Fact>, ActError> {
        let api = Api::<Node>::all(self.client.clone());
        let Some(object) = api.get_opt(node).await.map_err(kube_error("read a node"))? else { return Ok(Vec::new()) };
        let mut taints = object.spec.as_ref().and_then(|spec| spec.taints.clone()).unwrap_or_default();
        taints.retain(|taint| taint.key != labels::DISRUPTED_TAINT);
        if on {
            taints.push(Taint { key: labels::DISRUPTED_TAINT.to_owned(), effect: "NoSchedule".to_owned(), ..Taint::default() });
        }
        let patch = json!({ "metadata": { "resourceVersion": object.resource_version() }, "spec": { "taints": taints } });
        self.patch_node(node, "change the taints of a node", &patch).await
    }

    async fn inspect(&self, node: Name) -> Result<Vec<Fact>, ActError> {
        let api = Api::<Pod>::all(self.client.clone());
        let at = Timestamp::now();
        let pods = api
            .list(&ListParams::default().fields(&format!("spec.nodeName={node}")))
            .await
            .map_err(kube_error("list the pods of a node"))?;
        Ok(vec![Fact::Inspected { node, pods: pods.items, at }])
    }

    async fn delete_claim(&self, name: &Name, uid: &Name) -> Result<Vec<Fact>, ActError> {
        let api = self.claims();
        let same = Preconditions { uid: Some(uid.to_string()), resource_version: None };
        match api.delete(name, &DeleteParams { preconditions: Some(same), ..DeleteParams::default() }).await {
            Ok(answer) => Ok(answer.left().map(claim_seen).unwrap_or_default()),
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(gone(name)),
            Err(error) => Err(kube_error("delete a NodeClaim")(error)),
        }
    }

    async fn evict(&self, pod: &Key, uid: &Name) -> Result<Vec<Fact>, ActError> {
        let api = Api::<Pod>::namespaced(self.client.clone(), &pod.namespace);
        let same = Preconditions { uid: Some(uid.to_string()), resource_version: None };
        let params = kube::api::EvictParams {
            delete_options: Some(DeleteParams { preconditions: Some(same), ..DeleteParams::default() }),
            ..Default::default()
        };
        match api.evict(&pod.name, &params).await {
            Ok(_) => Ok(Vec::new()),
            Err(kube::Error::Api(status)) if status.is_not_found() || status.code == 409 => Ok(Vec::new()),
            Err(error) => Err(kube_error("evict a pod")(error)),
        }
    }

    async fn terminate(&self, name: Name, provider_id: Option<Name>, claim: Option<Claim>) -> Result<Vec<Fact>, ActError> {
        let Some(claim) = claim else { return Ok(Vec::new()) };
        match self.cloud(&claim)?.delete(&name, provider_id.as_ref()).await {
            Ok(Ending::Gone) => Ok(vec![Fact::Ended { claim: name }]),
            Ok(Ending::Going) => {
                Err(ActError::Cloud { operation: "end a machine", message: "the machine is still shutting down".to_owned() })
            }
            Err(error) => Err(cloud_error("end a machine")(error)),
        }
    }

    async fn remove_node(&self, node: &Name) -> Result<Vec<Fact>, ActError> {
        let api = Api::<Node>::all(self.client.clone());
        match api.delete(node, &DeleteParams::default()).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.is_not_found() => {}
            Err(error) => return Err(kube_error("delete a node")(error)),
        }
        let Some(object) = api.get_opt(node).await.map_err(kube_error("read a node"))? else {
            return Ok(vec![Fact::Seen(Seen::Node(Change::Deleted(Box::new(named(node)))))]);
        };
        let rest: Vec<String> = object.finalizers().iter().filter(|f| *f != labels::TERMINATION_FINALIZER).cloned().collect();
        let last = rest.is_empty();
        let patch = json!({ "metadata": { "resourceVersion": object.resource_version(), "finalizers": rest } });
        let facts = self.patch_node(node, "release a node", &patch).await?;
        Ok(if last { vec![Fact::Seen(Seen::Node(Change::Deleted(Box::new(object))))] } else { facts })
    }

    async fn release_claim(&self, name: &Name) -> Result<Vec<Fact>, ActError> {
        let api = self.claims();
        let Some(object) = api.get_opt(name).await.map_err(kube_error("read a NodeClaim"))? else { return Ok(gone(name)) };
        let rest: Vec<String> = object.finalizers().iter().filter(|f| *f != labels::TERMINATION_FINALIZER).cloned().collect();
        let last = rest.is_empty();
        let patch = json!({ "metadata": { "resourceVersion": object.resource_version(), "finalizers": rest } });
        match api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await {
            Ok(_) if last => Ok(vec![Fact::Seen(Seen::Custom(Custom::NodeClaim, Change::Deleted(Box::new(object))))]),
            Ok(object) => Ok(claim_seen(object)),
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(gone(name)),
            Err(error) => Err(kube_error("release a NodeClaim")(error)),
        }
    }

    async fn patch_claim(
        &self,
        name: &Name,
        status: &serde_json::Value,
        labels: Option<&serde_json::Value>,
    ) -> Result<Vec<Fact>, ActError> {
        let api = self.claims();
        let fail = kube_error("write the status of a NodeClaim");
        if let Some(labels) = labels {
            let patch = json!({ "metadata": { "labels": labels } });
            match api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await {
                Ok(_) => {}
                Err(kube::Error::Api(status)) if status.is_not_found() => return Ok(gone(name)),
                Err(error) => return Err(kube_error("label a NodeClaim")(error)),
            }
        }
        let Some(present) = api.get_opt(name).await.map_err(kube_error("read a NodeClaim"))? else { return Ok(gone(name)) };
        let patch = claims::with_conditions(&present, status);
        api.patch_status(name, &PatchParams::default(), &Patch::Merge(patch)).await.map(claim_seen).map_err(fail)
    }

    async fn patch_node(&self, node: &Name, operation: &'static str, patch: &serde_json::Value) -> Result<Vec<Fact>, ActError> {
        let api = Api::<Node>::all(self.client.clone());
        match api.patch(node, &PatchParams::default(), &Patch::Merge(patch)).await {
            Ok(object) => Ok(vec![Fact::Seen(Seen::Node(Change::Applied(Box::new(object))))]),
            Err(kube::Error::Api(status)) if status.is_not_found() => {
                Ok(vec![Fact::Seen(Seen::Node(Change::Deleted(Box::new(named(node)))))])
            }
            Err(error) => Err(kube_error(operation)(error)),
        }
    }

    fn claims(&self) -> Api<DynamicObject> {
        Api::all_with(self.client.clone(), &Custom::NodeClaim.resource())
    }

    fn cloud(&self, claim: &Claim) -> Result<&Arc<dyn Cloud>, ActError> {
        let class = &claim.spec.class;
        let serves = |cloud: &&Arc<dyn Cloud>| {
            let (group, kind) = cloud.kind();
            class.group == group && class.kind == kind
        };
        self.clouds
            .iter()
            .find(serves)
            .ok_or_else(|| ActError::Cloud { operation: "find the cloud", message: format!("no cloud serves {class}") })
    }
}

fn claim_seen(object: DynamicObject) -> Vec<Fact> {
    vec![Fact::Seen(Seen::Custom(Custom::NodeClaim, Change::Applied(Box::new(object))))]
}

fn gone(name: &Name) -> Vec<Fact> {
    let object = DynamicObject::new(name, &Custom::NodeClaim.resource());
    vec![Fact::Seen(Seen::Custom(Custom::NodeClaim, Change::Deleted(Box::new(object))))]
}

fn named(node: &Name) -> Node {
    let mut object = Node::default();
    object.metadata.name = Some(node.to_string());
    object
}

fn kube_error(operation: &'static str) -> impl Fn(kube::Error) -> ActError {
    move |error| {
        let code = if let kube::Error::Api(status) = &error { status.code } else { 0 };
        ActError::Kube { operation, message: message(&error), code }
    }
}

fn cloud_error<E: std::fmt::Display>(operation: &'static str) -> impl Fn(E) -> ActError {
    move |error| ActError::Cloud { operation, message: error.to_string() }
}

/// What the API server said, or what the library says where it said nothing.
#[must_use]
pub fn message(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => {
            let Status { message, reason, .. } = &**status;
            if message.is_empty() { reason.clone() } else { message.clone() }
        }
        other => other.to_string(),
    }
}
