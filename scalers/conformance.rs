//! Whether triggers are read as KEDA reads them: each row of the tables of its tests is a case in `conformance/FILE.yaml`, by the name of
//! the file that has the table.
//!
//! ```yaml
//! - table: testCronMetadata                 # KEDA's name for it
//!   type: cron                              # of the triggers
//!   cases:
//!   - {metadata: {timezone: UTC}, accepted: false}
//!   - {metadata: {...}, auth: {...}, env: {...}, name: cron-UTC-x, target: "1", activation: "0"}     # thus accepted
//!   - {metadata: {url: "http://SERVER/"}, given: {answers: [[/, 200, "1"]]}, metric: 1, active: true}
//!   - {metadata: {url: "http://SERVER/"}, given: {answers: []}, error: true, hides: password}
//!   - {metadata: {...}, identity: {provider: aws, roleArn: ...}, accepted: true}     # a TriggerAuthentication's podIdentity
//!   - {metadata: {...}, accepted: false, differs: why we accept it}
//! ```
//!
//! A case states what KEDA says of its row. All of that has to hold here, but where `differs` says why not: then some of it must not hold, so
//! that a reason that is gone is noticed. `given` is for the function that reads a trigger's value, one for each kind (`READERS`). The rows
//! that differ, with their reasons, are the page `docs/scalers/conformance.md`.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::fs;
use std::future::ready;
use std::io::{Write as _, stdout};
use std::path::Path;
use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde::Deserialize;
use serde_json::{Value, json};
use springtide_core::Timestamp;
use springtide_core::name::Key;
use springtide_core::reading::{Activity, Sample};
use springtide_core::units::MetricMilli;

use crate::broker::{Answer, Moment};
use crate::cluster::fake::{Pod, View};
use crate::cluster::{Backend, ClusterView};
use crate::fake::{Fake, MOMENT};
use crate::field::Amount;
use crate::kafka::{self, client::tests::Given};
use crate::parameter::Field as _;
use crate::trial::{read_all, read_all_in};
use crate::{Around, AuthParams, Machine, PodIdentity, Problem, ResolvedEnv, Secret, Trigger, Workload, parse_as};

/// So many rows of a hundred must agree, of those that are about what is built.
const SHARE: usize = 98;

/// How the reason of a row begins that is about what will be built.
const NOT_BUILT: &str = "not built yet: ";

/// The word in a case's texts that stands for the host and port of its server.
const SERVER: &str = "SERVER";

/// A table of KEDA's.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    table: String,
    #[serde(rename = "type")]
    kind: String,
    cases: Vec<Case>,
}

/// A row, and what KEDA says of it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    #[serde(default)]
    metadata: BTreeMap<String, String>,
    #[serde(default)]
    auth: BTreeMap<String, String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    /// The object's, where it matters.
    namespace: Option<String>,
    /// What stands beside the trigger's type.
    #[serde(rename = "metricType")]
    metric_type: Option<String>,
    accepted: Option<bool>,
    /// The metric's, without the trigger's index.
    name: Option<String>,
    target: Option<String>,
    activation: Option<String>,
    /// What its value is read from.
    #[serde(default)]
    pub given: Value,
    metric: Option<f64>,
    active: Option<bool>,
    /// That there is no value.
    #[serde(default)]
    error: bool,
    /// What the error says.
    tells: Option<String>,
    /// What the error does not say.
    hides: Option<String>,
    /// Who we say that we are: `user:password`, or the name of the way in which it is said.
    login: Option<String>,
    /// A TriggerAuthentication's `podIdentity`; if only its provider is given, a text.
    identity: Option<Identity>,
    /// The same with more metadata.
    #[serde(default)]
    also: Vec<Variant>,
    differs: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Identity {
    Provider(String),
    Words(Words),
}

/// `podIdentity`; the role of a ServiceAccount is given where KEDA has found it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct Words {
    provider: String,
    role_arn: Option<String>,
    #[serde(rename = "externalID")]
    external_id: Option<String>,
    identity_id: Option<String>,
    identity_tenant_id: Option<String>,
    identity_authority_host: Option<String>,
}

