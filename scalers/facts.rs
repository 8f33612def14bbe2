//! That each declaration agrees with the facts of KEDA's scaler of that name (`facts.json`: names, defaults, allowed texts and places of
//! the parameters of all that KEDA has), but for differences that are listed here with their reasons.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::{Age, KINDS, Kind, Parameter, Source};

/// What KEDA's schema says of one parameter.
#[derive(Debug, Deserialize)]
struct Fact {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    optional: bool,
    default: Option<String>,
    allowed: BTreeSet<String>,
    sources: BTreeSet<String>,
}

/// What may differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Aspect {
    /// Whether a trigger without it is refused.
    Need,
    Default,
    Allowed,
    Sources,
    /// KEDA's schema does not have it.
    Unknown,
}

use Aspect::{Allowed, Default, Need, Sources, Unknown};

const BOTH: &[&str] = &["metrics-api", "prometheus"];
const REDIS: &[&str] = &["redis", "redis-cluster", "redis-cluster-streams", "redis-sentinel", "redis-sentinel-streams", "redis-streams"];

/// Kinds, parameters, what differs, and why.
const DIFFERENCES: &[(&[&str], &[&str], Aspect, &str)] = &[
    (&["azure-queue"], &["cloud"], Unknown, "KEDA reads it beside its declaration"),
    (&["azure-servicebus"], &["cloud", "endpointSuffix"], Unknown, "KEDA reads them beside its declaration"),
    (&["gcp-pubsub"], &["GoogleApplicationCredentials"], Unknown, "KEDA reads it beside its declaration"),
    (
        &["prometheus"],
        &["GoogleApplicationCredentials", "azureManagedPrometheusResourceURL", "cloud", "credentials"],
        Unknown,
        "KEDA reads them beside its declaration",
    ),
    (
        BOTH,
        &[
            "apiKey",
            "authMode",
            "authModes",
            "bearerToken",
            "ca",
            "cert",
            "clientID",
            "clientSecret",
            "customAuthHeader",
            "customAuthValue",
            "endpointParams",
            "key",
            "keyParamName",
            "method",
            "oauthTokenURI",
            "password",
            "scopes",
            "token",
            "username",
        ],
        Unknown,
        "KEDA declares its logins in a place of their own, which its schema leaves out",
    ),
    (&["external", "external-push"], &["*"], Unknown, "the whole of the metadata goes to the scaler, as under KEDA"),
    (&["prometheus"], &["cortexOrgID"], Unknown, "KEDA read it once; we say what to write instead of passing over it"),
    (
        &["rabbitmq"],
        &["clientID", "clientSecret", "endpointParams", "oauthTokenURI", "scopes"],
        Unknown,
        "a TriggerAuthentication's oauth2 gives them, which KEDA's schema leaves out",
    ),
    (
        &["mysql", "postgresql"],
        &["ca"],
        Unknown,
        "KEDA trusts a database's own authority only through its machine's files; here an authentication gives it, as elsewhere",
    ),
    (&["postgresql"], &["sslmode"], Allowed, "KEDA's client checks it when it connects; here a wrong one is a problem of the trigger"),
    (&["postgresql"], &["targetQueryValue"], Need, "KEDA allows none in formulas, and refuses it elsewhere in a check of its own"),
    (&["kubernetes-workload"], &["value"], Need, "KEDA's default is 0, which formulas may have; elsewhere a check of its own refuses it"),
    (&["kubernetes-workload"], &["value"], Default, "KEDA's default is 0, which stands for none"),
    (&["metrics-api"], &["targetValue"], Need, "KEDA allows none in formulas, and refuses it elsewhere in a check of its own"),
    (&["rabbitmq"], &["mode"], Default, "KEDA's default is a name for none; QueueLength is meant, with the target of queueLength"),
    (
        &["rabbitmq"],
        &["mode", "operation", "protocol", "tls"],
        Allowed,
        "KEDA checks them in code of its own, or when the queue is read; here wrong ones are problems of the trigger",
    ),
    (
        REDIS,
        &[
            "Cert",
            "address",
            "addresses",
            "ca",
            "cert",
            "host",
            "hosts",
            "key",
            "keyPassword",
            "password",
            "port",
            "ports",
            "sentinelMaster",
            "sentinelPassword",
            "sentinelUsername",
            "username",
        ],
        Need,
        "KEDA can do without any of a connection's parameters, which its schema does not show; that there is an address is checked by code of its own",
    ),
    (
        &["aws-sqs-queue"],
        &["awsAccessKeyID", "awsAccessKeyId", "awsRoleArn", "awsSecretAccessKey", "awsSessionToken"],
        Unknown,
        "KEDA reads an identity at AWS in code that its scalers share, which its schema leaves out",
    ),
    (&["aws-sqs-queue"], &["identityOwner"], Allowed, "KEDA takes any other word for operator; here it is a problem of the trigger"),
    (REDIS, &["tls"], Allowed, "KEDA checks it in code of its own"),
];

