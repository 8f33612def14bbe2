//! From Kubernetes' objects to the decider's types: typed at the door, once. No client, no clock.

pub mod budget;
pub mod buffer;
pub mod claim;
pub mod constraints;
pub mod node;
pub mod pod;
pub mod pool;
pub mod scaled;
pub mod storage;
pub mod workload;

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use serde::de::DeserializeOwned;
use serde_json::Value;
use springtide_core::Timestamp;
use springtide_core::name::{Key, Name};
use springtide_core::nodes::requirement::Labels;
use springtide_core::nodes::resources::Resources;

use crate::quantity;

/// What cannot be understood in an object: the field, what is wrong, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {what}")]
pub struct Unclear {
    /// The field's path.
    pub field: String,
    /// What is wrong, and what to write instead where that is known.
    pub what: String,
}

impl Unclear {
    /// A field and what is wrong with it.
    pub fn new(field: impl Into<String>, what: impl Into<String>) -> Self {
        Self { field: field.into(), what: what.into() }
    }
}

/// An object as the type of its kind. What its status says is left out where only the status cannot be read: it is written anew anyhow.
///
/// # Errors
/// The first field that cannot be read, and why.
pub fn read<T: DeserializeOwned>(object: Value) -> Result<T, Unclear> {
    let wrong = match serde_path_to_error::deserialize(&object) {
        Ok(read) => return Ok(read),
        Err(wrong) => wrong,
    };
    let mut bare = object;
    let without_status = bare.as_object_mut().and_then(|fields| fields.remove("status")).and_then(|_| serde_json::from_value(bare).ok());
    let remedy = "correct it as the field's description in the CRD says";
    without_status.ok_or_else(|| Unclear::new(wrong.path().to_string(), format!("{}; {remedy}", wrong.inner())))
}

/// The part of an object below this pointer, where it can be read.
fn salvaged<T: DeserializeOwned + Default>(object: &Value, pointer: &str) -> T {
    object.pointer(pointer).and_then(|part| T::deserialize(part).ok()).unwrap_or_default()
}

/// The name of an object.
#[must_use]
pub fn key(meta: &ObjectMeta) -> Key {
    Key::new(meta.namespace.as_deref().unwrap_or_default(), meta.name.as_deref().unwrap_or_default())
}

/// The UID of an object, empty where it has none.
#[must_use]
pub fn uid(meta: &ObjectMeta) -> Name {
    meta.uid.as_deref().unwrap_or_default().into()
}

/// The resource version as a number; versions of one kind can be compared. 0 where there is none.
#[must_use]
pub fn version(meta: &ObjectMeta) -> u64 {
    meta.resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or(0)
}

/// When the object was created.
#[must_use]
pub fn created(meta: &ObjectMeta) -> Timestamp {
    meta.creation_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, |Time(at)| *at)
}

/// Labels or annotations.
#[must_use]
pub fn labels(map: Option<&BTreeMap<String, String>>) -> Labels {
    map.into_iter().flatten().map(|(key, value)| (Name::from(key), Name::from(value))).collect()
}

/// Amounts by name. CPU in millicores, all else in whole units; fractions round up, as Kubernetes rounds them.
///
/// # Errors
/// A quantity that cannot be read, with its field.
pub fn resources(map: Option<&BTreeMap<String, Quantity>>, field: &str) -> Result<Resources, Unclear> {
    let mut sum = Resources::default();
    for (name, amount) in amounts(map, field)? {
        sum.set(&name, amount);
    }
    Ok(sum)
}

/// Amounts by name, in the same units, whatever the names mean.
///
/// # Errors
/// A quantity that cannot be read, with its field.
pub fn amounts(map: Option<&BTreeMap<String, Quantity>>, field: &str) -> Result<BTreeMap<Name, i64>, Unclear> {
    map.into_iter()
        .flatten()
        .map(|(name, Quantity(text))| {
            let is_cpu = name == "cpu" || name.ends_with(".cpu");
            let amount = if is_cpu { quantity::milli(text) } else { quantity::whole(text) };
            amount.map(|amount| (Name::from(name), amount)).map_err(|error| Unclear::new(format!("{field}.{name}"), error.to_string()))
        })
        .collect()
}
