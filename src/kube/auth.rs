//! Where triggers' secrets come from: the objects that a TriggerAuthentication names, and the environment of the target's container.
//!
//! A reference that leads nowhere is an error of the object that has it, never an empty value.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::{ConfigMap, Container, PodSpec, Secret as SecretObject};
use kube::Client;
use kube::api::Api;
use springtide_core::nodes::workload::WorkloadKey;
use springtide_scalers::{AuthParams, ResolvedEnv, Secret};

use super::act::message;

/// A parameter that comes from a key of a Secret or ConfigMap.
#[derive(Debug, Clone)]
pub struct FromObject {
    /// The parameter.
    pub parameter: String,
    /// The object's name.
    pub name: String,
    /// The key in it.
    pub key: String,
}

impl FromObject {
    /// A reference.
    #[must_use]
    pub fn new(parameter: &str, name: &str, key: &str) -> Self {
        Self { parameter: parameter.to_owned(), name: name.to_owned(), key: key.to_owned() }
    }
}

/// Reads secrets, each object once.
pub struct Reader {
    client: Client,
    secrets: BTreeMap<(String, String), BTreeMap<String, String>>,
    maps: BTreeMap<(String, String), BTreeMap<String, String>>,
    /// Whether a question was not answered: the API server was away or could not say.
    pub unanswered: bool,
}

impl Reader {
    /// One that has read nothing yet.
    #[must_use]
    pub const fn new(client: Client) -> Self {
        Self { client, secrets: BTreeMap::new(), maps: BTreeMap::new(), unanswered: false }
    }

    /// Parameters from Secrets and ConfigMaps of one namespace. `owner` is who refers to them, for messages.
    pub async fn parameters(
        &mut self,
        owner: &str,
        namespace: &str,
        secrets: &[FromObject],
        maps: &[FromObject],
        problems: &mut Vec<String>,
    ) -> AuthParams {
        let mut found = AuthParams::new();
        for (kind, list) in [("ConfigMap", maps), ("Secret", secrets)] {
            for wanted in list {
                match self.value(kind, namespace, &wanted.name, &wanted.key).await {
                    Ok(value) => drop(found.insert(wanted.parameter.clone(), Secret::from(value))),
                    Err(problem) => problems.push(format!("{owner}: parameter {}: {problem}", wanted.parameter)),
                }
            }
        }
        found
    }

    async fn value(&mut self, kind: &'static str, namespace: &str, name: &str, key: &str) -> Result<String, String> {
        let data = self.data(kind, namespace, name).await?;
        data.get(key).cloned().ok_or_else(|| format!("{kind} {namespace}/{name} has no key `{key}`; add it or correct the reference"))
    }

    async fn data(&mut self, kind: &'static str, namespace: &str, name: &str) -> Result<&BTreeMap<String, String>, String> {
        let at = (namespace.to_owned(), name.to_owned());
        let missing = || format!("{kind} {namespace}/{name} does not exist; create it or correct the reference");
        let failed = |error: kube::Error| format!("{kind} {namespace}/{name} cannot be read: {}", message(&error));
        let known = if kind == "Secret" { &mut self.secrets } else { &mut self.maps };
        if !known.contains_key(&at) {
            let unanswered = &mut self.unanswered;
            let failed = |error: kube::Error| {
                *unanswered |= !matches!(&error, kube::Error::Api(status) if (400..500).contains(&status.code) && status.code != 429);
                failed(error)
            };
            let data = if kind == "Secret" {
                let object = Api::<SecretObject>::namespaced(self.client.clone(), namespace)
                    .get_opt(name)
                    .await
                    .map_err(failed)?
                    .ok_or_else(missing)?;
                let bytes = object.data.unwrap_or_default().into_iter();
                bytes.filter_map(|(key, value)| Some((key, String::from_utf8(value.0).ok()?))).collect()
            } else {
                let object = Api::<ConfigMap>::namespaced(self.client.clone(), namespace)
                    .get_opt(name)
                    .await
                    .map_err(failed)?
                    .ok_or_else(missing)?;
                object.data.unwrap_or_default()
            };
            known.insert(at.clone(), data);
        }
        known.get(&at).ok_or_else(missing)
    }

