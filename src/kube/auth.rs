//! Where triggers' secrets come from: the objects that a TriggerAuthentication names, and the environment of the target's container.
//!
//! A reference that leads nowhere is an error of the object that has it, never an empty value.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::{ConfigMap, Container, PodSpec, Secret as SecretObject, ServiceAccount};
use kube::Client;
use kube::api::Api;
use springtide_core::name::Key;
use springtide_core::nodes::workload::WorkloadKey;
use springtide_scalers::{AuthParams, AwsSecretName, AwsSecrets, Error, ResolvedEnv, Secret};
use tokio::sync::OnceCell;

use super::act::message;
use super::discovery;

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

/// Objects that were read, shared by all who ask within one refresh: each is read once.
pub struct Objects {
    client: Client,
    known: Mutex<BTreeMap<ObjectKey, Arc<OnceCell<Content>>>>,
}

/// Kind and name.
type ObjectKey = (&'static str, Key);

/// What is in a Secret or ConfigMap, by key; none where it is no text. Or why it is not known.
type Content = Result<Arc<BTreeMap<String, Option<String>>>, Unread>;

#[derive(Clone)]
struct Unread {
    why: String,
    unanswered: bool,
}

impl Objects {
    /// Nothing has been read yet.
    #[must_use]
    pub fn new(client: Client) -> Arc<Self> {
        Arc::new(Self { client, known: Mutex::default() })
    }

    async fn content(&self, kind: &'static str, key: &Key) -> Content {
        let cell = Arc::clone(self.known.lock().unwrap_or_else(PoisonError::into_inner).entry((kind, key.clone())).or_default());
        cell.get_or_init(|| self.fetch(kind, key)).await.clone()
    }

    async fn fetch(&self, kind: &'static str, key: &Key) -> Content {
        let failed = |error: kube::Error| {
            let refused = is_answer(&error);
            let remedy = if refused { "; let the daemon's ServiceAccount get it" } else { "" };
            Unread { why: format!("{kind} {key} cannot be read: {}{remedy}", message(&error)), unanswered: !refused }
        };
        let missing = || Unread { why: format!("{kind} {key} does not exist; create it or correct the reference"), unanswered: false };
        let content = if kind == SECRET {
            let object = Api::<SecretObject>::namespaced(self.client.clone(), &key.namespace).get_opt(&key.name).await;
            let data = object.map_err(failed)?.ok_or_else(missing)?.data.unwrap_or_default();
            data.into_iter().map(|(key, value)| (key, String::from_utf8(value.0).ok())).collect()
        } else {
            let object = Api::<ConfigMap>::namespaced(self.client.clone(), &key.namespace).get_opt(&key.name).await;
            let data = object.map_err(failed)?.ok_or_else(missing)?.data.unwrap_or_default();
            data.into_iter().map(|(key, value)| (key, Some(value))).collect()
        };
        Ok(Arc::new(content))
    }
}

/// Whether the API server has answered the question, if not as one would like: asked again at once, it would say the same.
fn is_answer(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if (400..500).contains(&status.code) && status.code != 429)
}

/// The annotation of a ServiceAccount that names its AWS role.
const ROLE: &str = "eks.amazonaws.com/role-arn";

/// The kinds by the names under which messages speak of them.
const SECRET: &str = "Secret";
const CONFIG_MAP: &str = "ConfigMap";

/// Reads for one ScaledObject.
pub struct Reader {
    objects: Arc<Objects>,
    /// Whether a question was not answered: the API server was away or could not say.
    pub unanswered: bool,
    /// Whether anything was asked that no watch tells of: then what is wrong may heal without any news.
    pub asked: bool,
}

/// The environment of a container.
#[derive(Default)]
pub struct Environment {
    /// Its variables.
    pub variables: ResolvedEnv,
    /// Variables whose value is not known, and why.
    pub missing: BTreeMap<String, String>,
}

impl Reader {
    /// One that has asked nothing yet.
    #[must_use]
    pub const fn new(objects: Arc<Objects>) -> Self {
        Self { objects, unanswered: false, asked: false }
    }

    /// The AWS role of the target's ServiceAccount, which an annotation of it names.
    pub async fn role(&mut self, target: &WorkloadKey) -> Result<String, String> {
        self.asked = true;
        let spec = pod_spec(&self.objects.client, target).await.map_err(|error| {
            self.unanswered |= !is_answer(&error);
            format!("{target} cannot be read: {}", message(&error))
        })?;
        let name = spec.and_then(|spec| spec.service_account_name).filter(|name| !name.is_empty());
        let key = Key::new(target.key.namespace.clone(), name.as_deref().unwrap_or("default"));
        let found = Api::<ServiceAccount>::namespaced(self.objects.client.clone(), &key.namespace).get_opt(&key.name).await;
        let account = found.map_err(|error| {
            self.unanswered |= !is_answer(&error);
            format!("ServiceAccount {key} cannot be read: {}; let the daemon's ServiceAccount get serviceaccounts", message(&error))
        })?;
        let account = account.ok_or_else(|| format!("ServiceAccount {key} does not exist; create it or correct the target's pods"))?;
        let role = account.metadata.annotations.and_then(|mut all| all.remove(ROLE)).filter(|role| !role.is_empty());
        role.ok_or_else(|| {
            format!("ServiceAccount {key} has no annotation {ROLE}; add it with the ARN of the role, or write roleArn and no identityOwner")
        })
    }

