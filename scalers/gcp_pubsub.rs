//! Google Pub/Sub: what Cloud Monitoring says of a subscription or topic. Pub/Sub itself tells no counts; Monitoring's are one to four minutes old.

use std::time::Duration;

use springtide_core::units::MetricMilli;

use crate::broker::Broker;
use crate::field::Amount;
use crate::http::{Login, Place, Server, Trouble};
use crate::identity::gcp::{Account, AccountKey, Google, MONITORING_READ};
use crate::identity::{Machine, PodIdentity};
use crate::kind::{Kind, Parsed, TargetKey, activation, target};
use crate::oauth2::Issuer;
use crate::parameter::{Field, Fields, IDENTITY, Misfit, parameters};
use crate::secret::Secret;
use crate::tls::Tls;

#[cfg(feature = "clients")]
mod client;
mod resource;

use resource::{Resource, Sort, is_project};

/// What it is, for people.
const NAME: &str = "Cloud Monitoring";
const MONITORING: &str = "https://monitoring.googleapis.com";
/// How far back a number is looked for, unless told. Numbers come once a minute, and late.
const HORIZON: Duration = Duration::from_secs(120);
/// The same with an aggregation, which is over periods of three minutes.
const HORIZON_OF_AGGREGATES: Duration = Duration::from_secs(300);

pub(crate) static KIND: Kind = Kind {
    name: "gcp-pubsub",
    summary: "What Cloud Monitoring says of a Google Pub/Sub subscription or topic, such as messages that wait (by timeSeries.list, one request for many \
              triggers; with aggregation by timeSeries.query in its query language MQL, which Google no longer recommends). Its numbers are 1 to 4 minutes \
              old",
    parameters: &[Metadata::PARAMETERS],
    targets: &[TargetKey { parameter: target("value", "The target: how much of the number is for each replica."), companion: None }],
    default_target: Some(MetricMilli(10_000)),
    activation: Some(activation("activationValue")),
    example: &[("subscriptionName", "projects/shop/subscriptions/orders"), ("mode", "SubscriptionSize"), ("value", "20")],
    example_auth: &[(
        "GoogleApplicationCredentials",
        r#"{"type": "service_account", "project_id": "shop", "client_email": "scaler@shop.iam.gserviceaccount.com", "private_key": "PEM"}"#,
    )],
    example_more: &[],
    read,
};

parameters! {
    /// What a Pub/Sub trigger can be told.
    struct Metadata, draft Draft {
        /// The subscription, by its name or as projects/PROJECT/subscriptions/NAME; or a topic.
        subscription: Option<String> = "subscriptionName", from Metadata Environment;
        /// The topic, by its name or as projects/PROJECT/topics/NAME; or a subscription.
        topic: Option<String> = "topicName", from Metadata Environment;
        /// What is measured: SubscriptionSize (messages that are not acknowledged), or one of Monitoring's metrics such as OldestUnackedMessageAge.
        mode: Mode = "mode", from Metadata, default "SubscriptionSize";
        /// How a distribution or several series become one number, over three minutes.
        aggregation: Option<Aggregation> = "aggregation", from Metadata;
        /// How far back a number is looked for; 2m unless given, and 5m with aggregation.
        horizon: Option<Duration> = "timeHorizon", from Metadata;
        /// What a trigger reads for which there is no number; without it, that is an error.
        value_if_null: Option<Amount> = "valueIfNull", from Metadata;
        /// A service account's key as JSON.
        credentials: Option<Secret> = "credentials", from Metadata Environment;
        /// A service account's key as JSON.
        application_credentials: Option<Secret> = "GoogleApplicationCredentials", from Auth;
        /// A file with the key in KEDA's own container.
        credentials_file: Option<String> = "credentialsFromEnvFile", from Metadata Environment, but removed "write credentialsFromEnv, or GoogleApplicationCredentials in a TriggerAuthentication";
        /// The target's name of old.
        subscription_size: Option<String> = "subscriptionSize", from Metadata, but removed "write mode: SubscriptionSize and value";
    }
}

fn read(fields: &mut Fields<'_>) -> Option<Parsed> {
    let draft = Draft::read(fields);
    let name = draft.name(fields);
    let broker = draft.broker(fields);
    let Metadata { mode, aggregation, horizon, value_if_null, .. } = draft.finish()?;
    let (sort, name) = name?;
    let horizon = horizon.filter(|horizon| !horizon.is_zero());
    let usual = if aggregation.is_some() { HORIZON_OF_AGGREGATES } else { HORIZON };
    let query = Query {
        resource: Resource::parse(sort, &name),
        metric: mode.metric(),
        aggregation,
        horizon: horizon.unwrap_or(usual),
        value_if_null: value_if_null.map(|Amount(value)| value),
    };
    Some(Parsed::new(broker?, query, format!("gcp-ps-{name}")))
}