impl Identity {
    fn typed(&self) -> Option<PodIdentity> {
        let words = match self.clone() {
            Self::Provider(provider) => Words { provider, ..Words::default() },
            Self::Words(words) => words,
        };
        Some(match words.provider.as_str() {
            "aws" => PodIdentity::Aws { role: words.role_arn, external_id: words.external_id },
            "aws-eks" => PodIdentity::AwsEks { role: words.role_arn },
            // The first is what it was called once.
            "azure" | "azure-workload" => PodIdentity::AzureWorkload(Workload {
                client: words.identity_id,
                tenant: words.identity_tenant_id,
                authority: words.identity_authority_host,
                token_file: None,
            }),
            "gcp" => PodIdentity::Gcp(Machine::default()),
            "none" | "" => return None,
            other => panic!("no provider is called {other}"),
        })
    }
}

/// A case in another way: metadata besides its own, and what they change.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Variant {
    metadata: BTreeMap<String, String>,
    metric: f64,
}

/// How a trigger says who it is, of the kinds that tests of KEDA look into.
const LOGINS: [fn(&Trigger) -> Option<String>; 4] =
    [crate::aws_sqs_queue::login, crate::mysql::login, crate::postgresql::login, crate::rabbitmq::login];

/// Reads a case's value. The error is a text for people.
type Reader = fn(&str, &Case) -> BoxFuture<'static, Result<(Sample, Trigger), String>>;

/// How values are read: the kinds that are read alike, and the function.
const READERS: &[(&[&str], Reader)] = &[
    (&["azure-queue"], by_account),
    (&["cron"], by_clock),
    (&["external"], by_connections),
    (&["gcp-pubsub"], by_question),
    (&["kafka"], of_offsets),
    (&["kubernetes-workload"], of_pods),
    (&["metrics-api"], of_service),
    (&["aws-sqs-queue", "azure-servicebus", "nats-jetstream", "prometheus"], over_http),
    (&["rabbitmq"], of_queues),
    (&["redis-streams"], over_redis),
];

/// What is read of a trigger at a time.
async fn read(trigger: Trigger, moment: Moment) -> Result<(Sample, Trigger), String> {
    let mut read = read_all(std::slice::from_ref(&trigger), moment).await.map_err(|error| error.chain())?;
    let sample = read.remove(0).map_err(|error| error.chain())?;
    Ok((sample, trigger))
}

/// One look at the clock, which shows the seconds since 1970 that are given.
fn by_clock(kind: &str, case: &Case) -> BoxFuture<'static, Result<(Sample, Trigger), String>> {
    let (trigger, given) = (case.texts().trigger(kind, SERVER), i64::deserialize(&case.given));
    async move {
        let now = given.ok().and_then(|seconds| Timestamp::from_second(seconds).ok()).ok_or("no time is given")?;
        read(trigger.map_err(|problems| format!("{problems:?}"))?, Moment { now, ..MOMENT }).await
    }
    .boxed()
}

/// How many connections there are for a case's trigger and the other that is given.
fn by_connections(kind: &str, case: &Case) -> BoxFuture<'static, Result<(Sample, Trigger), String>> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Other {
        metadata: BTreeMap<String, String>,
        auth: BTreeMap<String, String>,
    }
    let one = case.texts().trigger(kind, SERVER);
    let other = Other::deserialize(&case.given).map_err(|error| error.to_string()).and_then(|Other { metadata, auth }| {
        let texts = Texts { metadata, auth, ..Texts::default() };
        texts.trigger(kind, SERVER).map_err(|problems| format!("{problems:?}"))
    });
    async move {
        let (one, other) = (one.map_err(|problems| format!("{problems:?}"))?, other?);
        let connections = if one.connection == other.connection { 1.0 } else { 2.0 };
        Ok((Answer::number(connections).sample(one.activation, MOMENT.now), one))
    }
    .boxed()
}

/// Whether a Pub/Sub trigger asks for just what is given, of which some may be left out: 1 if so, and 0 otherwise.
fn by_question(kind: &str, case: &Case) -> BoxFuture<'static, Result<(Sample, Trigger), String>> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Given {
        #[serde(default)]
        project: Option<String>,
        id: Option<String>,
        metric: Option<String>,
    }
    let (trigger, given) = (case.texts().trigger(kind, SERVER), Given::deserialize(&case.given));
    async move {
        let trigger = trigger.map_err(|problems| format!("{problems:?}"))?;
        let Given { project, id, metric } = given.map_err(|error| error.to_string())?;
        let asked = crate::gcp_pubsub::tests::asked(&trigger);
        let is_same = id.is_none_or(|id| (project, id) == (asked.0, asked.1)) && metric.is_none_or(|metric| metric == asked.2);
        Ok((Answer::number(f64::from(u8::from(is_same))).sample(trigger.activation, MOMENT.now), trigger))
    }
    .boxed()
}