    /// Texts from AWS Secrets Manager. What AWS does not answer may be there all the same.
    pub async fn aws_secrets(&mut self, store: &AwsSecrets, wanted: &[AwsSecretName]) -> Result<Vec<Result<Secret, String>>, String> {
        self.asked = true;
        let mut told = |error: Error| {
            self.unanswered |= matches!(error, Error::Connect { .. } | Error::Ask { .. } | Error::Wait { .. });
            error.chain()
        };
        match store.read(wanted).await {
            Ok(texts) => Ok(texts.into_iter().map(|text| text.map_err(&mut told)).collect()),
            Err(error) => Err(told(error)),
        }
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
        for (kind, field, list) in [(CONFIG_MAP, "configMapTargetRef", maps), (SECRET, "secretTargetRef", secrets)] {
            for (i, wanted) in list.iter().enumerate() {
                match self.value(kind, namespace, &wanted.name, &wanted.key).await {
                    Ok(value) => drop(found.texts.insert(wanted.parameter.clone(), Secret::from(value))),
                    Err(problem) => problems.push(format!("{owner}: spec.{field}[{i}], parameter {}: {problem}", wanted.parameter)),
                }
            }
        }
        found
    }

    async fn value(&mut self, kind: &'static str, namespace: &str, name: &str, key: &str) -> Result<String, String> {
        match self.content(kind, namespace, name).await?.get(key) {
            Some(Some(text)) => Ok(text.clone()),
            Some(None) => Err(format!("key `{key}` of {kind} {namespace}/{name} is no UTF-8 text; write text")),
            None => Err(format!("{kind} {namespace}/{name} has no key `{key}`; add it or correct the reference")),
        }
    }

    async fn content(&mut self, kind: &'static str, namespace: &str, name: &str) -> Result<Arc<BTreeMap<String, Option<String>>>, String> {
        self.asked = true;
        let content = self.objects.content(kind, &Key::new(namespace, name)).await;
        content.map_err(|unread| {
            self.unanswered |= unread.unanswered;
            unread.why
        })
    }

    /// What the API server says of a kind; none where it does not answer.
    pub async fn kind(&mut self, api_version: &str, kind: &str, problems: &mut Vec<String>) -> Option<discovery::Kind> {
        self.asked = true;
        match discovery::ask(&self.objects.client, api_version, kind).await {
            Ok(found) => Some(found),
            Err(error) => {
                self.unanswered |= !is_answer(&error);
                problems.push(format!("spec.scaleTargetRef: whether {api_version} has {kind} cannot be asked: {}", message(&error)));
                None
            }
        }
    }

    /// The environment of the target's container: its own variables, and those it takes from Secrets and ConfigMaps. One that leads nowhere is told apart,
    /// so that whoever needs it can say why it is missing.
    pub async fn environment(&mut self, target: &WorkloadKey, container: Option<&str>, problems: &mut Vec<String>) -> Environment {
        self.asked = true;
        let spec = match pod_spec(&self.objects.client, target).await {
            Ok(Some(spec)) => spec,
            Ok(None) => return Environment::default(),
            Err(error) => {
                self.unanswered = true;
                problems.push(format!("{target} cannot be read: {}", message(&error)));
                return Environment::default();
            }
        };
        let chosen = match container {
            Some(name) => spec.containers.iter().find(|c| c.name == name),
            None => spec.containers.first(),
        };
        let Some(chosen) = chosen else {
            let field = "spec.scaleTargetRef.envSourceContainerName";
            problems.push(format!("{field}: {target} has no container `{}`; correct it", container.unwrap_or_default()));
            return Environment::default();
        };
        self.variables(chosen, &target.key.namespace).await
    }

    async fn variables(&mut self, container: &Container, namespace: &str) -> Environment {
        let mut found: BTreeMap<String, String> = BTreeMap::new();
        let mut missing = BTreeMap::new();
        for source in container.env_from.iter().flatten() {
            let prefix = source.prefix.as_deref().unwrap_or_default();
            let named = source
                .secret_ref
                .as_ref()
                .map(|r| (SECRET, &r.name))
                .or_else(|| source.config_map_ref.as_ref().map(|r| (CONFIG_MAP, &r.name)));
            if let Some((kind, name)) = named
                && let Ok(data) = self.content(kind, namespace, name).await
            {
                found.extend(data.iter().filter_map(|(key, value)| Some((format!("{prefix}{key}"), value.clone()?))));
            }
        }
        for variable in container.env.iter().flatten() {
            let source = variable.value_from.as_ref();
            let by_key = source
                .and_then(|s| s.secret_key_ref.as_ref())
                .map(|r| (SECRET, &r.name, &r.key))
                .or_else(|| source.and_then(|s| s.config_map_key_ref.as_ref()).map(|r| (CONFIG_MAP, &r.name, &r.key)));
            let value = match by_key {
                Some((kind, name, key)) => self.value(kind, namespace, name, key).await,
                None => variable.value.as_ref().map(|text| expand(text, &found)).ok_or_else(|| "it has no value".to_owned()),
            };
            match value {
                Ok(value) => drop(found.insert(variable.name.clone(), value)),
                Err(problem) => drop(missing.insert(variable.name.clone(), problem)),
            }
        }
        let variables = found.into_iter().map(|(name, value)| (name, Secret::from(value))).collect();
        Environment { variables, missing }
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