impl Draft {
    fn name(&self, fields: &mut Fields<'_>) -> Option<(Sort, String)> {
        match (self.subscription.clone()?, self.topic.clone()?) {
            (Some(subscription), None) => Some((Sort::Subscription, subscription)),
            (None, Some(topic)) => Some((Sort::Topic, topic)),
            (Some(_), Some(_)) => {
                fields.problem(
                    "topicName",
                    "is given with subscriptionName",
                    "give one of them: exactly one of subscription or topic name must be given",
                );
                None
            }
            (None, None) => {
                let what = "is missing, and so is topicName (exactly one of subscription or topic name must be given)";
                fields.problem("subscriptionName", what, "give one of them");
                None
            }
        }
    }

    fn broker(&self, fields: &mut Fields<'_>) -> Option<Monitoring> {
        let account = match fields.identity_here() {
            Some(PodIdentity::Gcp(machine)) => Ok(Account::Machine(machine)),
            Some(other) => {
                let what = format!("provider {} is not read by {}", other.provider(), KIND.name);
                fields.problem(IDENTITY, what, "use gcp, or leave it out and give a service account's key");
                return None;
            }
            None => {
                let Some(key) = self.application_credentials.clone().flatten().or(self.credentials.clone().flatten()) else {
                    let remedy = "give it in a TriggerAuthentication, or credentialsFromEnv, or podIdentity gcp";
                    fields.problem("GoogleApplicationCredentials", "is missing (google application credentials not found)", remedy);
                    return None;
                };
                AccountKey::parse(key.expose()).map(Account::Key)
            }
        };
        Some(Monitoring::new(account, MONITORING))
    }
}

/// Cloud Monitoring, as one account sees it.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Monitoring {
    place: Place,
    /// Where a name without a project is looked for.
    project: Project,
}

#[derive(Debug, PartialEq, Eq, Hash)]
enum Project {
    /// The account's own.
    Of(Option<String>),
    /// The machine's, which has to be asked for.
    Here(Machine),
}

impl Monitoring {
    fn new(account: Result<Account, String>, base: &str) -> Self {
        let project = match &account {
            Ok(Account::Key(key)) => Project::Of(key.project.clone().filter(|project| is_project(project))),
            Ok(Account::Machine(machine)) => Project::Here(machine.clone()),
            Err(_) => Project::Of(None),
        };
        let place = match account {
            Err(reason) => Place::Nowhere(NAME, reason),
            Ok(account) => {
                let logins = vec![Login::Token(Issuer::Google(Google { account, scope: MONITORING_READ }))];
                Place::At(Server { name: NAME, base: base.to_owned(), logins, tls: Tls::VERIFIED, timeout: None, trouble: Trouble::Server })
            }
        };
        Self { place, project }
    }
}

impl Broker for Monitoring {
    type Query = Query;

    fn address(&self) -> String {
        self.place.address()
    }
}

/// What a trigger asks.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Query {
    resource: Resource,
    /// The metric's name after that of its resource, such as `num_undelivered_messages`.
    metric: String,
    aggregation: Option<Aggregation>,
    horizon: Duration,
    value_if_null: Option<MetricMilli>,
}

/// What is measured, in words without a space, each with a capital.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mode(String);

impl Field for Mode {
    const VALUE: &'static str = "SubscriptionSize, or the name of a metric such as OldestUnackedMessageAge";

    fn parse(text: &str) -> Result<Self, Misfit> {
        if text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'/') {
            Ok(Self(text.to_owned()))
        } else {
            Err(Misfit::new(
                "is no name of a metric",
                "write one of Pub/Sub's metrics in Cloud Monitoring, such as OldestUnackedMessageAge",
            ))
        }
    }
}

impl Mode {
    /// The name of the metric in Cloud Monitoring: small letters, words apart by underscores.
    fn metric(&self) -> String {
        if self.0 == "SubscriptionSize" {
            return "num_undelivered_messages".to_owned();
        }
        let letters: Vec<char> = self.0.chars().collect();
        let mut name = String::new();
        for (at, letter) in letters.iter().enumerate() {
            let before = at.checked_sub(1).and_then(|at| letters.get(at));
            let is_followed = letters.get(at + 1).is_some_and(char::is_ascii_lowercase);
            let begins =
                letter.is_ascii_uppercase() && before.is_some_and(|before| is_followed || !before.is_ascii_uppercase() && *before != '_');
            if begins {
                name.push('_');
            }
            name.push(letter.to_ascii_lowercase());
        }
        name
    }
}

/// How several numbers become one, in the words of Monitoring's query language.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Aggregation(String);

impl Field for Aggregation {
    const VALUE: &'static str = "mean, median, variance, stddev, sum, count, or percentileN with N from 0 to 100";

    fn parse(text: &str) -> Result<Self, Misfit> {
        if let Some(percent) = text.strip_prefix("percentile") {
            return match percent.parse::<u8>() {
                Ok(percent @ 0..=100) => Ok(Self(format!("percentile(value, {percent})"))),
                _ => Err(Misfit::new("has an invalid percentile value", "write a whole number from 0 to 100, such as percentile95")),
            };
        }
        match text {
            "mean" | "median" | "variance" | "stddev" | "sum" | "count" => Ok(Self(format!("{text}(value)"))),
            _ => Err(Misfit::new("is an unsupported aggregation function", format!("write {}", Self::VALUE))),
        }
    }
}

#[cfg(all(test, feature = "clients"))]
pub(crate) mod tests;
