//! What the API server's audit log says: every write, by whom, and how it was answered.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

/// One answered write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// `system:serviceaccount:NAMESPACE:NAME` for a daemon, `testbed-admin` for a test's own writes.
    pub user: String,
    /// create, update, patch, delete or deletecollection.
    pub verb: String,
    /// The plural name, with the subresource after a slash: `deployments/scale`.
    pub resource: String,
    /// Empty for objects outside namespaces.
    pub namespace: String,
    /// Empty where the server makes up the name.
    pub name: String,
    /// The HTTP status of the answer.
    pub status: u16,
}

/// The number of writes of each user.
pub fn writes_per_user(writes: &[Write]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for write in writes {
        *counts.entry(write.user.as_str()).or_default() += 1;
    }
    counts
}

pub(crate) fn read(log: &Path) -> Result<Vec<Write>> {
    let text = fs::read_to_string(log).with_context(|| format!("cannot read {}", log.display()))?;
    // The last line may be half written.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(|line| parse(line).with_context(|| format!("{} holds a line that is no event: {line}", log.display()))).collect()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    verb: String,
    user: User,
    #[serde(default)]
    object_ref: ObjectRef,
    #[serde(default)]
    response_status: ResponseStatus,
}

#[derive(Deserialize)]
struct User {
    username: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ObjectRef {
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ResponseStatus {
    code: u16,
}

fn parse(line: &str) -> Result<Write> {
    let Event { verb, user, object_ref, response_status } = serde_json::from_str(line)?;
    let ObjectRef { resource, subresource, namespace, name } = object_ref;
    let resource = if subresource.is_empty() { resource } else { format!("{resource}/{subresource}") };
    Ok(Write { user: user.username, verb, resource, namespace, name, status: response_status.code })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_becomes_a_write() {
        let line = r#"{"kind":"Event","verb":"patch","user":{"username":"system:serviceaccount:a:b","groups":[]},
            "objectRef":{"resource":"deployments","namespace":"n","name":"w","subresource":"scale"},"responseStatus":{"code":409}}"#;
        let write = parse(line).unwrap();
        assert_eq!((write.resource.as_str(), write.status), ("deployments/scale", 409));
        assert_eq!(writes_per_user(&[write])["system:serviceaccount:a:b"], 1);
    }
}