/// One read of a storage account whose queue has `given.count` messages, of which it shows `given.seen`.
fn by_account(kind: &str, case: &Case) -> BoxFuture<'static, Result<(Sample, Trigger), String>> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Given {
        count: u32,
        seen: usize,
    }
    let (kind, texts, given) = (kind.to_owned(), case.texts(), Given::deserialize(&case.given));
    async move {
        let Given { count, seen } = given.map_err(|error| error.to_string())?;
        let account = crate::azure_queue::tests::Double::serve("a", "a2V5").await;
        account.set("q", count, seen);
        let trigger = texts.trigger(&kind, &account.address).map_err(|problems| format!("{problems:?}"))?;
        read(trigger, MOMENT).await
    }
    .boxed()
}

/// What a server over HTTP answers: `[[start of path and query, status, body], ...]`.
type Answers = Vec<(String, u16, String)>;

/// One read of a server that answers with `given.answers`.
fn over_http(kind: &str, case: &Case) -> BoxFuture<'static, Result<(Sample, Trigger), String>> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Given {
        answers: Answers,
    }
    match Given::deserialize(&case.given) {
        Ok(Given { answers }) => of_server(kind, case, answers),
        Err(error) => ready(Err(format!("what is given cannot be read: {error}"))).boxed(),
    }
}

fn of_server(kind: &str, case: &Case, answers: Answers) -> BoxFuture<'static, Result<(Sample, Trigger), String>> {
    let (kind, texts) = (kind.to_owned(), case.texts());
    async move {
        let fake = Fake::default();
        for (start, status, body) in answers {
            fake.answer(&start, status, body);
        }
        read(texts.trigger(&kind, &fake.serve().await).map_err(|problems| format!("{problems:?}"))?, MOMENT).await
    }
    .boxed()
}

/// One read of a cluster that has `given.pods`.
fn of_pods(kind: &str, case: &Case) -> BoxFuture<'static, Result<(Sample, Trigger), String>> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Given {
        pods: Vec<Pod>,
    }
    let (trigger, given) = (case.texts().trigger(kind, SERVER), Given::deserialize(&case.given));
    async move {
        let Given { pods } = given.map_err(|error| format!("what is given cannot be read: {error}"))?;
        read_in(trigger.map_err(|problems| format!("{problems:?}"))?, View::of(pods)).await
    }
    .boxed()
}

/// One read of the pods behind the Service shop/orders, each of which answers as `given.behind` has it; or of a server as in [`over_http`].
fn of_service(kind: &str, case: &Case) -> BoxFuture<'static, Result<(Sample, Trigger), String>> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Given {
        behind: Vec<Answers>,
    }
    let Ok(Given { behind }) = Given::deserialize(&case.given) else { return over_http(kind, case) };
    let trigger = case.texts().trigger(kind, SERVER);
    async move {
        let mut backends = Vec::new();
        for answers in behind {
            let fake = Fake::default();
            answers.into_iter().for_each(|(start, status, body)| fake.answer(&start, status, body));
            let address = fake.serve().await;
            let (host, port) = address.rsplit_once(':').ok_or("no port")?;
            backends.push(Backend { address: host.to_owned(), ports: vec![port.parse().map_err(|_| "no port")?] });
        }
        let view = View::serving(Key::new("shop", "orders"), backends);
        read_in(trigger.map_err(|problems| format!("{problems:?}"))?, view).await
    }
    .boxed()
}

/// What is read of a trigger in a cluster.
async fn read_in(trigger: Trigger, view: View) -> Result<(Sample, Trigger), String> {
    let cluster: Arc<dyn ClusterView> = Arc::new(view);
    let mut read = read_all_in(Some(&cluster), std::slice::from_ref(&trigger), MOMENT).await.map_err(|error| error.chain())?;
    let sample = read.remove(0).map_err(|error| error.chain())?;
    Ok((sample, trigger))
}

