//! Asking Cloud Monitoring. Triggers that want the same metric of several subscriptions or topics share a request.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt as _;
use serde::Deserialize;
use serde_json::json;
use springtide_core::Timestamp;
use springtide_core::units::MetricMilli;

use super::resource::{Resource, Sort};
use super::{Aggregation, Monitoring, Project, Query};
use crate::broker::{Answer, Client, Moment};
use crate::error::Error;
use crate::http::{self, Question, Session, gather, verified};

/// How long a filter may be, a little below what Monitoring takes.
const LONGEST_FILTER: usize = 2000;
/// Over how long numbers are put together: the word for it in queries.
const ALIGNED: &str = "180s";

/// A session, and the project of names without one.
pub(super) struct Connection {
    session: Session,
    project: Option<String>,
}

#[async_trait]
impl Client for Monitoring {
    type Connection = Connection;

    async fn open(&self) -> Result<Connection, Error> {
        let session = self.place.open()?;
        let project = match &self.project {
            Project::Of(project) => project.clone(),
            // Asked for only once, and needed only by names without a project: what is wrong is told when one is asked about.
            Project::Here(machine) => machine.project(&verified(&self.place.address())?).await.ok(),
        };
        Ok(Connection { session, project })
    }

    async fn read(&self, connection: &mut Connection, queries: &[&Query], moment: Moment) -> Result<Vec<Result<Answer, Error>>, Error> {
        let Connection { session, project } = connection;
        let asker = Asker { http: self.place.server()?.asker(session, moment).await?, project: project.as_deref(), now: moment.now };
        let shared = asker.shared(queries).await?;
        let asked = queries.iter().map(|query| asker.resolve(query, shared.get(query).copied()).boxed()).collect();
        gather(session, asked).await
    }
}

/// One read.
struct Asker<'a> {
    http: http::Asker<'a>,
    project: Option<&'a str>,
    now: Timestamp,
}

/// What one request can ask for: the project, what of, which metric, and how far back.
type Group<'q> = (&'q str, Sort, &'q str, Duration);

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct List {
    time_series: Vec<Series>,
    next_page_token: String,
}

#[derive(Debug, Deserialize)]
struct Series {
    resource: Labelled,
    #[serde(default)]
    points: Vec<Point>,
}

#[derive(Debug, Deserialize)]
struct Labelled {
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
struct Point {
    value: Value,
}

/// A number, of which one is given: whole ones come as texts.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Value {
    int64_value: Option<String>,
    double_value: Option<f64>,
}

#[derive(Debug, Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Table {
    time_series_data: Vec<Row>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    #[serde(default)]
    point_data: Vec<Cells>,
}

#[derive(Debug, Deserialize)]
struct Cells {
    #[serde(default)]
    values: Vec<Value>,
}

impl Value {
    /// The error is what there is instead.
    fn number(&self) -> Result<f64, String> {
        let whole = self.int64_value.as_ref().and_then(|text| text.parse::<f64>().ok());
        whole
            .or(self.double_value)
            .ok_or_else(|| "no number but a distribution or a word; make a number of it with aggregation, such as percentile95".to_owned())
    }
}

impl Query {
    fn described(&self) -> String {
        format!("{} of {} {:?}", self.metric, self.resource.sort.word(), self.resource.id)
    }

    pub(super) fn metric(&self) -> String {
        format!("pubsub.googleapis.com/{}/{}", self.resource.sort.word(), self.metric)
    }
}

