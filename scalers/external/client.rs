//! Speaking gRPC: three questions a read, and streams for scalers that push.

use std::time::Duration;

use async_trait::async_trait;
use futures::future::{join_all, try_join};
use futures::{FutureExt as _, StreamExt as _};
use hyper_rustls::HttpsConnectorBuilder;
use tokio::time::{Instant, sleep, timeout_at};
use tonic::client::Grpc;
use tonic::codec::Streaming;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

use super::contract::{
    Active as IsActive, GET_METRIC_SPEC, GET_METRICS, IS_ACTIVE, STREAM_IS_ACTIVE, STREAM_METRIC_SPEC, Spec, Specs, Subject, Values, Wanted,
};
use super::{Query, Scaler};
use crate::broker::{Active, Answer, Broker as _, Client, Level, Moment};
use crate::error::Error;
use crate::secret::conceal;

/// How many questions of one read are under way at a time: a scaler of somebody's own is often small.
const AT_ONCE: usize = 8;
/// The largest message that is taken.
const LARGEST: usize = 4 << 20;
/// How soon a stream that has ended is begun again, and how late at last, as KEDA does.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

#[async_trait]
impl Client for Scaler {
    type Connection = Channel;

    async fn open(&self) -> Result<Channel, Error> {
        let fault = |source: tonic::transport::Error| Error::Connect { broker: self.address(), source: source.into() };
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let endpoint = Endpoint::from_shared(format!("{scheme}://{}", self.address))
            .map_err(fault)?
            .user_agent("springtide")
            .map_err(fault)?
            .http2_keep_alive_interval(Duration::from_secs(30))
            .keep_alive_while_idle(true);
        let Some(tls) = &self.tls else { return endpoint.connect().await.map_err(fault) };
        let config = tls.client_config(&self.address())?;
        let connector = HttpsConnectorBuilder::new().with_tls_config(config).https_only().enable_http2().build();
        endpoint.connect_with_connector(connector).await.map_err(fault)
    }

    async fn read(&self, channel: &mut Channel, queries: &[&Query], moment: Moment) -> Result<Vec<Result<Answer, Error>>, Error> {
        // A little before nobody waits any more, so that one question without an answer does not take the others' answers with it.
        let until = Instant::now() + moment.patience * 9 / 10;
        let channel = &*channel;
        let mut asked = Vec::with_capacity(queries.len());
        for query in queries {
            let answer = timeout_at(until, self.ask(channel, query));
            let late = || Err(Error::Wait { broker: self.address(), after: moment.patience });
            asked.push(answer.map(move |answer| answer.unwrap_or_else(|_| late())).boxed());
        }
        let mut answers = Vec::with_capacity(queries.len());
        let mut arriving = futures::stream::iter(asked).buffered(AT_ONCE);
        while let Some(answer) = arriving.next().await {
            match answer {
                // The connection is at fault, for all of them.
                Err(error @ Error::Ask { .. }) => return Err(error),
                answer => answers.push(answer),
            }
        }
        if answers.iter().all(|answer| matches!(answer, Err(Error::Wait { .. })))
            && let Some(Err(error)) = answers.pop()
        {
            return Err(error);
        }
        Ok(answers)
    }

    async fn listen(&self, queries: &[&Query], changed: &(dyn Fn(usize) + Send + Sync)) -> Result<(), Error> {
        let channel = self.open().await?;
        let mut streams = Vec::with_capacity(2 * queries.len());
        for (at, query) in queries.iter().enumerate() {
            let changed = move || changed(at);
            streams.push(self.follow_activity(&channel, query, changed).boxed());
            streams.push(self.follow_specs(&channel, query, changed).boxed());
        }
        join_all(streams).await;
        Ok(())
    }
}

impl Query {
    fn subject(&self) -> Subject {
        let metadata = self.metadata.iter().map(|(key, value)| (key.clone(), value.expose().to_owned())).collect();
        Subject { name: self.owner.name.to_string(), namespace: self.owner.namespace.to_string(), scaler_metadata: metadata }
    }
}