/// One read of a Redis whose streams all have a group that lags behind by `given.lag` entries.
fn over_redis(kind: &str, case: &Case) -> BoxFuture<'static, Result<(Sample, Trigger), String>> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Given {
        lag: u64,
    }
    let given = Given::deserialize(&case.given);
    let (kind, case) = (kind.to_owned(), case.texts());
    async move {
        let Given { lag } = given.map_err(|error| format!("what is given cannot be read: {error}"))?;
        let group = case.metadata.get("consumerGroup").cloned().unwrap_or_default();
        let groups = format!("*1\r\n*4\r\n$4\r\nname\r\n${}\r\n{group}\r\n$3\r\nlag\r\n:{lag}\r\n", group.len());
        let address = crate::redis::fake::serve(vec![("XINFO", groups)]).await;
        read(case.trigger(&kind, &address).map_err(|problems| format!("{problems:?}"))?, MOMENT).await
    }
    .boxed()
}

/// What is made of the offsets of one topic (`given`: the committed one and the end, by partition).
fn of_offsets(kind: &str, case: &Case) -> BoxFuture<'static, Result<(Sample, Trigger), String>> {
    let (trigger, given) = (case.texts().trigger(kind, SERVER), Given::deserialize(&case.given));
    async move {
        let trigger = trigger.map_err(|problems| format!("{problems:?}"))?;
        let given = given.map_err(|error| format!("what is given cannot be read: {error}"))?;
        let answer = kafka::client::tests::answer(&trigger, given).map_err(|error| error.chain())?;
        Ok((answer.sample(trigger.activation, MOMENT.now), trigger))
    }
    .boxed()
}

/// One read of RabbitMQ's management interface, which knows `given.queues`: of each its messages, those that are ready (or nothing), those
/// that workers hold, and how many are published and delivered each second. Several are the answer to a pattern.
fn of_queues(kind: &str, case: &Case) -> BoxFuture<'static, Result<(Sample, Trigger), String>> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Given {
        queues: Vec<(u64, Option<u64>, u64, f64, f64)>,
    }
    let Ok(Given { queues }) = Given::deserialize(&case.given) else { return over_http(kind, case) };
    let mut queues = queues.into_iter().map(|(messages, ready, held, published, delivered)| {
        let stats = json!({"publish_details": {"rate": published}, "deliver_get_details": {"rate": delivered}});
        let mut queue = json!({"messages": messages, "messages_unacknowledged": held, "message_stats": stats});
        if let Some(ready) = ready {
            queue["messages_ready"] = ready.into();
        }
        queue
    });
    let is_pattern = case.metadata.contains_key("useRegex");
    let answer = if is_pattern { json!({"items": queues.collect::<Vec<_>>()}) } else { queues.next().unwrap_or_default() };
    of_server(kind, case, vec![("/api/queues/".to_owned(), 200, answer.to_string())])
}

/// The texts of a trigger, and what of its object it knows.
#[derive(Debug, Clone, Default)]
pub(crate) struct Texts {
    metadata: BTreeMap<String, String>,
    auth: BTreeMap<String, String>,
    env: BTreeMap<String, String>,
    identity: Option<PodIdentity>,
    namespace: Option<String>,
    metric_type: Option<String>,
}

impl From<Texts> for Case {
    fn from(Texts { metadata, auth, env, namespace, metric_type, identity: _ }: Texts) -> Self {
        Self { metadata, auth, env, namespace, metric_type, ..Self::default() }
    }
}

impl Texts {
    /// The trigger that they make, with its server here.
    pub(crate) fn trigger(&self, kind: &str, server: &str) -> Result<Trigger, Vec<Problem>> {
        let there = |text: &String| text.replace(SERVER, server);
        let secrets = |texts: &BTreeMap<String, String>| -> ResolvedEnv {
            texts.iter().map(|(key, text)| (key.clone(), Secret::from(there(text)))).collect()
        };
        let metadata = self.metadata.iter().map(|(key, text)| (key.clone(), there(text))).collect();
        // The machine's identity is asked for here too.
        let google = Machine { metadata_host: Some(server.to_owned()), project: None };
        let around = Around { google, ..Around::default() };
        let auth = AuthParams { texts: secrets(&self.auth), identity: self.identity.clone(), around };
        let owner = Key::new(self.namespace.as_deref().unwrap_or("default"), "object");
        parse_as(&owner, kind, self.metric_type.as_deref(), &metadata, &auth, &secrets(&self.env))
    }
}

