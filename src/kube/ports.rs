//! What clouds need of Kubernetes, through their small ports.

use async_trait::async_trait;
use k8s_openapi::api::core::v1::{ConfigMap, Node};
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, ObjectMeta, PostParams};
use kube::{Client, ResourceExt};
use springtide_clouds::ports::{ClassReader, MachineRecord, MachineStore, NodeWriter, PortError};
use springtide_core::name::Name;
use springtide_core::{Span, Timestamp};

use super::act::message;
use super::watch::Custom;

/// Label of the ConfigMaps in which the kwok cloud keeps its machines.
const MACHINE: &str = "springtide.dev/kwok-machine";
const FIELD: &str = "machine.json";

/// The API server, as clouds see it.
#[derive(Clone)]
pub struct KubePorts {
    client: Client,
    namespace: String,
}

impl KubePorts {
    /// With its own objects in this namespace.
    #[must_use]
    pub fn new(client: Client, namespace: &str) -> Self {
        Self { client, namespace: namespace.to_owned() }
    }

    fn maps(&self) -> Api<ConfigMap> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }
}

fn failed(operation: &'static str) -> impl Fn(kube::Error) -> PortError {
    move |error| {
        let retry = !matches!(&error, kube::Error::Api(status) if (400..500).contains(&status.code) && status.code != 429);
        PortError { operation, message: message(&error), retry }
    }
}

fn map_name(claim: &str) -> String {
    format!("kwok-machine-{claim}")
}

fn record(map: &ConfigMap) -> Result<MachineRecord, PortError> {
    let text = map.data.as_ref().and_then(|data| data.get(FIELD)).map_or("", String::as_str);
    serde_json::from_str(text).map_err(|error| PortError {
        operation: "read a machine's record",
        message: format!("ConfigMap {}: {error}; delete it if it is not a machine's", map.name_any()),
        retry: false,
    })
}

fn text(record: &MachineRecord) -> Result<String, PortError> {
    serde_json::to_string(record).map_err(|error| PortError {
        operation: "write a machine's record",
        message: error.to_string(),
        retry: false,
    })
}

#[async_trait]
impl MachineStore for KubePorts {
    async fn put(&self, new: &MachineRecord) -> Result<MachineRecord, PortError> {
        let name = map_name(&new.claim);
        let map = ConfigMap {
            metadata: ObjectMeta {
                name: Some(name.clone()),
                labels: Some([(MACHINE.to_owned(), "true".to_owned())].into()),
                ..ObjectMeta::default()
            },
            data: Some([(FIELD.to_owned(), text(new)?)].into()),
            ..ConfigMap::default()
        };
        match self.maps().create(&PostParams::default(), &map).await {
            Ok(map) => record(&map),
            Err(kube::Error::Api(status)) if status.is_already_exists() => {
                let known = self.maps().get(&name).await.map_err(failed("read a machine's record"))?;
                record(&known)
            }
            Err(error) => Err(failed("write a machine's record")(error)),
        }
    }

    async fn set_booted(&self, claim: &Name, claim_uid: &Name, at: Timestamp) -> Result<bool, PortError> {
        let Some(mut map) = self.maps().get_opt(&map_name(claim)).await.map_err(failed("read a machine's record"))? else {
            return Ok(false);
        };
        let mut known = record(&map)?;
        if known.claim_uid != *claim_uid {
            return Ok(false);
        }
        known.booted = Some(at);
        map.data = Some([(FIELD.to_owned(), text(&known)?)].into());
        // The resource version goes with it: a record that was removed or replaced in the meantime is not brought back.
        match self.maps().replace(&map_name(claim), &PostParams::default(), &map).await {
            Ok(_) => Ok(true),
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(false),
            Err(error) => Err(failed("write a machine's record")(error)),
        }
    }

    async fn get(&self, claim: &Name) -> Result<Option<MachineRecord>, PortError> {
        let map = self.maps().get_opt(&map_name(claim)).await.map_err(failed("read a machine's record"))?;
        map.as_ref().map(record).transpose()
    }

    async fn remove(&self, claim: &Name) -> Result<(), PortError> {
        match self.maps().delete(&map_name(claim), &DeleteParams::default()).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
            Err(error) => Err(failed("remove a machine's record")(error)),
        }
    }

    async fn all(&self) -> Result<Vec<MachineRecord>, PortError> {
        let maps =
            self.maps().list(&ListParams::default().labels(&format!("{MACHINE}=true"))).await.map_err(failed("list machines' records"))?;
        maps.items.iter().map(record).collect()
    }
}

#[async_trait]
impl NodeWriter for KubePorts {
    async fn create(&self, node: &Node) -> Result<(), PortError> {
        match Api::<Node>::all(self.client.clone()).create(&PostParams::default(), node).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
            Err(error) => Err(failed("create a node")(error)),
        }
    }

    async fn delete(&self, name: &Name) -> Result<(), PortError> {
        match Api::<Node>::all(self.client.clone()).delete(name, &DeleteParams::default()).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
            Err(error) => Err(failed("delete a node")(error)),
        }
    }
}

#[async_trait]
impl ClassReader for KubePorts {
    async fn registration_delay(&self, class: &Name) -> Result<Option<Span>, PortError> {
        let api = Api::<DynamicObject>::all_with(self.client.clone(), &Custom::KwokNodeClass.resource());
        let Some(object) = api.get_opt(class).await.map_err(failed("read a KWOKNodeClass"))? else { return Ok(None) };
        let text = object.data.pointer("/spec/nodeRegistrationDelay").and_then(|value| value.as_str()).unwrap_or("0s");
        let delay = springtide_api::duration::parse(text).map_err(|error| PortError {
            operation: "read a KWOKNodeClass",
            message: format!("{class}: spec.nodeRegistrationDelay: {error}; write a duration such as 30s"),
            retry: false,
        })?;
        Ok(Some(delay.max(Span::ZERO)))
    }
}