fn facts() -> BTreeMap<String, Vec<Fact>> {
    serde_json::from_str(include_str!("facts.json")).expect("the table of facts")
}

fn sources(parameter: &Parameter) -> BTreeSet<String> {
    parameter.sources.iter().map(|source| format!("{source:?}")).collect()
}

/// Whether a trigger without it is refused: a target is needed where there is no other and no default.
fn is_needed(kind: &Kind, parameter: &Parameter) -> bool {
    let is_only_target = kind.targets.len() == 1 && kind.targets.iter().any(|target| target.parameter.name == parameter.name);
    parameter.required || (is_only_target && kind.default_target.is_none())
}

/// A parameter's default; that of a target which has no other beside it is the kind's.
fn default_of(kind: &Kind, parameter: &Parameter) -> Option<String> {
    let is_only_target = kind.targets.len() == 1 && kind.targets.iter().any(|target| target.parameter.name == parameter.name);
    parameter.default.map(str::to_owned).or_else(|| kind.default_target.filter(|_| is_only_target).map(|target| target.to_string()))
}

/// Whether two defaults say the same. What is optional in KEDA has the value that Go gives a variable that nobody sets.
fn same_default(fact: &Fact, ours: Option<&str>) -> bool {
    match (&fact.default, ours) {
        (Some(theirs), Some(ours)) => theirs == ours,
        (None, Some(ours)) => fact.optional && matches!(ours, "false" | "0"),
        (Some(_), None) => false,
        (None, None) => true,
    }
}

#[test]
fn declarations_agree_with_the_facts_or_say_why_not() {
    let facts = facts();
    let mut found = BTreeSet::new();
    for kind in KINDS {
        // Of a kind that KEDA does not have there are no facts.
        let Some(facts) = facts.get(kind.name) else { continue };
        let ours: BTreeMap<&str, &Parameter> = kind.all_parameters().map(|parameter| (parameter.name, parameter)).collect();
        for fact in facts {
            assert_eq!(fact.kind, "string", "{}: metadata are texts", fact.name);
            let parameter = ours.get(fact.name.as_str()).unwrap_or_else(|| panic!("{} does not know {}", kind.name, fact.name));
            let allowed: BTreeSet<String> = parameter.allowed.iter().map(|text| (*text).to_owned()).collect();
            for (same, aspect) in [
                (is_needed(kind, parameter) == (!fact.optional && fact.default.is_none()), Need),
                (same_default(fact, default_of(kind, parameter).as_deref()), Default),
                (allowed == fact.allowed, Allowed),
                (sources(parameter) == fact.sources, Sources),
            ] {
                if !same {
                    found.insert((kind.name, parameter.name, aspect));
                }
            }
        }
        let known: BTreeSet<&str> = facts.iter().map(|fact| fact.name.as_str()).collect();
        found.extend(ours.keys().filter(|name| !known.contains(*name)).map(|name| (kind.name, *name, Unknown)));
    }
    let mut listed = BTreeSet::new();
    for (kinds, parameters, aspect, reason) in DIFFERENCES {
        assert!(!reason.is_empty());
        for kind in *kinds {
            listed.extend(parameters.iter().map(|parameter| (*kind, *parameter, *aspect)));
        }
    }
    let unlisted: Vec<_> = found.difference(&listed).collect();
    let gone: Vec<_> = listed.difference(&found).collect();
    assert!(unlisted.is_empty() && gone.is_empty(), "without a reason: {unlisted:#?}\nno longer there: {gone:#?}");
}

#[test]
fn nothing_may_only_come_from_the_environment() {
    // A manifest could not show it.
    for kind in KINDS {
        assert!(kind.all_parameters().all(|parameter| parameter.age != Age::Current || parameter.sources != [Source::Environment]));
    }
}
