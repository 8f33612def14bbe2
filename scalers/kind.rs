//! A kind of scaler, and how a trigger of that kind is made from its texts. Targets, activation values and names are read here, once for
//! all kinds: a kind only declares what its target is called.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};
use springtide_core::name::Key;
use springtide_core::units::MetricMilli;

use crate::broker::{Endpoint, Known, Query};
use crate::field::Amount;
use crate::name::normalise;
use crate::parameter::{Age, AuthParams, Fields, IDENTITY, Parameter, Problem, REST, ResolvedEnv, Source};

/// One kind of scaler: a row of `KINDS`.
#[derive(Debug, Serialize)]
pub struct Kind {
    /// The trigger's `type`.
    pub name: &'static str,
    /// What it measures, in a sentence.
    pub summary: &'static str,
    /// What it can be told, other than target and activation value: its own parameters, and those that it shares with other kinds.
    #[serde(serialize_with = "in_one_list")]
    pub parameters: &'static [&'static [Parameter]],
    /// What its target may be called.
    pub targets: &'static [TargetKey],
    /// The target of a trigger that gives none; without it, one must be given.
    pub default_target: Option<MetricMilli>,
    /// What its activation value is called.
    pub activation: Option<Parameter>,
    /// Metadata that works.
    pub example: &'static [(&'static str, &'static str)],
    /// What a TriggerAuthentication gives in the example of the reference, in place of metadata of that name; empty where the kind has no
    /// secrets.
    pub example_auth: &'static [(&'static str, &'static str)],
    /// Metadata that goes with it, in place of what has the same name.
    pub example_more: &'static [(&'static str, &'static str)],
    #[serde(skip)]
    pub(crate) read: fn(&mut Fields<'_>) -> Option<Parsed>,
}

/// Groups of parameters as the one list that they are to people.
fn in_one_list<S: Serializer>(groups: &&'static [&'static [Parameter]], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(groups.iter().copied().flatten())
}

/// One name of a target.
#[derive(Debug, Serialize)]
pub struct TargetKey {
    /// The parameter itself.
    pub parameter: Parameter,
    /// A key that is given exactly when this one is.
    pub companion: Option<&'static str>,
}

/// What a scaler makes of a trigger.
pub(crate) struct Parsed {
    pub connection: Endpoint,
    pub query: Query,
    /// The metric's name, before it is normalised.
    pub metric_name: String,
    /// The target, where which one counts depends on more than on what is given.
    pub target: Option<MetricMilli>,
}

impl Parsed {
    pub(crate) fn new<B: Known>(broker: B, query: B::Query, metric_name: String) -> Self {
        Self { connection: Endpoint::new(broker), query: Query::new(query), metric_name, target: None }
    }

    pub(crate) fn with_target(self, target: MetricMilli) -> Self {
        Self { target: Some(target), ..self }
    }
}

/// A trigger, typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trigger {
    /// Its kind's name.
    pub kind: &'static str,
    /// What its metric is compared with.
    pub target: MetricMilli,
    /// Above what its metric means that there is work to start for.
    pub activation: MetricMilli,
    /// Its metric's name, without the trigger's index.
    pub metric_name: String,
    /// What works and should be changed: deprecated keys.
    pub notices: Vec<Problem>,
    pub(crate) connection: Endpoint,
    pub(crate) query: Query,
}

impl Trigger {
    /// The broker that it asks. Triggers with equal endpoints share a connection.
    #[must_use]
    pub const fn connection(&self) -> &Endpoint {
        &self.connection
    }

    /// What it asks. Triggers with equal endpoints and queries are asked once.
    #[must_use]
    pub const fn query(&self) -> &Query {
        &self.query
    }
}

/// The parameter that most kinds have for their activation value.
pub(crate) const fn activation(name: &'static str) -> Parameter {
    Parameter {
        name,
        value: "a number",
        allowed: &[],
        required: false,
        default: Some("0"),
        sources: &[Source::Metadata],
        secret: false,
        age: Age::Current,
        doc: "Work is there when the metric is greater than this.",
    }
}

/// A name for a target; `age` and `companion` are added to it where they apply.
pub(crate) const fn target(name: &'static str, doc: &'static str) -> Parameter {
    Parameter {
        name,
        value: "a number",
        allowed: &[],
        required: false,
        default: None,
        sources: &[Source::Metadata],
        secret: false,
        age: Age::Current,
        doc,
    }
}

impl Kind {
    /// Everything that it can be told.
    pub fn all_parameters(&self) -> impl Iterator<Item = &Parameter> {
        self.parameters.iter().copied().flatten().chain(self.targets.iter().map(|target| &target.parameter)).chain(&self.activation)
    }