impl Asker<'_> {
    /// The numbers of those queries that share a request with others; none, where Monitoring has none. What a request does not bring is asked for one by one.
    async fn shared<'q>(&self, queries: &[&'q Query]) -> Result<HashMap<&'q Query, Option<f64>>, Error> {
        let mut groups: HashMap<Group<'_>, Vec<&Query>> = HashMap::new();
        for query in queries.iter().filter(|query| query.aggregation.is_none() && query.resource.fault().is_none()) {
            if let Some(project) = query.resource.project.as_deref().or(self.project) {
                groups.entry((project, query.resource.sort, &query.metric, query.horizon)).or_default().push(query);
            }
        }
        let mut numbers = HashMap::new();
        for (group, queries) in groups.into_iter().filter(|(_, queries)| queries.len() > 1) {
            let (_, sort, ..) = group;
            for part in parts(&queries) {
                let what = format!("{} of {} {}s", part[0].metric, part.len(), sort.word());
                let ids: Vec<&str> = part.iter().map(|query| query.resource.id.as_str()).collect();
                let list = match self.list(group, &ids, part[0], &what).await {
                    Ok(list) if list.next_page_token.is_empty() => list,
                    Err(error @ (Error::Connect { .. } | Error::Ask { .. })) => return Err(error),
                    // The single questions will say what is wrong with which of them.
                    _ => continue,
                };
                for (query, id) in part.iter().zip(ids) {
                    if let Ok(number) = list.number(sort, id) {
                        numbers.insert(*query, number);
                    }
                }
            }
        }
        Ok(numbers)
    }

    async fn resolve(&self, query: &Query, shared: Option<Option<f64>>) -> Result<Answer, Error> {
        let what = query.described();
        let resource = &query.resource;
        if let Some(reason) = resource.fault() {
            return Err(self.http.without_number(&what, reason));
        }
        let project = resource.project.as_deref().or(self.project).ok_or_else(|| {
            let word = resource.sort.word();
            self.http.without_number(&what, format!("nothing: no project is known; write {word}Name as projects/PROJECT/{word}s/NAME"))
        })?;
        let number = match (shared, &query.aggregation) {
            (Some(number), _) => number,
            (None, Some(aggregation)) => self.aggregate(query, resource, project, aggregation, &what).await?,
            (None, None) => {
                let group = (project, resource.sort, query.metric.as_str(), query.horizon);
                let list = self.list(group, &[&resource.id], query, &what).await?;
                list.number(resource.sort, &resource.id).map_err(|reason| self.http.without_number(&what, reason))?
            }
        };
        #[allow(clippy::cast_precision_loss, reason = "what people write as a value is far below where it would be inexact")]
        let instead = || query.value_if_null.map(|MetricMilli(milli)| milli as f64 / 1000.0);
        let number = number.or_else(instead).ok_or_else(|| {
            let reason = format!(
                "nothing for the last {} s (could not find stackdriver metric); check the name, give a longer timeHorizon, or say with valueIfNull what that means",
                query.horizon.as_secs()
            );
            self.http.without_number(&what, reason)
        })?;
        Ok(Answer::number(number))
    }

    /// The series of some subscriptions or topics.
    async fn list(&self, (project, sort, _, horizon): Group<'_>, ids: &[&str], query: &Query, what: &str) -> Result<List, Error> {
        let time = |time: Timestamp| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let start = jiff::SignedDuration::try_from(horizon)
            .ok()
            .and_then(|horizon| self.now.checked_sub(horizon).ok())
            .unwrap_or(Timestamp::UNIX_EPOCH);
        let filter = filter(sort, &query.metric(), ids);
        let parameters = [("filter", filter.as_str()), ("interval.startTime", &time(start)), ("interval.endTime", &time(self.now))];
        self.http.get_json(&format!("/v3/projects/{project}/timeSeries"), &parameters, what).await
    }

    /// One number of all series, which only the query language can make of a distribution.
    async fn aggregate(
        &self,
        query: &Query,
        Resource { sort, id, .. }: &Resource,
        project: &str,
        Aggregation(aggregation): &Aggregation,
        what: &str,
    ) -> Result<Option<f64>, Error> {
        let (word, metric, within) = (sort.word(), query.metric(), query.horizon.as_secs().max(1));
        let text = format!(
            "fetch pubsub_{word} | metric '{metric}' | filter (resource.project_id == '{project}' && resource.{word}_id == '{id}') | within {within}s \
             | align delta({ALIGNED}) | every {ALIGNED} | group_by [], {aggregation}"
        );
        let body = json!({"query": text, "pageSize": 1});
        let question = Question { path: &format!("/v3/projects/{project}/timeSeries:query"), body: Some(&body), ..Question::default() };
        let answered = self.http.ask(question, what).await?;
        let table: Table = serde_json::from_slice(&answered.body).map_err(|error| self.http.unreadable(what, error))?;
        let newest = table.time_series_data.first().and_then(|row| row.point_data.first()).and_then(|cells| cells.values.first());
        newest.map(Value::number).transpose().map_err(|reason| self.http.without_number(what, reason))
    }
}

impl List {
    /// The newest number of one subscription or topic: of its series together, if it has several. None if it has no series.
    fn number(&self, sort: Sort, id: &str) -> Result<Option<f64>, String> {
        let label = format!("{}_id", sort.word());
        let mut sum = None;
        for series in self.time_series.iter().filter(|series| series.resource.labels.get(&label).is_some_and(|other| other == id)) {
            // The newest point comes first.
            if let Some(point) = series.points.first() {
                sum = Some(sum.unwrap_or(0.0) + point.value.number()?);
            }
        }
        Ok(sum)
    }
}

/// Which series are meant.
pub(super) fn filter(sort: Sort, metric: &str, ids: &[&str]) -> String {
    let word = sort.word();
    let ids: Vec<String> = ids.iter().map(|id| format!("\"{id}\"")).collect();
    let which = match ids.as_slice() {
        [id] => id.clone(),
        ids => format!("one_of({})", ids.join(",")),
    };
    format!("metric.type = \"{metric}\" AND resource.type = \"pubsub_{word}\" AND resource.labels.{word}_id = {which}")
}

/// Queries in parts whose filters are not too long.
pub(super) fn parts<'q>(queries: &[&'q Query]) -> Vec<Vec<&'q Query>> {
    let mut parts: Vec<Vec<&Query>> = Vec::new();
    let mut room = 0;
    for query in queries {
        let length = query.resource.id.len() + 3;
        match parts.last_mut() {
            Some(part) if length <= room => part.push(query),
            _ => {
                parts.push(vec![query]);
                room = LONGEST_FILTER - 250;
            }
        }
        room = room.saturating_sub(length);
    }
    parts
}