impl Case {
    pub(crate) fn texts(&self) -> Texts {
        Texts {
            metadata: self.metadata.clone(),
            auth: self.auth.clone(),
            env: self.env.clone(),
            identity: self.identity.as_ref().and_then(Identity::typed),
            namespace: self.namespace.clone(),
            metric_type: self.metric_type.clone(),
        }
    }

    /// Where we say otherwise.
    async fn disagreements(&self, kind: &str) -> Vec<String> {
        let mut found = self.read_otherwise(kind);
        for Variant { metadata, metric } in &self.also {
            let mut variant =
                Self { metric: Some(*metric), given: self.given.clone(), identity: self.identity.clone(), ..Self::from(self.texts()) };
            variant.metadata.extend(metadata.clone());
            found.extend(Box::pin(variant.disagreements(kind)).await.into_iter().map(|what| format!("with {metadata:?}, {what}")));
        }
        if self.has_value() {
            let reader = READERS.iter().find(|(kinds, _)| kinds.contains(&kind));
            found.extend(match reader {
                Some((_, reader)) => self.valued_otherwise(reader(kind, self).await),
                None => Some(format!("nothing reads values of {kind} here: give it a row in READERS")),
            });
        }
        found
    }

    fn has_value(&self) -> bool {
        self.metric.is_some() || self.active.is_some() || self.error
    }

    fn read_otherwise(&self, kind: &str) -> Vec<String> {
        let has_details = [&self.name, &self.target, &self.activation, &self.login].into_iter().any(Option::is_some);
        let Some(accepted) = self.accepted.or(has_details.then_some(true)) else {
            return if self.has_value() { Vec::new() } else { vec!["the case states nothing".to_owned()] };
        };
        let trigger = match (self.texts().trigger(kind, SERVER), accepted) {
            (Ok(trigger), true) => trigger,
            (Ok(_), false) => return vec!["we accept it".to_owned()],
            (Err(_), false) => return Vec::new(),
            (Err(problems), true) => return problems.iter().map(|problem| format!("we refuse it: {problem}")).collect(),
        };
        let amount =
            |text: &String| Amount::parse(text).map_or_else(|_| format!("{text:?}, which is no number"), |Amount(n)| n.to_string());
        let pairs = [
            ("name", self.name.clone(), trigger.metric_name.clone()),
            ("target", self.target.as_ref().map(amount), trigger.target.to_string()),
            ("activation", self.activation.as_ref().map(amount), trigger.activation.to_string()),
            ("login", self.login.clone(), LOGINS.iter().find_map(|login| login(&trigger)).unwrap_or_default()),
        ];
        let differing = pairs.into_iter().filter(|(_, theirs, ours)| theirs.as_ref().is_some_and(|theirs| theirs != ours));
        differing.map(|(what, theirs, ours)| format!("{what} is {ours}, not {}", theirs.unwrap_or_default())).collect()
    }

    fn valued_otherwise(&self, read: Result<(Sample, Trigger), String>) -> Option<String> {
        let (sample, trigger) = match (read, self.error) {
            (Ok(read), false) => read,
            (Ok((sample, _)), true) => return Some(format!("we read {}", sample.metric)),
            (Err(error), false) => return Some(format!("we read no value: {error}")),
            (Err(error), true) => {
                let hides = self.hides.as_ref().is_none_or(|text| !error.contains(text));
                let tells = self.tells.as_ref().is_none_or(|text| error.contains(text));
                return (!hides || !tells).then(|| format!("we say: {error}"));
            }
        };
        let active = match sample.activity {
            Activity::Known(active) => active,
            Activity::Compare => sample.metric > trigger.activation,
        };
        if let Some(metric) = self.metric.map(MetricMilli::from_f64).filter(|metric| *metric != sample.metric) {
            return Some(format!("we read {}, not {metric}", sample.metric));
        }
        self.active.filter(|expected| *expected != active).map(|_| format!("active is {active}"))
    }
}