    /// The metadata keys that this kind does not know; KEDA passes over them, and they are often misspelt.
    #[must_use]
    pub fn unknown(&self, metadata: &BTreeMap<String, String>) -> Vec<Problem> {
        let knows = |key: &str, source| {
            self.all_parameters()
                .any(|parameter| (parameter.name == key || parameter.name == REST.name) && parameter.sources.contains(&source))
        };
        metadata
            .keys()
            .filter(|key| !knows(key, Source::Metadata) && !key.strip_suffix("FromEnv").is_some_and(|key| knows(key, Source::Environment)))
            .map(|key| Problem {
                field: key.clone(),
                what: format!("is no parameter that {} reads from a trigger's metadata", self.name),
                remedy: "remove it or correct its name".to_owned(),
            })
            .collect()
    }

    /// Makes a trigger of texts.
    pub(crate) fn parse(
        &'static self,
        owner: &Key,
        metric_type: Option<&str>,
        metadata: &BTreeMap<String, String>,
        auth: &AuthParams,
        env: &ResolvedEnv,
    ) -> Result<Trigger, Vec<Problem>> {
        let mut fields = Fields::new(owner, metadata, auth, env);
        fields.metric_type = metric_type;
        let parsed = (self.read)(&mut fields);
        let target = self.target(&mut fields);
        let activation = match &self.activation {
            Some(parameter) => fields.take::<Amount>(parameter).map(|Amount(value)| value),
            None => Some(MetricMilli::ZERO),
        };
        if let (Some(identity), false) = (&auth.identity, fields.asked_identity) {
            let what = format!("provider {} is not read by {} in this version", identity.provider(), self.name);
            fields.problem(IDENTITY, what, "give a TriggerAuthentication without it, and credentials by secretTargetRef");
        }
        let Fields { problems, notices, .. } = fields;
        match (parsed, target, activation) {
            (Some(Parsed { connection, query, metric_name, target: own }), Some(target), Some(activation)) if problems.is_empty() => {
                let target = own.unwrap_or(target);
                Ok(Trigger { kind: self.name, target, activation, metric_name: normalise(&metric_name), notices, connection, query })
            }
            _ => Err(problems),
        }
    }

    /// The target, by the rules of the declaration. 0 asks for nothing and counts as not given.
    fn target(&self, fields: &mut Fields<'_>) -> Option<MetricMilli> {
        let before = fields.problems.len();
        let mut given: Vec<(&TargetKey, MetricMilli)> = Vec::new();
        for key in self.targets {
            if let Some(Some(Amount(value))) = fields.take::<Option<Amount>>(&key.parameter)
                && value != MetricMilli::ZERO
            {
                given.push((key, value));
            }
        }
        // A key whose text is wrong is not also said to be missing.
        if fields.problems.len() == before {
            self.companions(&given, fields);
        }
        if fields.problems.len() > before {
            return None;
        }
        match (given.first(), self.default_target) {
            (Some((key, value)), _) if *value < MetricMilli::ZERO => {
                fields.problem(key.parameter.name, format!("is {value}"), "write a number greater than 0");
                None
            }
            (Some((_, value)), _) => Some(*value),
            (None, Some(default)) => Some(default),
            (None, None) => {
                let names: Vec<&str> = self.targets.iter().map(|key| key.parameter.name).collect();
                let name = names.first().copied().unwrap_or("target");
                fields.problem(
                    name,
                    "is missing (missing required parameter)",
                    format!("give {} a number greater than 0", names.join(" or ")),
                );
                None
            }
        }
    }

    /// Problems of keys that exclude or need each other.
    fn companions(&self, given: &[(&TargetKey, MetricMilli)], fields: &mut Fields<'_>) {
        let is_given = |key: &TargetKey| given.iter().any(|(other, _)| other.parameter.name == key.parameter.name);
        let lone = given.iter().map(|(key, _)| *key).find(|key| key.companion.is_none());
        if let Some(lone) = lone {
            let mut others: Vec<&str> =
                given.iter().map(|(key, _)| key.parameter.name).filter(|name| *name != lone.parameter.name).collect();
            others.extend(self.targets.iter().filter_map(|key| key.companion).filter(|companion| fields.given(companion)));
            if !others.is_empty() {
                let remedy = match lone.parameter.age {
                    Age::Deprecated(instead) | Age::Removed(instead) => instead.to_owned(),
                    Age::Current => "give one or the other".to_owned(),
                };
                let what = if lone.parameter.age == Age::Current { "" } else { "is deprecated and " };
                fields.problem(lone.parameter.name, format!("{what}is given together with {}", others.join(" and ")), remedy);
            }
            return;
        }
        for key in self.targets {
            let Some(companion) = key.companion else { continue };
            match (is_given(key), fields.given(companion)) {
                (true, false) => {
                    fields.problem(companion, format!("must be specified when {} is", key.parameter.name), format!("give {companion} too"))
                }
                (false, true) => {
                    fields.problem(key.parameter.name, format!("must be specified when {companion} is"), "give it a number greater than 0");
                }
                _ => {}
            }
        }
    }
}