    /// The environment of the target's container: its own variables, and those it takes from Secrets and ConfigMaps. Only variables named in `wanted` are
    /// looked up; one that leads nowhere is left out, and whoever needs it says that it is missing.
    pub async fn environment(&mut self, target: &WorkloadKey, container: Option<&str>, problems: &mut Vec<String>) -> ResolvedEnv {
        let spec = match pod_spec(&self.client, target).await {
            Ok(Some(spec)) => spec,
            Ok(None) => return ResolvedEnv::new(),
            Err(error) => {
                self.unanswered = true;
                problems.push(format!("{target} cannot be read: {}", message(&error)));
                return ResolvedEnv::new();
            }
        };
        let chosen = match container {
            Some(name) => spec.containers.iter().find(|c| c.name == name),
            None => spec.containers.first(),
        };
        let Some(chosen) = chosen else {
            problems.push(format!("{target} has no container `{}`; correct envSourceContainerName", container.unwrap_or_default()));
            return ResolvedEnv::new();
        };
        self.variables(chosen, &target.key.namespace).await
    }

    async fn variables(&mut self, container: &Container, namespace: &str) -> ResolvedEnv {
        let mut found: BTreeMap<String, String> = BTreeMap::new();
        for source in container.env_from.iter().flatten() {
            let prefix = source.prefix.as_deref().unwrap_or_default();
            let named = source
                .secret_ref
                .as_ref()
                .map(|r| ("Secret", &r.name))
                .or_else(|| source.config_map_ref.as_ref().map(|r| ("ConfigMap", &r.name)));
            if let Some((kind, name)) = named
                && let Ok(data) = self.data(kind, namespace, name).await
            {
                found.extend(data.iter().map(|(key, value)| (format!("{prefix}{key}"), value.clone())));
            }
        }
        for variable in container.env.iter().flatten() {
            let source = variable.value_from.as_ref();
            let by_key = source
                .and_then(|s| s.secret_key_ref.as_ref())
                .map(|r| ("Secret", &r.name, &r.key))
                .or_else(|| source.and_then(|s| s.config_map_key_ref.as_ref()).map(|r| ("ConfigMap", &r.name, &r.key)));
            let value = match by_key {
                Some((kind, name, key)) => self.value(kind, namespace, name, key).await.ok(),
                None => variable.value.as_ref().map(|text| expand(text, &found)),
            };
            if let Some(value) = value {
                found.insert(variable.name.clone(), value);
            }
        }
        found.into_iter().map(|(name, value)| (name, Secret::from(value))).collect()
    }
}

/// Puts the values of earlier variables in the place of `$(NAME)`; `$$` stands for one `$`.
fn expand(text: &str, known: &BTreeMap<String, String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        if let Some(after) = after.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some((name, after)) = after.strip_prefix('(').and_then(|inner| inner.split_once(')')) {
            match known.get(name) {
                Some(value) => out.push_str(value),
                None => out.push_str(&format!("$({name})")),
            }
            rest = after;
        } else {
            out.push('$');
            rest = after;
        }
    }
    out.push_str(rest);
    out
}

async fn pod_spec(client: &Client, target: &WorkloadKey) -> Result<Option<PodSpec>, kube::Error> {
    let (namespace, name) = (&*target.key.namespace, &*target.key.name);
    Ok(match target.kind.as_str() {
        "Deployment" => Api::<Deployment>::namespaced(client.clone(), namespace).get_opt(name).await?.and_then(|o| o.spec?.template.spec),
        "StatefulSet" => Api::<StatefulSet>::namespaced(client.clone(), namespace).get_opt(name).await?.and_then(|o| o.spec?.template.spec),
        "ReplicaSet" => Api::<ReplicaSet>::namespaced(client.clone(), namespace).get_opt(name).await?.and_then(|o| o.spec?.template?.spec),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_expand_as_kubernetes_expands_them() {
        let known = BTreeMap::from([("USER".to_owned(), "me".to_owned())]);
        assert_eq!(expand("amqp://$(USER):$$x@h $(NONE) $", &known), "amqp://me:$x@h $(NONE) $");
    }
}