/// The tables of each of KEDA's files, sorted.
fn files() -> BTreeMap<String, Vec<Table>> {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/conformance"));
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("the folder of cases") {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).expect("cases");
        let tables = serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(files.insert(name, tables).is_none(), "{} is there twice", path.display());
    }
    files
}

/// How many rows there are, how many of them differ, and how many of these because something is not built.
#[derive(Debug, Clone, Copy)]
struct Count {
    all: usize,
    differing: usize,
    unbuilt: usize,
}

impl Count {
    fn of<'t>(tables: impl Iterator<Item = &'t Table>) -> Self {
        let cases: Vec<&Case> = tables.flat_map(|table| &table.cases).collect();
        let reasons: Vec<&String> = cases.iter().filter_map(|case| case.differs.as_ref()).collect();
        let unbuilt = reasons.iter().filter(|reason| reason.starts_with(NOT_BUILT)).count();
        Self { all: cases.len(), differing: reasons.len(), unbuilt }
    }

    const fn agreeing(self) -> usize {
        self.all - self.differing
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { all, differing, unbuilt } = *self;
        write!(f, "{} of {all} agree ({} %), {differing} differ", self.agreeing(), percent(self.agreeing(), all))?;
        if unbuilt > 0 { write!(f, ", {unbuilt} of them for what is not built yet") } else { Ok(()) }
    }
}

/// How many of so many, in percent, cut after one digit so that it is never more than there is.
fn percent(part: usize, whole: usize) -> String {
    let thousandths = (part * 1000).checked_div(whole).unwrap_or(0);
    format!("{}.{}", thousandths / 10, thousandths % 10)
}

/// The page of rows that differ.
pub(crate) fn page() -> String {
    let files = files();
    let mut page = format!(
        "<!-- Made of scalers/conformance by `cargo xtask gen`. -->\n# Conformance with KEDA's scalers\n\nEach row of the tables of KEDA's own \
         tests is a case in `scalers/conformance`, which says what KEDA says of it:\nwhether a trigger is accepted, its metric's name and \
         target, the value that is read. Of these rows,\n{}. These are listed with the reason.\n",
        Count::of(files.values().flatten()),
    );
    for (name, tables) in &files {
        write!(page, "\n## {name}\n\n{}.\n", Count::of(tables.iter())).expect("text");
        let mut reasons: BTreeMap<(&str, &str), Vec<String>> = BTreeMap::new();
        for table in tables {
            for (place, case) in table.cases.iter().enumerate() {
                if let Some(reason) = &case.differs {
                    reasons.entry((&table.table, reason)).or_default().push((place + 1).to_string());
                }
            }
        }
        if !reasons.is_empty() {
            page.push('\n');
        }
        for ((table, reason), rows) in reasons {
            let word = if rows.len() == 1 { "row" } else { "rows" };
            writeln!(page, "- `{table}`, {word} {}: {reason}.", rows.join(", ")).expect("text");
        }
    }
    page
}

#[tokio::test]
async fn rows_of_keda_agree_or_say_why_not() {
    let files = files();
    let mut complaints = Vec::new();
    for (name, tables) in &files {
        for Table { table, kind, cases } in tables {
            for (place, case) in cases.iter().enumerate() {
                let found = case.disagreements(kind).await;
                let place = format!("{name}, {table}, row {}", place + 1);
                match (&case.differs, found.is_empty()) {
                    (None, false) => complaints.push(format!("{place}: {}", found.join("; "))),
                    (Some(reason), true) => complaints.push(format!("{place} agrees; take away its reason ({reason})")),
                    (Some(reason), false) if reason.trim_end_matches('.') != reason || reason.is_empty() => {
                        complaints.push(format!("{place}: a reason has words, and no dot at its end"));
                    }
                    _ => {}
                }
            }
        }
    }
    let count = Count::of(files.values().flatten());
    // Past what catches the output of a test that passes: everyone is to see it.
    writeln!(stdout(), "keda rows: {count}").expect("printed");
    assert!(complaints.is_empty(), "{} rows:\n{}", complaints.len(), complaints.join("\n"));
    let is_enough = count.agreeing() * 100 >= (count.all - count.unbuilt) * SHARE;
    assert!(is_enough, "fewer than {SHARE} of 100 rows agree; docs/scalers/conformance.md lists the others");
}
