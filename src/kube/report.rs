//! The second lane of writes: status and events. Coalesced, the last value wins, one merge patch for each object, within a budget; nothing waits for it.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use kube::runtime::events::{Event, EventType, Recorder, Reporter as Origin};
use serde_json::Value;
use springtide_core::name::Key;
use tokio::sync::mpsc;

use super::act::message;
use super::watch::Custom;

/// Reports go out at most this often: 20 a second on average.
const PACE: Duration = Duration::from_millis(50);
/// A report that failed is tried again so many times; the next change of the object brings a new one anyhow.
const TRIES: u32 = 5;

/// Something to tell.
#[derive(Debug)]
pub enum Report {
    /// The status of an object, or the part of it that has changed.
    Status {
        /// Its kind.
        kind: Custom,
        /// Its name.
        key: Key,
        /// A merge patch of the whole object.
        patch: Value,
    },
    /// The object itself: its labels and annotations.
    Object {
        /// Its kind.
        kind: Custom,
        /// Its name.
        key: Key,
        /// A merge patch.
        patch: Value,
    },
    /// An event about an object.
    Event {
        /// The object.
        about: Box<ObjectReference>,
        /// What happened.
        note: Note,
    },
}

/// What happened to an object, as `kubectl describe` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Whether a person should look at it.
    pub warning: bool,
    /// The field's own word for it.
    pub reason: &'static str,
    /// What was being done.
    pub action: &'static str,
    /// A sentence.
    pub message: String,
}

/// Starts the lane. It ends when the sender is dropped.
#[must_use]
pub fn start(client: Client, identity: &str) -> mpsc::UnboundedSender<Report> {
    let (tx, rx) = mpsc::unbounded_channel();
    let origin = Origin { controller: "springtide".to_owned(), instance: Some(identity.to_owned()) };
    let recorder = Recorder::new(client.clone(), origin);
    tokio::spawn(Lane { client, recorder, waiting: BTreeMap::new(), notes: Vec::new() }.run(rx));
    tx
}

/// Which part of an object is written: they are two resources to the API server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Object,
    Status,
}

struct Lane {
    client: Client,
    recorder: Recorder,
    waiting: BTreeMap<(Custom, Key, Part), (Value, u32)>,
    notes: Vec<(ObjectReference, Note)>,
}

impl Lane {
    async fn run(mut self, mut rx: mpsc::UnboundedReceiver<Report>) {
        let mut pace = tokio::time::interval(PACE);
        pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while let Some(report) = rx.recv().await {
            self.take(report);
            while !self.waiting.is_empty() || !self.notes.is_empty() {
                pace.tick().await;
                while let Ok(report) = rx.try_recv() {
                    self.take(report);
                }
                self.send_one().await;
            }
        }
    }

    fn take(&mut self, report: Report) {
        match report {
            Report::Status { kind, key, patch } => self.wait((kind, key, Part::Status), patch),
            Report::Object { kind, key, patch } => self.wait((kind, key, Part::Object), patch),
            Report::Event { about, note } => self.notes.push((*about, note)),
        }
    }

    fn wait(&mut self, at: (Custom, Key, Part), patch: Value) {
        let (waiting, tries) = self.waiting.entry(at).or_insert((Value::Object(serde_json::Map::new()), 0));
        merge(waiting, patch);
        *tries = 0;
    }

    async fn send_one(&mut self) {
        if let Some(((kind, key, part), (patch, tries))) = self.waiting.pop_first() {
            let resource: ApiResource = kind.resource();
            let api: Api<DynamicObject> = if key.namespace.is_empty() {
                Api::all_with(self.client.clone(), &resource)
            } else {
                Api::namespaced_with(self.client.clone(), &key.namespace, &resource)
            };
            let written = match part {
                Part::Object => api.patch(&key.name, &PatchParams::default(), &Patch::Merge(&patch)).await,
                Part::Status => api.patch_status(&key.name, &PatchParams::default(), &Patch::Merge(&patch)).await,
            };
            match written {
                Ok(_) => {}
                Err(kube::Error::Api(status)) if status.is_not_found() => {}
                Err(error) if tries < TRIES => {
                    tracing::warn!(object = %key, error = message(&error), "a report could not be written and is tried again");
                    tokio::time::sleep(PACE * 2_u32.pow(tries.min(6))).await;
                    self.waiting.entry((kind, key, part)).or_insert((patch, tries + 1));
                }
                Err(error) => tracing::error!(object = %key, error = message(&error), "a report could not be written"),
            }
            return;
        }
        if self.notes.is_empty() {
            return;
        }
        let (about, note) = self.notes.remove(0);
        let event = Event {
            type_: if note.warning { EventType::Warning } else { EventType::Normal },
            reason: note.reason.to_owned(),
            note: Some(note.message.chars().take(1000).collect()),
            action: note.action.to_owned(),
            secondary: None,
        };
        if let Err(error) = self.recorder.publish(&event, &about).await {
            tracing::warn!(reason = note.reason, error = message(&error), "an event could not be written");
        }
    }
}

/// Lays a merge patch over another.
fn merge(onto: &mut Value, patch: Value) {
    match (onto, patch) {
        (Value::Object(onto), Value::Object(patch)) => {
            for (key, value) in patch {
                merge(onto.entry(key).or_insert(Value::Null), value);
            }
        }
        (onto, patch) => *onto = patch,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_last_value_of_each_field_wins() {
        let mut patch = json!({});
        merge(&mut patch, json!({ "status": { "a": 1, "b": { "c": 2 } } }));
        merge(&mut patch, json!({ "status": { "a": 3, "b": { "d": null } } }));
        assert_eq!(patch, json!({ "status": { "a": 3, "b": { "c": 2, "d": null } } }));
    }
}