impl Scaler {
    /// One question.
    async fn call<M, R>(&self, channel: &Channel, query: &Query, path: &'static str, message: M) -> Result<R, Error>
    where
        M: prost::Message + Default + Send + Sync + 'static,
        R: prost::Message + Default + Send + Sync + 'static,
    {
        let mut grpc = Grpc::new(channel.clone()).max_decoding_message_size(LARGEST);
        let asked = async {
            grpc.ready().await.map_err(|error| Status::from_error(error.into()))?;
            grpc.unary(Request::new(message), PathAndQuery::from_static(path), ProstCodec::<M, R>::default()).await
        };
        asked.await.map(tonic::Response::into_inner).map_err(|status| self.error(query, path, &status))
    }

    /// What a status means.
    fn error(&self, query: &Query, path: &str, status: &Status) -> Error {
        let method = path.rsplit_once('/').map_or(path, |(_, method)| method);
        let mut words = status.message().to_owned();
        // A scaler may repeat what it was told.
        for secret in query.metadata.iter().filter(|(key, _)| key.ends_with("FromEnv")).map(|(_, value)| value) {
            words = words.replace(secret.expose(), "...");
        }
        let words = conceal(&words).into_owned();
        let broker = self.address();
        match status.code() {
            Code::Unauthenticated | Code::PermissionDenied => Error::LogIn { broker, reason: words },
            Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled => {
                Error::Ask { broker, source: format!("{method}: {words}").into() }
            }
            code => Error::Inspect { broker, what: format!("{method} of {}", query.owner), reason: format!("{words} ({code:?})") },
        }
    }

    async fn ask(&self, channel: &Channel, query: &Query) -> Result<Answer, Error> {
        let subject = query.subject();
        let specs = self.call::<_, Specs>(channel, query, GET_METRIC_SPEC, subject.clone());
        let active = self.call::<_, IsActive>(channel, query, IS_ACTIVE, subject.clone());
        let (Specs { metric_specs }, IsActive { result }) = try_join(specs, active).await?;
        let refuse = |reason: &str| Error::Inspect {
            broker: self.address(),
            what: format!("the metrics of {}", query.owner),
            reason: reason.to_owned(),
        };
        let mut most: Option<(f64, f64)> = None;
        for spec in &metric_specs {
            let target = spec.target();
            if target <= 0.0 || !target.is_finite() {
                return Err(refuse(&format!("the target of {} is {target}: it has to be greater than 0", spec.metric_name)));
            }
            let number = self.number(channel, query, spec, &subject).await?;
            if most.is_none_or(|(number_before, target_before)| number / target > number_before / target_before) {
                most = Some((number, target));
            }
        }
        let (number, target) = most.ok_or_else(|| refuse("there are none"))?;
        Ok(Answer { level: Level::Number(number), target: Some(target), active: Active::Known(result), ..Answer::number(number) })
    }

    /// A metric's number: the sum of its values, whatever these are called.
    async fn number(&self, channel: &Channel, query: &Query, spec: &Spec, subject: &Subject) -> Result<f64, Error> {
        let wanted = Wanted { scaled_object_ref: Some(subject.clone()), metric_name: spec.metric_name.clone() };
        let Values { metric_values } = self.call(channel, query, GET_METRICS, wanted).await?;
        if metric_values.is_empty() {
            let what = format!("the metric {} of {}", spec.metric_name, query.owner);
            return Err(Error::Inspect { broker: self.address(), what, reason: "it has no value".to_owned() });
        }
        Ok(metric_values.iter().map(super::contract::Value::number).sum())
    }

    /// Tells of each work that a scaler pushes. Never ends.
    async fn follow_activity(&self, channel: &Channel, query: &Query, changed: impl Fn()) {
        self.follow::<IsActive>(channel, query, STREAM_IS_ACTIVE, |message| {
            if message.result {
                changed();
            }
        })
        .await;
    }

    /// Tells of each change of what metrics are compared with. Ends where a scaler does not offer that.
    async fn follow_specs(&self, channel: &Channel, query: &Query, changed: impl Fn()) {
        self.follow::<Specs>(channel, query, STREAM_METRIC_SPEC, |_| changed()).await;
    }

    async fn follow<R: prost::Message + Default + Send + Sync + 'static>(
        &self,
        channel: &Channel,
        query: &Query,
        path: &'static str,
        mut each: impl FnMut(R),
    ) {
        let mut pause = FIRST_PAUSE;
        loop {
            let mut grpc = Grpc::new(channel.clone()).max_decoding_message_size(LARGEST);
            let begun = async {
                grpc.ready().await.map_err(|error| Status::from_error(error.into()))?;
                let codec = ProstCodec::<Subject, R>::default();
                grpc.server_streaming(Request::new(query.subject()), PathAndQuery::from_static(path), codec).await
            };
            let ended = match begun.await.map(tonic::Response::into_inner) {
                Ok(stream) => drain(stream, &mut each, &mut pause).await,
                Err(status) => status,
            };
            if ended.code() == Code::Unimplemented {
                return;
            }
            tracing::debug!(broker = %self.address(), of = %query.owner, error = %self.error(query, path, &ended).chain(), "no longer pushed to");
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

/// Takes messages until there are no more. Says why.
async fn drain<R>(mut stream: Streaming<R>, each: &mut impl FnMut(R), pause: &mut Duration) -> Status {
    loop {
        match stream.message().await {
            Ok(Some(message)) => {
                *pause = FIRST_PAUSE;
                each(message);
            }
            Ok(None) => return Status::ok("it ended"),
            Err(status) => return status,
        }
    }
}
