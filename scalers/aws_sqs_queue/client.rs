//! Asking for queues' attributes. SQS knows no request for several queues, so each is one.

use std::collections::HashMap;

use async_trait::async_trait;
use aws_sdk_sqs::types::QueueAttributeName as Name;
use aws_sdk_sqs::{Client as Sdk, config};
use futures::FutureExt as _;
use tokio::time::{Instant, timeout_at};

use super::{Query, Sqs};
use crate::broker::{Answer, Broker as _, Client, Moment, together};
use crate::error::Error;
use crate::identity::aws::{Service, refusal};

/// What is asked for, whatever counts: it costs the same.
const ATTRIBUTES: [Name; 3] =
    [Name::ApproximateNumberOfMessages, Name::ApproximateNumberOfMessagesNotVisible, Name::ApproximateNumberOfMessagesDelayed];

#[async_trait]
impl Client for Sqs {
    type Connection = Sdk;

    async fn open(&self) -> Result<Sdk, Error> {
        let config = self.identity.config(&self.address(), None).await?;
        let mut builder = config::Builder::from(&config);
        if let Some(endpoint) = &self.endpoint {
            builder = builder.endpoint_url(endpoint);
        }
        Ok(Sdk::from_conf(builder.build()))
    }

    async fn read(&self, sdk: &mut Sdk, queries: &[&Query], moment: Moment) -> Result<Vec<Result<Answer, Error>>, Error> {
        // A little before nobody waits any more, so that one question without an answer does not take the others' answers with it.
        let until = Instant::now() + moment.patience * 9 / 10;
        let mut asked = Vec::with_capacity(queries.len());
        for query in queries {
            let sdk = &*sdk;
            let late = move |_| Err(Error::Wait { broker: self.address(), after: moment.patience });
            asked.push(async move { timeout_at(until, self.ask(sdk, query).boxed()).await.unwrap_or_else(late) }.boxed());
        }
        together(asked).await
    }
}

impl Sqs {
    async fn ask(&self, sdk: &Sdk, query: &Query) -> Result<Answer, Error> {
        let request = sdk.get_queue_attributes().queue_url(&query.queue.url).set_attribute_names(Some(ATTRIBUTES.to_vec()));
        let what = format!("queue {}", query.queue.name);
        match request.send().await {
            Ok(answer) => {
                query.answer(answer.attributes.as_ref()).map_err(|reason| Error::Inspect { broker: self.address(), what, reason })
            }
            Err(error) => {
                let service = Service { broker: self.address(), identity: &self.identity };
                Err(refusal(&service, &what, "sqs:GetQueueAttributes", error))
            }
        }
    }
}

impl Query {
    /// What attributes come to. The error is what is wrong with them.
    pub(super) fn answer(&self, attributes: Option<&HashMap<Name, String>>) -> Result<Answer, String> {
        let count = |name: &Name| match attributes.and_then(|attributes| attributes.get(name)) {
            None => Err(format!("nothing of {name} (metric {name} not found in SQS queue attributes); check that awsEndpoint is SQS")),
            Some(text) => text.parse::<u64>().map_err(|_| format!("{text:?} for {name}, which is no number of messages")),
        };
        let [visible, in_flight, delayed] = &ATTRIBUTES;
        let (visible, in_flight, delayed) = (count(visible)?, count(in_flight), count(delayed));
        let mut sum = visible;
        for (counts, number) in [(self.with_in_flight, &in_flight), (self.with_delayed, &delayed)] {
            if counts {
                sum = sum.saturating_add(number.clone()?);
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "no queue has more messages than a float has digits")]
        let number = sum as f64;
        Ok(Answer { ready: Some(visible), in_flight: in_flight.ok(), ..Answer::number(number) })
    }
}
