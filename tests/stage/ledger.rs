//! What was written, by the API server's own log: the daemon's word is not taken for it.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use springtide_testbed::Plane;
use tokio::time::Instant;

/// The user that a stage's daemon is.
pub const DAEMON: &str = "system:serviceaccount:springtide:springtide";

/// One answered request that changed something. Dry runs change nothing, and are left out.
#[derive(Debug, Clone)]
pub struct Write {
    /// By whom.
    pub user: String,
    /// create, update, patch or delete.
    pub verb: String,
    /// The plural name, with the subresource after a slash.
    pub resource: String,
    /// The object's name; empty where the server makes it up.
    pub name: String,
    /// The HTTP status of the answer.
    pub status: u64,
}

impl Write {
    /// Whether it is about a Lease.
    pub fn is_of_lease(&self) -> bool {
        self.resource == "leases"
    }
}

/// All writes of these users so far, in order.
pub fn writes_of(plane: &Plane, users: &[&str]) -> Result<Vec<Write>> {
    let log = plane.audit_log();
    let text = std::fs::read_to_string(&log).with_context(|| format!("read {}", log.display()))?;
    // The last line may be half written.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let mut writes = Vec::new();
    for line in whole.lines() {
        let event: Value = serde_json::from_str(line).context("a line of the audit log is no event")?;
        let text = |path: &str| event.pointer(path).and_then(Value::as_str).unwrap_or_default();
        if !users.contains(&text("/user/username")) || text("/requestURI").contains("dryRun=All") {
            continue;
        }
        let resource = [text("/objectRef/resource"), text("/objectRef/subresource")];
        writes.push(Write {
            user: text("/user/username").to_owned(),
            verb: text("/verb").to_owned(),
            resource: resource.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/"),
            name: text("/objectRef/name").to_owned(),
            status: event.pointer("/responseStatus/code").and_then(Value::as_u64).unwrap_or(0),
        });
    }
    Ok(writes)
}

/// Waits until a user has, from now on, renewed its Lease so many times in a row without another write.
pub async fn until_still(plane: &Plane, user: &str, renewals: usize, within: Duration) -> Result<()> {
    let deadline = Instant::now() + within;
    let before = writes_of(plane, &[user])?.len();
    // A file offers nothing to watch.
    let mut every = tokio::time::interval(Duration::from_millis(200));
    loop {
        every.tick().await;
        let writes = writes_of(plane, &[user])?;
        if writes.iter().skip(before).rev().take_while(|write| write.is_of_lease()).count() >= renewals {
            return Ok(());
        }
        if Instant::now() > deadline {
            let last: Vec<_> = writes.iter().rev().filter(|write| !write.is_of_lease()).take(10).collect();
            bail!(
                "waited {within:?} for {user} to write nothing but its Lease {renewals} times in a row; the last other writes: {last:#?}"
            );
        }
    }
}
