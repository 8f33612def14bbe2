//! Kubernetes in memory, for tests: it stores what it is told, and fails or falls silent at the step that a test names.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use k8s_openapi::api::core::v1::Node;
use springtide_core::name::Name;
use springtide_core::{Span, Timestamp};

use super::KwokPorts;
use crate::ports::{ClassReader, MachineRecord, MachineStore, NodeWriter, PortError};

/// How a step goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// An error, and nothing done.
    Refuse,
    /// An error, and yet done.
    LoseAnswer,
    /// No answer ever, and nothing done.
    HangBefore,
    /// No answer ever, and yet done.
    HangAfter,
}

impl Fault {
    pub(super) const ALL: [Self; 4] = [Self::Refuse, Self::LoseAnswer, Self::HangBefore, Self::HangAfter];
}

/// What the API server holds. Records are kept as text, as they are in Kubernetes.
#[derive(Debug, Default)]
pub(super) struct Objects {
    pub records: BTreeMap<Name, String>,
    pub nodes: BTreeMap<String, Node>,
    /// Nodes that came to be, deleted ones included.
    pub created: usize,
    pub classes: BTreeMap<Name, Span>,
    /// The steps that go wrong, and how.
    faults: BTreeMap<usize, Fault>,
    steps: usize,
}

/// One client of the objects. A test that lets a process end drops the client's faults with it.
#[derive(Clone, Default)]
pub(super) struct Memory(Arc<Mutex<Objects>>);

impl Memory {
    pub(super) fn objects(&self) -> MutexGuard<'_, Objects> {
        self.0.lock().expect("no test panics while it holds the objects")
    }

    pub(super) fn ports(&self) -> KwokPorts {
        KwokPorts { store: Arc::new(self.clone()), nodes: Arc::new(self.clone()), classes: Arc::new(self.clone()) }
    }

    /// From now on, the steps `at` (the next one is 0) go wrong, and others do not.
    pub(super) fn fail(&self, at: impl IntoIterator<Item = usize>, fault: Fault) {
        let mut objects = self.objects();
        objects.faults = at.into_iter().map(|step| (step, fault)).collect();
        objects.steps = 0;
    }

    /// How many steps were taken since.
    pub(super) fn steps(&self) -> usize {
        self.objects().steps
    }

    async fn step<T>(&self, operation: &'static str, work: impl FnOnce(&mut Objects) -> T + Send) -> Result<T, PortError> {
        let (fault, done) = {
            let mut objects = self.objects();
            let step = objects.steps;
            objects.steps += 1;
            let fault = objects.faults.get(&step).copied();
            let done = (!matches!(fault, Some(Fault::Refuse | Fault::HangBefore))).then(|| work(&mut objects));
            (fault, done)
        };
        match (fault, done) {
            (None, Some(done)) => Ok(done),
            (Some(Fault::HangBefore | Fault::HangAfter), _) => std::future::pending().await,
            _ => Err(PortError { operation, message: "the API server is away".to_owned(), retry: true }),
        }
    }
}

fn read(text: &str) -> MachineRecord {
    serde_json::from_str(text).expect("a record that was written here")
}

fn write(record: &MachineRecord) -> String {
    serde_json::to_string(record).expect("a record is plain data")
}

#[async_trait]
impl MachineStore for Memory {
    async fn put(&self, record: &MachineRecord) -> Result<MachineRecord, PortError> {
        self.step("create record", |objects| read(objects.records.entry(record.claim.clone()).or_insert_with(|| write(record)))).await
    }

    async fn set_booted(&self, claim: &Name, claim_uid: &Name, at: Timestamp) -> Result<bool, PortError> {
        self.step("patch record", |objects| {
            let Some(text) = objects.records.get_mut(claim) else { return false };
            let record = read(text);
            let same = record.claim_uid == *claim_uid;
            if same {
                *text = write(&MachineRecord { booted: Some(at), ..record });
            }
            same
        })
        .await
    }

    async fn get(&self, claim: &Name) -> Result<Option<MachineRecord>, PortError> {
        self.step("get record", |objects| objects.records.get(claim).map(|text| read(text))).await
    }

    async fn remove(&self, claim: &Name) -> Result<(), PortError> {
        self.step("delete record", |objects| drop(objects.records.remove(claim))).await
    }

    async fn all(&self) -> Result<Vec<MachineRecord>, PortError> {
        self.step("list records", |objects| objects.records.values().map(|text| read(text)).collect()).await
    }
}

#[async_trait]
impl NodeWriter for Memory {
    async fn create(&self, node: &Node) -> Result<(), PortError> {
        self.step("create Node", |objects| {
            let name = node.metadata.name.clone().expect("a node has a name");
            if !objects.nodes.contains_key(&name) {
                objects.created += 1;
                objects.nodes.insert(name, node.clone());
            }
        })
        .await
    }

    async fn delete(&self, name: &Name) -> Result<(), PortError> {
        self.step("delete Node", |objects| drop(objects.nodes.remove(name.as_str()))).await
    }
}

#[async_trait]
impl ClassReader for Memory {
    async fn registration_delay(&self, class: &Name) -> Result<Option<Span>, PortError> {
        self.step("get KWOKNodeClass", |objects| objects.classes.get(class).copied()).await
    }
}
