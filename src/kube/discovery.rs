//! What the API server says of a kind: whether there is such a kind, and whether its objects have replicas that can be set, by a `/scale` subresource.

use kube::Client;

/// The answer for one kind of one API version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The API version is not served.
    NotServed,
    /// The API version is served and has no such kind.
    Unknown,
    /// Its objects have no `/scale` subresource.
    WithoutScale,
    /// Its objects have one.
    WithScale,
}

/// Asks for a kind, as a manifest names it: `apps/v1`, `Deployment`.
///
/// # Errors
/// The API server did not answer the question.
pub async fn ask(client: &Client, api_version: &str, kind: &str) -> Result<Kind, kube::Error> {
    // The version becomes a part of the address: what can be no version is not asked for.
    let is_version = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte));
    let listed = match api_version.split_once('/') {
        Some((group, version)) if is_version(group) && is_version(version) => client.list_api_group_resources(api_version).await,
        None if is_version(api_version) => client.list_core_api_resources(api_version).await,
        _ => return Ok(Kind::NotServed),
    };
    let resources = match listed {
        Ok(list) => list.resources,
        Err(kube::Error::Api(status)) if status.is_not_found() => return Ok(Kind::NotServed),
        Err(error) => return Err(error),
    };
    let Some(found) = resources.iter().find(|one| one.kind == kind && !one.name.contains('/')) else { return Ok(Kind::Unknown) };
    let scale = format!("{}/scale", found.name);
    Ok(if resources.iter().any(|one| one.name == scale) { Kind::WithScale } else { Kind::WithoutScale })
}
