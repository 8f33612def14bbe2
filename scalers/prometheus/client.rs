//! Asking queries.

use async_trait::async_trait;
use futures::FutureExt as _;
use serde::Deserialize;
use serde_json::Value;

use super::{Prometheus, Query, WithoutNumber};
use crate::broker::{Answer, Client, Moment};
use crate::error::Error;
use crate::http::{Asker, Session, gather};

/// An answer, as far as it is read.
#[derive(Debug, Deserialize)]
struct Response {
    status: Option<String>,
    error: Option<String>,
    data: Option<Data>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    result_type: Option<String>,
    #[serde(default)]
    result: Value,
}

#[async_trait]
impl Client for Prometheus {
    type Connection = Session;

    async fn open(&self) -> Result<Session, Error> {
        self.0.open()
    }

    async fn read(&self, session: &mut Session, queries: &[&Query], moment: Moment) -> Result<Vec<Result<Answer, Error>>, Error> {
        let asker = self.0.asker(session, moment).await?;
        // To the second, as everywhere in its interface.
        let time = moment.now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let mut asked = Vec::with_capacity(queries.len());
        for query in queries {
            asked.push(query.ask(&asker, &time).boxed());
        }
        gather(session, asked).await
    }
}

impl Query {
    async fn ask(&self, asker: &Asker<'_>, time: &str) -> Result<Answer, Error> {
        let mut parameters = vec![("query", self.query.as_str()), ("time", time)];
        parameters.extend(self.parameters.iter().map(|(name, text)| (name.as_str(), text.as_str())));
        let what = format!("the query {:?}", self.query);
        let response = asker.get_json::<Response>("/api/v1/query", &parameters, &what).await?;
        let number = self.number(response).map_err(|reason| asker.without_number(&what, reason))?;
        Ok(Answer::number(number))
    }

    /// The number of an answer. The error is what there is instead.
    fn number(&self, response: Response) -> Result<f64, String> {
        // What stands in for Prometheus may leave out what goes without saying: that it succeeded, and that the result is a vector.
        let is_success = response.status.as_ref().is_none_or(|status| status == "success");
        let Some(data) = response.data.filter(|_| is_success) else {
            return Err(response.error.unwrap_or_else(|| "neither success nor error; this may be no Prometheus".to_owned()));
        };
        let sample = match (data.result_type.as_deref().unwrap_or("vector"), data.result) {
            ("vector", Value::Array(mut series)) => match series.len() {
                0 => None,
                1 => Some(series.pop().and_then(|mut series| Some(series.get_mut("value")?.take())).unwrap_or_default()),
                count => {
                    return Err(format!("{count} series (returned multiple elements); make one of them, for example with sum(...)"));
                }
            },
            ("scalar", sample) => Some(sample),
            (other, _) => return Err(format!("a result of type {other:?}; write a query that gives a number or one series")),
        };
        let Some(sample) = sample else {
            return self.otherwise("prometheus metrics 'prometheus' target may be lost, the result is empty".to_owned());
        };
        if sample.as_array().is_some_and(Vec::is_empty) {
            return self.otherwise("a series with an empty value".to_owned());
        }
        // A moment, and the number as a text.
        let number = match sample.get(1) {
            Some(Value::String(text)) => text.parse::<f64>().map_err(|_| format!("{text:?}, which is no number"))?,
            Some(Value::Null) => return self.otherwise("null".to_owned()),
            _ => return Err("a series without a value".to_owned()),
        };
        if number.is_finite() { Ok(number) } else { self.otherwise(format!("{number}, which is no number that can be used")) }
    }

    /// What an answer without a number comes to.
    fn otherwise(&self, reason: String) -> Result<f64, String> {
        match self.without_number {
            WithoutNumber::Zero => Ok(0.0),
            WithoutNumber::Error => Err(reason + "; ignoreNullValues: \"true\" would take it for 0"),
        }
    }
}
