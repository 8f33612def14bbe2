//! What happens in a world, as data: messages that come, machines that are sold out or taken back. What a story leaves open follows from its seed.

use serde::{Deserialize, Deserializer};
use springtide_core::Span;

/// What happens.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Story {
    /// A sentence about it.
    pub title: String,
    /// How machines behave.
    pub machines: Machines,
    /// Queues and what comes into them.
    pub queues: Vec<QueueStory>,
    /// When the cheapest Spot offerings are sold out.
    #[serde(default)]
    pub stock_outs: Vec<StockOut>,
    /// When Spot machines are taken back.
    #[serde(default)]
    pub interruptions: Vec<Interruption>,
}

/// How machines behave.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machines {
    /// From the purchase to the moment at which pods can run: at least and at most.
    pub boot: (Length, Length),
    /// Between the cloud's notice and the end of a Spot machine.
    pub notice: Length,
    /// Zones in which they are sold.
    pub zones: Vec<String>,
}

/// A queue and what comes into it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueueStory {
    /// Its name, as triggers give it.
    pub name: String,
    /// How long a worker takes for a message: at least and at most.
    pub service: (Length, Length),
    /// Messages that come.
    pub arrivals: Vec<Arrivals>,
}

/// Messages that come evenly over a while.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arrivals {
    /// From when on.
    pub at: Length,
    /// Within how long.
    pub over: Length,
    /// How many.
    pub messages: u32,
}

/// The cheapest Spot offerings of a moment are sold out for a while.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StockOut {
    /// When.
    pub at: Length,
    /// For how long.
    pub lasting: Length,
    /// How many of them.
    pub offerings: usize,
}

/// Spot machines are taken back.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interruption {
    /// When the notice comes.
    pub at: Length,
    /// How many of those that are ready then.
    pub machines: usize,
}

/// A length of time as manifests write it: `30s`, `2m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Length(pub Span);

impl<'de> Deserialize<'de> for Length {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let span = springtide_api::duration::parse(&text).map_err(serde::de::Error::custom)?;
        if span.is_negative() {
            return Err(serde::de::Error::custom(format!("`{text}` is negative; write a length of time such as 30s")));
        }
        Ok(Self(span))
    }
}

impl Story {
    /// When the last message has come.
    #[must_use]
    pub fn last_arrival(&self) -> Span {
        let ends = self.queues.iter().flat_map(|queue| &queue.arrivals).map(|arrivals| arrivals.at.0.saturating_add(arrivals.over.0));
        ends.max().unwrap_or_default()
    }
}
